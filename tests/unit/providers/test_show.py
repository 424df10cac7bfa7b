"""A profile as people see it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.mailstead.stack.plugins.filter.provider import FilterModule, provider_text
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.providers.model import Profile, by_id
from ansible_collections.mailstead.stack.plugins.module_utils.providers.show import (
    find,
    limit_words,
    show_list,
    show_provider,
)
from ansible_collections.mailstead.stack.plugins.plugin_utils.profiles import profiles

from tests.unit.providers.keys import RSA_1024, RSA_2048

KNOWN = by_id(profiles())


def shown(provider: str, domain: str = "example.cn", given: Mapping[str, str] | None = None, **more: Any) -> str:
    return show_provider(KNOWN[provider], domain, given or {}, **more)


@pytest.mark.parametrize("profile", profiles(), ids=lambda p: p.id)
def test_everything_a_person_has_to_know_is_there(profile: Profile) -> None:
    text = " ".join(shown(profile.id).split())
    assert profile.verified_on in text and all(source in text for source in profile.sources)
    for one in profile.inputs:
        assert f"{one.name} (" in text and " ".join(one.where.split()) in text
    if profile.sends:
        assert f"p={profile.dmarc.max_policy} at most" in text and profile.dmarc.reason in text
    if profile.submission:
        assert all(f"port {port.port} (" in text for port in profile.submission.ports)
    assert all(limit_words(name, value) in text for name, value in profile.limits)
    assert f"provider: {profile.id}" in text or f"inbound: {profile.id}" in text


def test_records_are_shown_for_the_domain_with_what_is_still_missing() -> None:
    text = shown("tencent_exmail")
    assert re.search(r"MX +example\.cn +5 mxbiz1\.qq\.com", text)
    assert re.search(r"TXT +example\.cn +v=spf1 include:spf\.mail\.qq\.com ~all  # 8 of the 10 look-ups", text)
    assert "{dkim_selector}._domainkey.example.cn" in text and "left out: dkim_selector, dkim_value." in text
    assert re.search(r"CNAME +<name>\.example\.cn +exmail\.qq\.com", text)


def test_values_are_tried_and_mistakes_told_first() -> None:
    pasted = {
        "dkim_selector": "lokg123._domainkey",
        "dkim_value": f'"v=DKIM1; k=rsa; p={RSA_2048[:200]}" "{RSA_2048[200:]}"',
    }
    text = shown("tencent_exmail", given=pasted)
    assert "lokg123._domainkey.example.cn  v=DKIM1; k=rsa; p=MII" in text
    assert "Wrong in the inputs" not in text and "stands in braces" not in text
    wrong = shown("tencent_exmail", given={**pasted, "dkim_value": f"{RSA_1024}AB"})
    assert wrong.index("Wrong in the inputs") < wrong.index("What it would publish") and "218 characters" in wrong


def test_a_key_that_is_not_known_yet_lowers_what_dmarc_allows() -> None:
    given = {"tld": "eu", "spf_include": "zohomail.eu"}
    assert "p=reject at most" in shown("zoho") and "p=quarantine at most" in shown("zoho", given=given)
    assert "p=reject at most" in shown("zoho", given={**given, "dkim_value": RSA_2048})


def test_whatever_a_provider_has_of_its_own_is_said() -> None:
    assert "<assigned> route1.mx.cloudflare.net" in shown("cloudflare_email_routing")
    assert "It publishes a record itself: v=DMARC1; p=reject;" in shown("cloudflare_email_sending")
    assert "only with `spf_authorize: true`" in shown("gmail_personal")
    assert "an alias in place of a policy, _dmarc to dmarcroot.purelymail.com" in shown("purelymail")
    assert "of its own: DMARC, TLS-RPT." in shown("fastmail")
    assert "Publishes nothing" not in shown("brevo") and "Needs to know nothing but the domain" in shown("fastmail")
    assert "needed, or dkim_target_1" in shown("mailgun") and "one of smtp.mailgun.org, smtp.eu.mailgun.org" in shown(
        "mailgun"
    )
    assert "Needs to know account" in shown("gmail_personal")
    assert "mx_host (example-cn.mail.protection.outlook.com if not given)" in shown("microsoft365")
    assert "message size: 25 MiB" in shown("cloudflare_email_routing")
    assert "example-cn.mail.protection.outlook.com" in shown("microsoft365")
    assert "Described beside your inventory" in shown("fastmail", own=True)


def test_a_provider_with_nothing_to_publish_says_so() -> None:
    text = show_provider(Profile("x", "X", ("outbound",), "2026-11-20", ("https://x.example/",)), "example.org", {})
    assert "Publishes nothing for example.org" in text


def test_the_list_has_a_line_for_each_and_marks_ours_and_theirs() -> None:
    text = show_list(profiles(), own=("fastmail", "zoho"), replaced=("zoho",))
    assert all(re.search(rf"^{p.id} ", text, re.MULTILINE) for p in profiles())
    assert "Fastmail (yours)\n" in text and "Zoho Mail (yours, in place of ours)" in text


def test_a_provider_that_is_not_there_is_told_with_the_nearest() -> None:
    with pytest.raises(MailsteadError) as caught:
        find(profiles(), "fastmial")
    (problem,) = caught.value.problems
    assert problem.code == "MS-PRO-004" and "Did you mean 'fastmail'?" in problem.fix


def test_the_filter_takes_what_the_playbook_has() -> None:
    assert FilterModule().filters() == {"provider_text": provider_text}
    assert "xn--fsqu00a.xn--0zwm56d" in provider_text("fastmail", "例子.测试")
    assert provider_text("list").startswith("Provider ")
    with pytest.raises(AnsibleFilterError, match="MS-PRO-004"):
        provider_text("fastmial")
    with pytest.raises(AnsibleFilterError, match="domain: "):
        provider_text("fastmail", "exa mple.org")
