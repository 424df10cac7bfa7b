# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart import show
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.desired import label, parse_reference
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.engine import make_plan, needed_types
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.schema import Schema
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.steps import Plan

DOMAIN = {"id": "b", "name": "example.com", "isEnabled": True, "subAddressing": {"@type": "Enabled"}}
ROUTES = [{"id": "r1", "@type": "Mx", "name": "mx"}, {"id": "r2", "@type": "Local", "name": "local"}]
STRATEGY = {
    "id": "singleton",
    "route": {"match": {"0": {"if": "is_local_domain(rcpt_domain)", "then": "'local'"}}, "else": "'mx'"},
    "schedule": {"match": {}, "else": "'report'"},
}


def plan(schema: Schema, raw: list[Any], observed: dict[str, Any] | None = None, **more: Any) -> Plan:
    return make_plan(schema, raw, observed or {}, **more)


def problems(schema: Schema, raw: list[Any], observed: dict[str, Any] | None = None, **more: Any) -> list[str]:
    with pytest.raises(MailsteadError) as caught:
        plan(schema, raw, observed, **more)
    return [p.code for p in caught.value.problems]


def actions(made: Plan) -> list[list[str]]:
    return [[f"{s.action} {s.type}" for s in level] for level in made.levels]


# -- the smallest set ------------------------------------------------------------------------------------------


def test_what_is_there_is_left_alone(schema: Schema) -> None:
    raw = [{"type": "Domain", "match": {"name": "example.com"}, "properties": {"isEnabled": True}}]
    assert plan(schema, raw, {"Domain": [DOMAIN]}).levels == ()


def test_only_the_difference_is_sent(schema: Schema) -> None:
    raw = [
        {
            "type": "Domain",
            "match": {"name": "example.com"},
            "properties": {"isEnabled": True, "subAddressing": {"@type": "Disabled"}},
        }
    ]
    (step,) = plan(schema, raw, {"Domain": [DOMAIN]}).steps
    assert (step.action, step.id, step.body) == ("update", "b", {"subAddressing": {"@type": "Disabled"}})


def test_properties_that_are_not_named_stay(schema: Schema) -> None:
    have = {**DOMAIN, "description": "mine", "catchAllAddress": "me@example.com"}
    raw = [{"type": "Domain", "match": {"name": "example.com"}}]
    assert plan(schema, raw, {"Domain": [have]}).levels == ()


def test_a_missing_object_is_created_with_match_and_properties(schema: Schema) -> None:
    raw = [{"type": "Domain", "match": {"name": "example.com"}, "properties": {"isEnabled": False}}]
    (step,) = plan(schema, raw).steps
    assert (step.action, step.body) == ("create", {"name": "example.com", "isEnabled": False})


def test_create_false_changes_only_what_exists(schema: Schema) -> None:
    raw = [{"type": "Application", "match": {"description": "Web"}, "properties": {"enabled": False}, "create": False}]
    assert plan(schema, raw).levels == ()
    have: dict[str, Any] = {"id": "a", "description": "Web", "enabled": True}
    assert actions(plan(schema, raw, {"Application": [have]})) == [["update Application"]]


def test_a_singleton_is_updated_never_created(schema: Schema) -> None:
    """A create on a singleton would reset every property that is not in the body."""
    raw = [{"type": "MtaSts", "properties": {"mode": "enforce"}}]
    cases: list[dict[str, Any]] = [{}, {"MtaSts": []}, {"MtaSts": [{"id": "singleton", "mode": "testing"}]}]
    for observed in cases:
        (step,) = plan(schema, raw, observed).steps
        assert (step.action, step.id) == ("update", "singleton")


