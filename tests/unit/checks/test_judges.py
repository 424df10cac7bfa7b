# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every check passes on a healthy path and gives each of its verdicts when the matching thing is broken."""

from __future__ import annotations

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.checks.catalogue import BY_ID, CHECKS
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import exit_code

from tests.unit.checks.world import (
    DOMAIN,
    HOST,
    NOW,
    RELAY,
    V4,
    V6,
    WAN,
    Break,
    World,
    broken,
    keys,
    verdicts,
)

ZONE = f"dns.zone/{DOMAIN}"
CANARY = f"mail.canary/{DOMAIN}/canary@strict.example.org"
SESSION = f"smtp.session/{V4}"
RSA = f"202611r._domainkey.{DOMAIN}"
ED = f"202611e._domainkey.{DOMAIN}"
TLS465 = f"tls/{V4}/465"
#: Domains whose mail others take have worlds of their own, see test_routing.py, test_hosted.py and test_submission.py.
ELSEWHERE = ("Email Routing", "Hosted mailboxes", "Internal senders")
OF_A_SERVER = [c for c in CHECKS if c.area not in ELSEWHERE and c.id != "L16"]


def put(probe: str, vantage: str = "", /, **values: object) -> Break:
    """The probe saw these values instead."""
    return lambda w: w.data(probe, vantage).update(values)


def txt(name: str, *values: str) -> Break:
    return lambda w: w.publish(name, "TXT", *values)


def publish(name: str, rtype: str, *values: str) -> Break:
    return lambda w: w.publish(name, rtype, *values)


def reply(probe: str, label: str, code: int) -> Break:
    return lambda w: w.data(probe)["replies"].update({label: {"code": code, "text": f"{code} changed"}})


def canary_header(name: str, old: str, new: str) -> Break:
    """Replaces text in every header of that name of the message that arrived."""

    def change(w: World) -> None:
        for row in w.data(CANARY)["headers"]:
            if row[0] == name:
                row[1] = row[1].replace(old, new)

    return change


def egress(outcome: str, host: str = "vps1", family: str = "ipv4", only: int = 4, **more: object) -> Break:
    def change(w: World) -> None:
        for row in w.data(f"egress25/{family}", host)["operators"][:only]:
            row.update(outcome=outcome, **more)

    return change


def operator(**values: object) -> Break:
    return lambda w: [row.update(values) for row in w.data("egress25/ipv4", "vps1")["operators"]]


def server(**values: object) -> Break:
    return lambda w: w.data(ZONE)["servers"][0].update(values)


def resolver(name: str, **values: object) -> Break:
    return lambda w: [data["answers"][name].update(values) for data in w.everywhere("dns.resolver")]


def policy(old: str, new: str) -> Break:
    def change(w: World) -> None:
        data = w.data(f"https.mta-sts/{DOMAIN}")
        assert old in data["body"]
        data["body"] = data["body"].replace(old, new)

    return change


def certificate(**values: object) -> Break:
    return lambda w: w.data(SESSION)["tls"].update(values)


def signature(**values: object) -> Break:
    return lambda w: w.data(CANARY)["signatures"][0].update(values)


def spf_result(identity: str, **values: object) -> Break:
    return put(f"spf/{identity}/{V4}", "", **values)


def ttl(seconds: int) -> Break:
    return lambda w: w.data(ZONE)["servers"][0]["answers"][f"{HOST} A"].update(ttl=seconds)


def no_domain(w: World) -> None:
    for rtype in ("SOA", "MX", "A"):
        w.publish(DOMAIN, rtype)


def unsigned(w: World) -> None:
    w.data(ZONE).update(ds=[], dnskey=False)
    for data in w.everywhere("dns.resolver"):
        data["answers"][f"{DOMAIN} SOA"]["ad"] = False


def bogus(w: World) -> None:
    w.data("dns.resolver", "vps1")["answers"][f"{DOMAIN} SOA"].update(rcode="SERVFAIL", cd_rcode="NOERROR", ad=False)


