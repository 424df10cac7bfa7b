"""Profiles of the user's own, beside the inventory: read together with ours, and their mistakes told with the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.plugin_utils.profiles import Known, known_profiles, profiles

from tests.unit.providers.test_profiles import MINIMAL


def known(inventory: Path, **files: Any) -> Known:
    """files: name without .yml → the content, as text or data."""
    (inventory / "providers").mkdir()
    for name, data in files.items():
        text = data if isinstance(data, str) else yaml.safe_dump({**MINIMAL, "id": name, **data})
        (inventory / "providers" / (name if "." in name else f"{name}.yml")).write_text(text, encoding="utf-8")
    return known_profiles({"ansible_inventory_sources": [str(inventory)]})


def mistakes(inventory: Path, **files: Any) -> list[Problem]:
    with pytest.raises(MailsteadError) as caught:
        known(inventory, **files)
    return list(caught.value.problems)


def test_without_a_folder_ours_are_all_there_is(tmp_path: Path) -> None:
    for sources in ([], ["localhost,"], [str(tmp_path)]):
        found = known_profiles({"ansible_inventory_sources": sources})
        assert found.profiles == profiles() and found.told == ""


def test_theirs_stand_beside_ours_in_order(tmp_path: Path) -> None:
    found = known(tmp_path, m_provider={}, a_provider={})
    ids = [p.id for p in found.profiles]
    assert ids == sorted(ids) and len(ids) == len(profiles()) + 2 and found.own == ("a_provider", "m_provider")
    assert found.told == "Providers described beside the inventory: a_provider, m_provider"


def test_the_file_of_an_inventory_stands_for_its_directory(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("", encoding="utf-8")
    known(tmp_path, a_provider={})
    found = known_profiles({"ansible_inventory_sources": [str(tmp_path / "hosts.yml")]})
    assert found.own == ("a_provider",)


def test_theirs_may_replace_ours_and_that_is_told(tmp_path: Path) -> None:
    found = known(tmp_path, fastmail={"title": "Fastmail as we have it"})
    assert len(found.profiles) == len(profiles()) and found.replaced == ("fastmail",)
    assert [p.title for p in found.profiles if p.id == "fastmail"] == ["Fastmail as we have it"]
    assert found.told.endswith("fastmail; in place of ours: fastmail")


def test_mistakes_of_all_files_are_told_with_file_and_code(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path,
        a_provider="id: [",
        b_provider={"titel": "x"},
        c_provider={"id": "d_provider"},
        e_provider={"dkim": [{"kind": "txt", "selector": "s", "value": "{key}"}]},
        stalwart={},
    )
    assert [(p.code, p.where.split(".yml")[0]) for p in found] == [
        ("MS-PRO-001", "providers/a_provider"),
        ("MS-INT-001", "providers/b_provider"),
        ("MS-PRO-001", "providers/c_provider"),
        ("MS-PRO-002", "providers/e_provider"),
        ("MS-PRO-003", "providers/stalwart"),
    ]
    assert "rename it to d_provider.yml" in found[2].fix


def test_another_ending_is_not_passed_over(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, **{"a_provider.yaml": yaml.safe_dump({**MINIMAL, "id": "a_provider"})})
    assert found.code == "MS-PRO-001" and "rename it to a_provider.yml" in found.fix