def test_another_variant_is_sent_complete(schema: Schema) -> None:
    raw = [{"type": "Asn", "properties": {"@type": "Disabled"}}]
    (step,) = plan(schema, raw, {"Asn": [{"id": "singleton", "@type": "Resource", "maxSize": 1}]}).steps
    assert step.body == {"@type": "Disabled"}
    raw = [
        {
            "type": "DnsResolver",
            "properties": {"@type": "Custom", "attempts": 2, "servers": [{"address": "172.29.25.1"}]},
        }
    ]
    (step,) = plan(schema, raw, {"DnsResolver": [{"id": "singleton", "@type": "System", "attempts": 2}]}).steps
    assert step.body == {"@type": "Custom", "attempts": 2, "servers": {"0": {"address": "172.29.25.1"}}}


def test_absent_removes_every_match_and_is_content_with_none(schema: Schema) -> None:
    raw = [{"type": "NetworkListener", "match": {"protocol": "pop3"}, "state": "absent"}]
    have: list[dict[str, Any]] = [{"id": i, "name": i, "protocol": "pop3", "bind": {}} for i in ("x", "y")]
    assert actions(plan(schema, raw, {"NetworkListener": have})) == [["destroy NetworkListener"] * 2]
    assert plan(schema, raw).levels == ()


def test_absent_below_something_that_does_not_exist_is_satisfied(schema: Schema) -> None:
    raw = [
        {"type": "Account", "match": {"name": "x", "domainId": "ref:Domain/name=gone.example.org"}, "state": "absent"}
    ]
    assert plan(schema, raw).levels == ()


def test_purge_removes_what_is_not_listed_and_only_of_that_type(schema: Schema) -> None:
    raw = [{"type": "Tracer", "match": {"@type": "Stdout"}, "properties": {"enable": True}}]
    have = {
        "Tracer": [{"id": "a", "@type": "Stdout", "enable": True}, {"id": "b", "@type": "Log", "path": "/x"}],
        "AllowedIp": [{"id": "c", "address": "198.18.0.1"}],
    }
    (step,) = plan(schema, raw, have, purge=["Tracer"]).steps
    assert (step.action, step.id) == ("destroy", "b")
    assert plan(schema, raw, have).levels == ()


@pytest.mark.parametrize("type_", ["Account", "Domain", "MtaSts", "Nonsense"])
def test_mail_is_never_purged(schema: Schema, type_: str) -> None:
    assert problems(schema, [], purge=[type_]) == ["MS-SRV-029"]


# -- references and order --------------------------------------------------------------------------------------

ACCOUNT: dict[str, Any] = {
    "type": "Account",
    "match": {"@type": "User", "name": "alice", "domainId": "ref:Domain/name=example.com"},
    "properties": {
        "credentials": [{"@type": "Password"}],
        "aliases": [{"name": "info", "domainId": "ref:Domain/name=example.com"}],
    },
    "secrets": {"/credentials/0/secret": "correct-horse-battery-9"},
}
NEW_DOMAIN = {"type": "Domain", "match": {"name": "example.com"}}


def test_a_reference_to_what_exists_is_its_id(schema: Schema) -> None:
    (step,) = plan(schema, [ACCOUNT], {"Domain": [DOMAIN]}).steps
    assert step.body["domainId"] == "b"
    assert step.body["aliases"]["0"]["domainId"] == "b"


@pytest.mark.parametrize("order", [[NEW_DOMAIN, ACCOUNT], [ACCOUNT, NEW_DOMAIN]])
def test_what_is_needed_comes_first_whatever_the_order(schema: Schema, order: list[Any]) -> None:
    made = plan(schema, order)
    assert actions(made) == [["create Domain"], ["create Account"]]
    assert dict(made.pending) == {"ref:Domain/name=example.com": order.index(NEW_DOMAIN)}


def test_an_alias_in_another_new_domain_waits_for_it_too(schema: Schema) -> None:
    other = {
        **ACCOUNT,
        "properties": {
            "aliases": [{"name": "x", "domainId": "ref:Domain/name=example.org"}],
            "credentials": [{"@type": "Password"}],
        },
    }
    made = plan(schema, [other, {"type": "Domain", "match": {"name": "example.org"}}], {"Domain": [DOMAIN]})
    assert actions(made) == [["create Domain"], ["create Account"]]


