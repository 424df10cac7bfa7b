# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HomePlan + DomainPlans + facts → the mail server's objects, in the form the module stalwart_objects takes.

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
- Domains whose mail others take and that are only sent from here: mail from our own users to them leaves through the edge like
  all other mail, also to the addresses of logins, and strangers' mail to them is refused.
- Signatures without ``r=y``: it invites reports that nobody here reads (RFC 6651).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Mapping, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import (
    AccountPlan,
    DomainPlan,
    HomePlan,
    Listener,
)

Objects = List[Dict[str, Any]]

RELAY = "edge"
RELAY_TLS = "edge-tunnel"
FROM_BINDING = "from-binding"
ELSEWHERE = "taken-elsewhere"
#: The server's own, by the description it comes with.
RECIPIENT_THROTTLE = "Sender address to recipient throttle"

#: The server binds only the envelope sender to the account; with one's own envelope any header From of a local domain
#: would be signed and pass DMARC. Exactly one From address, and it must be the envelope's.
FROM_SCRIPT = """require ["variables","envelope","reject","relational","comparator-i;ascii-numeric"];
if not string :is "${env.authenticated_as}" "" {
  if anyof (
    not address :is :all "from" "${envelope.from}",
    address :count "ne" :comparator "i;ascii-numeric" :all "from" "1"
  ) {
    reject "550 5.7.1 From header must match the envelope sender.";
    stop;
  }
}
"""

#: The server takes a domain it sends for as its own. Whoever delivers such mail here has not looked at the MX.
ELSEWHERE_SCRIPT = """require ["reject"];
reject "550 5.7.1 Mail for this domain is taken elsewhere, see its MX.";
"""

_ALGORITHMS = {"rsa": "Dkim1RsaSha256", "ed25519": "Dkim1Ed25519Sha256"}
_MANUAL = {"@type": "Manual"}
#: What a fresh server opens besides ours.
_UNUSED_LISTENERS = ("smtp", "submissions", "imaps", "pop3s", "sieve", "https", "http")


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


def server_objects(
    home: HomePlan,
    domains: Sequence[DomainPlan],
    dkim_facts: Iterable[Mapping[str, Any]] = (),
    options: ServerOptions = ServerOptions(),
    unsent: Sequence[str] = (),
) -> Objects:
    """The complete wanted set for one home.

    domains: those of other homes are skipped. unsent: names of domains whose mail others take and that no home sends for.
    dkim_facts: dicts with domain, algorithm, selector and optionally container_path and stage (active unless given).
    Secrets are references: see :func:`secret_references`.
    """
    mine = [d for d in domains if d.name in home.domains]
    facts = [f for f in dkim_facts if f.get("domain") in home.domains and f.get("selector")]
    objects: Objects = []
    objects += [_domain(d) for d in mine]
    # One that was sent from here once. It stays, as its mailboxes may hold mail, but strangers get nothing through it.
    objects += [
        {"type": "Domain", "match": {"name": name}, "properties": {"allowRelaying": False}, "create": False}
        for name in unsent
    ]
    objects += [_account(a) for d in mine for a in d.accounts]
    objects += [_signature(f, options) for f in facts]
    objects += _listeners(home)
    objects += _system(home, options)
    elsewhere = [d.name for d in mine if not d.takes_mail]
    objects += _outbound(home, elsewhere)
    objects += _from_binding()
    objects += _elsewhere(elsewhere)
    objects += _policies(home, mine)
    objects += _operations(home, options)
    return objects


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


def options_from(data: Mapping[str, Any]) -> ServerOptions:
    """Options from JSON types; unknown names raise TypeError."""
    known = {f.name: f for f in dataclasses.fields(ServerOptions)}
    values: Dict[str, Any] = {k: tuple(v) if isinstance(v, (list, tuple)) else v for k, v in data.items()}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise TypeError(f"ServerOptions has no field {', '.join(unknown)}")
    return ServerOptions(**values)


# -- people and domains ----------------------------------------------------------------------------------------


def _domain_ref(name: str) -> str:
    return f"ref:Domain/name={name}"


def _split(address: str) -> Tuple[str, str]:
    local, _at, domain = address.rpartition("@")
    return local, domain


def _mailto(addresses: Sequence[str]) -> str:
    """The first report address as a URI; the intent may hold it with or without the scheme."""
    first = addresses[0] if addresses else "postmaster"
    return first if ":" in first else f"mailto:{first}"


