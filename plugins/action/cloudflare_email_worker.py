# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the code of Workers on the controller; see plugins/modules/cloudflare_email_worker.py for the documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.plugin_utils import worker_code


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_diff = True
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        args = dict(self._task.args)
        problems: list[Problem] = []
        workers = args.get("workers")
        if isinstance(workers, list):
            args["workers"] = [self._with_code(w, problems) if isinstance(w, dict) else w for w in workers]
        if problems:
            raise AnsibleActionFail(str(MailsteadError(problems)))
        name = "mailstead.stack.cloudflare_email_worker"
        result.update(self._execute_module(module_name=name, module_args=args, task_vars=task_vars))
        return result

    def _with_code(self, worker: dict[str, Any], problems: list[Problem]) -> dict[str, Any]:
        """The worker with modules and main, where it names a template or a file."""
        where = f"worker {worker.get('name')}"
        given = [word for word in ("template", "file", "modules") if worker.get(word)]
        if worker.get("state") != "absent" and len(given) != 1:
            what = f"{' and '.join(given)} are given" if given else "no code is given"
            problems.append(Problem("MS-CW-007", where, what, "Give one of template, file and modules."))
            return worker
        try:
            if worker.get("template"):
                entry = worker_code.TEMPLATES / f"{Path(str(worker['template'])).name}.js"
            elif worker.get("file"):
                entry = Path(self._find_needle("files", str(worker["file"])))
            else:
                return worker
            return {**worker, "modules": worker_code.modules(entry), "main": entry.name}
        except UnicodeDecodeError as error:
            problems.append(Problem("MS-CW-007", where, f"it is no text: {error}", "Give a file of JavaScript."))
        except (OSError, AnsibleError) as error:
            problems.append(Problem("MS-CW-007", where, str(error), "Correct the name; imports begin with ./"))
        return worker
