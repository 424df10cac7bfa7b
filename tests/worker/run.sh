#!/bin/bash
# The tests of the Worker templates in the Workers runtime. Installs it below build/ first, from the lock file.
set -euo pipefail
cd "$(dirname "$0")/../.."
home=$PWD/build/worker-tests
if ! cmp -s tests/worker/package-lock.json "$home/installed.json"; then
  rm -rf "$home"
  mkdir -p "$home"
  cp tests/worker/package.json tests/worker/package-lock.json "$home"
  # The runtime comes as a binary of its own package; nothing has to be built or fetched by scripts.
  (cd "$home" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
  cp "$home/package-lock.json" "$home/installed.json"
fi
WORKER_TESTS_HOME=$home exec node --test --test-reporter=tap tests/worker/*.test.js
