#!/bin/sh
# Does the screen in README.md equal what the program draws?
#
#   contrib/readme-screen.sh [ITO]           compare; ITO is build/ito unless given
#   contrib/readme-screen.sh --write [ITO]   put the program's screen into README.md
#
# The block stands after a line `<!-- screen: SCENE COLSxROWS -->` and between two lines of three back quotes.
set -eu
cd "$(dirname "$0")/.."
write=no
[ "${1:-}" = --write ] && { write=yes; shift; }
ito=${1:-build/ito}
scene=$(sed -n 's/^<!-- screen: \([a-z_]*\) [0-9]*x[0-9]* -->$/\1/p' README.md)
size=$(sed -n 's/^<!-- screen: [a-z_]* \([0-9]*x[0-9]*\) -->$/\1/p' README.md)
if [ -z "$scene" ] || [ -z "$size" ]; then
    echo "README.md: no line <!-- screen: SCENE COLSxROWS -->" >&2
    exit 1
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"$ito" --demo "$scene" --text "$size" > "$tmp/program"

if [ $write = yes ]; then
    awk -v screen="$tmp/program" '
        /^<!-- screen: / { mark = 1 }
        mark == 2 && /^```$/ { mark = 0 }
        mark != 2 { print }
        mark == 1 && /^```/ { mark = 2; while ((getline line < screen) > 0) print line }' README.md > "$tmp/readme"
    cp "$tmp/readme" README.md
fi
awk '/^<!-- screen: / { mark = 1; next }
     mark == 2 && /^```$/ { exit }
     mark == 2 { print }
     mark == 1 && /^```/ { mark = 2 }' README.md > "$tmp/readme"
if diff -u "$tmp/readme" "$tmp/program"; then
    exit 0
fi
echo "README.md: the screen differs from ito --demo $scene --text $size; contrib/readme-screen.sh --write" >&2
exit 1
