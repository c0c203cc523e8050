#!/bin/sh
# run.sh - what `make bench` prints: lines `name value unit`, each measured on this machine now. A number that misses
# its target of UX.md section 10 or DESIGN.md section 7 is followed by a line `# ...` that says so.
set -eu
cd "$(dirname "$0")/../.."
tests/bench/screens.py "$@"
