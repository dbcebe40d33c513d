#!/bin/sh
# From a checkout and a container engine to the table of the quickstart sweep: makes a password for the database if there
# is none yet, builds the images, starts the services and trains the sweep. The services stay up; `docker compose down`
# stops them.
set -eu
cd "$(dirname "$0")/.."

secret=docker/secrets/postgres-password
if [ -z "${SWATH_POSTGRES_PASSWORD_FILE:-}" ] && [ ! -s "$secret" ]; then
    mkdir -p docker/secrets
    chmod 700 docker/secrets
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$secret"
    # The users in the containers, who are not you, must read the file; the directory keeps others on this machine out.
    chmod 444 "$secret"
fi

if docker compose version >/dev/null 2>&1; then
    set -- docker compose run --rm
else
    set -- docker-compose run --rm
fi
# Both expect a terminal unless they are told that there is none.
if [ ! -t 0 ] || [ ! -t 1 ]; then
    set -- "$@" -T
fi
exec "$@" quickstart
