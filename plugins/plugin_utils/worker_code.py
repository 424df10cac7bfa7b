# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The code of a Worker as it is uploaded: the file that is entered and what it imports, nothing bundled."""

from __future__ import annotations

import re
from pathlib import Path

TEMPLATES = Path(__file__).resolve().parents[2] / "templates" / "worker"
#: A static import or re-export of a file beside the importing one; names like ``cloudflare:email`` are the runtime's.
_IMPORT = re.compile(r"""^\s*(?:import|export)\b[^"';]*?(?:from\s*)?["']\./([\w.-]+)["']""", re.MULTILINE)


def modules(entry: Path) -> dict[str, str]:
    """Text by file name: the entry first, then what it needs. Raises OSError for a file that cannot be read."""
    found: dict[str, str] = {}
    wanted = [entry.name]
    while wanted:
        name = wanted.pop(0)
        if name not in found:
            found[name] = (entry.parent / name).read_text(encoding="utf-8")
            wanted += _IMPORT.findall(found[name])
    return found
