# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart import show
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.apply import ApplyError, Outcome, apply
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.client import Client, basic
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.engine import make_plan, needed_types
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.schema import Schema
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.state import State
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.steps import Plan
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.stalwart.server import AFTER, CLOSE, RECOVERY, SCHEMA, Reply, Server

PARSED = Schema(SCHEMA)
MANUAL = {"@type": "Manual"}
DOMAIN: dict[str, Any] = {
    "type": "Domain",
    "match": {"name": "example.com"},
    "properties": {"dkimManagement": MANUAL, "dnsManagement": MANUAL, "certificateManagement": MANUAL},
}


def account(name: str, password: str = "correct-horse-battery-9", domain: str = "example.com") -> dict[str, Any]:
    return {
        "type": "Account",
        "match": {"@type": "User", "name": name, "domainId": f"ref:Domain/name={domain}"},
        "properties": {"credentials": [{"@type": "Password"}]},
        "secrets": {"/credentials/0/secret": password},
    }


def look(client: Client, raw: list[Any], state: State, purge: list[str]) -> Plan:
    types, singletons = needed_types(PARSED, raw, purge)
    return make_plan(PARSED, raw, client.get_all(types, singletons), state.remembered, purge)


def converge(client: Client, raw: list[Any], directory: Path, purge: list[str] | None = None) -> tuple[Plan, Outcome]:
    """One run, as the module does it."""
    directory.mkdir(mode=0o700, exist_ok=True)
    state = State(directory)
    plan = look(client, raw, state, purge or [])
    return plan, apply(client, plan, state)


def settled(server: Server, client: Client, raw: list[Any], directory: Path, purge: list[str] | None = None) -> bool:
    """Whether a further run writes nothing."""
    server.forget()
    plan, outcome = converge(client, raw, directory, purge)
    return plan.steps == () and outcome == Outcome() and server.sets == []


def test_a_run_reaches_the_goal_and_the_next_one_writes_nothing(
    server: Server, client: Client, state_dir: Path
) -> None:
    raw = [
        account("alice"),
        DOMAIN,
        {"type": "MtaSts", "properties": {"mode": "enforce", "mxHosts": ["mail.example.com"], "maxAge": "7d"}},
        {
            "type": "SystemSettings",
            "properties": {"defaultHostname": "mail.example.com", "defaultDomainId": "ref:Domain/name=example.com"},
        },
        {"type": "SpamPyzor", "properties": {"enable": False}},
        {"type": "NetworkListener", "match": {"name": "pop3s"}, "state": "absent"},
    ]
    plan, outcome = converge(client, raw, state_dir)
    assert outcome.actions == ["ReloadSettings"]
    assert plan.restart
    assert len(outcome.applied) == len(plan.steps) == 6
    assert server.objects("MtaSts")[0]["mode"] == "enforce"
    assert {o["emailAddress"] for o in server.objects("Account")} == {"alice@example.com"}
    assert "pop3s" not in {o["name"] for o in server.objects("NetworkListener")}
    assert settled(server, client, raw, state_dir)


def test_exactly_one_reload_and_only_for_settings(server: Server, client: Client, state_dir: Path) -> None:
    converge(client, [DOMAIN, account("alice")], state_dir)
    assert not [c for c in server.calls if c[0] == "x:Action/set"]
    raw = [
        {"type": "SpamPyzor", "properties": {"enable": False}},
        {"type": "MtaSts", "properties": {"mode": "enforce"}},
    ]
    converge(client, raw, state_dir)
    assert [c[1]["create"]["a"]["@type"] for c in server.calls if c[0] == "x:Action/set"] == ["ReloadSettings"]


def test_few_requests(server: Server, client: Client, state_dir: Path) -> None:
    raw = [DOMAIN, *[account(f"user{i}") for i in range(20)], {"type": "SpamPyzor", "properties": {"enable": False}}]
    converge(client, raw, state_dir)
    # Session, one to read, one per level of dependency, one to reload.
    assert client.requests == 5
    before = client.requests
    assert settled(server, client, raw, state_dir)
    assert client.requests == before + 1


