#!/bin/sh
# Starts the coordinator with the database's password from the file that PGPASSWORD_FILE names, as POSTGRES_PASSWORD_FILE
# does for Postgres itself. So the password is in no file of the image, in no argument, and not in the database's URL,
# which the coordinator logs. (Postgres's own PGPASSFILE would work too, but it needs another format and a file that
# nobody else can read, which a mounted secret is not.)
#
# Before `serve` it makes what is missing of the coordinator's identity, and a token for each of the services beside it.
set -eu
if [ -n "${PGPASSWORD_FILE:-}" ]; then
    PGPASSWORD=$(cat "$PGPASSWORD_FILE")
    export PGPASSWORD
fi

# No coordinator answers yet: this works on the database.
offline() {
    env -u SWATH_COORDINATOR -u SWATH_TOKEN_FILE coordinator --quiet "$@"
}

# make_token ROLE OPTION…
make_token() {
    token=${SWATH_TOKENS:-/var/lib/swath/tokens}/$1.token
    if [ ! -s "$token" ]; then
        offline token create --role "$@" --expires never --into "$token"
    fi
}

if [ "${1:-}" = serve ] && [ -n "${SWATH_IDENTITY:-}" ]; then
    offline init
    make_token worker --uses 0
    make_token viewer --name compose
    make_token submitter --name compose
fi
exec coordinator "$@"
