# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every mail server of ours has, whatever it is for: objects in the form the module stalwart_objects takes.

Pure. Everything is written as a user of the module would write it (lists, durations, references by name), so that
the result can be read in ``plan.yml`` and in a diff. Secrets appear as the names of their references;
:func:`fill_secrets` puts the values in on the way to the target.

Defaults that differ from the server's own, and why:

- Web UI, Pyzor and ASN downloads off: they need the outside at start (and a Pyzor host that does not resolve makes
  every ReloadSettings fail). Switchable in :class:`ServerOptions`.
- Bans end after a day: the server's own last for ever, and through a tunnel a mistake of ours would ban for ever too.
- POP3 and ManageSieve closed: nothing of ours offers them.
- Reports: aggregate reports (DMARC, TLS) are sent daily, as other operators rely on them. Reports on single messages
  (RFC 6591) are not: they carry other people's mail, and hardly anybody asks for them.
- Signatures without ``r=y``: it invites reports that nobody here reads (RFC 6651).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Mapping, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import Listener

Objects = List[Dict[str, Any]]

_ALGORITHMS = {"rsa": "Dkim1RsaSha256", "ed25519": "Dkim1Ed25519Sha256"}
_MANUAL = {"@type": "Manual"}
#: What a fresh server opens besides ours.
_DEFAULT_LISTENERS = ("smtp", "submissions", "imaps", "pop3s", "sieve", "https", "http")
#: The server's own throttles, by the descriptions they come with: messages of one address, and to one recipient.
ADDRESS_THROTTLE = "Sender IP throttle"
RECIPIENT_THROTTLE = "Sender address to recipient throttle"


@dataclass(frozen=True)
class ServerOptions:
    """What is not in the plan. Paths are those inside the container; certificate "" while there is none.

    allowed_ips: addresses that are never banned and not limited in messages for one recipient, such as vantages of the
    checks. ban_period: how long a ban lasts.
    resolvers: addresses of validating resolvers; empty leaves the container's resolv.conf in force.
    """

    certificate: str = "/etc/mailstead/tls/fullchain.pem"
    certificate_key: str = "/etc/mailstead/tls/privkey.pem"
    dkim_directory: str = "/etc/mailstead/dkim"
    allowed_ips: Tuple[str, ...] = ()
    resolvers: Tuple[str, ...] = ()
    ban_period: str = "1d"
    log_level: str = "info"
    web_ui: bool = False
    asn: bool = False
    pyzor: bool = False
    aggregate_reports: bool = True


def secret_references(objects: Iterable[Mapping[str, Any]]) -> Tuple[str, ...]:
    """Names of all references to secrets in the objects, each once."""
    return tuple(sorted({ref for o in objects for ref in o.get("secrets", {}).values()}))


def fill_secrets(objects: Iterable[Mapping[str, Any]], values: Mapping[str, str]) -> Objects:
    """The objects with values for references. Raises MailsteadError MS-PLAN-004 for references without a value."""
    problems: List[Problem] = []
    out: Objects = []
    for one in objects:
        filled: Dict[str, str] = {}
        for pointer, ref in one.get("secrets", {}).items():
            if values.get(ref):
                filled[pointer] = str(values[ref])
            else:
                what = f"the reference {ref!r} has no value"
                problems.append(Problem("MS-PLAN-004", str(one.get("match")), what, "Define the variable it names."))
        out.append({**one, **({"secrets": filled} if filled else {})})
    if problems:
        raise MailsteadError(problems)
    return out


DEFAULT_OPTIONS = ServerOptions()


# -- people and domains ----------------------------------------------------------------------------------------


def domain_ref(name: str) -> str:
    return f"ref:Domain/name={name}"


def split(address: str) -> Tuple[str, str]:
    local, _at, domain = address.rpartition("@")
    return local, domain