def test_large_sets_keep_to_the_servers_limits(start: Callable[..., Server], state_dir: Path) -> None:
    server = start({"maxObjectsInSet": 4, "maxObjectsInGet": 5, "maxCallsInRequest": 2})
    client = Client(server.url, basic(*RECOVERY), 10)
    raw = [{"type": "AllowedIp", "match": {"address": f"198.18.0.{i}"}} for i in range(1, 20)]
    raw.append({"type": "SpamPyzor", "properties": {"enable": False}})
    converge(client, raw, state_dir)
    assert len(server.objects("AllowedIp")) == 19
    assert settled(server, client, raw, state_dir)
    gone = [{**r, "state": "absent"} for r in raw[:-1]]
    converge(client, gone, state_dir)
    assert server.objects("AllowedIp") == []
    client.close()


# -- secrets ---------------------------------------------------------------------------------------------------


def can_log_in(server: Server, name: str, password: str) -> bool:
    return server.core.authenticator.basic(name, password, "127.0.0.1") is not None


def test_a_password_is_written_when_it_changes_and_only_then(server: Server, client: Client, state_dir: Path) -> None:
    converge(client, [DOMAIN, account("alice")], state_dir)
    assert can_log_in(server, "alice@example.com", "correct-horse-battery-9")
    assert settled(server, client, [DOMAIN, account("alice")], state_dir)
    changed = [DOMAIN, account("alice", "another-horse-battery-8")]
    server.forget()
    converge(client, changed, state_dir)
    (call,) = server.sets
    assert list(next(iter(call[1]["update"].values()))) == ["credentials/0/secret"]
    assert can_log_in(server, "alice@example.com", "another-horse-battery-8")
    assert settled(server, client, changed, state_dir)


def test_a_lost_record_of_secrets_costs_one_write(server: Server, client: Client, state_dir: Path) -> None:
    raw = [DOMAIN, account("alice")]
    converge(client, raw, state_dir)
    for damage in ("", "{", '{"salt": "00", "known": []}', "[]"):
        (state_dir / "secrets.json").write_text(damage)
        plan, _outcome = converge(client, raw, state_dir)
        assert [s.action for s in plan.steps] == ["update"]
        assert settled(server, client, raw, state_dir)


def test_an_account_that_was_made_anew_gets_its_password_again(server: Server, client: Client, state_dir: Path) -> None:
    raw = [DOMAIN, account("alice")]
    converge(client, raw, state_dir)
    old = server.objects("Account")[0]["id"]
    server.change("Account", destroy=[old])
    credentials = {"0": {"@type": "Password", "secret": "somebody-elses-horse-3"}}
    domain = server.objects("Domain")[0]["id"]
    server.change(
        "Account", create={"a": {"@type": "User", "name": "alice", "domainId": domain, "credentials": credentials}}
    )
    converge(client, raw, state_dir)
    assert can_log_in(server, "alice@example.com", "correct-horse-battery-9")


def test_no_secret_is_kept_readable(server: Server, client: Client, state_dir: Path) -> None:
    converge(client, [DOMAIN, account("alice")], state_dir)
    assert state_dir.stat().st_mode & 0o777 == 0o700
    for path in state_dir.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        assert b"correct-horse" not in path.read_bytes()


def test_an_open_record_of_secrets_is_refused(state_dir: Path) -> None:
    state_dir.mkdir()
    (state_dir / "secrets.json").write_text("{}")
    (state_dir / "secrets.json").chmod(0o644)
    with pytest.raises(MailsteadError, match="chmod 600"):
        State(state_dir)


# -- failures --------------------------------------------------------------------------------------------------


