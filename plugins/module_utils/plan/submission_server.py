# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SubmissionPlan + facts → the objects of a mail server through which applications send, as stalwart_objects takes them.

Pure. What every server of ours has is in :mod:`~.server_parts`. What is peculiar to this one:

- Nobody delivers here: no port 25, no mailboxes, and mail to our own domains leaves through the smarthosts like all other.
- An application may send as its own addresses, in the envelope (``isSenderAllowed``, which is asked before a sender is
  rewritten) and in From and Sender (a script, as the server binds the envelope only). Both are closed: who is not named in them
  sends nothing, an account that was left behind by an application included.
- Of a throttle's expression the server reads nothing but the end; its branches are accepted and ignored. Its own throttles (5
  messages a second of one address, which all applications behind one tunnel share, and 25 an hour to one recipient) are
  switched off. Removed they would come back at the next start.
- After the first try a message has tried its first smarthost; the n-th try takes the n-th, and begins again after the last.
  The first waits are short, so that a message does not lie for minutes because one of several smarthosts is down. What a
  smarthost refuses for good comes back: another would refuse it as well, or worse, accept it.
- An edge of ours is a smarthost that is reached through our own tunnel, which is mutual TLS: no login, and no TLS within it.
- Its reports on messages that came back bear the domain's own name and signature: as ``mailer-daemon`` of the server's they
  would fail DMARC at the domain's mailboxes.
