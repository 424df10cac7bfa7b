"""Inputs of a profile: whatever was copied around a value, the value is the same; what cannot be right is refused."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.providers.inputs import as_used, cleaned, problems
from ansible_collections.mailstead.stack.plugins.module_utils.providers.model import (
    Dkim,
    DmarcCeiling,
    Input,
    Profile,
    RecordTemplate,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.providers.keys import ED25519, RSA_512, RSA_1024, RSA_2048

RECORDS = {key: f"v=DKIM1; k=rsa; p={key}" for key in (RSA_1024, RSA_2048)}
RECORDS[ED25519] = f"v=DKIM1; k=ed25519; p={ED25519}"


def profile(**more: Any) -> Profile:
    """One with an input of each kind."""
    values: dict[str, Any] = {
        "id": "some_provider",
        "title": "Some Provider",
        "roles": ("outbound",),
        "verified_on": "2026-11-20",
        "sources": ("https://docs.example.net",),
        "inputs": (
            Input("dkim_value", "console, DKIM", kind="dkim", required=True),
            Input("dkim_selector", "console, DKIM", pattern="[a-z0-9]+", kind="token"),
            Input("token", "console, domain", kind="token"),
            Input("target", "console, CNAME", kind="host"),
            Input("region", "console", choices=("eu", "us"), default="eu"),
        ),
        "dkim": (Dkim("txt", "{dkim_selector}", "{dkim_value}"),),
        "verification": (RecordTemplate("", "TXT", "some-verification={token}"),),
        **more,
    }
    return Profile(**values)


def dkim(value: str) -> str:
    return cleaned(profile(), {"dkim_value": value})["dkim_value"]


def wrong(**values: str) -> list[tuple[str, str, str]]:
    return problems(profile(), {"dkim_value": RSA_2048, **values})


# -- DKIM ------------------------------------------------------------------------------------------------------------


@st.composite
def decorated(draw: st.DrawFn) -> tuple[str, str]:
    """(a DKIM record as some console, file or mail shows it, the record)."""
    key = draw(st.sampled_from(sorted(RECORDS)))
    text = draw(st.sampled_from([RECORDS[key], RECORDS[key] + ";"]))
    if draw(st.booleans()):
        text = text.replace("; ", draw(st.sampled_from([";", " ; ", ";\n", ";\t", "\\; "])))
    quotes = draw(st.sampled_from(["", '""', "“”", "''"]))
    if quotes in ('""', "“”"):
        cuts = sorted(draw(st.sets(st.integers(1, len(text) - 1), max_size=4)))
        parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        between = draw(st.sampled_from([" ", "", "\n", "\r\n\t", "\n        "]))
        text = between.join(quotes[0] + p + quotes[1] for p in parts)
    else:
        at = draw(st.integers(text.index("p=") + 2, len(text)))
        text = text[:at] + draw(st.sampled_from(["", " ", "\n", "\r\n  ", "\u200b"])) + text[at:]
        text = quotes[:1] + text + quotes[1:]
    if draw(st.booleans()):
        text = f"( {text} )"
    before = ["", "sel._domainkey.example.org. 3600 IN TXT ", "sel._domainkey IN TXT\t", "TXT ", "@ 300 TXT "]
    blanks = st.sampled_from(["", " ", "\n", "\t "])
    return draw(blanks) + draw(st.sampled_from(before)) + text + draw(blanks), RECORDS[key]


@settings(max_examples=300, deadline=None)
@given(decorated())
def test_whatever_stands_around_a_key_the_record_is_the_same(case: tuple[str, str]) -> None:
    shown, wanted = case
    assert dkim(shown) == wanted
    assert problems(profile(), {"dkim_value": shown}) == []


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), st.text(alphabet='vp=DKIM1;" \n(TXT)\\k.rsaAQ/+'), decorated().map(lambda case: case[0])))
def test_cleaning_what_is_clean_changes_nothing(text: str) -> None:
    for name in ("dkim_value", "dkim_selector", "token", "target", "region"):
        once = cleaned(profile(), {name: text})
        assert cleaned(profile(), once) == once


@pytest.mark.parametrize("key", [ED25519, RSA_1024, RSA_2048], ids=["ed25519", "rsa-1024", "rsa-2048"])
def test_a_bare_key_becomes_a_record(key: str) -> None:
    lines = "\n".join(key[i : i + 64] for i in range(0, len(key), 64))
    pem = f"-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n"
    assert dkim(key) == dkim(f'"{lines}"') == dkim(pem) == RECORDS[key]


def test_a_p_tag_alone_becomes_a_record_and_other_tags_stay() -> None:
    assert dkim(f"p={RSA_2048}") == dkim(f"sel._domainkey TXT p={RSA_2048}") == RECORDS[RSA_2048]
    assert dkim(f"k=rsa;p={RSA_2048}") == RECORDS[RSA_2048]
    assert dkim(f'"v=DKIM1; h=sha256; t=s; " "p={RSA_2048}"') == f"v=DKIM1; h=sha256; t=s; p={RSA_2048}"


def test_the_comment_behind_a_key_is_left_out() -> None:
    line = f'm._domainkey\tIN\tTXT\t( "v=DKIM1; h=sha256; k=rsa; "\n\t"p={RSA_2048[:200]}"\n\t"{RSA_2048[200:]}" )'
    assert dkim(f"{line}  ; ----- DKIM key m for example.org") == f"v=DKIM1; h=sha256; k=rsa; p={RSA_2048}"


def test_a_key_with_two_characters_too_many_is_refused_with_the_number() -> None:
    corrupt = RSA_1024[:100] + "AB" + RSA_1024[100:]
    assert len(corrupt) == 218
    for shown in (corrupt, f"v=DKIM1; k=rsa; p={corrupt}"):
        ((name, what, fix),) = wrong(dkim_value=shown)
        assert name == "dkim_value" and "not valid base64" in what and "218 characters" in what and "has 216" in what
        assert "console, DKIM" in fix


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (RSA_512, "512 bits"),
        (RSA_2048[:-40], "does not decode"),
        (f"v=DKIM1; k=ed25519; p={base64.b64encode(bytes(31)).decode()}", "32 bytes"),
        ("v=DKIM1; k=dsa; p=QUJD", "unknown"),
        ("v=DKIM1; k=rsa; p=", "revokes"),
        ("see the console", "no p= tag"),
    ],
    ids=["512", "cut", "31", "dsa", "revoked", "words"],
)
def test_what_is_no_key_is_refused(value: str, said: str) -> None:
    ((name, what, _fix),) = wrong(dkim_value=value)
    assert name == "dkim_value" and said in what


def test_a_short_key_is_taken_and_left_to_the_checks() -> None:
    assert wrong(dkim_value=RSA_1024) == wrong(dkim_value=ED25519) == []


# -- the others ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shown", "value"),
    [
        ("token", ' "abc-1" ', "abc-1"),
        ("token", "some-verification=abc-1", "abc-1"),
        ("token", '"some-verification=abc=="', "abc=="),
        ("token", "some-verification=", "some-verification="),
        ("dkim_selector", "lokg123._domainkey", "lokg123"),
        ("dkim_selector", "lokg123._domainkey.example.cn.", "lokg123"),
        ("target", "Sel1.Example.NET.", "sel1.example.net"),
        ("target", "sel1._domainkey 3600 IN CNAME sel1.example.net.", "sel1.example.net"),
        ("region", "us", "us"),
        ("region", " ", "eu"),
    ],
)
def test_values_are_freed_of_what_consoles_show_around_them(name: str, shown: str, value: str) -> None:
    assert cleaned(profile(), {name: shown})[name] == value


def test_defaults_stand_for_what_is_not_given_and_unknown_names_go() -> None:
    assert cleaned(profile(), {"regoin": "us", "token": ""}) == {"region": "eu"}


@pytest.mark.parametrize(
    ("values", "name", "said"),
    [
        ({"regoin": "us"}, "regoin", "has no input"),
        ({"region": "cn"}, "region", "none of the values"),
        ({"token": "two words"}, "token", "blank"),
        ({"target": "192.0.2.1"}, "target", "address"),
        ({"target": "sel1"}, "target", "full host name"),
        ({"target": "a_b.ex ample..net"}, "target", "not a valid"),
        ({"dkim_selector": "LOKG"}, "dkim_selector", "is no dkim_selector"),
    ],
)
def test_values_that_cannot_be_right_have_a_reason_and_a_fix(values: dict[str, str], name: str, said: str) -> None:
    ((found, what, fix),) = wrong(**values)
    assert found == name and said in what and fix


def test_the_nearest_name_and_the_choices_are_in_the_fix() -> None:
    ((_name, _what, fix),) = wrong(regoin="us")
    assert "Did you mean 'region'?" in fix
    ((_name, _what, fix),) = wrong(region="cn")
    assert fix == "use one of eu, us"


def test_what_is_required_is_asked_for_with_its_place() -> None:
    for given_values in ({}, {"dkim_value": " "}):
        ((name, what, fix),) = problems(profile(), given_values)
        assert (name, what) == ("dkim_value", "some_provider needs the input 'dkim_value'") and "console, DKIM" in fix


def test_one_of_two_inputs_is_enough() -> None:
    either = (Input("key", "there", kind="dkim", required=True, unless="alias"), Input("alias", "there", kind="host"))
    one = profile(inputs=either, dkim=(), verification=())
    assert problems(one, {"alias": "k.example.net"}) == problems(one, {"key": RSA_2048}) == []
    ((name, what, _fix),) = problems(one, {})
    assert name == "key" and "(or 'alias')" in what


# -- DMARC without a key ---------------------------------------------------------------------------------------------

ALIGNED = DmarcCeiling("reject", "signs", "strict", "strict")


def test_with_a_key_a_profile_stands_as_it_is() -> None:
    signed = profile(dmarc=ALIGNED)
    assert as_used(signed, {"dkim_value": RSA_2048, "dkim_selector": "s1"}) is signed
    managed = profile(dmarc=ALIGNED, dkim=(Dkim("managed", "s1"),))
    assert as_used(managed, {}) is managed
    taking = profile(dmarc=ALIGNED, roles=("inbound",))
    assert as_used(taking, {}) is taking
    constant = profile(
        dmarc=ALIGNED, dkim=(Dkim("cname", "{dkim_selector}", "{target}"), Dkim("cname", "s1", "s1.example.net"))
    )
    assert as_used(constant, {}) is constant


@pytest.mark.parametrize(
    ("max_policy", "aligned_spf", "policy", "said"),
    [
        ("reject", "strict", "quarantine", "does not survive forwarding"),
        ("quarantine", "relaxed", "quarantine", "does not survive forwarding"),
        ("none", "relaxed", "none", "does not survive forwarding"),
        ("reject", "no", "none", "not signed for the domain"),
    ],
)
def test_without_one_it_allows_less_and_says_what_is_missing(
    max_policy: str, aligned_spf: str, policy: str, said: str
) -> None:
    waiting = profile(dmarc=DmarcCeiling(max_policy, "signs", aligned_spf, "strict"))
    used = as_used(waiting, {"dkim_selector": "s1", "dkim_value": " "}).dmarc
    assert (used.max_policy, used.aligned_spf, used.aligned_dkim) == (policy, aligned_spf, "no")
    assert said in used.reason and "(inputs: dkim_value)" in used.reason
