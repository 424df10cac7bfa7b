#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: ptr_record
short_description: Keep the reverse DNS records of mail hosts
version_added: 0.1.0
author: The mailstead maintainers
description:
  - Sees to it that the reverse records (PTR) of addresses name the mail host, through the provider of each address. Large
    receivers refuse mail from an address whose reverse record is missing or names another host.
  - All records are read first; nothing is written when one of them cannot be.
  - The reverse record belongs to whoever owns the address, so each address has its own provider, which is not the DNS
    provider of the mail domain.
attributes:
  check_mode:
    description: Predicts exactly. Reads the present record without using the key.
    support: full
  diff_mode:
    description: Shows the records before and after in zone-file notation.
    support: full
  idempotent:
    description: A second run changes nothing.
    support: full
options:
  records:
    description: The reverse records.
    type: list
    elements: dict
    required: true
    suboptions:
      address:
        description: IPv4 or IPv6 address.
        type: str
        required: true
      name:
        description: The host name it shall have, fully qualified.
        type: str
        required: true
      host:
        description: Inventory name of the host, for messages.
        type: str
        default: ""
      provider:
        description:
          - Who sets the record. With V(manual) the module says what to set and where, unless the record is right already.
          - With V(rfc2136) the record is set by a DNS update at the primary server of the reverse zone.
        type: str
        choices: [manual, rfc2136]
        default: manual
      options:
        description: Settings of the provider.
        type: dict
        default: {}
        suboptions:
          server:
            description: Host name or address of the primary server. Required by V(rfc2136).
            type: str
          port:
            description: Port of the server.
            type: int
            default: 53
          zone:
            description:
              - The reverse zone. For an address outside of it, and when not given, the server is asked for its zone.
            type: str
          key_name:
            description: Name of the TSIG key. Without one, updates are sent unsigned.
            type: str
          key_algorithm:
            description: Algorithm of the TSIG key.
            type: str
            choices: [hmac-sha256, hmac-sha384, hmac-sha512]
            default: hmac-sha256
      secret:
        description: Secret of the TSIG key, in base64.
        type: str
  ttl:
    description: Time to live of records that are written, in seconds.
    type: int
    default: 3600
requirements:
  - dnspython, with V(rfc2136)
seealso:
  - module: mailstead.stack.cloudflare_zone
"""

EXAMPLES = r"""
- name: Set the reverse records at our own name server
  mailstead.stack.ptr_record:
    records:
      - address: 192.0.2.25
        name: mail.example.com
        host: vps1
        provider: rfc2136
        options:
          server: ns1.example.net
          zone: 2.0.192.in-addr.arpa
          key_name: mailstead
        secret: "{{ vault_ptr_tsig }}"

- name: Be told what to enter in the provider's panel
  mailstead.stack.ptr_record:
    records:
      - {address: 192.0.2.25, name: mail.example.com, host: vps1, provider: manual}
"""

RETURN = r"""
records:
  description: One entry per wanted record, in the order given.
  returned: success
  type: list
  elements: dict
  contains:
    address:
      description: The address.
      type: str
    name:
      description: The wanted host name.
      type: str
    host:
      description: Inventory name of the host.
      type: str
    provider:
      description: Who sets the record.
      type: str
    reverse_name:
      description: The record's owner name.
      type: str
    zone:
      description: The reverse zone, where known.
      type: str
    before:
      description: The names found.
      type: list
      elements: str
    status:
      description: V(ok) when it was right, V(changed), or V(manual) when a person has to act.
      type: str
    instructions:
      description: What to set and where; empty unless the status is V(manual).
      type: str
instructions:
  description: All instructions, for printing.
  returned: success
  type: list
  elements: str
problems:
  description: What is wrong, each with C(code), C(where), C(what) and C(fix).
  returned: failure
  type: list
  elements: dict
