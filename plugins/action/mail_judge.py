# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges observations against the plan on the controller and writes the report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Dict, List

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.mailstead.stack.plugins.module_utils.checks import report as reports
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import (
    EXIT_BROKEN,
    EXIT_FAIL,
    EXIT_OK,
    EXIT_UNKNOWN,
)
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges import judge
from ansible_collections.mailstead.stack.plugins.module_utils.checks.observation import observation_from
from ansible_collections.mailstead.stack.plugins.module_utils.checks.plain import plain
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import MailPlan, from_data
from ansible_collections.mailstead.stack.plugins.module_utils.plan.resolve import facts_from
from ansible_collections.mailstead.stack.plugins.plugin_utils.report_files import COLOURS, write

display = Display()


class ActionModule(ActionBase):
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: Any = None) -> Dict[str, Any]:
        super().run(tmp, task_vars)
        _validated, args = self.validate_argument_spec(
            argument_spec={
                "plan": {"type": "dict", "required": True},
                "observations": {"type": "list", "required": True},
                "facts": {"type": "dict", "default": {}},
                "report_dir": {"type": "path", "default": "build/report"},
                "labels": {"type": "list", "elements": "str", "default": []},
                "mail": {"type": "list", "elements": "dict", "default": []},
                "fail": {"type": "bool", "default": True},
            }
        )
        now = time.time()
        labels = [str(label) for label in args["labels"]]
        try:
            plan = from_data(MailPlan, plain(args["plan"]))
            seen = [observation_from(o) for o in flatten(plain(args["observations"]))]
            findings = judge(plan, seen, facts_from(plain(args["facts"])), now)
            report = reports.build(plan, findings, labels, now, plain(args["mail"]))
        except Exception as error:
            # Whatever broke, the report says so: an old report must not be taken for this run's.
            report = reports.broken(f"{type(error).__name__}: {error}", labels, now)
        where = Path(args["report_dir"])
        where = where if where.is_absolute() else Path.cwd() / where
        summary = reports.text(report)
        if not self._task.check_mode:
            write(where, report)
            summary += f"\n\nReport: {where / 'report.html'}\n        {where / 'report.json'}"
        display.display(summary, color=COLOURS.get(report["exit_code"]))
        result: Dict[str, Any] = {
            "changed": False,
            "exit_code": report["exit_code"],
            "summary": summary,
            "counts": report["counts"],
            "findings": report["findings"],
            "report_dir": str(where),
        }
        broken = report["exit_code"] == EXIT_BROKEN
        if broken or (args["fail"] and report["exit_code"] != EXIT_OK):
            result["failed"] = True
            result["msg"] = message(report)
        return result


def message(report: Dict[str, Any]) -> str:
    """The one line a failed task ends with."""
    code = report["exit_code"]
    names = [f"{f['id']} {f['scope']}" for f in report["findings"]]
    if code == EXIT_FAIL:
        failed = [n for n, f in zip(names, report["findings"]) if f["verdict"] == "fail"]
        return f"[MS-CHK-001] {len(failed)} check(s) failed: {', '.join(failed)}. Evidence and fixes stand above."
    if code == EXIT_UNKNOWN:
        open_ = [n for n, f in zip(names, report["findings"]) if f["verdict"] == "unknown" and f["matters"]]
        return f"[MS-CHK-002] {len(open_)} check(s) that matter could not be made: {', '.join(open_)}."
    return f"[MS-CHK-003] The observations could not be judged: {report.get('error', 'there are none')}."


def flatten(items: Any) -> List[Any]:
    """One list of observations out of a list of them or of lists of them, one per host; None is skipped."""
    out: List[Any] = []
    for item in items:
        if isinstance(item, list):
            out += flatten(item)
        elif item is not None:
            out.append(item)
    return out
