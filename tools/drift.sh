#!/bin/bash
# Compares planned, live and served DNS and exits as the report says: 0 as planned, 1 drifted, 2 something that matters
# could not be compared, 3 the run itself broke. ansible-playbook alone can only say that something failed, and make turns
# every status into 2. Arguments are passed on to ansible-playbook.
#
#   tools/drift.sh -i inventory/mine
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH=$PWD/.venv/bin:$PATH
report=build/drift/report.json

for argument in "$@"; do
  case $argument in
    -C | --check) echo "leave $argument out: nothing is changed without it, and with it there is no report to judge by" >&2; exit 3 ;;
  esac
done

# One comparison at a time, and never an old report for this run's.
mkdir -p build/drift
exec 9>build/drift/.lock
flock --nonblock 9 || { echo "another comparison is running" >&2; exit 3; }
rm -f "$report"

status=0
# The report's place comes last, so that it is the one that is read below.
ansible-playbook playbooks/drift.yml "$@" -e mailstead_drift_report_dir=build/drift || status=$?
[ -f "$report" ] || { echo "the comparison broke before it had a verdict (ansible-playbook: $status)" >&2; exit 3; }
exit "$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["exit_code"])' "$report")"
