# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of reverse records on their way: words of the inventory, plan, filters, and instructions for people."""

from __future__ import annotations

import string
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.action.mail_plan import _references
from ansible_collections.mailstead.stack.plugins.filter import plan as filters
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.intent.model import Ptr
from ansible_collections.mailstead.stack.plugins.module_utils.intent.read import read_intent
from ansible_collections.mailstead.stack.plugins.module_utils.intent.schema import json_schema
from ansible_collections.mailstead.stack.plugins.module_utils.intent.words_operator import PTR_WORDS
from ansible_collections.mailstead.stack.plugins.module_utils.plan.build import build_plan
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import to_data
from ansible_collections.mailstead.stack.plugins.module_utils.ptr import panels, vendors
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.manual import ManualProvider, instructions
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.model import PtrWanted
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.options import PROVIDERS, SECRETS
from ansible_collections.mailstead.stack.plugins.modules.ptr_record import argument_spec

from tests.unit.examples import HOSTS, raw

PATH = "hosts.vps1.mail_host.ptr"
GOOD: dict[str, dict[str, str]] = {
    "manual": {"panel": "ovh"},
    "rfc2136": {"server": "ns.example.org", "zone": "1.18.198.in-addr.arpa", "key_name": "k", "secret": "hush"},
    "hcloud": {"token": "hush"},
    "linode": {"token": "hush"},
    "vultr": {"token": "hush"},
    "aws": {"region": "eu-central-1", "access_key": "AKID", "secret_key": "hush", "session_token": "hush"},
}


def inventory(ptr: Any) -> Any:
    host = {**HOSTS["vps1"], "mail_host": {**HOSTS["vps1"]["mail_host"], "ipv6": "2001:2:0:2::10", "ptr": ptr}}
    return raw(hosts={**HOSTS, "vps1": host})


def mistakes(ptr: Any) -> list[tuple[str, str]]:
    with pytest.raises(MailsteadError) as caught:
        read_intent(inventory(ptr))
    return [(p.code, p.where) for p in caught.value.problems]


@pytest.mark.parametrize("provider", sorted(GOOD))
def test_the_settings_reach_the_module_and_secrets_only_by_reference(provider: str) -> None:
    intent = read_intent(inventory({"provider": provider, **GOOD[provider]}))
    plan: dict[str, Any] = to_data(build_plan(intent))
    assert "hush" not in str(plan)
    references = {f"{PATH}.{word}" for word in GOOD[provider] if word in SECRETS}
    assert set(filters.ptr_secret_refs(plan)) == references
    # What the check for secrets in clear text looks at.
    assert references <= set(_references(intent))
    records = filters.ptr_wanted(plan, dict.fromkeys(references, "hush"))
    assert [r["address"] for r in records] == ["198.18.1.10", "2001:2:0:2::10"]
    spec = argument_spec()["records"]["options"]
    for record in records:
        assert set(record) <= set(spec) and set(record["options"]) <= set(spec["options"]["options"])
        given = {**record["options"], **{s: record[s] for s in SECRETS if record[s]}}
        assert given == GOOD[provider]


def test_every_provider_has_words_and_the_module_takes_them() -> None:
    assert set(PTR_WORDS) == set(PROVIDERS) == set(GOOD) == {"manual", "rfc2136", *vendors.VENDORS}
    spec = argument_spec()["records"]["options"]
    for settings in PROVIDERS.values():
        for key in (*settings.required, *settings.optional):
            assert key in (spec if key in SECRETS else spec["options"]["options"])
    assert all(spec[key]["no_log"] for key in SECRETS)


def test_the_short_form() -> None:
    host = read_intent(inventory("manual")).host("vps1")
    assert host is not None and host.mail_host is not None and host.mail_host.ptr == Ptr("manual")
    assert mistakes("hcloud") == [("MS-INT-002", PATH)]


@pytest.mark.parametrize(
    ("ptr", "expected"),
    [
        ({"provider": "linode"}, [("MS-INT-002", PATH)]),
        ({"provider": "aws", "region": "eu-central-1"}, [("MS-INT-002", PATH)] * 2),
        ({"provider": "aws", **GOOD["aws"], "region": "Frankfurt"}, [("MS-INT-003", f"{PATH}.region")]),
        ({"provider": "vultr", "token": "t", "server": "x"}, [("MS-INT-032", f"{PATH}.server")]),
        ({"provider": "manual", "token": "t"}, [("MS-INT-032", f"{PATH}.token")]),
        ({"provider": "manual", "panel": "ovhcloud"}, [("MS-INT-004", f"{PATH}.panel")]),
        ({"provider": "hcloud", "token": "t", "tokn": "t"}, [("MS-INT-001", f"{PATH}.tokn")]),
        ({"provider": "hetzner"}, [("MS-INT-004", f"{PATH}.provider")]),
        ({"provider": "rfc2136", **GOOD["rfc2136"], "zone": None}, [("MS-INT-002", PATH)]),
        (7, [("MS-INT-003", f"{PATH}.provider")]),
    ],
)
def test_mistakes_are_told_at_their_place(ptr: Any, expected: list[tuple[str, str]]) -> None:
    assert mistakes(ptr) == expected


def test_the_schema_knows_the_words() -> None:
    schema = str(json_schema())
    for word in ("hcloud", "linode", "vultr", "aws", "secret_key", "hetzner-cloud"):
        assert f"'{word}'" in schema


def test_settings_say_what_is_missing_and_what_is_idle() -> None:
    assert PROVIDERS["aws"].missing({"region", "token"}) == ("access_key", "secret_key")
    assert PROVIDERS["aws"].idle({"region", "token"}) == ("token",)


# -- instructions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(panels.PANELS))
def test_a_panels_steps_name_host_address_and_name(name: str) -> None:
    panel = panels.PANELS[name]
    fields = {f for step in panel.steps for _t, f, _s, _c in string.Formatter().parse(step) if f}
    assert fields <= {"address", "name", "host", "reverse"} and panel.source and panel.title
    record = PtrWanted("198.18.1.10", "mail.example.com", "vps1")
    text = instructions(record, ("old.example",), name)
    for words in ("198.18.1.10", "mail.example.com", "vps1", panel.title, "Now it is old.example.", "PTR record of"):
        assert words in text
    assert ("has the A record 198.18.1.10: that comes first" in text) == panel.forward
    assert "{" not in text and ("1. " in text)


def test_a_panel_without_ipv6_says_so() -> None:
    record = PtrWanted("2001:2:0:2::10", "mail.example.com", "vps1")
    assert "leave ipv6 out of the mail host vps1" in instructions(record, (), "azure")
    assert "has the AAAA record 2001:2:0:2::10" in instructions(record, None, "ovh")


def test_without_a_panel_it_is_a_ticket_right_away() -> None:
    record = PtrWanted("198.18.1.10", "mail.example.com", "vps1")
    assert '\nWrite to its support: "Please set' in instructions(record, (), "oracle")
    assert "\nIf there is no such field, write" in instructions(record, (), "generic")


def test_the_provider_uses_its_panel_and_names_the_host_if_it_can() -> None:
    (result,) = ManualProvider(panel="scaleway").plan([PtrWanted("198.18.1.10", "mail.example.com", "")])
    assert "Edit reverse" in result.instructions and "this host" in result.instructions
    provider = ManualProvider()
    provider.apply(provider.plan([]))
    assert provider.written == []
