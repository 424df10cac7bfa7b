# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write-through to an authoritative server by dynamic update (RFC 2136) under TSIG (RFC 8945).

One change of the API becomes one UPDATE message, so that it is atomic in DNS as well. Only a message beyond the 64 KiB of
DNS over TCP is split, by names, so that each name still changes at once.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.tsig
import dns.tsigkeyring
import dns.update
import dns.xfr
import dns.zone

from .config import Ddns, Proxy, Zone
from .dnssec import Key
from .records import Record
from .served import Owner, RRset, Sets, bodies, differences, served_sets, server_owned
from .state import PublishError

LOG = logging.getLogger("twin.ddns")

#: Room for the TSIG record in a message of at most 65,535 bytes.
MESSAGE_MAX = 65000


def build_update(
    zone: str, changes: Mapping[Owner, RRset | None], key: dns.tsig.Key | None = None
) -> dns.update.UpdateMessage:
    """One UPDATE: first every set that changes is deleted, then the new ones are added.

    All deletions come first because a server silently ignores a CNAME added beside other data, and other data added
    beside a CNAME (RFC 2136 §3.4.2.2): A and CNAME can so change places in one message. A name that gets a CNAME is
    deleted as a whole: on a signed zone Knot (3.2 to 3.5) counts the name's old RRSIG and NSEC as other data and would
    drop the CNAME without an error.
    """
    origin = dns.name.from_text(zone)
    update = dns.update.UpdateMessage(origin)
    if key is not None:
        update.use_tsig(key)
    ordered = sorted(changes.items(), key=lambda item: item[0])
    cleared = {name for (name, record_type), rrset in ordered if record_type == "CNAME" and rrset is not None}
    for name in sorted(cleared):
        update.delete(dns.name.from_text(name).relativize(origin))
    for (name, record_type), _ in ordered:
        if name not in cleared:
            update.delete(dns.name.from_text(name).relativize(origin), record_type)
    for (name, _), rrset in ordered:
        if rrset is not None:
            rdataset = dns.rdataset.from_rdata_list(rrset.ttl, sorted(rrset.rdatas))
            update.add(dns.name.from_text(name).relativize(origin), rdataset)
    return update


