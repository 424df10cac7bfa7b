#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: cloudflare_zone
short_description: Keep the mail records of any number of Cloudflare zones in one call
version_added: 0.1.0
author: The mailstead maintainers
description:
  - Compares the whole wanted record set with what the zones hold and writes the difference, one atomic batch per changed
    zone. Everything is read and judged first; one mistake in one zone leaves all zones as they were.
  - Records are compared by meaning, not by spelling. TXT values are compared decoded, however they are quoted or divided;
    host names without regard to case and final dots; IPv6 addresses in any form; the automatic TTL as 300 seconds.
  - What we publish carries a mark in its comment, C(mailstead:<instance>:<role>). Only marked records are changed or
    removed. Somebody else's record that already says what we want is left alone and counts as satisfied; one that stands
    in the way is treated as O(zones[].foreign) says, never silently.
  - A changed value is changed in place, so that a name never lacks its record, and fields that others set stay.
  - "For Z zones a run needs one request to look them up (none when all ids are given), Z to list them and one per changed
    zone."
attributes:
  check_mode:
    description: Predicts exactly, at the cost of the same reads.
    support: full
  diff_mode:
    description: Shows per zone a unified difference in zone-file notation, with the reason of each change.
    support: full
  idempotent:
    description: A second run changes nothing.
    support: full
options:
  api_token:
    description:
      - API token with the permissions Zone Read and DNS Write for the zones. With DNS Write alone, give O(zones[].id).
      - Taken from the environment variable E(CLOUDFLARE_API_TOKEN) when not given.
    type: str
    required: true
  zones:
    description: The zones and all the records wanted in them, those of later phases included.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the zone.
        type: str
        required: true
      id:
        description: Id of the zone. Saves the look-up.
        type: str
      provider:
        description: Present in a plan's zones; only V(cloudflare) is served here.
        type: str
        choices: [cloudflare]
      records:
        description: The wanted records.
        type: list
        elements: dict
        default: []
        suboptions:
          zone:
            description: Present in a plan's records; must be the name of the zone they are listed under.
            type: str
          name:
            description: Fully qualified name.
            type: str
            required: true
          type:
            description: Type of the record, for example V(MX).
            type: str
            required: true
          content:
            description:
              - The data as in a zone file, host names absolute, for example V(10 mail.example.com),
                V(0 1 465 mail.example.com) or V(0 issue "letsencrypt.org").
              - For TXT the text itself, without quotation marks and undivided.
            type: str
            required: true
          ttl:
            description: Time to live in seconds; V(1) is automatic, which is 300.
            type: int
            default: 3600
          phase:
            description: The phase in which the record is published.
            type: str
            choices: [address, identity, keys, policy, certificate, delivery]
            default: delivery
          role:
            description: What the record is for; becomes part of its mark.
            type: str
            required: true
          reason:
            description: Why the record is wanted; shown in the difference.
            type: str
            default: ""
          deferred:
            description:
              - Present in a plan's records whose value is not known yet. Such a record is passed over in earlier phases and
                a mistake in its own.
            type: dict
      foreign:
        description:
          - What to do with somebody else's records where ours have to go.
          - V(merge) makes one SPF record with every mechanism of both and shows the number of look-ups; adds our report
            addresses to their DMARC record, whose policy stands; and lets both stand side by side for the others.
          - V(adopt) puts our mark on a record that says what we want, and brings one that differs in line. Deletes nothing.
          - V(replace) brings those that differ in line and deletes the surplus.
          - V(fail) names them and writes nothing.
        type: dict
        default: {}
        suboptions:
          spf:
            description: SPF records.
            type: str
            choices: [merge, adopt, replace, fail]
            default: merge
          mx:
            description: MX records.
            type: str
            choices: [merge, adopt, replace, fail]
            default: fail
          dmarc:
            description: DMARC records.
            type: str
            choices: [merge, adopt, replace, fail]
            default: fail
          caa:
            description: CAA records.
            type: str
            choices: [merge, adopt, replace, fail]
            default: merge
          other:
            description: All other records.
            type: str
            choices: [merge, adopt, replace, fail]
            default: fail
  through_phase:
    description:
      - Publish the records of the phases up to this one. Those of later phases are neither created nor deleted, and records
        that are no longer wanted are deleted in the last phase only.
    type: str
    choices: [address, identity, keys, policy, certificate, delivery]
    default: delivery
  mode:
    description:
      - With V(owned), records that carry our mark are kept in line with what is wanted.
      - With V(create_only), missing records are added and nothing is ever changed or deleted.
      - With V(names), every record of a wanted record's name and type is ours, whoever made it. As if O(zones[].foreign) were
        V(replace) throughout.
    type: str
    choices: [create_only, owned, names]
    default: owned
  instance:
    description: Name of this installation in the mark. Two installations that share a zone need different ones.
    type: str
    default: mailstead
  max_delete:
    description: Most records of one zone that a run may delete. A deletion beside something new at the same name does not count.
    type: int
    default: 20
  max_delete_percent:
    description: Largest share of our records in a zone that a run may delete, in percent; looked at from ten records on.
    type: int
    default: 30
  dkim_min_rsa_bits:
    description: Least size of a published RSA key.
    type: int
    default: 2048
  allow:
    description:
      - Guards to override, by name.
      - V(cname_conflict), a CNAME beside other data. V(delegation), a name at or below a delegation.
        V(duplicate_policy), two SPF, DMARC, MTA-STS or TLS-RPT records. V(spf_all), an SPF record that ends in C(+all).
        V(spf_lookups), more than ten look-ups. V(dkim_key), no good key in a DKIM record. V(txt_size), a text that is too
        long. V(proxied_host), a proxied mail host. V(last_mx), a name loses its last MX. V(mx_alias), an MX or SRV that points
        to a CNAME. V(delete_limit), more deletions than allowed. V(quota), more records than the plan holds.
    type: list
    elements: str
    choices:
      - cname_conflict
      - delegation
      - duplicate_policy
      - spf_all
      - spf_lookups
      - dkim_key
      - txt_size
      - proxied_host
      - last_mx
      - delete_limit
      - mx_alias
      - quota
    default: []
  wait_authoritative:
    description:
      - Afterwards wait until every name server of the zones shows the published records, asked directly over IPv4 and IPv6 as
        far as they can be reached from here. Not in check mode.
    type: bool
    default: false
  wait_deadline:
    description: How long to wait, in seconds.
    type: int
    default: 120
  wait_roles:
    description: Wait for the records of these roles only.
    type: list
    elements: str
    default: []
  base_url:
    description: Where the API is. For a proxy that speaks the same API; plain HTTP is accepted for this very machine only.
    type: str
    default: https://api.cloudflare.com/client/v4
  timeout:
    description: Seconds to wait for a connection or an answer.
    type: int
    default: 30
