# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DNS look-ups as the registry's DnsResolver says: the system's servers, or those it names."""

from __future__ import annotations

from typing import Any

import dns.exception
import dns.flags
import dns.name
import dns.resolver
import dns.reversename

from .registry import Registry


class LookupFailedError(OSError):
    """No answer could be had; trying later may help."""


class Resolver:
    """Blocking look-ups with the server's timeouts. A name or type that does not exist is an empty answer."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._resolver: dns.resolver.Resolver | None = None
        registry.on_reload.append(self._forget)

    def _forget(self) -> None:
        self._resolver = None

    def _current(self) -> dns.resolver.Resolver:
        if self._resolver is None:
            settings = self._registry.live_setting("DnsResolver")
            if settings["@type"] == "Custom":
                resolver = dns.resolver.Resolver(configure=False)
                servers = list(settings["servers"].values())
                resolver.nameservers = [server["address"] for server in servers]
                resolver.nameserver_ports = {server["address"]: server["port"] for server in servers}
            else:
                resolver = dns.resolver.Resolver()
            resolver.lifetime = settings.get("timeout", 5000) / 1000 * settings.get("attempts", 2)
            self._resolver = resolver
        return self._resolver

    def query(self, name: str, kind: str) -> list[Any]:
        """The records of a name. Raises LookupFailedError when nobody answers."""
        try:
            return list(self._current().resolve(name, kind, search=False))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer, dns.name.EmptyLabel, dns.name.LabelTooLong):
            return []
        except dns.exception.DNSException as error:
            raise LookupFailedError(f"{kind} {name}: {error}") from error

    def texts(self, name: str) -> list[str]:
        """TXT records, the strings of each put together."""
        return [b"".join(record.strings).decode("utf-8", "replace") for record in self.query(name, "TXT")]

    def addresses(self, name: str) -> list[str]:
        """IPv4 addresses, then IPv6 addresses."""
        return [record.address for kind in ("A", "AAAA") for record in self.query(name, kind)]

    def exchangers(self, name: str) -> list[str]:
        """MX hosts in order of preference; the name itself when there are none; empty for a null MX (RFC 7505)."""
        records = sorted(self.query(name, "MX"), key=lambda record: int(record.preference))
        hosts = [record.exchange.to_text(omit_final_dot=True) for record in records]
        return [host for host in hosts if host not in {"", "."}] if records else [name]

    def reverse(self, address: str) -> list[str]:
        """Names of an address that lead back to it (forward-confirmed), in DNS order."""
        names = self.query(dns.reversename.from_address(address).to_text(), "PTR")
        return [record.target.to_text(omit_final_dot=True) for record in names]