"""

from __future__ import annotations

import re
from typing import Any, Dict, Iterable, List, Mapping, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.plan import server_parts as parts
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import (
    ApplicationPlan,
    SmarthostPlan,
    SubmissionPlan,
)
from ansible_collections.mailstead.stack.plugins.module_utils.plan.server_parts import Objects, ServerOptions

BINDING = "sender-binding"
NO_MAIL = "no-mail-here"
SCHEDULE = "smarthosts"
TLS = "relay-strict"
#: The server's own queue for all that leaves.
QUEUE = "remote"
#: Messages on their way at once. Those of a server that is stopped or killed wait for ten minutes, until their locks expire.
DELIVERIES = 5
#: The header by which our own webhook is recognised.
WEBHOOK_MARK = "X-Mailstead-Service"
#: Seconds between tries; the last one is repeated until the message expires.
RETRIES: Tuple[int, ...] = (10, 30, 60, 300, 900, 1800, 3600, 7200)
EXPIRY = 3 * 86400
#: Messages of one session. The server's own 10 would cut an application that keeps its connection open.
MESSAGES_PER_SESSION = 1000
#: That a message came back for good, or that even its report did.
FAILURES = ("delivery.double-bounce", "delivery.dsn-perm-fail")

NO_MAIL_SCRIPT = """require ["reject"];
reject "550 5.7.1 No mail goes to the logins of applications, nor to an address without a domain.";
"""


def submission_objects(
    plan: SubmissionPlan, dkim_facts: Iterable[Mapping[str, Any]] = (), options: ServerOptions = parts.DEFAULT_OPTIONS
) -> Objects:
    """The complete wanted set for one service.

    dkim_facts: dicts with domain, algorithm, selector, service, and optionally container_path and stage (active unless given);
    keys of homes and of other services are skipped. Secrets are references: see :func:`~.server_parts.secret_references`.
    """
    facts = [f for f in dkim_facts if f.get("domain") in plan.domains and f.get("selector")]
    mine = [f for f in facts if f.get("service") == plan.name]
    objects: Objects = [parts.domain(plan.login_domain, relaying=False)]
    # All addresses of a domain are elsewhere: the server knows none of them and lets mail to them out.
    objects += [parts.domain(name, relaying=True) for name in plan.domains]
    objects += [parts.user(a.login, a.secret, description=f"mailstead: {a.name}") for a in everybody(plan)]
    objects += [parts.signature(f, options) for f in mine]
    objects += parts.listeners(plan.listeners, plan.tunnel_address)
    objects += parts.system(plan.server_name, plan.login_domain, (plan.server_name,), options)
    objects += _session(plan)
    objects += _throttles(plan)
    objects += _smarthosts(plan)
    objects += _delivery(plan)
    objects += _webhook(plan)
    objects += parts.operations(plan.gateway, without_reports(options))
    objects += _never_banned(plan)
    return objects


def everybody(plan: SubmissionPlan) -> Tuple[ApplicationPlan, ...]:
    """The applications, and the login of the checks."""
    return (*plan.applications, *((plan.probe,) if plan.probe else ()))


def without_reports(options: ServerOptions) -> ServerOptions:
    """Mail of strangers does not come here, so there is nothing to report on."""
    return ServerOptions(**{**vars(options), "aggregate_reports": False})


def _never_banned(plan: SubmissionPlan) -> Objects:
    """The connector stands for every application behind it: one that has a wrong password would shut out all others.

    Who comes through it holds a service token, and a login that fails is slowed down all the same.
    """
    if plan.tunnel is None:
        return [{"type": "AllowedIp", "match": {"address": plan.tunnel_address}, "state": "absent"}]
    properties = {"reason": "mailstead: the tunnel's connector"}
    return [{"type": "AllowedIp", "match": {"address": plan.tunnel_address}, "properties": properties}]


# -- who may send as whom --------------------------------------------------------------------------------------


def _always(value: str) -> Dict[str, Any]:
    return {"match": [], "else": value}


def _from_application(application: ApplicationPlan) -> str:
    return f"authenticated_as == '{application.login}'"


def _any(terms: Iterable[str]) -> str:
    return " || ".join(terms) or "false"


def _is_one_of(variable: str, patterns: Sequence[str]) -> str:
    """An expression: the variable, an address in lower case, fits one of the patterns."""
    terms = []
    for pattern in patterns:
        local, domain = parts.split(pattern)
        # Not its end: a quoted local part may hold an @ and what looks like the domain.
        regex = f"^[^@]+@{re.sub('[.]', '[.]', domain)}$"
        terms.append(f"matches('{regex}', {variable})" if local == "*" else f"{variable} == '{pattern}'")
    return _any(terms)


def allowed_senders(plan: SubmissionPlan) -> str:
    """An expression: the application that has logged in may send as the envelope sender."""
    return _any(f"({_from_application(a)} && ({_is_one_of('sender', a.senders)}))" for a in everybody(plan))


def _tests(header: str, patterns: Sequence[str]) -> str:
    """A Sieve test: the only address of a header field fits one of the patterns."""
    exact = [p for p in patterns if not p.startswith("*@")]
    whole = [parts.split(p)[1] for p in patterns if p.startswith("*@")]
    tests = [f'address :is :all "{header}" [{_listed(exact)}]'] if exact else []
    tests += [f'address :is :domain "{header}" [{_listed(whole)}]'] if whole else []
    return f"anyof ({', '.join(tests)})"


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)


def _bound(application: ApplicationPlan, header: str) -> str:
    """A Sieve test: what a header field may say. Where the server signs for the domain of the envelope sender and there are
    several, From must be of that one, or its signature would not be aligned."""
    if application.return_path or len(application.domains) == 1 or header != "from":
        return _tests(header, application.senders)
    by_domain = [
        f'allof (envelope :is :domain "from" "{name}", {_tests(header, _within(application, name))})'
        for name in application.domains
    ]
    return f"anyof ({', '.join(by_domain)})"


def _within(application: ApplicationPlan, domain: str) -> List[str]:
    return [p for p in application.senders if parts.split(p)[1] == domain]


def binding_script(plan: SubmissionPlan) -> str:
    """Exactly one From field with exactly one address, and it is the application's. The same of Sender, which need not be."""
    lines = [
        'require ["variables","envelope","reject","relational","comparator-i;ascii-numeric"];',
        'if header :count "ne" :comparator "i;ascii-numeric" "from" "1" {',
        '  reject "550 5.7.1 Exactly one From header field is required.";',
        "  stop;",
        "}",
        'if address :count "ne" :comparator "i;ascii-numeric" :all "from" "1" {',
        '  reject "550 5.7.1 Exactly one address in From is required.";',
        "  stop;",
        "}",
        # A test of addresses passes when one of several fits.
        'if anyof (header :count "gt" :comparator "i;ascii-numeric" "sender" "1",',
        '          address :count "gt" :comparator "i;ascii-numeric" :all "sender" "1") {',
        '  reject "550 5.7.1 At most one address in Sender is allowed.";',
        "  stop;",
        "}",
    ]
    for number, application in enumerate(everybody(plan)):
        lines += [
            f'{"elsif" if number else "if"} string :is "${{env.authenticated_as}}" "{application.login}" {{',
            f"  if not {_bound(application, 'from')} {{",
            '    reject "550 5.7.1 This application may not send as the address in From.";',
            "    stop;",
            "  }",
            f'  if allof (exists "sender", not {_bound(application, "sender")}) {{',
            '    reject "550 5.7.1 This application may not send as the address in Sender.";',
            "    stop;",
            "  }",
            "}",
        ]
    return "\n".join([*lines, "else {", '  reject "550 5.7.1 This login may not send.";', "  stop;", "}", ""])


