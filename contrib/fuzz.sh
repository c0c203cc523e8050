#!/bin/bash
# Run fuzz targets, one line each: fuzz.sh SECONDS TARGET...     (TARGET as in build/fuzz/fuzz_sdp)
#   FUZZ_JOBS=2     targets at the same time (default: processors)
# Each works on a temporary copy of its corpus, so the tree stays as it is. What crashes, leaks, or takes more than
# 10 s or 1 GB is kept in build/fuzz/crashes/TARGET/, the end of its log beside it. Exit 1 when a target failed or
# is not built. A target that was stopped by its time is a pass.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
if [ $# -lt 2 ] || ! [[ $1 =~ ^[0-9]+$ ]]; then
    echo "usage: contrib/fuzz.sh SECONDS TARGET..." >&2
    exit 2
fi
seconds=$1
shift
export seconds work
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

one() {
    local target=$1 name=${1#fuzz_} kept=build/fuzz/crashes/$1 log=$work/$1.log
    if [ ! -x "build/fuzz/$target" ]; then
        echo "  FAIL  $target: build/fuzz/$target is not built (make fuzz)"
        return 1
    fi
    mkdir -p "$work/$target" "$kept"
    [ ! -d "tests/fuzz/corpus/$name" ] || cp -r "tests/fuzz/corpus/$name/." "$work/$target/"
    if ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 timeout -k 5 $((seconds + 60)) \
        "build/fuzz/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=4096 \
        -artifact_prefix="$kept/" -print_final_stats=1 "$work/$target" >"$log" 2>&1; then
        rmdir "$kept" 2>/dev/null
        printf '  ok    %-20s %9s runs, coverage %s\n' "$target" \
            "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
            "$(grep -o 'cov: [0-9]*' "$log" | tail -n1 | cut -d' ' -f2)"
        return 0
    fi
    tail -n 200 "$log" >"$kept/log"
    grep -E '^(==|SUMMARY|.*(runtime error|Assertion|ERROR))' "$log" | head -n 8
    grep -E '^ *#[0-9]+ ' "$log" | head -n 8
    echo "  FAIL  $target: see $kept/"
    return 1
}
export -f one

printf '%s\0' "$@" | xargs -0 -n1 -P"${FUZZ_JOBS:-$(nproc)}" bash -c 'one "$0" || exit 1'
[ $? = 0 ] || exit 1
