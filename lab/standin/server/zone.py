# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the server would publish for a domain: ``dnsZoneFile``, the MTA-STS policy, client configuration documents."""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from typing import TYPE_CHECKING

from . import keys
from .schema import JsonObject

if TYPE_CHECKING:
    from .registry import Registry

_CHUNK = 255
_MASK64 = (1 << 64) - 1


def public_key(signature: JsonObject) -> str | None:
    """The base64 public half of a DkimSignature, ``None`` when its key cannot be read."""
    return keys.public_key(signature)


# -- MTA-STS --------------------------------------------------------------------------------------------------------
def _siphash13(data: bytes) -> int:
    """SipHash-1-3 with a zero key: how the server turns a policy into its id."""
    v0, v1, v2, v3 = 0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573

    def rotate(value: int, bits: int) -> int:
        return (value << bits | value >> (64 - bits)) & _MASK64

    def mix() -> None:
        nonlocal v0, v1, v2, v3
        v0, v2 = (v0 + v1) & _MASK64, (v2 + v3) & _MASK64
        v1, v3 = rotate(v1, 13) ^ v0, rotate(v3, 16) ^ v2
        v0 = rotate(v0, 32)
        v2, v0 = (v2 + v1) & _MASK64, (v0 + v3) & _MASK64
        v1, v3 = rotate(v1, 17) ^ v2, rotate(v3, 21) ^ v0
        v2 = rotate(v2, 32)

    words = len(data) // 8
    for index in range(words):
        word = int.from_bytes(data[index * 8 : index * 8 + 8], "little")
        v3 ^= word
        mix()
        v0 ^= word
    last = (len(data) & 255) << 56 | int.from_bytes(data[words * 8 :], "little")
    v3 ^= last
    mix()
    v0 ^= last
    v2 ^= 0xFF
    for _ in range(3):
        mix()
    return v0 ^ v1 ^ v2 ^ v3


def _policy(registry: Registry) -> tuple[str, int, list[str]] | None:
    """``(mode, max_age in seconds, MX patterns)`` or ``None`` when there is no policy."""
    sts = registry.live_setting("MtaSts")
    if sts["mode"] == "disable":
        return None
    # Without MX hosts of its own the policy takes the configured host name, even an empty one (recorded id).
    configured = registry.live_setting("SystemSettings")["defaultHostname"]
    hosts = list(sts["mxHosts"]) or [mx["hostname"] or configured for mx in _exchangers(registry)]
    return (sts["mode"], sts["maxAge"] // 1000, sorted(set(hosts))) if hosts else None


def mta_sts_policy(registry: Registry) -> str | None:
    """The policy document (RFC 8461 §3.2) or ``None``."""
    policy = _policy(registry)
    if policy is None:
        return None
    mode, max_age, hosts = policy
    lines = ["version: STSv1", f"mode: {mode}", f"max_age: {max_age}", *(f"mx: {host}" for host in hosts)]
    return "".join(f"{line}\r\n" for line in lines)


def mta_sts_id(registry: Registry) -> str | None:
    """The ``id=`` of the ``_mta-sts`` record."""
    policy = _policy(registry)
    if policy is None:
        return None
    mode, max_age, hosts = policy
    data = {"enforce": 0, "testing": 1}[mode].to_bytes(8, "little")
    data += max_age.to_bytes(8, "little") + len(hosts).to_bytes(8, "little")
    for host in hosts:
        data += int(host.startswith("*.")).to_bytes(8, "little") + host.removeprefix("*.").encode() + b"\xff"
    return str(_siphash13(data))


# -- client configuration -------------------------------------------------------------------------------------------
def _exchangers(registry: Registry) -> list[JsonObject]:
    return list(registry.live_setting("SystemSettings")["mailExchangers"].values())


def _services(registry: Registry) -> list[tuple[str, str, bool]]:
    """``(protocol, host, whether clear text is offered)`` in the server's order."""
    services = registry.live_setting("SystemSettings")["services"]
    order = ["caldav", "carddav", "imap", "jmap", "managesieve", "pop3", "smtp", "webdav"]
    return [
        (name, services[name]["hostname"] or registry.hostname, services[name]["cleartext"])
        for name in order
        if name in services
    ]


def public_url(registry: Registry) -> str:
    """Where clients find the server on the web."""
    return (registry.settings.public_url or f"https://{registry.hostname}").rstrip("/")


def user_agent_configuration(registry: Registry) -> str:
    """The provider configuration document whose digest the ``_ua-auto-config`` record carries."""
    hosts = {protocol: host for protocol, host, _ in _services(registry)}
    protocols: JsonObject = {}
    for protocol in ("jmap", "imap", "pop3", "smtp", "caldav", "carddav", "webdav", "managesieve"):
        if protocol not in hosts:
            continue
        path = {"jmap": "jmap/session", "caldav": "dav/cal/", "carddav": "dav/card/", "webdav": "dav/file/"}
        if protocol in path:
            protocols[protocol] = {"url": f"https://{hosts[protocol]}/{path[protocol]}"}
        else:
            protocols[protocol] = {"host": hosts[protocol]}
    document = {
        "protocols": protocols,
        "authentication": {"oauth-public": {"issuer": public_url(registry)}, "password": True},
        "info": {"provider": {"name": "Stalwart"}},
    }
    return json.dumps(document, separators=(",", ":"))


def autoconfig(registry: Registry, address: str) -> str:
    """The Thunderbird-style configuration for an address; without one, for the server's own name."""
    local, at, domain = address.lower().rpartition("@")
    who, domain = (f"{local}@{domain}", domain) if at else ("%EMAILADDRESS%", registry.hostname)
    who, domain = escape(who), escape(domain)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<clientConfig version="1.1">',
        f'\t<emailProvider id="{domain}">',
        f"\t\t<domain>{domain}</domain>",
        f"\t\t<displayName>{who}</displayName>",
        f"\t\t<displayShortName>{domain}</displayShortName>",
    ]
    kinds = {"smtp": ("outgoingServer", 587, 465), "imap": ("incomingServer", 143, 993)}
    kinds["pop3"] = ("incomingServer", 110, 995)
    for protocol, host, cleartext in _services(registry):
        if protocol in kinds:
            tag, plain, tls = kinds[protocol]
            offers = [(plain, "STARTTLS")] if cleartext else []
            for port, kind in [*offers, (tls, "SSL")]:
                lines += [
                    f'\t\t<{tag} type="{protocol}">',
                    f"\t\t\t<hostname>{host}</hostname>",
                    f"\t\t\t<port>{port}</port>",
                    f"\t\t\t<socketType>{kind}</socketType>",
                    f"\t\t\t<username>{who}</username>",
                    "\t\t\t<authentication>password-cleartext</authentication>",
                    f"\t\t</{tag}>",
                ]
    lines.append("\t</emailProvider>")
    folders = {"carddav": ("addressBook", "card"), "caldav": ("calendar", "cal"), "webdav": ("fileShare", "file")}
    for protocol, host, _ in _services(registry):
        if protocol in folders:
            tag, path = folders[protocol]
            lines += [
                f'\t<{tag} type="{protocol}">',
                f"\t\t<username>{who}</username>",
                "\t\t<authentication>http-basic</authentication>",
                f"\t\t<serverURL>https://{host}/dav/{path}</serverURL>",
                f"\t</{tag}>",
            ]
    update = f'\t<clientConfigUpdate url="https://autoconfig.{domain}/mail/config-v1.1.xml"></clientConfigUpdate>'
    return "\n".join([*lines, update, "</clientConfig>", ""])


