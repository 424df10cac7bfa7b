# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DNS and egress probes against a name server and mail servers on loopback."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes import dns, egress
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.context import ProbeError, dial
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.dnsclient import client

from tests.unit.checks.servers import LOOPBACK, Dns, Smtp, closed_port, context, dns_server, tcp_server

LONG = "v=DKIM1; k=rsa; p=" + "A" * 392
TABLE: dict[tuple[str, str], list[str]] = {
    ("com", "NS"): ["a.gtld.example.org."],
    ("org", "NS"): ["a.gtld.example.org."],
    ("arpa", "NS"): ["a.gtld.example.org."],
    ("a.gtld.example.org", "A"): [LOOPBACK],
    ("example.com", "NS"): ["ada.ns.example.org.", "bob.ns.example.org."],
    ("ada.ns.example.org", "A"): [LOOPBACK],
    ("bob.ns.example.org", "A"): [LOOPBACK],
    ("example.com", "SOA"): ["ada.ns.example.org. dns.example.org. 7 3600 600 86400 1800"],
    ("example.com", "MX"): ["10 Mail.Example.com."],
    ("example.com", "TXT"): ['"v=spf1 ip4:198.18.1.10 -all"'],
    ("mail.example.com", "A"): ["198.18.1.10"],
    ("mta-sts.example.com", "CNAME"): ["mail.example.com."],
    ("k._domainkey.example.com", "TXT"): [f'"{LONG[:255]}" "{LONG[255:]}"'],
    ("_25._tcp.mail.example.com", "TLSA"): ["3 1 1 " + "AB" * 32],
    ("10.1.18.198.in-addr.arpa", "PTR"): ["Mail.example.com."],
    ("18.198.in-addr.arpa", "NS"): ["ada.ns.example.org."],
}


def run(table: dict[tuple[str, str], list[str]], probe: Any, args: dict[str, Any], **server: Any) -> Any:
    with dns_server(Dns(table, **server)) as port:
        return probe(args, context(resolvers=(LOOPBACK,), dns_port=port))


def test_every_server_of_a_zone_is_asked_every_question() -> None:
    questions = [["example.com", "MX"], ["k._domainkey.example.com", "TXT"], ["none.example.com", "A"]]
    questions += [["_25._tcp.mail.example.com", "TLSA"], ["mta-sts.example.com", "A"]]
    data = run(TABLE, dns.probe_zone, {"zone": "example.com", "questions": questions})
    names = ["ada.ns.example.org", "bob.ns.example.org"]
    assert data["parent_ns"] == data["child_ns"] == names
    assert [s["ns"] for s in data["servers"]] == names
    for server in data["servers"]:
        assert (server["error"], server["aa"], server["serial"]) == ("", True, 7)
        answers = server["answers"]
        assert answers["example.com MX"]["values"] == ["10 mail.example.com"]
        assert answers["k._domainkey.example.com TXT"]["values"] == [LONG]
        assert answers["k._domainkey.example.com TXT"]["segments"] == [[255, len(LONG) - 255]]
        assert answers["_25._tcp.mail.example.com TLSA"]["values"] == ["3 1 1 " + "ab" * 32]
        assert answers["none.example.com A"] == {"rcode": "NXDOMAIN", "values": [], "ttl": 0}
        assert answers["mta-sts.example.com A"]["chain"] == ["mail.example.com"]


def test_a_zone_that_is_not_delegated_is_said_to_be_so() -> None:
    table = {k: v for k, v in TABLE.items() if k[0] != "example.com"}
    with pytest.raises(ProbeError, match="not delegated: the nearest zone is com"):
        run(table, dns.probe_zone, {"zone": "example.com", "questions": []})


def test_the_resolver_is_never_asked_for_a_name_of_the_zone() -> None:
    """Its negative cache would keep a record invisible that is about to be published."""
    server = Dns(TABLE)
    with dns_server(server) as port:
        ctx = context(resolvers=(LOOPBACK,), dns_port=port)
        assert client(ctx).authoritative("new._domainkey.example.com", "TXT").rcode == "NXDOMAIN"
        assert client(ctx).authoritative("mta-sts.example.com", "A").values == ["198.18.1.10"]
    asked = {name for name, _type, recursive in server.questions if recursive}
    assert asked == {"com", "a.gtld.example.org", "ada.ns.example.org", "bob.ns.example.org"}


