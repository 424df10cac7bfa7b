# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Branch coverage of the core's packages, from coverage's JSON report; fails below the floor.

.venv/bin/python -m tools.coverage_floor build/runs/coverage.json

The floor holds for what decides about other people's records. It is a floor of branches, not of lines: what was never
taken was never tried.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Packages below plugins/module_utils that are held to FLOOR.
HELD = ("cloudflare", "dns", "email_routing", "mta_sts", "plan", "ptr", "rfc2136")
#: A package whose tests need a program; without it they are skipped, and nothing can be said.
NEEDS = {"rfc2136": "knotd"}
FLOOR = 95.0


@dataclass
class Tally:
    covered: int = 0
    total: int = 0

    @property
    def percent(self) -> float:
        return 100.0 * self.covered / self.total if self.total else 100.0


def held() -> list[str]:
    """Those of HELD that this machine can measure."""
    return [name for name in HELD if name not in NEEDS or shutil.which(NEEDS[name])]


def by_package(report: Mapping[str, Any]) -> dict[str, Tally]:
    """Branches by package below plugins/module_utils; report: ``coverage json`` with branches measured."""
    found: dict[str, Tally] = defaultdict(Tally)
    for name, entry in report["files"].items():
        parts = Path(name).parts
        if "module_utils" not in parts:
            continue
        tally = found[parts[parts.index("module_utils") + 1]]
        tally.covered += entry["summary"]["covered_branches"]
        tally.total += entry["summary"]["num_branches"]
    return dict(found)


def too_low(found: Mapping[str, Tally]) -> list[str]:
    """Held packages below the floor; one that was not measured at all is below every floor."""
    return [name for name in held() if name not in found or found[name].percent < FLOOR]


def main() -> None:
    found = by_package(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    for name in sorted(found):
        held = f"(floor {FLOOR:.0f} %)" if name in HELD else ""
        print(
            f"  {name:<12} {found[name].covered:>4} of {found[name].total:<4} branches {found[name].percent:5.1f} %  {held}"
        )
    low = too_low(found)
    if low:
        sys.exit(f"coverage: below the floor of {FLOOR:.0f} % of branches: {', '.join(low)}")


if __name__ == "__main__":
    main()