def domain(
    name: str, relaying: bool, reports: Sequence[str] = (), subaddressing: bool = False, catch_all: str = ""
) -> Dict[str, Any]:
    """relaying: addresses of it that the server does not know go out. reports: addresses for them, with a scheme or without."""
    first = reports[0] if reports else "postmaster"
    return {
        "type": "Domain",
        "match": {"name": name},
        "properties": {
            "isEnabled": True,
            # Keys, records and certificates are the plan's business. Automatic DKIM would make keys at once.
            "dkimManagement": dict(_MANUAL),
            "dnsManagement": dict(_MANUAL),
            "certificateManagement": dict(_MANUAL),
            "subAddressing": {"@type": "Enabled" if subaddressing else "Disabled"},
            "catchAllAddress": catch_all or None,
            "allowRelaying": relaying,
            "reportAddressUri": first if ":" in first else f"mailto:{first}",
        },
    }


def user(
    address: str, secret: str, aliases: Sequence[str] = (), description: str = "", quota: int = 0
) -> Dict[str, Any]:
    """Somebody who may log in. secret: reference to the password. quota: bytes, 0 for none."""
    local, of = split(address)
    also = [{"name": name, "domainId": domain_ref(home)} for name, home in (split(a) for a in sorted(aliases))]
    return {
        "type": "Account",
        "match": {"@type": "User", "name": local, "domainId": domain_ref(of)},
        "properties": {
            "credentials": [{"@type": "Password"}],
            "aliases": also,
            "description": description or None,
            "quotas": {"maxDiskQuota": quota} if quota else {},
        },
        "secrets": {"/credentials/0/secret": secret},
    }


def signature(fact: Mapping[str, Any], options: ServerOptions) -> Dict[str, Any]:
    """A key that signs. fact: domain, algorithm, selector, and optionally container_path and stage (active unless given)."""
    of, selector = str(fact["domain"]), str(fact["selector"])
    path = fact.get("container_path") or f"{options.dkim_directory}/{of}/{selector}.pem"
    return {
        "type": "DkimSignature",
        # There is no natural key: the server takes the same selector twice and publishes it twice.
        "match": {
            "@type": _ALGORITHMS[str(fact["algorithm"]).partition("-")[0]],
            "domainId": domain_ref(of),
            "selector": selector,
        },
        "properties": {
            "privateKey": {"@type": "File", "filePath": str(path)},
            "stage": str(fact.get("stage") or "active"),
            "report": False,
        },
    }


# -- through the tunnel ----------------------------------------------------------------------------------------

#: How mail is handed to the tunnel.
TUNNEL_TLS = "edge-tunnel"


def tunnel_route(name: str, address: str, port: int) -> Dict[str, Any]:
    """The way to an edge's relay. address: our own end of the tunnel; the server refuses to relay to a loopback address."""
    return {
        "type": "MtaRoute",
        "match": {"name": name},
        "properties": {
            "@type": "Relay",
            "address": address,
            "port": port,
            "protocol": "smtp",
            "implicitTls": False,
            "allowInvalidCerts": False,
            "description": "mailstead: through the tunnel to the edge's relay",
        },
    }


def tunnel_tls() -> Dict[str, Any]:
    return {
        "type": "MtaTlsStrategy",
        "match": {"name": TUNNEL_TLS},
        "properties": {
            # The tunnel is mutual TLS; Postfix on the other end listens on its loopback only.
            "startTls": "disable",
            "dane": "disable",
            "mtaSts": "disable",
            "allowInvalidCerts": False,
            "description": "mailstead: no TLS within the tunnel",
        },
    }


# -- the host --------------------------------------------------------------------------------------------------


def listeners(wanted: Sequence[Listener], tunnel_address: str) -> Objects:
    """Ours, and that the server's own are closed. tunnel_address: the only one whose PROXY header is believed."""
    names = {li.name for li in wanted}
    gone = [
        {"type": "NetworkListener", "match": {"name": n}, "state": "absent"}
        for n in _DEFAULT_LISTENERS
        if n not in names
    ]
    return [_listener(li, tunnel_address) for li in wanted] + gone


