#!/bin/bash
#SBATCH --array=0-29
#SBATCH --output=logs/%a.log
#SBATCH --time=00:10:00
lrs=(0.001 0.01 0.1)
batch_sizes=(32 128)
index=$SLURM_ARRAY_TASK_ID
exec python3 train.py \
  --lr "${lrs[index / 10]}" \
  --batch-size "${batch_sizes[index / 5 % 2]}" \
  --seed "$((index % 5))"
