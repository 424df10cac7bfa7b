"""What our profiles say: their records can be published, their senders planned, and the facts are those of the vendors."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.intent.model import ROUTING
from ansible_collections.mailstead.stack.plugins.module_utils.intent.read import read_intent
from ansible_collections.mailstead.stack.plugins.module_utils.plan.build import build_plan
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import Record
from ansible_collections.mailstead.stack.plugins.module_utils.providers.inputs import cleaned, problems
from ansible_collections.mailstead.stack.plugins.module_utils.providers.model import Input, Profile, by_id
from ansible_collections.mailstead.stack.plugins.module_utils.providers.show import rows
from ansible_collections.mailstead.stack.plugins.plugin_utils.profiles import FOLDER, known_profiles, profiles

from tests.unit.examples import DOMAIN_B, raw
from tests.unit.providers.keys import RSA_2048
from tests.unit.providers.test_profiles import MINIMAL

KNOWN = by_id(profiles())
PLUGINS = Path(__file__).parents[3] / "plugins"
#: Those whose API a module of ours speaks.
SPOKEN = {"cloudflare_email_routing", "cloudflare_email_sending"}
#: Values as they may be, tried in this order for an input's pattern and kind.
LIKELY = ["abc123", "com", "eu-central-1", "mx.example.net", "a.domains.proton.ch", "a.onmicrosoft.com", RSA_2048]
#: Exchangers in order and what SPF names at the domain itself, as vendors' pages and templates have them.
FACTS = {
    "aliyun_qiye": (
        ["5 mx1.qiye.aliyun.com", "10 mx2.qiye.aliyun.com", "15 mx3.qiye.aliyun.com"],
        "spf.qiye.aliyun.com -all",
    ),
    "amazon_ses": ([], ""),
    "brevo": ([], ""),
    "cloudflare_email_sending": ([], ""),
    "fastmail": (
        ["10 in1-smtp.messagingengine.com", "20 in2-smtp.messagingengine.com"],
        "spf.messagingengine.com ~all",
    ),
    "forwardemail": (["0 mx1.forwardemail.net", "0 mx2.forwardemail.net"], "spf.forwardemail.net ~all"),
    "gmail_personal": ([], "_spf.google.com ~all"),
    "google_workspace": (
        [
            "1 aspmx.l.google.com",
            "5 alt1.aspmx.l.google.com",
            "5 alt2.aspmx.l.google.com",
            "10 alt3.aspmx.l.google.com",
            "10 alt4.aspmx.l.google.com",
        ],
        "_spf.google.com ~all",
    ),
    "icloud_plus": (["10 mx01.mail.icloud.com", "10 mx02.mail.icloud.com"], "icloud.com ~all"),
    "improvmx": (["10 mx1.improvmx.com", "20 mx2.improvmx.com"], "spf.improvmx.com ~all"),
    "mailgun": ([], "mailgun.org ~all"),
    "mailjet": ([], "spf.mailjet.com ~all"),
    "microsoft365": (["0 example-org.mail.protection.outlook.com"], "spf.protection.outlook.com -all"),
    "migadu": (["10 aspmx1.migadu.com", "20 aspmx2.migadu.com"], "spf.migadu.com -all"),
    "namecheap_private": (["10 mx1.privateemail.com", "10 mx2.privateemail.com"], "spf.privateemail.com ~all"),
    "netease_qiye": (
        ["5 qiye163mx01.mxmail.netease.com", "10 qiye163mx02.mxmail.netease.com"],
        "spf.163.com -all",
    ),
    "postmark": ([], ""),
    "proton": (["10 mail.protonmail.ch", "20 mailsec.protonmail.ch"], "_spf.protonmail.ch ~all"),
    "purelymail": (["10 mailserver.purelymail.com"], "_spf.purelymail.com ~all"),
    "resend": ([], ""),
    "smtp2go": ([], ""),
    "tencent_exmail": (["5 mxbiz1.qq.com", "10 mxbiz2.qq.com"], "spf.mail.qq.com ~all"),
    "titan": (["10 mx1.titan.email", "20 mx2.titan.email"], "spf.titan.email ~all"),
    "zoho": (["10 mx.zoho.com", "20 mx2.zoho.com", "50 mx3.zoho.com"], "mx.example.net ~all"),
}
each = pytest.mark.parametrize("profile", profiles(), ids=lambda p: p.id)


def likely(profile: Profile, one: Input) -> str:
    """A value that the input takes."""
    for value in (*one.choices, *LIKELY):
        if one.name not in [name for name, _what, _fix in problems(profile, {one.name: value})]:
            return value
    raise AssertionError(f"no value for {one.name} of {profile.id}")


def likely_inputs(profile: Profile) -> dict[str, str]:
    """Different values where a record's name hangs on one."""
    found = {one.name: likely(profile, one) for one in profile.inputs if not one.default}
    return {
        name: f"{value}{name[-1]}" if name[-1].isdigit() and "." not in value else value
        for name, value in found.items()
    }


