"""From the root down to a zone: what the servers on the way say, and what has to be done at the registrar."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.rrset
import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.mailstead.stack.plugins.module_utils.delegation import walk as walking
from ansible_collections.mailstead.stack.plugins.module_utils.delegation.codes import CODES
from ansible_collections.mailstead.stack.plugins.module_utils.delegation.judge import Cut, Seen, Wanted, judge
from ansible_collections.mailstead.stack.plugins.module_utils.delegation.walk import Walk
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.dnssec import read_key
from ansible_collections.mailstead.stack.plugins.modules import dns_delegation_info

from tests.unit.dns.authority import Authority
from tests.unit.modules.documentation import assert_documented

ASSIGNED = ("amy.ns.cloudflare.com", "bob.ns.cloudflare.com")
OLD = ("dns1.registrar.example", "dns2.registrar.example")
TIMEOUT: Exception = dns.exception.Timeout()  # type: ignore[no-untyped-call]
WANTED = Wanted("example.me", ASSIGNED, "active")
KEY = "257 3 13 " + base64.b64encode(bytes(range(64))).decode()
STRANGE_DS = "4711 13 2 " + "ab" * 32


def ds_of(key: str) -> str:
    parsed = read_key(key)
    assert parsed is not None
    owner = b"\x07example\x02me\x00"
    return f"{parsed.tag} 13 2 {hashlib.sha256(owner + parsed.wire).hexdigest()}"


@dataclass
class World:
    """Name servers by address: what each knows as record sets by (name, type). Referrals come from the authority section."""

    sets: dict[str, dict[tuple[str, str], list[str]]]
    broken: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    def send(self, query: dns.message.Message, address: str) -> dns.message.Message:
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((address, name, kind))
        assert not query.flags & dns.flags.RD
        wrong = self.broken.get(address)
        if isinstance(wrong, BaseException):
            raise wrong
        answer = dns.message.make_response(query)
        known = self.sets[address]
        if wrong is not None:
            answer.set_rcode(wrong)
        elif (name, kind) in known:
            section = answer.authority if kind == "NS" else answer.answer
            section.append(dns.rrset.from_text(f"{name}.", 300, "IN", kind, *known[name, kind]))
            answer.flags |= dns.flags.AA if kind != "NS" else 0
        elif any(owner == name for owner, _kind in known):
            answer.flags |= dns.flags.AA
        else:
            answer.flags |= dns.flags.AA
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer

    def walk(self, **more: Any) -> Walk:
        addresses = {"root.example": ["1.1.1.1"], "tld.example": ["2.2.2.2"], **{s: ["3.3.3.3"] for s in ASSIGNED}}

        def resolve(name: str) -> list[str]:
            if name not in addresses:
                raise OSError(f"{name} does not resolve")
            return addresses[name]

        return Walk(send=self.send, resolve=resolve, roots=lambda: ["root.example"], **more)


def world(servers: tuple[str, ...] = ASSIGNED, ds: tuple[str, ...] = (), keys: tuple[str, ...] = ()) -> World:
    tld: dict[tuple[str, str], list[str]] = {("me", "SOA"): []}
    if servers:
        tld["example.me", "NS"] = [f"{s}." for s in servers]
    if ds:
        tld["example.me", "DS"] = list(ds)
    zone: dict[tuple[str, str], list[str]] = {("example.me", "SOA"): []}
    if keys:
        zone["example.me", "DNSKEY"] = list(keys)
    return World({"1.1.1.1": {("me", "NS"): ["tld.example."]}, "2.2.2.2": tld, "3.3.3.3": zone})


def look(found: World, wanted: Wanted = WANTED) -> Any:
    return judge(wanted, found.walk().look(wanted))


def test_each_zone_is_asked_of_the_one_above_it() -> None:
    found = world()
    seen = found.walk().look(WANTED)
    assert [(c.zone, c.parent, c.name_servers) for c in seen.chain] == [
        ("me", "the root", ("tld.example",)),
        ("example.me", "me", ASSIGNED),
    ]
    assert found.asked == [
        ("1.1.1.1", "me", "NS"),
        ("1.1.1.1", "me", "DS"),
        ("2.2.2.2", "example.me", "NS"),
        ("2.2.2.2", "example.me", "DS"),
    ]
    verdict = judge(WANTED, seen)
    assert (verdict.state, verdict.problem, verdict.steps) == ("delegated", None, ())
    assert str(seen.chain[1]) == f"example.me: {' '.join(ASSIGNED)}, no DS (says me, asked tld.example)"


def test_a_registrar_that_names_other_servers() -> None:
    verdict = look(world(OLD))
    assert verdict.state == "elsewhere" and verdict.problem.code == "MS-DEL-001"
    assert verdict.steps == (f"At the registrar replace all name servers by {' and '.join(ASSIGNED)}.",)


def test_half_of_the_name_servers() -> None:
    assert look(world((ASSIGNED[0], OLD[0]))).state == "partly"


def test_the_ds_goes_before_the_name_servers_change() -> None:
    verdict = look(world(OLD, ds=(STRANGE_DS,)))
    assert (verdict.state, verdict.problem.code) == ("elsewhere", "MS-DEL-002")
    assert "remove the DS" in verdict.steps[0] and "Wait until it is gone" in verdict.steps[1]
    assert verdict.steps[2].startswith("At the registrar replace") and "enter the new DS" in verdict.steps[3]
    assert "1. At the registrar remove the DS" in verdict.problem.fix


def test_a_ds_whose_key_the_new_servers_have_is_no_trap() -> None:
    verdict = look(world(OLD, ds=(STRANGE_DS, ds_of(KEY)), keys=(KEY,)))
    assert verdict.problem.code == "MS-DEL-001" and len(verdict.steps) == 1


def test_a_zone_that_is_dark_already() -> None:
    verdict = look(world(ds=(STRANGE_DS,)))
    assert (verdict.state, verdict.problem.code) == ("dark", "MS-DEL-002") and STRANGE_DS in verdict.steps[0]
    assert look(world(ds=(ds_of(KEY),), keys=(KEY,))).state == "delegated"


def test_a_ds_that_cannot_be_read_counts_as_lost() -> None:
    seen = Seen((Cut("example.me", "me", ASSIGNED, ds=("nonsense",)),), (KEY,))
    assert judge(WANTED, seen).state == "dark"


def test_a_host_that_has_not_noticed_yet() -> None:
    verdict = look(world(), Wanted("example.me", ASSIGNED, "pending"))
    assert (verdict.state, verdict.problem.code) == ("inactive", "MS-DEL-004")


def test_a_domain_that_nobody_registered() -> None:
    verdict = look(world(()))
    assert (verdict.state, verdict.problem.code) == ("missing", "MS-DEL-003")
    assert "knows no such name" in str(Cut("example.me", "me", server="tld.example", exists=False))


def test_a_zone_below_one_that_does_not_delegate_it() -> None:
    found = world()
    found.sets["3.3.3.3"]["sub.example.me", "TXT"] = []
    verdict = look(found, Wanted("sub.example.me", ASSIGNED))
    assert verdict.state == "elsewhere" and "In the zone example.me add NS records" in verdict.problem.fix


@pytest.mark.parametrize(
    "wrong", [OSError(101, "Network is unreachable"), TIMEOUT, dns.rcode.SERVFAIL, dns.rcode.REFUSED]
)
def test_a_server_that_says_nothing(wrong: Any) -> None:
    found = world()
    found.broken["2.2.2.2"] = wrong
    verdict = look(found)
    assert (verdict.state, verdict.problem.code) == ("unknown", "MS-DEL-005")
    assert "no server of me answers" in verdict.told and "tld.example (2.2.2.2)" in verdict.told


def test_no_time_no_servers_no_root() -> None:
    assert "no time left" in world().walk(deadline=-1).look(WANTED).chain[0].error
    found = world()
    found.sets["1.1.1.1"]["me", "NS"] = ["gone.example."]
    assert "gone.example does not resolve" in str(found.walk().look(WANTED).chain[1])

    def nobody() -> list[str]:
        raise OSError("the resolver does not know the root")

    assert Walk(roots=nobody).look(WANTED).chain[0].error == "the resolver does not know the root"
    assert judge(WANTED, Seen(())).state == "unknown"


def test_an_answer_that_is_neither() -> None:
    class Odd(World):
        def send(self, query: dns.message.Message, address: str) -> dns.message.Message:
            return dns.message.make_response(query)

    assert "neither an answer nor a referral" in str(Odd({}).walk().look(WANTED).chain[0])


def test_keys_that_nobody_could_read_count_as_missing() -> None:
    found = world(OLD, ds=(ds_of(KEY),), keys=(KEY,))
    found.broken["3.3.3.3"] = TIMEOUT
    assert look(found).problem.code == "MS-DEL-002"
    assert world(OLD, ds=(ds_of(KEY),)).walk()._keys(WANTED, -1.0) is None


def test_a_real_question_over_a_socket() -> None:
    query = dns.message.make_query("example.me", "NS")
    with Authority({"example.me": {("example.me", "NS"): ["ns.example.net."]}}) as server:
        answer = dns.query.udp(query, "127.0.0.1", port=server.port, timeout=2)
    assert walking._read(answer, "example.me").name_servers == ("ns.example.net",)


def test_the_root_as_the_resolver_knows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Found:
        target = dns.name.from_text("A.root-servers.net.")

    monkeypatch.setattr(dns.resolver, "resolve", lambda *_args, **_more: [Found()])
    assert walking.root_servers() == ["a.root-servers.net"]

    def fails(*_args: Any, **_more: Any) -> Any:
        raise dns.resolver.NoNameservers

    monkeypatch.setattr(dns.resolver, "resolve", fails)
    with pytest.raises(OSError, match="does not know the root"):
        walking.root_servers()


def test_every_code_has_its_case() -> None:
    assert len(CODES) == 5


# -- the module --------------------------------------------------------------------------------------------------------


@pytest.fixture(name="run")
def fixture_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(found: World, **params: Any) -> dict[str, Any]:
        monkeypatch.setattr(dns_delegation_info, "Walk", lambda deadline: found.walk(deadline=deadline))
        zone = {"name": "Example.me.", "name_servers": [f"{s.upper()}." for s in ASSIGNED], "status": "active"}
        with patch_module_args({"zones": [zone], **params}), pytest.raises(SystemExit) as caught:
            dns_delegation_info.main()
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert caught.value.code == (1 if result.get("failed") else 0)
        return result

    return run


def test_the_module_reports_the_way(run: Any) -> None:
    found = run(world())
    assert not found["changed"] and found["zones"][0]["state"] == "delegated" and len(found["zones"][0]["chain"]) == 2
    assert_documented(dns_delegation_info)


def test_the_module_fails_with_what_to_do(run: Any) -> None:
    found = run(world(OLD))
    assert found["failed"] and "[MS-DEL-001]" in found["msg"] and "amy.ns.cloudflare.com" in found["msg"]
    assert found["zones"][0]["state"] == "elsewhere"


def test_a_zone_may_wait_for_its_registrar_but_not_with_a_trap(run: Any) -> None:
    assert not run(world(OLD), allow_undelegated=True).get("failed")
    assert run(world(OLD, ds=(STRANGE_DS,)), allow_undelegated=True)["failed"]
