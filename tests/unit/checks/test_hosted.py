# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains whose mailboxes are at a provider: every check passes, breaks where it should, and none claims what nobody can see."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.checks import report
from ansible_collections.mailstead.stack.plugins.module_utils.checks.catalogue import BY_ID, CHECKS
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import Finding, exit_code
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.receivers import GOOGLE, YAHOO
from ansible_collections.mailstead.stack.plugins.module_utils.checks.planning import probe_plan
from ansible_collections.mailstead.stack.plugins.module_utils.checks.view import View, exchangers, secret_references
from ansible_collections.mailstead.stack.plugins.module_utils.intent.read import read_intent
from ansible_collections.mailstead.stack.plugins.module_utils.plan.build import build_plan
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import MailPlan
from ansible_collections.mailstead.stack.plugins.module_utils.plan.resolve import Facts
from ansible_collections.mailstead.stack.plugins.plugin_utils import report_files
from ansible_collections.mailstead.stack.plugins.plugin_utils.profiles import profiles
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.unit.checks.world import DOMAIN, NOW, RUN, World, facts, failed, verdicts
from tests.unit.examples import DKIM_VALUE, DOMAIN_A, DOMAIN_C, HOSTS, OPERATOR, raw

ME, SELECTOR = "example.cn", "lokg123"
KEY, SCOPE = f"{SELECTOR}._domainkey.{ME}", f"{ME}/{SELECTOR}"
SPF, MX = "v=spf1 include:spf.mail.qq.com ~all", ("5 mxbiz1.qq.com", "10 mxbiz2.qq.com")
POLICY = "v=DMARC1; p=quarantine; np=reject; adkim=s; aspf=r; rua=mailto:dmarc@example.cn"
WEBMAIL = f"mail.{ME}"
COST, RCPT = f"spf.cost/{ME}", f"smtp.exchanger/{ME}"
SENT, BOX = f"mail.hosted/{ME}", f"mail.hosted.mailbox/{ME}"
PROXY = "104.16.1.1"
#: A mailbox of the domain, whose owner lets it be read.
WITNESS = {"address": f"you@{ME}", "imap": {"host": "imap.exmail.qq.com", "username": f"you@{ME}", "secret": "s"}}
READ = {**OPERATOR, "canaries": [*OPERATOR["canaries"], WITNESS]}
#: Zoho asks for a record that proves ownership, Fastmail for keys that are aliases of its own.
TOLD = {"tld": "eu", "spf_include": "zoho.eu", "verification": "zb1"}
ZOHO = {"name": ME, "provider": "zoho", "inputs": {**TOLD, "dkim_value": DKIM_VALUE}}
FASTMAIL = {"name": ME, "provider": "fastmail"}
GMAIL = {"provider": "gmail_personal", "account": "you@gmail.com", "send_as": ["hi"]}
#: Our own server sends for it too.
OWN = {**DOMAIN_C, "also_send_via": ["stalwart"], "accounts": ["app"]}


def plan(*domains: dict[str, Any], hosts: Any = None, operator: Any = READ) -> MailPlan:
    outside = {"stranger": HOSTS["stranger"]} if hosts is None else hosts
    given = raw(list(domains) or [DOMAIN_C], hosts=outside, operator=operator)
    return build_plan(read_intent(given, profiles=profiles()))


class Hosted(World):
    """A world in which the providers' own names exist."""

    def __init__(self, of: MailPlan | None = None, known: Facts | None = None) -> None:
        super().__init__(of or plan(), known or Facts())

    def records(self, name: str, rtype: str) -> list[str]:
        hosts = [h for d in self.view.hosted for h in exchangers(d)]
        if name in hosts and rtype in ("A", "AAAA"):
            return [f"198.18.0.{57 + hosts.index(name)}" if rtype == "A" else f"2001:2:0:1::{57 + hosts.index(name)}"]
        if rtype == "TXT" and name in {
            k.alias for d in self.view.hosted for k in self.view.keys_of_others(d) if k.alias
        }:
            return [DKIM_VALUE]
        return super().records(name, rtype)

    def _spf_cost(self, args: dict[str, Any], vantage: str) -> dict[str, Any]:
        records = [r for r in self.records(args["domain"], "TXT") if r.startswith("v=spf1")]
        parts = [["include:spf.mail.qq.com", 7, 0]]
        return {"records": records, "syntax": "", "lookups": 7, "voids": 0, "parts": parts, "broken": [], "failed": []}

    def _smtp(self, args: dict[str, Any], vantage: str) -> dict[str, Any]:
        data = super()._smtp(args, vantage)
        if args["address"] in {h for d in self.view.hosted for h in exchangers(d)}:
            data["replies"]["rcpt"] = {"code": 250, "text": "250 OK"}
            data["transcript"] = [[s["send"], data["replies"][s["label"]]["text"]] for s in args["steps"]]
        return data

    def told(self, question: str, **changes: Any) -> None:
        """What the controller's resolver says."""
        self.data("dns.resolver", "localhost")["answers"][question].update(changes)


