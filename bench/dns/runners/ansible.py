# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What both Ansible runners share: the same interpreter, the same configuration, playbook or bare module process."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ..account import ROOT
from .base import Command

#: Faster than the defaults for both: no interpreter discovery, no file transfer per task.
CONFIG = """\
[defaults]
collections_path = {paths}
gathering = explicit
retry_files_enabled = false
[connection]
pipelining = true
"""
INVENTORY = "localhost ansible_connection=local ansible_python_interpreter={python}\n"


def playbook_command(play: str, variables: dict[str, Any], directory: Path, env: dict[str, str]) -> Command:
    """ansible-playbook over the given play, its variables in a file beside it."""
    (directory / "play.yml").write_text(play, encoding="utf-8")
    (directory / "job.json").write_text(json.dumps(variables), encoding="utf-8")
    (directory / "ansible.cfg").write_text(CONFIG.format(paths=collections(directory)), encoding="utf-8")
    (directory / "hosts").write_text(INVENTORY.format(python=sys.executable), encoding="utf-8")
    program = str(Path(sys.executable).parent / "ansible-playbook")
    return Command((program, "-i", "hosts", "play.yml"), {"ANSIBLE_CONFIG": str(directory / "ansible.cfg"), **env})


def module_command(module: str, params: dict[str, Any], directory: Path, env: dict[str, str]) -> Command:
    """The module alone, as a process that reads its parameters from standard input."""
    python_path = {"PYTHONPATH": collections(directory)}
    return Command((sys.executable, "-m", module), {**python_path, **env}, json.dumps({"ANSIBLE_MODULE_ARGS": params}))


def collections(directory: Path) -> str:
    """Where both collections are: ours in the repository, the peer's in the bench's own folder."""
    return f"{ROOT / 'collections'}:{directory / 'collections'}"
