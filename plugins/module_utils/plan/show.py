# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan as text for people."""

from __future__ import annotations

import textwrap
from typing import List, Optional, Union

from ansible_collections.mailstead.stack.plugins.module_utils.intent.model import OWN
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import (
    ApplicationPlan,
    DomainPlan,
    HostedPlan,
    MailPlan,
    RoutingPlan,
    RulePlan,
    SubmissionPlan,
)
from ansible_collections.mailstead.stack.plugins.module_utils.plan.order import order


def show_plan(plan: MailPlan, explain: bool = False) -> str:
    """What would be built, published and checked; with explain also why each value is what it is."""
    lines: List[str] = []
    for domain in plan.domains:
        if not domain.takes_mail:
            continue
        shown = domain.name if domain.name == domain.unicode_name else f"{domain.unicode_name} ({domain.name})"
        lines.append(f"Domain {shown}")
        lines.append(f"  in    {' → '.join([*domain.mail_hosts[:1], *domain.edges[:1], domain.home])}")
        lines += _sent(domain, "box")
        lines.append("")
    for number, routed in enumerate(plan.routing, start=1):
        own = next((d for d in plan.domains if d.name == routed.name), None)
        lines += [*_routed(routed, own), *[""] * (number < len(plan.routing) or bool(plan.edges))]
    for hosted in plan.hosted:
        own = next((d for d in plan.domains if d.name == hosted.name), None)
        lines += ([""] if lines and lines[-1] else []) + _hosted(hosted, own) + [""] * bool(plan.edges)
    for service in plan.submissions:
        lines += ([""] if lines and lines[-1] else []) + _service(plan, service) + [""] * bool(plan.edges)
    for edge in plan.edges:
        lines.append(f"Edge {edge.host}: {edge.mail_name} at {edge.ipv4}{' and ' + edge.ipv6 if edge.ipv6 else ''}")
        opened = f"{', '.join(str(p) for p in edge.ports)} to everybody, " if edge.ports else ""
        lines.append(f"  opens {opened}{edge.bind_port} to the tunnel")
        lines.append(f"  sends for {', '.join(edge.sender_domains) or 'nobody'}")
    for home in plan.homes:
        lines.append(f"Home {home.host}: mail server {home.server_name} on a network of its own ({home.subnet})")
        lines.append(f"  certificate for {', '.join(home.certificate_names)}")
    for ptr in plan.ptr:
        lines.append(f"Reverse record {ptr.address} → {ptr.name} by {ptr.provider}")
    for zone in plan.zones:
        lines += ["", f"Zone {zone.name} at {zone.provider}"]
        kept = [r for one in plan.routing if one.zone == zone.name for r in one.keeps]
        width = max((len(r.name) for r in (*zone.records, *kept)), default=0)
        for record in (*zone.records, *kept):
            text = f'"{record.content}"' if record.type == "TXT" else record.content
            phase = "(theirs)" if record in kept else record.phase
            lines.append(f"  {phase:<11} {record.name:<{width}} {record.ttl:>5} {record.type:<5} {text}")
            if explain:
                lines.append(f"  {'':<11} {'':<{width}}       ; {record.reason}")
    witnesses = (
        ", ".join([c.address for c in plan.canaries] + list(plan.vantages)) or "none: some checks will be unknown"
    )
    sides = ["home"] * bool(plan.homes) + ["edge"] * bool(plan.edges)
    sides += sorted({h for s in plan.submissions for h in (s.host, *(c.host for c in s.clients))})
    places = f"{', '.join(sides)} and controller" if sides else "the controller"
    lines += ["", f"Checked from {places}; witnesses outside: {witnesses}"]
    lines += ["", "In this order:", *(f"  {step}" for step in order(plan))]
    lines += _by_hand(plan)
    if explain:
        lines += ["", "Why"]
        for d in plan.decisions:
            lines.append(f"  {d.subject}: {d.key} = {d.value}  [{d.source}] {d.reason}")
    return "\n".join(lines)


def _sent(domain: DomainPlan, word: str) -> List[str]:
    """How our own server sends for a domain, and who logs in; word: what an account is."""
    keys = ", ".join(domain.dkim.algorithms)
    lines = [f"  out   {domain.home} → {domain.egress} → the Internet, signed with {keys}"]
    for account in domain.accounts:
        also = f"  (also {', '.join(account.aliases)})" if account.aliases else ""
        lines.append(f"  {word:<5} {account.address}{also}")
    return lines


def _routed(plan: RoutingPlan, own: Optional[DomainPlan] = None) -> List[str]:
    """own: what our own server does for it."""
    shown = plan.name if plan.name == plan.unicode_name else f"{plan.unicode_name} ({plan.name})"
    if plan.state == "absent":
        return [f"Domain {shown}", f"  in    {plan.provider} is switched off, and its rules are removed"]
    detail = ", user+detail reaches user" if plan.subaddressing else ""
    lines = [f"Domain {shown}", f"  in    {plan.provider}{'' if own else ', no server of yours'}{detail}"]
    width = max([len(r.address) for r in plan.rules] + [len("everything else")])
    lines += [f"  rule  {r.address:<{width}} → {_effect(r)}" for r in plan.rules]
    if plan.catch_all:
        lines.append(f"  rule  {'everything else':<{width}} → {_effect(plan.catch_all)}")
    else:
        lines.append(f"  rule  {'everything else':<{width}} is refused")
    if plan.unread:
        lines.append(f"        nobody reads {' and '.join(plan.unread)}: give them a destination (RFC 5321 §4.5.1)")
    if plan.leaving:
        lines.append(f"  goes  MX records to {', '.join(plan.leaving)}")
    return lines + _senders(plan, own)


