# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module mail_provider_info as Ansible runs it, and its playbook, against a name server on loopback."""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.rcode
import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.mailstead.stack.plugins.filter.provider_constants import (
    FilterModule,
    provider_constants,
    spf_senders,
)
from ansible_collections.mailstead.stack.plugins.module_utils.providers.constants import check
from ansible_collections.mailstead.stack.plugins.modules import mail_provider_info
from ansible_collections.mailstead.stack.plugins.plugin_utils.profiles import profiles

from tests.unit.dns.authority import Authority
from tests.unit.modules.documentation import assert_documented
from tests.unit.plugins.modules import Answer, run_module
from tests.unit.plugins.playbook import ROOT, ansible_playbook, output

NET = "provider.example"
TODAY = datetime.datetime.now(datetime.timezone.utc).date()
SETS = {
    (f"mx1.{NET}", "A"): ["198.18.7.1"],
    (f"mx2.{NET}", "AAAA"): ["2001:2::7"],
    (f"spf.{NET}", "TXT"): [f'"v=spf1 include:a.{NET} " "ip4:198.18.7.0/24 ~all"'],
    (f"a.{NET}", "TXT"): ['"v=spf1 ip4:198.18.8.0/24 ~all"'],
    (f"void.{NET}", "TXT"): ['"v=spf1 ' + " ".join(f"a:gone{n}.{NET}" for n in range(3)) + ' ~all"'],
    (f"two.{NET}", "TXT"): [f'"v=spf1 a:gone1.{NET} a:gone2.{NET} ~all"'],
    (f"plain.{NET}", "TXT"): ['"token=1"'],
}
GOOD: dict[str, Any] = {
    "id": "good",
    "title": "Good Mail",
    "verified_on": TODAY.isoformat(),
    "hosts": [f"mx1.{NET}", f"MX2.{NET}."],
    "includes": [f"spf.{NET}"],
    "cost_hint": 2,
}


@pytest.fixture(name="authority")
def fixture_authority() -> Iterator[Authority]:
    with Authority({NET: dict(SETS)}) as found:
        yield found


def info(authority: Authority, *found: dict[str, Any], **more: Any) -> Answer:
    given = {"profiles": list(found), "resolvers": [authority.address], "port": authority.port, **more}
    return run_module(mail_provider_info.main, **given)


def test_a_profile_that_agrees(authority: Authority) -> None:
    answer = info(authority, GOOD, check=True)
    assert (answer.failed, answer.changed, answer.data["problems"], answer.data["unknown"]) == (False, False, [], [])
    (row,) = answer.data["providers"]
    assert row["hosts"] == [
        {"name": f"mx1.{NET}", "addresses": ["198.18.7.1"]},
        {"name": f"mx2.{NET}", "addresses": ["2001:2::7"]},
    ]
    assert row["includes"] == [{"name": f"spf.{NET}", "lookups": 2, "voids": 0}]
    assert (row["lookups"], row["cost_hint"], row["voids"]) == (2, 2, 0)
    assert row["told"].startswith("Good Mail: 2 hosts; SPF 2 look-ups (written: 2), 0 void;")
    assert row["told"].endswith(": agrees")
    bare = {**GOOD, "includes": [], "cost_hint": 0}
    assert "2 hosts; looked at on" in info(authority, bare).data["providers"][0]["told"]


def test_profiles_share_what_is_asked(authority: Authority) -> None:
    info(authority, GOOD, {**GOOD, "id": "twin"})
    assert len(authority.questions) == len(set(authority.questions))


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"hosts": [f"mx1.{NET}", f"moved.{NET}"]}, "MS-PRO-030", f"moved.{NET} has no address"),
        ({"cost_hint": 1}, "MS-PRO-031", f"need 2 look-ups, the profile says 1: include:spf.{NET} 2"),
        ({"includes": [f"plain.{NET}"]}, "MS-PRO-032", f"plain.{NET} publishes no SPF record"),
        ({"includes": [f"void.{NET}"], "cost_hint": 4}, "MS-PRO-033", "3 look-ups of its includes find nothing"),
        ({"verified_on": (TODAY - datetime.timedelta(days=181)).isoformat()}, "MS-PRO-034", "more than 180 days ago"),
        ({"verified_on": "last year"}, "MS-PRO-034", "last looked at on last year"),
    ],
)
def test_what_no_longer_agrees_is_named(authority: Authority, changes: dict[str, Any], code: str, words: str) -> None:
    answer = info(authority, GOOD, {**GOOD, "id": "changed", **changes})
    (problem,) = answer.data["problems"]
    assert not answer.failed and problem["code"] == code and words in problem["what"]
    assert problem["where"] == "profile changed" and problem["fix"]
    assert "no longer agrees" in answer.data["providers"][1]["told"]


def test_two_void_look_ups_and_a_cost_below_the_hint_are_no_news(authority: Authority) -> None:
    answer = info(authority, {**GOOD, "includes": [f"two.{NET}"], "cost_hint": 4})
    row = answer.data["providers"][0]
    assert (row["lookups"], row["voids"], answer.data["problems"]) == (3, 2, [])


def test_facts_may_be_as_old_as_is_said(authority: Authority) -> None:
    old = {**GOOD, "verified_on": (TODAY - datetime.timedelta(days=300)).isoformat()}
    assert info(authority, old, max_age_days=300).data["problems"] == []
    assert len(info(authority, old, max_age_days=299).data["problems"]) == 1