def split_changes(zone: str, changes: Mapping[Owner, RRset | None]) -> list[dict[Owner, RRset | None]]:
    """Parts that fit into one message each, almost always one; a name is never split."""
    try:
        build_update(zone, changes).to_wire(max_size=MESSAGE_MAX)
        return [dict(changes)]
    except dns.exception.TooBig:
        names = sorted({name for name, _ in changes})
        if len(names) < 2:
            raise PublishError(f"the records of {names[0]} do not fit into one message") from None
        first = set(names[: len(names) // 2])
        halves = [{o: s for o, s in changes.items() if (o[0] in first) is chosen} for chosen in (True, False)]
        return [part for half in halves for part in split_changes(zone, half)]


class DdnsPublisher:
    """The publisher of ZoneState against one server. Thread-safe; zones publish side by side."""

    def __init__(self, ddns: Ddns, proxy: Proxy | None = None, tunnel_edge: Proxy | None = None) -> None:
        self._ddns, self._proxy, self._tunnel_edge = ddns, proxy or Proxy(), tunnel_edge
        ring = dns.tsigkeyring.from_text({ddns.tsig_name: (ddns.tsig_algorithm, ddns.secret())})
        self._key: dns.tsig.Key = ring[dns.name.from_text(ddns.tsig_name)]
        self._lock = threading.Lock()
        self._unsure: set[str] = set()

    # -- the publisher's interface -----------------------------------------------------------------------------------

    def publish(self, zone: Zone, before: Mapping[str, Record], after: Mapping[str, Record]) -> None:
        """Bring a change into DNS. Raises PublishError.

        After a failure nobody knows what the server took, so the next change compares with what it serves.
        """
        wanted = self._sets(zone, after.values())
        with self._lock:
            unsure = zone.name in self._unsure
            self._unsure.add(zone.name)
        if unsure:
            self.synchronise(zone, after.values())
        else:
            self._send(zone.name, differences(self._sets(zone, before.values()), wanted))
        with self._lock:
            self._unsure.discard(zone.name)

    def key_of(self, zone: Zone) -> Key | None:
        query = dns.message.make_query(dns.name.from_text(zone.name), dns.rdatatype.DNSKEY)
        try:
            answer = dns.query.tcp(query, self._address(), timeout=self._ddns.timeout, port=self._ddns.port)
        except (OSError, dns.exception.DNSException) as error:
            LOG.warning("%s: the key cannot be asked for: %s", zone.name, error)
            return None
        keys: list[Any] = [rdata for rrset in answer.answer if rrset.rdtype == dns.rdatatype.DNSKEY for rdata in rrset]
        for rdata in keys:
            if rdata.flags & 1:  # secure entry point, RFC 4034 §2.1.1
                words = rdata.to_text().split(" ", 3)
                return Key(int(rdata.algorithm), words[3].replace(" ", ""), int(rdata.flags))
        return None

    # -- starting ----------------------------------------------------------------------------------------------------

    def synchronise(self, zone: Zone, records: Iterable[Record]) -> None:
        """Make the server serve these records and no others. Raises PublishError."""
        wanted = self._sets(zone, records)
        served = self.transfer(zone)
        if served is None:
            # Without a transfer it can only be told what to serve, not what to forget.
            self._send(zone.name, dict(wanted))
        else:
            self._send(zone.name, differences(served, wanted))

    def import_bodies(self, zone: Zone) -> list[dict[str, Any]]:
        """What the server serves now, as record bodies. Raises PublishError when it gives no transfer."""
        served = self.transfer(zone)
        if served is None:
            raise PublishError(f"{zone.name}: no zone transfer, nothing can be imported")
        return bodies(served)

    def transfer(self, zone: Zone) -> Sets | None:
        """The sets of a zone by AXFR (RFC 5936), without those the server owns; None when it refuses."""
        target = dns.zone.Zone(dns.name.from_text(zone.name), relativize=False)
        query, _serial = dns.xfr.make_query(target, keyring=self._key)
        try:
            dns.query.inbound_xfr(
                self._address(), target, query, self._ddns.port, self._ddns.timeout, self._ddns.timeout * 4
            )
        except (dns.xfr.TransferError, dns.tsig.PeerError) as error:  # Knot says NOTAUTH to a key without the right
            LOG.warning("%s: no zone transfer: %s", zone.name, error)
            return None
        except (OSError, dns.exception.DNSException) as error:
            raise PublishError(f"{zone.name}: {_reason(error)}") from None
        found: Sets = {}
        for name, rdataset in target.iterate_rdatasets():
            owner = (name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(rdataset.rdtype))
            if not server_owned(zone.name, owner):
                found[owner] = RRset(rdataset.ttl, frozenset(rdataset))
        return found

    def wait_until_serving(self, zones: Iterable[Zone]) -> None:
        """Wait until the server is authoritative for every zone. Raises PublishError after the configured time."""
        deadline = time.monotonic() + self._ddns.wait
        pause = threading.Event()
        for zone in zones:
            while (missing := self._not_serving(zone)) is not None:
                if time.monotonic() > deadline:
                    raise PublishError(f"{zone.name}: not served within {self._ddns.wait:.0f} s: {missing}")
                pause.wait(0.2)

    def _not_serving(self, zone: Zone) -> str | None:
        query = dns.message.make_query(dns.name.from_text(zone.name), dns.rdatatype.SOA)
        try:
            answer = dns.query.tcp(query, self._address(), timeout=self._ddns.timeout, port=self._ddns.port)
        except (OSError, dns.exception.DNSException) as error:
            return _reason(error)
        return None if answer.answer and answer.flags & dns.flags.AA else dns.rcode.to_text(answer.rcode())

    # -- inside ------------------------------------------------------------------------------------------------------

    def _sets(self, zone: Zone, records: Iterable[Record]) -> Sets:
        return served_sets(zone, records, self._proxy, self._tunnel_edge)

    def _address(self) -> str:
        """The server's address; a name in the configuration is looked up each time, because a container may move."""
        infos = socket.getaddrinfo(self._ddns.server, self._ddns.port, type=socket.SOCK_STREAM)
        return str(infos[0][4][0])

    def _send(self, zone: str, changes: Mapping[Owner, RRset | None]) -> None:
        if not changes:
            return
        for part in split_changes(zone, changes):
            update = build_update(zone, part, self._key)
            try:
                answer = dns.query.tcp(update, self._address(), timeout=self._ddns.timeout, port=self._ddns.port)
            except (OSError, dns.exception.DNSException) as error:
                raise PublishError(f"{zone}: {_reason(error)}") from None
            if answer.rcode() != dns.rcode.NOERROR:
                raise PublishError(f"{zone}: the server answers {dns.rcode.to_text(answer.rcode())}")


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
