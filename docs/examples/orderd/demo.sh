#!/bin/sh
# Drives orderd until it hangs, asks its agent for a dump with a plain kill, and shows the dump.
#
#   demo.sh <build-bin-dir>     where orderd, stockd, orderload and corodump are
#
# The dump stays; everything else that was started or written is gone at the end.
# Exit status: 0 the service hung and the dump was shown, 1 something else happened.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 <build-bin-dir>" >&2; exit 1; }
bin=$(cd "$1" && pwd)
show=$bin/corodump
[ -x "$show" ] || show=$(command -v corodump) || { echo "demo: no corodump command" >&2; exit 1; }

dumps=$(mktemp -d "${TMPDIR:-/tmp}/orderd-demo.XXXXXX")
work=$(mktemp -d "${TMPDIR:-/tmp}/orderd-demo.XXXXXX")
pids=

# await <seconds> <command...>: until the command succeeds
await() {
    tries=$(($1 * 20))
    shift
    until "$@"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || return 1
        sleep 0.05
    done
}

has_ended() { ! kill -0 "$1" 2>/dev/null; }

# A service that hangs may not end when asked to, so it is not asked for long.
cleanup() {
    for pid in $pids; do kill "$pid" 2>/dev/null || :; done
    for pid in $pids; do
        await 5 has_ended "$pid" || kill -KILL "$pid"
        wait "$pid" 2>/dev/null || :
    done
    rm -rf "$work"
    rmdir "$dumps" 2>/dev/null || :  # only when there is no dump in it
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

fail() {
    echo "demo: $*" >&2
    cat "$work"/*.log >&2 || :
    exit 1
}

# The name of a dump appears when the dump is whole, so a name is enough.
dump_is_there() { set -- "$dumps"/corodump-*.json; [ -e "$1" ]; }
load_has_ended() { grep -qs -e ' hangs: ' -e ' to the end: ' -e ' dropped ' "$work/orderload.log" ||
    has_ended "$load"; }

echo "== orderd, with a pool of 4 connections to its warehouse"
"$bin/stockd" --port 0 --port-file "$work/stockd.port" 2>"$work/stockd.log" &
pids="$pids $!"
await 10 test -s "$work/stockd.port" || fail "stockd did not start"

CORODUMP_DIR=$dumps "$bin/orderd" --port 0 --port-file "$work/orderd.port" \
    --stockd-port "$(cat "$work/stockd.port")" 2>"$work/orderd.log" &
orderd=$!
pids="$pids $orderd"
await 10 test -s "$work/orderd.port" || fail "orderd did not start"

echo "== 332 clients, until nothing moves"
"$bin/orderload" --port "$(cat "$work/orderd.port")" --linger 60 >"$work/orderload.log" 2>&1 &
load=$!
pids="$load $pids"
await 60 load_has_ended || fail "orderload did not end"
cat "$work/orderload.log"
grep -q ' hangs: ' "$work/orderload.log" || fail "the service was expected to hang"

echo "== kill -USR1 $orderd"
kill -USR1 "$orderd"
await 20 dump_is_there || fail "no dump in $dumps"
set -- "$dumps"/corodump-*.json
echo "$1"

echo "== corodump show $1"
"$show" show "$1"

echo
echo "== in one sentence"
"$show" show --verdicts "$1"