def test_a_refusal_stops_what_depends_on_it_and_says_what_was_done(
    server: Server, client: Client, state_dir: Path
) -> None:
    raw = [
        DOMAIN,
        {"type": "Domain", "match": {"name": "bad domain"}},
        account("alice"),
        {"type": "SpamPyzor", "properties": {"enable": False}},
    ]
    with pytest.raises(ApplyError) as caught:
        converge(client, raw, state_dir)
    refused, rest = caught.value.problems
    assert (refused.code, refused.where) == ("MS-SRV-020", "Domain name=bad domain/name")
    assert "Invalid domain name" in refused.what
    assert rest.code == "MS-SRV-025"
    assert "1 further" in rest.what
    assert sorted(caught.value.applied) == ["create Domain name=example.com", "update SpamPyzor"]
    assert server.objects("Account") == []
    # The rest of the way, with the mistake mended: the reload that is still owed is made as well.
    raw.pop(1)
    _plan, outcome = converge(client, raw, state_dir)
    assert outcome.actions == ["ReloadSettings"]
    assert settled(server, client, raw, state_dir)


@pytest.mark.parametrize(
    ("one", "code", "words"),
    [
        (
            {"type": "SieveSystemScript", "match": {"name": "x"}, "properties": {"isActive": True}},
            "MS-SRV-020",
            "contents",
        ),
        ({"type": "MtaRoute", "match": {"name": "x"}, "properties": {"@type": "Relay"}}, "MS-SRV-020", "Required"),
        (
            {"type": "Domain", "match": {"name": "example.org"}, "properties": {"aliases": ["example.com"]}},
            "MS-SRV-021",
            "primaryKeyViolation",
        ),
        (
            {
                "type": "DkimSignature",
                "match": {"@type": "Dkim1Ed25519Sha256", "domainId": "zzzz", "selector": "s"},
                "properties": {"privateKey": {"@type": "File", "filePath": "/nowhere"}},
            },
            "MS-SRV-020",
            "No such file",
        ),
        ({**account("x", "abc"), "match": {"@type": "User", "name": "x", "domainId": "b"}}, "MS-SRV-020", "at least 8"),
        ({"type": "MailingList", "match": {"name": "x", "domainId": "zzzz"}}, "MS-SRV-023", "Domain zzzz"),
    ],
)
def test_refusals_of_the_server_keep_its_words(
    one: dict[str, Any], code: str, words: str, server: Server, client: Client, state_dir: Path
) -> None:
    converge(client, [DOMAIN], state_dir)
    with pytest.raises(ApplyError) as caught:
        converge(client, [one], state_dir)
    problem = caught.value.problems[0]
    assert problem.code == code
    assert words in problem.what or words in problem.where
    assert problem.fix


def test_what_is_still_linked_stays_and_is_explained(server: Server, client: Client, state_dir: Path) -> None:
    converge(client, [DOMAIN, account("alice")], state_dir)
    with pytest.raises(ApplyError, match="used by Account") as caught:
        converge(client, [{"type": "Domain", "match": {"name": "example.com"}, "state": "absent"}], state_dir)
    assert caught.value.problems[0].code == "MS-SRV-022"
    gone = [
        {"type": t, "match": {"name": n}, "state": "absent"}
        for t, n in (("Domain", "example.com"), ("Account", "alice"))
    ]
    converge(client, gone, state_dir)
    assert server.objects("Domain") == []


def test_a_reload_that_fails_is_made_good_later(server: Server, client: Client, state_dir: Path) -> None:
    """Here the Pyzor host does not resolve, and the server reloads nothing at all."""
    raw: list[Any] = [{"type": "MtaSts", "properties": {"mode": "enforce"}}]
    with pytest.raises(ApplyError, match="SpamPyzor") as caught:
        converge(client, raw, state_dir)
    assert caught.value.problems[0].code == "MS-SRV-026"
    assert "enable to false" in caught.value.problems[0].fix
    server.change("SpamPyzor", update={"singleton": {"enable": False}})
    plan, outcome = converge(client, raw, state_dir)
    assert plan.steps == ()
    assert outcome.actions == ["ReloadSettings"]
    assert settled(server, client, raw, state_dir)


