# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""B: whether port 25 is open outwards, told apart by how it is closed, for each host and address family."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Mapping, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks import ids
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import Finding
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.case import Case
from ansible_collections.mailstead.stack.plugins.module_utils.checks.planning import FAMILIES, OPERATORS

WORDS = {
    "open": "open",
    "dropped": "silently dropped",
    "refused": "refused",
    "prohibited": "administratively prohibited",
    "unreachable": "host unreachable",
    "no-route": "no route in this address family",
    "no-banner": "connected, but nobody greets",
}
_HINTS = {
    "dropped": "the provider filters port 25: ask for it to be opened, or send through another edge or a smarthost",
    "refused": "something near resets port 25: look at the host's own firewall, then at the provider's rules",
    "prohibited": "a router or the host's own firewall prohibits port 25: look there, then ask the provider",
    "unreachable": "a router refuses port 25: ask the provider",
    "no-route": "give the host an address and a default route in this family, or take it out of mail_host",
    "no-banner": "something takes connections on port 25 in the operators' place: ask the provider",
}
#: What a firewall that "inspects" SMTP writes over the banner and over keywords it does not let pass.
MASKED_BANNER, MASKED_KEYWORD = "***", "XXX"


def judge(case: Case) -> Iterator[Finding]:
    sending = {e.host: e for e in case.view.egress_edges()}
    for host in (*case.view.vantages.edge, *case.view.vantages.home):
        for family in FAMILIES:
            edge = sending.get(host)
            needed = edge is not None and bool(edge.ipv4 if family == "ipv4" else edge.ipv6)
            yield from _family(case, host, family, needed)


def _family(case: Case, host: str, family: str, needed: bool) -> Iterator[Finding]:
    scope = f"{host}/{family}"
    seen = case.seen(ids.egress(family), host)
    if seen is None or not seen.ok:
        why = case.why_not(seen, ids.egress(family), host)
        yield case.unknown("B2", scope, why, matters=needed)
        yield case.unknown("B1", scope, why, matters=needed, requires=(f"B2@{scope}",))
        yield case.unknown("B3", scope, why, matters=needed, requires=(f"B1@{scope}",))
        return
    rows: List[Dict[str, Any]] = list(seen.data.get("operators", ()))
    tried = [r for r in rows if r["outcome"] not in ("dns", "no-address")]
    evidence = tuple(describe(r) for r in rows)
    if tried and all(r["outcome"] == "no-route" for r in tried) and not needed:
        for check in ("B1", "B2", "B3"):
            yield case.na(check, scope, f"{host} has no {family} route and needs none")
        return
    yield _network(case, scope, tried, needed)
    yield _port(case, host, scope, tried, evidence, needed)
    yield _interception(case, scope, rows, evidence, needed)


def describe(row: Mapping[str, Any]) -> str:
    """One operator's line: who was asked, how it ended, who greeted with which certificate."""
    text = (
        f"{row['operator']} {row.get('mx', '')} {row.get('address', '')}: {WORDS.get(row['outcome'], row['outcome'])}"
    )
    if row.get("banner"):
        text += f"; {row['banner']}"
    names = (row.get("tls") or {}).get("names")
    if names:
        text += f"; certificate {', '.join(names)}"
    control = row.get("control") or {}
    if control and row["outcome"] != "open":
        text += "; other ports: " + ", ".join(f"{k} {v}" for k, v in sorted(control.items()))
    return text


def _alive(row: Mapping[str, Any]) -> bool:
    """Some port of the operator answered in any way, refusal included: the network in between works."""
    answers = set((row.get("control") or {}).values())
    return row["outcome"] in ("open", "no-banner") or bool(answers & {"open", "refused"})


def _network(case: Case, scope: str, tried: Sequence[Mapping[str, Any]], needed: bool) -> Finding:
    alive = [r["operator"] for r in tried if _alive(r)]
    expected = "an answer from at least one operator on port 25, 443, 465 or 587"
    if not tried:
        return case.unknown("B2", scope, "no operator's address could be looked up", expected=expected, matters=needed)
    if alive:
        return case.passed("B2", scope, f"{len(alive)} of {len(tried)} operators answer", expected=expected)
    observed = "no operator answers on any port: there is no network in this family"
    fix = "mend the host's network in this address family first"
    return case.unknown("B2", scope, observed, expected=expected, matters=needed, fix=fix)