def test_the_resolver_probe_tells_bogus_from_missing() -> None:
    data = run(
        TABLE,
        dns.probe_resolver,
        {"questions": [["mail.example.com", "A"], ["example.com", "MX"], ["none.example.org", "A"]]},
        refuse=("mail.example.com",),
    )
    assert data["answers"]["mail.example.com A"]["rcode"] == "SERVFAIL"
    assert data["answers"]["mail.example.com A"]["cd_rcode"] == "NOERROR"
    assert data["answers"]["example.com MX"]["ad"] is True
    assert data["answers"]["none.example.org A"]["rcode"] == "NXDOMAIN"


def test_reverse_names_and_their_forward_addresses() -> None:
    data = run(TABLE, dns.probe_reverse, {"address": "198.18.1.10"})
    assert data["ptr"] == ["mail.example.com"]
    assert data["forward"] == {"mail.example.com": ["198.18.1.10"]}
    assert data["via"] == "authoritative"
    assert run(TABLE, dns.probe_reverse, {"address": "198.18.1.11"})["rcode"] == "NXDOMAIN"


@pytest.mark.parametrize(("address", "result"), [("198.18.1.10", "pass"), ("198.18.1.11", "fail")])
def test_spf_is_evaluated_against_the_zone_itself(address: str, result: str) -> None:
    data = run(TABLE, dns.probe_spf, {"domain": "example.com", "address": address, "sender": "a@example.com"})
    assert data["result"] == result
    assert data["record"] == "v=spf1 ip4:198.18.1.10 -all"


#: What Tencent's customers publish, in small: an include that is made of two more, one of which does not exist.
NESTED: dict[tuple[str, str], list[str]] = {
    **TABLE,
    ("example.com", "TXT"): ['"hello"', '"v=spf1 ip4:198.18.1.10 include:spf.example.org a:none.example.com ~all"'],
    ("spf.example.org", "TXT"): ['"v=spf1 include:a.example.org -all"'],
    ("a.example.org", "TXT"): ['"v=spf1 ip4:198.18.9.0/24 -all"'],
}


def test_the_look_ups_of_a_record_are_counted_with_everything_behind_it() -> None:
    data = run(NESTED, dns.probe_spf_cost, {"domain": "example.com"})
    assert (data["lookups"], data["voids"], data["syntax"], data["failed"]) == (3, 1, "", [])
    assert data["parts"] == [["ip4:198.18.1.10", 0, 0], ["include:spf.example.org", 2, 0], ["a:none.example.com", 1, 1]]
    assert data["broken"] == []


def test_what_could_not_be_looked_up_is_named() -> None:
    data = run(NESTED, dns.probe_spf_cost, {"domain": "example.com"}, refuse=("a.example.org",))
    assert data["failed"] == ["a.example.org TXT"] and data["lookups"] == 3


def test_an_include_without_a_record_breaks_the_whole() -> None:
    table = {k: v for k, v in NESTED.items() if k[0] != "a.example.org"}
    data = run(table, dns.probe_spf_cost, {"domain": "example.com"})
    assert data["broken"] == ["a.example.org publishes no SPF record"]


@pytest.mark.parametrize(
    ("values", "records", "syntax"),
    [
        (['"hello"'], 0, ""),
        (['"v=spf1 -all"', '"v=spf1 ~all"'], 2, ""),
        (['"v=spf1 include: -all"'], 1, "include"),
    ],
)
def test_nothing_is_counted_without_one_record_that_can_be_read(values: list[str], records: int, syntax: str) -> None:
    data = run({**NESTED, ("example.com", "TXT"): values}, dns.probe_spf_cost, {"domain": "example.com"})
    assert len(data["records"]) == records and syntax in data["syntax"] and bool(syntax) == bool(data["syntax"])
    assert (data["lookups"], data["parts"]) == (0, [])


def test_a_record_that_cannot_be_looked_up_is_no_result() -> None:
    with pytest.raises(ProbeError, match=r"TXT of example\.com could not be looked up"):
        run(NESTED, dns.probe_spf_cost, {"domain": "example.com"}, refuse=("example.com",))


