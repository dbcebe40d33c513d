#!/bin/sh
# How well a level of gzip compresses random lines: a shell script with arguments.
#
#     sh train.sh LEVEL LINES SEED
set -eu

text=$(mktemp)
trap 'rm -f "$text"' EXIT
awk -v lines="$2" -v seed="$3" 'BEGIN {
  srand(seed)
  for (i = 0; i < lines; i++) printf "%d %d\n", i, 1000 * rand()
}' > "$text"

echo "compressing $2 lines at level $1"
before=$(wc -c < "$text")
after=$(gzip -c "-$1" "$text" | wc -c)
awk -v before="$before" -v after="$after" 'BEGIN { printf "bytes per byte: %.6f\n", after / before }'
