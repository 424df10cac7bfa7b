# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who asks and what they may do: recovery administrator, accounts with roles, API keys."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import passwords
from .patching import format_id
from .schema import JsonObject

if TYPE_CHECKING:
    from .registry import Registry

RECOVERY_ACCOUNT = "d333333"  # the account id the server shows for the recovery administrator
_API_KEY = "API_"


@dataclass(frozen=True)
class Token:
    """An authenticated caller: the account it acts as, its name and what it may do."""

    account_id: str
    name: str
    permissions: frozenset[str]

    def may(self, permission: str) -> bool:
        """Whether the caller has a permission."""
        return permission in self.permissions


def _allowed_from(networks: JsonObject, remote_ip: str) -> bool:
    if not networks:
        return True
    address = ipaddress.ip_address(remote_ip)
    return any(address in ipaddress.ip_network(network, strict=False) for network in networks)


def new_api_key(account_number: int, credential_number: int) -> tuple[str, str]:
    """``(key shown once, secret to hash)``."""
    secret = secrets.token_urlsafe(24)
    head = account_number.to_bytes(4, "big") + credential_number.to_bytes(4, "big")
    return f"{_API_KEY}{base64.urlsafe_b64encode(head).decode().rstrip('=')}{secret}", secret


def _split_api_key(key: str) -> tuple[str, str, str] | None:
    body = key[len(_API_KEY) :]
    try:
        head = base64.urlsafe_b64decode(body[:11] + "=")
    except binascii.Error:
        return None
    if not key.startswith(_API_KEY) or len(head) != 8:
        return None
    return format_id(int.from_bytes(head[:4], "big")), format_id(int.from_bytes(head[4:], "big")), body[11:]


class Authenticator:
    """Turns credentials into tokens, from the registry as it is now: accounts are live at once."""

    def __init__(self, registry: Registry, recovery_admin: str | None) -> None:
        self.registry = registry
        name, colon, secret = (recovery_admin or "").partition(":")
        self.recovery = (name.strip(), secret.strip()) if colon else None

    def basic(self, name: str, password: str, remote_ip: str) -> Token | None:
        """A token for a user name and password, or ``None``."""
        if self.recovery is not None and hmac.compare_digest(name.encode(), self.recovery[0].encode()):
            if passwords.verify_or_plain(self.recovery[1], password):
                return Token(RECOVERY_ACCOUNT, name, self.registry.all_permissions())
            return None
        found = self.registry.login(name, password, remote_ip)
        return None if found is None else self.for_account(*found)

    def bearer(self, key: str, remote_ip: str) -> Token | None:
        """A token for an API key, or ``None``."""
        parts = _split_api_key(key)
        if parts is None:
            return None
        account_id, credential_id, secret = parts
        account = self.registry.store.get("Account", account_id)
        for credential in (account or {}).get("credentials", {}).values():
            if credential["@type"] == "ApiKey" and credential["credentialId"] == credential_id:
                if not _allowed_from(credential["allowedIps"], remote_ip):
                    return None
                if not passwords.verify(credential["secret"], secret):
                    return None
                token = self.for_account(account_id, account or {})
                return Token(token.account_id, token.name, _limited(token.permissions, credential["permissions"]))
        return None

    def for_account(self, account_id: str, account: JsonObject) -> Token:
        """The token of an account: permissions from its roles, then its own rules."""
        inherited = self._role_permissions(self._role_ids(account))
        rules = account["permissions"]
        if rules["@type"] == "Replace":
            inherited = frozenset(rules["enabledPermissions"])
        elif rules["@type"] == "Merge":
            inherited = (inherited | frozenset(rules["enabledPermissions"])) - frozenset(rules["disabledPermissions"])
        return Token(account_id, self.registry.directory.address(account), inherited)

    def _role_ids(self, account: JsonObject) -> list[str]:
        roles = account["roles"]
        if roles["@type"] == "Custom":
            return list(roles["roleIds"])
        settings = self.registry.current("Authentication")
        return list(settings["defaultAdminRoleIds" if roles["@type"] == "Admin" else "defaultUserRoleIds"])

    def _role_permissions(self, role_ids: list[str]) -> frozenset[str]:
        enabled: set[str] = set()
        disabled: set[str] = set()
        seen: set[str] = set()
        while role_ids:
            role_id = role_ids.pop()
            role = self.registry.store.get("Role", role_id)
            if role is None or role_id in seen:
                continue
            seen.add(role_id)
            enabled |= set(role["enabledPermissions"])
            disabled |= set(role["disabledPermissions"])
            role_ids += list(role["roleIds"])
        return frozenset(enabled - disabled)


def _limited(permissions: frozenset[str], rules: JsonObject) -> frozenset[str]:
    if rules["@type"] == "Disable":
        return permissions - frozenset(rules["permissions"])
    if rules["@type"] == "Replace":
        return permissions & frozenset(rules["permissions"])
    return permissions
