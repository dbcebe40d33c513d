#!/bin/sh
# Starts the coordinator with the database's password from the file that PGPASSWORD_FILE names, as POSTGRES_PASSWORD_FILE
# does for Postgres itself. So the password is in no file of the image, in no argument, and not in the database's URL,
# which the coordinator logs. (Postgres's own PGPASSFILE would do too, but wants another format and a file that is
# readable by nobody else, which a mounted secret is not.)
set -eu
if [ -n "${PGPASSWORD_FILE:-}" ]; then
    PGPASSWORD=$(cat "$PGPASSWORD_FILE")
    export PGPASSWORD
fi
exec coordinator "$@"
