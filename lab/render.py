# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that a machine of the lab finds when it starts, as bytes by absolute path. Pure but for reading build/lab."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from lab import dns, names, paths, pki
from lab.names import (
    EXMAIL,
    FORWARDER,
    FORWARDER_LAST,
    PROVIDER_EXCHANGES,
    ROUTING,
    ROUTING_DKIM,
    STRANGER_SELECTOR,
    TWIN_KEY,
    TWIN_ZONES,
    Record,
    Zone,
)
from lab.secrets import Secrets, ssh_key
from lab.topology import (
    GUARDED4,
    GUARDED6,
    HOSTS,
    NETWORKS,
    RESOLVER,
    RESOLVER6,
    SMARTHOSTS,
    TEAM,
    TUNNEL_EDGE_LAST,
    Host,
    core6,
)

ANCHOR_FILE = "/usr/local/share/ca-certificates/mailstead-lab.crt"
CANARY = "canary@strict.example.org"
#: A mailbox at one of the large providers, by the provider's domain: where forwarded mail ends. Same password.
MAILBOXES = {"gmail.com": "you@gmail.com", "163.com": "friend@163.com"}
#: How a provider with a mailbox judges mail (lab/images/receiver/settings.py); the others as the receiver itself does.
MANNERS = {"gmail.com": "authenticated", "163.com": "lenient"}
#: The domain whose mailboxes are at Tencent Exmail, the mailbox, its other names, and what a token for the zone may do.
HOSTED_ZONE, HOSTED_MAILBOX = "example.cn", "you@example.cn"
HOSTED_ALIASES = ("postmaster", "abuse", "dmarc")
HOSTED_SCOPES = ("Zone:Read", "DNS:Edit", "Email Sending:Edit")
#: The zone that is served by Email Routing, and what a token for that has to allow.
ROUTED_ZONE = "example.me"
ROUTING_SCOPES = (
    "Zone:Read",
    "DNS:Edit",
    "Zone Settings:Edit",
    "Email Routing Rules:Edit",
    "Email Routing Addresses:Edit",
    "Workers Scripts:Edit",
    "Analytics:Read",
    "Account Settings:Read",
)
#: The zone that applications send as, and what a token for an internal sender has to allow.
SENDER_ZONE = "example.com"
SMTP_SCOPES = ("Zone:Read", "Email Sending:Edit")
SENDER_SCOPES = (
    *ROUTING_SCOPES,
    "Email Sending:Edit",
    "Cloudflare Tunnel:Edit",
    "Access: Apps and Policies:Edit",
    "Access: Service Tokens:Edit",
    "Access: Organizations, Identity Providers, and Groups:Read",
)


@dataclass(frozen=True)
class File:
    content: bytes
    mode: int = 0o644


@dataclass(frozen=True)
class World:
    """What the files are made from: the zones with their keys, the secrets, the static authority (PEM)."""

    zones: tuple[Zone, ...]
    keys: dict[str, dns.SigningKey]
    secrets: Secrets
    authority: bytes
    stranger_dkim: bytes
    routing_dkim: bytes
    routing_dkim_record: str


def world(secrets: Secrets) -> World:
    """Make or load everything that lives in build/lab."""
    authority = pki.ensure()
    private, published = pki.dkim_key("stranger")
    record = Record(f"{STRANGER_SELECTOR}._domainkey.stranger.example.org", "TXT", published)
    routing, routing_record = pki.dkim_key("routing")
    customers = Record(names.SMTP2GO_DKIM, "TXT", pki.dkim_key("smtp2go")[1])
    # Nobody in the lab holds these: tests sign with them, and inventories publish what belongs to them.
    for name in ("hosted", "bulk"):
        pki.dkim_key(name)
    zones = names.all_zones((record, customers, Record(ROUTING_DKIM, "TXT", routing_record)))
    return World(zones, dns.signing_keys(zones), secrets, authority, private, routing, routing_record)


RESOLV_CONF = f"nameserver {RESOLVER}\noptions edns0 trust-ad timeout:3 attempts:2\n"