def delivered_forgery(result: str) -> Break:
    def change(w: World) -> None:
        w.data(f"mail.stranger/{DOMAIN}")["results"]["forged"].update(code=250, text="250 queued")
        headers = [["Authentication-Results", f"{HOST}; dmarc={result} header.from={DOMAIN}"]]
        message = {"folder": "Junk Mail", "headers": headers, "size": 1}
        w.data(f"mail.mailbox/{DOMAIN}")["messages"]["forged"] = message

    return change


def not_in_mailbox(w: World) -> None:
    w.data(f"mail.mailbox/{DOMAIN}")["messages"].clear()


def only_ed25519(w: World) -> None:
    w.facts = type(w.facts)(dkim=w.facts.dkim[1:], spki=w.facts.spki, signed=w.facts.signed)


def external_rua(w: World) -> None:
    w.publish(f"_dmarc.{DOMAIN}", "TXT", "v=DMARC1; p=reject; np=reject; rua=mailto:r@reports.example.net")
    answers = w.data("dns.resolver", "localhost")["answers"]
    answers["reports.example.net MX"] = {"rcode": "NOERROR", "values": ["10 mx.example.net"]}
    answers[f"{DOMAIN}._report._dmarc.reports.example.net TXT"] = {"rcode": "NXDOMAIN", "values": []}


def spki_wrapped() -> str:
    # The DER prefix of an Ed25519 SubjectPublicKeyInfo, which RFC 8463 does not want.
    import base64  # noqa: PLC0415

    public = base64.b64decode(keys()[1][2])
    return base64.b64encode(bytes.fromhex("302a300506032b6570032100") + public).decode()


def weak_rsa(bits: int) -> str:
    import base64  # noqa: PLC0415

    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415

    # Public numbers are enough, and a made-up modulus costs no search for primes.
    public = rsa.RSAPublicNumbers(65537, (1 << (bits - 1)) | 1).public_key()
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


def dkim(record: str, replace: str, by: str) -> Break:
    def change(w: World) -> None:
        text = next(str(f["txt"]) for f in w.facts.dkim if str(f["selector"]) in record)
        assert replace in text
        w.publish(record, "TXT", text.replace(replace, by))

    return change


SPF = f"v=spf1 ip4:{V4} ip6:{V6} -all"
DMARC = "v=DMARC1; p=reject; np=reject; adkim=s; aspf=r; rua=mailto:postmaster@example.com"

