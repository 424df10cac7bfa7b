#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: cloudflare_dnssec
short_description: Sign Cloudflare zones with DNSSEC and tell the registrar's DS
version_added: 0.1.0
author: The mailstead maintainers
description:
  - Turns DNSSEC on or off for any number of zones in one call, and returns for each signed zone the DS record in the order
    registrars ask for it, as a whole line, and as the DNSKEY for registrars that want that.
  - Every zone is read and judged first; one mistake in one zone leaves all zones as they were.
  - After DNSSEC was turned on, Cloudflare says V(pending) until the DS is in the parent zone, which only the owner can bring
    about, at the registrar. That is no failure and no change on the next run. With O(wait) the module waits for it.
  - The state C(error) of a zone that is wanted signed is a failure. The DS in the parent zone does not fit the zone's key
    then, and validating resolvers may not resolve the domain. The message says what the parent publishes and what it should.
  - Turning DNSSEC off is refused as long as the parent zone publishes a DS, because the domain is dark for everybody who
    validates from the moment the signatures end. The parent's own servers are asked. Cloudflare documents that it goes on
    signing a zone whose DNSSEC is disabled, and asks the registrar to remove the DS by CDS records (RFC 8078). Where the
    registrar follows them, V(published_ds) in O(allow) is the way.
attributes:
  check_mode:
    description: Predicts exactly, at the cost of the same reads. The DS of a key that does not exist yet is not known.
    support: full
  diff_mode:
    description: Shows the settings of each zone before and after.
    support: full
  idempotent:
    description: A second run changes nothing, also while the DS is still missing at the registrar.
    support: full
extends_documentation_fragment:
  - mailstead.stack.cloudflare
options:
  zones:
    description: The zones. The token needs Zone Read and DNS Write for them; with DNS Write alone, give the ids.
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
      state:
        description: Whether DNSSEC is enabled at Cloudflare.
        type: str
        choices: [enabled, disabled]
        default: enabled
      multi_signer:
        description: Whether other providers sign the zone as well, each with keys of its own (RFC 8901). Kept when not given.
        type: bool
      presigned:
        description: Whether a secondary zone comes signed from its primary. Kept when not given.
        type: bool
      nsec3:
        description: Whether absent names are denied with NSEC3 instead of NSEC. Kept when not given.
        type: bool
  allow:
    description:
      - Guards to override, by name.
      - V(published_ds), disable DNSSEC although the parent zone publishes a DS. V(unknown_ds), disable it although the
        parent zone cannot be asked.
    type: list
    elements: str
    choices: [published_ds, unknown_ds]
    default: []
  wait:
    description: Wait until every zone that is wanted signed is active. Not in check mode.
    type: bool
    default: false
  wait_deadline:
    description: How long to wait, in seconds.
    type: int
    default: 600
requirements:
  - dnspython, to turn DNSSEC off and to explain the state C(error)
seealso:
  - module: mailstead.stack.cloudflare_zone
  - module: mailstead.stack.cloudflare_token_info
"""

EXAMPLES = r"""
- name: Sign two zones
  mailstead.stack.cloudflare_dnssec:
    api_token: "{{ vault_cloudflare_token }}"
    zones:
      - name: example.com
      - name: example.org
  register: dnssec

- name: Show what the registrars need
  ansible.builtin.debug:
    msg: "{{ dnssec.instructions }}"

- name: Go on only when the parent zone knows the key
  mailstead.stack.cloudflare_dnssec:
    api_token: "{{ vault_cloudflare_token }}"
    zones:
      - name: example.com
    wait: true
    wait_deadline: 3600
"""

RETURN = r"""
zones:
  description: The zones in the order given.
  returned: always
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
      description: One of V(active), V(pending), V(disabled), V(pending-disabled) and V(error); predicted in check mode.
      type: str
    changed:
      description: Whether the zone needed a change.
      type: bool
    written:
      description: Whether it is in effect.
      type: bool
    multi_signer:
      description: As the option.
      type: bool
    presigned:
      description: As the option.
      type: bool
    nsec3:
      description: As the option.
      type: bool
    ds:
      description: The DS in the order registrars ask for it; null while there is no key.
      type: dict
      contains:
        key_tag:
          description: Key tag.
          type: int
        algorithm:
          description: Number of the key's algorithm; 13 is ECDSA P-256 with SHA-256.
          type: int
        digest_type:
          description: Number of the digest; 2 is SHA-256.
          type: int
        digest:
          description: The digest in hexadecimal.
          type: str
        record:
          description: The record as a line of a zone file.
          type: str
    dnskey:
      description: The key itself, for registrars that make the DS themselves; null while there is no key.
      type: dict
      contains:
        flags:
          description: Flags; 257 is a key-signing key.
          type: int
        protocol:
          description: Always 3.
          type: int
        algorithm:
          description: Number of the key's algorithm.
          type: int
        public_key:
          description: The public key in base64.
          type: str
        record:
          description: The record as a line of a zone file.
          type: str
    parent_ds:
      description: The DS records that the parent zone publishes; null when it was not asked.
      type: list
      elements: str
instructions:
  description: What a person has to enter at the registrars, one text for each zone that waits for its DS.
  returned: always
  type: list
  elements: str
requests:
  description: Requests made in all.
  returned: always
  type: int
problems:
  description: What is wrong, each with C(code), C(where), C(what) and C(fix).
  returned: failure
  type: list
  elements: dict
