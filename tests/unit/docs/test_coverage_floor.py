# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The floor of branch coverage notices what falls below it and what was not measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools import coverage_floor


def report(**covered: int) -> dict[str, object]:
    base = "plugins/module_utils"
    files = {
        f"{base}/{name}/a.py": {"summary": {"covered_branches": n, "num_branches": 100}} for name, n in covered.items()
    }
    return {"files": {**files, "plugins/filter/plan.py": {"summary": {"covered_branches": 0, "num_branches": 9}}}}


def held(value: int) -> dict[str, int]:
    return dict.fromkeys(coverage_floor.HELD, value)


def test_a_package_below_the_floor_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "coverage.json"
    monkeypatch.setattr("sys.argv", ["coverage_floor", str(path)])
    path.write_text(json.dumps(report(**{**held(95), "checks": 10})))
    coverage_floor.main()
    path.write_text(json.dumps(report(**{**held(95), "dns": 94})))
    with pytest.raises(SystemExit, match="below the floor of 95 % of branches: dns"):
        coverage_floor.main()


def test_a_package_that_was_not_measured_is_below_the_floor() -> None:
    found = coverage_floor.by_package(report(**{k: v for k, v in held(100).items() if k != "plan"}))
    assert coverage_floor.too_low(found) == ["plan"]


def test_a_package_whose_tests_were_skipped_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    low = coverage_floor.by_package(report(**{**held(100), "rfc2136": 10}))
    monkeypatch.setattr("shutil.which", lambda _name: None)
    assert coverage_floor.too_low(low) == []
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/sbin/{name}")
    assert coverage_floor.too_low(low) == ["rfc2136"]


def test_a_package_without_branches_is_whole() -> None:
    assert coverage_floor.Tally().percent == 100.0
