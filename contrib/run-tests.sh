#!/bin/sh
# Run cmocka programs one after the other; print failures whole and one line a program otherwise.
set -u
status=0
for t in "$@"; do
    if out=$(cd "$(dirname "$0")/.." && "$t" 2>&1); then
        echo "  ok    $t  $(printf '%s\n' "$out" | grep -c '\[       OK \]') tests"
    else
        printf '%s\n' "$out"
        echo "  FAIL  $t"
        status=1
    fi
done
exit $status
