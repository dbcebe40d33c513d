#!/bin/sh
# Starts the coordinator with the database's password from the file that PGPASSWORD_FILE names, as POSTGRES_PASSWORD_FILE
# does for Postgres itself. So the password is in no file of the image, in no argument, and not in the database's URL,
# which the coordinator logs. (Postgres's own PGPASSFILE would work too, but it needs another format and a file that
# nobody else can read, which a mounted secret is not.)
set -eu
if [ -n "${PGPASSWORD_FILE:-}" ]; then
    PGPASSWORD=$(cat "$PGPASSWORD_FILE")
    export PGPASSWORD
fi
exec coordinator "$@"
