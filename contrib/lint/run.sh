#!/bin/bash
# Everything `make lint` checks; each finding is one line `file:line: what`. Exit 1 when there is one.
#   layout         rows, foreign headers, contracts, guards, lengths (check.py): all files
#   systemd unit   exposure of the relay's
#   clang-format   all files
#   clang-tidy, cppcheck   files changed since LINT_BASE (default HEAD~20); all with LINT_ALL=1
# A tool that is not installed is named and counts as a failure: contrib/deps.sh --ci installs them.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
jobs=$(nproc)
failed=0
mkdir -p build/lint

part() { # NAME COMMAND...: run it, tell how it went
    local name=$1 began=$SECONDS
    shift
    if "$@"; then
        echo "  ok    lint $name ($((SECONDS - began)) s)"
    else
        echo "  FAIL  lint $name"
        failed=1
    fi
}

need() {
    command -v "$1" >/dev/null && return
    echo "$1: not installed; contrib/deps.sh --ci installs it"
    return 1
}

mapfile -t all < <(git ls-files -co --exclude-standard '*.c' '*.h' | sort -u | while read -r f; do
    [ -e "$f" ] && printf '%s\n' "$f"
done)

base=${LINT_BASE:-HEAD~20}
if [ -z "${LINT_ALL:-}" ] && git rev-parse -q --verify "$base^{commit}" >/dev/null; then
    mapfile -t units < <({
        git diff --name-only "$base" -- '*.c'
        git ls-files -o --exclude-standard '*.c'
    } | sort -u | while read -r f; do [ -e "$f" ] && printf '%s\n' "$f"; done)
else
    mapfile -t units < <(printf '%s\n' "${all[@]}" | grep '\.c$')
fi

format() {
    need clang-format || return 1
    local out
    out=$(printf '%s\0' "${all[@]}" | xargs -0 -n40 -P"$jobs" clang-format --dry-run -Werror 2>&1 |
        sed -nE 's/^([^ :]+:[0-9]+):[0-9]+: error: (.*) \[.*/\1: \2/p' | sort -u)
    [ -z "$out" ] || { printf '%s\n' "$out" && return 1; }
}

tidy() {
    need clang-tidy || return 1
    [ ${#units[@]} = 0 ] || printf '%s\0' "${units[@]}" | xargs -0 -n1 -P"$jobs" contrib/lint/tidy.sh
}

# Suppressed: false alarms of version 2.10 about loops that stop at the first hit, arrays filled as far as they are
# read, results a parser fills, bool ? 0 : unsigned, and its own confusion about ?: in arguments (internalAstError).
check_cpp() {
    need cppcheck || return 1
    [ ${#units[@]} = 0 ] && return
    mkdir -p build/lint/cppcheck
    cppcheck -q -j"$jobs" --cppcheck-build-dir=build/lint/cppcheck --std=c11 --language=c \
        --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
        --suppress={missingInclude,unknownMacro,internalAstError,nullPointerRedundantCheck,uninitvar,ctuuninitvar} \
        --suppress=invalidPrintfArgType_uint --suppress='*:/usr/include/*' \
        --template='{file}:{line}: {message} ({id})' --template-location='' \
        -Isrc -I. -Itests -D_GNU_SOURCE -D__linux__ "${units[@]}" 2>&1
}

# How exposed the relay's unit is by systemd's own measure: 0 to 100, at most 15.
units_exposure() {
    need systemd-analyze || return 1
    systemd-analyze security --offline=true --no-pager --threshold=15 contrib/systemd/ito-relay.service >build/lint/units 2>&1 &&
        return
    grep -E '✗|Overall' build/lint/units
    return 1
}

part layout contrib/lint/check.py
part "systemd unit" units_exposure
part clang-format format
part "clang-tidy, ${#units[@]} files" tidy
part "cppcheck, ${#units[@]} files" check_cpp
exit $failed
