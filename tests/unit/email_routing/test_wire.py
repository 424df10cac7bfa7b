# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API's JSON: both shapes of the required records, rules that this code understands and rules it does not."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing import wire
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.model import (
    Destination,
    RequiredRecord,
    Rule,
    Settings,
)
from hypothesis import given
from hypothesis import strategies as st

MX = {"type": "MX", "name": "@", "content": "route1.mx.cloudflare.net.", "priority": 87, "ttl": 1}
SPF = {"type": "TXT", "name": "example.me", "content": '"v=spf1 include:_spf.mx.cloudflare.net ~all"', "ttl": 300}
LITERAL = {"type": "literal", "field": "to", "value": "hi@example.me"}
DROP = {"type": "drop"}


def raw(matchers: Any = None, actions: Any = None, **more: Any) -> dict[str, Any]:
    return {"id": "1", "matchers": matchers or [LITERAL], "actions": actions or [DROP], "enabled": True, **more}


def test_both_shapes_of_the_required_records_say_the_same() -> None:
    expected = (
        RequiredRecord("MX", "example.me", "route1.mx.cloudflare.net", 87),
        RequiredRecord("TXT", "example.me", "v=spf1 include:_spf.mx.cloudflare.net ~all", None, 300),
    )
    assert wire.read_required([MX, SPF], "example.me") == expected
    report = {
        "record": [MX, SPF],
        "errors": [{"code": "mx.missing", "missing": MX}, {"code": "spf.foreign", "existing": SPF}, "odd"],
    }
    found = wire.read_required(report, "example.me")
    assert [r.missing for r in found] == [True, False] and found[1] == expected[1]


@pytest.mark.parametrize("given", [None, {}, {"errors": []}, [{"type": "MX", "name": "@"}], ["odd"]])
def test_required_records_without_their_shape(given: Any) -> None:
    with pytest.raises(wire.WireError):
        wire.read_required(given, "example.me")


def test_settings() -> None:
    given = {"enabled": True, "status": "ready", "support_subaddress": True, "skip_wizard": True}
    assert wire.read_settings(given) == Settings(True, "ready", True, True)
    assert wire.read_settings({"enabled": False}) == Settings(False)
    for odd in (None, {}, {"enabled": "yes"}):
        with pytest.raises(wire.WireError):
            wire.read_settings(odd)


def test_destinations() -> None:
    assert wire.read_destination({"tag": "t", "email": "a@b.example", "verified": None}) == Destination(
        "a@b.example", "t"
    )
    with pytest.raises(wire.WireError):
        wire.read_destination({"id": "1"})


@pytest.mark.parametrize(
    "odd",
    [
        raw([LITERAL, LITERAL]),
        raw([{**LITERAL, "field": "from"}]),
        raw([{**LITERAL, "type": "regex"}]),
        raw([{**LITERAL, "value": ""}]),
        raw(["odd"]),
        raw(actions=[DROP, DROP]),
        raw(actions=[{"type": "bounce"}]),
        raw(actions=[{"type": "forward", "value": ["a@b.example", "c@d.example"]}]),
        raw(actions=[{"type": "worker"}]),
        raw(actions="odd"),
    ],
)
def test_what_this_code_does_not_understand_is_opaque(odd: dict[str, Any]) -> None:
    assert wire.read_rule(odd).opaque


def test_a_rule_of_the_account_says_its_zone() -> None:
    given = raw(zone={"name": "Example.me", "tag": "z"}, source="wrangler", name=None, priority=None)
    assert wire.read_rule(given) == Rule(
        "hi@example.me", "drop", "", True, id="1", source="wrangler", zone="example.me"
    )
    for odd in (None, {"id": "1"}):
        with pytest.raises(wire.WireError):
            wire.read_rule(odd)


@given(
    st.sampled_from(["", "hi@example.me"]),
    st.sampled_from([("forward", "a@b.example"), ("worker", "w"), ("drop", "")]),
    st.booleans(),
    st.text(max_size=20),
    st.integers(0, 9),
)
def test_what_is_written_reads_back(
    address: str, effect: tuple[str, str], enabled: bool, name: str, priority: int
) -> None:
    rule = Rule(address, *effect, enabled, name, priority if address else 0)
    assert wire.read_rule(wire.write_rule(rule)) == rule
