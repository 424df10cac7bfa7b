# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules C1 to C16 of docs/composition.md: what answers to each, with a case that breaks it and one that keeps it."""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.checks.catalogue import BY_ID
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.dns import engine
from ansible_collections.mailstead.stack.plugins.module_utils.dns.guards import check_targets
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Have, Options, Want
from ansible_collections.mailstead.stack.plugins.module_utils.dns.spf import is_spf
from ansible_collections.mailstead.stack.plugins.module_utils.dns.spf_cost import Answer, Question
from ansible_collections.mailstead.stack.plugins.module_utils.intent.read import read_intent
from ansible_collections.mailstead.stack.plugins.module_utils.mta_sts.gate import Expected, look
from ansible_collections.mailstead.stack.plugins.module_utils.mta_sts.policy import Policy
from ansible_collections.mailstead.stack.plugins.module_utils.plan.build import build_plan, sts_policy
from ansible_collections.mailstead.stack.plugins.module_utils.providers import mixing
from ansible_collections.mailstead.stack.plugins.module_utils.providers.model import Dkim, Mx, RecordTemplate
from ansible_collections.mailstead.stack.plugins.plugin_utils.profiles import profiles
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.unit.checks.world import Break, World, broken
from tests.unit.dns.samples import BASIC, DMARC, HOST, SPF, ZONE, diff, theirs, want
from tests.unit.examples import DOMAIN_A, DOMAIN_B, raw
from tests.unit.providers.parties import BELOW, DOMAIN, HEAVY, KEEPER, LIGHT, OTHER, OWNER, party, profile
from tools.error_docs import codes as all_codes

PAGE = Path(__file__).parents[3] / "docs" / "composition.md"
Case = tuple[str, str, Callable[[], set[str]], Callable[[], set[str]]]


def zone(wants: list[Want], have: Sequence[Have] = (), **options: Any) -> Callable[[], set[str]]:
    """Codes of a run that would publish these."""
    return lambda: {p.code for p in diff(wants, list(have), **options).problems}


def hosts(host: Have, wanted: Want = BASIC[1]) -> Callable[[], set[str]]:
    """Codes of a record that points to a host, an MX for example."""
    mail = engine.diff(ZONE, [wanted], [host], Options())
    return lambda: {p.code for p in check_targets([mail], Options())}


def mixed(*parties: mixing.Party, own: Sequence[mixing.Flat] = ()) -> Callable[[], set[str]]:
    return lambda: {c.code for c in mixing.clashes(DOMAIN, parties, own)}


def inventory(*domains: dict[str, Any], known: Any = None, **more: Any) -> Callable[[], set[str]]:
    """Codes of an inventory with these domains."""

    def read() -> set[str]:
        try:
            read_intent(raw(list(domains), **more), profiles=known or profiles())
        except MailsteadError as error:
            return {p.code for p in error.problems}
        return set()

    return read


def judged(change: Break) -> Callable[[], set[str]]:
    """Checks that do not pass after one thing has changed."""
    return lambda: {f.id for f in broken(change) if f.verdict in ("fail", "warn")}


def txt(name: str, *values: str) -> Break:
    return lambda w: w.publish(name, "TXT", *values)


def policy(old: str, new: str) -> Break:
    def change(w: World) -> None:
        data = w.data(f"https.mta-sts/{DOMAIN}")
        data["body"] = data["body"].replace(old, new)

    return change


def served(*exchangers: str) -> Callable[[], set[str]]:
    """Codes of a policy that lists these, where one exchanger is wanted."""
    wanted = Policy("enforce", (HOST,), 604800)
    body = sts_policy("enforce", exchangers, 604800)
    found = look(
        Expected(DOMAIN, ("127.0.0.1",), wanted), {"connect": "open", "tls_error": "", "status": 200, "body": body}
    )
    return lambda: {found.code} - {""}