#: check, verdict, what is broken. Several rows per check: one for each way it can be wrong.
CASES: list[tuple[str, str, Break]] = [
    ("A1", "fail", put(f"dns.reverse/{V4}", ptr=[], rcode="NXDOMAIN", forward={})),
    ("A1", "warn", put(f"dns.reverse/{V4}", ptr=[HOST, "x.example.com"], forward={HOST: [V4]})),
    ("A1", "unknown", put(f"dns.reverse/{V4}", ptr=[], rcode="SERVFAIL", forward={})),
    ("A1", "unknown", lambda w: w.lose(f"dns.reverse/{V4}", "timeout")),
    ("A2", "fail", put(f"dns.reverse/{V4}", forward={HOST: ["198.18.9.9"]})),
    ("A3", "warn", put(f"dns.reverse/{V4}", ptr=["vps1.provider.example.net"], forward={"vps1.provider.example.net": [V4]})),
    ("A3", "fail", canary_header("Received", f"from {HOST} ({HOST}", f"from localhost ({HOST}")),
    ("A4", "fail", publish(HOST, "A", "198.18.9.9")),
    ("A4", "unknown", lambda w: w.lose(ZONE, "timeout")),
    ("A5", "fail", spf_result(HOST, result="fail")),
    ("A5", "warn", spf_result(HOST, result="none")),
    ("A5", "unknown", spf_result(HOST, result="temperror")),
    ("A6", "warn", put(f"dns.reverse/{V4}", ptr=["198-18-1-10.pool.example.net"], forward={"198-18-1-10.pool.example.net": [V4]})),
    ("A7", "fail", canary_header("Received", f"[{V4}]", f"[{WAN}]")),
    ("B1", "fail", egress("dropped")),
    ("B1", "fail", egress("refused", family="ipv6")),
    ("B1", "warn", egress("refused", only=1)),
    ("B1", "unknown", egress("dropped", control={"x:443": "dropped"})),
    ("B2", "unknown", egress("dropped", control={"x:443": "dropped"})),
    ("B2", "unknown", lambda w: w.lose("egress25/ipv4", "budget", vantage="vps1")),
    ("B3", "fail", operator(banner="220 proxy.provider.example.net ESMTP")),
    ("B3", "fail", operator(starttls=False)),
    ("B3", "fail", operator(tls={"name_ok": False, "names": ["proxy"]})),
    ("B3", "fail", operator(banner="220 ****************")),
    ("C1", "fail", put(SESSION, connect="refused", banner="", ehlo=[], tls=None)),
    ("C1", "fail", put(SESSION, connect="timeout", banner="", ehlo=[], tls=None)),
    ("C1", "fail", put(SESSION, banner="", ended="timeout", ehlo=[], tls=None)),
    ("C1", "fail", put(SESSION, banner="SSH-2.0-OpenSSH", ehlo=[], tls=None)),
    ("C2", "fail", put(SESSION, ehlo=[], ehlo_code=500, tls=None)),
    ("C2", "fail", lambda w: w.data(f"mail.mailbox/{DOMAIN}")["messages"]["genuine"].update(
        headers=[["Received", f"from x (x [172.29.25.10]) by {HOST} with ESMTPS id 3"]])),
    ("C2", "unknown", not_in_mailbox),
    ("C3", "fail", put(TLS465, connect="refused", error="refused")),
    ("C3", "fail", put(TLS465, connect="tls", error="no TLS")),
    ("C4", "fail", reply(f"smtp.recipients/{DOMAIN}", "abuse", 550)),
    ("C4", "unknown", lambda w: w.data(f"smtp.recipients/{DOMAIN}")["replies"].clear()),
    ("C5", "warn", put(SESSION, banner_ms=20000)),
    ("E1", "fail", server(aa=False)),
    ("E1", "fail", server(error="timeout")),
    ("E1", "fail", put(ZONE, parent_ns=["ns1.registrar.example.net"])),
    ("E1", "fail", lambda w: w.lose(ZONE, "dns", f"{DOMAIN} is not delegated: the nearest zone is com")),
    ("E1", "unknown", lambda w: w.lose(ZONE, "timeout")),
    ("E2", "warn", lambda w: w.data(ZONE)["servers"][1]["answers"][f"{DOMAIN} MX"].update(values=["10 old.example.com"])),
    ("E3", "fail", publish(DOMAIN, "MX")),
    ("E3", "fail", publish(DOMAIN, "MX", "10 198.18.1.10")),
    ("E3", "fail", publish(DOMAIN, "MX", "0 .")),
    ("E3", "fail", publish(HOST, "A", "192.168.77.10")),
    ("E4", "fail", publish(DOMAIN, "MX", f"10 {HOST}", "20 route1.mx.cloudflare.net")),
    ("E5", "fail", publish(HOST, "A", "104.16.0.1")),
    ("E6", "warn", publish(f"*.{DOMAIN}", "A", V4)),
    ("E8", "warn", ttl(1)),
    ("E9", "fail", publish(HOST, "CAA", '0 issue "sectigo.com"')),
    ("E9", "fail", publish(HOST, "CAA", '0 issue "letsencrypt.org; validationmethods=dns-01"')),
    ("E10", "fail", bogus),
    ("E10", "warn", unsigned),
    ("E11", "fail", lambda w: w.data("dns.resolver", "home")["answers"][". NS"].update(ad=False)),
    ("E11", "unknown", lambda w: w.lose("dns.resolver", "timeout", vantage="home")),
    ("E12", "fail", put("clock", "home", offset=-3600.0)),
    ("E12", "warn", put("clock", "home", offset=-5.0)),
    ("E12", "unknown", put("clock", "home", offset=None)),
    ("F1", "fail", txt(DOMAIN)),
    ("F1", "fail", txt(DOMAIN, SPF, "v=spf1 mx -all")),
    ("F2", "fail", txt(DOMAIN, "v=spf1 ip4:2001:db8::1 -all")),
    ("F2", "fail", txt(DOMAIN, "v=spf1 ipv4:198.18.1.10 -all")),
    ("F3", "fail", spf_result(DOMAIN, terms=11, result="permerror")),
    ("F3", "warn", spf_result(DOMAIN, terms=9)),
    ("F4", "fail", spf_result(DOMAIN, voids=3, result="permerror")),
    ("F6", "warn", txt(DOMAIN, "v=spf1 ptr -all")),
    ("F7", "fail", txt(DOMAIN, "v=spf1 +all")),
    ("F7", "warn", txt(DOMAIN, "v=spf1 mx ?all")),
    ("F7", "warn", txt(DOMAIN, "v=spf1 mx")),
    ("F9", "warn", txt(DOMAIN, "v=spf1 " + "ip4:198.18.1.10 " * 40 + "-all")),
    ("F10", "fail", spf_result(DOMAIN, result="fail", matched="-all")),
    ("F10", "fail", spf_result(DOMAIN, result="softfail", matched="~all")),
    ("F10", "unknown", spf_result(DOMAIN, result="temperror")),
    ("F10", "unknown", lambda w: w.lose(f"spf/{DOMAIN}/{V4}", "library")),
    ("F12", "fail", no_domain),
    ("F14", "fail", spf_result(RELAY, result="fail")),
    ("F14", "warn", spf_result(RELAY, result="none")),
    ("G1", "fail", txt(RSA)),
    ("G1", "fail", lambda w: w.data(ZONE)["servers"][1]["answers"][f"{RSA} TXT"].update(values=[])),
    ("G2", "fail", dkim(RSA, "v=DKIM1", "v=DKIM2")),
    ("G2", "fail", dkim(ED, "k=ed25519", "k=rsa")),
    ("G2", "fail", dkim(RSA, "h=sha256", "h=sha1")),
    ("G2", "warn", dkim(RSA, "h=sha256", "h=sha256; t=y")),
    ("G3", "fail", lambda w: w.publish(ED, "TXT", f"v=DKIM1; k=ed25519; p={spki_wrapped()}")),
    ("G3", "fail", lambda w: w.publish(RSA, "TXT", f"v=DKIM1; k=rsa; p={weak_rsa(512 + 256)}")),
    ("G3", "warn", lambda w: w.publish(RSA, "TXT", f"v=DKIM1; k=rsa; p={weak_rsa(1024)}")),
    ("G4", "fail", lambda w: w.publish(RSA, "TXT", f"v=DKIM1; k=rsa; p={weak_rsa(2048)}")),
    ("G4", "fail", put(f"file.dkim/{DOMAIN}/202611r", public="AAAA")),
    ("G4", "unknown", lambda w: w.lose(f"file.dkim/{DOMAIN}/202611r", "file", "no such file")),
    ("G5", "fail", txt(RSA, "v=DKIM1; k=rsa; p=")),
    ("G6", "fail", only_ed25519),
    ("G7", "fail", canary_header("Authentication-Results", "header.s=202611r", "header.s=other")),
    ("G7", "fail", signature(result="fail", reason="the body was changed")),
    ("G7", "fail", signature(l="100")),
    ("G7", "fail", signature(h=["to", "date", "subject", "message-id"])),
    ("G7", "fail", put(CANARY, signatures=[])),
    ("G10", "fail", put(f"file.dkim/{DOMAIN}/202611r", mode="0640")),
    ("H1", "fail", txt(f"_dmarc.{DOMAIN}")),
    ("H1", "fail", txt(f"_dmarc.{DOMAIN}", DMARC, "v=DMARC1; p=none")),
    ("H2", "fail", txt(f"_dmarc.{DOMAIN}", DMARC.replace("p=reject", "p=none", 1))),
    ("H2", "warn", txt(f"_dmarc.{DOMAIN}", DMARC.replace(" np=reject;", ""))),
    ("H3", "warn", txt(f"_dmarc.{DOMAIN}", DMARC + "; pct=50")),
    ("H4", "warn", txt(f"_dmarc.{DOMAIN}", "v=DMARC1; p=reject; np=reject")),
    ("H4", "fail", publish(DOMAIN, "MX")),
    ("H4", "unknown", txt(f"_dmarc.{DOMAIN}", "v=DMARC1; p=reject; np=reject; rua=mailto:r@never.example.net")),
    ("H5", "fail", external_rua),
    ("H7", "fail", lambda w: [
        w.data(CANARY).update(signatures=[]),
        w.data(CANARY)["headers"].__setitem__(0, ["Return-Path", "<bounce@relay.example.net>"]),
    ]),
    ("I1", "fail", txt(f"_mta-sts.{DOMAIN}")),
    ("I1", "fail", txt(f"_mta-sts.{DOMAIN}", "v=STSv1; id=not-alnum!")),
    ("I2", "fail", put(f"https.mta-sts/{DOMAIN}", tls_error="certificate has expired")),
    ("I2", "fail", put(f"https.mta-sts/{DOMAIN}", status=301)),
    ("I2", "fail", put(f"https.mta-sts/{DOMAIN}", type="text/html")),
    ("I2", "unknown", lambda w: w.lose(f"https.mta-sts/{DOMAIN}")),
    ("I3", "fail", policy(HOST, "mx.other.example")),
    ("I3", "warn", policy("max_age", "mx: second.example.com\r\nmax_age")),
    ("I4", "warn", policy("enforce", "testing")),
    ("I4", "fail", policy("enforce", "sometimes")),
    ("I5", "fail", policy("enforce", "testing")),
    ("I5", "fail", txt(f"_mta-sts.{DOMAIN}", "v=STSv1; id=20261121")),
    ("I6", "fail", policy("604800", "3600")),
    ("I6", "warn", policy("604800", "90000")),
    ("I7", "warn", txt(f"_smtp._tls.{DOMAIN}")),
    ("I7", "fail", txt(f"_smtp._tls.{DOMAIN}", "v=TLSRPTv1; rua=nowhere")),
    ("J1", "warn", resolver(f"_25._tcp.{HOST} TLSA", ad=False)),
    ("J2", "fail", publish(f"_25._tcp.{HOST}", "TLSA", f"1 1 1 {'ab' * 32}")),
    ("J2", "warn", publish(f"_25._tcp.{HOST}", "TLSA", f"3 0 1 {'ab' * 32}")),
    ("J3", "fail", publish(f"_25._tcp.{HOST}", "TLSA", f"3 1 1 {'cd' * 32}")),
    ("J3", "fail", certificate(spki_sha256="cd" * 32)),
    ("K1", "fail", lambda w: w.data(SESSION).update(ehlo=["SIZE 1"], tls=None)),
    ("K1", "fail", put(SESSION, tls=None, ended="tls")),
    ("K2", "fail", certificate(name_ok=False)),
    ("K2", "fail", put(TLS465, chain_ok=False, chain_error="self-signed certificate")),
    ("K3", "fail", certificate(not_after=NOW - 1)),
    ("K3", "fail", put(TLS465, not_after=NOW + 86400)),
    ("K3", "warn", certificate(not_before=NOW - 75 * 86400, not_after=NOW + 15 * 86400)),
    ("K4", "fail", put(TLS465, legacy=True)),
    ("K4", "warn", put(SESSION, legacy=True)),
    ("K4", "unknown", put(SESSION, legacy=None)),
    ("K5", "fail", certificate(key="rsa", bits=1024)),
    ("K5", "fail", certificate(signature_hash="sha1")),
    ("L1", "fail", reply(f"smtp.relay/{V4}/external", "rcpt", 250)),
    ("L1", "fail", reply(f"smtp.relay/{V4}/percent", "rcpt", 250)),
    ("L1", "fail", reply(f"smtp.relay/{V4}/null-sender", "rcpt", 250)),
    ("L1", "unknown", lambda w: w.data(f"smtp.relay/{V4}/quoted")["replies"].clear()),
    ("L5", "warn", reply(SESSION, "vrfy", 250)),
    ("L6", "fail", reply(SESSION, "auth-plain", 334)),
    ("L6", "warn", lambda w: w.data(SESSION)["ehlo"].append("AUTH PLAIN")),
    ("L7", "warn", put(SESSION, ehlo=["STARTTLS"], ehlo_tls=[])),
    ("L8", "warn", put(SESSION, banner="220 localhost ESMTP")),
    ("L8", "warn", put(SESSION, banner=f"220 {HOST} ESMTP Server 1.2.3")),
    ("L9", "fail", reply(f"smtp.recipients/{DOMAIN}", "unknown", 250)),
    ("L9", "unknown", reply(f"smtp.recipients/{DOMAIN}", "unknown", 451)),
    ("L10", "fail", delivered_forgery("pass")),
    ("L10", "warn", delivered_forgery("fail")),
    ("L11", "fail", reply(f"smtp.recipients/{DOMAIN}", "report", 550)),
    ("L13", "fail", reply(f"submission.forged/{DOMAIN}", "envelope", 250)),
    ("L14", "fail", reply(f"submission.forged/{DOMAIN}", "header", 250)),
    ("L14", "unknown", lambda w: w.data(f"submission.forged/{DOMAIN}")["replies"].pop("header")),
    ("L15", "fail", put(f"proxy.forged/{V4}/v1", outcome="accepted")),
    ("L15", "fail", put("proxy.forged/direct/v2", outcome="accepted")),
    ("L15", "unknown", put("proxy.forged/direct/v1", outcome="refused", replies=[])),
    ("M1", "warn", publish(f"_imaps._tcp.{DOMAIN}", "SRV")),
    ("M1", "warn", put(f"https.autoconfig/{DOMAIN}", status=404)),
    ("M4", "fail", lambda w: w.data(CANARY)["headers"].append(["Message-ID", "<two@example.com>"])),
    ("M4", "fail", put(CANARY, line_ends=1)),
    ("P1", "fail", put(CANARY, arrived=False)),
    ("P1", "fail", put(CANARY, arrived=False, bounced="550 5.7.1 no")),
    ("P1", "fail", put(CANARY, arrived=False, submitted={"code": 535, "text": "535 no"}, stage="login")),
    ("P1", "unknown", lambda w: w.lose(CANARY, "auth", "the witness cannot be read")),
    ("P2", "fail", canary_header("Authentication-Results", "spf=pass", "spf=softfail")),
    ("P3", "fail", canary_header("Authentication-Results", "dmarc=pass", "dmarc=fail")),
    ("P4", "fail", canary_header("Received", "localhost [127.0.0.1]", f"unknown [{WAN}]")),
    ("P4", "fail", canary_header("Received", "localhost [127.0.0.1]", "unknown [192.168.77.10]")),
    ("P4", "fail", canary_header("Received", "localhost [127.0.0.1]", "unknown [IPv6:2001:2:0:77::10]")),
    ("P5", "fail", not_in_mailbox),
    ("P5", "fail", lambda w: w.data(f"mail.stranger/{DOMAIN}")["results"]["genuine"].update(code=550, text="550 no")),
    ("P5", "fail", lambda w: w.lose(f"mail.mailbox/{DOMAIN}", "auth", "refuses the login")),
    ("P5", "warn", lambda w: w.data(f"mail.mailbox/{DOMAIN}")["messages"]["genuine"].update(folder="Junk Mail")),
]  # fmt: skip


