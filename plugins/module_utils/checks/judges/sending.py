# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""S22 to S30: what becomes of an application's mail: the smarthosts, a message that was really sent, and what comes back."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple
from urllib.parse import urlsplit

from ansible_collections.mailstead.stack.plugins.module_utils.checks import headers, ids
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import Finding
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.case import NO_CANARY, Case
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.inbound import transcript
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.senders import (
    NO_PROBE,
    Way,
    announced_size,
    session_end,
    taken,
    ways,
)
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.spf import authorised
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.witness import Errand, arrival
from ansible_collections.mailstead.stack.plugins.module_utils.checks.observation import Observation
from ansible_collections.mailstead.stack.plugins.module_utils.checks.view import bounce_domains, domain_of, within
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import (
    CanaryPlan,
    SmarthostPlan,
    SubmissionPlan,
)

RUN = "run site.yml"
#: A null MX (RFC 7505): the domain takes no mail, and says so.
NULL_MX = ("0 .", "0 ")


def judge(case: Case) -> Iterator[Finding]:
    for service in case.view.submissions:
        yield from _smarthosts(case, service)
        yield from _spf(case, service)
        yield _records(case, service)
        for way in ways(service):
            yield from _messages(case, way)
        for domain in bounce_domains(service):
            yield _bounces(case, service, domain)
        if service.webhook:
            yield _webhook(case, service)


# -- smarthosts --------------------------------------------------------------------------------------------------------


def _trouble(smarthost: SmarthostPlan, data: Mapping[str, Any]) -> str:
    """Why a smarthost would not take our mail; empty when it would."""
    tls: Mapping[str, Any] = data.get("tls") or {}
    reply = data["replies"].get("auth")
    if data["connect"] != "open":
        return str(data["connect"])
    if smarthost.tls != "none":
        if data["ehlo"] and not tls:
            return "offers no STARTTLS"
        if tls and not tls.get("chain_ok"):
            return f"its certificate: {tls.get('chain_error') or 'not trusted'}"
        if tls and not tls.get("name_ok"):
            return f"its certificate does not name {smarthost.host}"
    if not data["ehlo"]:
        return session_end(data)
    if not smarthost.username:
        return ""
    return session_end(data) if reply is None else "" if taken(reply) else f"refuses the login: {reply['text']}"


def _smarthosts(case: Case, service: SubmissionPlan) -> Iterator[Finding]:
    seen = {s.id: case.seen(ids.smarthost(service.name, s.id), service.host) for s in service.smarthosts}
    trouble = {s.id: _trouble(s, o.data) for s in service.smarthosts for o in [seen[s.id]] if o is not None and o.ok}
    works = any(not text for text in trouble.values())
    limits = [_limit(s, o.data) for s in service.smarthosts for o in [seen[s.id]] if o is not None and o.ok]
    enough = any(not limit or limit >= service.max_size for limit in limits)
    for smarthost in service.smarthosts:
        yield _login(case, service, smarthost, seen[smarthost.id], trouble.get(smarthost.id), works)
        yield _size(case, service, smarthost, seen[smarthost.id], enough)
        yield _suppressed(case, service, smarthost)


def _login(
    case: Case,
    service: SubmissionPlan,
    smarthost: SmarthostPlan,
    seen: Optional[Observation],
    trouble: Optional[str],
    works: bool,
) -> Finding:
    scope = f"{service.name}/{smarthost.id}"
    expected = f"a login at {smarthost.host}:{smarthost.port} over verified TLS"
    if smarthost.tls == "none":
        expected = f"{smarthost.host}:{smarthost.port} answers, within our own tunnel"
    if seen is None or trouble is None:
        why = case.why_not(seen, ids.smarthost(service.name, smarthost.id), service.host)
        return case.unknown("S22", scope, why, expected=expected)
    does = "answers" if smarthost.edge else "takes the login"
    observed = f"{smarthost.host}: {trouble}" if trouble else f"{smarthost.host} {does}"
    fix = f"try the login at {smarthost.title}; write user name and secret into smarthosts; else see its status page"
    if smarthost.edge:
        fix = f"see the logs of mailstead-frpc on {service.host} and of mailstead-relay on {smarthost.edge}; {RUN}"
    return case.finding(
        "S22",
        scope,
        "pass" if not trouble else "warn" if works else "fail",
        observed + ("; another smarthost works" if trouble and works else ""),
        expected=expected,
        evidence=transcript(seen.data),
        fix=fix,
    )


def _limit(smarthost: SmarthostPlan, data: Mapping[str, Any]) -> int:
    """Bytes that a message may have there, as it announces or its page says; 0 when unknown."""
    return announced_size(data) or smarthost.max_size