def test_a_dotted_key_reaches_into_objects(schema: Schema) -> None:
    file = {"@type": "File", "filePath": "/tls/chain.pem"}
    raw = [
        {
            "type": "SystemSettings",
            "properties": {"defaultCertificateId": "ref:Certificate/certificate.filePath=/tls/chain.pem"},
        }
    ]
    have = {"Certificate": [{"id": "c1", "certificate": file}], "SystemSettings": [{"id": "singleton"}]}
    (step,) = plan(schema, raw, have).steps
    assert step.body == {"defaultCertificateId": "c1"}
    new = [{"type": "Certificate", "match": {"certificate": file}, "properties": {"privateKey": file}}, *raw]
    assert actions(plan(schema, new)) == [["create Certificate"], ["update SystemSettings"]]


def test_a_reference_within_a_reference(schema: Schema) -> None:
    assert parse_reference("ref:Account/name=a,domainId=ref:Domain/name=example.com,isEnabled=x") == (
        "Account",
        {"name": "a", "domainId": "ref:Domain/name=example.com,isEnabled=x"},
    )
    raw = [
        {
            "type": "Account",
            "match": {"@type": "User", "name": "x", "domainId": "b"},
            "properties": {"memberGroupIds": ["ref:Account/name=team,domainId=ref:Domain/name=example.com"]},
        }
    ]
    have = {"Domain": [DOMAIN], "Account": [{"id": "g", "@type": "Group", "name": "team", "domainId": "b"}]}
    (step,) = plan(schema, raw, have).steps
    assert step.body["memberGroupIds"] == {"g": True}


@pytest.mark.parametrize(
    "text",
    [
        "ref:Domain/name=nowhere.org",
        "ref:Domain",
        "ref:/name=x",
        "ref:Domain/name",
        "ref:Nonsense/name=x",
        "ref:MtaSts/mode=x",
        "ref:Domain/nmae=x",
    ],
)
def test_a_reference_that_leads_nowhere_is_named(schema: Schema, text: str) -> None:
    raw = [{"type": "SystemSettings", "properties": {"defaultDomainId": text}}]
    assert problems(schema, raw, {"Domain": [DOMAIN]}) == ["MS-SRV-016"]


def test_a_reference_that_fits_several_is_refused(schema: Schema) -> None:
    raw = [{"type": "SystemSettings", "properties": {"defaultDomainId": "ref:Domain/description=x"}}]
    have = {"Domain": [{"id": i, "name": i, "description": "x"} for i in "ab"]}
    assert problems(schema, raw, have) == ["MS-SRV-016"]


def test_a_reference_to_what_is_to_be_removed_is_refused(schema: Schema) -> None:
    raw = [
        {"type": "Domain", "match": {"name": "example.com"}, "state": "absent"},
        {"type": "SystemSettings", "properties": {"defaultDomainId": "ref:Domain/name=example.com"}},
    ]
    assert problems(schema, raw, {"Domain": [DOMAIN]}) == ["MS-SRV-016"]


def test_circles_are_refused(schema: Schema) -> None:
    raw = [
        {"type": "Role", "match": {"description": a}, "properties": {"roleIds": [f"ref:Role/description={b}"]}}
        for a, b in (("x", "y"), ("y", "x"))
    ]
    assert problems(schema, raw) == ["MS-SRV-017"]
    itself = {"type": "Role", "match": {"description": "x", "memberTenantId": "ref:Role/description=x"}}
    assert "MS-SRV-016" in problems(schema, [itself]) or "MS-SRV-017" in problems(schema, [itself])


