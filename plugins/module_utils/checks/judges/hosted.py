# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""N: domains whose mailboxes are at a provider: its records stand as it asks for them, and nobody else's beside them."""

from __future__ import annotations

from typing import Iterator, List

from ansible_collections.mailstead.stack.plugins.module_utils.checks import addresses, ids
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import Finding
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.case import NO_OUTSIDE, Case, first_txt
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.dmarc import allowed
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.dmarc import planned as planned_dmarc
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.dns import mx_hosts
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.receivers import demanded
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.spf import authorised
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.spf import planned as planned_spf
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.witness import Errand, arrival
from ansible_collections.mailstead.stack.plugins.module_utils.checks.view import exchangers
from ansible_collections.mailstead.stack.plugins.module_utils.dns.spf import spf_records
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import HostedPlan, Record

RUN = "run site.yml"
#: What cannot be known without logging in at the provider.
NO_MAILBOX = (
    "it needs a mailbox's password: a canary in the domain (mail_operator.canaries) would prove that mail arrives; "
    "what is sent there stays unproven"
)


def judge(case: Case) -> Iterator[Finding]:
    for domain in case.view.hosted:
        yield _mx(case, domain)
        for host in exchangers(domain):
            yield _exchanger(case, domain, host)
        yield _proven(case, domain)
        yield authorised(case, "N4", domain, RUN)
        yield allowed(case, "N5", domain, RUN)
        yield _dmarc_owner(case, domain)
        yield from _names(case, domain)
        yield _asked_for(case, domain)
        yield _postmaster(case, domain)
        yield _arrives(case, domain)


def _mx(case: Case, domain: HostedPlan) -> Finding:
    found = case.published(domain.name, "MX")
    needs = case.zone_needs(domain.name)
    expected = ", ".join(domain.mx)
    if not found.known:
        return case.unknown("N1", domain.name, found.why, expected=expected, requires=needs)
    live, wanted = set(mx_hosts(found.values)), set(exchangers(domain))
    trouble = [f"{h} is not {domain.title}'s" for h in sorted(live - wanted)]
    trouble += [f"{h} is missing" for h in sorted(wanted - live)]
    odd = sorted(found.values) != sorted(domain.mx)
    return case.finding(
        "N1",
        domain.name,
        "fail" if trouble else "warn" if odd else "pass",
        "; ".join(trouble) or (f"other preferences: {', '.join(found.values)}" if odd else ", ".join(found.values)),
        expected=expected,
        evidence=found.evidence(),
        fix="one provider owns the MX: remove the other one's records (mail that it takes is lost), then run site.yml",
        requires=needs,
    )


def _exchanger(case: Case, domain: HostedPlan, host: str) -> Finding:
    """The provider's host as the world sees it; proxied can only be what is in a zone of ours."""
    scope = f"{domain.name}/{host}"
    found = [case.answers().get(f"{host} {t}") for t in ("A", "AAAA")]
    known = [a for a in found if a is not None and a.get("rcode") in ("NOERROR", "NXDOMAIN")]
    if len(known) != len(found):
        return case.unknown("N2", scope, f"the addresses of {host} could not be looked up")
    values = [str(v) for a in known for v in a.get("values", ())]
    chain = [str(c) for a in known for c in a.get("chain", ())]
    trouble = [f"{host} is an alias of {chain[-1]}"] if chain else []
    if not values:
        trouble.append(f"{host} has no address")
    trouble += [f"{host} has the private address {v}" for v in values if addresses.is_private(v)]
    if case.view.zone_of(host):
        trouble += [f"{host} leads to an HTTP proxy at {v}" for v in values if addresses.is_cloudflare(v)]
    return case.finding(
        "N2",
        scope,
        "fail" if trouble else "pass",
        "; ".join(trouble) or ", ".join(values),
        expected="public addresses, no alias",
        evidence=[f"{host} {' | '.join(values) or 'no address'}", *(f"alias: {c}" for c in chain)],
        fix=f"take the hosts of the MX from {domain.title}'s own page; a host of your own is never proxied",
    )


