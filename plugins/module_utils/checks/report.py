# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report: one model that the terminal, JSON and HTML show alike."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Dict, Iterable, List, Mapping, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks.check import AREAS
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import (
    EXIT_FAIL,
    EXIT_OK,
    EXIT_UNKNOWN,
    FAIL,
    NA,
    ORDER,
    PASS,
    UNKNOWN,
    WARN,
    Finding,
    counts,
    exit_code,
    natural,
)
from ansible_collections.mailstead.stack.plugins.module_utils.checks.view import addresses_of, domain_of
from ansible_collections.mailstead.stack.plugins.module_utils.intent.model import EDGE, OWN
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import (
    DomainPlan,
    HostedPlan,
    MailPlan,
    SubmissionPlan,
)

FORMAT = 1
#: What would steer a terminal: values and comments of records are anybody's words.
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
WORDS = {PASS: "PASS", WARN: "WARN", FAIL: "FAIL", UNKNOWN: "UNKNOWN", NA: "N/A"}
BROKEN = "the run itself broke"
OUTCOMES = {
    EXIT_OK: "every check passed or is an explained warning",
    EXIT_FAIL: "something is broken",
    EXIT_UNKNOWN: "something that matters could not be tested",
}

#: The stations of a message, with the checks that speak for each.
INBOUND: Tuple[Tuple[str, Tuple[str, ...]], ...] = (
    ("DNS", ("E1", "E2", "E3", "E4", "E5", "E10", "I1", "I2", "I3", "I4", "I5", "J3")),
    ("edge", ("C1", "C5", "L8")),
    ("tunnel", ("C2", "L15")),
    ("mail server", ("C4", "K1", "K2", "K3", "L1", "L6", "L9", "L10", "L11")),
    ("mailbox", ("P5",)),
)
OUTBOUND: Tuple[Tuple[str, Tuple[str, ...]], ...] = (
    ("submission", ("C3", "L13", "L14")),
    ("signatures", ("G1", "G3", "G4", "G6", "G7", "G10")),
    ("edge", ("A1", "A2", "A3", "A4", "A5", "A7", "B1", "B3")),
    ("policies", ("F1", "F2", "F10", "H1", "H2", "H7")),
    ("receiver", ("P1", "P2", "P3", "P4")),
)
#: The same for mailboxes at a provider.
TO_PROVIDER: Tuple[Tuple[str, Tuple[str, ...]], ...] = (
    ("DNS", ("E1", "E2", "E6", "E10", "N1", "N8")),
    ("provider", ("N2", "N9")),
    ("mailbox", ("N7", "N10")),
)
FROM_PROVIDER: Tuple[Tuple[str, Tuple[str, ...]], ...] = (
    ("signatures", ("G1", "G2", "G3", "G4", "G5", "N3")),
    ("policies", ("F1", "F2", "F3", "F4", "F7", "H1", "H2", "N4", "N5", "N6")),
    # What is sent there cannot be tried without a mailbox's password.
    ("receiver", ()),
)
#: The way of an application's message.
SENDING: Tuple[Tuple[str, Tuple[str, ...]], ...] = (
    ("application", ("S5", "S6", "S7", "S8", "S9", "S10", "S12", "S13")),
    ("tunnel", ("S15", "S16", "S17", "S18", "S19", "S20", "S21")),
    ("service", ("S1", "S2", "S3", "S4", "S11", "S14", "S30")),
    ("smarthosts", ("S22", "S23", "S24", "S25")),
    ("receiver", ("S26", "S27", "S28", "S29")),
)


@dataclass(frozen=True)
class Kind:
    """A kind of report. verb: how its headline begins; outcomes: words by exit code; areas: names by letter of the ids."""

    verb: str
    outcomes: Mapping[int, str]
    areas: Mapping[str, str]


VERIFY = Kind("Verify", OUTCOMES, AREAS)


