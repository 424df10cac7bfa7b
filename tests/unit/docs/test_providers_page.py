"""docs/providers.md: its table says what the profiles say, and what it tells people to write is read."""

from __future__ import annotations

import re

import pytest
import yaml
from ansible_collections.mailstead.stack.plugins.module_utils.providers.model import by_id
from ansible_collections.mailstead.stack.plugins.module_utils.providers.words import PROFILE, read_profile
from ansible_collections.mailstead.stack.plugins.plugin_utils.profiles import profiles

from tools import generated, provider_docs

TEXT = provider_docs.TARGET.read_text(encoding="utf-8")


def test_the_table_is_up_to_date() -> None:
    assert "".join(generated.stale(provider_docs.wanted())) == ""
    assert all(f"`{p.id}` |" in TEXT for p in profiles())


def test_a_row_says_what_a_person_chooses_by() -> None:
    known = by_id(profiles())
    assert "| yes | yes | 8 of 10 look-ups | reject | `dkim_selector`, `dkim_value` |" in provider_docs.row(
        known["tencent_exmail"]
    )
    assert "| | yes | on request | none | |" in provider_docs.row(known["gmail_personal"])
    assert "| yes | | 1 of 10 look-ups | | |" in provider_docs.row(known["cloudflare_email_routing"])
    assert "| | yes | none | reject |" in provider_docs.row(known["brevo"])


def test_a_page_without_marks_is_not_written() -> None:
    for text in ("", provider_docs.BEGIN, provider_docs.END):
        with pytest.raises(ValueError, match=r"providers\.md has no"):
            provider_docs.page(text, profiles())


def test_the_profile_to_copy_is_one() -> None:
    (text,) = [block for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL) if "verified_on" in block]
    profile, problems = read_profile(yaml.safe_load(text), "some_provider.yml")
    assert problems == [] and profile.takes_mail and profile.sends


def test_every_word_is_explained() -> None:
    explained = set(re.findall(r"`([a-z_]+)`", "".join(line for line in TEXT.splitlines() if line.startswith("| `"))))
    assert set(PROFILE.keys) - {"id", "title", "verified_on", "sources"} <= explained