Break = Callable[[Hosted], object]


def key_of(bits: int) -> str:
    public = rsa.generate_private_key(65537, bits).public_key()
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"v=DKIM1; k=rsa; p={base64.b64encode(der).decode()}"


def on_one_server(name: str, rtype: str, *values: str) -> Break:
    """The second of the zone's servers has something else."""

    def change(w: Hosted) -> None:
        answers = w.data(f"dns.zone/{ME}")["servers"][1]["answers"]
        answers[f"{name} {rtype}"] = {"rcode": "NOERROR", "values": list(values), "ttl": 300}

    return change


def proxied(w: Hosted) -> None:
    w.publish(WEBMAIL, "CNAME")
    w.publish(WEBMAIL, "A", PROXY)


def dmarc_alias(w: Hosted) -> None:
    """Another provider keeps the policy under a name of its own."""
    w.publish(f"_dmarc.{ME}", "TXT")
    w.publish(f"_dmarc.{ME}", "CNAME", "dmarcroot.purelymail.com")
    for server in w.data(f"dns.zone/{ME}")["servers"]:
        server["answers"][f"_dmarc.{ME} TXT"]["chain"] = ["dmarcroot.purelymail.com"]


def unproven(w: Hosted) -> None:
    """What is left where only the MX was set."""
    for name in (ME, KEY, f"_dmarc.{ME}"):
        w.publish(name, "TXT")
    w.data(COST).update(records=[], lookups=0, parts=[])


def without_address(w: Hosted) -> None:
    for rtype in ("A", "AAAA"):
        w.told(f"mxbiz2.qq.com {rtype}", values=[])


def own_exchanger(w: Hosted) -> None:
    """An MX in a zone of ours that the DNS provider's proxy stands before."""
    (hosted,) = w.plan.hosted
    w.plan = dataclasses.replace(w.plan, hosted=(dataclasses.replace(hosted, mx=(f"5 mx.{ME}",)),))
    answers = w.data("dns.resolver", "localhost")["answers"]
    answers[f"mx.{ME} A"] = {"rcode": "NOERROR", "values": [PROXY], "ttl": 300}
    answers[f"mx.{ME} AAAA"] = {"rcode": "NOERROR", "values": [], "ttl": 300}


def no_rcpt(w: Hosted) -> None:
    w.data(RCPT).update(connect="timeout", ended="timeout", replies={}, transcript=[])


