#!/bin/sh
# clang-tidy on one file, remembered: the same preprocessed text is not analysed twice.
#   tidy.sh FILE        prints findings as file:line: what; exit 1 when there are any
set -u
cd "$(dirname "$0")/../.." || exit 1
flags="-Isrc -I. -Itests -I/usr/include/miniupnpc -D_GNU_SOURCE -std=c11"
done_dir=build/lint/tidy
mkdir -p "$done_dir"
# shellcheck disable=SC2086
key=$({ cat .clang-tidy tests/.clang-tidy && clang-tidy --version && clang -E -P $flags "$1"; } 2>&1 | sha256sum | cut -d' ' -f1)
[ -e "$done_dir/$key" ] && exit 0
# shellcheck disable=SC2086
out=$(timeout 120 clang-tidy --quiet "$1" -- $flags 2>/dev/null | grep -E '^[^ ]+:[0-9]+:[0-9]+: (warning|error):')
status=$?
if [ $status = 1 ]; then # grep found nothing
    : >"$done_dir/$key"
    exit 0
fi
printf '%s\n' "$out" | sed -E "s|^$PWD/||; s|^([^:]+:[0-9]+):[0-9]+: (warning\|error): |\1: |"
exit 1