def _domain(domain: DomainPlan) -> Dict[str, Any]:
    return {
        "type": "Domain",
        "match": {"name": domain.name},
        "properties": {
            "isEnabled": True,
            # Keys, records and certificates are the plan's business. Automatic DKIM would make keys at once.
            "dkimManagement": dict(_MANUAL),
            "dnsManagement": dict(_MANUAL),
            "certificateManagement": dict(_MANUAL),
            "subAddressing": {"@type": "Enabled" if domain.subaddressing else "Disabled"},
            "catchAllAddress": domain.catch_all or None,
            # Of a domain whose mail others take, the server knows only those addresses that log in.
            "allowRelaying": not domain.takes_mail,
            "reportAddressUri": _mailto(domain.dmarc.rua),
        },
    }


def _account(account: AccountPlan) -> Dict[str, Any]:
    local, domain = _split(account.address)
    aliases = [{"name": name, "domainId": _domain_ref(of)} for name, of in (_split(a) for a in sorted(account.aliases))]
    return {
        "type": "Account",
        "match": {"@type": "User", "name": local, "domainId": _domain_ref(domain)},
        "properties": {
            "credentials": [{"@type": "Password"}],
            "aliases": aliases,
            "description": account.description or None,
            "quotas": {"maxDiskQuota": account.quota} if account.quota else {},
        },
        "secrets": {"/credentials/0/secret": account.secret},
    }


def _signature(fact: Mapping[str, Any], options: ServerOptions) -> Dict[str, Any]:
    domain, selector = str(fact["domain"]), str(fact["selector"])
    path = fact.get("container_path") or f"{options.dkim_directory}/{domain}/{selector}.pem"
    return {
        "type": "DkimSignature",
        # There is no natural key: the server takes the same selector twice and publishes it twice.
        "match": {
            "@type": _ALGORITHMS[str(fact["algorithm"]).partition("-")[0]],
            "domainId": _domain_ref(domain),
            "selector": selector,
        },
        "properties": {
            "privateKey": {"@type": "File", "filePath": str(path)},
            "stage": str(fact.get("stage") or "active"),
            "report": False,
        },
    }


# -- the host --------------------------------------------------------------------------------------------------


def _listener(listener: Listener, home: HomePlan) -> Dict[str, Any]:
    return {
        "type": "NetworkListener",
        "match": {"name": listener.name},
        "properties": {
            "bind": [f"[::]:{listener.port}"],
            "protocol": listener.protocol,
            "useTls": listener.tls != "none",
            "tlsImplicit": listener.tls == "implicit",
            # Exactly the tunnel client: from there a PROXY header is mandatory, from anywhere else it is garbage.
            "overrideProxyTrustedNetworks": [f"{home.tunnel_address}/32"] if listener.proxied else [],
        },
    }


def _listeners(home: HomePlan) -> Objects:
    names = {li.name for li in home.listeners}
    gone = [
        {"type": "NetworkListener", "match": {"name": n}, "state": "absent"}
        for n in _UNUSED_LISTENERS
        if n not in names
    ]
    return [_listener(li, home) for li in home.listeners] + gone


