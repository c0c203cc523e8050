#!/bin/sh
# Install what is missing, from Debian by name, and say what is done.
#   deps.sh          what building and running need
#   deps.sh --test   also what the tests need
#   deps.sh --ci     also the peers, linters and fuzzers that CI runs
set -eu

build="gcc libc6-dev make pkg-config libuv1-dev libsodium-dev libopus-dev libasound2-dev libosip2-dev
libcjson-dev libsrtp2-dev libssl-dev libsqlite3-dev libminiupnpc-dev libnatpmp-dev libspeexdsp-dev
libqrencode-dev libncurses-dev uthash-dev"
test="libcmocka-dev tmux python3 python3-numpy python3-scipy"
ci="clang clang-format clang-tidy cppcheck libclang-rt-14-dev debootstrap iproute2 nftables coturn tcpdump"

want="$build"
case "${1:-}" in
--test) want="$build $test" ;;
--ci) want="$build $test $ci" ;;
esac

missing=""
for p in $want; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
echo "installing from Debian:$missing"
as_root=""
[ "$(id -u)" = 0 ] || as_root=sudo
$as_root apt-get update -q
# shellcheck disable=SC2086
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
