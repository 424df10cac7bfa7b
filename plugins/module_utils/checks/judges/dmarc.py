# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""H: the DMARC record (RFC 9989) and whether what we send aligns with it."""

from __future__ import annotations

from typing import Iterator, List, Mapping, Optional, Tuple, Union

from ansible_collections.mailstead.stack.plugins.module_utils.checks import headers
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import Finding
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.case import Case, first_txt
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.dkim import canaries
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.receivers import demanded
from ansible_collections.mailstead.stack.plugins.module_utils.checks.planning import same_organisation
from ansible_collections.mailstead.stack.plugins.module_utils.checks.view import domain_of
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import (
    DomainPlan,
    HostedPlan,
    MailDomain,
    RoutingPlan,
)
from ansible_collections.mailstead.stack.plugins.module_utils.providers.model import POLICIES

KNOWN = ("v", "p", "sp", "np", "adkim", "aspf", "fo", "psd", "rua", "ruf", "t")
REMOVED = ("pct", "rf", "ri")
_RANK = {policy: rank for rank, policy in enumerate(POLICIES)}


def judge(case: Case) -> Iterator[Finding]:
    for any_domain in case.view.mail_domains:
        yield from _record(case, any_domain)
    for domain in case.view.plan.domains:
        yield _alignment(case, domain)


def planned(case: Case, domain: MailDomain) -> str:
    return next((r.content for r in case.view.records(f"_dmarc.{domain.name}", "TXT")), "")


def _record(case: Case, domain: MailDomain) -> Iterator[Finding]:
    name = domain.name
    found = case.published(f"_dmarc.{name}", "TXT")
    needs = (*case.zone_needs(name), *case.unproven_needs(domain), *_one_owner(case, domain))
    want = planned(case, domain)
    fix = f'publish exactly one _dmarc.{name} TXT "{want}" (run site.yml)'
    single = (f"H1@{name}",)
    if not found.known:
        yield case.unknown("H1", name, found.why, requires=needs)
    else:
        counts = [(label, first_txt(values, "v=dmarc1")) for label, values in found.servers]
        wrong = [f"{label}: {len(v)} DMARC records" for label, v in counts if len(v) != 1]
        yield case.finding(
            "H1",
            name,
            "fail" if wrong else "pass",
            "; ".join(wrong) or counts[0][1][0],
            expected=want,
            evidence=found.evidence(),
            fix=fix if any(v for _label, v in counts) else f"{fix}. {demanded('DMARC')}",
            requires=needs,
        )
    records = first_txt(found.values, "v=dmarc1")
    if len(records) != 1:
        for check in ("H2", "H3", "H4", "H5"):
            yield case.unknown(check, name, "there is not one record to look at", requires=single)
        return
    tags = headers.tags(records[0])
    yield _policy(case, domain, tags, records[0], single, fix)
    odd = [t for t in tags if t in REMOVED or t not in KNOWN]
    sized = ["size limit in rua" for uri in tags.get("rua", "").split(",") if "!" in uri]
    yield case.finding(
        "H3",
        name,
        "warn" if odd or sized else "pass",
        ", ".join(odd + sized) or "none",
        expected="only tags of RFC 9989",
        evidence=(records[0],),
        fix=fix,
        requires=single,
    )
    yield from _reports(case, domain, tags, records[0], single, fix)


def _one_owner(case: Case, domain: MailDomain) -> Tuple[str, ...]:
    """An alias at the name hides the record: that it stands there is a finding of its own."""
    return (f"N6@{domain.name}",) if isinstance(domain, HostedPlan) else ()


def allowed(case: Case, check: str, domain: Union[RoutingPlan, HostedPlan], run: str) -> Finding:
    """A policy stricter than a sender allows has that sender's mail refused; another product may have written it."""
    needs = (*case.zone_needs(domain.name), f"H1@{domain.name}")
    found = case.published(f"_dmarc.{domain.name}", "TXT")
    records = first_txt(found.values, "v=dmarc1")
    if not found.known or len(records) != 1:
        why = found.why or "there is not one record to look at"
        return case.unknown(check, domain.name, why, requires=needs)
    policy = headers.tags(records[0]).get("p", "none").lower()
    hurt = [s for s in domain.senders if _RANK.get(policy, -1) > _RANK[s.max_policy]]
    observed = "; ".join(f"p={policy}, and {s.title} allows {s.max_policy}: {s.why}" for s in hurt)
    return case.finding(
        check,
        domain.name,
        "fail" if hurt else "pass",
        observed or f"p={policy}",
        expected=f"p={domain.dmarc.policy}",
        evidence=found.evidence(),
        fix=f"{run}; if another product wrote the record, send through that one or switch it off",
        requires=needs,
    )


def _policy(
    case: Case, domain: MailDomain, tags: Mapping[str, str], record: str, needs: Tuple[str, ...], fix: str
) -> Finding:
    policy = tags.get("p", "none").lower()
    want = domain.dmarc.policy
    trouble, doubts = [], []
    if policy not in _RANK:
        trouble.append(f"p={policy} is no policy")
    elif _RANK[policy] < _RANK.get(want, 0):
        trouble.append(f"p={policy} is weaker than the planned {want}")
    elif policy == "none":
        doubts.append("p=none only watches" + _capped(domain))
    if "np" not in tags:
        doubts.append("np is missing: names that do not exist can be forged")
    if tags.get("t", "n").lower() == "y":
        doubts.append("t=y takes one step off the policy")
    return case.finding(
        "H2",
        domain.name,
        "fail" if trouble else "warn" if doubts else "pass",
        "; ".join(trouble + doubts) or f"p={policy}; np={tags['np']}",
        expected=f"p={want}; np={domain.dmarc.np}",
        evidence=(record,),
        fix=fix,
        requires=needs,
    )


