#!/bin/sh
# Make the project's own Python environment from hash-pinned requirements; does nothing when it is up to date.
#   tools/setup.sh controller|test
set -eu
cd "$(dirname "$0")/.."
set_name=${1:-controller}
list=requirements/$set_name.txt
stamp=.venv/.$set_name

python=
for candidate in python3.11 python3.12 python3.13 python3; do
  if command -v "$candidate" >/dev/null 2>&1 &&
    "$candidate" -c 'import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 13)))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  echo "mailstead needs Python 3.11, 3.12 or 3.13 and finds none. On Debian 12 or Ubuntu 24.04: apt-get install python3" >&2
  exit 3
fi

if [ ! -x .venv/bin/pip ]; then
  rm -rf .venv
  if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
      echo "setup: installing python3-venv"
      started=$(date +%s)
      version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
      apt-get -qq -o APT::Update::Error-Mode=any -o Acquire::Retries=3 update
      # What it says on a machine without apt-utils is no concern of the reader's, unless it fails.
      if ! said=$(DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$version-venv" 2>&1); then
        echo "$said" >&2
        exit 3
      fi
      echo "setup: python3-venv installed in $(($(date +%s) - started)) s"
    else
      echo "mailstead needs Python's venv module: as root, apt-get install python3-venv" >&2
      exit 3
    fi
  fi
  "$python" -m venv .venv
fi

if ! cmp -s "$list" "$stamp"; then
  echo "setup: installing $list"
  started=$(date +%s)
  .venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r "$list"
  cp "$list" "$stamp"
  echo "setup: $list installed in $(($(date +%s) - started)) s"
fi
.venv/bin/python tools/vendor_collections.py
if [ "$set_name" = test ]; then
  tools/knot.sh
fi
