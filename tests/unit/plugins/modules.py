"""Run a module's main() as Ansible would, and read its answer."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args


@dataclass(frozen=True)
class Answer:
    """What a module returned; raw is its whole standard output."""

    data: dict[str, Any]
    raw: str

    @property
    def failed(self) -> bool:
        return bool(self.data.get("failed"))

    @property
    def changed(self) -> bool:
        return bool(self.data.get("changed"))

    @property
    def message(self) -> str:
        return str(self.data.get("msg", ""))


def run_module(main: Callable[[], None], *, check: bool = False, diff: bool = True, **args: Any) -> Answer:
    """Call main() with arguments; check and diff are Ansible's switches of the same names."""
    given = {**args, "_ansible_check_mode": check, "_ansible_diff": diff}
    output = io.StringIO()
    with patch_module_args(given), contextlib.redirect_stdout(output), pytest.raises(SystemExit) as ended:
        main()
    answer = Answer(json.loads(output.getvalue()), output.getvalue())
    assert answer.failed == (ended.value.code != 0)
    return answer