def values(profile: Profile) -> dict[str, str]:
    return {"domain": "example.org", "dashes": "example-org", **cleaned(profile, likely_inputs(profile))}


@each
def test_every_record_is_complete_and_valid_once_the_inputs_are_given(profile: Profile) -> None:
    assert problems(profile, likely_inputs(profile)) == []
    for kind, name, value, _remark in rows(profile, "example.org", values(profile)):
        if "<" in name + value:
            assert "<assigned>" in value or name == "<name>.example.org"
            continue
        assert "{" not in name + value
        rdata.name(name)
        rdata.canonical(kind, value)


@each
def test_exchangers_and_spf_are_the_vendors(profile: Profile) -> None:
    if profile.id == ROUTING:
        assert all(mx.preference is None for mx in profile.mx)
        return
    shown = rows(profile, "example.org", values(profile))
    spf = [
        value
        for kind, name, value, _remark in shown
        if kind == "TXT" and value.startswith("v=spf1") and name == "example.org"
    ]
    exchangers, wanted = FACTS[profile.id]
    assert [value for kind, name, value, _remark in shown if kind == "MX" and name == "example.org"] == exchangers
    assert spf == ([f"v=spf1 include:{wanted}"] if wanted else [])


def test_no_profile_is_without_its_facts() -> None:
    assert set(FACTS) | {ROUTING} == set(KNOWN)


def test_the_words_of_the_issue_are_what_the_chinese_providers_need() -> None:
    exmail = KNOWN["tencent_exmail"]
    assert [(i.name, i.kind, i.required) for i in exmail.inputs] == [
        ("dkim_selector", "token", True),
        ("dkim_value", "dkim", True),
    ]
    assert exmail.webmail == "exmail.qq.com" and exmail.spf.cost_hint == 8 and exmail.dmarc.max_policy == "reject"


def test_who_keeps_the_policy_itself_says_so() -> None:
    assert KNOWN["purelymail"].dmarc.cname == "dmarcroot.purelymail.com"
    assert not any(p.dmarc.cname for p in profiles() if p.id != "purelymail")


@each
def test_sources_are_addresses_of_pages(profile: Profile) -> None:
    assert all(re.fullmatch(r"https://[a-z0-9.-]+/\S*", source) for source in profile.sources)


# -- from the inventory to the plan ----------------------------------------------------------------------------------


def planned(sender: str, inputs: dict[str, str], known: tuple[Profile, ...], **more: object) -> tuple[Record, ...]:
    """The records of a domain whose mail Email Routing takes and somebody else sends."""
    outbound = {"provider": sender, **({"inputs": inputs} if inputs else {}), **more}
    domain = {**DOMAIN_B, "outbound": outbound, "also_send_via": [], "dmarc": {"policy": "auto", "adkim": "r"}}
    plan = build_plan(read_intent(raw([domain], hosts={}), profiles=known))
    return tuple(record for zone in plan.zones for record in zone.records)


