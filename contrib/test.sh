#!/bin/sh
# test.sh - everything that needs no root: unit tests, scenarios, screens, the command line. Run by `make test`.
#
# One line a program, a failure whole; the last line is `N passed, N failed`, counted in tests. B is the build to look
# into. The C programs run one a core (JOBS), the scripts after them, alone: those look at real terminals and clocks.
set -u
cd "$(dirname "$0")/.." || exit 1
B=${B:-build/asan}
JOBS=${JOBS:-$(nproc)}
passed=0 failed=0
dir=$(mktemp -d) || exit 1
out=$dir/script
trap 'rm -rf "$dir"' EXIT

# A cmocka program, when its words are in $out: its own count, and one failure more when it was killed.
cmocka() {
    out=$dir/$(echo "$1" | tr / _)
    code=$(cat "$out.code" 2>/dev/null || echo 1)
    good=$(grep -c '^\[       OK \]' "$out")
    bad=$(sed -n 's/^\[  FAILED  \] \([0-9]*\) test(s), listed below:.*/\1/p' "$out" | tail -n 1)
    [ "$code" -ne 0 ] && [ "${bad:-0}" -eq 0 ] && bad=1
    tell "$1" "$code" "$good" "${bad:-0}"
}

# A script that ends with `N passed, N failed`.
script() {
    "$@" >"$out" 2>&1
    code=$?
    last=$(grep -oE '[0-9]+ passed, [0-9]+ failed$' "$out" | tail -n 1)
    good=$(echo "${last:-0 passed, 0 failed}" | cut -d' ' -f1)
    bad=$(echo "${last:-0 passed, 0 failed}" | cut -d' ' -f3)
    [ -z "$last" ] && [ $code -eq 0 ] && good=1
    [ $code -ne 0 ] && [ "$bad" -eq 0 ] && bad=1
    tell "$1" $code "$good" "$bad"
}

tell() {
    passed=$((passed + $3)) failed=$((failed + $4))
    if [ "$2" -eq 0 ]; then
        grep '^  SKIP' "$out"
        echo "  ok    $1  $3 tests"
    else
        cat "$out"
        echo "  FAIL  $1"
    fi
}

programs=$(for t in "$B"/unit/*/test_* "$B"/scenario/test_*; do
    [ -x "$t" ] && [ -f "$t" ] && echo "$t"
done)
if [ -z "$programs" ]; then
    echo "  FAIL  no test programs in $B (make test builds them)"
    failed=1
fi
export dir
# The scenarios are the longest and begin.
echo "$programs" | sort -t/ -k3,3 | xargs -r -P "$JOBS" -I{} sh -c '
    out=$dir/$(echo "$1" | tr / _)
    "$1" >"$out" 2>&1
    echo $? >"$out.code"' sh {}
for t in $programs; do
    cmocka "$t"
done
out=$dir/script
for t in tests/screens/run.sh tests/screens/live.py tests/cli/run; do
    [ -x "$t" ] && script "$t"
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
