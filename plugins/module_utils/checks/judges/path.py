# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""M, P: mail that was really sent and read, and what mail programs need to take part."""

from __future__ import annotations

from typing import Any, Iterator, List, Mapping, Optional, Sequence, Tuple
from xml.etree import ElementTree

from ansible_collections.mailstead.stack.plugins.module_utils.checks import addresses, headers, ids
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import Finding
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.case import NO_CANARY, NO_OUTSIDE, Case
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.dkim import receiver_results
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.inbound import transcript
from ansible_collections.mailstead.stack.plugins.module_utils.checks.observation import Observation
from ansible_collections.mailstead.stack.plugins.module_utils.checks.view import addresses_of
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import DomainPlan

ONCE = ("From", "Date", "Subject", "Message-ID", "To")
#: Headers that hold no addresses of hosts: a number in a subject or a signature is no leak.
SKIPPED = ("dkim-signature", "subject", "message-id", "from", "to", "date", "content-type", "mime-version")

#: Says nothing about a home: every host has it.
LOOPBACK = ("127.0.0.1", "::1")


def judge(case: Case) -> Iterator[Finding]:
    for domain in case.view.plan.domains:
        if not case.view.plan.canaries or not case.view.account(domain):
            why = NO_CANARY if case.view.account(domain) else "the domain has no mailbox to send from"
            for check in ("P1", "P2", "P3", "P4", "M4"):
                yield case.unknown(check, domain.name, why, matters=False)
        else:
            yield from _canary(case, domain)
    for domain in case.view.taking:
        yield _stranger(case, domain)
        yield _discovery(case, domain)


def outbound_needs(case: Case, domain: DomainPlan) -> Tuple[str, ...]:
    """Scoped forms of catalogue.OUTBOUND for a domain."""
    out: List[str] = [f"{c}@{domain.name}" for c in ("F1", "F2", "F12", "H1")]
    edge = case.view.edge(domain.egress)
    for address in addresses_of(edge) if edge else ():
        out += [f"{c}@{address}" for c in ("A1", "A2", "A3")]
        out += [f"{c}@{domain.name}/{address}" for c in ("F3", "F4", "F10")]
        if edge:
            out += [f"A4@{edge.mail_name}/{address}", f"B1@{edge.host}/{addresses.family(address)}"]
    for door in case.view.doors(domain):
        for address in addresses_of(door):
            out += [f"{c}@{address}:465" for c in ("C3", "K2", "K3")]
    return tuple(out)


def _canary(case: Case, domain: DomainPlan) -> Iterator[Finding]:
    name = domain.name
    needs = outbound_needs(case, domain)
    seen = [(c.address, case.seen(ids.canary(name, c.address))) for c in case.view.plan.canaries]
    yield _arrives(case, domain, seen, needs)
    arrived = [(who, o.data) for who, o in seen if o and o.data.get("arrived")]
    dependent = (f"P1@{name}",)
    if not arrived:
        for check in ("P2", "P3", "P4", "M4"):
            yield case.unknown(check, name, "no canary arrived", requires=dependent)
        return
    spf_needs = tuple(n for n in needs if n[:3] in ("F1@", "F10"))
    yield _result(case, domain, "P2", "spf", arrived, (*dependent, *spf_needs))
    keys = [f"{c}@{k.scope}" for k in case.view.keys(name) for c in ("G1", "G4")]
    yield _result(case, domain, "P3", "dmarc", arrived, (*dependent, f"H1@{name}", *spf_needs, *keys))
    yield _privacy(case, domain, arrived, dependent)
    yield _form(case, domain, arrived, dependent)


def _arrives(
    case: Case, domain: DomainPlan, seen: Sequence[Tuple[str, Optional[Observation]]], needs: Tuple[str, ...]
) -> Finding:
    expected = "the message is in the witness's mailbox"
    fix = "read the reply above: the code names the cause; the queue on the edge shows what waits (postqueue -p)"
    lost: List[str] = []
    unseen: List[str] = []
    evidence: List[str] = []
    for who, observation in seen:
        if observation is None or not observation.ok:
            unseen.append(f"{who}: {case.why_not(observation, ids.canary(domain.name, who))}")
            continue
        data = observation.data
        if data.get("arrived"):
            evidence.append(f"{who}: arrived in {data.get('folder')} after {data.get('waited_ms', 0) / 1000:.1f} s")
        elif data.get("bounced"):
            lost.append(f"{who}: refused by the receiver: {data['bounced']}")
        elif int(data["submitted"]["code"]) != 250:
            lost.append(f"{who}: our server refuses at {data.get('stage')}: {data['submitted']['text'] or 'no reply'}")
            evidence += transcript(data)
        elif data.get("witness_error"):
            unseen.append(f"{who}: {data['witness_error']}")
        else:
            lost.append(f"{who}: accepted by our server, not seen within {data.get('waited_ms', 0) / 1000:.0f} s")
    verdict = "fail" if lost else "unknown" if unseen else "pass"
    observed = "; ".join(lost + unseen) or "; ".join(evidence)
    return case.finding(
        "P1", domain.name, verdict, observed, expected=expected, evidence=evidence, fix=fix, requires=needs
    )


