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
  - Addresses of the same account are read in one go, and only those whose record differs are written. When one cannot be
    written, the others still are, and the task fails.
attributes:
  check_mode:
    description: Predicts exactly. With V(rfc2136) the present record is read without using the key.
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
          - V(hcloud) is Hetzner Cloud. The token belongs to the project of the address and has the permission Read & Write.
          - V(linode) is Akamai Cloud. The token has the scope C(ips:read_write). The address record of the name has to
            exist first.
          - V(vultr) is Vultr. The key takes requests from this host (access control list). A reserved address has to be
            attached to an instance.
          - V(aws) is AWS EC2, for Elastic IP addresses (IPv4). The key is allowed C(ec2:DescribeAddresses),
            C(ec2:DescribeAddressesAttribute) and C(ec2:ModifyAddressAttribute). The address record of the name has to
            exist first, and AWS takes some minutes. Outgoing port 25 is opened by AWS on a request of its own.
        type: str
        choices: [manual, rfc2136, hcloud, linode, vultr, aws]
        default: manual
      options:
        description: Settings of the provider. One that the provider has no use for is a mistake.
        type: dict
        suboptions:
          server:
            description: Host name or address of the primary server. Required by V(rfc2136).
            type: str
          port:
            description: Port of the server. With V(rfc2136).
            type: int
            default: 53
          zone:
            description:
              - The reverse zone. For an address outside of it, and when not given, the server is asked for its zone.
              - With V(rfc2136).
            type: str
          key_name:
            description: Name of the TSIG key. Without one, updates are sent unsigned. With V(rfc2136).
            type: str
          key_algorithm:
            description: Algorithm of the TSIG key. With V(rfc2136).
            type: str
            choices: [hmac-sha256, hmac-sha384, hmac-sha512]
            default: hmac-sha256
          region:
            description: Region that the Elastic IP address is in, such as V(eu-central-1). Required by V(aws).
            type: str
          access_key:
            description: Id of the access key. Required by V(aws).
            type: str
          panel:
            description:
              - Whose control panel the instructions are for. V(generic) describes what such panels have in common.
              - With V(manual).
            type: str
            choices:
              - generic
              - aws
              - azure
              - contabo
              - digitalocean
              - gcp
              - hetzner-cloud
              - linode
              - oracle
              - ovh
              - scaleway
              - vultr
          base_url:
            description:
              - URL of the API instead of the vendor's own. Plain HTTP is only taken towards this very machine.
              - With V(hcloud), V(linode), V(vultr) and V(aws).
            type: str
      secret:
        description: Secret of the TSIG key, in base64. With V(rfc2136).
        type: str
      token:
        description: API token (Vultr calls it API key). Required by V(hcloud), V(linode) and V(vultr).
        type: str
      secret_key:
        description: Secret access key. Required by V(aws).
        type: str
      session_token:
        description: Token that comes with temporary keys. With V(aws).
        type: str
  ttl:
    description: Time to live of records that are written, in seconds. With V(rfc2136).
    type: int
    default: 3600
  timeout:
    description: Seconds to wait for an answer of an API.
    type: int
    default: 30
  wait_confirmed:
    description:
      - Wait until the authoritative servers of every reverse zone show the name, and those of the name the address
        (forward-confirmed reverse DNS), which is what large receivers ask for. Where no authoritative server can be
        reached, this host's resolver is asked.
      - Records that a person has to set are not waited for.
    type: bool
    default: false
  wait_deadline:
    description:
      - Seconds that a provider may take to carry out what it accepted, and then, with O(wait_confirmed=true), until the
        world sees it.
      - Name servers of some providers take hours (Vultr says 6 to 12).
    type: int
    default: 300
requirements:
  - dnspython, with V(rfc2136) and with O(wait_confirmed=true)
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

- name: Set them at Hetzner Cloud, both families, and wait until the world sees them
  mailstead.stack.ptr_record:
    records:
      - {address: 192.0.2.25, name: mail.example.com, host: vps1, provider: hcloud, token: "{{ vault_hcloud }}"}
      - {address: "2001:db8::25", name: mail.example.com, host: vps1, provider: hcloud, token: "{{ vault_hcloud }}"}
    wait_confirmed: true

- name: Set the record of an Elastic IP address
  mailstead.stack.ptr_record:
    records:
      - address: 192.0.2.25
        name: mail.example.com
        host: vps1
        provider: aws
        options: {region: eu-central-1, access_key: AKIAIOSFODNN7EXAMPLE}
        secret_key: "{{ vault_aws_secret_key }}"