CASES: list[tuple[str, str, Break]] = [
    ("N1", "fail", lambda w: w.publish(ME, "MX", *MX, "20 mail.example.com")),
    ("N1", "fail", lambda w: w.publish(ME, "MX", MX[0])),
    ("N1", "fail", lambda w: w.publish(ME, "MX")),
    ("N1", "warn", lambda w: w.publish(ME, "MX", *(v.replace("5 ", "15 ") for v in MX))),
    ("N1", "unknown", lambda w: w.lose(f"dns.zone/{ME}", "timeout")),
    ("N2", "fail", lambda w: w.told("mxbiz1.qq.com A", chain=["mx.example.net"])),
    ("N2", "fail", without_address),
    ("N2", "fail", lambda w: w.told("mxbiz1.qq.com A", values=["192.168.1.2"])),
    ("N2", "fail", own_exchanger),
    ("N2", "unknown", lambda w: w.lose("dns.resolver", "timeout", vantage="localhost")),
    ("N2", "unknown", lambda w: w.told("mxbiz1.qq.com A", rcode="SERVFAIL", values=[])),
    ("N3", "fail", unproven),
    ("N3", "pass", lambda w: w.publish(ME, "TXT")),
    ("N3", "unknown", lambda w: w.lose(f"dns.zone/{ME}", "timeout")),
    ("N4", "fail", lambda w: w.publish(ME, "TXT", "v=spf1 include:_spf.example.net ~all")),
    ("N4", "unknown", lambda w: w.publish(ME, "TXT")),
    ("N5", "pass", lambda w: w.publish(f"_dmarc.{ME}", "TXT", "v=DMARC1; p=reject; np=reject")),
    ("N5", "unknown", lambda w: w.publish(f"_dmarc.{ME}", "TXT")),
    ("N6", "fail", dmarc_alias),
    ("N6", "fail", lambda w: w.publish(f"_dmarc.{ME}", "CNAME", "dmarcroot.purelymail.com")),
    ("N6", "unknown", lambda w: w.lose(f"dns.zone/{ME}", "timeout")),
    ("N7", "fail", proxied),
    ("N7", "fail", lambda w: w.publish(WEBMAIL, "CNAME", "ghs.googlehosted.com")),
    ("N7", "fail", lambda w: w.publish(WEBMAIL, "CNAME")),
    ("N7", "fail", on_one_server(WEBMAIL, "CNAME", "webmail.example.net")),
    ("N7", "unknown", lambda w: w.lose(f"dns.zone/{ME}", "timeout")),
    ("N9", "warn", lambda w: w.data(RCPT)["replies"].update(rcpt={"code": 550, "text": "550 5.1.1 no such user"})),
    ("N9", "unknown", lambda w: w.data(RCPT)["replies"].update(rcpt={"code": 451, "text": "451 4.7.1 later"})),
    ("N9", "unknown", lambda w: w.data(RCPT)["replies"].update(mail={"code": 554, "text": "554 5.7.1 listed"})),
    ("N9", "unknown", no_rcpt),
    ("N9", "unknown", lambda w: w.lose(RCPT)),
    ("N10", "fail", lambda w: w.data(SENT)["results"]["hosted"].update(code=550, text="550 5.1.1 no such user")),
    ("N10", "fail", lambda w: w.data(BOX)["messages"].clear()),
    ("N10", "warn", lambda w: w.data(BOX)["messages"]["hosted"].update(folder="Junk")),
    ("N10", "unknown", lambda w: w.lose(SENT)),
    ("N10", "unknown", lambda w: w.lose(BOX, "auth", "refuses the login")),
    ("G1", "fail", lambda w: w.publish(KEY, "TXT")),
    ("G1", "fail", lambda w: w.publish(KEY, "TXT", DKIM_VALUE, key_of(2048))),
    ("G1", "fail", on_one_server(KEY, "TXT")),
    ("G1", "unknown", lambda w: w.lose(f"dns.zone/{ME}", "timeout")),
    ("G2", "fail", lambda w: w.publish(KEY, "TXT", DKIM_VALUE.replace("k=rsa", "k=dsa"))),
    ("G2", "warn", lambda w: w.publish(KEY, "TXT", DKIM_VALUE.replace("k=rsa", "k=rsa; t=y"))),
    ("G3", "fail", lambda w: w.publish(KEY, "TXT", DKIM_VALUE[:-40] + "====")),
    ("G3", "fail", lambda w: w.publish(KEY, "TXT", "v=DKIM1; k=rsa; p=QUJD")),
    ("G3", "warn", lambda w: w.publish(KEY, "TXT", key_of(1024))),
    ("G4", "fail", lambda w: w.publish(KEY, "TXT", key_of(2048))),
    ("G5", "fail", lambda w: w.publish(KEY, "TXT", "v=DKIM1; p=")),
    ("F1", "fail", lambda w: w.publish(ME, "TXT", SPF, "v=spf1 -all")),
    ("F3", "warn", lambda w: w.data(COST).update(lookups=8)),
    ("F3", "fail", lambda w: w.data(COST).update(lookups=11)),
    ("F3", "unknown", lambda w: w.data(COST).update(failed=["spf-a.mail.qq.com TXT"])),
    ("F3", "unknown", lambda w: w.data(COST).update(syntax="'include:' has no name")),
    ("F3", "unknown", lambda w: w.lose(COST, "timeout")),
    ("F3", "unknown", lambda w: w.lose(COST)),
    ("F4", "fail", lambda w: w.data(COST).update(voids=3)),
    ("F4", "fail", lambda w: w.data(COST).update(broken=["spf.mail.qq.com publishes no SPF record"])),
    ("H1", "fail", lambda w: w.publish(f"_dmarc.{ME}", "TXT")),
    ("I7", "warn", lambda w: w.publish(f"_smtp._tls.{ME}", "TXT")),
    ("E6", "warn", lambda w: w.publish(f"*.{ME}", "MX", *MX)),
]  # fmt: skip