def _result(
    case: Case,
    domain: DomainPlan,
    check: str,
    method: str,
    arrived: Sequence[Tuple[str, Mapping[str, Any]]],
    needs: Tuple[str, ...],
) -> Finding:
    trouble: List[str] = []
    evidence: List[str] = []
    for who, data in arrived:
        said = [r for r in receiver_results(case, data) if r.method == method]
        if method == "spf":
            # The EHLO identity is A5's matter; here it is the envelope sender that counts.
            said = [r for r in said if "smtp.helo" not in r.properties or "smtp.mailfrom" in r.properties] or said
        evidence += [f"{r.authserv}: {r.method}={r.result} {dict(r.properties)}" for r in said]
        if not said:
            trouble.append(f"{who} says nothing about {method}")
        elif any(r.result != "pass" for r in said):
            trouble.append(f"{who} says {method}={next(r.result for r in said if r.result != 'pass')}")
    fix = "see the checks this one rests on: SPF F1 to F10, DKIM G1 to G7, alignment H7"
    return case.finding(
        check,
        domain.name,
        "fail" if trouble else "pass",
        "; ".join(trouble) or f"{method}=pass",
        expected=f"{method}=pass",
        evidence=evidence,
        fix=fix,
        requires=needs,
    )


def home_addresses(case: Case) -> List[str]:
    """Every address that would give the home away: its own, its NAT's as the tunnel sees it, the controller's LAN."""
    found: List[str] = []
    edges = {a for e in case.view.plan.edges for a in addresses_of(e)}
    for host in case.view.vantages.home:
        seen = case.seen(ids.ADDRESSES, host)
        found += list(seen.data.get("addresses", ())) if seen and seen.ok else []
    for host in case.view.vantages.edge:
        seen = case.seen(ids.TUNNEL_PEERS, host)
        found += list(seen.data.get("peers", ())) if seen and seen.ok else []
    # The edge's own tunnel client connects to itself.
    own = [a for a in found if not any(addresses.same(a, e) for e in edges)]
    return sorted({a for a in own if addresses.parse(a) and not a.startswith("127.") and a != "::1"})


def _privacy(
    case: Case, domain: DomainPlan, arrived: Sequence[Tuple[str, Mapping[str, Any]]], needs: Tuple[str, ...]
) -> Finding:
    home = home_addresses(case)
    leaks: List[str] = []
    evidence: List[str] = []
    for who, data in arrived:
        inside = _written_before_handover(case, data.get("headers", ()))
        for name, value in inside:
            if name.lower() in SKIPPED:
                continue
            for address in addresses.within(value):
                bad = any(addresses.same(address, h) for h in home)
                if bad or (addresses.is_private(address) and address not in LOOPBACK):
                    leaks.append(f"{address} in {name}")
                    evidence.append(f"{who}: {name}: {value}")
    observed = "; ".join(sorted(set(leaks))) or "none"
    lines = [*dict.fromkeys(evidence), f"looked for private addresses and {', '.join(home) or 'no known home address'}"]
    if not home and not leaks:
        why = "the home's own addresses are not known: neither it nor the edge reported them"
        return case.unknown("P4", domain.name, why, evidence=lines, requires=needs)
    return case.finding(
        "P4",
        domain.name,
        "fail" if leaks else "pass",
        observed,
        expected="no private address and none of the home's",
        evidence=lines,
        fix="remove the submission hop's Received on the edge (header_checks of the relay's cleanup service)",
        requires=needs,
    )


def _written_before_handover(case: Case, rows: headers.Headers) -> List[Tuple[str, str]]:
    """Headers below the receiver's first Received line from us: what we ourselves handed over, and that line.

    What the receiver adds about its own inside (a loopback filter, its LAN) is its own matter.
    """
    names = {e.mail_name for e in case.view.plan.edges} | {e.relay_name for e in case.view.plan.edges}
    names |= {h.server_name for h in case.view.plan.homes}
    own = [a for e in case.view.plan.edges for a in addresses_of(e)]
    for index, (name, value) in enumerate(rows):
        if name.lower() != "received":
            continue
        hop = headers.hops([[name, value]])[0]
        if hop.by not in names and (any(addresses.same(hop.address, a) for a in own) or hop.helo in names):
            return [(str(n), str(v)) for n, v in rows[index:]]
    return [(str(n), str(v)) for n, v in rows]


def _form(
    case: Case, domain: DomainPlan, arrived: Sequence[Tuple[str, Mapping[str, Any]]], needs: Tuple[str, ...]
) -> Finding:
    trouble = []
    for who, data in arrived:
        for name in ONCE:
            count = len(headers.values(data.get("headers", ()), name))
            if count != 1:
                trouble.append(f"{who}: {count} times {name}")
        if data.get("line_ends"):
            trouble.append(f"{who}: bare CR or LF")
    return case.finding(
        "M4",
        domain.name,
        "fail" if trouble else "pass",
        "; ".join(trouble) or "each header once",
        expected=f"{', '.join(ONCE)} once each",
        fix="let nothing between server and receiver add or double headers",
        requires=needs,
    )


