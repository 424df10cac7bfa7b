#!/bin/sh
# A real name server for the tests of zones on name servers; they start their own, on loopback and a high port. As root on
# a machine with apt it is installed, without its service being started; elsewhere those tests are skipped and say so.
set -eu
command -v knotd >/dev/null 2>&1 && exit 0
[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || exit 0

echo "setup: installing knot"
started=$(date +%s)
# invoke-rc.d(8): 101 is "forbidden by policy".
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
apt-get -qq -o APT::Update::Error-Mode=any -o Acquire::Retries=3 update
if ! said=$(DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install knot 2>&1); then
  echo "$said" >&2
  exit 3
fi
# Nor at the next start of the machine.
if command -v systemctl >/dev/null 2>&1; then
  systemctl disable --quiet knot 2>/dev/null || true
fi
echo "setup: knot installed in $(($(date +%s) - started)) s"
