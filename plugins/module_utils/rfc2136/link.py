# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exchanges with a primary name server: questions, zone transfers (RFC 5936), updates (RFC 2136), under TSIG (RFC 8945).

Needs dnspython. Plain questions are asked without a key, so that they need no right.
"""

from __future__ import annotations

import binascii
import socket
from dataclasses import dataclass, field
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.tsig
import dns.tsigkeyring
import dns.update
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.axfr import (
    RR,
    BadTransferError,
    TransferRefusedError,
    transfer,
)

TIMEOUT = 5.0  #: seconds for one exchange
TRIES = 3
#: How many exchanges' time a transfer may take in all.
TRANSFER_SHARE = 12
#: What an update is answered whose key may not change the zone, or that came without one.
KEY_RCODES = (dns.rcode.NOTAUTH, dns.rcode.REFUSED)


@dataclass(frozen=True)
class Key:
    """A TSIG key: name, algorithm (of module.ALGORITHMS) and the secret in base64. Its text form does not show the secret."""

    name: str
    algorithm: str
    secret: str = field(repr=False)

    def tsig(self) -> dns.tsig.Key:
        """The key as dnspython takes it. Raises ValueError for a secret that is not base64 or a name that is none."""
        return self.ring()[dns.name.from_text(self.name)]

    def ring(self) -> Dict[dns.name.Name, dns.tsig.Key]:
        """Raises ValueError for a secret that is not base64 or a name that is none."""
        try:
            name = dns.name.from_text(self.name)
            found = dns.tsigkeyring.from_text({self.name: (dns.name.from_text(self.algorithm), self.secret)})
        except (binascii.Error, dns.exception.DNSException, ValueError) as error:
            raise ValueError("the key's name or secret is malformed (the secret has to be base64)") from error
        return {name: found[name]}


@dataclass(frozen=True)
class Server:
    """A primary server: host name or address, port, key for updates."""

    host: str
    port: int
    key: Optional[Key]

    @property
    def label(self) -> str:
        return self.host if self.port == 53 else f"{self.host} port {self.port}"


def build_update(
    zone: str, sets: Mapping[Tuple[str, str], Sequence[str]], ttl: int, key: Optional[Key] = None
) -> dns.update.UpdateMessage:
    """One update of a zone that replaces whole record sets, all or none of them.

    zone: canonical. sets: canonical contents by (owner name, type); none removes the set. ttl: seconds. Raises ValueError
    for a malformed key.
    """
    message = dns.update.UpdateMessage(dns.name.from_text(zone))
    if key is not None:
        message.use_tsig(key.tsig())
    for (name, rtype), contents in sorted(sets.items()):
        owner = dns.name.from_text(name)
        message.delete(owner, rtype)
        for content in contents:
            message.add(owner, ttl, rtype, rdata.presentation(rtype, content))
    return message


class NoAnswerError(Exception):
    """A message got no answer that could be read: what it asked for may have happened or not. The text says why."""


#: What a broken exchange raises: the network, an answer that cannot be read, a connection closed half-way.
_BROKEN = (OSError, EOFError, BadTransferError, dns.exception.DNSException)
_BAD_KEY = (dns.tsig.PeerError, dns.tsig.BadSignature, dns.message.UnknownTSIGKey)


class Connection:
    """Exchanges with one primary: questions over UDP with a fall-back to TCP, transfers and updates over TCP.

    May be used from several threads.
    """

    def __init__(self, server: Server, timeout: float = TIMEOUT) -> None:
        self.server, self.timeout = server, timeout
        self._address: Optional[str] = None

    def address(self) -> str:
        if self._address is None:
            try:
                found = socket.getaddrinfo(self.server.host, self.server.port, type=socket.SOCK_STREAM)
            except OSError as error:
                raise self._failure(f"its name cannot be resolved ({error.strerror or error})") from error
            self._address = str(found[0][4][0])
        return self._address

    def ask(self, name: str, rtype: str) -> dns.message.Message:
        """The server's answer to a direct question. Raises MailsteadError."""
        query = dns.message.make_query(name, rtype, use_edns=0, payload=1232)
        query.flags &= ~dns.flags.RD
        last = ""
        for _try in range(TRIES):
            try:
                answer, _tcp = dns.query.udp_with_fallback(
                    query, self.address(), timeout=self.timeout, port=self.server.port
                )
            except (OSError, dns.exception.DNSException) as error:
                last = _words(error)
                continue
            if answer.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                raise self._failure(f"it answers {dns.rcode.to_text(answer.rcode())} to {rtype} {name}")
            return answer
        raise self._failure(f"{rtype} {name}: {last}")

    def values(self, name: str, rtype: str) -> Tuple[str, ...]:
        """The canonical contents of a record set, sorted. Raises MailsteadError."""
        wanted = dns.rdatatype.from_text(rtype)
        found = [
            rdata.told(rtype, item.to_text())
            for rrset in self.ask(name, rtype).answer
            if rrset.rdtype == wanted and rrset.name == dns.name.from_text(name)
            for item in rrset
        ]
        return tuple(sorted(found))

    def zone_of(self, name: str) -> str:
        """The zone of this server that a name belongs to (from the SOA in its answer). Raises MailsteadError."""
        answer = self.ask(name, "SOA")
        for rrset in [*answer.answer, *answer.authority]:
            if rrset.rdtype == dns.rdatatype.SOA and answer.flags & dns.flags.AA:
                return rrset.name.to_text(omit_final_dot=True).lower()
        raise self._failure(f"it is not authoritative for {name}")

    def transfer(self, zone: str) -> List[RR]:
        """All records of a zone, the SOA once (AXFR). Raises MailsteadError."""
        top, last = dns.name.from_text(zone), ""
        for _try in range(TRIES):
            try:
                lifetime = self.timeout * TRANSFER_SHARE
                return transfer(self.address(), self.server.port, top, self._key(), self.timeout, lifetime)
            except _BAD_KEY as error:
                raise self._refused(_words(error)) from error
            except TransferRefusedError as error:
                raise self._no_transfer(zone, str(error)) from error
            except _BROKEN as error:
                last = _words(error)
        raise self._failure(f"the transfer of {zone}: {last}")

    def send(self, message: dns.update.UpdateMessage) -> dns.rcode.Rcode:
        """Sign and send an update once; the server's verdict. Raises NoAnswerError, MailsteadError for a refused key."""
        key = self._key()
        if key is not None:
            message.use_tsig(key)
        address = self.address()
        try:
            answer = dns.query.tcp(message, address, timeout=self.timeout, port=self.server.port)
        except _BAD_KEY as error:
            raise self._refused(_words(error)) from error
        except _BROKEN as error:
            raise NoAnswerError(_words(error)) from error
        return answer.rcode()

    def update(self, zone: str, sets: Mapping[Tuple[str, str], Sequence[str]], ttl: int) -> None:
        """Replace record sets. Raises MailsteadError; an update without an answer may have taken effect."""
        try:
            rcode = self.send(build_update(zone, sets, ttl))
        except NoAnswerError as error:
            raise self._failure(f"the update of {zone} got no answer: {error}") from error
        if rcode in KEY_RCODES:
            raise self.key_refused(zone, rcode)
        if rcode != dns.rcode.NOERROR:
            raise self._failure(f"the update of {zone} was answered {dns.rcode.to_text(rcode)}")

    def key_refused(self, zone: str, rcode: dns.rcode.Rcode) -> MailsteadError:
        """What an update's answer REFUSED or NOTAUTH means."""
        return self._refused(f"the update of {zone} was answered {dns.rcode.to_text(rcode)}")

    def _key(self) -> Optional[dns.tsig.Key]:
        try:
            return self.server.key.tsig() if self.server.key else None
        except ValueError as error:
            raise self._refused(str(error)) from error

    def _no_transfer(self, zone: str, rcode: str) -> MailsteadError:
        """A refused transfer has two usual reasons, which one question tells apart."""
        where = f"DNS server {self.server.label}, zone {zone}"
        try:
            holder = self.zone_of(zone)
        except MailsteadError:
            holder = ""
        if holder != zone:
            what = f"the server holds no zone of this name (it answers {rcode})" + (
                f"; the name is in its zone {holder}" if holder else ""
            )
            fix = "Correct the zone's name or the server, or create the zone on the server first."
            return MailsteadError.one("MS-DNS-070", where, what, fix)
        named = f"the key {self.server.key.name}" if self.server.key else "a request without a key"
        fix = "Allow the key to transfer the zone as well as to update it (knot: acl action; BIND: allow-transfer)."
        return MailsteadError.one("MS-DNS-071", where, f"the server refuses {named} the transfer: {rcode}", fix)

    def _failure(self, what: str) -> MailsteadError:
        fix = "Check server, port and zone, and that this host may reach it by UDP and TCP."
        return MailsteadError.one("MS-DNS-052", f"DNS server {self.server.label}", what, fix)

    def _refused(self, what: str) -> MailsteadError:
        key = self.server.key
        named = f"key {key.name} ({key.algorithm})" if key else "no key"
        fix = (
            "Compare name, algorithm and secret of the key with the server's, its rules for the zone, and both clocks."
        )
        return MailsteadError.one("MS-DNS-053", f"DNS server {self.server.label}, {named}", what, fix)


def _words(error: Exception) -> str:
    if isinstance(error, dns.tsig.PeerBadKey):
        return "the server does not know the key or does not let it do this (BADKEY)"
    if isinstance(error, dns.tsig.PeerBadSignature):
        return "the server computes another signature: the secret or the algorithm differs (BADSIG)"
    if isinstance(error, dns.tsig.PeerBadTime):
        return "the clocks differ too much (BADTIME)"
    if isinstance(error, dns.exception.Timeout):
        return "no answer in time"
    if isinstance(error, (EOFError, BadTransferError)):
        return str(error)
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"{type(error).__name__}: {error}"
