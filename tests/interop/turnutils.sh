#!/bin/sh
# Our TURN server judged by coturn's own client (turnutils_uclient, turnutils_peer): every mode must lose nothing.
# Over UDP, TCP and TLS, IPv4 and IPv6. Part of `make test-net`.
#   tests/interop/turnutils.sh [BUILD_DIR]      needs the libraries of `make` there (default build/release)
set -eu
cd "$(dirname "$0")/../.."
B=${1:-build/release}
port=${PORT:-13478}
dir=$(mktemp -d)
trap 'kill $server $peer 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"' EXIT
server= peer=

command -v turnutils_uclient >/dev/null || { echo '  FAIL  coturn is not installed (contrib/deps.sh --ci)'; exit 1; }
make --no-print-directory B="$B" "$B"/librelay.a "$B"/libnat.a "$B"/libio.a "$B"/libcrypto.a "$B"/libbase.a >/dev/null
${CC:-gcc} -std=c11 -O2 -g -Wall -Wextra -Isrc -I. -D_GNU_SOURCE ${TURND_CFLAGS:-} -o "$dir/turnd" tests/interop/turnd.c \
    -Wl,--start-group "$B"/librelay.a "$B"/libnat.a "$B"/libio.a "$B"/libcrypto.a "$B"/libbase.a -Wl,--end-group \
    -luv -lsodium -lsqlite3 -lcrypto -lssl -lcjson -lm -lpthread

"$dir/turnd" "$port" >"$dir/counters" &
server=$!
turnutils_peer -L 127.0.0.1 -p 13480 >/dev/null 2>&1 &
peer=$!
sleep 0.5

status=0
try() {
    what=$1
    shift
    if timeout 60 turnutils_uclient -u ito -w secret -p "$port" -n 50 "$@" 127.0.0.1 >"$dir/log" 2>&1 &&
        grep -q 'Total lost packets 0 ' "$dir/log"; then
        echo "  ok    $what: $(sed -n 's/.*\(Total lost packets.*send.*\)/\1/p; s/.*\(Average.*\)/\1/p' "$dir/log" | tail -1)"
    else
        tail -5 "$dir/log"
        echo "  FAIL  $what"
        status=1
    fi
}

try 'channels, client to client' -y -m 4
try 'Send indications, client to client' -y -s -m 4
try 'channels, no RTCP pair' -y -c -m 4
try 'channels to a peer outside' -e 127.0.0.1 -r 13480 -m 4
try 'Send indications to a peer outside' -s -e 127.0.0.1 -r 13480 -m 4
try 'padded ChannelData' -y -D -m 2
try '40 clients' -y -c -m 40

try 'over TCP, client to client' -t -y -c -m 4
try 'over TCP, Send indications' -t -y -s -m 4
try 'over TCP, to a peer outside' -t -e 127.0.0.1 -r 13480 -m 4
try 'over TLS, client to client' -t -S -y -c -m 4
try 'over TLS, to a peer outside' -t -S -e 127.0.0.1 -r 13480 -m 4
try 'over TLS, 40 clients' -t -S -y -c -m 40
try 'relayed addresses of IPv6' -x -y -c -m 4
try 'IPv4 and IPv6 clients meet' -X -y -c -m 4

# Negative tests of the protocol: the client may fail, the server may not. (-G is left out: it wants more than 16
# permissions an allocation.)
timeout 60 turnutils_uclient -u ito -w secret -p "$port" -N -R -y -n 5 127.0.0.1 >"$dir/log" 2>&1 || true
timeout 60 turnutils_uclient -u ito -w wrong -p "$port" -y -c -n 5 127.0.0.1 >"$dir/log" 2>&1 &&
    { echo '  FAIL  a wrong password was taken'; status=1; }
kill -0 $server || { echo '  FAIL  the server is gone'; status=1; }
kill $server
wait $server || { echo '  FAIL  the server ended badly'; status=1; }
cat "$dir/counters"
grep -q 'tls [1-9]' "$dir/counters" || { echo '  FAIL  nobody came by TLS'; status=1; }
exit $status
