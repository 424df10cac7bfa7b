# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.schema import Schema
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.stalwart.server import SCHEMA, recordings

PARSED = Schema(SCHEMA)


def wire(schema: Schema, type_: str, value: Any, partial: bool = False) -> Any:
    problems: list[Problem] = []
    out = schema.object_wire("x:" + type_, value, type_, problems, partial)
    if problems:
        raise MailsteadError(problems)
    return out


def codes(schema: Schema, type_: str, value: Any) -> list[str]:
    with pytest.raises(MailsteadError) as caught:
        wire(schema, type_, value)
    return [p.code for p in caught.value.problems]


def test_friendly_values_become_wire_values(schema: Schema) -> None:
    assert wire(
        schema,
        "NetworkListener",
        {"name": "smtp", "bind": ["[::]:25"], "protocol": "smtp", "tlsTimeout": "1m30s", "useTls": True},
    ) == {"name": "smtp", "bind": {"[::]:25": True}, "protocol": "smtp", "tlsTimeout": 90000, "useTls": True}
    assert wire(schema, "Http", {"rateLimitAnonymous": {"count": 5, "period": "1d"}}) == {
        "rateLimitAnonymous": {"count": 5, "period": 86400000}
    }
    assert wire(schema, "Asn", {"@type": "Resource", "maxSize": "2MiB"})["maxSize"] == 2097152
    assert wire(schema, "MtaStageData", {"script": {"match": [{"if": "a", "then": "b"}], "else": "c"}}) == {
        "script": {"match": {"0": {"if": "a", "then": "b"}}, "else": "c"}
    }


def test_text_is_trimmed_and_names_are_lower_case_as_the_server_stores_them(schema: Schema) -> None:
    out = wire(schema, "Domain", {"name": " Example.COM ", "description": " As It Is "})
    assert out == {"name": "example.com", "description": "As It Is"}
    user = wire(schema, "Account", {"@type": "User", "name": "Alice", "aliases": [{"name": "Info", "domainId": "b"}]})
    assert user["name"] == "alice"
    assert user["aliases"]["0"]["name"] == "info"


@pytest.mark.parametrize(
    ("type_", "value", "expected"),
    [
        ("Domain", {"nmae": "x"}, ["MS-SRV-011"]),
        ("Domain", {"name": 3}, ["MS-SRV-012"]),
        ("Domain", {"name": None}, ["MS-SRV-012"]),
        ("Domain", {"isEnabled": "yes"}, ["MS-SRV-012"]),
        ("Domain", {"subAddressing": {"@type": "Sometimes"}}, ["MS-SRV-012"]),
        ("Domain", {"subAddressing": "Enabled"}, ["MS-SRV-012"]),
        ("Domain", {"aliases": "example.net"}, ["MS-SRV-012"]),
        ("Account", {"name": "x"}, ["MS-SRV-012"]),
        ("Account", {"@type": "User", "aliases": {"a": 1}}, ["MS-SRV-012"]),
        ("MtaRoute", {"@type": "Relay", "port": 0}, ["MS-SRV-012"]),
        ("MtaRoute", {"@type": "Relay", "port": 70000}, ["MS-SRV-012"]),
        ("MtaRoute", {"@type": "Relay", "port": -1}, ["MS-SRV-012"]),
        ("MtaRoute", {"@type": "Relay", "port": True}, ["MS-SRV-012"]),
        ("MtaRoute", {"@type": "Relay", "protocol": "ftp"}, ["MS-SRV-012"]),
        ("MtaRoute", {"@type": "Relay", "authSecret": {"@type": "Value", "secret": "s"}}, ["MS-SRV-014"]),
        ("MtaSts", {"maxAge": "a week"}, ["MS-SRV-012"]),
        ("MtaSts", {"@type": "Manual"}, ["MS-SRV-011"]),
        ("NetworkListener", {"overrideProxyTrustedNetworks": ["10.0.0.300"]}, ["MS-SRV-012"]),
        ("Http", {"responseHeaders": ["a"]}, ["MS-SRV-012"]),
        ("MtaStageData", {"script": {"match": "x", "else": 3}}, ["MS-SRV-012", "MS-SRV-012"]),
    ],
)
def test_every_mistake_has_a_code(schema: Schema, type_: str, value: Any, expected: list[str]) -> None:
    assert codes(schema, type_, value) == expected