# -- zone file ------------------------------------------------------------------------------------------------------
def _txt(text: str) -> str:
    if len(text) <= _CHUNK:
        return f'"{text}"'
    chunks = [text[i : i + _CHUNK] for i in range(0, len(text), _CHUNK)]
    return "(\n" + "".join(f'    "{chunk}"\n' for chunk in chunks) + ")"


def _dkim_records(registry: Registry, domain_id: str, name: str) -> list[tuple[str, str, str]]:
    records = []
    for signature in registry.store.all("DkimSignature").values():
        public = keys.public_key(signature) if signature["domainId"] == domain_id else None
        if public is not None:
            text = f"v=DKIM1; k={keys.algorithm_of(signature)}; h=sha256; p={public}"
            records.append((f"{signature['selector']}._domainkey.{name}", "TXT", _txt(text)))
    return records


def _srv_records(registry: Registry, name: str) -> list[tuple[str, str, str]]:
    web = {"jmap": "jmap", "caldav": "caldavs", "carddav": "carddavs"}
    mail = {"imap": (("imap", 143), ("imaps", 993)), "pop3": (("pop3", 110), ("pop3s", 995))}
    mail["smtp"] = (("submission", 587), ("submissions", 465))
    records = []
    for protocol, host, cleartext in _services(registry):
        offers = [(web[protocol], 443)] if protocol in web else list(mail.get(protocol, ()))
        if protocol in mail and not cleartext:
            offers = offers[1:]
        records += [(f"_{service}._tcp.{name}", "SRV", f"0 1 {port} {host}.") for service, port in offers]
    return records


def zone_file(registry: Registry, domain_id: str, domain: JsonObject) -> str:
    """The records of a domain in BIND's format, in the server's order. TLSA and CAA need what the lab never sets."""
    name, host = domain["name"], registry.hostname
    exchangers = [(mx["hostname"] or host, mx["priority"]) for mx in _exchangers(registry)]
    records = _dkim_records(registry, domain_id, name)
    records += [
        (mx, "TXT", _txt("v=spf1 a -all")) for mx in sorted({m for m, _ in exchangers}) if mx.endswith(f".{name}")
    ]
    records.append((name, "TXT", _txt("v=spf1 mx -all")))
    records += [(name, "MX", f"{priority} {mx}.") for mx, priority in exchangers]
    uri = domain["reportAddressUri"]
    if uri and uri.startswith("mailto:") and "@" not in uri:
        uri = f"{uri}@{name}"
    if uri:
        records.append((f"_dmarc.{name}", "TXT", _txt(f"v=DMARC1; p=reject; rua={uri}")))
    records += _srv_records(registry, name)
    policy_id = mta_sts_id(registry)
    if policy_id is not None:
        records.append((f"mta-sts.{name}", "CNAME", f"{host}."))
        records.append((f"_mta-sts.{name}", "TXT", _txt(f"v=STSv1; id={policy_id}")))
    if uri:
        records.append((f"_smtp._tls.{name}", "TXT", _txt(f"v=TLSRPTv1; rua={uri}")))
    digest = base64.b64encode(hashlib.sha256(user_agent_configuration(registry).encode()).digest()).decode()
    records.append((f"ua-auto-config.{name}", "CNAME", f"{host}."))
    records.append((f"_ua-auto-config.{name}", "TXT", _txt(f"v=UAAC1; a=sha256; d={digest}")))
    records += [(f"{label}.{name}", "CNAME", f"{host}.") for label in ("autoconfig", "autodiscover")]
    return "".join(f"{owner}. IN {kind} {value}\n" for owner, kind, value in records)
