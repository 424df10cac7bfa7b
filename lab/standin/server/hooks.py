# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the server checks and fills in beyond the schema when an object of a certain type is written."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from . import keys, passwords, sieve
from .patching import format_id, parse_id
from .schema import MASK, JsonObject

if TYPE_CHECKING:
    from .registry import Registry

SetError = JsonObject
Hook = Callable[["Registry", JsonObject, "JsonObject | None"], "SetError | None"]


def set_error(kind: str, description: str | None = None, *properties: str) -> SetError:
    """A SetError as the API writes it."""
    error: SetError = {"type": kind}
    if description is not None:
        error["description"] = description
    if properties:
        error["properties"] = list(properties)
    return error


def now_text() -> str:
    """The time now as the API writes it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _credential_id(credential: JsonObject) -> int | None:
    return parse_id(credential.get("credentialId"))


def _check_new_credential(registry: Registry, credential: JsonObject, has_password: bool) -> SetError | None:
    if credential["@type"] != "Password":
        return set_error("invalidProperties", "Secondary credentials cannot be set directly.", "credentials")
    if has_password:
        return set_error("invalidProperties", "Only one password credential is allowed.", "credentials")
    return _hash_secret(registry, credential)


def _hash_secret(registry: Registry, credential: JsonObject) -> SetError | None:
    if passwords.is_hash(credential["secret"]):
        return None
    policy = registry.live_setting("Authentication")
    weak = passwords.weakness(
        credential["secret"],
        policy["passwordMinLength"],
        policy["passwordMaxLength"],
        policy["passwordMinStrength"],
    )
    if weak is not None:
        return set_error("invalidProperties", weak, "secret")
    credential["secret"] = passwords.hash_password(credential["secret"])
    return None


def _account(registry: Registry, new: JsonObject, old: JsonObject | None) -> SetError | None:
    if old is not None and old["@type"] != new["@type"]:
        return set_error("invalidProperties", "Cannot change the type of an existing account.", "@type")
    if new["@type"] != "User":
        return None
    known = {
        number: credential
        for credential in (old or {}).get("credentials", {}).values()
        if (number := _credential_id(credential)) is not None
    }
    has_password = any(c["@type"] == "Password" and _credential_id(c) is not None for c in new["credentials"].values())
    fresh = []
    for credential in new["credentials"].values():
        number = _credential_id(credential)
        before = known.get(number) if number is not None else None
        if before is None:
            error = _check_new_credential(registry, credential, has_password)
            if error is not None:
                return error
            fresh.append(credential)
            has_password = has_password or old is None
        elif credential["secret"] == MASK:
            # The mask sent back by mistake inside an existing credential changes nothing.
            credential["secret"] = before["secret"]
        elif credential["secret"] != before["secret"]:
            if credential["@type"] != "Password":
                return set_error("forbidden", "Cannot change app password or API credentials through this method.")
            error = _hash_secret(registry, credential)
            if error is not None:
                return error
    last = max(known, default=-1 if old is None else 0)
    for credential in fresh:
        last += 1
        credential["credentialId"] = format_id(last)
    return None


def _domain(registry: Registry, new: JsonObject, old: JsonObject | None) -> SetError | None:
    before = {old["name"], *old["aliases"]} if old is not None else set()
    for prop, name in [("name", new["name"]), *(("aliases", alias) for alias in new["aliases"])]:
        if name in before or (prop == "aliases" and name == new["name"]):
            continue
        for domain_id, domain in registry.store.all("Domain").items():
            taken = domain["aliases"] if prop == "name" else {domain["name"], *domain["aliases"]}
            if name in taken:
                return {
                    **set_error("primaryKeyViolation", None, prop),
                    "objectId": {"object": "Domain", "id": domain_id},
                }
    return None


def _dkim(registry: Registry, new: JsonObject, old: JsonObject | None) -> SetError | None:
    if old is not None and old["privateKey"] == new["privateKey"]:
        return None
    try:
        keys.signing_key(new)
    except keys.KeyTextError as error:
        return set_error(
            "invalidProperties",
            f"Failed to validate DKIM signature: DKIM build error (dkim.build-error): reason = {error}",
        )
    return None


def _certificate(registry: Registry, new: JsonObject, old: JsonObject | None) -> SetError | None:
    if old is not None and old["certificate"] == new["certificate"]:
        return None
    try:
        new.update(keys.describe_certificate(keys.read_text(new["certificate"])))
    except (keys.KeyTextError, ValueError) as error:
        return set_error("invalidProperties", f"Failed to read certificate: {error}", "certificate")
    return None


def _sieve_script(registry: Registry, new: JsonObject, old: JsonObject | None) -> SetError | None:
    if old is not None and old["contents"] == new["contents"]:
        return None
    try:
        sieve.compile_script(new["contents"])
    except sieve.CompileError as error:
        return set_error("invalidProperties", f"Failed to compile system Sieve script: {error}", "contents")
    return None


HOOKS: dict[str, Hook] = {
    "Account": _account,
    "Domain": _domain,
    "DkimSignature": _dkim,
    "Certificate": _certificate,
    "SieveSystemScript": _sieve_script,
}

# Types the server would reach out to the Internet for; the stand-in says so instead of pretending.
NOT_SUPPORTED = {
    "AcmeProvider": "ACME accounts are not part of the stand-in.",
    "AppPassword": "App passwords are not part of the stand-in.",
    "DnsServer": "DNS providers are not part of the stand-in.",
    "Directory": "External directories are not part of the stand-in.",
}


def after_create(registry: Registry, object_type: str, object_id: str, obj: JsonObject) -> None:
    """Tasks that follow a creation: a domain with automatic DKIM management gets its own keys at once."""
    if object_type == "Domain" and obj["dkimManagement"]["@type"] == "Automatic":
        template = str(obj["dkimManagement"]["selectorTemplate"])
        for variant, algorithm in (("Dkim1RsaSha256", "rsa"), ("Dkim1Ed25519Sha256", "ed25519")):
            if variant not in obj["dkimManagement"]["algorithms"]:
                continue
            signature = registry.schema.default("x:DkimSignature", variant)
            signature.update(
                domainId=object_id,
                selector=keys.selector_from(template, algorithm),
                privateKey={"@type": "Text", "secret": keys.generate_pem(algorithm)},
                createdAt=now_text(),
            )
            registry.store.insert("DkimSignature", signature)