def _session(plan: SubmissionPlan) -> Objects:
    returned = [a for a in everybody(plan) if a.return_path]
    # Of these the envelope's domain need not be the one in From; each sends for one domain only.
    signed = [{"if": _from_application(a), "then": f"'{a.domains[0]}'"} for a in returned]
    signed.append({"if": "!is_empty(authenticated_as)", "then": "sender_domain"})
    sizes = [{"if": _from_application(a), "then": str(a.max_size)} for a in everybody(plan)]
    scripts = {BINDING: (binding_script(plan), "whom an application may send as"), NO_MAIL: (NO_MAIL_SCRIPT, "logins")}
    return [
        *(
            {
                "type": "SieveSystemScript",
                "match": {"name": name},
                "properties": {"isActive": True, "contents": contents, "description": f"mailstead: {what}"},
            }
            for name, (contents, what) in scripts.items()
        ),
        {
            "type": "MtaStageAuth",
            "properties": {
                "require": _always("true"),
                # Without TLS there is no login, and without a login no mail.
                "saslMechanisms": {"match": [{"if": "is_tls", "then": "[plain, login]"}], "else": "false"},
                # It knows literal addresses only; isSenderAllowed says the same and more.
                "mustMatchSender": _always("false"),
            },
        },
        {
            "type": "MtaStageMail",
            "properties": {
                "isSenderAllowed": _always(allowed_senders(plan)),
                "rewrite": {
                    "match": [{"if": _from_application(a), "then": f"'{a.return_path}'"} for a in returned],
                    "else": "false",
                },
            },
        },
        {
            "type": "MtaStageRcpt",
            "properties": {
                "allowRelaying": _always("!is_empty(authenticated_as)"),
                # The server would deliver to its own accounts, and hand on a bare <postmaster> (RFC 5321 §4.5.1) as nobody.
                "script": {
                    "match": [
                        {
                            "if": f"rcpt_domain == '{plan.login_domain}' || is_empty(rcpt_domain)",
                            "then": f"'{NO_MAIL}'",
                        }
                    ],
                    "else": "false",
                },
            },
        },
        {
            "type": "MtaStageData",
            "properties": {
                "script": _always(f"'{BINDING}'"),
                "maxMessageSize": {"match": sizes, "else": str(plan.max_size)},
                "maxMessages": _always(str(MESSAGES_PER_SESSION)),
                # Of our own applications; what leaves is signed and belongs to somebody.
                "enableSpamFilter": _always("false"),
                # Applications forget them, and receivers hold that against a message.
                "addDateHeader": _always("true"),
                "addMessageIdHeader": _always("true"),
            },
        },
        # Who else has a login here is nobody's business.
        {"type": "MtaExtensions", "properties": {"vrfy": _always("false"), "expn": _always("false")}},
        {
            "type": "SenderAuth",
            "properties": {"dkimSignDomain": {"match": signed, "else": "false"}, "dkimVerify": _always("disable")},
        },
        {
            "type": "DsnReportSettings",
            "properties": {
                "fromAddress": _always("'mailer-daemon@' + sender_domain"),
                "dkimSignDomain": _always("sender_domain"),
            },
        },
    ]


