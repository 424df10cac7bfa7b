# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""System accounts that own files and run services: no password, no home, no shell."""

from __future__ import annotations

import pwd
from typing import List, Sequence

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.host.files import Run


def missing(names: Sequence[str]) -> List[str]:
    """Those that the host does not have; asked one by one, because directories need not list all they know."""
    out = []
    for name in names:
        try:
            pwd.getpwnam(name)
        except KeyError:
            out.append(name)
    return out


def make(run: Run, names: Sequence[str]) -> None:
    """Make them, each with a group of its own name. Raises MailsteadError with useradd's words."""
    for name in names:
        command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
        rc, out, err = run([*command, "--shell", "/usr/sbin/nologin", name])
        if rc != 0:
            raise MailsteadError.one(
                "MS-HOST-006", name, f"useradd refused: {(err or out).strip()}", "make the account by hand"
            )