def files(machine: Host, facts: World) -> dict[str, File]:
    """Everything for one machine, by absolute path."""
    found = {
        "/lab/config.json": File(_json(settings(machine, facts)), 0o600),
        "/lab/pki/ca.crt": File(facts.authority),
        "/usr/share/dns/root.hints": File(dns.root_hints().encode()),
        "/usr/share/dns/root.key": File(dns.root_anchor(facts.keys).encode()),
    }
    for certificate in machine.certificates:
        for ending, mode in (("crt", 0o644), ("key", 0o600)):
            name = f"{certificate.name}.{ending}"
            found[f"/lab/pki/{name}"] = File((paths.PKI / name).read_bytes(), mode)
    if machine.trusts:
        found[ANCHOR_FILE] = File(facts.authority)
    if machine.ssh:
        private, public = ssh_key(f"host_{machine.name}")
        found["/etc/ssh/ssh_host_ed25519_key"] = File(private, 0o600)
        found["/etc/ssh/ssh_host_ed25519_key.pub"] = File(f"{public}\n".encode())
        found["/root/.ssh/authorized_keys"] = File(f"{ssh_key('id_ed25519')[1]} mailstead-lab\n".encode(), 0o600)
    if machine.name == "stranger":
        found["/lab/pki/dkim.key"] = File(facts.stranger_dkim, 0o600)
    if machine.name == "routing":
        found["/lab/pki/dkim.key"] = File(facts.routing_dkim, 0o600)
    if machine.name == "dns":
        for name, text in dns.knot_files(facts.zones, facts.keys, facts.secrets.tsig()).items():
            found[f"/lab/dns/{name}"] = File(text.encode(), 0o600)
    if machine.name == "resolver":
        found["/lab/dns/unbound.conf"] = File(dns.unbound_config().encode())
    return found


def _json(data: Any) -> bytes:
    return (json.dumps(data, indent=1) + "\n").encode()


def settings(machine: Host, facts: World) -> dict[str, Any]:
    """/lab/config.json of one machine."""
    own = {"twin": _twin, "routing": _routing, "tunnel-edge": _tunnel_edge}.get(machine.settings)
    return own(facts) if own else _common(machine, facts)


def _twin(facts: World) -> dict[str, Any]:
    """As lab/twins/cloudflare/config.py defines it. The zones are signed by the lab's DNS, so the API says so."""
    return {
        "listen": ["0.0.0.0:443"],
        "tls_cert": "/lab/pki/cloudflare.crt",
        "tls_key": "/lab/pki/cloudflare.key",
        "zones": [{"name": z, "dnssec": "active"} for z in TWIN_ZONES],
        "tokens": [
            {"token": facts.secrets.cloudflare_token, "scopes": ["Zone:Read", "DNS:Edit"]},
            {"token": facts.secrets.cloudflare_routing_token, "scopes": list(ROUTING_SCOPES), "zones": [ROUTED_ZONE]},
            {"token": facts.secrets.cloudflare_hosted_token, "scopes": list(HOSTED_SCOPES), "zones": [HOSTED_ZONE]},
            {"token": facts.secrets.cloudflare_sender_token, "scopes": list(SENDER_SCOPES), "zones": [SENDER_ZONE]},
            # The password at Email Sending's SMTP server is a token like the others.
            {"token": facts.secrets.smarthost_cloudflare_password, "scopes": list(SMTP_SCOPES), "zones": [SENDER_ZONE]},
        ],
        "zero_trust": {"team": TEAM},
        "tunnel_edge": {"ipv4": [f"198.18.0.{TUNNEL_EDGE_LAST}"], "ipv6": [core6(str(TUNNEL_EDGE_LAST))]},
        "email": {"dkim_public_key": facts.routing_dkim_record.partition("p=")[2]},
        "ddns": {
            "server": names.SERVERS[2].ipv4()[0],
            "tsig_name": TWIN_KEY,
            "tsig_secret": facts.secrets.tsig_twin,
            "tsig_algorithm": dns.TSIG_ALGORITHM,
        },
        "control_token": facts.secrets.twin_control_token,
    }


def _routing(facts: World) -> dict[str, Any]:
    """As lab/email_routing/config.py defines it."""
    return {
        "listeners": [
            {
                "name": name,
                "addresses": [f"198.18.0.{last}", core6(str(last))],
                "certificate": f"/lab/pki/{name}.crt",
                "key": f"/lab/pki/{name}.key",
            }
            for name, last in ROUTING
        ],
        "identity": {
            "hostname": FORWARDER,
            "ipv4": f"198.18.0.{FORWARDER_LAST}",
            "ipv6": core6(str(FORWARDER_LAST)),
        },
        "control": {
            "url": "https://api.cloudflare.com",
            "token": facts.secrets.twin_control_token,
            "authority": "/lab/pki/ca.crt",
        },
        "secret": facts.secrets.srs_secret,
        "dkim_key": "/lab/pki/dkim.key",
        "workerd": "/lab/workerd/workerd",
        "outbound": [GUARDED4, GUARDED6],
    }


def _tunnel_edge(facts: World) -> dict[str, Any]:
    """As lab/tunnel_edge/config.py defines it."""
    return {
        "certificate": "/lab/pki/tunnel-edge.crt",
        "key": "/lab/pki/tunnel-edge.key",
        "control": {
            "url": "https://api.cloudflare.com",
            "token": facts.secrets.twin_control_token,
            "authority": "/lab/pki/ca.crt",
        },
    }


