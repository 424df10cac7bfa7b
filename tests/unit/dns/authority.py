# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small authoritative DNS server on loopback: answers, refuses and takes signed updates as a primary does."""

from __future__ import annotations

import dataclasses
import socket
import socketserver
import struct
import threading
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tsig
import dns.update

Owner = tuple[str, str]


@dataclasses.dataclass
class Authority:
    """zones: record sets as presentation texts by (owner, type), by zone name. keys: accepted TSIG keys.

    deaf: drops this many requests; rcode: answers every question with it; frozen: accepts updates but goes on serving the
    old records; lame: answers without authority.
    """

    zones: dict[str, dict[Owner, list[str]]]
    keys: dict[dns.name.Name, dns.tsig.Key] = dataclasses.field(default_factory=dict)
    address: str = "127.0.0.1"
    deaf: int = 0
    rcode: int = dns.rcode.NOERROR
    frozen: bool = False
    lame: bool = False
    questions: list[Owner] = dataclasses.field(default_factory=list)
    updates: int = 0
    port: int = 0

    def __enter__(self) -> Authority:
        authority = self

        class Udp(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                wire, channel = self.request
                answer = authority.answer(wire)
                if answer:
                    channel.sendto(answer, self.client_address)

        class Tcp(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                head = self.request.recv(2, socket.MSG_WAITALL)
                wire = self.request.recv(struct.unpack("!H", head)[0], socket.MSG_WAITALL)
                answer = authority.answer(wire)
                if answer:
                    self.request.sendall(struct.pack("!H", len(answer)) + answer)

        self._servers: list[socketserver.BaseServer] = []
        tcp = socketserver.ThreadingTCPServer((self.address, self.port), Tcp)
        self.port = tcp.server_address[1]
        self._servers = [tcp, socketserver.ThreadingUDPServer((self.address, self.port), Udp)]
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    # -- answering ----------------------------------------------------------------------------------------------------

    def answer(self, wire: bytes) -> bytes | None:
        if self.deaf > 0:
            self.deaf -= 1
            return None
        try:
            request = dns.message.from_wire(wire, keyring=self.keys)
        except dns.message.UnknownTSIGKey:
            return self._tsig_error(wire, dns.rcode.BADKEY)
        except dns.tsig.BadSignature:
            return self._tsig_error(wire, dns.rcode.BADSIG)
        except (dns.tsig.BadAlgorithm, dns.tsig.BadKey):
            return self._tsig_error(wire, dns.rcode.BADKEY)
        response = dns.message.make_response(request)
        if isinstance(request, dns.update.UpdateMessage):
            response.set_rcode(self._update(request))
        else:
            self._question(request, response)
        return response.to_wire()

    def _tsig_error(self, wire: bytes, error: int) -> bytes:
        """RFC 8945 §5.2: NOTAUTH with an unsigned TSIG that says why."""
        request = dns.message.from_wire(wire, keyring=False)
        response: Any = dns.message.make_response(request)
        message: Any = dns.message.Message
        response.set_rcode(dns.rcode.NOTAUTH)
        algorithm = dns.name.from_text("hmac-sha256")
        response.tsig = message._make_tsig(request.keyname, algorithm, 0, 300, b"", request.id, error, b"")
        return bytes(response.to_wire())

    def zone_of(self, name: str) -> str | None:
        inside = [z for z in self.zones if name == z or name.endswith("." + z)]
        return max(inside, key=len, default=None)

    def _question(self, request: dns.message.Message, response: dns.message.Message) -> None:
        question = request.question[0]
        name, rtype = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        self.questions.append((name, rtype))
        zone = self.zone_of(name)
        if self.rcode != dns.rcode.NOERROR:
            response.set_rcode(dns.rcode.Rcode(self.rcode))
            return
        if zone is None:
            response.set_rcode(dns.rcode.REFUSED)
            return
        if not self.lame:
            response.flags |= dns.flags.AA
        sets = self.zones[zone]
        soa = dns.rrset.from_text(zone + ".", 300, "IN", "SOA", f"ns.{zone}. host.{zone}. 1 1 1 1 300")
        if rtype == "SOA" and name == zone:
            response.answer.append(soa)
        elif (name, rtype) in sets:
            response.answer.append(dns.rrset.from_text(name + ".", 300, "IN", rtype, *sets[(name, rtype)]))
        else:
            response.authority.append(soa)
            if all(owner != name for owner, _type in sets):
                response.set_rcode(dns.rcode.NXDOMAIN)

    def _update(self, request: dns.update.UpdateMessage) -> dns.rcode.Rcode:
        """RFC 2136 §3.4.2, without prerequisites: deletions of sets, additions to sets; all or nothing."""
        if self.keys and not request.had_tsig:
            return dns.rcode.REFUSED
        zone = request.zone[0].name.to_text(omit_final_dot=True).lower()
        if zone not in self.zones:
            return dns.rcode.NOTAUTH
        sets = {owner: list(texts) for owner, texts in self.zones[zone].items()}
        for rrset in request.update:
            owner = rrset.name.to_text(omit_final_dot=True).lower()
            if owner != zone and not owner.endswith("." + zone):
                return dns.rcode.NOTZONE
            key = (owner, dns.rdatatype.to_text(rrset.rdtype))
            if rrset.deleting == dns.rdataclass.ANY:
                sets.pop(key, None)
            else:
                sets.setdefault(key, []).extend(item.to_text() for item in rrset)
        self.updates += 1
        if not self.frozen:
            self.zones[zone] = sets
        return dns.rcode.NOERROR
