#!/bin/bash
#SBATCH --array=0-1
#SBATCH --time=08:00:00
#SBATCH --signal=B:TERM@60
# A worker for the time of this allocation. A minute before its end it gives its jobs back.
exec worker --name "slurm-$SLURM_ARRAY_JOB_ID-$SLURM_ARRAY_TASK_ID" --device cpu:1 \
  --allow-command python3 --exit-when-idle 60
