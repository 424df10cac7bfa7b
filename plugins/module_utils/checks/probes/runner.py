# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All probes of a host at once, within one budget of time; a probe's trouble is its own observation, never ours."""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from typing import Any, Callable, Dict, List, Mapping, Sequence

from ansible_collections.mailstead.stack.plugins.module_utils.checks.observation import Observation
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes import (
    dns,
    egress,
    host,
    https,
    imap,
    mail,
    smtp,
    tls,
    upgrade,
)
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.context import Context, ProbeError, classify

Probe = Callable[[Dict[str, Any], Context], Dict[str, Any]]

KINDS: Dict[str, Probe] = {
    "addresses": host.probe_addresses,
    "canary": mail.probe_canary,
    "clock": host.probe_clock,
    "dkim_file": host.probe_dkim_file,
    "egress25": egress.probe_egress,
    "forged_proxy": smtp.probe_forged_proxy,
    "https": https.probe_https,
    "mailbox": imap.probe_mailbox,
    "resolver": dns.probe_resolver,
    "reverse": dns.probe_reverse,
    "smtp": smtp.probe_smtp,
    "spf": dns.probe_spf,
    "spf_cost": dns.probe_spf_cost,
    "stranger": mail.probe_stranger,
    "submit": mail.probe_submit,
    "tls": tls.probe_tls,
    "tunnel_peers": host.probe_tunnel_peers,
    "upgrade": upgrade.probe_upgrade,
    "zone": dns.probe_zone,
}

#: What is started first: a message takes its time to arrive, and servers make whoever names a wrong recipient wait.
FIRST = ("stranger", "submit", "canary", "smtp")

#: Seconds between a probe's own deadline and the moment its thread is given up.
GRACE = 2.0


def _turn(probe: Mapping[str, Any]) -> int:
    kind = str(probe["kind"])
    return FIRST.index(kind) if kind in FIRST else len(FIRST)


def run(probes: Sequence[Mapping[str, Any]], ctx: Context) -> List[Observation]:
    """Runs every probe in its own thread; sorted by probe id. Raises ValueError for a probe of an unknown kind."""
    for probe in probes:
        if probe.get("kind") not in KINDS:
            raise ValueError(f"probe {probe.get('id')!r} has the unknown kind {probe.get('kind')!r}")
    results: Dict[str, Observation] = {}
    threads = []
    for probe in sorted(probes, key=_turn):
        thread = threading.Thread(target=_one, args=(dict(probe), ctx, results), daemon=True)
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join(max(0.0, ctx.deadline + GRACE - ctx.clock.monotonic()))
    done = dict(results)
    for probe in probes:
        name = str(probe["id"])
        if name not in done:
            done[name] = Observation(
                name, str(probe["kind"]), ctx.vantage, False, "budget", "the probe did not end within the budget"
            )
    return [done[name] for name in sorted(done)]


def _one(probe: Dict[str, Any], ctx: Context, results: Dict[str, Observation]) -> None:
    name, kind = str(probe["id"]), str(probe["kind"])
    started = datetime.fromtimestamp(ctx.clock.now(), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    begin = ctx.clock.monotonic()
    data: Mapping[str, Any] = {}
    error, message = "", ""
    try:
        data = KINDS[kind]({k: v for k, v in probe.items() if k not in ("id", "kind")}, ctx)
    except ProbeError as problem:
        error, message, data = problem.klass, str(problem), problem.data
    except OSError as problem:
        error, message = classify(problem), str(problem)
    except Exception as problem:
        # A defect here must not take the other observations with it; it shows as an unknown with its name.
        error, message = "internal", f"{type(problem).__name__}: {problem}"
    took = int((ctx.clock.monotonic() - begin) * 1000)
    results[name] = Observation(name, kind, ctx.vantage, not error, error, message, data, started, took)