def _hosted(plan: HostedPlan, own: Optional[DomainPlan] = None) -> List[str]:
    shown = plan.name if plan.name == plan.unicode_name else f"{plan.unicode_name} ({plan.name})"
    if plan.state == "absent":
        return [f"Domain {shown}", f"  in    {plan.title}: its records are removed, the mailboxes stay"]
    lines = [f"Domain {shown}", f"  in    mailboxes at {plan.title}"]
    lines += [f"  web   {plan.webmail}"] if plan.webmail else []
    return lines + _senders(plan, own)


def _senders(plan: Union[RoutingPlan, HostedPlan], own: Optional[DomainPlan]) -> List[str]:
    """Who sends for a domain whose mail others take, and the policy that follows."""
    lines = _sent(own, "login") if own else []
    for sender in (s for s in plan.senders if not own or s.provider != OWN):
        login = f" with {sender.account}" if sender.account else ""
        names = f" as {', '.join(sender.send_as)}" if sender.send_as else ""
        lines.append(f"  out   {sender.title}{login}{names}")
    if not plan.senders:
        lines.append("  out   nobody")
    policy = f"DMARC p={plan.dmarc.policy}: {plan.policy_why}"
    return lines + textwrap.wrap(policy, 110, initial_indent="  ", subsequent_indent="        ")


def _service(plan: MailPlan, service: SubmissionPlan) -> List[str]:
    """A service through which applications send: who may send as whom, who delivers, and how applications get there."""
    if service.state != "present":
        return [f"Service {service.name}", f"  its server on {service.host} and its tunnel are removed"]
    at = f" at {service.lan_address}" if service.lan_address else ", by an address that your own DNS knows"
    ports = ", ".join(
        f"{li.port} ({'TLS' if li.tls == 'implicit' else 'STARTTLS'})" for li in service.listeners if li.public
    )
    lines = [
        f"Service {service.name} on {service.host}",
        f"  in    {service.server_name}{at}, ports {ports}; always with TLS and a login",
    ]
    if service.tunnel:
        tokens = ", ".join(service.tunnel.service_tokens)
        lines.append(
            f"  in    {service.tunnel.hostname}, a Cloudflare Tunnel, for holders of the service tokens {tokens}"
        )
        if service.tunnel.hostname.count(".") > service.tunnel.zone.count(".") + 1:
            lines.append(
                "        Cloudflare's own certificate covers one level below the zone: order one for this name"
            )
    lines += [f"  in    {c.host}: 127.0.0.1:{c.port} leads there, with the token {c.token}" for c in service.clients]
    for application in service.applications:
        lines.append(
            f"  app   {application.name}, login {application.login}, sends as {', '.join(application.senders)}"
        )
        size = f"{application.max_size // 1024} KiB"
        lines.append(f"        {application.rate} messages in {_time(application.per)}, {size} each at most")
        if application.return_path:
            lines.append(f"        what comes back goes to {application.return_path}")
        else:
            lines += [f"        nobody reads what comes back to {a}: see `bounces`" for a in _unread(plan, application)]
        if application.smarthosts != tuple(s.id for s in service.smarthosts):
            lines.append(f"        through {', then '.join(application.smarthosts)}")
    for number, smarthost in enumerate(service.smarthosts):
        word = "first through" if number == 0 else "then through"
        lines.append(f"  out   {word} {smarthost.title}, {smarthost.host} port {smarthost.port}")
    keys = ", ".join(name for name, _dkim in service.dkim)
    return [*lines, f"  keys  signs as {keys} before it hands on", *([_webhook(service)] if service.webhook else [])]


def _webhook(service: SubmissionPlan) -> str:
    return f"  told  {service.webhook}, when a message cannot be delivered"


def _time(seconds: int) -> str:
    return {1: "a second", 60: "a minute", 3600: "an hour", 86400: "a day"}.get(seconds, f"{seconds} s")


def _unread(plan: MailPlan, application: ApplicationPlan) -> List[str]:
    """The addresses of an application that a routing service takes no mail for, as far as the plan knows."""
    routed = {one.name: one for one in plan.routing}
    out = []
    for address in application.senders:
        one = routed.get(address.rpartition("@")[2])
        if one is None or (one.catch_all is not None and one.catch_all.action != "drop"):
            continue
        if not any(rule.address == address and rule.action != "drop" for rule in one.rules):
            out.append(address)
    return out


def _effect(rule: RulePlan) -> str:
    told = {"forward": rule.target, "worker": f"Worker {rule.target}"}.get(rule.action, "dropped")
    off = " (off)" if rule.enabled is False else ""
    return told + off + (f"  # {rule.tag}" if rule.tag else "")


def _by_hand(plan: MailPlan) -> List[str]:
    """What no API does: each new destination is confirmed by its owner, and providers want to be told of addresses."""
    lines: List[str] = []
    destinations = sorted({d for one in plan.routing for d in one.destinations})
    if destinations:
        lines += ["", "By hand, once: whoever reads these opens the link that Cloudflare sends there"]
        lines += [f"  {address}" for address in destinations]
    for one in plan.elsewhere:
        for sender in one.senders:
            if sender.steps:
                lines += ["", f"By hand, at {sender.title}, to send as {one.name}"]
            for number, step in enumerate(sender.steps, start=1):
                lines += textwrap.wrap(f"{number}. {step}", 110, initial_indent="  ", subsequent_indent="     ")
    return lines