def test_a_healthy_path_passes_every_check() -> None:
    findings = World().judge()
    assert {f.id for f in findings if f.verdict not in ("pass", "na")} == set()
    assert {f.id for f in findings} == {c.id for c in OF_A_SERVER}
    assert {f.id for f in findings if f.verdict == "pass"} >= {c.id for c in OF_A_SERVER} - {"H5"}
    assert exit_code(findings) == 0


@pytest.mark.parametrize(
    ("check", "verdict", "change"), CASES, ids=[f"{c}-{v}-{n}" for n, (c, v, _b) in enumerate(CASES)]
)
def test_a_check_notices_what_it_is_for(check: str, verdict: str, change: Break) -> None:
    findings = broken(change)
    assert verdict in verdicts(findings, check)
    for finding in findings:
        if finding.verdict in ("fail", "warn"):
            assert finding.fix, f"{finding.key} has no fix"
            assert finding.observed, f"{finding.key} does not say what was seen"
        needs = {r.partition("@")[0] for r in finding.requires}
        assert needs <= set(BY_ID[finding.id].needs), f"{finding.key} requires more than docs/checks.md says"


def test_every_check_is_shown_giving_its_worst_verdict() -> None:
    shown = {(c, v) for c, v, _b in CASES}
    # B2 is the control for B1: it tells a dead network from a closed port and never fails by itself.
    missing = [c.id for c in OF_A_SERVER if (c.id, c.severity) not in shown and c.id != "B2"]
    assert missing == []