def _stranger(case: Case, domain: DomainPlan) -> Finding:
    needs = (*case.inbound_needs(domain), f"E3@{domain.name}")
    for edge in case.view.inbound(domain):
        needs += tuple(f"{c}@{a}:993" for a in addresses_of(edge) for c in ("C3", "K2", "K3"))
    expected = "accepted on port 25 and found by IMAP"
    if not case.watched:
        return case.unknown("P5", domain.name, NO_OUTSIDE, expected=expected, matters=False)
    if not case.view.account(domain):
        return case.unknown("P5", domain.name, "the domain has no mailbox to look into", matters=False)
    sent, box = case.seen(ids.stranger(domain.name)), case.seen(ids.mailbox(domain.name))
    if sent is None or not sent.ok:
        why = case.why_not(sent, ids.stranger(domain.name))
        return case.unknown("P5", domain.name, why, expected=expected, requires=needs)
    row = sent.data["results"]["genuine"]
    evidence = [f"{sent.vantage} as {sent.data['sender']} from {row['source']}: {row['stage']} → {row['text']}"]
    fix = "the reply names the cause; without one see C1 and the server's log"
    if int(row["code"]) != 250:
        observed = f"refused at {row['stage']}: {row['text'] or 'no reply'}"
        verdict = "fail"
    elif box is None or not box.ok:
        observed = f"accepted; the mailbox cannot be read: {case.why_not(box, ids.mailbox(domain.name))}"
        # A login that is refused is a broken mailbox, anything else only hides whether the message is there.
        verdict = "fail" if box is not None and box.error == "auth" else "unknown"
        fix = "check the account's password and IMAP on port 993"
    elif "genuine" not in box.data["messages"]:
        observed = (
            f"accepted, but not found after {box.data['waited_ms'] / 1000:.0f} s in {', '.join(box.data['folders'])}"
        )
        verdict = "fail"
    else:
        folder = box.data["messages"]["genuine"]["folder"]
        observed = f"found in {folder} after {box.data['waited_ms'] / 1000:.1f} s"
        verdict = "pass" if folder.upper() == "INBOX" else "warn"
        fix = "the message was taken for spam: look at the server's spam headers"
    return case.finding(
        "P5", domain.name, verdict, observed, expected=expected, evidence=evidence, fix=fix, requires=needs
    )


def _discovery(case: Case, domain: DomainPlan) -> Finding:
    needs: Tuple[str, ...] = case.zone_needs(domain.name)
    for edge in case.view.inbound(domain):
        needs += (f"C2@{edge.host}", *(f"C3@{a}:443" for a in addresses_of(edge)))
    trouble: List[str] = []
    evidence: List[str] = []
    wanted = [r for r in case.view.zones.get(domain.zone, ()) if r.type == "SRV" and r.name.endswith("." + domain.name)]
    names = sorted({r.name for r in wanted})
    for name in names:
        found = case.published(name, "SRV")
        if not found.known:
            return case.unknown("M1", domain.name, found.why, requires=needs, matters=False)
        if sorted(found.values) != sorted(r.content for r in wanted if r.name == name):
            trouble.append(f"{name} SRV is {' | '.join(found.values) or 'missing'}")
            evidence += found.evidence()
    seen = case.seen(ids.autoconfig(domain.name))
    if seen is None or not seen.ok:
        why = case.why_not(seen, ids.autoconfig(domain.name))
        return case.unknown("M1", domain.name, why, requires=needs, matters=False)
    data = seen.data
    evidence.append(f"{data['url']}: {data['status'] or data['connect']} {data['tls_error']}".strip())
    trouble += _autoconfig(data, domain.mail_hosts)
    return case.finding(
        "M1",
        domain.name,
        "warn" if trouble else "pass",
        "; ".join(trouble) or f"{len(names)} SRV names and autoconfig agree with the plan",
        expected=f"SRV and autoconfig name {', '.join(domain.mail_hosts)}",
        evidence=evidence,
        fix="run site.yml; the certificate must name autoconfig." + domain.name,
        requires=needs,
    )


def _autoconfig(data: Mapping[str, Any], hosts: Sequence[str]) -> List[str]:
    if data["connect"] != "open" or data["tls_error"] or data["status"] != 200:
        return [f"autoconfig: {data['tls_error'] or data['status'] or data['connect']}"]
    try:
        # Our own server's answer, at most 64 KiB; expat refuses entity bombs by itself since 2.4.1.
        root = ElementTree.fromstring(data["body"])  # noqa: S314
    except ElementTree.ParseError as error:
        return [f"autoconfig is no XML: {error}"]
    named = {(e.text or "").strip().lower() for e in root.iter() if e.tag.rpartition("}")[2] == "hostname"}
    foreign = sorted(named - set(hosts))
    if not named:
        return ["autoconfig names no server"]
    return [f"autoconfig names {', '.join(foreign)}"] if foreign else []