requirements:
  - dnspython, with O(wait_authoritative=true)
seealso:
  - module: mailstead.stack.ptr_record
"""

EXAMPLES = r"""
- name: Publish the mail records of two domains
  mailstead.stack.cloudflare_zone:
    api_token: "{{ vault_cloudflare_token }}"
    zones:
      - name: example.com
        foreign:
          mx: replace
        records:
          - {name: mail.example.com, type: A, content: 192.0.2.25, phase: address, role: host}
          - {name: example.com, type: MX, content: 10 mail.example.com, role: mx}
          - {name: example.com, type: TXT, content: v=spf1 mx -all, phase: policy, role: spf}
      - name: example.org
        records:
          - {name: example.org, type: MX, content: 10 mail.example.com, role: mx}

- name: Publish the keys and wait until every name server has them
  mailstead.stack.cloudflare_zone:
    api_token: "{{ vault_cloudflare_token }}"
    zones: "{{ zones }}"
    through_phase: keys
    wait_authoritative: true
"""

RETURN = r"""
changes:
  description: What was changed, or would be; in the order of phases.
  returned: always
  type: list
  elements: dict
  contains:
    zone:
      description: The zone.
      type: str
    action:
      description: One of V(create), V(update) and V(delete).
      type: str
    name:
      description: Name of the record.
      type: str
    type:
      description: Type of the record.
      type: str
    before:
      description: The data before; null for a new record.
      type: str
    after:
      description: The data after; null for a deleted record.
      type: str
    ttl:
      description: Time to live in seconds.
      type: int
    fields:
      description: What an update changes.
      type: list
      elements: str
    role:
      description: What the record is for.
      type: str
    phase:
      description: The phase that publishes it; empty for a deletion.
      type: str
    reason:
      description: Why.
      type: str
    written:
      description: Whether it is in effect.
      type: bool
