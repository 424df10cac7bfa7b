"""The profiles of providers: each file is read, agrees with the published schema, and says only what it can fill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.intent.senders import policy_of
from ansible_collections.mailstead.stack.plugins.module_utils.intent.words import domain_keys
from ansible_collections.mailstead.stack.plugins.module_utils.providers.model import (
    Profile,
    aligned_alternatives,
    by_id,
    ceiling,
    filled,
    limiting,
)
from ansible_collections.mailstead.stack.plugins.module_utils.providers.words import json_schema, read_profile
from ansible_collections.mailstead.stack.plugins.plugin_utils.profiles import FOLDER, profiles

from tools import profile_schema

FILES = sorted(FOLDER.glob("*.yml"))
KNOWN = by_id(profiles())
MINIMAL: dict[str, Any] = {
    "id": "some_provider",
    "title": "Some Provider",
    "roles": ["outbound"],
    "verified_on": "2026-11-20",
    "sources": ["https://docs.example.net/dns"],
    "dmarc": {"max_policy": "reject", "reason": "it signs with the domain's key", "aligned_dkim": "strict"},
}
IN: dict[str, Any] = {"roles": ["inbound"], "mx": [{"host": "mx.example.net", "preference": 10}]}


def asked(**more: Any) -> dict[str, Any]:
    """A profile with one input, and a record that uses it."""
    return {
        "outbound": {"optional": ["inputs"]},
        "inputs": [{"name": "token", "where": "there", **more}],
        "verification": [{"type": "TXT", "value": "token={token}"}],
    }


def test_the_schema_beside_the_profiles_is_up_to_date() -> None:
    assert json.loads(profile_schema.TARGET.read_text(encoding="utf-8")) == json_schema()
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_file_fits_the_schema_and_has_its_facts_dated(path: Path) -> None:
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    jsonschema.validate(data, json_schema())
    profile = KNOWN[path.stem]
    assert profile.sources and profile.verified_on.startswith("20")
    assert profile.dmarc.reason or not profile.sends


@pytest.mark.parametrize("profile", profiles(), ids=lambda p: p.id)
def test_the_words_of_a_profile_are_words_of_the_inventory(profile: Profile) -> None:
    keys = domain_keys(profiles())
    for direction in ("inbound", "outbound"):
        takes = getattr(profile, direction)
        known = keys[direction].shape.keys  # type: ignore[attr-defined]
        assert set(takes.required) | set(takes.optional) <= set(known)


def test_what_senders_allow_together() -> None:
    gmail, workspace = KNOWN["gmail_personal"], KNOWN["google_workspace"]
    assert ceiling([]) == "reject" and limiting([workspace]) == []
    assert ceiling([workspace, gmail]) == "none" and limiting([workspace, gmail]) == [gmail]
    assert "gmail_personal" not in aligned_alternatives(profiles())
    assert "cloudflare_email_routing" not in aligned_alternatives(profiles())


def test_a_record_that_a_provider_owns_has_a_policy() -> None:
    assert policy_of(KNOWN["cloudflare_email_sending"].dmarc.owns_record) == "reject"
    assert policy_of("") == policy_of("v=DMARC1; p=maybe") == ""


def test_templates_are_filled_as_far_as_values_are_known() -> None:
    assert filled("{a}.{b}", {"a": "x"}) == "x.{b}"


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("MS-INT-001", {"titel": "x"}),
        ("MS-INT-002", {"title": None}),
        ("MS-INT-003", {"verified_on": "yesterday"}),
        ("MS-INT-004", {"roles": ["sender"]}),
        ("MS-PRO-002", {"dkim": [{"kind": "txt", "selector": "s"}]}),
        ("MS-PRO-002", {"dkim": [{"kind": "managed", "selector": "s", "value": "x"}]}),
        ("MS-PRO-002", {"dkim": [{"kind": "txt", "selector": "s", "value": "{key}"}]}),
        ("MS-PRO-002", {"verification": [{"type": "TXT", "value": "token={token}"}]}),
        ("MS-PRO-002", {**IN, "mx": [{"host": "mx.{region}.example.net"}]}),
        ("MS-PRO-002", {"spf": {"scope": "apex", "include": ["{region}.example.net"]}}),
        ("MS-PRO-002", {"submission": {"host": "{region}.example.net", "ports": []}}),
        ("MS-PRO-002", {**IN, "webmail": "{region}.example.net"}),
        ("MS-PRO-002", {"webmail": "mail.example.net"}),
        ("MS-PRO-002", {"mx": IN["mx"]}),
        ("MS-PRO-002", {"dmarc": {"max_policy": "reject", "reason": "none"}}),
        ("MS-PRO-002", {"dmarc": None}),
        ("MS-PRO-002", {"dmarc": {**MINIMAL["dmarc"], "cname": "dmarc.{region}.example.net"}}),
        ("MS-PRO-002", {"dmarc": {**MINIMAL["dmarc"], "cname": "d.example.net", "owns_record": "v=DMARC1; p=none"}}),
        ("MS-PRO-002", {"client_names": [{"name": "imap", "type": "TXT", "value": "x"}]}),
        ("MS-PRO-002", {"client_names": [{"type": "CNAME", "value": "imap.example.net"}]}),
        ("MS-PRO-002", {"verification": [{"name": "x", "type": "MX", "value": "10 mx.example.net"}]}),
        ("MS-PRO-002", {"return_path": [{"type": "MX", "value": "10 feedback.example.net"}]}),
        ("MS-PRO-002", {"return_path": [{"type": "TXT", "value": "v=spf1 include:example.net -all"}]}),
        ("MS-PRO-002", {"return_path": [{"name": "send", "type": "SRV", "value": "0 1 25 x.example.net"}]}),
        ("MS-PRO-002", {"spf": {"scope": "apex"}}),
        ("MS-PRO-002", {"spf": {"scope": "none", "include": ["example.net"]}}),
        ("MS-PRO-002", {"spf": {"scope": "return_path", "include": ["example.net"]}}),
        ("MS-PRO-002", {"dkim": [{"kind": "managed", "selector": "s"}, {"kind": "managed", "selector": "s"}]}),
        ("MS-PRO-002", {**asked(), "outbound": {}}),
        ("MS-PRO-002", {**asked(), "verification": []}),
        ("MS-PRO-002", {**asked(), "inputs": 2 * asked()["inputs"]}),
        ("MS-PRO-002", asked(pattern="[0-9]+", default="x")),
        ("MS-PRO-002", asked(pattern="[0-9]+", choices=["1", "x"])),
        ("MS-PRO-002", asked(choices=["1", "2"], default="3")),
        ("MS-PRO-002", asked(required=True, default="3")),
        ("MS-PRO-002", asked(unless="another")),
        ("MS-PRO-002", asked(unless="token")),
        ("MS-INT-004", asked(kind="key")),
        ("MS-PRO-002", {"inbound": {"optional": ["addresses"]}}),
        ("MS-PRO-002", {"roles": ["inbound", "outbound"]}),
        ("MS-PRO-002", asked(pattern="(")),
    ],
)
def test_mistakes_in_a_profile_have_codes(code: str, changes: dict[str, Any]) -> None:
    _profile, found = read_profile({**MINIMAL, **changes}, "some_provider.yml")
    assert code in [p.code for p in found]
    assert all(p.where.startswith("some_provider.yml") and p.fix for p in found)


def test_a_record_says_what_it_is_for_and_all_of_them_go_on_being_found() -> None:
    more = {
        "return_path": [{"name": "b", "type": "CNAME", "value": "b.example.net"}],
        "verification": [{"type": "TXT", "value": "v"}],
        "client_names": [{"name": "_imaps._tcp", "type": "SRV", "value": "0 1 993 i.example.net"}],
    }
    profile, found = read_profile({**MINIMAL, **more}, "some_provider.yml")
    assert not found and [r.value for r in profile.records] == ["b.example.net", "v", "0 1 993 i.example.net"]


def test_mail_programs_are_told_where_mail_is_handed_in_when_nothing_else_is_to_be_done() -> None:
    place = {"host": "smtp.example.net", "ports": [{"port": 587, "tls": "starttls"}, {"port": 465, "tls": "implicit"}]}
    said = {**place, "username": "the address", "password": "a key"}
    profile, found = read_profile({**MINIMAL, "submission": said}, "some_provider.yml")
    step = "through smtp.example.net, port 587 (STARTTLS). User name: the address. Password: a key."
    assert not found and profile.by_hand.each_address == (f"Mail programs send as {{address}} {step}",)
    own = {"each_address": ["Ask for {address}."]}
    profile, found = read_profile({**MINIMAL, "submission": said, "by_hand": own}, "some_provider.yml")
    assert not found and profile.by_hand.each_address == ("Ask for {address}.",)
    assert read_profile({**MINIMAL, "submission": place}, "x.yml")[0].by_hand.each_address[0].endswith("(STARTTLS).")


def test_a_default_may_be_made_of_the_domain() -> None:
    changes = asked(kind="host", pattern=r"[a-z-]+\.mail\.example\.net", default="{dashes}.mail.example.net")
    profile, found = read_profile({**MINIMAL, **changes}, "some_provider.yml")
    assert not found
    values = {"token": profile.inputs[0].default, "dashes": "a-b"}
    assert filled(profile.verification[0].value, values) == "token=a-b.mail.example.net"


def test_a_minimal_profile_is_enough() -> None:
    profile, found = read_profile(MINIMAL, "some_provider.yml")
    assert not found and profile.sends and not profile.takes_mail and profile.limit("rules") == 0


def test_all_files_are_read_before_anything_is_said(tmp_path: Path) -> None:
    (tmp_path / "broken.yml").write_text("a: [", encoding="utf-8")
    (tmp_path / "other.yml").write_text(yaml.safe_dump(MINIMAL), encoding="utf-8")
    with pytest.raises(MailsteadError) as caught:
        profiles(tmp_path)
    assert [(p.code, p.where) for p in caught.value.problems] == [
        ("MS-PRO-001", "broken.yml"),
        ("MS-PRO-001", "other.yml"),
    ]
