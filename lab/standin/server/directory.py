# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts, aliases, lists and domains as the mail side sees them: live at once, cached until anything is written."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import passwords
from .schema import JsonObject
from .store import Store


@dataclass
class _View:
    version: int
    domains: dict[str, tuple[str, JsonObject]] = field(default_factory=dict)  # name or alias → (id, domain)
    names: dict[str, str] = field(default_factory=dict)  # domain id → name
    accounts: dict[str, JsonObject] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)  # address → account id
    lists: dict[str, list[str]] = field(default_factory=dict)  # address → members


@dataclass(frozen=True)
class Resolution:
    """What becomes of a recipient: ``accept``, ``rewrite``, ``expand``, ``unknown-recipient``, ``unknown-domain``."""

    kind: str
    addresses: tuple[str, ...] = ()


class Directory:
    """Look-ups over the registry's directory-like objects."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cached = _View(-1)

    @property
    def _view(self) -> _View:
        if self._cached.version != self._store.version:
            self._cached = self._build()
        return self._cached

    def _build(self) -> _View:
        view = _View(self._store.version)
        for domain_id, domain in self._store.all("Domain").items():
            view.names[domain_id] = domain["name"]
            if domain["isEnabled"]:
                for name in (domain["name"], *domain["aliases"]):
                    view.domains[name] = (domain_id, domain)
        # A domain's alias names reach the same mailboxes.
        every_name: dict[str, list[str]] = {}
        for name, (domain_id, _) in view.domains.items():
            every_name.setdefault(domain_id, []).append(name)
        for account_id, account in self._store.all("Account").items():
            view.accounts[account_id] = account
            entries = [account, *(a for a in account["aliases"].values() if a["enabled"])]
            for entry in entries:
                for name in every_name.get(entry["domainId"], []):
                    view.addresses[f"{entry['name']}@{name}"] = account_id
        for entry in self._store.all("MailingList").values():
            for alias in (entry, *(a for a in entry.get("aliases", {}).values() if a["enabled"])):
                for name in every_name.get(alias["domainId"], []):
                    view.lists[f"{alias['name']}@{name}"] = list(entry["recipients"])
        return view

    # -- names ------------------------------------------------------------------------------------------------------
    def domain_name(self, domain_id: str) -> str:
        """The name of a domain, empty when there is none."""
        return self._view.names.get(domain_id, "")

    def is_local_domain(self, name: str) -> bool:
        """Whether mail for a domain is ours."""
        return name.lower() in self._view.domains

    def address(self, entry: JsonObject) -> str:
        """The address of an account, alias or list."""
        return f"{entry['name']}@{self.domain_name(entry['domainId'])}"

    def is_local_address(self, address: str) -> bool:
        """Whether an address reaches an account or a list."""
        return address.lower() in self._view.addresses or address.lower() in self._view.lists

    def account_of(self, address: str) -> str | None:
        """The primary address of the account an address belongs to."""
        account_id = self._view.addresses.get(address.lower())
        return None if account_id is None else self.address(self._view.accounts[account_id])

    def addresses_of(self, primary: str) -> list[str]:
        """Every address an account may send from."""
        account_id = self._view.addresses.get(primary.lower())
        return [address for address, owner in self._view.addresses.items() if owner == account_id]

    # -- logging in -------------------------------------------------------------------------------------------------
    def login(self, name: str, password: str, remote_ip: str) -> tuple[str, JsonObject] | None:
        """``(id, account)`` of a user whose password matches, or ``None``. Aliases may log in too."""
        account_id = self._view.addresses.get(name.strip().lower())
        account = self._view.accounts.get(account_id or "")
        if account_id is None or account is None or account["@type"] != "User":
            return None
        for credential in account["credentials"].values():
            if credential["@type"] == "Password" and passwords.verify(credential["secret"], password):
                networks = credential["allowedIps"]
                inside = any(
                    ipaddress.ip_address(remote_ip) in ipaddress.ip_network(network, strict=False)
                    for network in networks
                )
                return (account_id, account) if inside or not networks else None
        return None

    def password_lines(self) -> list[tuple[str, str, str]]:
        """``(login, hash, primary address)`` of every user, for the IMAP server's password file."""
        result = []
        for address, account_id in self._view.addresses.items():
            account = self._view.accounts[account_id]
            for credential in account.get("credentials", {}).values():
                if credential["@type"] == "Password" and credential["secret"]:
                    result.append((address, credential["secret"], self.address(account)))
        return result

    # -- recipients -------------------------------------------------------------------------------------------------
    def resolve(
        self, address: str, custom_rule: Callable[[JsonObject, str], Any], catch_all: bool = True
    ) -> Resolution:
        """Where mail for an address goes. ``custom_rule`` evaluates a domain's own sub-addressing expression."""
        local, at, domain_part = address.lower().rpartition("@")
        found = self._view.domains.get(domain_part)
        if not at or found is None:
            return Resolution("unknown-domain")
        domain = found[1]
        base = local
        rule = domain["subAddressing"]
        if rule["@type"] == "Custom":
            base = str(custom_rule(rule["customRule"], local) or local)
        elif rule["@type"] == "Enabled":
            base = local.split("+", 1)[0]
        target = f"{base}@{domain_part}"
        if target in self._view.addresses:
            return Resolution("accept") if base == local else Resolution("rewrite", (target,))
        if target in self._view.lists:
            return Resolution("expand", tuple(self._view.lists[target]))
        if catch_all and domain["catchAllAddress"]:
            return Resolution("rewrite", (domain["catchAllAddress"],))
        # Whoever asks: a domain that allows relaying accepts what it does not know, strangers' mail too.
        return Resolution("accept" if domain["allowRelaying"] else "unknown-recipient")