def judged(change: Break, world: Hosted | None = None) -> tuple[Finding, ...]:
    broken = world or Hosted()
    change(broken)
    return broken.judge()


def one(findings: tuple[Finding, ...], check: str, scope: str = ME) -> Finding:
    (found,) = [f for f in findings if f.id == check and f.scope == scope]
    return found


def odd(findings: tuple[Finding, ...]) -> dict[str, str]:
    return {f.key: f.observed for f in findings if f.verdict not in ("pass", "na")}


def test_a_healthy_domain_passes_what_concerns_it_and_nothing_is_asked_of_a_server() -> None:
    findings = Hosted().judge()
    assert odd(findings) == {} and exit_code(findings) == 0
    shown = {f.id for f in findings}
    assert shown >= {c.id for c in CHECKS if c.area == "Hosted mailboxes"}
    assert shown >= {"E1", "E10", "F1", "F2", "F3", "F4", "F12", "G1", "G2", "G3", "G4", "G5", "H1", "H2", "I7"}
    assert not shown & {"A1", "B1", "C1", "E3", "E4", "E9", "F10", "G7", "G10", "K1", "L1", "P1", "P5", "M1", "R1"}


@pytest.mark.parametrize(
    ("check", "verdict", "change"), CASES, ids=[f"{c}-{v}-{n}" for n, (c, v, _b) in enumerate(CASES)]
)
def test_a_check_notices_what_it_is_for(check: str, verdict: str, change: Break) -> None:
    findings = judged(change)
    assert verdict in verdicts(findings, check), [
        f"{f.key} {f.verdict} {f.observed}" for f in findings if f.id == check
    ]
    for finding in findings:
        if finding.verdict in ("fail", "warn"):
            assert finding.fix and finding.observed and finding.evidence, finding.key
        needs = {r.partition("@")[0] for r in finding.requires}
        assert needs <= set(BY_ID[finding.id].needs), f"{finding.key} requires more than docs/checks.md says"


def test_every_check_of_hosted_mailboxes_gives_its_worst_verdict() -> None:
    shown = {(c, v) for c, v, _b in CASES}
    # N5 and N8 need other providers, see below.
    assert [
        c.id for c in CHECKS if c.area == "Hosted mailboxes" and (c.id, c.severity) not in shown
    ] == ["N5", "N8"]  # fmt: skip


# -- nothing proves the mail -----------------------------------------------------------------------------------------


def test_three_missing_records_are_one_finding_in_the_terms_of_who_suffers() -> None:
    findings = judged(unproven)
    assert [f.key for f in findings if f.verdict == "fail"] == [f"N3@{ME}"]
    cause = one(findings, "N3")
    for word in ("Gmail", "Yahoo", "both directions", "163.com", "88.com", GOOGLE, YAHOO):
        assert word in cause.observed
    for word in ("run site.yml", SPF, KEY, POLICY):
        assert word in cause.fix
    for check, scope in (("F1", ME), ("G1", SCOPE), ("H1", ME), ("G4", SCOPE), ("N4", ME), ("H2", ME), ("F3", ME)):
        finding = one(findings, check, scope)
        assert (finding.verdict, finding.because) == ("unknown", (f"N3@{ME}",)), finding.key
    assert exit_code(findings) == 1


@pytest.mark.parametrize(
    ("name", "check", "scope", "says"),
    [
        (ME, "F1", ME, "neither SPF nor DKIM"),
        (KEY, "G1", SCOPE, "1024 bits"),
        (f"_dmarc.{ME}", "H1", ME, "at least p=none"),
    ],
)
def test_one_missing_record_says_what_large_receivers_demand(name: str, check: str, scope: str, says: str) -> None:
    findings = judged(lambda w: w.publish(name, "TXT"))
    assert failed(findings) == {check}
    finding = one(findings, check, scope)
    assert says in finding.fix and GOOGLE in finding.fix and YAHOO in finding.fix
    assert verdicts(findings, "N3") == {"pass"}


def test_two_records_are_no_lack() -> None:
    findings = judged(lambda w: w.publish(ME, "TXT", SPF, "v=spf1 -all"))
    assert GOOGLE not in one(findings, "F1").fix