def test_removals_come_last_and_what_links_goes_before_what_is_linked(schema: Schema) -> None:
    raw = [
        {"type": "Domain", "match": {"name": "example.com"}, "state": "absent"},
        {"type": "Account", "match": {"name": "alice"}, "state": "absent"},
        {"type": "MtaSts", "properties": {"mode": "enforce"}},
    ]
    account = {"id": "a", "@type": "User", "name": "alice", "domainId": "b", "aliases": {}}
    made = plan(schema, raw, {"Domain": [DOMAIN], "Account": [account], "MtaSts": [{"id": "singleton"}]})
    assert actions(made) == [["update MtaSts"], ["destroy Account"], ["destroy Domain"]]


def test_needed_types_follow_references_and_names(schema: Schema) -> None:
    raw = [
        {"type": "SystemSettings", "properties": {"defaultCertificateId": "ref:Certificate/certificate.filePath=/x"}},
        {"type": "MtaRoute", "match": {"name": "x"}, "state": "absent"},
    ]
    types, singletons = needed_types(schema, raw, ["Tracer"])
    assert {"Certificate", "MtaRoute", "Tracer"} <= set(types)
    assert {"SystemSettings", "MtaOutboundStrategy"} <= set(singletons)


# -- mistakes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("text", "MS-SRV-012"),
        ({"type": "Domian", "match": {"name": "x"}}, "MS-SRV-010"),
        ({}, "MS-SRV-010"),
        ({"type": "Domain", "match": {"name": "x"}, "propertys": {}}, "MS-SRV-011"),
        ({"type": "Domain"}, "MS-SRV-015"),
        ({"type": "Domain", "match": {"name": "x"}, "state": "gone"}, "MS-SRV-012"),
        ({"type": "Domain", "match": {"name": "x"}, "properties": {"name": "y"}}, "MS-SRV-015"),
        ({"type": "Domain", "match": {"name": "x"}, "properties": {"createdAt": "now"}}, "MS-SRV-013"),
        ({"type": "MtaSts", "match": {"mode": "testing"}}, "MS-SRV-015"),
        ({"type": "MtaSts", "state": "absent"}, "MS-SRV-015"),
        (
            {"type": "MtaRoute", "match": {"name": "x"}, "properties": {"@type": "Relay", "address": "127.0.0.1"}},
            "MS-SRV-028",
        ),
        (
            {"type": "MtaRoute", "match": {"name": "x"}, "properties": {"@type": "Relay", "address": "::1"}},
            "MS-SRV-028",
        ),
        (
            {"type": "MtaRoute", "match": {"name": "x"}, "properties": {"@type": "Relay", "address": "localhost"}},
            "MS-SRV-028",
        ),
        ({**ACCOUNT, "secrets": {"credentials/0/secret": "x"}}, "MS-SRV-012"),
        ({**ACCOUNT, "secrets": {"/credentials/0/secret": ""}}, "MS-SRV-012"),
        ({**ACCOUNT, "secrets": {"/credentials/0/secret": "****"}}, "MS-SRV-012"),
        ({**ACCOUNT, "secrets": {"/credentials/1/secret": "x"}}, "MS-SRV-012"),
        ({**ACCOUNT, "secrets": "x"}, "MS-SRV-012"),
    ],
)
def test_mistakes_are_found_before_anything_is_sent(schema: Schema, raw: Any, code: str) -> None:
    assert problems(schema, [raw], {"Domain": [DOMAIN]}) == [code]


def test_all_mistakes_come_at_once(schema: Schema) -> None:
    raw = [
        {"type": "Domian", "match": {"name": "x"}},
        {"type": "Domain", "match": {"name": "x"}, "properties": {"isEnabled": "yes", "nmae": 1}},
        {"type": "SystemSettings", "properties": {"defaultDomainId": "ref:Domain/name=nowhere.org"}},
    ]
    assert sorted(problems(schema, raw)) == ["MS-SRV-010", "MS-SRV-011", "MS-SRV-012", "MS-SRV-016"]


