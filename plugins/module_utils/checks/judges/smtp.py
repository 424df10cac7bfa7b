# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""L: how the server behaves towards strangers and towards its own users."""

from __future__ import annotations

import re
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks import headers, ids
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import Finding
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.case import NO_OUTSIDE, Case
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.inbound import recipient_reply, transcript
from ansible_collections.mailstead.stack.plugins.module_utils.checks.observation import Observation
from ansible_collections.mailstead.stack.plugins.module_utils.checks.planning import RELAY_VARIANTS
from ansible_collections.mailstead.stack.plugins.module_utils.checks.view import addresses_of
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import DomainPlan, EdgePlan

WANTED = ("SIZE", "8BITMIME", "PIPELINING", "ENHANCEDSTATUSCODES")
_VERSION = re.compile(r"\b\d+\.\d+(?:\.\d+)?\b")


def judge(case: Case) -> Iterator[Finding]:
    for edge, address, seen in case.sessions():
        yield _relay(case, edge, address)
        yield from _session(case, edge, address, seen)
        for version in ("v1", "v2"):
            yield _forged_proxy(case, address, address, version, None, (f"C1@{address}",))
    for home in case.view.plan.homes:
        for version in ("v1", "v2"):
            yield _forged_proxy(case, home.host, "direct", version, home.host, ())
    for domain in case.view.plan.domains:
        if domain.takes_mail:
            yield _unknown_recipient(case, domain)
            yield _null_sender(case, domain)
            yield _from_stranger(case, domain)
        else:
            yield _elsewhere(case, domain)
        yield from _from_user(case, domain)


def _relay(case: Case, edge: EdgePlan, address: str) -> Finding:
    needs = case.address_needs(edge, address)
    expected = "every foreign recipient is refused with 5xx"
    if not case.watched:
        return case.unknown("L1", address, NO_OUTSIDE, expected=expected, matters=False)
    accepted: List[str] = []
    unseen: List[str] = []
    evidence: List[str] = []
    unreachable = False
    for variant, _sender, _recipient in RELAY_VARIANTS:
        seen = case.seen(ids.relay(address, variant))
        reply = (seen.data.get("replies", {}) if seen and seen.ok else {}).get("rcpt")
        first = (seen.data.get("replies", {}) if seen and seen.ok else {}).get("mail", {})
        if seen and seen.ok and seen.data.get("connect") == "no-route":
            unreachable = True
        if reply is None and not 500 <= int(first.get("code", 0)) < 600:
            unseen.append(variant)
            continue
        # A sender that is refused cannot relay either.
        answer = reply or first
        evidence.append(f"{variant}: {answer['text']}")
        if 200 <= int(answer["code"]) < 300:
            accepted.append(variant)
    verdict = "fail" if accepted else "unknown" if unseen else "pass"
    observed = f"accepted: {', '.join(accepted)}" if accepted else f"no reply to: {', '.join(unseen)}"
    return case.finding(
        "L1",
        address,
        verdict,
        observed if accepted or unseen else f"all {len(evidence)} variants are refused",
        expected=expected,
        evidence=evidence,
        fix="let only authenticated users relay: MtaStageRcpt.allowRelaying = !is_empty(authenticated_as) (run site.yml)",
        requires=needs,
        matters=not unreachable,
    )


def _session(case: Case, edge: EdgePlan, address: str, seen: Optional[Observation]) -> Iterator[Finding]:
    needs = case.address_needs(edge, address)
    checks = ("L5", "L6", "L7", "L8")
    if not case.watched:
        for check in checks:
            yield case.unknown(check, address, NO_OUTSIDE, matters=False)
        return
    if seen is None or not seen.ok or not seen.data["ehlo"]:
        why = case.why_not(seen, ids.session(address)) if seen is None or not seen.ok else "no EHLO reply"
        matters = not (seen and seen.ok and seen.data["connect"] == "no-route")
        for check in checks:
            yield case.unknown(check, address, why, requires=needs, matters=matters and check == "L6")
        return
    data = seen.data
    evidence = transcript(data)
    yield _disclosure(case, address, data, evidence, (*needs, f"K1@{address}:25"))
    yield _auth(case, address, data, evidence, needs)
    offered = {k.split(" ")[0] for k in (*data["ehlo"], *data["ehlo_tls"])}
    missing = [k for k in WANTED if k not in offered]
    yield case.finding(
        "L7",
        address,
        "warn" if missing else "pass",
        f"missing: {', '.join(missing)}" if missing else ", ".join(sorted(offered)),
        expected=", ".join(WANTED),
        evidence=evidence[:3],
        fix="switch the extension on in the mail server",
        requires=needs,
    )
    words = str(data["banner"]).split(" ")
    name = words[1].lower().rstrip(".") if len(words) > 1 else ""
    trouble = [] if name == edge.mail_name else [f"greets as {name}"]
    rest = " ".join(words[2:])
    if _VERSION.search(rest):
        trouble.append("tells a version")
    yield case.finding(
        "L8",
        address,
        "warn" if trouble else "pass",
        "; ".join(trouble) or str(data["banner"]),
        expected=f"220 {edge.mail_name} …, no version",
        evidence=evidence[:1],
        fix=f"set the server's host name to {edge.mail_name} and its greeting without a version",
        requires=(f"C1@{address}",),
    )


