# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that does not tidy up still says what it has to say, and runs what it has to run at its end."""

from __future__ import annotations

import subprocess
import sys

from ansible_collections.mailstead.stack.plugins.module_utils.common import short_lived

PROGRAM = f"""
import atexit, sys
sys.path[:0] = {sys.path!r}
from {short_lived.__name__} import short_lived
atexit.register(print, "at the end")
short_lived()
import gc
class Loop: pass
loop = Loop(); loop.me = loop; del loop
print("cycles are looked for:", gc.isenabled())
sys.exit(3)
"""


def test_a_short_life_ends_in_order() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stderr) == (3, "")
    assert ended.stdout == "cycles are looked for: False\nat the end\n"