def test_the_same_object_twice_is_refused(schema: Schema) -> None:
    twice = {"type": "Domain", "match": {"name": "example.com"}}
    assert problems(schema, [twice, {**twice, "properties": {"isEnabled": True}}]) == ["MS-SRV-019"]
    by_other_keys = {"type": "Domain", "match": {"isEnabled": True}}
    assert problems(schema, [twice, by_other_keys], {"Domain": [DOMAIN]}) == ["MS-SRV-019"]


def test_several_matches_are_refused(schema: Schema) -> None:
    """The server takes the same selector twice; guessing which one is meant could stop the wrong one signing."""
    raw = [{"type": "DkimSignature", "match": {"@type": "Dkim1RsaSha256", "domainId": "b", "selector": "s"}}]
    have = {"DkimSignature": [{"id": i, "@type": "Dkim1RsaSha256", "domainId": "b", "selector": "s"} for i in "xy"]}
    assert problems(schema, raw, have) == ["MS-SRV-015"]


def test_an_immutable_property_is_not_sent(schema: Schema) -> None:
    raw = [{"type": "MtaRoute", "match": {"@type": "Relay", "address": "10.0.0.9"}, "properties": {"name": "new"}}]
    have = {"MtaRoute": [{"id": "r", "@type": "Relay", "address": "10.0.0.9", "name": "old"}]}
    assert problems(schema, raw, have) == ["MS-SRV-013"]


# -- names in expressions --------------------------------------------------------------------------------------


def strategy(name: str) -> dict[str, Any]:
    return {"type": "MtaOutboundStrategy", "properties": {"route": {"match": [], "else": f"'{name}'"}}}


RELAY = {"type": "MtaRoute", "match": {"name": "edge"}, "properties": {"@type": "Relay", "address": "10.0.0.9"}}


def test_a_name_that_does_not_exist_is_refused(schema: Schema) -> None:
    have = {"MtaRoute": ROUTES, "MtaOutboundStrategy": [STRATEGY]}
    assert problems(schema, [strategy("nosuch")], have) == ["MS-SRV-018"]
    with pytest.raises(MailsteadError, match="Known: local, mx"):
        plan(schema, [strategy("nosuch")], have)


def test_a_name_that_this_run_creates_is_fine_and_created_first(schema: Schema) -> None:
    have = {"MtaRoute": ROUTES, "MtaOutboundStrategy": [STRATEGY]}
    assert actions(plan(schema, [strategy("edge"), RELAY], have)) == [
        ["create MtaRoute"],
        ["update MtaOutboundStrategy"],
    ]


def test_names_that_are_not_written_are_not_our_business(schema: Schema) -> None:
    """The server's own default names a schedule that does not exist."""
    have = {"MtaRoute": ROUTES, "MtaOutboundStrategy": [STRATEGY], "MtaDeliverySchedule": []}
    assert plan(schema, [strategy("mx")], have).steps


def test_an_object_that_an_expression_names_is_not_removed(schema: Schema) -> None:
    have = {"MtaRoute": ROUTES, "MtaOutboundStrategy": [STRATEGY]}
    gone = {"type": "MtaRoute", "match": {"name": "mx"}, "state": "absent"}
    assert problems(schema, [gone], have) == ["MS-SRV-018"]
    assert actions(plan(schema, [gone, strategy("edge"), RELAY], have))[-1] == ["destroy MtaRoute"]


def test_scripts_of_stages_are_names_too(schema: Schema) -> None:
    raw = [
        {
            "type": "MtaStageData",
            "properties": {"script": {"match": [{"if": "true", "then": "'nosuch'"}], "else": "false"}},
        }
    ]
    assert problems(schema, raw, {"SieveSystemScript": [], "MtaStageData": [{"id": "singleton"}]}) == ["MS-SRV-018"]


# -- secrets ---------------------------------------------------------------------------------------------------