def test_an_answer_that_forgets_an_object_is_an_error(server: Server, client: Client, state_dir: Path) -> None:
    bodies: list[Any] = [{}, {"created": {"n0": None}}, {"created": {"n0": {}}}, {"notCreated": []}]
    for body in bodies:
        answer = {"methodResponses": [["x:Domain/set", body, "c0"]]}

        def fault(_n: int, _m: str, _p: str, sent: Any, answer: Any = answer) -> Reply | None:
            writes = sent and sent["methodCalls"][0][0].endswith("/set")
            return Reply(200, json.dumps(answer).encode()) if writes else None

        server.fault = fault
        with pytest.raises(ApplyError) as caught:
            converge(client, [DOMAIN], state_dir)
        assert caught.value.problems[0].code == "MS-SRV-006"


@pytest.mark.parametrize("kind", [CLOSE, AFTER])
def test_a_break_at_any_request_is_made_good_by_the_next_run(
    kind: str, start: Callable[..., Server], tmp_path: Path
) -> None:
    """The connection breaks before or after the server's work, at each request in turn; then a run succeeds."""
    raw = [
        DOMAIN,
        account("alice"),
        {"type": "SpamPyzor", "properties": {"enable": False}},
        {"type": "MtaSts", "properties": {"mode": "enforce"}},
        {"type": "NetworkListener", "match": {"name": "sieve"}, "state": "absent"},
    ]
    number, broken = 0, True
    while broken:
        server = start()
        directory = tmp_path / str(number)
        first = Client(server.url, basic(*RECOVERY), 5)
        server.fault = lambda n, _m, _p, _b, at=number: kind if n >= at else None  # type: ignore[misc]
        try:
            converge(first, raw, directory)
            broken = False
        except MailsteadError:
            pass
        first.close()
        server.fault = lambda *_: None
        reloads = [c for c in server.calls if c[0] == "x:Action/set"]
        second = Client(server.url, basic(*RECOVERY), 5)
        _plan, outcome = converge(second, raw, directory)
        assert settled(server, second, raw, directory)
        assert can_log_in(server, "alice@example.com", "correct-horse-battery-9")
        assert reloads or outcome.actions == ["ReloadSettings"], f"nothing was reloaded after a break at {number}"
        second.close()
        number += 1
    assert number > 5


# -- properties ------------------------------------------------------------------------------------------------

