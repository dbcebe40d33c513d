#!/bin/sh
# A worker is healthy if the coordinator has heard from it lately; an idle one asks for jobs every 30 seconds. A worker
# that was cut off is unhealthy but keeps training: nothing should stop it because of that.
set -eu
most_seconds=120
name=${SWATH_WORKER_NAME:-$(hostname)}
# The token of a worker reads nothing.
tokens=${SWATH_TOKENS:-/var/lib/swath/tokens}
if [ -s "$tokens/viewer.token" ]; then
    export SWATH_TOKEN_FILE="$tokens/viewer.token"
fi
known=$(coordinator --quiet workers -o jsonl)
if ! worker=$(printf '%s\n' "$known" | grep -F "\"name\":\"$name\""); then
    echo "the coordinator does not know $name"
    exit 1
fi
seen_ms=$(printf '%s\n' "$worker" | sed 's/.*"seen_at":\([0-9]*\).*/\1/')
age=$(($(date +%s) - seen_ms / 1000))
echo "the coordinator heard from $name $age s ago"
[ "$age" -le "$most_seconds" ]