def _disclosure(
    case: Case, address: str, data: Mapping[str, Any], evidence: Tuple[str, ...], needs: Tuple[str, ...]
) -> Finding:
    replies = {label: data["replies"].get(label, {}) for label in ("vrfy", "expn")}
    if not all(r.get("code") for r in replies.values()):
        return case.unknown("L5", address, "the session ended before VRFY and EXPN", requires=needs, matters=False)
    told = [label.upper() for label, r in replies.items() if r["code"] in (250, 251)]
    return case.finding(
        "L5",
        address,
        "warn" if told else "pass",
        f"{', '.join(told)} disclose users"
        if told
        else "; ".join(f"{k.upper()} {r['code']}" for k, r in replies.items()),
        expected="252 or 5xx",
        evidence=evidence,
        fix="switch VRFY and EXPN off in the mail server",
        requires=needs,
    )


def _auth(
    case: Case, address: str, data: Mapping[str, Any], evidence: Tuple[str, ...], needs: Tuple[str, ...]
) -> Finding:
    reply = data["replies"].get("auth-plain", {})
    if not reply.get("code"):
        return case.unknown("L6", address, "the session ended before AUTH", requires=needs)
    accepted = int(reply["code"]) in (334, 235)
    offered = [k for k in data["ehlo"] if k.startswith("AUTH")]
    return case.finding(
        "L6",
        address,
        "fail" if accepted else "warn" if offered else "pass",
        f"AUTH without TLS: {reply['text']}" + (f"; offered: {', '.join(offered)}" if offered else ""),
        expected="not offered, and refused with 5xx",
        evidence=evidence,
        fix="offer AUTH on 465 only (MtaStageAuth.saslMechanisms)",
        requires=needs,
    )


def _forged_proxy(
    case: Case, scope: str, target: str, version: str, vantage: Optional[str], needs: Tuple[str, ...]
) -> Finding:
    probe = ids.forged_proxy(target, version)
    where = f"{scope}/{version}"
    expected = "the header is refused as SMTP"
    if vantage is None and not case.watched:
        return case.unknown("L15", where, NO_OUTSIDE, expected=expected, matters=False)
    seen = case.seen(probe, vantage)
    if seen is None or not seen.ok:
        return case.unknown("L15", where, case.why_not(seen, probe, vantage or ""), expected=expected, requires=needs)
    data = seen.data
    outcome = str(data["outcome"])
    evidence = (f"from {seen.vantage} to {data['address']}:25 claiming {data['claim']}", *data["replies"])
    if outcome == "rejected" or (outcome in ("closed", "silent") and data["replies"]):
        verdict = "pass"
    else:
        # Nothing was said at all: that does not show a refusal.
        verdict = "fail" if outcome == "accepted" else "unknown"
    return case.finding(
        "L15",
        where,
        verdict,
        {"accepted": "the session goes on as if the header were true"}.get(outcome, outcome),
        expected=expected,
        evidence=evidence,
        fix="let the server's listeners trust exactly the tunnel client's address (a /32), then restart the server",
        requires=needs,
        matters=outcome != "no-route",
    )


def _reply_finding(
    case: Case, check_id: str, domain: DomainPlan, label: str, want_accepted: bool, expected: str, fix: str
) -> Finding:
    needs = (*case.inbound_needs(domain), *((f"C4@{domain.name}",) if check_id == "L9" else ()))
    if not case.watched:
        return case.unknown(check_id, domain.name, NO_OUTSIDE, expected=expected, matters=False)
    seen, code, text = recipient_reply(case, domain, label)
    if not code or seen is None:
        why = case.why_not(seen, ids.recipients(domain.name)) if seen is None or not seen.ok else "no reply to RCPT"
        return case.unknown(check_id, domain.name, why, expected=expected, requires=needs)
    accepted = 200 <= code < 300
    later = 400 <= code < 500
    verdict = "unknown" if later else "pass" if accepted == want_accepted else "fail"
    return case.finding(
        check_id, domain.name, verdict, text, expected=expected, evidence=transcript(seen.data), fix=fix, requires=needs
    )


def _unknown_recipient(case: Case, domain: DomainPlan) -> Finding:
    if domain.catch_all:
        return case.na("L9", domain.name, "the domain has a catch-all: every recipient is known")
    fix = "let the server refuse unknown recipients at RCPT instead of bouncing later"
    return _reply_finding(case, "L9", domain, "unknown", False, "5xx at RCPT", fix)


def _null_sender(case: Case, domain: DomainPlan) -> Finding:
    return _reply_finding(case, "L11", domain, "report", True, "250", "accept MAIL FROM:<> for existing mailboxes")