def _listener(listener: Listener, tunnel_address: str) -> Dict[str, Any]:
    return {
        "type": "NetworkListener",
        "match": {"name": listener.name},
        "properties": {
            "bind": [f"[::]:{listener.port}"],
            "protocol": listener.protocol,
            "useTls": listener.tls != "none",
            "tlsImplicit": listener.tls == "implicit",
            # Exactly the tunnel client: from there a PROXY header is mandatory, from anywhere else it is garbage.
            "overrideProxyTrustedNetworks": [f"{tunnel_address}/32"] if listener.proxied else [],
        },
    }


def system(server_name: str, default_domain: str, exchangers: Sequence[str], options: ServerOptions) -> Objects:
    """The server's own name and certificate. default_domain: of logins that name none."""
    properties: Dict[str, Any] = {
        "defaultHostname": server_name,
        "defaultDomainId": domain_ref(default_domain),
        "mailExchangers": [{"hostname": name, "priority": 10} for name in exchangers],
    }
    objects: Objects = []
    if options.certificate:
        objects.append(
            {
                "type": "Certificate",
                # Not by its names: they are read from the file and change with it.
                "match": {"certificate": {"@type": "File", "filePath": options.certificate}},
                "properties": {"privateKey": {"@type": "File", "filePath": options.certificate_key}},
            }
        )
        properties["defaultCertificateId"] = f"ref:Certificate/certificate.filePath={options.certificate}"
    return [*objects, {"type": "SystemSettings", "properties": properties}]


def within(variable: str, domains: Sequence[str]) -> str:
    """An expression: the variable is one of the domains."""
    return " || ".join(f"{variable} == '{name}'" for name in domains)


def operations(gateway: str, options: ServerOptions) -> Objects:
    """Logs, bans, reports, name resolution. gateway: of the container network, where the management API is reached from."""
    never: Dict[str, Any] = {"match": [], "else": "false"}
    daily: Dict[str, Any] = {"match": [], "else": "daily" if options.aggregate_reports else "disable"}
    objects: Objects = [
        {
            "type": "Tracer",
            "match": {"@type": "Stdout"},
            "properties": {"enable": True, "level": options.log_level, "ansi": False, "multiline": False},
        },
        # Its directory does not exist in the image; the container's log is the log.
        {"type": "Tracer", "match": {"@type": "Log", "path": "/var/log/stalwart"}, "state": "absent"},
        {
            "type": "Security",
            "properties": {f"{kind}BanPeriod": options.ban_period for kind in ("abuse", "auth", "loiter", "scan")},
        },
        {
            "type": "Application",
            "match": {"description": "Stalwart Web Interface"},
            "properties": {"enabled": options.web_ui},
            # Never removed either: with none left, the next start would insert it again.
            "create": False,
        },
        {"type": "SpamPyzor", "properties": {"enable": options.pyzor}},
        {
            "type": "DmarcReportSettings",
            "properties": {"failureSendFrequency": never, "aggregateSendFrequency": daily},
        },
        {"type": "TlsReportSettings", "properties": {"sendFrequency": dict(daily)}},
        {"type": "DkimReportSettings", "properties": {"sendFrequency": dict(never)}},
        {"type": "SpfReportSettings", "properties": {"sendFrequency": dict(never)}},
    ]
    if not options.asn:
        objects.append({"type": "Asn", "properties": {"@type": "Disabled"}})
    if options.resolvers:
        servers = [{"address": a, "port": 53, "protocol": "udp"} for a in options.resolvers]
        objects.append({"type": "DnsResolver", "properties": {"@type": "Custom", "servers": servers}})
    # The management API is reached through a published port, that is from the gateway: a mistake there must not
    # lock us out.
    allowed = {gateway: "mailstead: the management API's way in"}
    allowed.update((a, "mailstead: a declared vantage") for a in options.allowed_ips)
    for address, reason in sorted(allowed.items()):
        objects.append({"type": "AllowedIp", "match": {"address": address}, "properties": {"reason": reason}})
    return objects
