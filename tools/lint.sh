#!/bin/bash
# Every static check; warnings are errors.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH=$PWD/.venv/bin:$PATH
step() { printf 'lint: %s\n' "$*"; }

step ruff
ruff check --quiet --output-format concise .
ruff format --quiet --check .
step mypy
mypy --no-error-summary plugins lab tools tests bench
step "Python 3.9 on target hosts"
vermin --quiet --no-tips --target=3.9- --violations --eval-annotations --no-parse-comments plugins/modules plugins/module_utils
step yamllint
yamllint --strict .
step "generated pages"
for page in role_docs error_docs schema_docs profile_schema provider_docs; do
  python -m "tools.$page" --check
done
step ansible-config
ansible-config validate -t all
step ansible-lint
ansible-lint --offline -q
step "collection builds"
ansible-galaxy collection build --force --output-path build/galaxy >/dev/null
