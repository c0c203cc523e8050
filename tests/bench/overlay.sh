#!/bin/sh
# overlay.sh WIRE NODES - what `make bench-overlay` prints: overlay.py in a network namespace with a loopback and
# the wire's device. Needs root and the two peers; without them it says what is missing, and measures nothing.
set -eu
cd "$(dirname "$0")/../.."
missing=""
/usr/bin/python3 -c 'import libtorrent' 2>/dev/null || missing="$missing python3-libtorrent"
/usr/bin/python3 -c 'import opendht' 2>/dev/null || missing="$missing python3-opendht"
[ -c /dev/net/tun ] || missing="$missing /dev/net/tun"
[ "$(id -u)" = 0 ] || missing="$missing root"
[ -z "$missing" ] || {
    echo "SKIPPED, nothing measured: the overlay beside others needs$missing (contrib/deps.sh --ci installs the peers)"
    exit 1
}
exec timeout -k 5 420 unshare -n /usr/bin/python3 tests/bench/overlay.py "$@"
