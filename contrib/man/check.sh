#!/bin/sh
# Are the man pages clean, and do they name every setting and every command of the program?
#
#   contrib/man/check.sh [ITO]      ITO is build/ito unless given; without mandoc the lint is left out
set -eu
cd "$(dirname "$0")/../.."
ito=${1:-build/ito}
status=0
if command -v mandoc > /dev/null; then
    # our own pages are not installed where mandoc looks
    if mandoc -T lint contrib/man/*.[158] | grep -v 'referenced manual not found'; then
        status=1
    fi
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"$ito" --dir "$tmp" config show > "$tmp/keys"
while read -r key rest; do
    grep -q "^\.It Ic $key\$" contrib/man/ito-config.5 || { echo "ito-config.5: $key is missing"; status=1; }
done < "$tmp/keys"
sed -n 's/^\.It Ic //p' contrib/man/ito-config.5 | while read -r key; do
    grep -q "^$key " "$tmp/keys" || echo "ito-config.5: $key is no setting"
done > "$tmp/extra"
[ ! -s "$tmp/extra" ] || { cat "$tmp/extra"; status=1; }
"$ito" help | sed -n 's/^  \([a-z]*\)  *[a-zA-Z].*/\1/p' | sed '/^ito$/d' > "$tmp/verbs"
while read -r verb; do
    grep -q "^\.It Cm $verb\\b" contrib/man/ito.1 || { echo "ito.1: $verb is missing"; status=1; }
done < "$tmp/verbs"
exit $status
