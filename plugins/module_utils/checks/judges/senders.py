# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""S1 to S14: a service through which applications send, as its own host and each client see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator, List, Mapping, Optional, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks import ids
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import Finding
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.case import Case, certificate_evidence
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.inbound import transcript
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.tls import lifetime
from ansible_collections.mailstead.stack.plugins.module_utils.checks.observation import Observation
from ansible_collections.mailstead.stack.plugins.module_utils.checks.planning_senders import (
    SUBMISSION,
    SUBMISSIONS,
    behind_tunnel,
    lan,
    neighbour_of,
    port25_addresses,
)
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import SubmissionPlan

RUN = "run site.yml"
NO_PROBE = "the plan has no login for checks"
#: Why a connection says nothing about whether the port is open.
NOT_THERE = ("no-route", "unreachable", "dns")


@dataclass(frozen=True)
class Way:
    """A way to a service: directly, from its own host, or through the tunnel from a client's."""

    service: SubmissionPlan
    name: str
    vantage: str
    needs: Tuple[str, ...]

    @property
    def scope(self) -> str:
        return f"{self.service.name}/{self.name}"


def ways(service: SubmissionPlan) -> List[Way]:
    found = [Way(service, "lan", service.host, (f"S1@{service.name}/{service.host}",))]
    found += [Way(service, c.host, c.host, (f"S17@{service.name}/{c.host}",)) for c in behind_tunnel(service)]
    return found


def judge(case: Case) -> Iterator[Finding]:
    for service in case.view.submissions:
        yield from _reachable(case, service)
        yield from _tls(case, service)
        yield _starttls(case, service)
        yield _password(case, service)
        yield _port25(case, service)
        for way in ways(service):
            yield from _without_login(case, way)
            yield from _with_login(case, way)
        yield _size(case, service)


def _reachable(case: Case, service: SubmissionPlan) -> Iterator[Finding]:
    """From the service's own host, which must reach it, and from those that may be on the LAN."""
    probe = ids.sender_tls(service.name)
    yield _reached(case, service, case.seen(probe, service.host), service.host)
    others = [c.host for c in behind_tunnel(service)]
    for vantage in (case.view.vantages.controller, *others) if service.lan_address else ():
        seen = case.seen(probe, vantage)
        scope = f"{service.name}/{vantage}"
        if seen is not None and seen.ok and seen.data["connect"] == "open":
            yield _reached(case, service, seen, vantage)
        elif vantage in others:
            yield case.na("S1", scope, f"{vantage} comes through the tunnel alone")
        else:
            why = f"{vantage} does not reach {service.lan_address}: it may be outside the LAN"
            yield case.unknown("S1", scope, why, matters=False)


def _reached(case: Case, service: SubmissionPlan, seen: Optional[Observation], vantage: str) -> Finding:
    scope = f"{service.name}/{vantage}"
    expected = f"TLS on {lan(service)}:{SUBMISSIONS} and a greeting"
    if seen is None or not seen.ok:
        why = case.why_not(seen, ids.sender_tls(service.name), vantage)
        return case.unknown("S1", scope, why, expected=expected)
    data = seen.data
    up = data["connect"] == "open" and str(data["greeting"]).startswith("220")
    observed = str(data["greeting"]) or "connected, and no greeting" if data["connect"] == "open" else data["connect"]
    return case.finding(
        "S1",
        scope,
        "pass" if up else "fail",
        f"{data['address']}:{data['port']}: {observed}",
        expected=expected,
        evidence=(f"from {vantage}: {data.get('version') or data.get('error') or data['connect']}",),
        fix=f"on {service.host}: see that the mail server runs and its port {SUBMISSIONS} is published ({RUN})",
    )


def _tls(case: Case, service: SubmissionPlan) -> Iterator[Finding]:
    probe, name = ids.sender_tls(service.name), service.name
    seen = case.seen(probe, service.host)
    needs = (f"S1@{name}/{service.host}",)
    if seen is None or not seen.ok or seen.data["connect"] != "open":
        why = case.why_not(seen, probe, service.host) if seen is None or not seen.ok else "no TLS session was seen"
        for check in ("S2", "S3", "S4"):
            yield case.unknown(check, name, why, requires=needs)
        return
    data = seen.data
    trouble = certificate_trouble(data, service)
    evidence = (certificate_evidence(dict(data)),)
    yield case.finding(
        "S2",
        name,
        "fail" if trouble else "pass",
        "; ".join(trouble) or f"valid for {service.server_name}",
        expected=f"a chain to a trusted root, and the name {service.server_name}",
        evidence=evidence,
        fix="renew with certbot (role tls) and reload; serve the full chain",
        requires=(*needs, f"S3@{name}"),
    )
    verdict, observed = lifetime(data, case.now)
    yield case.finding(
        "S3",
        name,
        verdict,
        observed,
        expected="more than a third of its life left",
        evidence=evidence,
        fix=f"run `certbot renew` on {service.host} and see why its timer did not (systemctl status certbot.timer)",
        requires=needs,
    )
    version, legacy = str(data["version"]), data.get("legacy")
    if legacy is None:
        told = f"{version}; whether older ones are refused could not be told"
        yield case.unknown("S4", name, told, requires=needs, matters=False)
        return
    yield case.finding(
        "S4",
        name,
        "fail" if legacy else "pass",
        f"{version}; TLS 1.0 or 1.1 is {'accepted' if legacy else 'refused'}",
        expected="TLS 1.2 or later only",
        fix="switch TLS 1.0 and 1.1 off in the mail server's listener",
        requires=needs,
    )


