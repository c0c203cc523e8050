#!/bin/sh
# Run everything that was built for the tests: unit programs, scenarios, screens, commands.
# Failures are printed whole; the last line is `N passed, N failed`.
#   test.sh [VARIANT]     asan by default: build/VARIANT/{unit,scenario}
set -u
cd "$(dirname "$0")/.." || exit 1
variant=${1:-asan}
passed=0
failed=0

# cmocka: the summary is on stderr, the exit code is the number of failures.
for t in build/"$variant"/unit/*/test_* build/"$variant"/scenario/test_*; do
    case "$t" in *.d | *\**) continue ;; esac
    out=$(timeout 240 "$t" 2>&1)
    code=$?
    n=$(printf '%s\n' "$out" | sed -n 's/^\[  PASSED  \] \([0-9]*\) test(s)\..*/\1/p' | head -n 1)
    bad=$(printf '%s\n' "$out" | sed -n 's/^ *\([0-9]*\) FAILED TEST(S).*/\1/p' | head -n 1)
    n=${n:-0}
    bad=${bad:-0}
    [ "$code" != 0 ] && [ "$bad" = 0 ] && bad=1
    passed=$((passed + n))
    failed=$((failed + bad))
    if [ "$bad" != 0 ]; then
        printf '%s\n' "$out" | tail -n 60
        echo "  FAIL  $t"
    else
        echo "  ok    $t  $n"
    fi
done

# Drivers that print `N passed, N failed` themselves.
for d in tests/screens/run.sh tests/screens/live.py tests/cli/run contrib/readme-screen.sh contrib/man/check.sh; do
    [ -x "$d" ] || continue
    out=$(timeout 240 "$d" 2>&1)
    code=$?
    line=$(printf '%s\n' "$out" | grep -E '^[0-9]+ passed, [0-9]+ failed' | tail -n 1)
    if [ -n "$line" ]; then
        passed=$((passed + ${line%% passed*}))
        bad=${line#*passed, }
        bad=${bad%% failed*}
    else
        bad=0
        [ "$code" = 0 ] && passed=$((passed + 1))
    fi
    [ "$code" != 0 ] && [ "$bad" = 0 ] && bad=1
    failed=$((failed + bad))
    if [ "$bad" != 0 ]; then
        printf '%s\n' "$out" | tail -n 60
        echo "  FAIL  $d"
    else
        echo "  ok    $d  ${line:-ok}"
    fi
done

echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