def test_a_key_that_nobody_told_us_of_is_a_gap_and_no_failure() -> None:
    findings = Hosted(plan({**ZOHO, "inputs": TOLD})).judge()
    finding = one(findings, "G1")
    assert finding.verdict == "warn" and "Zoho" in finding.fix and GOOGLE in finding.fix
    assert exit_code(findings) == 0 and not failed(findings)


def test_it_is_part_of_what_is_all_missing() -> None:
    world = Hosted(plan({**ZOHO, "inputs": TOLD}))
    for name in (ME, f"_dmarc.{ME}"):
        world.publish(name, "TXT")
    findings = world.judge()
    assert failed(findings) == {"N3"} and "switch DKIM on at Zoho" in one(findings, "N3").fix
    assert one(findings, "G1").because == (f"N3@{ME}",)


def test_a_provider_that_does_not_send_needs_no_key() -> None:
    inbound = {"provider": "zoho", "inputs": TOLD}
    of = plan({"name": ME, "inbound": inbound, "outbound": {"provider": "cloudflare_email_sending"}})
    assert one(Hosted(of).judge(), "G1").verdict == "na"


# -- causes ----------------------------------------------------------------------------------------------------------


def test_an_alias_in_place_of_the_policy_is_the_cause_of_what_follows() -> None:
    findings = judged(dmarc_alias)
    assert failed(findings) == {"N6"}
    assert one(findings, "H1").because == (f"N6@{ME}",)


def test_a_domain_without_exchangers_gets_no_reports_either() -> None:
    findings = judged(lambda w: w.publish(ME, "MX"))
    assert failed(findings) == {"N1"}
    assert one(findings, "H4").because == (f"N1@{ME}",)


def test_the_fix_for_a_key_that_differs_thinks_of_a_provider_who_changed_it() -> None:
    finding = one(judged(lambda w: w.publish(KEY, "TXT", key_of(2048))), "G4", SCOPE)
    assert "write the new one into inputs first" in finding.fix
    assert "the inventory says" in " ".join(finding.evidence)


def test_a_policy_under_an_alias_is_some_proof() -> None:
    def change(w: Hosted) -> None:
        unproven(w)
        dmarc_alias(w)

    findings = judged(change)
    assert verdicts(findings, "N3") == {"pass"} and failed(findings) == {"F1", "G1", "N6"}


def test_a_provider_may_have_its_own_host_behind_a_proxys_addresses() -> None:
    """Cloudflare's networks carry mail of Cloudflare's own; only a name in a zone of ours can be proxied by mistake."""
    assert verdicts(judged(lambda w: w.told("mxbiz1.qq.com A", values=["162.159.205.11"])), "N2") == {"pass"}


def test_what_is_proxied_is_called_so() -> None:
    finding = one(judged(proxied), "N7", WEBMAIL)
    assert "proxied" in finding.observed and "DNS only" in finding.fix


def test_addresses_behind_the_alias_are_the_providers() -> None:
    """A server that holds the target as well answers with both."""
    world = Hosted()
    world.publish(WEBMAIL, "A", PROXY)
    for server in world.data(f"dns.zone/{ME}")["servers"]:
        server["answers"][f"{WEBMAIL} A"]["chain"] = ["exmail.qq.com"]
    assert one(world.judge(), "N7", WEBMAIL).verdict == "pass"
    world.publish(WEBMAIL, "CNAME", "ghs.googlehosted.com")
    assert one(world.judge(), "N7", WEBMAIL).observed == "ghs.googlehosted.com"


def test_a_policy_stricter_than_a_sender_allows() -> None:
    of = plan({**DOMAIN_C, "also_send_via": [GMAIL], "dmarc": {"policy": "none", "rua": "dmarc"}})
    findings = judged(lambda w: w.publish(f"_dmarc.{ME}", "TXT", "v=DMARC1; p=reject; np=reject"), Hosted(of))
    finding = one(findings, "N5")
    assert finding.verdict == "fail" and "Gmail (personal account) allows none" in finding.observed


# -- what nobody can see ---------------------------------------------------------------------------------------------


def test_without_a_password_it_is_said_that_nothing_is_proven_about_mailboxes() -> None:
    world = Hosted(plan(operator=OPERATOR))
    assert not {SENT, BOX} & {p["id"] for found in world.probes.values() for p in found}
    findings = world.judge()
    finding = one(findings, "N10")
    assert (finding.verdict, finding.matters) == ("unknown", False) and "password" in finding.observed
    assert set(odd(findings)) == {f"N10@{ME}"} and exit_code(findings) == 0