def certificate_trouble(tls: Mapping[str, Any], service: SubmissionPlan) -> List[str]:
    """What is wrong with the certificate that was shown under the service's name."""
    trouble = [] if tls.get("chain_ok") else [f"chain: {tls.get('chain_error') or 'not trusted'}"]
    return trouble if tls.get("name_ok") else [*trouble, f"does not name {service.server_name}"]


def _starttls(case: Case, service: SubmissionPlan) -> Finding:
    name, probe = service.name, ids.sender_starttls(service.name)
    if all(listener.port != SUBMISSION for listener in service.listeners):
        return case.na("S5", name, f"the service does not listen on {SUBMISSION}")
    seen = case.seen(probe, service.host)
    needs = (f"S1@{name}/{service.host}",)
    expected = "STARTTLS offered; AUTH not offered, AUTH and MAIL refused before it"
    replies = seen.data["replies"] if seen and seen.ok else {}
    if seen is None or not {"auth", "mail"} <= set(replies):
        why = case.why_not(seen, probe, service.host) if seen is None or not seen.ok else session_end(seen.data)
        return case.unknown("S5", name, why, expected=expected, requires=needs)
    offered = [k for k in seen.data["ehlo"] if k.split(" ")[0] == "AUTH"]
    trouble = [f"offers {', '.join(offered)} without TLS"] if offered else []
    trouble += [] if "STARTTLS" in seen.data["ehlo"] else ["offers no STARTTLS"]
    trouble += [f"takes AUTH without TLS: {replies['auth']['text']}"] if replies["auth"]["code"] in (235, 334) else []
    if taken(replies.get("mail")) and taken(replies.get("rcpt")):
        trouble.append(f"takes mail without TLS and login: {replies['rcpt']['text']}")
    return case.finding(
        "S5",
        name,
        "fail" if trouble else "pass",
        "; ".join(trouble) or f"AUTH: {replies['auth']['text']}; MAIL: {replies['mail']['text']}",
        expected=expected,
        evidence=transcript(seen.data),
        fix=f"let MtaStageAuth.saslMechanisms depend on is_tls and MtaStageAuth.require be true ({RUN})",
        requires=needs,
    )


def taken(reply: Optional[Mapping[str, Any]]) -> bool:
    return bool(reply) and 200 <= int(reply["code"]) < 300  # type: ignore[index]


def refused(reply: Optional[Mapping[str, Any]]) -> bool:
    return bool(reply) and int(reply["code"]) >= 500  # type: ignore[index]


def session_end(data: Mapping[str, Any]) -> str:
    """Why a session has not the reply that was looked for."""
    login = data["replies"].get("auth", {}).get("text")
    if data["connect"] != "open":
        return f"{data['address']}:{data['port']}: {data['connect']}"
    if data["ended"] == "tls" and not login:
        return "not logged in: the certificate is not valid for the name"
    return f"the session ended early: {data['ended'] or 'no reply'}" + (f" ({login})" if login else "")


def _password(case: Case, service: SubmissionPlan) -> Finding:
    name, probe = service.name, ids.sender_password(service.name)
    expected = "535"
    needs = (f"S1@{name}/{service.host}", f"S2@{name}")
    if service.probe is None:
        return case.unknown("S10", name, NO_PROBE, expected=expected)
    seen = case.seen(probe, service.host)
    reply = seen.data["replies"].get("auth") if seen and seen.ok else None
    if seen is None or reply is None:
        why = case.why_not(seen, probe, service.host) if seen is None or not seen.ok else session_end(seen.data)
        return case.unknown("S10", name, why, expected=expected, requires=needs)
    return case.finding(
        "S10",
        name,
        "fail" if taken(reply) else "pass" if refused(reply) else "unknown",
        reply["text"],
        expected=expected,
        evidence=transcript(seen.data),
        fix=f"let the server's directory decide who may log in ({RUN}); look for another listener on the port",
        requires=needs,
    )