def reports(granted: bool) -> Break:
    def change(w: World) -> None:
        w.publish(f"_dmarc.{DOMAIN}", "TXT", "v=DMARC1; p=reject; np=reject; rua=mailto:r@reports.example.net")
        answers = w.data("dns.resolver", "localhost")["answers"]
        answers["reports.example.net MX"] = {"rcode": "NOERROR", "values": ["10 mx.example.net"]}
        values = ["v=DMARC1;"] if granted else []
        answers[f"{DOMAIN}._report._dmarc.reports.example.net TXT"] = {"rcode": "NOERROR", "values": values}

    return change


def live(text: str) -> Callable[[], set[str]]:
    """Codes of an SPF record whose include is measured: eleven look-ups behind ten, three of them void behind void."""
    nets: dict[str, str] = {
        "ten.example.net": "v=spf1 " + " ".join(f"include:n{n}.example.net" for n in range(10)) + " -all",
        "void.example.net": "v=spf1 " + " ".join(f"a:gone{n}.example.net" for n in range(3)) + " -all",
        **{f"n{n}.example.net": "v=spf1 ip4:198.51.100.1 -all" for n in range(10)},
    }

    def fetch(questions: Sequence[Question]) -> dict[Question, Answer]:
        return {q: ("ok", [nets[q[0]]]) if q[1] == "TXT" and q[0] in nets else ("nxdomain", ()) for q in questions}

    return zone([want(ZONE, "TXT", text)], spf_fetch=fetch)


def inbound(**changes: Any) -> dict[str, Any]:
    return {**DOMAIN_B, "inbound": {**DOMAIN_B["inbound"], **changes}}


def strictly(adkim: str) -> Callable[[], set[str]]:
    """Codes of a domain whose only sender is aligned relaxed."""
    (sending,) = [p for p in profiles() if p.id == "cloudflare_email_sending"]
    lax = dataclasses.replace(sending.dmarc, aligned_dkim="relaxed", owns_record="")
    known = tuple(p if p is not sending else dataclasses.replace(p, dmarc=lax) for p in profiles())
    domain = {**DOMAIN_B, "outbound": {"provider": sending.id}, "dmarc": {"adkim": adkim, "aspf": "s"}}
    return inventory(domain, known=known, hosts={})


IMAPS = want(f"_imaps._tcp.{ZONE}", "SRV", f"0 1 993 {HOST}")


def selectors(first: str, second: str) -> dict[str, Any]:
    """A domain with two senders that sign."""
    one, two = (f"v=DKIM1; k=rsa; p={rsa_key()}" for _n in range(2))
    also = {"provider": "mailgun", "inputs": {"dkim_selector": second, "dkim_value": two}}
    return {
        "name": DOMAIN,
        "provider": "tencent_exmail",
        "inputs": {"dkim_selector": first, "dkim_value": one},
        "also_send_via": [also],
    }


def rsa_key() -> str:
    key = rsa.generate_private_key(65537, 2048).public_key()
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def planned(*domains: dict[str, Any], **more: Any) -> str:
    """The SPF record of the first domain."""
    plan = build_plan(read_intent(raw(list(domains), **more), profiles=profiles()))
    name = domains[0]["name"]
    return next(
        r.content for z in plan.zones for r in z.records if r.name == name and r.type == "TXT" and is_spf(r.content)
    )


ROUTED = [want(f"shop.{ZONE}", "TXT", SPF)]
WILDCARD = theirs(f"*.{ZONE}", "MX", "10 mx.example.net")
SECOND = profile("second", mx=(Mx("mx.second.example", 10),))
KEY = (("key", "v=DKIM1; k=rsa; p=AbC="),)
ACME = (RecordTemplate("_dmarc", "TXT", "v=DMARC1; p=reject"),)
POLICED = {"name": DOMAIN, "provider": "purelymail", "also_send_via": [{"provider": "acme"}]}
THIRD = profile("third", dkim=(Dkim("txt", "s1", "{key}"),))