@pytest.mark.parametrize("profile", [p for p in profiles() if p.sends], ids=lambda p: p.id)
def test_every_sender_can_be_planned(profile: Profile) -> None:
    account = {"account": "me@example.net"} if "account" in profile.outbound.required else {}
    found = planned(profile.id, likely_inputs(profile), profiles(), **account)
    names = {r.name for r in found}
    domain = DOMAIN_B["name"]
    wanted = {**values(profile), "domain": domain, "dashes": domain.replace(".", "-")}
    for kind, name, value, _remark in rows(profile, domain, wanted):
        if kind != "MX" and "<" not in name + value and name not in (domain, f"_dmarc.{domain}"):
            assert name.lower() in names
    assert not any("{" in r.name + r.content for r in found)
    (policy,) = [r.content for r in found if r.name == f"_dmarc.{domain}"]
    assert f"p={profile.dmarc.max_policy}" in policy


def test_the_policy_waits_for_the_key() -> None:
    given = {"tld": "eu", "spf_include": "zohomail.eu"}
    before = [r.content for r in planned("zoho", given, profiles()) if r.name.startswith("_dmarc.")]
    after = [
        r.content
        for r in planned("zoho", {**given, "dkim_value": RSA_2048}, profiles())
        if r.name.startswith("_dmarc.")
    ]
    assert "p=quarantine;" in before[0] and "p=reject;" in after[0]


def test_a_provider_is_added_by_one_file(tmp_path: Path) -> None:
    added = {
        **MINIMAL,
        "id": "new_provider",
        "outbound": {"optional": ["inputs"]},
        "inputs": [{"name": "key", "where": "its console", "kind": "dkim", "required": True}],
        "spf": {"scope": "apex", "include": ["spf.example.net"], "cost_hint": 1},
        "dkim": [{"kind": "txt", "selector": "s1", "value": "{key}"}],
        "return_path": [{"name": "bounce", "type": "CNAME", "value": "bounce.example.net"}],
    }
    (tmp_path / "providers").mkdir()
    (tmp_path / "providers/new_provider.yml").write_text(yaml.safe_dump(added), encoding="utf-8")
    known = known_profiles({"ansible_inventory_sources": [str(tmp_path)]})
    (profile,) = [p for p in known.profiles if p.id == "new_provider"]
    key = f"v=DKIM1; k=rsa; p={RSA_2048}"
    shown = [row[:3] for row in rows(profile, "example.org", {"key": key})]
    assert ("CNAME", "bounce.example.org", "bounce.example.net") in shown
    found = {(r.type, r.name): r.content for r in planned("new_provider", {"key": f'"{key}"'}, known.profiles)}
    domain = DOMAIN_B["name"]
    assert found["TXT", f"s1._domainkey.{domain}"] == key
    assert found["CNAME", f"bounce.{domain}"] == "bounce.example.net"
    assert "include:spf.example.net" in found["TXT", domain] and "p=reject" in found["TXT", f"_dmarc.{domain}"]


# -- no code knows a provider ----------------------------------------------------------------------------------------


def texts(path: Path) -> Iterator[str]:
    """The strings in a module that do something: neither its docstrings nor the documentation of a plugin."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    described = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            described.add(id(node.value))
        named = [t.id for t in node.targets if isinstance(t, ast.Name)] if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.Assign) and {"DOCUMENTATION", "EXAMPLES", "RETURN"} & set(named):
            described.add(id(node.value))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in described:
            yield node.value


def test_no_code_names_a_provider_but_where_it_speaks_its_api() -> None:
    names = re.compile(rf"\b({'|'.join(sorted(set(KNOWN) - SPOKEN))})\b", re.IGNORECASE)
    spoken = re.compile(rf"\b({'|'.join(sorted(SPOKEN))})\b")
    named, where = [], set()
    for path in sorted(PLUGINS.rglob("*.py")):
        for text in texts(path):
            named += [(str(path.relative_to(PLUGINS)), found) for found in names.findall(text)]
            where |= {path.relative_to(PLUGINS).parts[0] for _found in spoken.findall(text)}
    assert named == []
    # The search finds what is there to be found.
    assert {"filter", "module_utils"} <= where
    assert FOLDER.is_dir() and len(KNOWN) > 20