SHOWN = {
    "id": "a",
    "@type": "User",
    "name": "alice",
    "domainId": "b",
    "aliases": {"0": {"name": "info", "domainId": "b", "enabled": True, "description": None}},
}
OWN_KEY = {"@type": "ApiKey", "credentialId": "b", "secret": "****"}


def account(credentials: dict[str, Any]) -> dict[str, Any]:
    return {"Domain": [DOMAIN], "Account": [{**SHOWN, "credentials": credentials}]}


def test_a_secret_that_was_written_before_is_not_written_again(schema: Schema) -> None:
    asked: list[tuple[str, ...]] = []

    def remembered(*args: str) -> bool:
        asked.append(args)
        return True

    have = account({"0": {"@type": "Password", "secret": "****"}})
    assert plan(schema, [ACCOUNT], have, remembered=remembered).levels == ()
    ((_label, pointer, id_, value),) = asked
    assert (pointer, id_, value) == ("/credentials/0/secret", "a", "correct-horse-battery-9")


def test_another_secret_is_patched_where_it_is(schema: Schema) -> None:
    (step,) = plan(schema, [ACCOUNT], account({"0": OWN_KEY, "1": {"@type": "Password", "secret": "****"}})).steps
    assert step.body == {"credentials/1/secret": "correct-horse-battery-9"}
    assert step.secrets == {"/credentials/0/secret": "correct-horse-battery-9"}


def test_an_account_without_a_password_gets_one_beside_what_it_has(schema: Schema) -> None:
    (step,) = plan(schema, [ACCOUNT], account({"0": OWN_KEY})).steps
    assert step.body == {"credentials/1": {"@type": "Password", "secret": "correct-horse-battery-9"}}


def test_a_list_with_secrets_is_never_replaced(schema: Schema) -> None:
    """The user's application passwords and API keys live in the same list."""
    made = plan(schema, [ACCOUNT], account({"0": {"@type": "Password"}, "1": OWN_KEY}), remembered=lambda *_: True)
    assert made.levels == ()


def test_the_rest_of_an_item_with_a_secret_is_compared(schema: Schema) -> None:
    raw = {
        **ACCOUNT,
        "properties": {**ACCOUNT["properties"], "credentials": [{"@type": "Password", "allowedIps": ["10.0.0.0/8"]}]},
    }
    have = account({"0": {"@type": "Password", "allowedIps": {}}})
    (step,) = plan(schema, [raw], have, remembered=lambda *_: True).steps
    assert step.body == {"credentials/0/allowedIps": {"10.0.0.0/8": True}}
    have = account({"0": {"@type": "Password", "allowedIps": {"10.0.0.0/8": True}}})
    assert plan(schema, [raw], have, remembered=lambda *_: True).levels == ()


def relay_with_password(value: str) -> dict[str, Any]:
    return {
        "type": "MtaRoute",
        "match": {"name": "smart"},
        "properties": {"@type": "Relay", "address": "smtp.example.net", "authSecret": {"@type": "Value"}},
        "secrets": {"/authSecret/secret": value},
    }


def test_a_secret_in_a_nested_object(schema: Schema) -> None:
    have: dict[str, Any] = {"id": "r", "@type": "Relay", "name": "smart", "address": "smtp.example.net"}
    (step,) = plan(schema, [relay_with_password("s3")]).steps
    assert step.body["authSecret"] == {"@type": "Value", "secret": "s3"}
    observed = {"MtaRoute": [{**have, "authSecret": {"@type": "Value", "secret": "****"}}]}
    (step,) = plan(schema, [relay_with_password("s3")], observed).steps
    assert step.body == {"authSecret/secret": "s3"}
    assert plan(schema, [relay_with_password("s3")], observed, remembered=lambda *_: True).levels == ()
    observed = {"MtaRoute": [{**have, "authSecret": {"@type": "None"}}]}
    (step,) = plan(schema, [relay_with_password("s3")], observed, remembered=lambda *_: True).steps
    assert step.body == {"authSecret": {"@type": "Value", "secret": "s3"}}


