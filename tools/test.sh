#!/bin/bash
# All tests, with a runner's summary as the last line.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH=$PWD/.venv/bin:$PATH
started=$SECONDS
tools/lint.sh
printf 'test: unit and contract\n'
python -m pytest -q -n 2
printf 'test: all done in %d s\n' $((SECONDS - started))