- name: Be told what to enter in the provider's panel
  mailstead.stack.ptr_record:
    records:
      - {address: 192.0.2.25, name: mail.example.com, host: vps1, provider: manual, options: {panel: ovh}}
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
      description:
        - V(ok) when it was right, V(changed), or V(manual) when a person has to act.
        - V(pending) when the provider had accepted this very name before this run and was not done with it.
      type: str
    instructions:
      description: What to set and where; empty unless the status is V(manual).
      type: str
    note:
      description: What else is worth knowing about this provider.
      type: str
instructions:
  description: All instructions, for printing.
  returned: success
  type: list
  elements: str
confirmed:
  description: Whether the world was seen to have them all, with O(wait_confirmed=true).
  returned: success
  type: bool
problems:
  description: What is wrong, each with C(code), C(where), C(what) and C(fix).
  returned: failure
  type: list
  elements: dict
"""

import dataclasses
import traceback
from typing import Any, Dict, Iterable, List, Mapping, Sequence, Tuple

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
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.options import PROVIDERS, SECRETS
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.panels import NAMES
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.vendors import account_ptr

DNS_ERROR = None
try:
    from ansible_collections.mailstead.stack.plugins.module_utils.ptr.rfc2136 import Rfc2136Ptr, names_of
    from ansible_collections.mailstead.stack.plugins.module_utils.ptr.seen import wait_confirmed
    from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.link import Key, Server
except ImportError:
    DNS_ERROR = traceback.format_exc()

#: Records that one provider object serves, and that object.
Share = Tuple[PtrProvider, List[PtrWanted]]
#: Options that have a value without being given.
PRESET = ("port", "key_algorithm")


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
        "region": {"type": "str"},
        "access_key": {"type": "str", "no_log": False},
        "panel": {"type": "str", "choices": list(NAMES)},
        "base_url": {"type": "str"},
    }
    record = {
        "address": {"type": "str", "required": True},
        "name": {"type": "str", "required": True},
        "host": {"type": "str", "default": ""},
        "provider": {"type": "str", "choices": list(PROVIDERS), "default": "manual"},
        # Not a default of {}: it would be one and the same for all records.
        "options": {"type": "dict", "apply_defaults": True, "options": options},
        **{name: {"type": "str", "no_log": True} for name in SECRETS},
    }
    return {
        "records": {"type": "list", "elements": "dict", "required": True, "options": record},
        "ttl": {"type": "int", "default": 3600},
        "timeout": {"type": "int", "default": 30},
        "wait_confirmed": {"type": "bool", "default": False},
        "wait_deadline": {"type": "int", "default": 300},
    }


def settings(record: Mapping[str, Any]) -> Dict[str, Any]:
    """What is given for a record's provider, secrets included. Raises MailsteadError for what is missing or idle."""
    provider, where = record["provider"], f"reverse record {record['address']}"
    given = {k: v for k, v in {**record["options"], **{s: record[s] for s in SECRETS}}.items() if v is not None}
    named = [k for k, v in given.items() if k not in PRESET and v != ""]
    takes = PROVIDERS[provider]
    problems = [
        Problem("MS-PTR-002", where, f"provider {provider} needs {key}, which is missing", f"Give {key}.")
        for key in takes.missing(named)
    ]
    takes_words = ", ".join((*takes.required, *takes.optional))
    problems += [
        Problem(
            "MS-PTR-002", where, f"provider {provider} has no use for {key}", f"Leave it out; it takes {takes_words}."
        )
        for key in takes.idle(named)
    ]
    if problems:
        raise MailsteadError(problems)
    return given


def rfc2136_server(given: Mapping[str, Any], where: str) -> Server:
    """The server and key of a record. Raises MailsteadError."""
    problems: List[Problem] = []
    if not 1 <= given["port"] <= 65535:
        problems.append(Problem("MS-PTR-002", where, f"there is no port {given['port']}", "DNS is at port 53."))
    name, secret = given.get("key_name"), given.get("secret")
    if bool(name) != bool(secret):
        what = "a key needs both its name (option key_name) and its secret"
        problems.append(Problem("MS-PTR-002", where, what, "Give the one that is missing, or neither."))
    if problems:
        raise MailsteadError(problems)
    key = Key(name, given["key_algorithm"], secret) if name and secret else None
    if key is not None:
        try:
            key.ring()
        except ValueError as error:
            raise MailsteadError.one("MS-PTR-002", where, str(error), "Copy the secret again, whole.") from error
    return Server(given["server"], given["port"], key)