def _throttles(plan: SubmissionPlan) -> Objects:
    """One for each application, so that a changed rate replaces the old one."""
    objects: Objects = [
        {
            "type": "MtaInboundThrottle",
            "match": {"description": description},
            "properties": {"enable": False},
            "create": False,
        }
        for description in (parts.ADDRESS_THROTTLE, parts.RECIPIENT_THROTTLE)
    ]
    for application in everybody(plan):
        match = {"description": f"mailstead: messages of {application.name}"}
        if not application.rate:
            objects.append({"type": "MtaInboundThrottle", "match": match, "state": "absent"})
            continue
        properties = {
            "enable": True,
            "key": ["authenticatedAs"],
            "match": _always(_from_application(application)),
            "rate": {"count": application.rate, "period": f"{application.per}s"},
        }
        objects.append({"type": "MtaInboundThrottle", "match": match, "properties": properties})
    return objects


# -- out -------------------------------------------------------------------------------------------------------


def _smarthosts(plan: SubmissionPlan) -> Objects:
    return [
        *(_route(smarthost) for smarthost in plan.smarthosts),
        *([parts.tunnel_tls()] if plan.edge else []),
        {
            "type": "MtaTlsStrategy",
            "match": {"name": TLS},
            "properties": {
                # The certificate is verified. DANE and MTA-STS are about exchangers, and nobody is looked up here.
                "startTls": "require",
                "dane": "disable",
                "mtaSts": "disable",
                "allowInvalidCerts": False,
                "description": "mailstead: with verified TLS or not at all",
            },
        },
    ]


def _route(smarthost: SmarthostPlan) -> Dict[str, Any]:
    if smarthost.edge:
        return parts.tunnel_route(smarthost.id, smarthost.host, smarthost.port)
    properties: Dict[str, Any] = {
        "@type": "Relay",
        "address": smarthost.host,
        "port": smarthost.port,
        "protocol": "smtp",
        "implicitTls": smarthost.tls == "implicit",
        "allowInvalidCerts": False,
        "authSecret": {"@type": "Value"},
        "description": f"mailstead: {smarthost.title}",
    }
    secrets = {"/authSecret/secret": smarthost.secret}
    if smarthost.username == "{secret}":
        secrets["/authUsername"] = smarthost.secret
    else:
        properties["authUsername"] = smarthost.username
    return {"type": "MtaRoute", "match": {"name": smarthost.id}, "properties": properties, "secrets": secrets}


def tries(waits: Sequence[int] = RETRIES, expiry: int = EXPIRY) -> int:
    """How often a message is tried at most before it expires."""
    number, at = 1, 0
    while at < expiry:
        at += waits[min(number - 1, len(waits) - 1)]
        number += 1
    return number


def _in_turn(condition: str, smarthosts: Sequence[SmarthostPlan]) -> List[Dict[str, str]]:
    """Branches of the route: the n-th try goes to the n-th smarthost, round and round. Expressions have no remainder."""
    branches = []
    for place, smarthost in enumerate(smarthosts[:-1]):
        turns = _any(f"retry_num == {n}" for n in range(place, tries(), len(smarthosts)))
        when = f"({condition}) && ({turns})" if condition else turns
        branches.append({"if": when, "then": f"'{smarthost.id}'"})
    return branches + ([{"if": condition, "then": f"'{smarthosts[-1].id}'"}] if condition else [])


