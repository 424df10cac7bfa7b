# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cloudflared's own opinion of wanted rules, on a controller that has the program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, List, Protocol, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_lint import validate_output
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_model import Wanted, access, ingress
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem

PROGRAM = "cloudflared"


class Runner(Protocol):
    """What is used of an AnsibleModule."""

    @property
    def tmpdir(self) -> str: ...

    def get_bin_path(self, arg: str) -> Any: ...

    def run_command(self, args: List[str]) -> Tuple[int, str, str]: ...


def ask_program(module: Runner, wanted: Sequence[Wanted]) -> None:
    """Have the rules of each tunnel read by ``cloudflared tunnel ingress validate``, where it is installed.

    The audience is not known yet, so another stands for it. Raises MailsteadError for what it refuses or warns of.
    """
    program = module.get_bin_path(PROGRAM)
    if not program:
        return
    problems: List[Problem] = []
    for want in wanted:
        if want.present:
            problems += _ask(module, str(program), want)
    if problems:
        raise MailsteadError(problems)


def _ask(module: Runner, program: str, want: Wanted) -> List[Problem]:
    file = Path(module.tmpdir) / f"{want.name}.json"
    # JSON is YAML.
    config = {"tunnel": want.name, "ingress": ingress(want, access("team", "audience"))}
    file.write_text(json.dumps(config), encoding="utf-8")
    code, said, complained = module.run_command([program, "tunnel", "--config", str(file), "ingress", "validate"])
    return validate_output(f"{complained}\n{said}", code, f"tunnel {want.name}")
