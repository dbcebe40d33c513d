#!/bin/sh
# Every training, two at a time; then the median of each cell.
set -eu
mkdir -p logs
for lr in 0.001 0.01 0.1; do
  for batch_size in 32 128; do
    for seed in 0 1 2 3 4; do
      echo "$lr $batch_size $seed"
    done
  done
done | xargs -P 2 -L 1 sh -c \
  'python3 train.py --lr "$0" --batch-size "$1" --seed "$2" > "logs/$0_$1_$2.log"'
for lr in 0.001 0.01 0.1; do
  for batch_size in 32 128; do
    median=$(tail -qn 1 logs/"${lr}_${batch_size}"_*.log | sed 's/.*val_acc = //' | sort -n | sed -n 3p)
    echo "$lr $batch_size $median"
  done
done
