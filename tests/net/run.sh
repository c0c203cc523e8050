#!/bin/sh
# Phones, routers and relays in network namespaces, then the mixed bed of the DHT (`make test-net`); ends with
# `N passed, N failed`, the sum. With names of stories only those are told.
# Needs root and the tools below; without them it says which, and does not pass.
set -u
cd "$(dirname "$0")" || exit 1

missing=""
for tool in ip nft tcpdump sysctl miniupnpd; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
done
/usr/bin/python3 -c 'import numpy' 2>/dev/null || missing="$missing python3-numpy"
[ "$(id -u)" = 0 ] || missing="$missing root"
[ -z "$missing" ] || {
    echo "SKIPPED, not passed: the network laboratory needs$missing (contrib/deps.sh --ci installs the tools)"
    echo "0 passed, 1 failed"
    exit 1
}

# Other people's TURN clients against our relay and the mixed bed of the DHT, unless single stories are asked for; then
# the stories. One sum.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
[ $# != 0 ] || ../interop/turnutils.sh | tee "$log"
ok=$(grep -c '^  ok ' "$log")
bad=$(grep -c '^  FAIL ' "$log")
sums() { # COMMAND...: run it, and add the line of sums it ends with; none is a failure
    "$@" | tee "$log"
    set -- $(sed -nE 's/^([0-9]+) passed, ([0-9]+) failed$/\1 \2/p' "$log" | tail -n 1)
    ok=$((ok + ${1:-0})) bad=$((bad + ${2:-1}))
}
[ $# != 0 ] || sums ../interop/dht/run.sh
sums /usr/bin/python3 stories.py "$@"
echo "$ok passed, $bad failed"
[ "$bad" = 0 ]