def test_without_somebody_outside_nobody_can_say() -> None:
    findings = Hosted(plan(hosts={})).judge()
    assert {(f.id, f.matters) for f in findings if f.verdict == "unknown"} == {("N9", False), ("N10", False)}
    assert exit_code(findings) == 0


def test_a_caller_whom_the_provider_does_not_talk_to_says_nothing_about_it() -> None:
    for change in (no_rcpt, lambda w: w.data(RCPT)["replies"].update(mail={"code": 554, "text": "554 5.7.1 listed"})):
        findings = judged(change)
        finding = one(findings, "N9")
        assert finding.verdict == "unknown" and not finding.matters and exit_code(findings) == 0
        assert "stranger gets no further at mxbiz1.qq.com" in finding.observed


def test_the_session_ends_before_any_data() -> None:
    probes = {p["id"]: (v, p) for v, found in Hosted().probes.items() for p in found}
    vantage, session = probes[RCPT]
    assert (vantage, session["args"]["address"]) == ("stranger", "mxbiz1.qq.com")
    assert [s["send"] for s in session["args"]["steps"]] == ["MAIL FROM:<{me}>", f"RCPT TO:<postmaster@{ME}>"]


def test_one_stranger_is_enough() -> None:
    found = Hosted(plan(hosts={"stranger": HOSTS["stranger"], "stranger2": HOSTS["stranger"]})).probes
    for probe in (RCPT, SENT):
        assert [v for v in ("stranger", "stranger2") if probe in {p["id"] for p in found[v]}] == ["stranger"]


def test_the_message_goes_to_the_provider_and_is_looked_for_there() -> None:
    probes = {p["id"]: (v, p) for v, found in Hosted().probes.items() for p in found}
    vantage, sent = probes[SENT]
    assert vantage == "stranger" and sent["args"]["recipient"] == f"you@{ME}"
    assert sent["args"]["addresses"] == ["mxbiz1.qq.com", "mxbiz2.qq.com"]
    vantage, box = probes[BOX]
    assert vantage == "localhost" and box["args"]["imap"]["host"] == "imap.exmail.qq.com"
    assert box["args"]["tokens"]["hosted"] == sent["args"]["messages"][0]["token"]
    assert box["args"]["imap"]["secret"] in secret_references(plan())


def test_names_of_our_own_are_asked_at_our_servers_only() -> None:
    """A resolver would remember that a name is missing which is about to be published."""
    (resolver,) = (p for p in Hosted().probes["localhost"] if p["kind"] == "resolver")
    asked = {name for name, _type in resolver["args"]["questions"]}
    assert "mxbiz1.qq.com" in asked and not asked & {KEY, WEBMAIL, f"_dmarc.{ME}"}


# -- other providers -------------------------------------------------------------------------------------------------


def test_what_else_a_provider_asks_for() -> None:
    world = Hosted(plan(ZOHO))
    assert odd(world.judge()) == {}
    assert one(world.judge(), "N8").verdict == "pass"
    findings = judged(lambda w: w.publish(ME, "TXT", "v=spf1 include:zoho.eu ~all"), world)
    finding = one(findings, "N8")
    assert (finding.verdict, finding.matters) == ("warn", False) and "zoho-verification=zb1" in finding.observed
    world.lose(f"dns.zone/{ME}", "timeout")
    assert verdicts(world.judge(), "N8") == {"unknown"}


def test_nothing_else_is_asked_for_and_no_name_is_led_anywhere() -> None:
    bare = {k: v for k, v in DOMAIN_C.items() if k != "webmail"}
    findings = Hosted(plan(bare)).judge()
    assert verdicts(findings, "N8") == verdicts(findings, "N7") == {"na"}


TARGETS = [f"fm{n}.{ME}.dkim.fmhosted.com" for n in (1, 2, 3)]


def fastmail() -> Hosted:
    return Hosted(plan(FASTMAIL))


def test_keys_behind_aliases_are_judged_where_they_are() -> None:
    findings = fastmail().judge()
    assert odd(findings) == {} and exit_code(findings) == 0
    assert {f.scope for f in findings if f.id == "G3"} == {f"{ME}/fm{n}" for n in (1, 2, 3)}


def keyless(*targets: str) -> Break:
    def change(w: Hosted) -> None:
        for target in targets:
            w.told(f"{target} TXT", values=[], rcode="NXDOMAIN")

    return change


