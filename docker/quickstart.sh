#!/bin/sh
# From a checkout and a container engine to the table of the quickstart sweep: a password for the database if there is
# none yet, the images, the services, the sweep. What was started stays up; `docker compose down` stops it.
set -eu
cd "$(dirname "$0")/.."

secret=docker/secrets/postgres-password
if [ -z "${SWATH_POSTGRES_PASSWORD_FILE:-}" ] && [ ! -s "$secret" ]; then
    mkdir -p docker/secrets
    chmod 700 docker/secrets
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$secret"
    # The users in the containers, who are not yours, read the file; on this machine its directory keeps others out.
    chmod 444 "$secret"
fi

if docker compose version >/dev/null 2>&1; then
    set -- docker compose run --rm
else
    set -- docker-compose run --rm
fi
# Both insist on a terminal where they are not told that there is none.
if [ ! -t 0 ] || [ ! -t 1 ]; then
    set -- "$@" -T
fi
exec "$@" quickstart
