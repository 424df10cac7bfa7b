# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server of a service: whatever its applications are, none sends as another, and every try goes to a smarthost.

Expressions and scripts are evaluated with the language of the stand-in, which was made from what the server answers.
"""

from __future__ import annotations

import dataclasses
import email
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import Problem
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import (
    ApplicationPlan,
    SmarthostPlan,
    SubmissionPlan,
)
from ansible_collections.mailstead.stack.plugins.module_utils.plan.server_parts import ServerOptions, fill_secrets
from ansible_collections.mailstead.stack.plugins.module_utils.plan.submission_server import (
    BINDING,
    EXPIRY,
    FAILURES,
    NO_MAIL,
    NO_MAIL_SCRIPT,
    RETRIES,
    binding_script,
    everybody,
    submission_objects,
    tries,
)
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.apply import apply
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.client import Client, basic
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.desired import read_objects
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.engine import make_plan, needed_types
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.state import State
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.standin.server import expressions, sieve
from lab.standin.server.expression_functions import to_bool
from tests.unit.examples import HOSTS, HOSTS_D, SERVICE_D, plan_d
from tests.unit.plan.test_server import PARSED, check_object
from tests.unit.stalwart.server import RECOVERY, SCHEMA, Server

CI = {
    "addresses": ["*@ci.example.com"],
    "smarthosts": ["smtp2go"],
    "bounces": "ops@ci.example.com",
    "limits": {"per_sender": "20/m", "max_size": "1MiB"},
}
SENDERS = {
    "billing": ["noreply@example.com"],
    "ci": CI,
    "both": {
        "addresses": ["shop@example.com", "*@ci.example.com", "shop+news@example.com"],
        "smarthosts": ["smtp2go"],
    },
}
HOOK = {"webhook": "https://hooks.example.org/mail", "secret": "{{ v }}"}
PLAN = plan_d(senders=SENDERS, bounces=HOOK).submissions[0]
KEYS = [
    {"domain": d, "algorithm": a, "selector": f"notify-202611{a[0]}", "service": "notify"}
    for d in ("example.com", "ci.example.com")
    for a in ("rsa-2048", "ed25519")
]
LANGUAGE = expressions.Language(
    frozenset(e["name"] for e in SCHEMA["enums"]["ExpressionVariable"]),
    frozenset(e["name"] for e in SCHEMA["enums"]["ExpressionConstant"]),
)
Objects = list[dict[str, Any]]


def objects(plan: SubmissionPlan = PLAN) -> Objects:
    return submission_objects(plan, KEYS)


def only(type_: str, plan: SubmissionPlan = PLAN, **match: Any) -> dict[str, Any]:
    found = [o for o in objects(plan) if o["type"] == type_ and match.items() <= o.get("match", {}).items()]
    assert len(found) == 1, found
    return found[0]


def value(expression: dict[str, Any], **variables: Any) -> Any:
    """What the server makes of an expression; variables that are not given are empty."""
    numbered = {str(number): branch for number, branch in enumerate(expression["match"])}
    block = expressions.IfBlock({**expression, "match": numbered}, LANGUAGE)

    def call(name: str, _values: list[Any]) -> Any:
        raise AssertionError(f"{name} asks the server")

    return block.evaluate(lambda name: variables.get(name, ""), call)


def of(type_: str, key: str, plan: SubmissionPlan = PLAN, **variables: Any) -> Any:
    return value(only(type_, plan)["properties"][key], **variables)


def may_send(login: str, sender: str, plan: SubmissionPlan = PLAN) -> bool:
    return to_bool(of("MtaStageMail", "isSenderAllowed", plan, authenticated_as=login, sender=sender))


def refusal(login: str, headers: str, envelope: str, plan: SubmissionPlan = PLAN) -> str:
    """What the script says to a message; nothing when it passes."""
    message = email.message_from_string(f"{headers}\nSubject: x\n\nbody\n")
    context = sieve.Context(message, 100, envelope, ["to@example.org"], {"env.authenticated_as": login})
    outcome = sieve.run(sieve.compile_script(binding_script(plan)), context)
    return outcome.reply if outcome.action == "reject" else ""


# -- against the schema ------------------------------------------------------------------------------------------------

VARIANTS = [
    PLAN,
    plan_d().submissions[0],
    plan_d(smarthosts=[{"provider": "postmark", "secret": "{{ s }}"}], bounces="postmaster@example.com", senders={
        "a": "noreply@example.com"}).submissions[0],
    plan_d(hosts={**HOSTS_D, "vps1": HOSTS["vps1"]}, smarthosts=["edge", SERVICE_D["smarthosts"][1]]).submissions[0],
]  # fmt: skip


@pytest.mark.parametrize("plan", VARIANTS)
def test_every_field_exists_and_may_be_written(plan: SubmissionPlan) -> None:
    for one in objects(plan):
        name = f"x:{one['type']}"
        kind = SCHEMA["objects"][name]["type"]
        assert ("match" in one) == (kind == "object"), one
        partial = one.get("state") == "absent" or not one.get("create", True)
        check_object(name, {**one.get("match", {}), **one.get("properties", {})}, partial, one["type"])


@pytest.mark.parametrize("plan", VARIANTS)
def test_the_engine_finds_no_mistake(plan: SubmissionPlan) -> None:
    wanted = objects(plan)
    references = {r for o in wanted for r in o.get("secrets", {}).values()}
    raw = fill_secrets(wanted, {r: f"the value of {r}" for r in references})
    problems: list[Problem] = []
    assert len(read_objects(PARSED, raw, problems)) == len(raw)
    assert problems == []


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.close()


def test_a_fresh_server_takes_it_all_and_then_needs_nothing(server: Server, tmp_path: Path) -> None:
    client = Client(server.url, basic(*RECOVERY), 10)
    directory = tmp_path / "state"
    directory.mkdir(mode=0o700)
    # Keys and certificates are files of the server's host; this one has none.
    wanted = submission_objects(PLAN, (), ServerOptions(certificate=""))
    values = {r: "correct-horse-battery" for o in wanted for r in o.get("secrets", {}).values()}
    raw = fill_secrets(wanted, values)
    for expected in (True, False):
        state = State(directory)
        server.forget()
        observed = client.get_all(*needed_types(PARSED, raw))
        plan = make_plan(PARSED, raw, observed, state.remembered)
        apply(client, plan, state)
        assert bool(plan.steps) == expected, [s.label for s in plan.steps]
        assert bool(server.sets) == expected
    client.close()
    assert {o["name"] for o in server.objects("NetworkListener")} == {"submissions", "submission", "http"}


# -- who may send as whom ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("login", "sender", "allowed"),
    [
        ("billing", "noreply@example.com", True),
        ("billing", "other@example.com", False),
        ("billing", "noreply@ci.example.com", False),
        ("billing", "", False),
        ("ci", "anything@ci.example.com", True),
        ("ci", "x@sub.ci.example.com", False),
        ("ci", "x@xci.example.com", False),
        ("ci", "x@ciXexample.com", False),
        ("ci", "a@b@ci.example.com", False),
        ("ci", "noreply@example.com", False),
        ("both", "shop+news@example.com", True),
        ("both", "shop+other@example.com", False),
        ("mailstead-probe", "mailstead-probe@example.com", True),
        ("mailstead-probe", "noreply@example.com", False),
        ("left", "noreply@example.com", False),
    ],
)
def test_an_envelope_sender_is_the_applications(login: str, sender: str, allowed: bool) -> None:
    assert may_send(f"{login}@notify.example.com", sender) is allowed


def test_a_login_counts_only_with_its_domain() -> None:
    assert not may_send("billing@example.com", "noreply@example.com") and not may_send("", "noreply@example.com")


@pytest.mark.parametrize(
    ("login", "headers", "passes"),
    [
        ("billing", "From: noreply@example.com", True),
        ("billing", "From: Billing <NoReply@Example.com>", True),
        ("billing", "From: ceo@example.com", False),
        ("billing", "From: noreply@example.com\nFrom: ceo@example.com", False),
        ("billing", "From: noreply@example.com, ceo@example.com", False),
        ("billing", "To: x@example.org", False),
        ("billing", "From: noreply@example.com\nSender: noreply@example.com", True),
        ("billing", "From: noreply@example.com\nSender: ceo@example.com", False),
        ("billing", "From: noreply@example.com\nSender: noreply@example.com\nSender: ceo@example.com", False),
        ("billing", "From: noreply@example.com\nSender: ceo@example.com\nSender: noreply@example.com", False),
        ("billing", "From: noreply@example.com\nSender: noreply@example.com, ceo@example.com", False),
        ("ci", "From: deploy@ci.example.com", True),
        ("ci", "From: deploy@example.com", False),
        ("left", "From: noreply@example.com", False),
    ],
)
def test_from_and_sender_are_the_applications(login: str, headers: str, passes: bool) -> None:
    envelope = "ops@ci.example.com" if login == "ci" else "noreply@example.com"
    said = refusal(f"{login}@notify.example.com", headers, envelope)
    assert (said == "") is passes, said
    assert passes or said.startswith("550 5.7.1 ")


def test_of_several_domains_from_is_in_the_one_that_signs() -> None:
    login = "both@notify.example.com"
    assert refusal(login, "From: shop@example.com", "shop@example.com") == ""
    assert refusal(login, "From: x@ci.example.com", "y@ci.example.com") == ""
    assert refusal(login, "From: shop@example.com", "y@ci.example.com")
    assert refusal(login, "From: x@ci.example.com", "shop@example.com")


NAMES = st.sampled_from(["a", "b", "c"])
PATTERNS = st.lists(
    st.tuples(st.sampled_from(["*", "x", "y.z"]), st.sampled_from(["example.com", "ci.example.com", "e.com"])).map(
        "@".join
    ),
    min_size=1,
    max_size=3,
)
ADDRESSES = st.tuples(
    st.sampled_from(["x", "y.z", "yaz", "w"]),
    st.sampled_from(["example.com", "ci.example.com", "e.com", "example.org", "xexample.com", "a.e.com"]),
).map("@".join)


def with_applications(senders: dict[str, list[str]]) -> SubmissionPlan:
    applications = tuple(
        dataclasses.replace(
            PLAN.applications[0], name=n, login=f"{n}@notify.example.com", senders=tuple(sorted(set(patterns)))
        )
        for n, patterns in senders.items()
    )
    return dataclasses.replace(PLAN, applications=applications, domains=("ci.example.com", "e.com", "example.com"))


def fits(address: str, patterns: list[str]) -> bool:
    return address in patterns or f"*@{address.rpartition('@')[2]}" in patterns


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, PATTERNS, min_size=1), NAMES, ADDRESSES, ADDRESSES)
def test_no_application_sends_as_what_only_another_may(
    senders: dict[str, list[str]], name: str, envelope: str, header: str
) -> None:
    plan = with_applications(senders)
    mine, login = senders.get(name, []), f"{name}@notify.example.com"
    assert may_send(login, envelope, plan) == fits(envelope, mine)
    passes = refusal(login, f"From: {header}", envelope, plan) == ""
    domains = {p.rpartition("@")[2] for p in mine}
    signed = len(domains) == 1 or header.rpartition("@")[2] == envelope.rpartition("@")[2]
    assert passes == (fits(header, mine) and signed)


def test_accounts_of_applications_that_went_may_not_send() -> None:
    """The account stays on the server; what it may do does not."""
    smaller = dataclasses.replace(PLAN, applications=PLAN.applications[1:])
    gone = next(a.login for a in PLAN.applications if a not in smaller.applications)
    assert not may_send(gone, "noreply@example.com", smaller)
    assert refusal(gone, "From: noreply@example.com", "noreply@example.com", smaller)


# -- the session -------------------------------------------------------------------------------------------------------


def test_nobody_gets_in_without_tls_and_a_login() -> None:
    auth = only("MtaStageAuth")["properties"]
    assert to_bool(value(auth["require"])) and not to_bool(value(auth["mustMatchSender"]))
    assert not value(auth["saslMechanisms"], is_tls=0) or not to_bool(value(auth["saslMechanisms"], is_tls=0))
    assert [c.name for c in value(auth["saslMechanisms"], is_tls=1)] == ["plain", "login"]
    closed = {o["match"]["name"] for o in objects() if o["type"] == "NetworkListener" and o.get("state") == "absent"}
    assert closed == {"smtp", "imaps", "pop3s", "sieve", "https"}
    assert "overrideProxyTrustedNetworks" in only("NetworkListener", name="submissions")["properties"]
    assert only("NetworkListener", name="submissions")["properties"]["overrideProxyTrustedNetworks"] == []


def test_a_return_path_replaces_the_sender_and_the_right_domain_signs() -> None:
    ci, billing = "ci@notify.example.com", "billing@notify.example.com"
    assert of("MtaStageMail", "rewrite", authenticated_as=ci) == "ops@ci.example.com"
    assert not to_bool(of("MtaStageMail", "rewrite", authenticated_as=billing))
    returned = dataclasses.replace(PLAN.applications[0], return_path="ops@ci.example.com")
    foreign = dataclasses.replace(PLAN, applications=(returned,))
    signs = {"authenticated_as": returned.login, "sender_domain": "ci.example.com"}
    assert of("SenderAuth", "dkimSignDomain", foreign, **signs) == returned.domains[0]
    assert of("SenderAuth", "dkimSignDomain", authenticated_as=billing, sender_domain="example.com") == "example.com"
    assert not to_bool(of("SenderAuth", "dkimSignDomain", sender_domain="example.com"))


def test_each_application_has_its_own_size() -> None:
    assert of("MtaStageData", "maxMessageSize", authenticated_as="ci@notify.example.com") == 1024**2
    assert of("MtaStageData", "maxMessageSize", authenticated_as="billing@notify.example.com") == 10 * 1024**2
    # What is announced before the login.
    assert of("MtaStageData", "maxMessageSize") == PLAN.max_size
    assert of("MtaStageData", "maxMessages") >= 100


def test_each_application_has_its_own_rate_and_the_servers_own_are_off() -> None:
    found = [o for o in objects() if o["type"] == "MtaInboundThrottle"]
    theirs = [o for o in found if o.get("create") is False]
    assert {o["match"]["description"] for o in theirs} == {"Sender IP throttle", "Sender address to recipient throttle"}
    assert all(o["properties"] == {"enable": False} for o in theirs)
    ours = {o["match"]["description"].rpartition(" ")[2]: o["properties"] for o in found if o not in theirs}
    assert set(ours) == {a.name for a in everybody(PLAN)}
    assert (ours["ci"]["rate"], ours["ci"]["key"]) == ({"count": 20, "period": "60s"}, ["authenticatedAs"])
    for name, throttle in ours.items():
        assert throttle["match"]["match"] == []
        counted = [a.name for a in everybody(PLAN) if to_bool(value(throttle["match"], authenticated_as=a.login))]
        assert counted == [name]
    free = dataclasses.replace(PLAN, applications=(dataclasses.replace(PLAN.applications[0], rate=0),), probe=None)
    (one,) = [o for o in objects(free) if o["type"] == "MtaInboundThrottle" and o.get("create") is not False]
    assert one["state"] == "absent"


def test_no_mail_goes_to_logins_and_none_stays_here() -> None:
    assert of("MtaStageRcpt", "script", rcpt_domain="notify.example.com") == NO_MAIL
    assert not to_bool(of("MtaStageRcpt", "script", rcpt_domain="example.com"))
    assert to_bool(value({"match": [], "else": "true"}))
    relaying = {o["match"]["name"]: o["properties"]["allowRelaying"] for o in objects() if o["type"] == "Domain"}
    assert relaying == {"notify.example.com": False, "example.com": True, "ci.example.com": True}
    outbound = repr(only("MtaOutboundStrategy"))
    assert "'local'" not in outbound and "is_local" not in outbound
    # Without it a login such as `billing` would be taken for one of another domain.
    assert only("SystemSettings")["properties"]["defaultDomainId"] == "ref:Domain/name=notify.example.com"


def test_every_message_is_looked_at_and_completed() -> None:
    stage = only("MtaStageData")["properties"]
    assert value(stage["script"]) == BINDING
    assert to_bool(value(stage["addDateHeader"])) and to_bool(value(stage["addMessageIdHeader"]))
    assert not to_bool(value(stage["enableSpamFilter"]))
    for key in ("vrfy", "expn"):
        assert not to_bool(of("MtaExtensions", key))


def test_reports_bear_the_name_of_the_domain_that_was_sent_as() -> None:
    assert of("DsnReportSettings", "fromAddress", sender_domain="ci.example.com") == "mailer-daemon@ci.example.com"
    assert of("DsnReportSettings", "dkimSignDomain", sender_domain="ci.example.com") == "ci.example.com"
    assert only("DmarcReportSettings")["properties"]["aggregateSendFrequency"]["else"] == "disable"


def test_keys_of_others_do_not_sign() -> None:
    other = [{**KEYS[0], "service": "second"}, {**KEYS[1], "service": ""}, {**KEYS[2], "domain": "example.net"}]
    found = [o for o in submission_objects(PLAN, [*KEYS, *other]) if o["type"] == "DkimSignature"]
    assert len(found) == len(KEYS)


# -- out ---------------------------------------------------------------------------------------------------------------


def next_smarthost(plan: SubmissionPlan = PLAN, **variables: Any) -> str:
    known = {"sender": "noreply@example.com", "source": "authenticated", "size": 100, "retry_num": 0}
    return str(of("MtaOutboundStrategy", "route", plan, **{**known, **variables}))


def test_the_next_try_goes_to_the_next_smarthost() -> None:
    found = [next_smarthost(retry_num=n) for n in range(5)]
    assert found == ["1-cloudflare_email_sending", "2-smtp2go"] * 2 + ["1-cloudflare_email_sending"]
    # It has smarthosts of its own, and the queue knows it by its return path.
    assert {next_smarthost(sender="ops@ci.example.com", retry_num=n) for n in range(5)} == {"2-smtp2go"}


def test_what_is_too_large_for_one_goes_to_another() -> None:
    assert {next_smarthost(size=6 * 1024**2, retry_num=n) for n in range(4)} == {"2-smtp2go"}


def test_reports_try_the_last_smarthost_first() -> None:
    found = [next_smarthost(sender="", source="dsn", retry_num=n) for n in range(3)]
    assert found == ["2-smtp2go", "1-cloudflare_email_sending", "2-smtp2go"]


def smarthosts(count: int, sizes: list[int]) -> tuple[SmarthostPlan, ...]:
    first = PLAN.smarthosts[0]
    return tuple(dataclasses.replace(first, id=f"{n}-x", max_size=sizes[n]) for n in range(count))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 4),
    st.lists(st.sampled_from([0, 1000, 2000]), min_size=4, max_size=4),
    st.permutations(range(4)),
    st.integers(1, 4),
    st.integers(0, tries() - 1),
    st.sampled_from([500, 1500, 2500]),
    st.booleans(),
)
def test_every_try_goes_to_a_smarthost_of_the_application_in_turn(
    count: int, sizes: list[int], order: list[int], own: int, retry: int, size: int, all_of_them: bool
) -> None:
    hosts = smarthosts(count, sizes)
    chosen = [hosts[n] for n in order if n < count][:own]
    ids = tuple(h.id for h in (hosts if all_of_them else chosen))
    application = dataclasses.replace(PLAN.applications[0], smarthosts=ids, return_path="a@example.com")
    plan = dataclasses.replace(PLAN, smarthosts=hosts, applications=(application,))
    mine = [h for h in hosts if h.id in ids] if all_of_them else chosen
    able = [h for h in mine if not h.max_size or h.max_size >= size]
    found = next_smarthost(plan, sender="a@example.com", size=size, retry_num=retry)
    if able:
        assert found == able[retry % len(able)].id
    else:
        # No smarthost takes it, and it was refused at the door; wherever it would go, it is one of the application's.
        assert found in ids


def test_the_first_waits_are_short_and_all_tries_are_counted() -> None:
    schedule = only("MtaDeliverySchedule")["properties"]
    waits = [int(one["duration"].rstrip("s")) for one in schedule["retry"]["intervals"]]
    assert waits == list(RETRIES) == sorted(waits) and waits[0] <= 10
    assert tries([10, 20], 30) == 3 and tries([10], 95) == 11
    assert sum(waits[:-1]) + waits[-1] * (tries() - len(waits)) >= EXPIRY
    assert of("MtaOutboundStrategy", "schedule") == only("MtaDeliverySchedule")["match"]["name"]


def test_smarthosts_are_spoken_to_with_verified_tls_and_a_login() -> None:
    cloudflare = only("MtaRoute", name="1-cloudflare_email_sending")
    assert cloudflare["properties"]["implicitTls"] is True and cloudflare["properties"]["allowInvalidCerts"] is False
    assert cloudflare["properties"]["authUsername"] == "api_token"
    strategy = only("MtaTlsStrategy")
    assert strategy["properties"]["startTls"] == "require" and strategy["properties"]["allowInvalidCerts"] is False
    assert of("MtaOutboundStrategy", "tls", retry_num=3, last_error="tls") == strategy["match"]["name"]
    token = only("MtaRoute", VARIANTS[2])
    assert "authUsername" not in token["properties"]
    assert token["secrets"]["/authUsername"] == token["secrets"]["/authSecret/secret"]


def test_a_program_is_told_of_what_came_back_and_no_longer_when_it_is_gone() -> None:
    hook = only("WebHook")
    assert (hook["properties"]["url"], hook["properties"]["events"]) == (HOOK["webhook"], list(FAILURES))
    assert hook["secrets"] == {"/signatureKey/secret": "mail_submission[0].bounces.secret"}
    moved = only("WebHook", dataclasses.replace(PLAN, webhook="https://new.example.org/", webhook_secret=""))
    assert moved["match"] == hook["match"] and moved["properties"]["signatureKey"] == {"@type": "None"}
    assert only("WebHook", VARIANTS[1])["state"] == "absent"
    known = {e["name"] for e in SCHEMA["enums"]["EventType"]}
    assert set(FAILURES) <= known


def test_one_application_with_a_wrong_password_does_not_shut_out_those_behind_the_same_tunnel() -> None:
    connector = only("AllowedIp", address=PLAN.tunnel_address)
    assert connector.get("state") != "absent"
    assert only("AllowedIp", dataclasses.replace(PLAN, tunnel=None), address=PLAN.tunnel_address)["state"] == "absent"


def test_nothing_is_there_twice() -> None:
    identities = [repr((o["type"], o.get("match"))) for o in objects()]
    assert len(set(identities)) == len(identities)
    assert isinstance(everybody(PLAN)[-1], ApplicationPlan)


def test_the_page_for_applications_has_the_servers_own_words() -> None:
    page = (Path(__file__).parents[3] / "docs/sending-applications.md").read_text(encoding="utf-8")
    quoted = {q.rstrip(" …") for q in re.findall(r"`(550 5\.7\.1 [^`]*)`", page)} - {
        "550 5.7.1 Sender address not allowed"
    }
    said = re.findall(r'reject "(.*?)"', binding_script(PLAN) + NO_MAIL_SCRIPT)
    assert quoted and all(any(one.startswith(q) for one in said) for q in quoted), quoted
    # A login that was left behind by an application is told nothing that anybody could do.
    unsaid = {one for one in said if not any(one.startswith(q) for q in quoted)}
    assert unsaid == {"550 5.7.1 This login may not send."}