CHOICES: dict[str, st.SearchStrategy[Any]] = {
    "Domain": st.fixed_dictionaries(
        {},
        optional={
            "isEnabled": st.booleans(),
            "catchAllAddress": st.none() | st.just("Alice@example.com"),
            "subAddressing": st.sampled_from(
                [{"@type": "Enabled"}, {"@type": "Disabled"}, {"@type": "Custom", "customRule": {"else": "false"}}]
            ),
            "aliases": st.lists(st.sampled_from(["a.test", "b.test"]), unique=True),
            "description": st.none() | st.sampled_from(["one", " two "]),
        },
    ),
    "MtaSts": st.fixed_dictionaries(
        {},
        optional={
            "mode": st.sampled_from(["testing", "enforce", "disable"]),
            "maxAge": st.sampled_from(["1d", "7d", 86400000]),
            "mxHosts": st.lists(st.sampled_from(["mail.example.com", "mx2.example.com"]), unique=True),
        },
    ),
    "Security": st.fixed_dictionaries(
        {},
        optional={
            "authBanPeriod": st.none() | st.sampled_from(["1d", "2h"]),
            "authBanRate": st.none() | st.just({"count": 7, "period": "1h"}),
            "scanBanPaths": st.lists(st.sampled_from(["*.php*", "/x"]), unique=True),
        },
    ),
    "SystemSettings": st.fixed_dictionaries(
        {"defaultDomainId": st.just("ref:Domain/name=example.com"), "defaultHostname": st.just("Mail.Example.com")},
        optional={
            "mailExchangers": st.lists(
                st.fixed_dictionaries(
                    {"hostname": st.sampled_from(["a.example.com", "b.example.com"])},
                    optional={"priority": st.integers(1, 3)},
                ),
                max_size=2,
            ),
            "proxyTrustedNetworks": st.lists(
                st.sampled_from(["10.0.0.1/32", "10.0.0.0/8", "2001:db8::1"]), unique=True
            ),
        },
    ),
    "Asn": st.sampled_from([{"@type": "Disabled"}, {"@type": "Dns", "zoneIpV4": "a.test", "zoneIpV6": "b.test"}]),
    "MtaRoute": st.fixed_dictionaries(
        {"@type": st.just("Relay"), "address": st.sampled_from(["10.0.0.9", "smtp.example.net"])},
        optional={"port": st.integers(1, 9), "implicitTls": st.booleans(), "description": st.none() | st.just("d")},
    ),
    "NetworkListener": st.fixed_dictionaries(
        {"bind": st.just(["[::]:25"]), "protocol": st.just("smtp")},
        optional={"tlsImplicit": st.booleans(), "overrideProxyTrustedNetworks": st.sampled_from([[], ["10.0.0.9/32"]])},
    ),
    "Tracer": st.fixed_dictionaries({}, optional={"level": st.sampled_from(["info", "debug"]), "ansi": st.booleans()}),
    "Account": st.fixed_dictionaries(
        {},
        optional={
            "description": st.none() | st.just("x"),
            "quotas": st.sampled_from([{}, {"maxDiskQuota": 5}]),
            "roles": st.sampled_from([{"@type": "User"}, {"@type": "Admin"}]),
            "aliases": st.lists(st.sampled_from(["info", "Sales"]), unique=True).map(
                lambda names: [{"name": n, "domainId": "ref:Domain/name=example.com"} for n in names]
            ),
        },
    ),
}
MATCH: dict[str, dict[str, Any]] = {
    "Domain": {"name": "example.com"},
    "MtaRoute": {"name": "edge"},
    "NetworkListener": {"name": "smtp"},
    "Tracer": {"@type": "Stdout"},
    "Account": {"@type": "User", "name": "alice", "domainId": "ref:Domain/name=example.com"},
}


@st.composite
def wishes(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A list of wanted objects; the domain is always in it because others refer to it."""
    types = ["Domain", *draw(st.lists(st.sampled_from(sorted(set(CHOICES) - {"Domain"})), unique=True, max_size=4))]
    out = []
    for type_ in draw(st.permutations(types)):
        one = {"type": type_, "properties": draw(CHOICES[type_])}
        if type_ in MATCH:
            one["match"] = MATCH[type_]
        if type_ == "Domain":
            one["properties"] = {**DOMAIN["properties"], **one["properties"]}
        if type_ == "Account":
            one["properties"] = {**one["properties"], "credentials": [{"@type": "Password"}]}
            one["secrets"] = {
                "/credentials/0/secret": draw(st.sampled_from(["correct-horse-battery-9", "another-horse-battery-8"]))
            }
        out.append(one)
    return out


@settings(max_examples=40, deadline=None)
@given(st.lists(wishes(), min_size=1, max_size=3))
def test_applied_twice_means_no_write(
    tmp_path_factory: pytest.TempPathFactory, history: list[list[dict[str, Any]]]
) -> None:
    """Whatever was there before: after one run the next one writes nothing, and check mode saw all of it coming."""
    directory = tmp_path_factory.mktemp("state")
    server = Server(tmp_path_factory.mktemp("etc"))
    client = Client(server.url, basic(*RECOVERY), 5)
    server.change("SpamPyzor", update={"singleton": {"enable": False}})
    server.change("Domain", create={a: {"name": n, "dkimManagement": MANUAL} for a, n in (("x", "other.test"),)})
    try:
        for raw in history:
            given_raw = copy.deepcopy(raw)
            state = State(directory)
            predicted = look(client, raw, state, [])
            plan, _outcome = converge(client, raw, directory)
            assert show.diff(predicted) == show.diff(plan)
            assert raw == given_raw
            assert settled(server, client, raw, directory)
    finally:
        client.close()
        server.close()
