#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: cloudflare_zone_info
short_description: Read Cloudflare zones and their records
version_added: 0.1.0
author: The mailstead maintainers
description:
  - Lists the zones a token sees, or the named ones, with all their records in the same canonical form in which
    M(mailstead.stack.cloudflare_zone) takes them, and says which of them are ours.
  - On demand also the zones' DNS settings, how many records they hold and may hold, and the master file Cloudflare exports.
    Zones are read in parallel, one request each for whatever is asked for.
attributes:
  check_mode:
    description: Never changes anything.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
  idempotent:
    description: Never changes anything.
    support: full
options:
  api_token:
    description:
      - API token with the permissions Zone Read and DNS Read.
      - Taken from the environment variable E(CLOUDFLARE_API_TOKEN) when not given.
    type: str
    required: true
  names:
    description: Names of the zones; all that the token sees when empty.
    type: list
    elements: str
    default: []
  records:
    description: Whether to read the zones' records, which costs a request per zone.
    type: bool
    default: true
  types:
    description: Return records of these types only, for example V(MX); all when empty.
    type: list
    elements: str
    default: []
  owned:
    description: Return only our records when V(true), only those of others when V(false), all when not given.
    type: bool
  usage:
    description: Whether to read how many records each zone holds and may hold.
    type: bool
    default: false
  settings:
    description: Whether to read the zones' DNS settings.
    type: bool
    default: false
  export:
    description: Whether to read each zone as the master file that Cloudflare exports, with comments and proxying.
    type: bool
    default: false
  instance:
    description: Name of this installation in the ownership mark.
    type: str
    default: mailstead
extends_documentation_fragment:
  - mailstead.stack.cloudflare
seealso:
  - module: mailstead.stack.cloudflare_zone
"""

EXAMPLES = r"""
- name: Read a zone
  mailstead.stack.cloudflare_zone_info:
    api_token: "{{ vault_cloudflare_token }}"
    names: [example.com]
  register: found

- name: Show the records that somebody else made
  mailstead.stack.cloudflare_zone_info:
    api_token: "{{ vault_cloudflare_token }}"
    owned: false

- name: Keep a master file of every zone
  mailstead.stack.cloudflare_zone_info:
    api_token: "{{ vault_cloudflare_token }}"
    records: false
    export: true
  register: found

- name: Tell how full the zones are
  mailstead.stack.cloudflare_zone_info:
    api_token: "{{ vault_cloudflare_token }}"
    records: false
    usage: true
"""

RETURN = r"""
zones:
  description: The zones, sorted by name.
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
      description: State of the zone at Cloudflare.
      type: str
    plan:
      description: The zone's plan.
      type: str
    name_servers:
      description: The zone's name servers.
      type: list
      elements: str
    type:
      description: V(full) where Cloudflare is the zone's primary, V(partial) or V(secondary) otherwise.
      type: str
    paused:
      description: Whether Cloudflare's proxy is off for the whole zone.
      type: bool
    limits:
      description: What the plan allows as far as it is known, C(batch) operations in one write, C(records) in the zone, C(tags).
      type: dict
    notes:
      description: What should be known of the zone's state, in words.
      type: list
      elements: str
    usage:
      description: C(record_quota), null when unlimited, and C(record_usage).
      returned: with O(usage)
      type: dict
    settings:
      description: The DNS settings as the API gives them, for example C(flatten_all_cnames) and C(soa).
      returned: with O(settings)
      type: dict
    export:
      description: The zone as a master file.
      returned: with O(export)
      type: str
    records:
      description: The records in the order of names, each with C(name), C(type), C(content), C(ttl), C(id), C(comment),
        C(tags), C(proxied), C(read_only), C(owned) and C(role).
      returned: with O(records)
      type: list
      elements: dict
requests:
  description: Requests made.
  returned: success
  type: int
problems:
  description: What is wrong, each with C(code), C(where), C(what) and C(fix).
  returned: failure
  type: list
  elements: dict
"""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, List

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.module import client_of, client_spec
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.provider import to_zone
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.zones import (
    ZoneInfo,
    all_zones,
    export_zone,
    find_zones,
    list_records,
    read_settings,
    read_usage,
)
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.dns.reconcile import WORKERS
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Have
from ansible_collections.mailstead.stack.plugins.module_utils.dns.render import sort_key


def argument_spec() -> Dict[str, Any]:
    return {
        **client_spec(),
        "names": {"type": "list", "elements": "str", "default": []},
        "records": {"type": "bool", "default": True},
        "types": {"type": "list", "elements": "str", "default": []},
        "owned": {"type": "bool"},
        "usage": {"type": "bool", "default": False},
        "settings": {"type": "bool", "default": False},
        "export": {"type": "bool", "default": False},
        "instance": {"type": "str", "default": "mailstead"},
    }


def record_data(record: Have, instance: str) -> Dict[str, Any]:
    mark = record.mark(instance)
    found = {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}
    return {**found, "tags": list(record.tags), "owned": mark is not None, "role": mark.role if mark else ""}


def zone_data(info: ZoneInfo) -> Dict[str, Any]:
    zone = to_zone(info)
    limits = {"batch": zone.limits.batch, "records": zone.limits.records, "tags": zone.limits.tags}
    facts = {**dataclasses.asdict(info), "name_servers": list(info.name_servers)}
    return {**facts, "limits": limits, "notes": list(zone.notes)}


def read_zone_data(client: Client, zone: ZoneInfo, params: Dict[str, Any]) -> Dict[str, Any]:
    """Everything that is asked for about one zone. Raises MailsteadError."""
    out = zone_data(zone)
    if params["records"]:
        types = {t.upper() for t in params["types"]}
        rows = [record_data(r, params["instance"]) for r in sorted(list_records(client, zone), key=sort_key)]
        rows = [r for r in rows if not types or r["type"] in types]
        out["records"] = [r for r in rows if params["owned"] in (None, r["owned"])]
    if params["usage"]:
        quota, used = read_usage(client, zone)
        out["usage"] = {"record_quota": quota, "record_usage": used}
    if params["settings"]:
        out["settings"] = read_settings(client, zone)
    if params["export"]:
        out["export"] = export_zone(client, zone)
    return out


def run(module: AnsibleModule, client: Client) -> Dict[str, Any]:
    params = module.params
    names = [n.lower().rstrip(".") for n in params["names"]]
    if names:
        found, problems = find_zones(client, [(n, "") for n in dict.fromkeys(names)])
        if problems:
            raise MailsteadError(problems)
        zones = list(found.values())
    else:
        zones = all_zones(client)
    zones.sort(key=lambda z: (z.name, z.id))
    out: List[Dict[str, Any]] = []
    if zones:
        with ThreadPoolExecutor(max_workers=min(WORKERS, len(zones))) as pool:
            out = list(pool.map(lambda zone: read_zone_data(client, zone, params), zones))
    return {"changed": False, "zones": out, "requests": sum(client.counts.values())}


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    client = None
    try:
        client = client_of(module.params)
        result = run(module, client)
    except MailsteadError as error:
        module.fail_json(msg=str(error), problems=[dataclasses.asdict(p) for p in error.problems])
    finally:
        if client:
            client.close()
    module.exit_json(**result)


if __name__ == "__main__":
    main()