"""

import dataclasses
from typing import Any, Dict, List, Optional, Sequence

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.dnssec import (
    FLAGS,
    GUARDS,
    Key,
    ParentUnknownError,
    Task,
    Wanted,
    apply,
    broken,
    plan,
    settings,
    wait,
)
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.module import client_of, client_spec
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata

try:
    from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.parent import parent_ds
except ImportError:

    def parent_ds(zone: str) -> Sequence[str]:  # type: ignore[misc]
        raise ParentUnknownError("dnspython is not installed here")


#: Time to live in the lines that are shown, in seconds; the registrar's is what counts.
TTL = 3600


def argument_spec() -> Dict[str, Any]:
    zone = {
        "name": {"type": "str", "required": True},
        "id": {"type": "str"},
        "state": {"type": "str", "choices": ["enabled", "disabled"], "default": "enabled"},
        **{flag: {"type": "bool"} for flag in FLAGS},
    }
    return {
        **client_spec(),
        "zones": {"type": "list", "elements": "dict", "required": True, "options": zone},
        "allow": {"type": "list", "elements": "str", "choices": list(GUARDS), "default": []},
        "wait": {"type": "bool", "default": False},
        "wait_deadline": {"type": "int", "default": 600},
    }


def wishes(zones: Sequence[Dict[str, Any]]) -> List[Wanted]:
    """The argument as wishes. Raises MailsteadError with everything that is wrong with the names."""
    out: List[Wanted] = []
    problems: List[Problem] = []
    for zone in zones:
        try:
            name = rdata.name(zone["name"])
        except rdata.RdataError as error:
            problems.append(Problem("MS-DNS-001", f"zones: {zone['name']}", str(error), "Correct the zone's name."))
            continue
        if any(w.zone == name for w in out):
            problems.append(Problem("MS-DNS-007", f"zone {name}", "the zone is listed twice", "List each zone once."))
        flags = {flag: zone[flag] for flag in FLAGS if zone[flag] is not None}
        out.append(Wanted(name, zone["state"] == "enabled", zone["id"] or "", flags))
    if problems:
        raise MailsteadError(problems)
    return out


def ds_data(zone: str, key: Optional[Key]) -> Optional[Dict[str, Any]]:
    if key is None:
        return None
    record = f"{zone}. {TTL} IN DS {key.ds}"
    fields = {"key_tag": key.key_tag, "algorithm": key.algorithm, "digest_type": key.digest_type}
    return {**fields, "digest": key.digest, "record": record}


def dnskey_data(zone: str, key: Optional[Key]) -> Optional[Dict[str, Any]]:
    if key is None:
        return None
    fields = {"flags": key.flags, "protocol": 3, "algorithm": key.algorithm, "public_key": key.public_key}
    return {**fields, "record": f"{zone}. {TTL} IN DNSKEY {key.dnskey}"}


def zone_data(task: Task) -> Dict[str, Any]:
    zone, state = task.wanted.zone, task.after
    return {
        "name": zone,
        "id": task.zone_id,
        "status": state.status,
        "changed": bool(task.body),
        "written": task.written,
        **state.flags,
        "ds": ds_data(zone, state.key),
        "dnskey": dnskey_data(zone, state.key),
        "parent_ds": None if task.parent is None else list(task.parent),
    }


def instructions(task: Task) -> Optional[str]:
    """What the registrar has to be told; None when nothing, or when the key does not exist yet."""
    key = task.after.key
    if task.after.status not in ("pending", "error") or key is None:
        return None
    return (
        f"{task.wanted.zone}: enter this DS record at the domain's registrar: key tag {key.key_tag}, "
        f"algorithm {key.algorithm}, digest type {key.digest_type}, digest {key.digest} "
        f"(where the registrar asks for the key instead: DNSKEY {key.dnskey})"
    )


def difference(task: Task) -> Dict[str, str]:
    header = f"DNSSEC of {task.wanted.zone}"
    # What was predicted, so that the difference is the same in check mode; the status follows the registrar.
    before, after = settings(task.before), settings(task.after)
    shown = [name for name in before if name == "dnssec" or name in task.wanted.flags]
    texts = ["".join(f"{n}: {str(found[n]).lower()}\n" for n in shown) for found in (before, after)]
    return {"before_header": header, "after_header": header, "before": texts[0], "after": texts[1]}


def report(client: Client, tasks: Sequence[Task]) -> Dict[str, Any]:
    told = [text for text in map(instructions, tasks) if text]
    zones = [zone_data(task) for task in tasks]
    return {"zones": zones, "instructions": told, "requests": sum(client.counts.values())}


def run(module: AnsibleModule, client: Client) -> None:
    """Raises MailsteadError as long as nothing was written; ends the module otherwise."""
    params = module.params
    tasks, notes = plan(client, wishes(params["zones"]), parent_ds, params["allow"])
    for note in notes:
        module.warn(note)
    diff = [difference(task) for task in tasks if task.body]
    problems = [] if module.check_mode else apply(client, tasks)
    if params["wait"] and not module.check_mode and not problems:
        problems += wait(client, tasks, float(params["wait_deadline"]))
    problems += [problem for problem in (broken(task, parent_ds) for task in tasks) if problem]
    out = report(client, tasks)
    if module._diff:
        out["diff"] = diff
    if problems:
        changed = any(task.written for task in tasks)
        fail(module, problems, changed=changed, **out)
    module.exit_json(changed=any(task.body for task in tasks), **out)


def fail(module: AnsibleModule, problems: Sequence[Problem], **more: Any) -> None:
    msg = str(MailsteadError(problems))
    module.fail_json(msg=msg, problems=[dataclasses.asdict(p) for p in problems], **more)


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    client: Optional[Client] = None
    try:
        client = client_of(module.params)
        run(module, client)
    except MailsteadError as error:
        requests = sum(client.counts.values()) if client else 0
        fail(module, error.problems, zones=[], instructions=[], requests=requests)
    finally:
        if client:
            client.close()


if __name__ == "__main__":
    main()