def summary(tried: Sequence[Mapping[str, Any]]) -> str:
    found: Dict[str, int] = {}
    for row in tried:
        found[row["outcome"]] = found.get(row["outcome"], 0) + 1
    return ", ".join(f"{WORDS.get(k, k)} at {n} of {len(tried)} operators" for k, n in sorted(found.items()))


def _port(
    case: Case,
    host: str,
    scope: str,
    tried: Sequence[Mapping[str, Any]],
    evidence: Tuple[str, ...],
    needed: bool,
) -> Finding:
    needs = (f"B2@{scope}",)
    expected = "open at every operator" if needed else "open or closed: mail does not leave from here"
    if not tried or not any(_alive(r) for r in tried):
        # A dead network says nothing about port 25 (B2 is the finding).
        return case.unknown(
            "B1", scope, "cannot be told without a network", evidence=evidence, matters=needed, requires=needs
        )
    observed = summary(tried)
    if not needed:
        return case.passed("B1", scope, observed, expected=expected, evidence=evidence, requires=needs)
    outcomes = {r["outcome"] for r in tried}
    if outcomes == {"open"}:
        return case.passed("B1", scope, observed, expected=expected, evidence=evidence, requires=needs)
    worst = next(
        (o for o in ("dropped", "prohibited", "refused", "unreachable", "no-route", "no-banner") if o in outcomes), ""
    )
    verdict = "warn" if "open" in outcomes else "fail"
    return case.finding(
        "B1",
        scope,
        verdict,
        observed,
        expected=expected,
        evidence=evidence,
        fix=f"{host}: {_HINTS.get(worst, 'ask the provider')}",
        requires=needs,
    )


def _interception(
    case: Case, scope: str, rows: Sequence[Mapping[str, Any]], evidence: Tuple[str, ...], needed: bool
) -> Finding:
    needs = (f"B1@{scope}",)
    spoken = [r for r in rows if r["outcome"] == "open"]
    if not spoken:
        if not needed:
            return case.na("B3", scope, "no operator was reached on port 25, and none needs to be")
        return case.unknown("B3", scope, "no operator was reached on port 25", requires=needs, matters=needed)
    suffixes = {str(o["operator"]): list(o["banner"]) for o in OPERATORS}
    signs = [sign for r in spoken for sign in _signs(r, suffixes.get(str(r["operator"]), []))]
    hard = [text for grave, text in signs if grave]
    banners = [str(r.get("banner", "")) for r in spoken]
    alike = len(spoken) > 1 and len(set(banners)) == 1
    if alike:
        hard.append(f"all operators greet with the same words: {banners[0]}")
    expected = "each operator's own name, STARTTLS and certificate"
    fix = "something between this host and the Internet reads SMTP: switch off ESMTP inspection, or ask the provider"
    if hard:
        # One operator alone may have changed its names; a proxy changes all of them.
        several = alike or len({h.split(":")[0] for h in hard}) > 1
        verdict = "fail" if several or len(spoken) == 1 else "warn"
        return case.finding(
            "B3", scope, verdict, "; ".join(hard), expected=expected, evidence=evidence, fix=fix, requires=needs
        )
    soft = [text for _grave, text in signs]
    if soft:
        return case.warn("B3", scope, "; ".join(soft), expected=expected, evidence=evidence, fix=fix, requires=needs)
    observed = f"{len(spoken)} operators speak for themselves"
    return case.passed("B3", scope, observed, expected=expected, evidence=evidence, requires=needs)


def _signs(row: Mapping[str, Any], suffixes: Sequence[str]) -> Iterator[Tuple[bool, str]]:
    who, banner = str(row["operator"]), str(row.get("banner", ""))
    words = banner.split()
    name = words[1].lower().rstrip(".") if len(words) > 1 else ""
    if MASKED_BANNER in banner or any(MASKED_KEYWORD in k for k in row.get("keywords", ())):
        yield True, f"{who}: masked banner or keywords"
    if not row.get("starttls"):
        yield True, f"{who}: no STARTTLS"
    tls = row.get("tls") or {}
    if tls and not tls.get("name_ok"):
        yield True, f"{who}: the certificate does not name {row.get('mx')}"
    if suffixes and not any(name == s or name.endswith("." + s) for s in suffixes):
        yield False, f"{who}: greets as {name or 'nobody'}"
