# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HomePlan + DomainPlans + facts → the mail server's objects, in the form the module stalwart_objects takes.

Pure. What every server of ours has, a home's or a service's, is in :mod:`~.server_parts`.

Domains whose mail others take and that are only sent from here: mail from our own users to them leaves through the edge like
all other mail, also to the addresses of logins, and strangers' mail to them is refused.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, Mapping, Sequence

from ansible_collections.mailstead.stack.plugins.module_utils.plan import server_parts as parts
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import AccountPlan, DomainPlan, HomePlan
from ansible_collections.mailstead.stack.plugins.module_utils.plan.server_parts import Objects, ServerOptions

RELAY = "edge"
FROM_BINDING = "from-binding"
ELSEWHERE = "taken-elsewhere"

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


def server_objects(
    home: HomePlan,
    domains: Sequence[DomainPlan],
    dkim_facts: Iterable[Mapping[str, Any]] = (),
    options: ServerOptions = parts.DEFAULT_OPTIONS,
    unsent: Sequence[str] = (),
) -> Objects:
    """The complete wanted set for one home.

    domains: those of other homes are skipped. unsent: names of domains whose mail others take and that no home sends for.
    dkim_facts: dicts with domain, algorithm, selector and optionally container_path and stage (active unless given).
    Secrets are references: see :func:`~.server_parts.secret_references`.
    """
    mine = [d for d in domains if d.name in home.domains]
    facts = [f for f in dkim_facts if f.get("domain") in home.domains and f.get("selector") and not f.get("service")]
    objects: Objects = []
    objects += [_domain(d) for d in mine]
    # One that was sent from here once. It stays, as its mailboxes may hold mail, but strangers get nothing through it.
    objects += [
        {"type": "Domain", "match": {"name": name}, "properties": {"allowRelaying": False}, "create": False}
        for name in unsent
    ]
    objects += [_account(a) for d in mine for a in d.accounts]
    objects += [parts.signature(f, options) for f in facts]
    objects += parts.listeners(home.listeners, home.tunnel_address)
    exchangers = home.mta_sts.mx or (home.server_name,)
    objects += parts.system(home.server_name, home.domains[0], exchangers, options)
    elsewhere = [d.name for d in mine if not d.takes_mail]
    objects += _outbound(home, elsewhere)
    objects += _from_binding()
    objects += _elsewhere(elsewhere)
    objects += _policies(home, mine)
    objects += parts.operations(home.gateway, options)
    objects += _throttled(options)
    return objects


def _domain(domain: DomainPlan) -> Dict[str, Any]:
    # Of a domain whose mail others take, the server knows only those addresses that log in.
    relaying = not domain.takes_mail
    return parts.domain(domain.name, relaying, domain.dmarc.rua, domain.subaddressing, domain.catch_all)


def _account(account: AccountPlan) -> Dict[str, Any]:
    return parts.user(account.address, account.secret, account.aliases, account.description, account.quota)


def _outbound(home: HomePlan, elsewhere: Sequence[str]) -> Objects:
    relay = home.tunnel_address
    away = [{"if": parts.within("rcpt_domain", elsewhere), "then": f"'{RELAY}'"}] if elsewhere else []
    return [
        parts.tunnel_route(RELAY, relay, home.relay_port),
        parts.tunnel_tls(),
        {
            "type": "MtaOutboundStrategy",
            "properties": {
                "route": {
                    "match": [*away, {"if": "is_local_domain(rcpt_domain)", "then": "'local'"}],
                    "else": f"'{RELAY}'",
                },
                "tls": {
                    "match": [
                        {"if": f"mx == '{relay}'", "then": f"'{parts.TUNNEL_TLS}'"},
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
    outside = f"is_empty(authenticated_as) && ({parts.within('rcpt_domain', elsewhere)})"
    strangers = [{"if": outside, "then": f"'{ELSEWHERE}'"}] if elsewhere else []
    addresses = {uri.partition(":")[2] if ":" in uri else uri for d in domains for uri in (*d.dmarc.rua, *d.tls_rpt)}
    inbound = sorted(
        {"postmaster@*"} | {a for a in addresses if parts.split(a)[1] in own and parts.split(a)[0] != "postmaster"}
    )
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


def _throttled(options: ServerOptions) -> Objects:
    # 25 messages an hour from one domain to one recipient: a proof sends two, and may be run again and again.
    # Of a throttle's expression the server reads nothing but the end; its branches are accepted and ignored.
    counted = " && ".join(f"remote_ip != '{address}'" for address in sorted(options.allowed_ips)) or "true"
    return [
        {
            "type": "MtaInboundThrottle",
            "match": {"description": parts.RECIPIENT_THROTTLE},
            "properties": {"match": {"match": [], "else": counted}},
            # Whoever removed it does not want it.
            "create": False,
        }
    ]