def test_a_dns_that_does_not_answer_proves_nothing(authority: Authority) -> None:
    authority.rcode = dns.rcode.SERVFAIL
    answer = info(authority, GOOD)
    assert answer.data["problems"] == [] and answer.data["unknown"] == [
        f"good: mx1.{NET} could not be looked up",
        f"good: mx2.{NET} could not be looked up",
        f"good: TXT of spf.{NET} could not be looked up",
    ]
    assert answer.data["providers"][0]["told"].endswith("not all could be asked")


def test_one_family_is_enough_for_a_host(authority: Authority) -> None:
    """An answer for one family and none for the other is an address; nothing at all in one and no answer in the other is not
    yet a host that is gone."""
    asked = {"A": ("nodata", ()), "AAAA": ("error", ())}
    given = mail_provider_info.constants_of(GOOD)
    found = check([given], lambda questions: {q: asked.get(q[1], ("error", ())) for q in questions}, TODAY, 180)
    assert found[0].problems == () and len(found[0].unknown) == 3


def test_a_host_without_dnspython_says_so(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_provider_info, "DNS_ERROR", "ImportError")
    answer = info(authority, GOOD)
    assert answer.failed and "dnspython" in answer.message


def test_the_documentation_is_the_specification() -> None:
    assert_documented(mail_provider_info)


def test_the_filter_hands_over_what_the_profiles_say() -> None:
    assert FilterModule().filters()["provider_constants"] is provider_constants
    rows = provider_constants([])
    assert [r["id"] for r in rows] == [p.id for p in profiles()]
    assert all("{" not in name for r in rows for name in r["hosts"] + r["includes"])
    (workspace,) = provider_constants(["google_workspace", "google_workspace"])
    assert workspace["includes"] == ["_spf.google.com"] and "smtp.gmail.com" in workspace["hosts"]
    with pytest.raises(AnsibleFilterError, match="no provider is called acme"):
        provider_constants(["acme"])


def test_the_filter_says_who_asks_for_which_include() -> None:
    assert FilterModule().filters()["spf_senders"] is spf_senders
    rows = {(r["include"], r["who"]): (r["needed"], r["stays"]) for r in spf_senders([])}
    assert rows["_spf.google.com", "Google Workspace"] == (True, False)
    assert rows["_spf.google.com", "Gmail (personal account)"] == (False, False)
    assert rows["_spf.mx.cloudflare.net", "Cloudflare Email Routing"] == (True, True)
    assert rows["amazonses.com", "Amazon SES"] == (False, False)
    assert [r["who"] for r in spf_senders(["google_workspace"])] == ["Google Workspace"]


ACME = {
    "id": "acme",
    "title": "Acme",
    "roles": ["inbound"],
    "verified_on": "2026-11-20",
    "sources": ["https://docs.example.net"],
    "mx": [{"host": f"moved.{NET}", "preference": 10}, {"host": "{dashes}.mail.provider.example", "preference": 20}],
    "webmail": f"mx1.{NET}",
}


def own_profile(inventory: Path, **changes: Any) -> None:
    (inventory / "providers").mkdir(parents=True, exist_ok=True)
    (inventory / "providers" / "acme.yml").write_text(yaml.safe_dump({**ACME, **changes}), encoding="utf-8")


def test_profiles_beside_the_inventory_are_compared_as_well(tmp_path: Path) -> None:
    own_profile(tmp_path)
    (acme,) = provider_constants(["acme"], [str(tmp_path)])
    assert acme["hosts"] == [f"moved.{NET}", f"mx1.{NET}"] and acme["includes"] == []
    own_profile(tmp_path, titel="Acme", verified_on="2026-11-21")
    profiles.cache_clear()
    with pytest.raises(AnsibleFilterError, match="MS-INT-001"):
        provider_constants([], [str(tmp_path)])


def _run(tmp_path: Path, authority: Authority) -> tuple[int, str]:
    inventory = tmp_path / "inventory"
    own_profile(inventory, mx=[{"host": "smtp.google.com", "preference": 1}], webmail="smtp.google.com")
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    (inventory / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {"localhost": local}}}), encoding="utf-8")
    settings = {
        "mailstead_providers": ["gmail_personal", "acme"],
        "mailstead_providers_max_age": 100_000,
        "mailstead_providers_resolvers": [authority.address],
        "mailstead_providers_port": authority.port,
    }
    done = ansible_playbook(inventory, str(ROOT / "playbooks/providers_check.yml"), "-e", json.dumps(settings))
    return done.returncode, output(done)


def test_the_playbook_ends_as_the_profiles_are(tmp_path: Path) -> None:
    google = {
        ("smtp.gmail.com", "A"): ["198.18.7.2"],
        ("smtp.google.com", "A"): ["198.18.7.3"],
        ("_spf.google.com", "TXT"): ['"v=spf1 ip4:198.18.7.0/24 ~all"'],
    }
    with Authority({"google.com": dict(google), "gmail.com": dict(google)}) as authority:
        status, said = _run(tmp_path, authority)
        assert status == 0 and "SPF 1 look-ups" in said and "Acme: 1 host; looked at on 2026-11-20: agrees" in said, (
            said
        )
        del authority.zones["gmail.com"]["smtp.gmail.com", "A"]
        status, said = _run(tmp_path, authority)
        assert status == 2 and "[MS-PRO-030] profile gmail_personal: the host smtp.gmail.com" in said, said
        authority.rcode = dns.rcode.SERVFAIL
        status, said = _run(tmp_path, authority)
        assert status == 2 and "[MS-PRO-035]" in said and "TXT of _spf.google.com could not be looked up" in said, said