def _from_stranger(case: Case, domain: DomainPlan) -> Finding:
    needs = (*case.inbound_needs(domain), f"H1@{domain.name}")
    expected = "refused, or at least marked dmarc=fail"
    if not case.watched:
        return case.unknown("L10", domain.name, NO_OUTSIDE, expected=expected, matters=False)
    probe = ids.stranger(domain.name)
    seen = case.seen(probe)
    row: Dict[str, Any] = (seen.data.get("results", {}) if seen and seen.ok else {}).get("forged", {})
    if not row.get("code") or seen is None:
        why = case.why_not(seen, probe) if seen is None or not seen.ok else row.get("text") or "no reply"
        return case.unknown("L10", domain.name, why, expected=expected, requires=needs)
    evidence = [f"from {seen.vantage}, From: {domain.name}, without authentication → {row['text']}"]
    if 500 <= int(row["code"]) < 600:
        return case.passed("L10", domain.name, row["text"], expected=expected, evidence=evidence)
    if int(row["code"]) >= 400:
        return case.unknown("L10", domain.name, row["text"], expected=expected, evidence=evidence, requires=needs)
    box = case.seen(ids.mailbox(domain.name))
    message = (box.data.get("messages", {}) if box else {}).get("forged")
    fix = "let the server apply the domain's DMARC policy to mail from outside (SenderAuth.dmarcVerify = strict)"
    if not message:
        observed = "accepted, and not delivered to the mailbox"
        return case.warn("L10", domain.name, observed, expected=expected, evidence=evidence, fix=fix, requires=needs)
    said = [r for r in headers.auth_results(message["headers"]) if r.method == "dmarc"]
    evidence += [f"delivered to {message['folder']}: dmarc={r.result}" for r in said] or ["delivered without a verdict"]
    marked = bool(said) and all(r.result == "fail" for r in said)
    return case.finding(
        "L10",
        domain.name,
        "warn" if marked else "fail",
        f"accepted into {message['folder']}" + (", marked dmarc=fail" if marked else ", as if it were ours"),
        expected=expected,
        evidence=evidence,
        fix=fix,
        requires=needs,
    )


def _elsewhere(case: Case, domain: DomainPlan) -> Finding:
    expected = "5xx at RCPT for every address of the domain"
    if not case.watched:
        return case.unknown("L16", domain.name, NO_OUTSIDE, expected=expected, matters=False)
    probe = ids.elsewhere(domain.name)
    seen = case.seen(probe)
    reply = (seen.data.get("replies", {}) if seen and seen.ok else {}).get("rcpt")
    if reply is None or seen is None:
        why = case.why_not(seen, probe) if seen is None or not seen.ok else _session_end(seen.data)
        return case.unknown("L16", domain.name, why, expected=expected)
    code = int(reply["code"])
    return case.finding(
        "L16",
        domain.name,
        "fail" if 200 <= code < 300 else "pass" if code >= 500 else "unknown",
        reply["text"],
        expected=expected,
        evidence=transcript(seen.data),
        fix="run the Sieve script that refuses it at the RCPT stage (run site.yml): senders have to look at the MX",
    )


def _from_user(case: Case, domain: DomainPlan) -> Iterator[Finding]:
    needs: Tuple[str, ...] = ()
    for edge in case.view.doors(domain):
        needs += (f"C2@{edge.host}", *(f"C3@{a}:465" for a in addresses_of(edge)))
    probe = ids.forged_sender(domain.name)
    seen = case.seen(probe)
    cases = (
        ("L13", "envelope", "MAIL FROM of somebody else is refused", "set MtaStageAuth.mustMatchSender (run site.yml)"),
        (
            "L14",
            "header",
            "a message whose From is somebody else's is refused",
            "run a Sieve script at the DATA stage that compares From with the envelope sender (run site.yml)",
        ),
    )
    for check, label, expected, fix in cases:
        if not case.view.account(domain):
            yield case.na(check, domain.name, "the domain has no mailbox to log in with")
            continue
        reply = (seen.data.get("replies", {}) if seen and seen.ok else {}).get(label)
        if reply is None or seen is None:
            why = case.why_not(seen, probe) if seen is None or not seen.ok else _session_end(seen.data)
            yield case.unknown(check, domain.name, why, expected=expected, requires=needs)
            continue
        code = int(reply["code"])
        verdict = "fail" if 200 <= code < 300 else "pass" if code >= 500 else "unknown"
        yield case.finding(
            check,
            domain.name,
            verdict,
            reply["text"],
            expected=expected,
            evidence=transcript(seen.data),
            fix=fix,
            requires=needs,
        )


def _session_end(data: Mapping[str, Any]) -> str:
    login = data["replies"].get("auth", {}).get("text")
    if data["connect"] != "open":
        return f"port {data['port']}: {data['connect']}"
    return f"the session ended early: {data['ended'] or 'no reply'}" + (f" ({login})" if login else "")
