# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the comparison where the task runs and makes its report on the controller."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.mailstead.stack.plugins.module_utils.checks import report as reports
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import (
    EXIT_BROKEN,
    EXIT_OK,
    finding_from,
)
from ansible_collections.mailstead.stack.plugins.module_utils.checks.plain import plain
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift import report as drift
from ansible_collections.mailstead.stack.plugins.plugin_utils.report_files import COLOURS, write

#: Arguments that are about the report; all others are the module's.
REPORT_SPEC: dict[str, Any] = {
    "report_dir": {"type": "path", "default": "build/drift"},
    "labels": {"type": "list", "elements": "str", "default": []},
    "fail": {"type": "bool", "default": True},
}

display = Display()


class ActionModule(ActionBase):
    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        given = dict(self._task.args)
        checked = ArgumentSpecValidator(REPORT_SPEC).validate({k: v for k, v in given.items() if k in REPORT_SPEC})
        if checked.error_messages:
            return {"failed": True, "msg": "; ".join(checked.error_messages)}
        args = checked.validated_parameters
        module_args = {k: v for k, v in given.items() if k not in REPORT_SPEC}
        ran = self._execute_module(
            module_name="mailstead.stack.dns_drift", module_args=module_args, task_vars=task_vars
        )
        report = report_of(plain(ran), [str(label) for label in args["labels"]], time.time())
        where = Path(args["report_dir"])
        where = where if where.is_absolute() else Path.cwd() / where
        summary = reports.text(report)
        if not self._task.check_mode:
            write(where, report)
            summary += f"\n\nReport: {where / 'report.html'}\n        {where / 'report.json'}"
        display.display(summary, color=COLOURS.get(report["exit_code"]))
        code = report["exit_code"]
        result: dict[str, Any] = {
            "changed": False,
            "exit_code": code,
            "counts": report["counts"],
            "report_dir": str(where),
        }
        if code == EXIT_BROKEN or (args["fail"] and code != EXIT_OK):
            # What failed is shown in full by Ansible; findings by the hundred stand in the report.
            return {**result, "failed": True, "msg": drift.message(report)}
        return {**result, "summary": summary, "findings": report["findings"], "zones": report["zones"]}


def report_of(ran: dict[str, Any], labels: list[str], now: float) -> dict[str, Any]:
    """The report of a module run; one that failed did not compare anything."""
    if ran.get("failed") or "findings" not in ran:
        return drift.broken(str(ran.get("msg") or "the module returned nothing"), labels, now)
    return drift.build([finding_from(f) for f in ran["findings"]], ran["zones"], labels, now)