def _system(home: HomePlan, options: ServerOptions) -> Objects:
    properties: Dict[str, Any] = {
        "defaultHostname": home.server_name,
        "defaultDomainId": _domain_ref(home.domains[0]),
        "mailExchangers": [{"hostname": name, "priority": 10} for name in home.mta_sts.mx or (home.server_name,)],
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


def _within(variable: str, domains: Sequence[str]) -> str:
    return " || ".join(f"{variable} == '{name}'" for name in domains)


def _outbound(home: HomePlan, elsewhere: Sequence[str]) -> Objects:
    relay = home.tunnel_address
    away = [{"if": _within("rcpt_domain", elsewhere), "then": f"'{RELAY}'"}] if elsewhere else []
    return [
        {
            "type": "MtaRoute",
            "match": {"name": RELAY},
            "properties": {
                "@type": "Relay",
                # The tunnel client's own address: the server refuses to relay to a loopback address.
                "address": relay,
                "port": home.relay_port,
                "protocol": "smtp",
                "implicitTls": False,
                "allowInvalidCerts": False,
                "description": "mailstead: through the tunnel to the edge's relay",
            },
        },
        {
            "type": "MtaTlsStrategy",
            "match": {"name": RELAY_TLS},
            "properties": {
                # The tunnel is mutual TLS; Postfix on the other end listens on its loopback only.
                "startTls": "disable",
                "dane": "disable",
                "mtaSts": "disable",
                "allowInvalidCerts": False,
                "description": "mailstead: no TLS within the tunnel",
            },
        },
        {
            "type": "MtaOutboundStrategy",
            "properties": {
                "route": {
                    "match": [*away, {"if": "is_local_domain(rcpt_domain)", "then": "'local'"}],
                    "else": f"'{RELAY}'",
                },
                "tls": {
                    "match": [
                        {"if": f"mx == '{relay}'", "then": f"'{RELAY_TLS}'"},
                        {"if": "retry_num > 0 && last_error == 'tls'", "then": "'invalid-tls'"},
                    ],
                    "else": "'default'",
                },
            },
        },
    ]


def _from_binding() -> Objects:
    return [
        {
            "type": "SieveSystemScript",
            "match": {"name": FROM_BINDING},
            "properties": {
                "isActive": True,
                "contents": FROM_SCRIPT,
                "description": "mailstead: the header From is the envelope sender",
            },
        },
        {
            "type": "MtaStageData",
            "properties": {
                "script": {
                    "match": [{"if": "!is_empty(authenticated_as)", "then": f"'{FROM_BINDING}'"}],
                    "else": "false",
                }
            },
        },
        # The server's default, held on to because the script above relies on it.
        {"type": "MtaStageAuth", "properties": {"mustMatchSender": {"match": [], "else": "true"}}},
    ]


def _elsewhere(domains: Sequence[str]) -> Objects:
    """What refuses strangers' mail to domains that are only sent from here; without such domains it goes."""
    script: Dict[str, Any] = {"type": "SieveSystemScript", "match": {"name": ELSEWHERE}}
    if not domains:
        return [{**script, "state": "absent"}]
    properties = {
        "isActive": True,
        "contents": ELSEWHERE_SCRIPT,
        "description": "mailstead: mail to a domain that is only sent from here",
    }
    return [{**script, "properties": properties}]


def _policies(home: HomePlan, domains: Sequence[DomainPlan]) -> Objects:
    strict = [{"if": "local_port == 25", "then": "strict"}]
    mode = {"off": "disable"}.get(home.mta_sts.mode, home.mta_sts.mode)
    own = {d.name for d in domains if d.takes_mail}
    elsewhere = [d.name for d in domains if not d.takes_mail]
    outside = f"is_empty(authenticated_as) && ({_within('rcpt_domain', elsewhere)})"
    strangers = [{"if": outside, "then": f"'{ELSEWHERE}'"}] if elsewhere else []
    addresses = {uri.partition(":")[2] if ":" in uri else uri for d in domains for uri in (*d.dmarc.rua, *d.tls_rpt)}
    inbound = sorted({"postmaster@*"} | {a for a in addresses if _split(a)[1] in own and _split(a)[0] != "postmaster"})
    return [
        {
            "type": "MtaSts",
            "properties": {
                "mode": mode,
                "maxAge": f"{home.mta_sts.max_age}s",
                "mxHosts": list(home.mta_sts.mx or (home.server_name,)),
            },
        },
        # Where reports are asked for is where the server reads them; they still reach the mailbox.
        {"type": "ReportSettings", "properties": {"inboundReportAddresses": inbound}},
        # The server's own default, held all the same: whoever changes it makes an open relay.
        {
            "type": "MtaStageRcpt",
            "properties": {
                "allowRelaying": {"match": [], "else": "!is_empty(authenticated_as)"},
                "script": {"match": strangers, "else": "false"},
            },
        },
        # What a domain's owner asks for is done: mail that fails p=reject is refused, ours first of all. The default
        # only marks it.
        {"type": "SenderAuth", "properties": {"dmarcVerify": {"match": strict, "else": "disable"}}},
    ]


def _operations(home: HomePlan, options: ServerOptions) -> Objects:
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
    allowed = {home.gateway: "mailstead: the management API's way in"}
    allowed.update((a, "mailstead: a declared vantage") for a in options.allowed_ips)
    # 25 messages an hour from one domain to one recipient: a proof sends two, and may be run again and again.
    # Of a throttle's expression the server reads nothing but the end; its branches are accepted and ignored.
    counted = " && ".join(f"remote_ip != '{address}'" for address in sorted(options.allowed_ips)) or "true"
    objects.append(
        {
            "type": "MtaInboundThrottle",
            "match": {"description": RECIPIENT_THROTTLE},
            "properties": {"match": {"match": [], "else": counted}},
            # Whoever removed it does not want it.
            "create": False,
        }
    )
    for address, reason in sorted(allowed.items()):
        objects.append({"type": "AllowedIp", "match": {"address": address}, "properties": {"reason": reason}})
    return objects
