#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: dns_drift
short_description: Compare zones as planned, as their hosts have them and as their name servers answer
version_added: 0.1.0
author: The mailstead maintainers
description:
  - Takes three views of every record of ours. What is planned; what the zone's host (Cloudflare, or a name server of one's own)
    has; and what each address of each name server answers, asked directly. Asks the parent's servers for the delegation and
    the DS records as well. Nothing is ever written to the DNS.
  - A finding has a stable id, listed in C(docs/drift.md), what was seen, what is expected, the three views as evidence, and
    what puts it right. What follows from another finding is C(unknown) with its cause, so that one broken thing shows as one.
  - A view that cannot be had leaves the others to be compared. What could not be compared for that reason is C(unknown).
  - Writes C(report.json) and C(report.html) on the controller and prints a summary.
attributes:
  check_mode:
    description: Compares as always and writes no report files.
    support: full
  diff_mode:
    description: A comparison is no change; the report shows what differs.
    support: none
  idempotent:
    description: Never reports a change; the report's files are output, not state.
    support: full
extends_documentation_fragment:
  - mailstead.stack.dns_zones.zones
options:
  hosts:
    description: Who keeps the zones, and how to ask. A zone that none of them names is compared without its host's view.
    type: list
    elements: dict
    required: true
    suboptions:
      provider:
        description: Kind of host.
        type: str
        choices: [cloudflare, rfc2136]
        required: true
      zones:
        description: Names of the zones it keeps.
        type: list
        elements: str
        required: true
      secret:
        description: The API token, or the secret of the TSIG key. Reading is all that is needed (Zone Read and DNS Read).
        type: str
      base_url:
        description: Where the API is.
        type: str
        default: https://api.cloudflare.com/client/v4
      server:
        description: Primary name server.
        type: str
      port:
        description: Its port.
        type: int
        default: 53
      key_name:
        description: Name of the TSIG key, which must be allowed to transfer the zones.
        type: str
      key_algorithm:
        description: Algorithm of the key.
        type: str
        choices: [hmac-sha256, hmac-sha384, hmac-sha512]
        default: hmac-sha256
      timeout:
        description: Seconds to wait for an answer.
        type: int
        default: 30
  mode:
    description: As the zones are kept with, see O(mailstead.stack.cloudflare_zone#module:mode).
    type: str
    choices: [create_only, owned, names, zone]
    default: owned
  instance:
    description: Name of this installation in the mark.
    type: str
    default: mailstead
  dkim_min_rsa_bits:
    description: Least size of a published RSA key.
    type: int
    default: 2048
  allow:
    description: Guards that the zones are kept without, see O(mailstead.stack.cloudflare_zone#module:allow).
    type: list
    elements: str
    default: []
  grace:
    description: Seconds for which a name server that differs is asked again; a change takes a moment to reach all of them.
    type: int
    default: 5
  report_dir:
    description: Where the report is written on the controller; a relative path starts at the current directory.
    type: path
    default: build/drift
  labels:
    description: What ran in place of a real part; shown in every output.
    type: list
    elements: str
    default: []
  fail:
    description: Whether the task fails when the exit code is not 0. A comparison that broke always fails.
    type: bool
    default: true
requirements:
  - dnspython
seealso:
  - module: mailstead.stack.cloudflare_zone
  - module: mailstead.stack.rfc2136_zone
  - module: mailstead.stack.mail_judge
"""

EXAMPLES = r"""
- name: See whether anybody changed the records
  mailstead.stack.dns_drift:
    zones:
      - name: example.com
        records:
          - {name: mail.example.com, type: A, content: 192.0.2.25, phase: address, role: host}
          - {name: example.com, type: MX, content: 10 mail.example.com, role: mx}
    hosts:
      - {provider: cloudflare, zones: [example.com], secret: "{{ vault_cloudflare_token }}"}
"""

RETURN = r"""
exit_code:
  description: 0 as planned (all pass or warn), 1 drifted, 2 something that matters could not be compared, 3 the run broke.
  returned: always
  type: int
summary:
  description: What was printed.
  returned: unless the task fails
  type: str
counts:
  description: How many findings have which verdict.
  returned: always
  type: dict
findings:
  description: All findings, worst first.
  returned: unless the task fails
  type: list
  elements: dict
zones:
  description: Each zone with its record sets side by side.
  returned: unless the task fails
  type: list
  elements: dict
  contains:
    name:
      description: Name of the zone.
      type: str
    provider:
      description: Who keeps it.
      type: str
    status:
      description: Its state at the host; empty when not told.
      type: str
    read:
      description: Whether the host could be read.
      type: bool
    name_servers:
      description: The name servers that were asked.
      type: list
      elements: str
    verdict:
      description: The worst verdict about it.
      type: str
    records:
      description:
        - C(name), C(type), C(planned) (null when not known), C(live) (null when not read), C(served) with the servers that do,
          C(verdict) and C(checks).
      type: list
      elements: dict
report_dir:
  description: Where the report is.
  returned: always
  type: str
"""

import time
import traceback
from typing import Any, Dict, List, Sequence, Tuple

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.module import client_of
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.provider import CloudflareProvider
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.common.http import DEFAULT_URL
from ansible_collections.mailstead.stack.plugins.module_utils.dns.arguments import MODES, zones_spec
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.compare import compare, overviews
from ansible_collections.mailstead.stack.plugins.module_utils.dns.guards import check_wants
from ansible_collections.mailstead.stack.plugins.module_utils.dns.module import make_tasks
from ansible_collections.mailstead.stack.plugins.module_utils.dns.reconcile import ZoneTask
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Options
from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.module import ALGORITHMS, apex_aliases

DNS_ERROR = None
try:
    from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.context import Context
    from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.dnsclient import DnsClient
    from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.ask import (
        Asker,
        Host,
        Target,
        look_at_all,
    )
    from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.zone import UpdateProvider, connection_of
except ImportError:
    DNS_ERROR = traceback.format_exc()

#: Seconds that all questions to parents together may take.
BUDGET = 300.0


def argument_spec() -> Dict[str, Any]:
    host = {
        "provider": {"type": "str", "choices": ["cloudflare", "rfc2136"], "required": True},
        "zones": {"type": "list", "elements": "str", "required": True},
        "secret": {"type": "str", "no_log": True},
        "base_url": {"type": "str", "default": DEFAULT_URL},
        "server": {"type": "str"},
        "port": {"type": "int", "default": 53},
        "key_name": {"type": "str", "no_log": False},
        "key_algorithm": {"type": "str", "choices": list(ALGORITHMS), "default": ALGORITHMS[0], "no_log": False},
        "timeout": {"type": "int", "default": 30},
    }
    required_if = [("provider", "rfc2136", ("server", "key_name"))]
    return {
        "zones": zones_spec(),
        "hosts": {"type": "list", "elements": "dict", "required": True, "options": host, "required_if": required_if},
        "mode": {"type": "str", "choices": MODES, "default": "owned"},
        "instance": {"type": "str", "default": "mailstead"},
        "dkim_min_rsa_bits": {"type": "int", "default": 2048},
        "allow": {"type": "list", "elements": "str", "default": []},
        "grace": {"type": "int", "default": 5},
    }


def make_asker(grace: float) -> Asker:
    context = Context(vantage="", deadline=time.monotonic() + BUDGET)
    return Asker(DnsClient(context), grace=grace)


def connect(host: Dict[str, Any]) -> Host:
    """How a host of zones is asked; when it cannot be, the reason is part of what is found."""
    name = host["provider"] if host["provider"] == "cloudflare" else f"rfc2136 at {host['server']}"
    try:
        if not host["secret"]:
            what = "no token is given" if host["provider"] == "cloudflare" else "no secret of the key is given"
            raise MailsteadError.one("MS-DNS-093", f"host {name}", what, "Give it in hosts[].secret.")
        if host["provider"] == "cloudflare":
            return Host(name, CloudflareProvider(client_of({**host, "api_token": host["secret"]})))
        return Host(name, UpdateProvider(connection_of({**host, "key_secret": host["secret"]})))
    except MailsteadError as error:
        return Host(name, None, error.problems)


def target(task: ZoneTask, options: Options, aliases: Sequence[Problem]) -> Target:
    """A zone to look at: its records in canonical form, apart from those whose values nobody knows."""
    own = options.for_zone(foreign=task.foreign, confirmed=task.confirmed)
    wants, mistakes = check_wants(task.name, [w for w in task.wants if not w.unresolved], own)
    unknown = tuple(w for w in task.wants if w.unresolved)
    return Target(task.name, tuple(wants), unknown, (*mistakes, *aliases), task.id, own)


def options_of(params: Dict[str, Any]) -> Options:
    """How the zones are kept."""
    return Options(
        instance=params["instance"],
        mode=params["mode"],
        allow=tuple(params["allow"]),
        dkim_min_rsa_bits=params["dkim_min_rsa_bits"],
    )


def plan_jobs(params: Dict[str, Any], options: Options) -> Tuple[List[Tuple[Host, List[Target]]], List[Any]]:
    """The hosts with their zones, and what has to be closed afterwards. Raises MailsteadError."""
    zones = [{**zone, "provider": None} for zone in params["zones"]]
    rows = {zone["name"].lower().rstrip("."): zone for zone in zones}
    tasks = {task.name: task for task in make_tasks(zones, "")}
    jobs: List[Tuple[Host, List[Target]]] = []
    left = dict(tasks)
    for entry in params["hosts"]:
        names = [name.lower().rstrip(".") for name in entry["zones"]]
        mine = [left.pop(name) for name in names if name in left]
        aliases = apex_aliases([rows[t.name] for t in mine]) if entry["provider"] == "rfc2136" else []
        found = [target(t, options, [p for p in aliases if p.where.startswith(f"zone {t.name}:")]) for t in mine]
        if found:
            jobs.append((connect(entry), found))
    if left:
        problem = Problem("MS-DNS-093", "hosts", "no host is given for the zone", "Name the zone in hosts[].zones.")
        jobs.append((Host("nobody", None, (problem,)), [target(t, options, ()) for t in left.values()]))
    return jobs, [host.provider for host, _targets in jobs if host.provider is not None]


def run(module: AnsibleModule) -> Dict[str, Any]:
    """The module's result. Raises MailsteadError when the plan itself cannot be read."""
    options = options_of(module.params)
    jobs, connections = plan_jobs(module.params, options)
    try:
        views = look_at_all(jobs, make_asker(float(module.params["grace"])))
    finally:
        for connection in connections:
            connection.close()
    findings = compare(views, options)
    return {
        "changed": False,
        "findings": [f.to_data() for f in findings],
        "zones": overviews(views, findings),
        "requests": sum(sum(c.requests.values()) for c in connections),
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    if DNS_ERROR:
        module.fail_json(msg=missing_required_lib("dnspython"), exception=DNS_ERROR)
    try:
        result = run(module)
    except MailsteadError as error:
        module.fail_json(msg=str(error), problems=[{"code": p.code, "where": p.where} for p in error.problems])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