def test_no_verdict_is_worse_than_the_catalogue_says() -> None:
    worst = {c: v for c, v, _b in CASES if v == "fail"}
    assert [c for c in worst if BY_ID[c].severity != "fail"] == []


@pytest.mark.parametrize("vantage", ["localhost", "home", "vps1", "stranger"])
def test_a_lost_vantage_never_lets_a_check_pass_that_only_it_could_make(vantage: str) -> None:
    world = World()
    only = {p for p, v in world.seen if v == vantage} - {p for p, v in world.seen if v != vantage}
    world.seen = {k: o for k, o in world.seen.items() if k[1] != vantage}
    findings = world.judge()
    assert only
    assert exit_code(findings) != 0
    assert {f.id for f in findings if f.verdict == "fail"} == set()


def test_without_declared_witnesses_the_checks_are_unknown_but_do_not_decide() -> None:
    from dataclasses import replace  # noqa: PLC0415

    from tests.unit.checks.world import plan  # noqa: PLC0415

    world = World(plan_=replace(plan(), vantages=(), canaries=()))
    findings = world.judge()
    assert {"C1", "L1", "P1", "P5", "G7"} <= {f.id for f in findings if f.verdict == "unknown"}
    assert {f.id for f in findings if f.verdict == "fail"} == set()
    assert exit_code(findings) == 0


def test_a_closed_port_25_at_home_is_told_apart_and_is_no_trouble() -> None:
    for outcome, word in (("dropped", "silently dropped"), ("refused", "refused"), ("open", "open")):
        findings = broken(egress(outcome, host="home"))
        one = next(f for f in findings if f.id == "B1" and f.scope == "home/ipv4")
        assert one.verdict == "pass"
        assert one.observed.startswith(f"{word} at 4 of 4")


def test_a_parked_or_switched_off_policy_is_not_judged() -> None:
    from tests.unit.checks.world import plan  # noqa: PLC0415

    findings = World(plan_=plan(mta_sts="off")).judge()
    assert verdicts(findings, "I2") == {"na"}