def _size(
    case: Case, service: SubmissionPlan, smarthost: SmarthostPlan, seen: Optional[Observation], enough: bool
) -> Finding:
    """enough: whether one of the service's smarthosts takes the largest message."""
    scope = f"{service.name}/{smarthost.id}"
    expected = f"SIZE {service.max_size} or more"
    if seen is None or not seen.ok or not seen.data["ehlo"]:
        why = "no EHLO reply was seen"
        return case.unknown("S23", scope, why, expected=expected, requires=(f"S22@{scope}",), matters=False)
    limit = _limit(smarthost, seen.data)
    source = "announces" if announced_size(seen.data) else "announces nothing; its page says"
    return case.finding(
        "S23",
        scope,
        "pass" if not limit or limit >= service.max_size else "warn" if enough else "fail",
        f"{source} {limit}" if limit else "announces no limit",
        expected=expected,
        evidence=transcript(seen.data)[:3],
        fix=f"set limits.max_size of the service to {limit} or less: larger messages would be taken and come back",
        requires=(f"S22@{scope}",),
    )


def _suppressed(case: Case, service: SubmissionPlan, smarthost: SmarthostPlan) -> Finding:
    scope = f"{service.name}/{smarthost.id}"
    told: Mapping[str, Any] = case.view.facts.smarthosts.get(service.name, {}).get(smarthost.id) or {}
    error = str(told.get("error") or "")
    if error:
        return case.unknown("S24", scope, error, matters=False)
    if told.get("suppressed") is None:
        return case.na("S24", scope, f"{smarthost.title} was not asked: no access to its list")
    found = [str(a["email"] if isinstance(a, Mapping) else a) for a in told["suppressed"]]
    return case.finding(
        "S24",
        scope,
        "warn" if found else "pass",
        f"{len(found)} suppressed: {', '.join(found[:5])}" if found else "none",
        expected="none",
        evidence=found[:20],
        fix=f"mail to them is dropped: correct the addresses, or take them off the list at {smarthost.title}",
    )


def _spf(case: Case, service: SubmissionPlan) -> Iterator[Finding]:
    """Of domains with mailboxes here; for those whose mail others take it is N4's and R6's matter."""
    elsewhere = {d.name for d in case.view.plan.elsewhere if d.state == "present"}
    for domain in case.view.plan.domains:
        if domain.name in service.domains and domain.name not in elsewhere:
            yield authorised(case, "S25", domain, RUN, f"{service.name}/{domain.name}")


def _records(case: Case, service: SubmissionPlan) -> Finding:
    """Of hosted domains those that the smarthosts ask for are N8's and G1's matter."""
    providers = {s.provider for s in service.smarthosts}
    roles = providers | {f"dkim-{p}" for p in providers}
    domains = [d for d in service.domains if all(d != hosted.name for hosted in case.view.hosted)]
    every = [r for records in case.view.zones.values() for r in records]
    wanted = [r for r in every if r.role in roles and any(within(r.name, d) for d in domains)]
    wanted += [r for r in every if r.name == service.server_name and r.type in ("A", "AAAA")]
    if not wanted:
        return case.na("S30", service.name, "the service and its smarthosts ask for nothing else")
    needs = tuple(dict.fromkeys(need for r in wanted for need in case.zone_needs(r.name)))
    looked = [(r, case.published(r.name, r.type)) for r in wanted]
    unseen = next((p.why for _r, p in looked if not p.known), "")
    if unseen:
        return case.unknown("S30", service.name, unseen, requires=needs)
    missing = [f"{r.name} {r.type} {r.content}" for r, p in looked if r.content not in p.values]
    return case.finding(
        "S30",
        service.name,
        "fail" if missing else "pass",
        f"missing: {'; '.join(missing)}" if missing else f"{len(wanted)} published",
        expected="the service's address, return paths and signatures of its smarthosts",
        evidence=[line for _r, p in looked for line in p.evidence()],
        fix=f"{RUN}; if a provider shows another value, write that into inputs first",
        requires=needs,
    )


# -- a message ---------------------------------------------------------------------------------------------------------


def _messages(case: Case, way: Way) -> Iterator[Finding]:
    service = way.service
    why = NO_PROBE if service.probe is None else "" if case.view.plan.canaries else NO_CANARY
    if why:
        for check in ("S26", "S27", "S28"):
            yield case.unknown(check, way.scope, why, matters=service.probe is None)
        return
    for canary in case.view.plan.canaries:
        yield from _message(case, way, canary)