#: Rule, what answers, a case that breaks the rule, one that keeps it.
CASES: list[Case] = [
    ("C1", "MS-PRO-020", mixed(party(HEAVY, takes_mail=True), party(SECOND, takes_mail=True)),
     mixed(party(HEAVY, takes_mail=True), party(SECOND))),
    ("C1", "MS-INT-021", inventory(DOMAIN_A, DOMAIN_A), inventory(DOMAIN_A)),
    ("C1", "MS-DNS-031", zone(BASIC, [theirs(ZONE, "MX", "10 mx.example.net")]), zone(BASIC)),
    ("C2", "MS-DNS-021", hosts(theirs(HOST, "CNAME", "x.example.net")), hosts(theirs(HOST, "A", "192.0.2.1"))),
    ("C2", "MS-DNS-018", hosts(theirs(HOST, "A", "192.0.2.1", proxied=True)), hosts(theirs(HOST, "A", "192.0.2.1"))),
    ("C2", "E3", judged(lambda w: w.publish("mail.example.com", "A", "192.168.77.10")), judged(lambda w: None)),
    ("C3", "MS-DNS-012", zone([BASIC[2], want(ZONE, "TXT", "v=spf1 a -all")]), zone([BASIC[2]])),
    ("C3", "F1", judged(txt(DOMAIN, "v=spf1 mx -all", "v=spf1 a -all")), judged(txt(DOMAIN, "v=spf1 mx -all", "x=1"))),
    ("C4", "MS-DNS-014", live("v=spf1 include:ten.example.net -all"), live("v=spf1 include:n1.example.net -all")),
    ("C4", "MS-DNS-026", live("v=spf1 include:void.example.net -all"), live("v=spf1 a:gone.example.net -all")),
    ("C5", "MS-DNS-013", zone([want(ZONE, "TXT", "v=spf1 mx +all")]), zone([want(ZONE, "TXT", "v=spf1 mx ~all")])),
    ("C5", "F7", judged(txt(DOMAIN, "v=spf1 mx ?all")), judged(txt(DOMAIN, "v=spf1 mx ~all"))),
    ("C6", "MS-PRO-021", mixed(party(HEAVY), own=[(DOMAIN, "TXT", "v=spf1 ip4:192.0.2.1 -all")]),
     mixed(party(HEAVY), own=[(DOMAIN, "TXT", mixing.spf(["ip4:192.0.2.1"], [party(HEAVY)]).text)])),
    ("C7", "MS-PRO-022", mixed(party(BELOW), party(THIRD, KEY)), mixed(party(LIGHT), party(THIRD, KEY))),
    ("C7", "MS-PRO-022", inventory(selectors("default", "default"), hosts={}),
     inventory(selectors("default", "other"), hosts={})),
    ("C7", "MS-DNS-016", zone([want(f"s1._domainkey.{ZONE}", "TXT", "v=DKIM1; p=AAAA", phase="keys")]),
     zone([want(f"s1._domainkey.{ZONE}", "TXT", "v=DKIM1; p=", phase="keys")])),
    ("C8", "MS-PRO-023", mixed(party(KEEPER), party(OWNER)),
     mixed(party(KEEPER), party(OWNER), own=[(f"_dmarc.{DOMAIN}", "TXT", DMARC)])),
    ("C8", "MS-PRO-023", inventory(POLICED, known=(*profiles(), profile("acme", verification=ACME)), hosts={}),
     inventory(POLICED, known=(*profiles(), profile("acme")), hosts={})),
    ("C8", "MS-PRO-024", mixed(party(BELOW), party(OTHER)), mixed(party(BELOW), party(LIGHT))),
    ("C8", "MS-DNS-010", zone([want(f"_dmarc.{ZONE}", "TXT", DMARC), want(f"_dmarc.{ZONE}", "CNAME", "d.example.net")]),
     zone([want(f"_dmarc.{ZONE}", "TXT", DMARC)])),
    ("C8", "MS-DNS-032", zone([want(f"_dmarc.{ZONE}", "TXT", DMARC)], [theirs(f"_dmarc.{ZONE}", "TXT", "v=DMARC1; p=none")]),
     zone([want(f"_dmarc.{ZONE}", "TXT", DMARC)], [theirs(f"_dmarc.{ZONE}", "TXT", DMARC)])),
    ("C9", "MS-INT-034", inventory({**DOMAIN_B, "dmarc": "reject"}, hosts={}),
     inventory({**DOMAIN_B, "dmarc": "none"}, hosts={})),
    ("C9", "MS-INT-041", inventory({**DOMAIN_B, "also_send_via": [{"provider": "cloudflare_email_sending"}]}, hosts={}),
     inventory({**DOMAIN_B, "outbound": {"provider": "cloudflare_email_sending"}}, hosts={})),
    ("C10", "MS-INT-044", strictly("s"), strictly("r")),
    ("C11", "MS-DNS-018", hosts(theirs(HOST, "A", "192.0.2.1", proxied=True), IMAPS), hosts(theirs(HOST, "A", "192.0.2.1"), IMAPS)),
    ("C12", "MS-DNS-022", zone(BASIC[1:2], [theirs(ZONE, "MX", "23 route1.mx.cloudflare.net", read_only=True)]),
     zone(BASIC[2:], [theirs(ZONE, "TXT", SPF, read_only=True)])),
    ("C13", "MS-STS-002", served("other.example.com"), served(HOST)),
    ("C13", "I3", judged(policy(HOST, "mx.other.example")), judged(policy(HOST, HOST.upper()))),
    ("C14", "H5", judged(reports(granted=False)), judged(reports(granted=True))),
    ("C15", "MS-INT-035", inventory(inbound(addresses={"hi": "you@example.me"}), hosts={}),
     inventory(inbound(addresses={"hi": "you@gmail.com"}), hosts={})),
    ("C16", "MS-DNS-027", zone(ROUTED, [WILDCARD]),
     zone(ROUTED, [WILDCARD, theirs(f"shop.{ZONE}", "MX", "23 route1.mx.cloudflare.net", read_only=True)])),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "answer", "breaks", "keeps"), CASES, ids=[f"{c[0]}-{c[1]}" for c in CASES])
