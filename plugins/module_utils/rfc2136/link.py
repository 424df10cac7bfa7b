# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DNS updates (RFC 2136) authenticated by TSIG (RFC 8945).

Needs dnspython. Reading is done by plain questions without a key, so that a dry run needs no right to write.
"""

from __future__ import annotations

import binascii
import socket
from dataclasses import dataclass, field
from typing import Dict, Mapping, Optional, Sequence, Tuple

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

ALGORITHMS = ("hmac-sha256", "hmac-sha384", "hmac-sha512")
TIMEOUT = 5.0  #: seconds for one exchange
TRIES = 3


@dataclass(frozen=True)
class Key:
    """A TSIG key: name, algorithm (of ALGORITHMS) and the secret in base64. Its text form does not show the secret."""

    name: str
    algorithm: str
    secret: str = field(repr=False)

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
        message.use_tsig(key.ring(), dns.name.from_text(key.name), algorithm=dns.name.from_text(key.algorithm))
    for (name, rtype), contents in sorted(sets.items()):
        owner = dns.name.from_text(name)
        message.delete(owner, rtype)
        for content in contents:
            message.add(owner, ttl, rtype, rdata.presentation(rtype, content))
    return message


class Connection:
    """Exchanges with one primary: questions over UDP with a fall-back to TCP, updates over TCP."""

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
            rdata.canonical(rtype, item.to_text())
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

    def update(self, zone: str, sets: Mapping[Tuple[str, str], Sequence[str]], ttl: int) -> None:
        """Replace record sets. Raises MailsteadError; an update without an answer may have taken effect."""
        try:
            message = build_update(zone, sets, ttl, self.server.key)
        except ValueError as error:
            raise self._refused(str(error)) from error
        try:
            answer = dns.query.tcp(message, self.address(), timeout=self.timeout, port=self.server.port)
        except (dns.tsig.PeerError, dns.tsig.BadSignature, dns.message.UnknownTSIGKey) as error:
            raise self._refused(_words(error)) from error
        except (OSError, dns.exception.DNSException) as error:
            raise self._failure(f"the update of {zone} got no answer: {_words(error)}") from error
        if answer.rcode() != dns.rcode.NOERROR:
            text = dns.rcode.to_text(answer.rcode())
            if answer.rcode() in (dns.rcode.NOTAUTH, dns.rcode.REFUSED):
                raise self._refused(f"the update of {zone} was answered {text}")
            raise self._failure(f"the update of {zone} was answered {text}")

    def _failure(self, what: str) -> MailsteadError:
        fix = "Check server, port and zone, and that this host may reach it by UDP and TCP."
        return MailsteadError.one("MS-DNS-052", f"DNS server {self.server.label}", what, fix)

    def _refused(self, what: str) -> MailsteadError:
        key = self.server.key
        named = f"key {key.name} ({key.algorithm})" if key else "no key"
        fix = "Compare name, algorithm and secret of the key with the server's, its update rule for the zone, and both clocks."
        return MailsteadError.one("MS-DNS-053", f"DNS server {self.server.label}, {named}", what, fix)


def _words(error: Exception) -> str:
    if isinstance(error, dns.tsig.PeerBadKey):
        return "the server does not know the key (BADKEY)"
    if isinstance(error, dns.tsig.PeerBadSignature):
        return "the server computes another signature: the secret or the algorithm differs (BADSIG)"
    if isinstance(error, dns.tsig.PeerBadTime):
        return "the clocks differ too much (BADTIME)"
    if isinstance(error, dns.exception.Timeout):
        return "no answer in time"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"{type(error).__name__}: {error}"
