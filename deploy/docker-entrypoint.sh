#!/bin/sh
# Migrates the databases, or checks that they are at head, and then starts the image's program: `exec "$@"`.
# docs/deployment.md describes the variables. A failure ends the start with the exit code of the command that failed.
set -euf

root=$(dirname -- "$(dirname -- "$(readlink -f -- "$0")")")
bin=$root/.venv/bin
child=''
stopped=''

fail() {
    echo "error: $1 [MDB810]" >&2
    exit 1
}

# As process 1, this shell gets only the signals that it has a trap for.
stop() {
    stopped=yes
    [ -z "$child" ] || kill -TERM "$child" 2>/dev/null || :
}

# Runs a command in the project's folder, in a session of its own: Ctrl-C at a terminal reaches it once, through `stop`.
run() {
    [ -x "$bin/python" ] || fail "$bin has no Python that runs here: see docs/deployment.md, or run \`bin/venv constraints.txt\` in $root"
    (cd "$root" && exec setsid "$@") &
    child=$!
    [ -z "$stopped" ] || stop # the signal came before the child
    code=0
    wait "$child" || code=$?
    while kill -0 "$child" 2>/dev/null; do # a signal ended `wait`, but not yet the child
        code=0
        wait "$child" || code=$?
    done
    [ "$code" = 0 ] || exit "$code"
}

upgrade() {
    # shellcheck disable=SC2086 # each name is an argument
    run "$bin/python" -m multidb -x "wait=${MIGRATE_WAIT:-60}" create --files $names
    set -- -x "wait=${MIGRATE_WAIT:-60}"
    [ -z "$names" ] || set -- "$@" -x "db=$(printf '%s' "$names" | tr ' ' ,)"
    [ -z "${MIGRATE_RELEASE:-}" ] || set -- "$@" -x "release=$MIGRATE_RELEASE"
    run "$bin/alembic" "$@" upgrade heads
}

check() {
    set -- -x "wait=${MIGRATE_WAIT:-60}" ready --timeout="${MIGRATE_CHECK_WAIT:-300}"
    case ${MIGRATE_NEWER:-false} in
    true) set -- "$@" --newer ;;
    false) ;;
    *) fail "MIGRATE_NEWER: '$MIGRATE_NEWER' should be true or false" ;;
    esac
    for name in $names; do
        set -- "$@" "$name"
    done
    run "$bin/python" -m multidb "$@"
}

trap stop TERM INT HUP
names=''
for name in $(printf '%s' "${MIGRATE_DATABASES:-}" | tr , ' '); do
    case $name in -*) fail "MIGRATE_DATABASES: there is no database '$name'" ;; esac # the command would take it for an option
    names="$names${names:+ }$name"
done
[ -n "$names" ] || [ -z "${MIGRATE_DATABASES:-}" ] || fail "MIGRATE_DATABASES names no database"

# Without a program, this is the migrator. A service migrates only with MIGRATE=upgrade.
[ $# -eq 0 ] && default=upgrade || default=check
case ${MIGRATE:-$default} in
upgrade) upgrade ;;
check) check ;;
skip) ;;
*) fail "MIGRATE: '$MIGRATE' should be upgrade, check or skip" ;;
esac
trap 'exit 143' TERM INT HUP
[ -z "$stopped" ] || exit 143
exec "$@"
