# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A zone on any name server that takes updates, as the conformance suite wants it: address, port, key and zone are given."""

from __future__ import annotations

import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.update
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.link import Connection, Key, Server
from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.sets import SERVER_TYPES
from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.zone import UpdateProvider

from tests.unit.dns.conformance import Row


class ServerBed:
    """Acts by hand as ``nsupdate`` would, under a key that may do the same."""

    guards_values = True
    edits_stay_ours = False

    def __init__(self, address: str, port: int, key: Key, zone: str) -> None:
        self.zone, self._key = zone, key
        self._server = Server(address, port, key)

    def link(self, timeout: float = 5.0) -> Connection:
        return Connection(self._server, timeout)

    def provider(self) -> UpdateProvider:
        return UpdateProvider(self.link())

    def owner(self, name: str) -> dns.name.Name:
        return dns.name.from_text(self.zone if name == "@" else f"{name}.{self.zone}")

    def reset(self) -> None:
        message = dns.update.UpdateMessage(dns.name.from_text(self.zone))
        for name, rtype in self._sets():
            message.delete(name, rtype)
        if message.update:
            self.send(message)

    def put(self, *rows: Row) -> None:
        message = dns.update.UpdateMessage(dns.name.from_text(self.zone))
        for name, rtype, content, ttl in rows:
            message.add(self.owner(name), ttl, rtype, rdata.presentation(rtype, content))
        if rows:
            self.send(message)

    def drop(self, name: str, rtype: str) -> None:
        message = dns.update.UpdateMessage(dns.name.from_text(self.zone))
        message.delete(self.owner(name), rtype)
        self.send(message)

    def edit(self, name: str, rtype: str, content: str, ttl: int) -> None:
        """Replace what stands at a name and type."""
        message = dns.update.UpdateMessage(dns.name.from_text(self.zone))
        message.replace(self.owner(name), ttl, rtype, rdata.presentation(rtype, content))
        self.send(message)

    def world(self) -> list[tuple[str, ...]]:
        return sorted(
            (name.to_text(), str(ttl), dns.rdatatype.to_text(item.rdtype), item.to_text())
            for name, ttl, item in self.link().transfer(self.zone)
            if self._ours(name, item.rdtype)
        )

    def send(self, message: dns.update.UpdateMessage) -> None:
        assert self.link().send(message) == dns.rcode.NOERROR

    def _sets(self) -> set[tuple[dns.name.Name, dns.rdatatype.RdataType]]:
        records = self.link().transfer(self.zone)
        return {(name, item.rdtype) for name, _ttl, item in records if self._ours(name, item.rdtype)}

    def _ours(self, name: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> bool:
        """Not the server's own."""
        apex = name == dns.name.from_text(self.zone)
        return dns.rdatatype.to_text(rdtype) not in SERVER_TYPES and not (apex and rdtype == dns.rdatatype.NS)