def _by_size(condition: str, smarthosts: Sequence[SmarthostPlan]) -> List[Dict[str, str]]:
    """The same, with messages that some of them refuse for their size going to the others, the largest first."""
    branches: List[Dict[str, str]] = []
    for limit in sorted({s.max_size for s in smarthosts if s.max_size}, reverse=True):
        able = [s for s in smarthosts if not s.max_size or s.max_size > limit]
        if able:
            larger = f"size > {limit}"
            branches += _in_turn(f"({condition}) && {larger}" if condition else larger, able)
    return branches + _in_turn(condition, smarthosts)


def envelope_senders(application: ApplicationPlan) -> Tuple[str, ...]:
    """What the queue knows an application by."""
    return (application.return_path,) if application.return_path else application.senders


def route(plan: SubmissionPlan) -> Dict[str, Any]:
    """Which smarthost a message is handed to: by applications with smarthosts of their own, then by everybody else.

    Reports on what came back take them in reverse: what the first one refused for good may be refused by it again, and a report
    that comes back is lost.
    """
    by_id = {s.id: s for s in plan.smarthosts}
    everyone = tuple(by_id)
    chosen: Dict[Tuple[str, ...], List[str]] = {}
    for application in plan.applications:
        if application.smarthosts != everyone:
            chosen.setdefault(application.smarthosts, []).extend(envelope_senders(application))
    branches: List[Dict[str, str]] = []
    for ids, patterns in chosen.items():
        condition = _is_one_of("sender", list(dict.fromkeys(patterns)))
        branches += _by_size(condition, [by_id[i] for i in ids])
    reports = _in_turn("source == 'dsn'", plan.smarthosts[::-1])
    return {"match": reports + branches + _by_size("", plan.smarthosts), "else": f"'{plan.smarthosts[-1].id}'"}


def _delivery(plan: SubmissionPlan) -> Objects:
    tunnels = [s.host for s in plan.smarthosts if s.edge]
    return [
        {"type": "MtaVirtualQueue", "match": {"name": QUEUE}, "properties": {"threadsPerNode": DELIVERIES}},
        {
            "type": "MtaDeliverySchedule",
            "match": {"name": SCHEDULE},
            "properties": {
                "retry": {"@type": "Custom", "intervals": [{"duration": f"{seconds}s"} for seconds in RETRIES]},
                "expiry": {"@type": "Ttl", "expire": f"{EXPIRY}s"},
                "queueId": f"ref:MtaVirtualQueue/name={QUEUE}",
                "description": "mailstead: the next smarthost after seconds",
            },
        },
        {
            "type": "MtaOutboundStrategy",
            "properties": {
                "route": route(plan),
                "schedule": _always(f"'{SCHEDULE}'"),
                # The server's own falls back to certificates that are not valid.
                "tls": {
                    "match": [{"if": f"mx == '{address}'", "then": f"'{parts.TUNNEL_TLS}'"} for address in tunnels],
                    "else": f"'{TLS}'",
                },
            },
        },
    ]


def _webhook(plan: SubmissionPlan) -> Objects:
    # Not by its URL: a changed one would leave the old program being told.
    hook: Dict[str, Any] = {"type": "WebHook", "match": {"httpHeaders": {WEBHOOK_MARK: plan.name}}}
    if not plan.webhook:
        return [{**hook, "state": "absent"}]
    signed = bool(plan.webhook_secret)
    properties = {
        "url": plan.webhook,
        "enable": True,
        "events": list(FAILURES),
        "eventsPolicy": "include",
        "level": "info",
        "lossy": False,
        "allowInvalidCerts": False,
        # A program that is down for a while is told afterwards.
        "discardAfter": "1d",
        "signatureKey": {"@type": "Value" if signed else "None"},
    }
    secrets = {"secrets": {"/signatureKey/secret": plan.webhook_secret}} if signed else {}
    return [{**hook, "properties": properties, **secrets}]