def test_a_misspelt_property_gets_a_hint(schema: Schema) -> None:
    with pytest.raises(MailsteadError, match="Did you mean subAddressing"):
        wire(schema, "Domain", {"subAdressing": {"@type": "Enabled"}})


def same(schema: Schema, type_: str, key: str, want: Any, have: Any) -> bool:
    return schema.same(SCHEMA["fields"]["x:" + type_]["properties"][key]["type"], want, have)


def test_what_means_the_same_compares_equal(schema: Schema) -> None:
    assert same(schema, "NetworkListener", "overrideProxyTrustedNetworks", {"10.0.0.1/32": True}, {"10.0.0.1": True})
    assert not same(
        schema, "NetworkListener", "overrideProxyTrustedNetworks", {"10.0.0.1/31": True}, {"10.0.0.1": True}
    )
    assert same(schema, "Domain", "catchAllAddress", "Alice@Example.com", "alice@example.com")
    assert same(schema, "Domain", "catchAllAddress", None, None)
    assert not same(schema, "Domain", "catchAllAddress", None, "alice@example.com")
    assert same(schema, "Domain", "aliases", {}, None)
    assert same(schema, "MtaSts", "mxHosts", {"a": True, "b": True}, {"b": True, "a": True, "c": False})
    alias = {"name": "info", "domainId": "b"}
    shown = {**alias, "enabled": True, "description": None}
    assert same(schema, "UserAccount", "aliases", {"0": alias}, {"0": shown})
    assert not same(schema, "UserAccount", "aliases", {"0": alias}, {"0": {**shown, "enabled": False}})
    assert not same(schema, "UserAccount", "aliases", {"0": alias}, {"0": shown, "1": shown})


def test_an_expression_without_conditions_equals_the_servers_form(schema: Schema) -> None:
    assert same(schema, "MtaOutboundStrategy", "route", {"else": "'mx'"}, {"match": {}, "else": "'mx'"})


def test_a_switched_variant_is_a_difference(schema: Schema) -> None:
    assert not same(schema, "Domain", "subAddressing", {"@type": "Disabled"}, {"@type": "Enabled"})


@pytest.mark.parametrize(("label", "entry"), recordings(), ids=[label for label, _ in recordings()])
def test_every_recorded_object_equals_itself_and_is_valid(schema: Schema, label: str, entry: dict[str, Any]) -> None:
    """What the server shows, given back as the wish, is no difference (server-set and secret properties aside)."""
    body = entry["response"]
    for name, arguments, _id in body.get("methodResponses", []) if isinstance(body, dict) else []:
        if not name.endswith("/get"):
            continue
        type_ = name[2:-4]
        if any("properties" in call[1] for call in entry["request"]["methodCalls"]):
            continue
        for found in arguments["list"]:
            fields = schema.fields("x:" + type_, found.get("@type"))
            assert set(found) - {"id", "@type"} <= set(fields), label
            for key in set(found) & set(fields):
                if fields[key]["update"] != "serverSet":
                    assert schema.same(fields[key]["type"], found[key], found[key]), (label, key)


@given(st.integers(0, 50), st.integers(0, 59), st.integers(0, 59))
def test_durations_add_up(hours: int, minutes: int, seconds: int) -> None:
    text = f"{hours}h{minutes}m{seconds}s"
    assert wire(PARSED, "MtaSts", {"maxAge": text})["maxAge"] == ((hours * 60 + minutes) * 60 + seconds) * 1000


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda c: (
            st.lists(c, max_size=3)
            | st.dictionaries(st.sampled_from(["@type", "match", "else", "name", "0", "x"]), c, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_no_value_makes_it_stumble(value: Any) -> None:
    """Whatever a user writes for a property, the outcome is a wire value or a Problem."""
    for type_, key in (
        ("Domain", "subAddressing"),
        ("MtaStageData", "script"),
        ("MtaSts", "mxHosts"),
        ("Http", "responseHeaders"),
        ("SystemSettings", "mailExchangers"),
        ("MtaSts", "maxAge"),
    ):
        problems: list[Problem] = []
        out = PARSED.object_wire("x:" + type_, {key: value}, "here", problems)
        if not problems:
            json.dumps(out)
            assert PARSED.object_same("x:" + type_, {}, {**out}) in (True, False)


def test_a_document_that_is_no_schema_is_refused() -> None:
    documents: list[Any] = [{}, [], None, {"objects": {}, "schemas": {}, "fields": {}}]
    for document in documents:
        with pytest.raises(MailsteadError, match="MS-SRV-007"):
            Schema(document)