zones:
  description: The zones in the order given.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the zone.
      type: str
    id:
      description: Id of the zone.
      type: str
    status:
      description: State of the zone at Cloudflare; empty when only the id is known.
      type: str
    name_servers:
      description: The zone's name servers.
      type: list
      elements: str
    changed:
      description: Whether the zone needed a change.
      type: bool
    satisfied:
      description: Number of wanted records that needed nothing.
      type: int
    satisfied_foreign:
      description: Number of those that somebody else made.
      type: int
    held:
      description: Number of changes that wait for a later phase.
      type: int
    requests:
      description: Requests made for this zone, without the look-up.
      type: int
requests:
  description: Requests made in all.
  returned: always
  type: int
servers_asked:
  description: Number of name server addresses that confirmed the records.
  returned: when waited for
  type: int
problems:
  description: What is wrong, each with C(code), C(where), C(what) and C(fix).
  returned: failure
  type: list
  elements: dict
"""

import dataclasses
import traceback
from typing import Any, Dict, List, Sequence

from ansible.module_utils.basic import AnsibleModule, env_fallback, missing_required_lib
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.reconcile import (
    ApplyError,
    ZoneResult,
    ZoneTask,
    reconcile,
)
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.zones import read_zone
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.common.http import (
    DEFAULT_URL,
    HttpTransport,
    Transport,
    check_base_url,
)
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.dns.codes import GUARDS
from ansible_collections.mailstead.stack.plugins.module_utils.dns.engine import published
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Options, wants_from_data
from ansible_collections.mailstead.stack.plugins.module_utils.dns.render import ansible_diff
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import PHASES, ForeignPolicy

GATE_ERROR = None
try:
    from ansible_collections.mailstead.stack.plugins.module_utils.dns.gate import gates_of, name_servers, wait_published
except ImportError:
    GATE_ERROR = traceback.format_exc()

POLICIES = ["merge", "adopt", "replace", "fail"]


def argument_spec() -> Dict[str, Any]:
    record = {
        "zone": {"type": "str"},
        "name": {"type": "str", "required": True},
        "type": {"type": "str", "required": True},
        "content": {"type": "str", "required": True},
        "ttl": {"type": "int", "default": 3600},
        "phase": {"type": "str", "choices": list(PHASES), "default": PHASES[-1]},
        "role": {"type": "str", "required": True},
        "reason": {"type": "str", "default": ""},
        "deferred": {"type": "dict"},
    }
    policies = dataclasses.asdict(ForeignPolicy())
    foreign = {field: {"type": "str", "choices": POLICIES, "default": value} for field, value in policies.items()}
    zone = {
        "name": {"type": "str", "required": True},
        "id": {"type": "str"},
        "provider": {"type": "str", "choices": ["cloudflare"]},
        "records": {"type": "list", "elements": "dict", "default": [], "options": record},
        "foreign": {"type": "dict", "default": {}, "options": foreign},
    }
    return {
        "api_token": {
            "type": "str",
            "required": True,
            "no_log": True,
            "fallback": (env_fallback, ["CLOUDFLARE_API_TOKEN"]),
        },
        "zones": {"type": "list", "elements": "dict", "required": True, "options": zone},
        "through_phase": {"type": "str", "choices": list(PHASES), "default": PHASES[-1]},
        "mode": {"type": "str", "choices": ["create_only", "owned", "names"], "default": "owned"},
        "instance": {"type": "str", "default": "mailstead"},
        "max_delete": {"type": "int", "default": 20},
        "max_delete_percent": {"type": "int", "default": 30},
        "dkim_min_rsa_bits": {"type": "int", "default": 2048},
        "allow": {"type": "list", "elements": "str", "choices": list(GUARDS), "default": []},
        "wait_authoritative": {"type": "bool", "default": False},
        "wait_deadline": {"type": "int", "default": 120},
        "wait_roles": {"type": "list", "elements": "str", "default": []},
        "base_url": {"type": "str", "default": DEFAULT_URL},
        "timeout": {"type": "int", "default": 30},
    }


def make_tasks(zones: Sequence[Dict[str, Any]]) -> List[ZoneTask]:
    """The module's zones as tasks. Raises MailsteadError with everything that is wrong with their names."""
    tasks: List[ZoneTask] = []
    problems: List[Problem] = []
    for zone in zones:
        try:
            name = rdata.name(zone["name"])
        except rdata.RdataError as error:
            problems.append(Problem("MS-DNS-001", f"zones: {zone['name']}", str(error), "Correct the zone's name."))
            continue
        if any(t.name == name for t in tasks):
            fix = "List each zone once, with all its records."
            problems.append(Problem("MS-DNS-007", f"zone {name}", "the zone is listed twice", fix))
        for record in zone["records"]:
            if record["zone"] and record["zone"].lower().rstrip(".") != name:
                what = f"the record says it belongs to the zone {record['zone']}"
                where = f"zone {name}: {record['type']} {record['name']}"
                problems.append(Problem("MS-DNS-002", where, what, "List it under its own zone."))
        policies = {
            f.name: zone["foreign"][f.name] for f in dataclasses.fields(ForeignPolicy) if f.name in zone["foreign"]
        }
        wants = tuple(wants_from_data(name, zone["records"]))
        tasks.append(ZoneTask(name, wants, zone["id"] or "", ForeignPolicy(**policies)))
    if problems:
        raise MailsteadError(problems)
    return tasks


