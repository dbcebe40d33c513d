#!/bin/bash
# The median of each cell: of five logs in a row.
index=0
for lr in 0.001 0.01 0.1; do
  for batch_size in 32 128; do
    logs=()
    for seed in 0 1 2 3 4; do
      logs+=("logs/$((index++)).log")
    done
    median=$(tail -qn 1 "${logs[@]}" | sed 's/.*val_acc = //' | sort -n | sed -n 3p)
    echo "$lr $batch_size $median"
  done
done
