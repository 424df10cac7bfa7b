# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The index of codes and the sources agree."""

from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.mailstead.stack.plugins.module_utils.dns import codes

PLUGINS = Path(__file__).resolve().parents[3] / "plugins"


def test_every_code_that_is_reported_is_explained_and_every_explained_one_is_reported() -> None:
    sources = [*PLUGINS.glob("module_utils/dns/*.py"), *PLUGINS.glob("module_utils/cloudflare/*.py")]
    sources += [
        PLUGINS / "modules" / f"{name}.py" for name in ("cloudflare_zone", "cloudflare_zone_info", "ptr_record")
    ]
    reported = set(codes.GUARDS.values())
    for source in sources:
        if source.name != "codes.py":
            reported |= set(re.findall(r"MS-(?:DNS|CF)-[0-9]{3}", source.read_text(encoding="utf-8")))
    assert reported == set(codes.CODES)