def test_a_name_server_that_is_silent_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes import dnsclient  # noqa: PLC0415

    monkeypatch.setattr(dnsclient, "TIMEOUT", 0.1)
    ctx = context(resolvers=(LOOPBACK,), dns_port=closed_port())
    with pytest.raises(ProbeError) as problem:
        client(ctx).recursive("example.com", "MX")
    assert problem.value.klass in ("timeout", "refused")


# -- egress ------------------------------------------------------------------------------------------------------------

EGRESS = {("gmail.com", "MX"): ["5 mx.google.com."], ("mx.google.com", "A"): ["198.18.0.31"]}
OPERATOR = {"operator": "Google", "domain": "gmail.com", "banner": ["google.com"], "control": []}


def errors(number: int) -> Any:
    def dialer(_address: str, port: int, _timeout: float) -> Any:
        if port == 25:
            raise OSError(number, "x")
        raise ConnectionRefusedError(errno.ECONNREFUSED, "x")

    return dialer


def silent(_address: str, port: int, _timeout: float) -> Any:
    if port == 25:
        raise TimeoutError
    raise ConnectionRefusedError(errno.ECONNREFUSED, "x")


@pytest.mark.parametrize(
    ("dialer", "outcome"),
    [
        (silent, "dropped"),
        (errors(errno.ECONNREFUSED), "refused"),
        (errors(errno.EACCES), "prohibited"),
        (errors(errno.EHOSTUNREACH), "unreachable"),
        (errors(errno.ENETUNREACH), "no-route"),
    ],
)
def test_a_closed_port_25_is_told_apart(dialer: Any, outcome: str) -> None:
    with dns_server(Dns(EGRESS)) as port:
        ctx = context(resolvers=(LOOPBACK,), dns_port=port, dialer=dialer)
        data = egress.probe_egress({"family": "ipv4", "operators": [OPERATOR, dict(OPERATOR, operator="Other")]}, ctx)
    assert [r["outcome"] for r in data["operators"]] == [outcome, outcome]
    assert data["rounds"] == 1
    assert set(data["operators"][0]["control"].values()) == {"refused"}


def test_an_open_port_25_is_read_and_left_politely() -> None:
    server = Smtp(banner="220 mx.google.com ESMTP", replies={"EHLO": "250-mx.google.com at your service\r\n250 SIZE 1"})
    with tcp_server(server) as smtp_port, dns_server(Dns(EGRESS)) as port:
        ctx = context(
            resolvers=(LOOPBACK,), dns_port=port, dialer=lambda _a, _p, timeout: dial(LOOPBACK, smtp_port, timeout)
        )
        row = egress.probe_egress({"family": "ipv4", "operators": [OPERATOR]}, ctx)["operators"][0]
    assert (row["outcome"], row["banner"], row["ehlo_host"]) == ("open", "220 mx.google.com ESMTP", "mx.google.com")
    assert row["starttls"] is False
    # Control connections say nothing; the one on port 25 never tries a recipient.
    assert server.lines == ["EHLO probe.example.org", "QUIT"]


def test_mixed_results_are_asked_again() -> None:
    calls = []

    def flaky(_address: str, port: int, _timeout: float) -> Any:
        if port != 25:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "x")
        calls.append(1)
        if len(calls) == 1:
            raise TimeoutError
        raise ConnectionRefusedError(errno.ECONNREFUSED, "x")

    with dns_server(Dns(EGRESS)) as port:
        ctx = context(resolvers=(LOOPBACK,), dns_port=port, dialer=flaky)
        data = egress.probe_egress({"family": "ipv4", "operators": [OPERATOR, dict(OPERATOR, operator="Other")]}, ctx)
    assert data["rounds"] == 2
    assert {r["outcome"] for r in data["operators"]} == {"refused"}


def test_an_operator_without_a_name_or_an_address_is_no_verdict() -> None:
    with dns_server(Dns(EGRESS)) as port:
        ctx = context(resolvers=(LOOPBACK,), dns_port=port, dialer=silent)
        other = dict(OPERATOR, operator="Other", domain="nowhere.example.net")
        four = egress.probe_egress({"family": "ipv4", "operators": [other]}, ctx)["operators"][0]
        six = egress.probe_egress({"family": "ipv6", "operators": [OPERATOR]}, ctx)["operators"][0]
    assert (four["outcome"], six["outcome"]) == ("dns", "no-address")
