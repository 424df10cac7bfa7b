# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A name server with a fixed set of records, for testing one image of the lab without the rest of it."""

from __future__ import annotations

import ipaddress
import socket
import threading

import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset


class World:
    """Records by name and type; everything else does not exist. Data as in a master file."""

    def __init__(self) -> None:
        self._sets: dict[tuple[dns.name.Name, dns.rdatatype.RdataType], list[str]] = {}
        self._names: set[dns.name.Name] = set()

    def add(self, name: str, rtype: str, *data: str) -> None:
        owner = dns.name.from_text(name)
        self._sets[owner, dns.rdatatype.from_text(rtype)] = list(data)
        # The names above exist too, with nothing: a resolver must not take them for absent (RFC 8020).
        while owner != dns.name.root:
            self._names.add(owner)
            owner = owner.parent()

    def txt(self, name: str, text: str) -> None:
        parts = [text[i : i + 200] for i in range(0, len(text), 200)]
        self.add(name, "TXT", " ".join(f'"{part}"' for part in parts))

    def address(self, name: str, ipv4: str, ipv6: str) -> None:
        self.add(name, "A", ipv4)
        self.add(name, "AAAA", ipv6)

    def pointer(self, address: str, name: str) -> None:
        self.add(ipaddress.ip_address(address).reverse_pointer, "PTR", f"{name}.")

    def answer(self, query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query, recursion_available=True)
        question = query.question[0]
        data = self._sets.get((question.name, question.rdtype))
        if data is not None:
            response.answer.append(dns.rrset.from_text(question.name, 5, dns.rdataclass.IN, question.rdtype, *data))
        elif question.name not in self._names:
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response

    def serve(self, address: str) -> socket.socket:
        """Answer on UDP port 53 in the calling thread's network namespace until the returned socket is closed."""
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listener.bind((address, 53))

        def loop() -> None:
            while True:
                try:
                    data, peer = listener.recvfrom(4096)
                except OSError:
                    return
                listener.sendto(self.answer(dns.message.from_wire(data)).to_wire(), peer)

        threading.Thread(target=loop, name="dns-world", daemon=True).start()
        return listener
