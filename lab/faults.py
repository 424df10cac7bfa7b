# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Breaking the running lab on purpose, and mending it: each function is a context manager that restores what was.

Tests use these to show that a check can fail. Nothing here is used by the harness itself.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.rrset
import dns.tsig
import dns.tsigkeyring
import dns.update

from lab import engine, names, netns, secrets, wiring
from lab.console import LabError
from lab.dns import TSIG_ALGORITHM
from lab.names import ADMIN_KEY, Server, Zone
from lab.topology import CONTROLLER, EGRESS, EGRESS_MODES, host

#: Seconds for one DNS message in the lab.
PATIENCE = 5.0


def _pid(name: str) -> int:
    client = engine.connect()
    if client is None:
        raise LabError("the container engine does not answer")
    return int(client.containers.get(host(name).container).attrs["State"]["Pid"])


def set_egress(network: str, family: int, mode: str) -> None:
    """Change what the router does with port 25 from a network. family: 4 or 6; mode: of EGRESS_MODES. At once.

    Raises KeyError for a network that has no policy and ValueError for an unknown mode.
    """
    if mode not in EGRESS_MODES:
        raise ValueError(f"{mode!r} is none of {', '.join(EGRESS_MODES)}")
    if not any(e.network == network and e.family == family for e in EGRESS):
        raise KeyError((network, family))
    chain = f"inet mailstead_router {wiring.egress_chain(network, family)}"
    rule = wiring.egress_rule(family, mode)
    wiring.load_rules(_pid("router"), f"flush chain {chain}\n" + (f"add rule {chain} {rule}\n" if rule else ""))


@contextlib.contextmanager
def egress(network: str, family: int, mode: str) -> Iterator[None]:
    """Another policy for port 25 while the block runs; afterwards the topology's own."""
    own = next(e.mode for e in EGRESS if e.network == network and e.family == family)
    set_egress(network, family, mode)
    try:
        yield
    finally:
        set_egress(network, family, own)


def packets_blocked(network: str, family: int) -> int:
    """How many packets the router has refused or dropped under a policy that counts."""
    chain = wiring.egress_chain(network, family)
    argv = ["nsenter", "-t", str(_pid("router")), "-n", "-m"]
    listing: dict[str, Any] = json.loads(
        wiring.run([*argv, "nft", "-j", "list", "chain", "inet", "mailstead_router", chain])
    )
    rules = [item["rule"]["expr"] for item in listing["nftables"] if "rule" in item]
    return sum(e["counter"]["packets"] for expressions in rules for e in expressions if "counter" in e)


def _home_of(name: str) -> tuple[Zone, Server]:
    zone = max((z for z in names.all_zones() if names.covers(z.name, name)), key=lambda z: len(z.name))
    return zone, next(s for s in names.SERVERS if s.role == zone.role)


def lookup(name: str, type: str) -> dns.rdataset.Rdataset | None:
    """What the authoritative server says, without any cache; None when there is no such record."""
    _, server = _home_of(name)
    query = dns.message.make_query(name, type)
    answer = netns.call(CONTROLLER.namespace, lambda: dns.query.tcp(query, server.ipv4()[0], PATIENCE))
    wanted = (dns.name.from_text(name), dns.rdataclass.IN, dns.rdatatype.from_text(type))
    found: dns.rrset.RRset | None = answer.get_rrset(answer.answer, *wanted)
    return None if found is None else found.to_rdataset()


def set_record(name: str, type: str, values: tuple[str, ...], ttl: int = 60) -> None:
    """Replace a record set on the authoritative server. values: master-file presentation; none removes it.

    The resolver forgets the name at once. Raises LabError when the server refuses.
    """
    zone, server = _home_of(name)
    keyring = dns.tsigkeyring.from_text({ADMIN_KEY: secrets.load().tsig_admin})
    update = dns.update.UpdateMessage(zone.name + ".", keyring=keyring, keyalgorithm=dns.name.from_text(TSIG_ALGORITHM))
    owner = dns.name.from_text(name)
    update.delete(owner, type)
    for value in values:
        update.add(owner, ttl, type, value)
    answer = netns.call(CONTROLLER.namespace, lambda: dns.query.tcp(update, server.ipv4()[0], PATIENCE))
    if answer.rcode() != dns.rcode.NOERROR:
        raise LabError(f"changing {name} {type}: {dns.rcode.to_text(answer.rcode())}")
    flush(name)


@contextlib.contextmanager
def record(name: str, type: str, *values: str) -> Iterator[None]:
    """Other values for a record set (none: no such record) while the block runs; afterwards what was there."""
    before = lookup(name, type)
    set_record(name, type, values)
    try:
        yield
    finally:
        kept = tuple(rdata.to_text() for rdata in before) if before is not None else ()
        set_record(name, type, kept, before.ttl if before is not None else 60)


def flush(name: str) -> None:
    """Make the lab's resolver and those of the edge and home forget a name and everything below it."""
    client = engine.connect()
    if client is None:
        raise LabError("the container engine does not answer")
    for machine, config in (("resolver", "/lab/dns/unbound.conf"), ("vps1", ""), ("home", "")):
        container = client.containers.get(host(machine).container)
        words = ["unbound-control", *(["-c", config] if config else []), "flush_zone", name]
        result = container.exec_run(
            ["sh", "-c", 'command -v unbound-control >/dev/null || exit 0; exec "$@"', "-", *words]
        )
        if result.exit_code and machine == "resolver":
            raise LabError(f"{machine}: {result.output.decode(errors='replace').strip()}")