def test_a_rule_is_enforced(
    rule: str, answer: str, breaks: Callable[[], set[str]], keeps: Callable[[], set[str]]
) -> None:
    assert answer in breaks(), rule
    assert answer not in keeps(), rule


def test_a_planned_record_ends_as_its_senders_allow() -> None:
    """C6: in the plan the end follows from the senders, so nothing is left to refuse."""
    assert planned(DOMAIN_A).endswith(" -all")
    workspace = {"provider": "google_workspace", "inputs": {"dkim_value": f"v=DKIM1; k=rsa; p={rsa_key()}"}}
    both = planned({**DOMAIN_A, "also_send_via": [workspace]})
    assert both.startswith("v=spf1 ip4:") and both.endswith(" include:_spf.google.com ~all")
    targets = {f"dkim_target_{n}": f"selector{n}-example-com._domainkey.acme.onmicrosoft.com" for n in (1, 2)}
    strict = {"provider": "microsoft365", "inputs": targets}
    assert planned({**DOMAIN_A, "also_send_via": [strict]}).endswith(" include:spf.protection.outlook.com -all")


def test_every_rule_has_an_answer_that_exists() -> None:
    assert {rule for rule, *_ in CASES} == {f"C{n}" for n in range(1, 17)}
    assert {answer for _rule, answer, *_ in CASES} <= set(all_codes()) | set(BY_ID)


def test_the_page_names_who_answers() -> None:
    rows = re.findall(r"^\| (C\d+) \| .+ \| (.+?) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    named = {rule: set(re.findall(r"MS-[A-Z]+-\d{3}|\b[A-Z]\d{1,2}\b", cell)) for rule, cell in rows}
    assert list(named) == [f"C{n}" for n in range(1, 17)]
    for rule, answer, *_ in CASES:
        assert answer in named[rule], (rule, answer)
    assert {a for cell in named.values() for a in cell} <= set(all_codes()) | set(BY_ID)