def _proven(case: Case, domain: HostedPlan) -> Finding:
    """All three missing is one omission: whoever set the domain up knew nothing of them."""
    name = domain.name
    needs = case.zone_needs(name)
    policy = case.published(f"_dmarc.{name}", "TXT")
    keys = [*case.view.keys_of_others(domain), *case.view.signing(name)]
    signed = [case.published(k.record, "CNAME" if k.alias else "TXT") for k in keys]
    looked = [case.published(name, "TXT"), policy, *signed]
    if not all(p.known for p in looked):
        return case.unknown("N3", name, next(p.why for p in looked if not p.known), requires=needs)
    there = {
        "SPF": bool(spf_records(looked[0].values)),
        "DKIM": any(p.values for p in signed),
        "DMARC": bool(first_txt(policy.values, "v=dmarc1") or policy.chain),
    }
    missing = not any(there.values())
    observed = (
        "SPF, DKIM and DMARC are all missing. Then mail works with domestic receivers that ask for none of them (163.com, "
        f"88.com), while Gmail and Yahoo refuse in both directions: {demanded('all')}"
    )
    wanted = [f'{name} TXT "{planned_spf(case, name)}"', f'_dmarc.{name} TXT "{planned_dmarc(case, domain)}"']
    wanted += [f"{k.record} ({'CNAME ' + k.alias if k.alias else 'the key of ' + (k.holder or 'ours')})" for k in keys]
    first = "" if keys else f"switch DKIM on at {domain.title} and write what it shows into inputs; "
    return case.finding(
        "N3",
        name,
        "fail" if missing else "pass",
        observed if missing else f"published: {', '.join(k for k, v in there.items() if v)}",
        expected="SPF, DKIM and DMARC",
        evidence=[line for p in looked for line in p.evidence()],
        fix=f"{first}run site.yml, which publishes {', '.join(wanted)}; then let a message to Gmail show all three as pass",
        requires=needs,
    )


def _dmarc_owner(case: Case, domain: HostedPlan) -> Finding:
    """An alias hides the record that is planned, and its text is somebody else's."""
    name = f"_dmarc.{domain.name}"
    needs = case.zone_needs(name)
    alias, text = case.published(name, "CNAME"), case.published(name, "TXT")
    if not (alias.known and text.known):
        return case.unknown("N6", domain.name, alias.why or text.why, requires=needs)
    owners = tuple(dict.fromkeys((*alias.values, *text.chain)))
    return case.finding(
        "N6",
        domain.name,
        "fail" if owners else "pass",
        f"an alias of {', '.join(owners)}" if owners else "no alias",
        expected="a record of the domain's own and no alias",
        evidence=(*alias.evidence(), *text.evidence()),
        fix=f"remove what the other provider put at {name}, then run site.yml",
        requires=needs,
    )


def _names(case: Case, domain: HostedPlan) -> Iterator[Finding]:
    """Names of the domain that lead to the provider: for web mail, for mail programs."""
    keys = {k.record for k in case.view.keys_of_others(domain)}
    aliases = [r for r in case.view.asked_for(domain) if r.type == "CNAME" and r.name not in keys]
    if not aliases:
        yield case.na("N7", domain.name, "no name of the domain leads to the provider")
    for record in aliases:
        yield _name(case, record)


def _name(case: Case, record: Record) -> Finding:
    found = case.published(record.name, "CNAME")
    direct = [case.published(record.name, t) for t in ("A", "AAAA")]
    needs = case.zone_needs(record.name)
    if not found.known:
        return case.unknown("N7", record.name, found.why, requires=needs)
    here = [v for p in direct if not p.chain for v in p.values]
    proxied = [v for v in here if addresses.is_cloudflare(v)]
    right = all(values == (record.content,) for _label, values in found.servers)
    observed = ", ".join(found.values) or (f"the addresses {', '.join(here)}" if here else "no such record")
    if proxied:
        observed = f"proxied, at {', '.join(proxied)}: browsers get the proxy's certificate, mail programs nothing"
    return case.finding(
        "N7",
        record.name,
        "pass" if right else "fail",
        observed,
        expected=f"CNAME {record.content}, DNS only",
        evidence=[line for p in (found, *direct) for line in p.evidence()],
        fix=f"publish {record.name} CNAME {record.content}, DNS only (run site.yml)",
        requires=needs,
    )


