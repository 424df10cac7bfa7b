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
  ansible.builtin.debug:
    msg: "{{ found.zones[0].records | rejectattr('owned') }}"
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
    records:
      description: The records in the order of names, each with C(name), C(type), C(content), C(ttl), C(id), C(comment),
        C(tags), C(proxied), C(read_only), C(owned) and C(role).
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
from typing import Any, Dict, List

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.module import client_of, client_spec
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.zones import (
    ZoneInfo,
    all_zones,
    find_zones,
    list_records,
)
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Have
from ansible_collections.mailstead.stack.plugins.module_utils.dns.render import sort_key


def argument_spec() -> Dict[str, Any]:
    return {
        **client_spec(),
        "names": {"type": "list", "elements": "str", "default": []},
        "records": {"type": "bool", "default": True},
        "instance": {"type": "str", "default": "mailstead"},
    }


def record_data(record: Have, instance: str) -> Dict[str, Any]:
    mark = record.mark(instance)
    found = {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}
    return {**found, "tags": list(record.tags), "owned": mark is not None, "role": mark.role if mark else ""}


def zone_data(zone: ZoneInfo) -> Dict[str, Any]:
    return {**dataclasses.asdict(zone), "name_servers": list(zone.name_servers)}


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
    out: List[Dict[str, Any]] = []
    for zone in sorted(zones, key=lambda z: (z.name, z.id)):
        entry = zone_data(zone)
        if params["records"]:
            records = sorted(list_records(client, zone), key=sort_key)
            entry["records"] = [record_data(r, params["instance"]) for r in records]
        out.append(entry)
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
