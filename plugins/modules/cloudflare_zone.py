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
  - What we publish carries a mark in its comment, C(mailstead:<instance>:<role>). With O(mode=owned) only marked records are
    changed or removed. Somebody else's record that already says what we want is left alone and counts as satisfied; one that stands
    in the way is treated as O(zones[].foreign) says, never silently.
  - A changed value is changed in place, so that a name never lacks its record, and fields that others set stay.
  - A batch is one transaction at Cloudflare. Changes above the cap of the plan are divided so that no name is ever seen half
    done, and no host loses its address while something still points to it.
  - A write whose answer is lost is not repeated blindly. The zone is read again, and what is still missing is written. A run
    that was cut off is taken up by the next one.
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
  tags:
    description:
      - Tag our records C(mailstead:<instance>) beside the mark in the comment, in zones whose plan has tags. A record whose
        comment was edited by hand is then still known as ours.
      - The plan is known of zones that were looked up by name, and of those that hold tags already.
    type: bool
    default: true
extends_documentation_fragment:
  - mailstead.stack.cloudflare
  - mailstead.stack.dns_zones
  - mailstead.stack.dns_zones.zones
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

- name: Publish everything in the order receivers need, and keep what was there
  mailstead.stack.cloudflare_zone:
    api_token: "{{ vault_cloudflare_token }}"
    zones: "{{ zones }}"
    stages: [address, keys]
    snapshots: build/dns
    wait_authoritative: true

- name: Take a whole zone that sends no mail
  mailstead.stack.cloudflare_zone:
    api_token: "{{ vault_cloudflare_token }}"
    mode: zone
    zones:
      - name: example.net
        confirm: example.net
        records:
          - {name: example.net, type: MX, content: 0 ., role: mx}
          - {name: example.net, type: TXT, content: v=spf1 -all, role: spf}
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
  returned: with O(wait_authoritative)
  type: int
snapshots:
  description: Where the zones were saved as they were before.
  returned: when O(snapshots) is given and something was changed
  type: dict
  contains:
    taken:
      description: Name of the saved point, the same for all zones of the run.
      type: str
    files:
      description: Path of each saved zone.
      type: list
      elements: str
problems:
  description: What is wrong, each with C(code), C(where), C(what) and C(fix).
  returned: failure
  type: list
  elements: dict
"""

from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.module import (
    client_of,
    client_spec,
    look_up_ahead,
)
from ansible_collections.mailstead.stack.plugins.module_utils.common.short_lived import short_lived
from ansible_collections.mailstead.stack.plugins.module_utils.dns import arguments


def argument_spec() -> Dict[str, Any]:
    return {**client_spec(), "tags": {"type": "bool", "default": True}, **arguments.argument_spec()}


def main() -> None:
    short_lived()
    module = AnsibleModule(argument_spec=argument_spec(), required_by={"undo": ["snapshots"]}, supports_check_mode=True)
    first = None if all(zone["id"] for zone in module.params["zones"]) else look_up_ahead(module.params)
    # Loaded while the answer is on its way: a run that changes nothing consists of little else.
    from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.provider import CloudflareProvider  # noqa: PLC0415
    from ansible_collections.mailstead.stack.plugins.module_utils.dns.module import run_module  # noqa: PLC0415

    run_module(module, lambda: CloudflareProvider(client_of(module.params, first)), "cloudflare")


if __name__ == "__main__":
    main()