def report(client: Client, results: Sequence[ZoneResult]) -> Dict[str, Any]:
    """The machine-readable part of the result."""
    changes = [{"zone": r.task.name, **c.to_data(), "written": c in r.written} for r in results for c in r.diff.changes]
    zones = [
        {
            "name": r.task.name,
            "id": r.info.id,
            "status": r.info.status,
            "name_servers": list(r.info.name_servers),
            "changed": bool(r.diff.changes),
            "satisfied": r.diff.satisfied,
            "satisfied_foreign": r.diff.foreign_satisfied,
            "held": r.diff.held,
            "requests": client.counts.get(r.task.name, 0),
        }
        for r in results
    ]
    return {"changes": changes, "zones": zones, "requests": sum(client.counts.values())}


def wait(module: AnsibleModule, client: Client, results: Sequence[ZoneResult]) -> int:
    """Wait for the authoritative servers. Returns how many of their addresses were asked; raises MailsteadError."""
    shown = {r.task.name: published(r.diff, module.params["wait_roles"]) for r in results}
    servers: Dict[str, Sequence[str]] = {}
    for result in results:
        name = result.task.name
        servers[name] = result.info.name_servers
        if shown[name] and not servers[name]:
            try:
                result.info = read_zone(client, result.info, name)
                servers[name] = result.info.name_servers
            except MailsteadError:
                # A token for DNS alone may not read the zone; the delegation tells the same.
                servers[name] = name_servers(name)
    return wait_published(gates_of(shown, servers), float(module.params["wait_deadline"]))


def run(module: AnsibleModule, client: Client) -> Dict[str, Any]:
    params = module.params
    options = Options(
        instance=params["instance"],
        mode=params["mode"],
        through_phase=params["through_phase"],
        allow=tuple(params["allow"]),
        max_delete=params["max_delete"],
        max_delete_percent=params["max_delete_percent"],
        dkim_min_rsa_bits=params["dkim_min_rsa_bits"],
    )
    results = reconcile(client, make_tasks(params["zones"]), options, module.check_mode)
    for result in results:
        for note in (*result.diff.notes, *result.notes):
            module.warn(f"zone {result.task.name}: {note}")
    out: Dict[str, Any] = {"changed": any(r.diff.changes for r in results)}
    try:
        if params["wait_authoritative"] and not module.check_mode:
            out["servers_asked"] = wait(module, client, results)
    except MailsteadError as error:
        # What was written before the wait is in effect and has to show in the result.
        raise ApplyError(error.problems, results) from error
    out.update(report(client, results))
    if module._diff:
        out["diff"] = [ansible_diff(r.diff) for r in results if r.diff.changes]
    return out


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    if module.params["wait_authoritative"] and GATE_ERROR:
        module.fail_json(msg=missing_required_lib("dnspython"), exception=GATE_ERROR)
    client = None
    try:
        base_url = check_base_url(module.params["base_url"])

        def connect() -> Transport:
            return HttpTransport(base_url, float(module.params["timeout"]))

        client = Client(module.params["api_token"], connect)
        result = run(module, client)
    except MailsteadError as error:
        applied = list(error.results) if isinstance(error, ApplyError) else []
        done = report(client, applied) if client else {}
        module.fail_json(
            msg=str(error),
            problems=[dataclasses.asdict(p) for p in error.problems],
            changed=any(r.written for r in applied),
            changes=[c for c in done.get("changes", []) if c["written"]],
            requests=done.get("requests", 0),
        )
    finally:
        if client:
            client.close()
    module.exit_json(**result)


if __name__ == "__main__":
    main()