def _port25(case: Case, service: SubmissionPlan) -> Finding:
    """Where nothing is taken, nothing has to listen."""
    found = [case.seen(ids.sender_port25(service.name, a), service.host) for a in port25_addresses(service)]
    told = [o.data for o in found if o is not None and o.ok and o.data["connect"] not in NOT_THERE]
    opened = [d for d in told if d["connect"] == "open"]
    missing = len(told) != len(found) and not opened
    observed = "; ".join(f"{d['address']}: {d['connect']}" for d in told)
    return case.finding(
        "S11",
        service.name,
        "fail" if opened else "unknown" if missing else "pass",
        observed if not missing else "port 25 could not be looked at",
        expected="closed on every address",
        evidence=[f"{d['address']}:25 {d['banner'] or d['connect']}" for d in told],
        fix=f"take the listener away ({RUN}); another program's: stop it or bind it to 127.0.0.1",
    )


def _without_login(case: Case, way: Way) -> Iterator[Finding]:
    probe = ids.sender_stranger(way.service.name)
    seen = case.seen(probe, way.vantage)
    replies = seen.data["replies"] if seen and seen.ok else {}
    cases = (
        ("S6", "mail", "rcpt", "no sender and no recipient is accepted without a login"),
        ("S12", "stranger", "domain", f"no mail to {', '.join(way.service.domains)} without a login"),
    )
    for check, first, second, expected in cases:
        pair = (replies.get(first), replies.get(second))
        if seen is None or not any(pair):
            why = case.why_not(seen, probe, way.vantage) if seen is None or not seen.ok else session_end(seen.data)
            yield case.unknown(check, way.scope, why, expected=expected, requires=way.needs)
            continue
        # A sender that is accepted before the login is not mail yet; a recipient is.
        verdict = "fail" if taken(pair[1]) else "pass" if any(refused(r) for r in pair) else "unknown"
        yield case.finding(
            check,
            way.scope,
            verdict,
            "; ".join(str(r["text"]) for r in pair if r),
            expected=expected,
            evidence=transcript(seen.data),
            fix=f"set MtaStageAuth.require to true and let no address stand for a login ({RUN})",
            requires=way.needs,
        )


#: Check, label of the reply, what has to be, what mends it.
_BOUND = (
    ("S7", "envelope", "MAIL FROM of somebody else is refused", "MtaStageMail.isSenderAllowed by application"),
    ("S8", "header", "a message whose From is somebody else's is refused", "the Sieve script at DATA that reads From"),
    ("S9", "neighbour", "MAIL FROM of another application is refused", "MtaStageMail.isSenderAllowed by application"),
    ("S13", "login-name", "RCPT TO a user name is refused", "the Sieve script that refuses the login domain at RCPT"),
)


def _with_login(case: Case, way: Way) -> Iterator[Finding]:
    service, probe = way.service, ids.sender_forged(way.service.name)
    seen = case.seen(probe, way.vantage)
    needs = (*way.needs, f"S2@{service.name}")
    for check, label, expected, mend in _BOUND:
        if service.probe is None:
            yield case.unknown(check, way.scope, NO_PROBE, expected=expected)
            continue
        if check == "S9" and not neighbour_of(service):
            yield case.na(check, way.scope, "no other application has an address")
            continue
        reply = seen.data["replies"].get(label) if seen and seen.ok else None
        if seen is None or reply is None:
            why = case.why_not(seen, probe, way.vantage) if seen is None or not seen.ok else session_end(seen.data)
            yield case.unknown(check, way.scope, why, expected=expected, requires=needs)
            continue
        yield case.finding(
            check,
            way.scope,
            "fail" if taken(reply) else "pass" if refused(reply) else "unknown",
            reply["text"],
            expected=expected,
            evidence=transcript(seen.data),
            fix=f"set {mend} ({RUN})",
            requires=needs,
        )


def _size(case: Case, service: SubmissionPlan) -> Finding:
    name, probe = service.name, ids.sender_stranger(service.name)
    seen = case.seen(probe, service.host)
    needs = (f"S1@{name}/{service.host}",)
    expected = f"SIZE {service.max_size}"
    if seen is None or not seen.ok or not seen.data["ehlo"]:
        why = case.why_not(seen, probe, service.host) if seen is None or not seen.ok else session_end(seen.data)
        return case.unknown("S14", name, why, expected=expected, requires=needs)
    announced = announced_size(seen.data)
    return case.finding(
        "S14",
        name,
        "pass" if announced == service.max_size else "fail",
        f"SIZE {announced}" if announced else "no limit is announced",
        expected=expected,
        evidence=(f"EHLO: {', '.join(seen.data['ehlo'])}",),
        fix=f"set MtaStageData.maxMessageSize to {service.max_size} ({RUN})",
        requires=needs,
    )


def announced_size(data: Mapping[str, Any]) -> int:
    """Bytes of SIZE in the last EHLO reply (RFC 1870 §4); 0 without a limit."""
    for keyword in data.get("ehlo_tls") or data.get("ehlo") or ():
        words = str(keyword).split(" ")
        if words[0] == "SIZE" and len(words) > 1 and words[1].isdigit():
            return int(words[1])
    return 0
