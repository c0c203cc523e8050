#!/bin/sh
# Install what is missing, from Debian by name, and say what is done.
#   deps.sh          what building and running need
#   deps.sh --test   also what the tests need
#   deps.sh --ci     also the peers, linters and fuzzers that CI runs; one of them from npm, into build/peers
set -eu
cd "$(dirname "$0")/.."

build="gcc libc6-dev make pkg-config libuv1-dev libsodium-dev libopus-dev libasound2-dev libosip2-dev
libcjson-dev libsrtp2-dev libssl-dev libsqlite3-dev libminiupnpc-dev libnatpmp-dev libspeexdsp-dev
libqrencode-dev libncurses-dev uthash-dev"
test="libcmocka-dev tmux iproute2 python3 python3-numpy python3-scipy"
ci="clang clang-format clang-tidy cppcheck libclang-rt-14-dev debootstrap nftables coturn miniupnpd-nftables tcpdump systemd
python3-libtorrent python3-opendht"

want="$build"
case "${1:-}" in
--test) want="$build $test" ;;
--ci) want="$build $test $ci" ;;
esac

# Node.js from elsewhere is as good.
[ "${1:-}" != --ci ] || command -v npm >/dev/null || want="$want nodejs npm"

missing=""
for p in $want; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
if [ -n "$missing" ]; then
    echo "installing from Debian:$missing"
    as_root=""
    [ "$(id -u)" = 0 ] || as_root=sudo
    $as_root apt-get update -q
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
fi

# The other peer of tests/interop/dht, at the version its package-lock.json pins.
peers=build/peers
if [ "${1:-}" = --ci ] && ! cmp -s tests/interop/dht/package-lock.json $peers/installed.json; then
    echo "installing from npm into $peers: bittorrent-dht"
    mkdir -p $peers
    cp tests/interop/dht/package.json tests/interop/dht/package-lock.json $peers/
    npm ci --prefix $peers --no-audit --no-fund --ignore-scripts
    cp tests/interop/dht/package-lock.json $peers/installed.json
fi