def provider_of(record: Mapping[str, Any], params: Mapping[str, Any]) -> Tuple[Any, PtrProvider]:
    """What records share a provider by, and that provider. Raises MailsteadError."""
    given, provider = settings(record), str(record["provider"])
    if provider == "manual":
        panel = given.get("panel", "generic")
        return panel, ManualProvider(panel=panel)
    if provider == "rfc2136":
        zone = (given.get("zone") or "").lower().rstrip(".")
        server = rfc2136_server(given, f"reverse record {record['address']}")
        return (server, zone), Rfc2136Ptr(server, zone, params["ttl"])
    account = account_ptr(provider, given, params["timeout"], params["wait_deadline"])
    return (provider, tuple(sorted((k, v) for k, v in given.items() if k not in PRESET))), account


def shares(params: Mapping[str, Any]) -> List[Share]:
    """The wanted records by provider. Raises MailsteadError with everything that is wrong with any of them."""
    problems: List[Problem] = []
    wanted: List[PtrWanted] = []
    groups: Dict[Any, Share] = {}
    for record in params["records"]:
        try:
            one = read_wanted(record["address"], record["name"], record["host"])
            group, provider = provider_of(record, params)
        except MailsteadError as error:
            problems += error.problems
            continue
        wanted.append(one)
        groups.setdefault(group, (provider, []))[1].append(one)
    if problems:
        raise MailsteadError(problems)
    one_name_each(wanted)
    for provider, found in groups.values():
        if isinstance(provider, ManualProvider) and not DNS_ERROR:
            provider.current = {w.address: names_of(w.address) for w in found}
    return list(groups.values())


def run(module: AnsibleModule) -> Dict[str, Any]:
    planned: List[Tuple[PtrProvider, List[PtrResult]]] = []
    problems: List[Problem] = []
    for provider, wanted in shares(module.params):
        try:
            planned.append((provider, provider.plan(wanted)))
        except MailsteadError as error:
            problems += error.problems
    if problems:
        raise MailsteadError(problems)
    for provider, results in [] if module.check_mode else planned:
        try:
            provider.apply(results)
        except MailsteadError as error:
            problems += error.problems
    if problems:
        fail(module, problems, any(provider.written for provider, _results in planned))
    by_wanted = {r.wanted: r for _provider, results in planned for r in results}
    ordered = [by_wanted[read_wanted(r["address"], r["name"], r["host"])] for r in module.params["records"]]
    changed = any(r.status == "changed" for r in ordered)
    return {**report(module, ordered, changed), "changed": changed, "confirmed": confirm(module, ordered, changed)}


def confirm(module: AnsibleModule, results: Sequence[PtrResult], changed: bool) -> bool:
    """Wait until the world sees the records, where that is asked for."""
    wanted = [r.wanted for r in results if r.status != "manual"]
    if not module.params["wait_confirmed"] or module.check_mode or not wanted:
        return False
    try:
        wait_confirmed(list(dict.fromkeys(wanted)), module.params["wait_deadline"])
    except MailsteadError as error:
        fail(module, error.problems, changed)
    return len(wanted) == len(results)


def report(module: AnsibleModule, results: Sequence[PtrResult], changed: bool) -> Dict[str, Any]:
    told = unique(r.instructions for r in results)
    for text in [*told, *unique(r.note for r in results)]:
        module.warn(text)
    out: Dict[str, Any] = {"records": [as_data(r) for r in results], "instructions": told}
    if module._diff and changed:
        header = "reverse records"
        before, after = zone_file(results, after=False), zone_file(results, after=True)
        out["diff"] = {"before_header": header, "after_header": header, "before": before, "after": after}
    return out


def unique(texts: Iterable[str]) -> List[str]:
    return [text for text in dict.fromkeys(texts) if text]


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
        "note": result.note,
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    needs_dns = module.params["wait_confirmed"] or any(r["provider"] == "rfc2136" for r in module.params["records"])
    if DNS_ERROR and needs_dns:
        module.fail_json(msg=missing_required_lib("dnspython"), exception=DNS_ERROR)
    try:
        module.exit_json(**run(module))
    except MailsteadError as error:
        fail(module, error.problems)


if __name__ == "__main__":
    main()
