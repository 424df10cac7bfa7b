# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd units: enabled, running, and running with the files they have now."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Dict, List, Sequence

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.host.files import Run, Wanted

PROPERTIES = "Id,LoadState,ActiveState,UnitFileState,NeedDaemonReload,ActiveEnterTimestampMonotonic"
UNIT_DIRECTORIES = ("/etc/systemd/system/", "/lib/systemd/system/", "/usr/lib/systemd/system/")
#: Seconds between a file's time stamp and a start that may still have read it.
TOLERANCE = 1.0


@dataclass(frozen=True)
class Unit:
    """What systemd says of a unit. started: seconds since the epoch, 0 when it has not been."""

    name: str
    loaded: bool
    active: bool
    enabled: bool
    stale: bool
    started: float


def read(run: Run, names: Sequence[str]) -> List[Unit]:
    """The units' states, in one question. A unit that does not exist is not loaded."""
    if not names:
        return []
    rc, out, err = run(["systemctl", "show", "--property", PROPERTIES, *names])
    if rc != 0:
        raise MailsteadError.one(
            "MS-HOST-007",
            ", ".join(names),
            f"systemd does not answer: {(err or out).strip()}",
            "boot the host with systemd",
        )
    units = []
    for name, block in zip(names, out.strip().split("\n\n")):
        values: Dict[str, str] = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        entered = int(values.get("ActiveEnterTimestampMonotonic") or 0) / 1e6
        units.append(
            Unit(
                name=name,
                loaded=values.get("LoadState") == "loaded",
                active=values.get("ActiveState") in ("active", "reloading"),
                enabled=values.get("UnitFileState") in ("enabled", "static", "generated", "indirect", "alias"),
                stale=values.get("NeedDaemonReload") == "yes",
                started=time.time() - time.clock_gettime(time.CLOCK_MONOTONIC) + entered if entered else 0.0,
            )
        )
    return units


def newest(files: Sequence[Wanted]) -> float:
    """When the youngest of the files was written, seconds since the epoch; 0 when there is none."""
    times = [os.stat(f["path"]).st_mtime for f in files if f["state"] == "file" and os.path.isfile(f["path"])]
    return max(times, default=0.0)


def needs(unit: Unit, files: Sequence[Wanted], changed: bool) -> List[str]:
    """The verbs that bring a unit to the wanted state: enable, start, restart.

    A unit that started before its files were written is restarted even when nothing changed just now: an earlier run
    may have died in between.
    """
    verbs = [] if unit.enabled else ["enable"]
    if not unit.active:
        verbs.append("start")
    elif changed or newest(files) > unit.started + TOLERANCE:
        verbs.append("restart")
    return verbs


def apply(run: Run, name: str, verbs: Sequence[str]) -> None:
    """Carry the verbs out. Raises MailsteadError with the unit's last words when it does not come up."""
    for verb in verbs:
        rc, out, err = run(["systemctl", verb, name])
        if rc == 0:
            continue
        _rc, log, _err = run(["journalctl", "--unit", name, "--lines", "15", "--no-pager", "--output", "cat"])
        what = f"systemctl {verb} failed: {(err or out).strip()}" + (
            f"; its last words: {log.strip()}" if log.strip() else ""
        )
        raise MailsteadError.one("MS-HOST-008", name, what, f"look at `journalctl -u {name}` on the host")


def reload_needed(units: Sequence[Unit], paths: Sequence[str]) -> bool:
    """Whether systemd must read unit files again."""
    return any(u.stale for u in units) or any(p.startswith(UNIT_DIRECTORIES) for p in paths)