def test_no_secret_is_shown(schema: Schema) -> None:
    password = {"@type": "Password", "secret": "****"}
    for have in ({}, {"Domain": [DOMAIN]}, account({"0": password}), account({"0": OWN_KEY})):
        raw = [ACCOUNT] if have else [NEW_DOMAIN, ACCOUNT]
        made = plan(schema, raw, have)
        assert made.steps
        shown = str(show.diff(made)) + str(show.changes(made))
        assert "correct-horse" not in shown
        assert "secret" in shown


# -- what must follow ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "expected", "restart"),
    [
        (NEW_DOMAIN, (), False),
        ({"type": "MailingList", "match": {"name": "x", "domainId": "b"}}, (), False),
        ({"type": "MtaSts", "properties": {"mode": "enforce"}}, ("ReloadSettings",), False),
        ({"type": "AllowedIp", "match": {"address": "198.18.0.1"}}, ("ReloadSettings",), False),
        (
            {"type": "NetworkListener", "match": {"name": "x"}, "properties": {"bind": ["[::]:1"]}},
            ("ReloadSettings",),
            True,
        ),
        (
            {"type": "Certificate", "match": {"certificate": {"@type": "File", "filePath": "/x"}}},
            ("ReloadTlsCertificates",),
            False,
        ),
    ],
)
def test_reloads_and_restarts_follow_from_types(
    schema: Schema, raw: Any, expected: tuple[str, ...], restart: bool
) -> None:
    made = plan(schema, [raw])
    assert (made.actions, made.restart) == (expected, restart)


def test_diffs_read_like_yaml(schema: Schema) -> None:
    raw = [
        {"type": "MtaSts", "properties": {"mxHosts": ["b.example.com", "a.example.com"], "mode": "enforce"}},
        {"type": "SieveSystemScript", "match": {"name": "s"}, "properties": {"contents": "keep;\nstop;"}},
        {"type": "SystemSettings", "properties": {"mailExchangers": [{"hostname": "a.example.com", "priority": 10}]}},
    ]
    made = plan(schema, raw, {"MtaSts": [{"id": "singleton", "mode": "testing", "mxHosts": {}}]})
    sts, script, system = show.diff(made)
    assert sts["before"] == 'MtaSts:\n  mode: "testing"\n  mxHosts: {}\n'
    assert sts["after"] == 'MtaSts:\n  mode: "enforce"\n  mxHosts:\n    - "a.example.com"\n    - "b.example.com"\n'
    assert script["before"] == ""
    assert script["after"] == 'SieveSystemScript name=s:\n  contents: |\n    keep;\n    stop;\n  name: "s"\n'
    assert '    - hostname: "a.example.com"\n      priority: 10\n' in system["after"]


def test_labels_name_what_a_person_knows() -> None:
    assert label("Account", {"@type": "User", "name": "a", "domainId": "ref:Domain/name=x"}) == (
        "Account domainId=x name=a @type=User"
    )
    assert (
        label("Certificate", {"certificate": {"@type": "File", "filePath": "/x"}})
        == "Certificate certificate.filePath=/x"
    )
    assert label("MtaSts", {}) == "MtaSts"


def test_many_objects_are_not_compared_with_each_other(schema: Schema, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand mailboxes must cost a thousand comparisons, not a million."""
    compared: list[int] = []
    original = Schema.matches

    def counted(self: Schema, *args: Any) -> bool:
        compared.append(1)
        return original(self, *args)

    monkeypatch.setattr(Schema, "matches", counted)
    raw = [{"type": "AllowedIp", "match": {"address": f"198.18.{i // 250}.{i % 250}/32"}} for i in range(1000)]
    have = [{"id": f"i{i}", "address": f"198.18.{i // 250}.{i % 250}"} for i in range(1000)]
    assert plan(schema, raw, {"AllowedIp": have}).levels == ()
    assert len(compared) == 1000
