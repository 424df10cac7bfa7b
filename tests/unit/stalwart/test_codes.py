# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of codes and the sources agree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.dkim import codes as dkim
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart import codes as stalwart

PLUGINS = Path(__file__).resolve().parents[3] / "plugins"


@pytest.mark.parametrize(
    ("area", "table", "modules"),
    [
        ("SRV", stalwart.CODES, ["stalwart/*.py", "../modules/stalwart_*.py"]),
        ("DKIM", dkim.CODES, ["dkim/*.py", "../modules/dkim_keys.py"]),
    ],
)
def test_what_is_reported_is_explained_and_the_other_way_round(
    area: str, table: dict[str, str], modules: list[str]
) -> None:
    sources = [p for pattern in modules for p in (PLUGINS / "module_utils").glob(pattern) if p.name != "codes.py"]
    reported = {c for p in sources for c in re.findall(rf"MS-{area}-[0-9]{{3}}", p.read_text(encoding="utf-8"))}
    assert reported == set(table)
    assert all(text.endswith((".", "`")) and len(text) > 30 for text in table.values())
