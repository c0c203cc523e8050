#!/bin/sh
# Our mainline profile among libtorrent and bittorrent-dht: bed.py in a network namespace of its own, with a loopback and
# nothing else. Part of `make test-net`; ends with `N passed, N failed`. Needs root and the two peers, which
# contrib/deps.sh --ci installs; without them it says what is missing, and does not pass.
set -u
cd "$(dirname "$0")/../../.." || exit 1
B=${B:-build/release}
BITTORRENT_DHT=$PWD/build/peers/node_modules/bittorrent-dht
DHT_NODES=$PWD/$B/dht-nodes
export BITTORRENT_DHT DHT_NODES

missing=""
/usr/bin/python3 -c 'import libtorrent' 2>/dev/null || missing="$missing python3-libtorrent"
command -v node >/dev/null || missing="$missing nodejs"
[ -e "$BITTORRENT_DHT/client.js" ] || missing="$missing bittorrent-dht"
[ "$(id -u)" = 0 ] || missing="$missing root"
[ -z "$missing" ] || {
    echo "SKIPPED, not passed: the mixed bed of the DHT needs$missing (contrib/deps.sh --ci installs the peers)"
    echo "0 passed, 1 failed"
    exit 1
}
make --no-print-directory B="$B" "$B/libdht.a" "$B/libio.a" "$B/libcrypto.a" "$B/libbase.a" >/dev/null || exit 1
${CC:-gcc} -std=c11 -O2 -g -Wall -Wextra -Isrc -I. -D_GNU_SOURCE -o "$DHT_NODES" tests/interop/dht/nodes.c \
    -Wl,--start-group "$B/libdht.a" "$B/libio.a" "$B/libcrypto.a" "$B/libbase.a" -Wl,--end-group \
    -luv -lsodium -lcjson -lcrypto -lssl -lminiupnpc -lm -lpthread || exit 1
exec timeout -k 5 180 unshare -n sh -c 'ip link set lo up && exec /usr/bin/python3 tests/interop/dht/bed.py'
