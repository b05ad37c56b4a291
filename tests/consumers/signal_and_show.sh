#!/bin/bash
# Starts SERVICE, signals it once it is ready, and holds what CORODUMP shows of the dump against what
# the service is known to wait for.
#
# Usage: signal_and_show.sh SERVICE CORODUMP
set -euo pipefail
service=$1 corodump=$2

folder=$(mktemp -d)
mkfifo "$folder/out" "$folder/err"
CORODUMP_DIR=$folder timeout 60 "$service" >"$folder/out" 2>"$folder/err" &
started=$!
trap 'kill "$started" 2>/dev/null || true; rm -rf "$folder"' EXIT
exec 3<"$folder/out" 4<"$folder/err"

fail() {
    echo "signal_and_show: $*" >&2
    exit 1
}

IFS= read -r -t 30 line <&3 || fail "the service did not get ready"
[[ $line == ready ]] || fail "unexpected output: $line"
# timeout(1) passes no SIGUSR1 on, so the signal goes to its child, the service.
kill -USR1 "$(<"/proc/$started/task/$started/children")"

path=
while IFS= read -r -t 30 line <&4; do
    echo "service: $line"
    if [[ $line =~ dumped\ ([0-9]+)\ tasks?\ to\ ([^ ]+)\ in ]]; then
        path=${BASH_REMATCH[2]}
        break
    fi
done
[[ -n $path ]] || fail "no log line of a dump"
[[ $path == "$folder"/corodump-*.json ]] || fail "dumped to $path, not into CORODUMP_DIR"

"$corodump" validate "$path"
shown=$("$corodump" show --all "$path")
echo "$shown"
for expected in wait_for_tomorrow serve main.cpp:12 steady_timer; do
    [[ $shown == *"$expected"* ]] || fail "corodump show does not mention $expected"
done
