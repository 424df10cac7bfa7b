#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: rfc2136_zone
short_description: Keep the mail records of any number of zones on a name server of one's own
version_added: 0.1.0
author: The mailstead maintainers
description:
  - Does for zones on a name server that takes DNS updates (knot, BIND, PowerDNS and others; RFC 2136) what
    M(mailstead.stack.cloudflare_zone) does for zones at Cloudflare, with the same records, policies, guards and results.
    Reverse zones are zones like any other.
  - Zones are read by transfer (AXFR) and changed by one atomic update each, both under a TSIG key. An update requires every
    record set it touches to be as it was read, so that a change by somebody else in between is never overwritten; the zone
    is then read and judged again.
  - Records in the DNS have no comments. What is ours is noted in TXT records at C(_mailstead.<zone>), written in the same
    update as the records they are about. Ours is the value we wrote; when somebody changes it, the record is theirs, and
    O(zones[].foreign) says what to do. Merged SPF and DMARC records may be changed by their other owner.
  - The DNS knows one time to live for all records of a name and type. Where ours share them with somebody else's, theirs
    stays; among ours the shortest counts.
  - Not touched are SOA, the NS of the zone itself and whatever the server adds for DNSSEC.
attributes:
  check_mode:
    description: Predicts exactly, at the cost of the same transfers.
    support: full
  diff_mode:
    description: Shows per zone a unified difference in zone-file notation, with the reason of each change.
    support: full
  idempotent:
    description: A second run changes nothing.
    support: full
notes:
  - "The key needs both rights for each zone. Knot: an C(acl) with C(action: [transfer, update]). BIND: C(allow-transfer) and
    C(allow-update) or C(update-policy) with the key."
  - Some 700 records of a zone can be ours, because the list of them has to fit one message of 64 KiB.
  - Tested with Knot 3.2 in every run of the tests, and by hand with BIND 9.18, both with signed zones.
extends_documentation_fragment:
  - mailstead.stack.rfc2136
  - mailstead.stack.dns_zones
  - mailstead.stack.dns_zones.zones
seealso:
  - module: mailstead.stack.cloudflare_zone
  - module: mailstead.stack.ptr_record
"""

EXAMPLES = r"""
- name: Publish the mail records of a domain
  mailstead.stack.rfc2136_zone:
    server: ns1.example.net
    key_name: mailstead
    key_secret: "{{ vault_dns_key }}"
    zones:
      - name: example.com
        records:
          - {name: mail.example.com, type: A, content: 192.0.2.25, phase: address, role: host}
          - {name: example.com, type: MX, content: 10 mail.example.com, role: mx}
          - {name: example.com, type: TXT, content: v=spf1 mx -all, phase: policy, role: spf}

- name: Keep the names of a network of our own
  mailstead.stack.rfc2136_zone:
    server: ns1.example.net
    key_name: mailstead
    key_secret: "{{ vault_dns_key }}"
    zones:
      - name: 2.0.192.in-addr.arpa
        records:
          - {name: 25.2.0.192.in-addr.arpa, type: PTR, content: mail.example.com, role: ptr}
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
      description: The name again; zones of other hosts have an id.
      type: str
    status:
      description: Always empty; zones of other hosts have a state.
      type: str
    name_servers:
      description: The zone's name servers, when they were asked.
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
      description: Exchanges with the server about this zone.
      type: int
requests:
  description: Exchanges in all.
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

import traceback
from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.common.short_lived import short_lived
from ansible_collections.mailstead.stack.plugins.module_utils.dns import arguments
from ansible_collections.mailstead.stack.plugins.module_utils.dns import module as zones
from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.module import apex_aliases, server_spec

DNS_ERROR = None
try:
    from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.zone import UpdateProvider, connection_of
except ImportError:
    DNS_ERROR = traceback.format_exc()


def argument_spec() -> Dict[str, Any]:
    return {**server_spec(), **arguments.argument_spec()}


def main() -> None:
    short_lived()
    module = AnsibleModule(argument_spec=argument_spec(), required_by={"undo": ["snapshots"]}, supports_check_mode=True)
    if DNS_ERROR:
        module.fail_json(msg=missing_required_lib("dnspython"), exception=DNS_ERROR)

    def connect() -> UpdateProvider:
        problems = apex_aliases(module.params["zones"])
        if problems:
            raise MailsteadError(problems)
        return UpdateProvider(connection_of(module.params))

    zones.run_module(module, connect, "rfc2136")


if __name__ == "__main__":
    main()