def build(
    plan: MailPlan,
    findings: Sequence[Finding],
    labels: Iterable[str],
    now: float,
    mail: Sequence[Mapping[str, Any]] = (),
) -> Dict[str, Any]:
    """The report of a verification as JSON types. labels: what ran in place of a real part, shown in every output.

    mail: what became of the mail that Email Routing took, one for each zone, as cloudflare_email_routing_info returns it.
    """
    hosted = {d.name: d for d in plan.hosted if d.state == "present"}
    domains = [_path(plan, d, findings) for d in plan.domains]
    for mine, domain in zip(domains, plan.domains):
        if domain.name in hosted:
            theirs = _hosted(plan, hosted.pop(domain.name), findings)
            mine.update(theirs, verdict=worst((mine["verdict"], theirs["verdict"])))
    domains += [{**_hosted(plan, d, findings), "outbound": []} for d in hosted.values()]
    names = dict.fromkeys([*(d["name"] for d in domains), *(r.unicode_name or r.name for r in plan.routing)])
    services = [_service(plan, s, findings) for s in plan.submissions if s.state == "present"]
    names.update(dict.fromkeys(s["name"] for s in services))
    domains += services
    return {**assemble(VERIFY, list(names), findings, labels, now), "domains": domains, "mail": [dict(m) for m in mail]}