#: What changes, and the verdicts on fm1.
ALIASES: list[tuple[str, Break, dict[str, str]]] = [
    ("no alias", lambda w: w.publish(f"fm1._domainkey.{ME}", "CNAME"), {"G1": "fail", "G4": "unknown"}),
    ("another", lambda w: w.publish(f"fm1._domainkey.{ME}", "CNAME", "k.example.net"), {"G1": "pass", "G4": "fail"}),
    ("a spare", keyless(TARGETS[0]), {"G1": "warn", "G2": "na", "G3": "na", "G4": "pass"}),
    ("no key at all", keyless(*TARGETS), {"G1": "fail", "G2": "na", "G4": "pass"}),
    ("revoked", lambda w: w.told(f"{TARGETS[0]} TXT", values=["v=DKIM1; p="]), {"G1": "pass", "G5": "fail"}),
    ("weak", lambda w: w.told(f"{TARGETS[0]} TXT", values=[key_of(1024)]), {"G1": "pass", "G3": "warn"}),
    (
        "the short kind",
        lambda w: w.told(f"{TARGETS[0]} TXT", values=["v=DKIM1; k=ed25519; p=" + base64.b64encode(bytes(32)).decode()]),
        {"G1": "pass", "G2": "pass", "G3": "pass"},
    ),
    (
        "too short",
        lambda w: w.told(f"{TARGETS[0]} TXT", values=["v=DKIM1; k=ed25519; p=" + base64.b64encode(bytes(31)).decode()]),
        {"G1": "pass", "G3": "fail"},
    ),
    ("not told", lambda w: w.told(f"{TARGETS[0]} TXT", values=[], rcode="SERVFAIL"), {"G1": "pass", "G3": "unknown"}),
]


@pytest.mark.parametrize(("change", "expected"), [(c, e) for _n, c, e in ALIASES], ids=[n for n, _c, _e in ALIASES])
def test_an_alias_and_what_is_behind_it(change: Break, expected: dict[str, str]) -> None:
    findings = judged(change, fastmail())
    assert {check: one(findings, check, f"{ME}/fm1").verdict for check in expected} == expected


# -- beside other domains --------------------------------------------------------------------------------------------


def test_a_domain_that_goes_is_not_checked() -> None:
    gone = plan({**DOMAIN_C, "state": "absent"})
    assert View(gone, Facts()).mail_domains == ()
    assert not {f.id for f in World(gone, Facts()).judge()} & {"N1", "H1", "F1", "G1"}


def test_below_another_domain_of_the_same_provider_each_has_its_own_records() -> None:
    below = {**DOMAIN_C, "name": f"team.{ME}", "zone": ME, "inputs": {**DOMAIN_C["inputs"], "dkim_selector": "other"}}
    world = Hosted(plan(DOMAIN_C, below))
    findings = world.judge()
    assert {f.key for f in findings if f.verdict == "fail"} == set()
    assert sorted(f.scope for f in findings if f.id == "N7") == [WEBMAIL, f"mail.team.{ME}"]
    assert {f.scope for f in findings if f.id == "G1"} == {SCOPE, f"team.{ME}/other"}
    world.publish(f"*.team.{ME}", "MX", "10 mx.example.net")
    assert one(world.judge(), "E6").observed == f"*.team.{ME} MX 10 mx.example.net"


def both() -> Hosted:
    """Example A's home sends for it too."""
    return Hosted(plan(DOMAIN_A, OWN, hosts=HOSTS), facts(DOMAIN, ME))


def test_our_own_server_may_send_for_it_and_no_check_is_made_twice() -> None:
    findings = both().judge()
    assert odd(findings) == {} and exit_code(findings) == 0
    keys = [f.key for f in findings]
    assert len(keys) == len(set(keys))
    mine = {f.id for f in findings if f.verdict == "pass" and f.scope.startswith(ME)}
    assert mine >= {"F1", "F3", "F10", "G1", "G6", "G7", "H1", "H7", "L13", "L16", "N1", "N3", "N4", "P1", "P3"}
    assert not {f.id for f in findings if f.scope == ME} & {"C4", "E4", "I1", "L9", "M1", "P5"}


def test_one_key_of_our_own_is_some_proof() -> None:
    findings = judged(unproven, both())
    assert {"F1", "G1", "H1"} <= failed(findings) and verdicts(findings, "N3") == {"pass"}