def _asked_for(case: Case, domain: HostedPlan) -> Finding:
    """Verification and the like: once it is missing, a provider may switch the domain off."""
    keys = {k.record for k in case.view.keys_of_others(domain)}
    wanted = [r for r in case.view.asked_for(domain) if r.type != "CNAME" and r.name not in keys]
    needs = case.zone_needs(domain.name)
    if not wanted:
        return case.na("N8", domain.name, f"{domain.title} asks for nothing else")
    looked = [(r, case.published(r.name, r.type)) for r in wanted]
    unseen = next((p.why for _r, p in looked if not p.known), "")
    if unseen:
        return case.unknown("N8", domain.name, unseen, requires=needs)
    missing = [f"{r.name} {r.type} {r.content}" for r, p in looked if r.content not in p.values]
    return case.finding(
        "N8",
        domain.name,
        "warn" if missing else "pass",
        f"missing: {'; '.join(missing)}" if missing else f"{len(wanted)} published",
        expected=f"what the profiles of {domain.title} and other senders ask for",
        evidence=[line for _r, p in looked for line in p.evidence()],
        fix=f"{RUN}; if the provider shows another value, write that into inputs first",
        requires=needs,
    )


def _postmaster(case: Case, domain: HostedPlan) -> Finding:
    """As far as a stranger gets without sending anything."""
    name, probe = domain.name, ids.exchanger(domain.name)
    hosts = exchangers(domain)
    needs = tuple(f"N2@{name}/{h}" for h in hosts[:1])
    expected = f"250 for postmaster@{name}"
    if not case.watched:
        return case.unknown("N9", name, NO_OUTSIDE, expected=expected)
    seen = case.seen(probe)
    if seen is None or not seen.ok:
        return case.unknown("N9", name, case.why_not(seen, probe), expected=expected, requires=needs)
    replies = seen.data["replies"]
    evidence = [f"{said} → {heard}" for said, heard in seen.data["transcript"]]
    sender, reply = replies.get("mail"), replies.get("rcpt")
    if sender is None or reply is None or not 200 <= int(sender["code"]) < 300:
        heard = sender["text"] if sender else seen.data["ended"] or seen.data["connect"] or "no reply"
        observed = f"{seen.vantage} gets no further at {seen.data['address']}: {heard}"
        return case.unknown("N9", name, observed, expected=expected, evidence=evidence, requires=needs)
    code = int(reply["code"])
    return case.finding(
        "N9",
        name,
        "pass" if 200 <= code < 300 else "warn" if code >= 500 else "unknown",
        f"{seen.data['address']}: {reply['text']}",
        expected=expected,
        evidence=evidence,
        fix=f"make postmaster@{name} a mailbox or an alias at {domain.title}; if the reply names the caller, ask another host",
        requires=needs,
    )


def _arrives(case: Case, domain: HostedPlan) -> Finding:
    expected = f"accepted by {domain.title} and found in the mailbox"
    needs: List[str] = [f"N1@{domain.name}", *(f"N2@{domain.name}/{h}" for h in exchangers(domain))]
    witness = case.view.witness_in(domain)
    if witness is None:
        return case.unknown("N10", domain.name, NO_MAILBOX, expected=expected, matters=False)
    if not case.watched:
        return case.unknown("N10", domain.name, NO_OUTSIDE, expected=expected, matters=False)
    errand = Errand(
        sent=ids.hosted(domain.name),
        box=ids.hosted_mailbox(domain.name),
        label="hosted",
        recipient=witness.address,
        address=witness.address,
        refused=f"the reply names the cause; see that {witness.address} exists at {domain.title}",
        lost=f"look into the mailbox's spam folder and {domain.title}'s own log",
        junk=f"{domain.title} took the message for spam",
    )
    return arrival(case, "N10", domain.name, errand, expected, tuple(needs))