def _capped(domain: MailDomain) -> str:
    """Why a routed domain cannot have more, as far as its senders are the reason."""
    return "" if isinstance(domain, DomainPlan) else f" ({domain.policy_why})"


def _reports(
    case: Case, domain: MailDomain, tags: Mapping[str, str], record: str, needs: Tuple[str, ...], fix: str
) -> Iterator[Finding]:
    name = domain.name
    uris = [u.strip() for u in tags.get("rua", "").split(",") if u.strip()]
    targets = sorted({domain_of(u.split("!")[0]) for u in uris if u.lower().startswith("mailto:")})
    if not uris:
        yield case.warn(
            "H4", name, "no rua: nobody tells you who sends as you", evidence=(record,), fix=fix, requires=needs
        )
        yield case.na("H5", name, "no reports are asked for")
        return
    answers = case.answers()
    without: List[str] = []
    unseen: List[str] = []
    for target in targets:
        ours = case.published(target, "MX") if case.view.zone_of(target) else None
        values: Optional[object] = ours.values if ours and ours.known else answers.get(f"{target} MX", {}).get("values")
        if values is None:
            unseen.append(target)
        elif not values:
            without.append(target)
    verdict = "fail" if without else "unknown" if unseen else "warn" if len(uris) > 2 else "pass"
    observed = (
        f"no MX: {', '.join(without)}"
        if without
        else f"not looked up: {', '.join(unseen)}"
        if unseen
        else ", ".join(uris)
    )
    # A domain without the MX of those who take its mail is a finding of its own.
    exchangers = tuple(f"R2@{t}" for t in without if any(t == d.name for d in case.view.routed))
    exchangers += tuple(f"N1@{t}" for t in without if any(t == d.name for d in case.view.hosted))
    yield case.finding(
        "H4",
        name,
        verdict,
        observed,
        expected="hosts that take mail",
        evidence=(record,),
        fix=fix,
        requires=(*needs, *exchangers),
    )
    external = [t for t in targets if not same_organisation(t, domain.zone)]
    if not external:
        yield case.na("H5", name, "reports stay in the domain")
        return
    for target in external:
        question = f"{name}._report._dmarc.{target}"
        answer = answers.get(f"{question} TXT")
        scope = f"{name}/{target}"
        if answer is None:
            yield case.unknown("H5", scope, f"{question} was not looked up", requires=needs)
            continue
        granted = first_txt([str(v) for v in answer.get("values", ())], "v=dmarc1")
        yield case.finding(
            "H5",
            scope,
            "pass" if granted else "fail",
            "granted" if granted else "no record",
            expected=f'{question} TXT "v=DMARC1;"',
            evidence=(f"{question} TXT {answer.get('values') or answer.get('rcode')}",),
            fix=f'ask {target} to publish {question} TXT "v=DMARC1;", or use an address of {name}',
            requires=needs,
        )


def aligned(identity: str, author: str, strict: bool, organisation: str) -> bool:
    """Identifier alignment (RFC 9989 §4.4). organisation: the organisational domain of the author's domain."""
    if strict:
        return identity == author
    return same_organisation(identity, organisation) and same_organisation(author, organisation)


def organisational(case: Case, domain: DomainPlan) -> str:
    """Where the tree walk ends: the shortest name with a DMARC record, else the author's domain (§4.10.2)."""
    labels = domain.name.split(".")
    found = domain.name
    for start in range(len(labels) - 1):
        name = ".".join(labels[start:])
        if case.view.zone_of(name) and first_txt(case.published(f"_dmarc.{name}", "TXT").values, "v=dmarc1"):
            found = name
    return found


def _alignment(case: Case, domain: DomainPlan) -> Finding:
    """From the canary's real identities when one arrived, else from what the plan signs and sends with."""
    needs = (f"H1@{domain.name}", f"P1@{domain.name}")
    organisation = organisational(case, domain)
    signers = {k.domain for k in case.view.keys(domain.name)}
    senders = {domain.name}
    source = "from the plan: no canary arrived"
    for who, seen in canaries(case, domain.name):
        if seen and seen.data.get("arrived"):
            signers = {str(s["d"]).lower() for s in seen.data.get("signatures", ()) if s["result"] == "pass"}
            path = headers.values(seen.data.get("headers", ()), "Return-Path")
            senders = {domain_of(p.strip("<> ")) for p in path if "@" in p}
            source = f"from the canary at {who}"
            break
    dkim = sorted(d for d in signers if aligned(d, domain.name, domain.dmarc.adkim == "s", organisation))
    spf = sorted(d for d in senders if aligned(d, domain.name, domain.dmarc.aspf == "s", organisation))
    evidence = (
        source,
        f"DKIM d=: {', '.join(sorted(signers)) or 'none'} (adkim={domain.dmarc.adkim})",
        f"envelope sender: {', '.join(sorted(senders)) or 'none'} (aspf={domain.dmarc.aspf})",
    )
    return case.finding(
        "H7",
        domain.name,
        "pass" if dkim or spf else "fail",
        f"DKIM {'aligns' if dkim else 'does not align'}, envelope {'aligns' if spf else 'does not align'}",
        expected=f"one of them aligns with From {domain.name}",
        evidence=evidence,
        fix="sign with the domain of the From address and send with an envelope sender of that domain",
        requires=needs,
    )