def test_all_kinds_of_domains_are_probed_in_one_run() -> None:
    of = plan(DOMAIN_A, DOMAIN_C, hosts=HOSTS)
    assert [d.name for d in View(of, facts()).mail_domains] == [DOMAIN, ME]
    planned = probe_plan(View(of, facts()), RUN)
    assert COST in {p["id"] for p in planned["localhost"]} and RCPT in {p["id"] for p in planned["stranger"]}


# -- the report ------------------------------------------------------------------------------------------------------


def built(world: Hosted) -> dict[str, Any]:
    return report.build(world.plan, world.judge(), ["lab"], NOW)


def stations(leg: list[dict[str, Any]]) -> dict[str, tuple[str, list[str]]]:
    return {s["name"]: (s["verdict"], s["checks"]) for s in leg}


def test_the_report_draws_the_way_to_the_provider_and_from_it() -> None:
    made = built(Hosted())
    (domain,) = made["domains"]
    assert (made["exit_code"], made["subjects"], domain["verdict"]) == (0, [ME], "pass")
    assert {v for v, _checks in stations(domain["inbound"]).values()} == {"pass"}
    # Nobody logs in at the provider to send.
    assert [v for v, _checks in stations(domain["sent_there"]).values()] == ["pass", "pass", "na"]
    assert domain["outbound"] == [] and domain["provider"] == "Tencent Exmail"
    page = report_files.html(made)
    assert "From the Internet to the mailbox at Tencent Exmail" in page
    assert "From Tencent Exmail and Cloudflare Email Sending to the Internet" in page
    assert "From your server to the Internet" not in page


def test_nothing_is_drawn_of_a_provider_that_does_not_send() -> None:
    inbound = {"provider": "zoho", "inputs": TOLD}
    of = plan({"name": ME, "inbound": inbound, "outbound": {"provider": "cloudflare_email_sending"}})
    (domain,) = built(Hosted(of))["domains"]
    assert domain["senders"] == ["Cloudflare Email Sending"] and domain["inbound"]
    mailboxes = {"provider": "tencent_exmail", "inputs": DOMAIN_C["inputs"]}
    home = {"name": ME, "inbound": mailboxes, "outbound": {"provider": "stalwart"}, "accounts": ["app"]}
    made = built(Hosted(plan(DOMAIN_A, home, hosts=HOSTS), facts(DOMAIN, ME)))
    mine = next(d for d in made["domains"] if d["name"] == ME)
    assert mine["sent_there"] == [] and mine["inbound"] and mine["outbound"]


def test_the_drawing_marks_what_is_broken() -> None:
    world = Hosted()
    unproven(world)
    (domain,) = built(world)["domains"]
    assert domain["verdict"] == "fail"
    assert stations(domain["sent_there"])["signatures"] == ("fail", ["N3"])
    assert stations(domain["sent_there"])["policies"][0] == "unknown"
    shown = report.text(built(world))
    assert "FAIL     N3   example.cn: Something proves the domain's mail" in shown
    assert "UNKNOWN  not judged, because of N3@example.cn" in shown


def test_what_does_not_decide_the_outcome_does_not_decide_the_domains_verdict() -> None:
    made = built(Hosted(plan(operator=OPERATOR)))
    (domain,) = made["domains"]
    assert (made["exit_code"], domain["verdict"]) == (0, "pass")
    assert stations(domain["inbound"])["mailbox"] == ("unknown", ["N10"])


def test_both_ways_out_are_drawn_each_with_its_own_keys() -> None:
    world = both()
    world.publish(KEY, "TXT")
    made = built(world)
    shown = {d["name"]: d for d in made["domains"]}
    assert set(shown) == {DOMAIN, ME} and shown[DOMAIN]["verdict"] == "pass" and not shown[DOMAIN]["provider"]
    assert stations(shown[ME]["sent_there"])["signatures"] == ("fail", ["G1"])
    assert stations(shown[ME]["outbound"])["signatures"] == ("pass", [])
    assert shown[ME]["verdict"] == "fail"
    world = both()
    world.publish(f"202611r._domainkey.{ME}", "TXT")
    mine = next(d for d in built(world)["domains"] if d["name"] == ME)
    assert stations(mine["sent_there"])["signatures"] == ("pass", [])
    assert stations(mine["outbound"])["signatures"] == ("fail", ["G1"])
    page = report_files.html(made)
    assert "From Tencent Exmail to the Internet" in page and "From your server to the Internet" in page