def _message(case: Case, way: Way, canary: CanaryPlan) -> Iterator[Finding]:
    service, domain = way.service, domain_of(way.service.probe_sender)
    scope = f"{way.scope}/{canary.address}"
    box = ids.sender_witness(service.name, canary.address)
    keys = tuple(f"{c}@{k.scope}" for k in case.view.keys_of_service(service, domain) for c in ("G1", "G3", "G4", "G5"))
    smarthosts = tuple(f"S22@{service.name}/{s.id}" for s in service.smarthosts)
    errand = Errand(
        sent=ids.sender_message(service.name, way.vantage, canary.address),
        box=box,
        label="sent",
        recipient=canary.address,
        address=canary.address,
        refused=f"the reply names the cause; see the log of the mail server on {service.host}",
        lost=f"see the queue of the mail server on {service.host}, then the smarthost's own log",
        junk="the receiver took the message for spam",
    )
    needs = (*way.needs, f"S2@{service.name}", *smarthosts, *keys, f"H1@{domain}")
    expected = "accepted by the service and found in the witness's mailbox"
    yield arrival(case, "S26", scope, errand, expected, needs, found_as=way.vantage)
    seen = case.seen(box)
    message = seen.data["messages"].get(way.vantage) if seen is not None and seen.ok else None
    if message is None:
        for check in ("S27", "S28"):
            yield case.unknown(check, scope, "the message was not found", requires=(f"S26@{scope}",))
        return
    # What our own server wrote into it says nothing.
    said = headers.auth_results(message["headers"], exclude=[service.server_name])
    yield _dkim(case, scope, domain, said, keys)
    yield _dmarc(case, scope, domain, said)


def _lines(said: Sequence[headers.AuthResult]) -> List[str]:
    return [f"{r.authserv}: {r.method}={r.result} {dict(r.properties)}" for r in said]


def _dkim(case: Case, scope: str, domain: str, every: Sequence[headers.AuthResult], keys: Tuple[str, ...]) -> Finding:
    """A smarthost's own signature, of its own domain, proves nothing about the sender's."""
    said = [r for r in every if r.method == "dkim"]
    ours = [r for r in said if _signer(r.properties) == domain]
    passed = [r for r in ours if r.result == "pass"]
    results = ", ".join(f"dkim={r.result}" for r in ours) or f"no signature of {domain} is mentioned"
    return case.finding(
        "S27",
        scope,
        "pass" if passed else "fail",
        f"dkim=pass for {domain}" if passed else results,
        expected=f"dkim=pass for d={domain}",
        evidence=_lines(said),
        fix=f"see that the server signs for {domain} (SenderAuth.dkimSignDomain, {RUN}) and no smarthost changes mail",
        requires=(f"S26@{scope}", *keys),
    )


def _signer(properties: Mapping[str, str]) -> str:
    return properties.get("header.d", properties.get("header.i", "")).rpartition("@")[2].lower()


def _dmarc(case: Case, scope: str, domain: str, every: Sequence[headers.AuthResult]) -> Finding:
    said = [r for r in every if r.method == "dmarc"]
    bad = [r.result for r in said if r.result != "pass"]
    return case.finding(
        "S28",
        scope,
        "pass" if said and not bad else "fail",
        f"dmarc={bad[0]}" if bad else "dmarc=pass" if said else "the receiver says nothing about dmarc",
        expected="dmarc=pass",
        evidence=_lines(said),
        fix=f"the signature of {domain} carries it (S27, G1 to G5); see the DMARC record (H1 to H3)",
        requires=(f"S26@{scope}", f"S27@{scope}", f"H1@{domain}"),
    )


# -- what comes back ---------------------------------------------------------------------------------------------------


def _bounces(case: Case, service: SubmissionPlan, domain: str) -> Finding:
    scope = f"{service.name}/{domain}"
    expected = f"an MX of {domain}: bounces go there"
    zone = case.view.zone_of(domain)
    # That a planned MX is missing is a finding of its own.
    checks: Dict[str, Sequence[str]] = {
        "E3": [d.name for d in case.view.taking],
        "N1": [d.name for d in case.view.hosted],
        "R2": [d.name for d in case.view.routed],
    }
    needs = tuple(f"{check}@{domain}" for check, names in checks.items() if domain in names)
    needs = (*case.zone_needs(domain), *needs) if zone else needs
    if zone:
        ours = case.published(domain, "MX")
        known, values, why = ours.known, list(ours.values), ours.why
    else:
        answer = case.answers().get(f"{domain} MX")
        known = answer is not None and answer.get("rcode") in ("NOERROR", "NXDOMAIN")
        values = [str(v) for v in (answer or {}).get("values", ())]
        why = f"{domain} MX could not be looked up"
    if not known:
        return case.unknown("S29", scope, why, expected=expected, requires=needs)
    takers = [v for v in values if v not in NULL_MX]
    return case.finding(
        "S29",
        scope,
        "pass" if takers else "fail",
        ", ".join(takers) or (f"{domain} takes no mail (null MX)" if values else f"{domain} has no MX"),
        expected=expected,
        evidence=[f"{domain} MX {' | '.join(values) or 'no such record'}"],
        fix="set bounces to an address whose domain takes mail, or to a web hook",
        requires=needs,
    )


def _webhook(case: Case, service: SubmissionPlan) -> Finding:
    scheme = urlsplit(service.webhook).scheme
    return case.finding(
        "S29",
        f"{service.name}/webhook",
        "pass" if scheme == "https" else "fail",
        scheme,
        expected="https",
        evidence=[f"called at {urlsplit(service.webhook).hostname}"],
        fix="give bounces.webhook a URL that begins with https: addresses of recipients stand in what is told",
    )