def _common(machine: Host, facts: World) -> dict[str, Any]:
    link = machine.links[0]
    data: dict[str, Any] = {
        "name": machine.name,
        "hostname": machine.hostname,
        "ipv4": link.ipv4,
        "ipv6": link.ipv6,
        "extra": list(link.extra),
        "resolver": {"ipv4": RESOLVER, "ipv6": RESOLVER6, "port": 53},
        "networks": {n.name: {"ipv4": n.ipv4, "ipv6": n.ipv6} for n in NETWORKS},
        "hosts": {h.name: {"ipv4": h.address4(), "ipv6": h.address6(), "hostname": h.hostname} for h in HOSTS},
        "certificates": {
            c.name: {"names": list(c.names), "cert": f"/lab/pki/{c.name}.crt", "key": f"/lab/pki/{c.name}.key"}
            for c in machine.certificates
        },
        "authority": "/lab/pki/ca.crt",
    }
    if machine.name == "receiver":
        data["domain"] = "strict.example.org"
        data["canary"] = {"address": CANARY, "password": facts.secrets.canary_password}
        data["providers"] = _providers()
    if machine.name == "stranger":
        data["domain"] = "stranger.example.org"
        data["dkim"] = {"selector": STRANGER_SELECTOR, "key": "/lab/pki/dkim.key"}
    if machine.name == "smarthost":
        data["smarthosts"] = _smarthosts(facts.secrets)
    if machine.name == "release":
        data["pool"] = "/lab/pool"
        data["registry"] = "/lab/registry"
        data["frp"] = "/lab/frp"
        data["cloudflared"] = "/lab/cloudflared"
    return data


def _providers() -> list[dict[str, Any]]:
    """The exchangers that the receiver lends its Postfix to, as lab/images/receiver/settings.py reads them."""
    known = [
        {
            **_exchanger(exchange, last),
            "domain": domain,
            "mailbox": MAILBOXES.get(domain, ""),
            "manners": MANNERS.get(domain, ""),
        }
        for domain, exchange, last in PROVIDER_EXCHANGES
    ]
    hosted = {
        "domain": HOSTED_ZONE,
        "mailbox": HOSTED_MAILBOX,
        "aliases": [f"{local}@{HOSTED_ZONE}" for local in HOSTED_ALIASES],
    }
    return known + [{**_exchanger(exchange, last), **hosted} for exchange, last in EXMAIL]


def _smarthosts(secrets: Secrets) -> list[dict[str, Any]]:
    """As lab/smarthost/config.py defines them. What they say of themselves is what the providers say, where it is known."""
    implicit, starttls = {"port": 465, "tls": "implicit"}, {"port": 587, "tls": "starttls"}
    own: dict[str, dict[str, Any]] = {
        "cloudflare": {
            "ports": [implicit],
            "identity": "mx.cloudflare.net",
            "banner": "mx.cloudflare.net Cloudflare Email ESMTP Service ready",
            "size": 5242880,
            "recipients": 50,
            "username": "api_token",
            "password": secrets.smarthost_cloudflare_password,
            "label": names.SENDING_LABEL,
            "proof": ["TXT", "v=spf1 include:_spf.mx.cloudflare.net"],
        },
        "smtp2go": {
            "ports": [implicit, starttls, {"port": 2525, "tls": "starttls"}],
            "identity": "mail.smtp2go.com",
            "banner": "mail.smtp2go.com ESMTP Exim",
            "size": 52428800,
            "recipients": 100,
            "username": "notify",
            "password": secrets.smarthost_smtp2go_password,
            "label": names.SMTP2GO_LABEL,
            "proof": ["CNAME", names.SMTP2GO_RETURN],
        },
        # Has no customer: it is there to refuse.
        "gmail": {
            "ports": [implicit, starttls],
            "identity": "smtp.gmail.com",
            "banner": "smtp.gmail.com ESMTP d2e1a72fcca58-7ba0428 - gsmtp",
            "size": 35882577,
            "recipients": 100,
        },
    }
    return [
        {
            "name": name,
            "host": entry,
            "sender": sender,
            "ipv4": f"198.18.0.{last}",
            "ipv6": core6(str(last)),
            "cert": f"/lab/pki/{entry}.crt",
            "key": f"/lab/pki/{entry}.key",
            **own[name],
        }
        for name, (entry, sender, last) in SMARTHOSTS.items()
    ]


def _exchanger(name: str, last: int) -> dict[str, Any]:
    return {
        "exchange": name,
        "ipv4": f"198.18.0.{last}",
        "ipv6": core6(str(last)),
        "cert": f"/lab/pki/{name}.crt",
        "key": f"/lab/pki/{name}.key",
    }