def assemble(
    kind: Kind, subjects: Sequence[str], findings: Sequence[Finding], labels: Iterable[str], now: float
) -> Dict[str, Any]:
    """What every report has. subjects: names of what was judged."""
    code = exit_code(findings)
    return {
        "format": FORMAT,
        "kind": kind.verb,
        "generated": datetime.fromtimestamp(now, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "exit_code": code,
        "outcome": kind.outcomes.get(code, BROKEN),
        "counts": counts(findings),
        "labels": sorted({str(label) for label in labels}),
        "subjects": list(subjects),
        "areas": _areas(kind.areas, findings),
        "findings": [f.to_data() for f in findings],
    }


def broken(message: str, labels: Iterable[str], now: float, kind: Kind = VERIFY) -> Dict[str, Any]:
    """The report of a run that could not be judged."""
    return {**assemble(kind, (), (), labels, now), "error": message, "domains": []}


def worst(verdicts: Iterable[str]) -> str:
    return min(verdicts, key=ORDER.index, default=NA)


def _areas(areas: Mapping[str, str], findings: Sequence[Finding]) -> List[Dict[str, Any]]:
    out = []
    for letter, name in areas.items():
        mine = [f for f in findings if f.id[0] == letter]
        if mine:
            out.append(
                {"letter": letter, "name": name, "verdict": worst(f.verdict for f in mine), "counts": counts(mine)}
            )
    return out


def _path(plan: MailPlan, domain: DomainPlan, findings: Sequence[Finding]) -> Dict[str, Any]:
    edges = [e for e in plan.edges if e.host in (*domain.edges, domain.egress)]
    home = next(h for h in plan.homes if h.host == domain.home)
    marks = {domain.name, domain.zone, domain.home, home.server_name, *domain.mail_hosts}
    marks |= {e.host for e in edges} | {a for e in edges for a in addresses_of(e)}
    theirs = {scope for d in plan.hosted for scope in _provider_keys(d)}
    mine = [f for f in findings if _relates(f.scope, marks) and f.scope not in theirs]
    details = {
        "DNS": f"MX {', '.join(domain.mail_hosts)}",
        "edge": ", ".join(f"{e.host} {' '.join(addresses_of(e))}" for e in edges),
        "tunnel": "frp, PROXY v2",
        "mail server": f"{home.server_name} at {home.host}",
        "mailbox": ", ".join(a.address for a in domain.accounts[:2]) or "none",
        "submission": "465, implicit TLS",
        "signatures": "DKIM " + " + ".join(domain.dkim.algorithms),
        "policies": f"SPF, DMARC p={domain.dmarc.policy}",
        "receiver": ", ".join(c.address for c in plan.canaries) or "no canary declared",
    }

    return {
        "name": domain.unicode_name or domain.name,
        "verdict": _overall(mine),
        # Mail that others take does not come this way.
        "inbound": _leg(INBOUND, mine, details) if domain.takes_mail else [],
        "outbound": _leg(OUTBOUND, mine, details),
        "provider": "",
        "senders": [],
        "sent_there": [],
    }


def _hosted(plan: MailPlan, domain: HostedPlan, findings: Sequence[Finding]) -> Dict[str, Any]:
    """The way to and from mailboxes at a provider."""
    hosts = [mx.split(" ", 1)[1] for mx in domain.mx]
    marks = {domain.name, domain.zone, *hosts, *([domain.webmail] if domain.webmail else [])}
    theirs = {domain.name, *_provider_keys(domain)}
    senders = [s.title for s in domain.senders if s.provider not in (OWN, EDGE)]
    mailboxes = [c.address for c in plan.canaries if domain_of(c.address) == domain.name]
    mine = [f for f in findings if _relates(f.scope, marks) and (f.id[0] != "G" or f.scope in theirs)]
    details = {
        "DNS": f"MX {', '.join(hosts)}",
        "provider": f"{domain.title}, port 25",
        "mailbox": ", ".join(mailboxes) or "no canary among them, so none can be read",
        "signatures": f"DKIM of {' and '.join(senders)}",
        "policies": f"SPF, DMARC p={domain.dmarc.policy}",
        "receiver": "not tried: nobody logs in there to send",
    }
    return {
        "name": domain.unicode_name or domain.name,
        "verdict": _overall(mine),
        "inbound": _leg(TO_PROVIDER, mine, details),
        "provider": domain.title,
        "senders": senders,
        "sent_there": _leg(FROM_PROVIDER, mine, details) if senders else [],
    }


def _service(plan: MailPlan, service: SubmissionPlan, findings: Sequence[Finding]) -> Dict[str, Any]:
    """The way of an application's message through a service. Domains have their own findings."""
    mine = [f for f in findings if f.id[0] == "S" and f.scope.split("/")[0] == service.name]
    tunnel = service.tunnel
    details = {
        "application": ", ".join(a.name for a in service.applications),
        "tunnel": f"{tunnel.hostname}, Cloudflare Tunnel" if tunnel else "",
        "service": f"{service.server_name} at {service.host}",
        "smarthosts": ", ".join(s.title for s in service.smarthosts),
        "receiver": ", ".join(c.address for c in plan.canaries) or "no canary declared",
    }
    stations = tuple(s for s in SENDING if tunnel or s[0] != "tunnel")
    return {
        "name": service.name,
        "verdict": _overall(mine),
        "inbound": [],
        "outbound": [],
        "provider": "",
        "senders": [],
        "sent_there": [],
        "sending": _leg(stations, mine, details),
    }


def _provider_keys(domain: HostedPlan) -> List[str]:
    """Scopes of the checks of a provider's keys."""
    suffix = f"._domainkey.{domain.name}"
    return [f"{domain.name}/{name[: -len(suffix)]}" for name in domain.selectors]


def _leg(
    stations: Sequence[Tuple[str, Tuple[str, ...]]], mine: Sequence[Finding], details: Mapping[str, str]
) -> List[Dict[str, Any]]:
    """Stations with their worst verdict. mine: findings about the domain; details: a line for each station."""
    rows = []
    for name, checks in stations:
        found = [f for f in mine if f.id in checks and f.verdict != NA]
        verdict = worst(f.verdict for f in found)
        trouble = {f.id for f in found if f.verdict == verdict and verdict not in (PASS, NA)}
        rows.append({"name": name, "detail": details[name], "verdict": verdict, "checks": sorted(trouble, key=natural)})
    return rows


def _overall(mine: Sequence[Finding]) -> str:
    """The verdict on a domain, as the run's outcome has it: what does not decide that does not decide this."""
    return worst(f.verdict for f in mine if f.verdict != NA and (f.matters or f.because or f.verdict != UNKNOWN))


def _relates(scope: str, marks: Iterable[str]) -> bool:
    """Whether a scope names one of the domain's things: alone, before a slash or port, or after a slash."""
    parts = {scope, scope.rpartition(":")[0], *scope.split("/")}
    parts |= {p.rpartition(":")[0] for p in scope.split("/")}
    return bool(parts & set(marks))


def headline(report: Mapping[str, Any]) -> str:
    totals = report["counts"]
    shown = ", ".join(f"{totals[v]} {WORDS[v].lower()}" for v in ORDER if totals[v])
    subject = " ".join([report["kind"], ", ".join(report["subjects"])]).rstrip()
    return f"{subject}: {shown or 'nothing was judged'} ({report['outcome']}; exit {report['exit_code']})"


def text(report: Mapping[str, Any], width: int = 110) -> str:
    """What the terminal shows: trouble in full, worst first; what passed in one line for each area."""
    lines = [headline(report)]
    lines += [f"  ! {label}" for label in report["labels"]]
    if report.get("error"):
        lines.append(f"  {report['error']}")
    for row in report["findings"]:
        if row["verdict"] in (FAIL, WARN):
            lines += ["", *_entry(row, width)]
    lines += _unknowns(report["findings"], width)
    passed = [f"{a['letter']} {a['counts'][PASS]}" for a in report["areas"] if a["counts"][PASS]]
    if passed:
        lines += ["", f"PASS     {' · '.join(passed)}  (checks passed, by area)"]
    if report["counts"][NA]:
        lines.append(f"N/A      {report['counts'][NA]}")
    lines += [_mail(one) for one in report.get("mail", ())]
    return _CONTROL.sub("�", "\n".join(lines))


def _mail(statistics: Mapping[str, Any]) -> str:
    """One line on the mail of a zone."""
    shown = ", ".join(f"{count} {outcome}" for outcome, count in statistics["counts"].items() if count)
    return f"MAIL     {statistics['zone']}, {statistics['since']} to {statistics['until']}: {shown or 'none'}"


def _entry(row: Mapping[str, Any], width: int) -> List[str]:
    lines = [f"{WORDS[row['verdict']]:<8} {row['id']:<4} {row['scope']}: {row['title']}"]
    for label, key in (("seen", "observed"), ("want", "expected"), ("fix", "fix")):
        if row[key]:
            lines += _folded(f"{label}: {row[key]}", width, 20)
    lines += [f"{'':14}| {line}"[:width] for line in row["evidence"][:6]]
    return lines


def _folded(words: str, width: int, indent: int) -> List[str]:
    """A text below an entry; indent: of its further lines."""
    return textwrap.wrap(
        words,
        width,
        initial_indent=" " * 14,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _unknowns(rows: Sequence[Mapping[str, Any]], width: int) -> List[str]:
    """Unknowns in groups: those that follow from one failure together, the others by what is in the way."""
    groups: Dict[Tuple[str, str], List[str]] = {}
    for row in rows:
        if row["verdict"] == UNKNOWN:
            why = f"not judged, because of {', '.join(row['because'])}" if row["because"] else row["observed"]
            weight = "" if row["matters"] or row["because"] else " (does not decide the outcome)"
            fix = "" if row["because"] else row["fix"]
            groups.setdefault((f"{why}{weight}", fix), []).append(f"{row['id']} {row['scope']}")
    lines: List[str] = []
    for (why, fix), members in groups.items():
        lines += ["", f"UNKNOWN  {why}"[: width * 2], *_folded(", ".join(members), width, 14)]
        lines += _folded(f"fix: {fix}", width, 20) if fix else []
    return lines