"""

import dataclasses
import traceback
from typing import Any, Dict, List, Sequence, Tuple

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.manual import ManualProvider
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.model import (
    PtrProvider,
    PtrResult,
    PtrWanted,
    one_name_each,
    read_wanted,
    zone_file,
)

DNS_ERROR = None
try:
    from ansible_collections.mailstead.stack.plugins.module_utils.ptr.rfc2136 import Rfc2136Ptr, names_of
    from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.link import Key, Server
except ImportError:
    DNS_ERROR = traceback.format_exc()

#: Records that one provider object serves, and that object.
Share = Tuple[PtrProvider, List[PtrWanted]]


def argument_spec() -> Dict[str, Any]:
    options = {
        "server": {"type": "str"},
        "port": {"type": "int", "default": 53},
        "zone": {"type": "str"},
        "key_name": {"type": "str", "no_log": False},
        "key_algorithm": {
            "type": "str",
            "choices": ["hmac-sha256", "hmac-sha384", "hmac-sha512"],
            "default": "hmac-sha256",
            "no_log": False,
        },
    }
    record = {
        "address": {"type": "str", "required": True},
        "name": {"type": "str", "required": True},
        "host": {"type": "str", "default": ""},
        "provider": {"type": "str", "choices": ["manual", "rfc2136"], "default": "manual"},
        "options": {"type": "dict", "default": {}, "options": options},
        "secret": {"type": "str", "no_log": True},
    }
    return {
        "records": {"type": "list", "elements": "dict", "required": True, "options": record},
        "ttl": {"type": "int", "default": 3600},
    }


def rfc2136_server(record: Dict[str, Any]) -> Server:
    """The server and key of a record. Raises MailsteadError."""
    options, where = record["options"], f"reverse record {record['address']}"
    problems: List[Problem] = []
    if not options["server"]:
        fix = "Name the primary server of the reverse zone."
        problems.append(Problem("MS-PTR-002", where, "the option server is missing", fix))
    if not 1 <= options["port"] <= 65535:
        problems.append(Problem("MS-PTR-002", where, f"there is no port {options['port']}", "DNS is at port 53."))
    if bool(options["key_name"]) != bool(record["secret"]):
        what = "a key needs both its name (option key_name) and its secret"
        problems.append(Problem("MS-PTR-002", where, what, "Give the one that is missing, or neither."))
    if problems:
        raise MailsteadError(problems)
    key = Key(options["key_name"], options["key_algorithm"], record["secret"]) if options["key_name"] else None
    if key is not None:
        try:
            key.ring()
        except ValueError as error:
            raise MailsteadError.one("MS-PTR-002", where, str(error), "Copy the secret again, whole.") from error
    return Server(options["server"], options["port"], key)


def shares(records: Sequence[Dict[str, Any]], ttl: int) -> List[Share]:
    """The wanted records by provider. Raises MailsteadError with everything that is wrong with any of them."""
    problems: List[Problem] = []
    wanted: List[PtrWanted] = []
    groups: Dict[Any, Share] = {}
    for record in records:
        try:
            one = read_wanted(record["address"], record["name"], record["host"])
            group: Any = "manual"
            if record["provider"] == "rfc2136":
                zone = (record["options"]["zone"] or "").lower().rstrip(".")
                group = (rfc2136_server(record), zone)
        except MailsteadError as error:
            problems += error.problems
            continue
        wanted.append(one)
        if group not in groups:
            groups[group] = (ManualProvider() if group == "manual" else Rfc2136Ptr(group[0], group[1], ttl), [])
        groups[group][1].append(one)
    if problems:
        raise MailsteadError(problems)
    one_name_each(wanted)
    for provider, found in groups.values():
        if isinstance(provider, ManualProvider) and not DNS_ERROR:
            provider.current = {w.address: names_of(w.address) for w in found}
    return list(groups.values())


def run(module: AnsibleModule) -> Dict[str, Any]:
    parts = shares(module.params["records"], module.params["ttl"])
    planned: List[Tuple[PtrProvider, List[PtrResult]]] = []
    problems: List[Problem] = []
    for provider, wanted in parts:
        try:
            planned.append((provider, provider.plan(wanted)))
        except MailsteadError as error:
            problems += error.problems
    if problems:
        raise MailsteadError(problems)
    done = False
    for provider, results in [] if module.check_mode else planned:
        try:
            provider.apply(results)
            done = done or any(r.status == "changed" for r in results)
        except MailsteadError as error:
            problems += error.problems
    if problems:
        fail(module, problems, done)
    by_wanted = {r.wanted: r for _provider, results in planned for r in results}
    ordered = [by_wanted[read_wanted(r["address"], r["name"], r["host"])] for r in module.params["records"]]
    told = [r.instructions for r in ordered if r.instructions]
    out: Dict[str, Any] = {
        "changed": any(r.status == "changed" for r in ordered),
        "records": [as_data(r) for r in ordered],
        "instructions": told,
    }
    for text in told:
        module.warn(text)
    if module._diff and out["changed"]:
        header = "reverse records"
        before, after = zone_file(ordered, after=False), zone_file(ordered, after=True)
        out["diff"] = {"before_header": header, "after_header": header, "before": before, "after": after}
    return out


def fail(module: AnsibleModule, problems: Sequence[Problem], changed: bool = False) -> None:
    msg = str(MailsteadError(problems))
    module.fail_json(msg=msg, problems=[dataclasses.asdict(p) for p in problems], changed=changed)


def as_data(result: PtrResult) -> Dict[str, Any]:
    wanted = result.wanted
    return {
        "address": wanted.address,
        "name": wanted.name,
        "host": wanted.host,
        "provider": result.provider,
        "reverse_name": wanted.reverse,
        "zone": result.zone,
        "before": list(result.before),
        "status": result.status,
        "instructions": result.instructions,
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    if DNS_ERROR and any(r["provider"] == "rfc2136" for r in module.params["records"]):
        module.fail_json(msg=missing_required_lib("dnspython"), exception=DNS_ERROR)
    try:
        module.exit_json(**run(module))
    except MailsteadError as error:
        fail(module, error.problems)


if __name__ == "__main__":
    main()
