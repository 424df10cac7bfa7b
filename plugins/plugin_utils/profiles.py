# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the providers' profiles: ours (templates/providers) and those beside the user's inventory (providers).

On the controller only; the core gets them as data.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.intent.model import OWN
from ansible_collections.mailstead.stack.plugins.module_utils.providers.model import Profile, by_id
from ansible_collections.mailstead.stack.plugins.module_utils.providers.words import read_profile
from ansible_collections.mailstead.stack.plugins.plugin_utils.state import inventory_directory

FOLDER = Path(__file__).parents[2] / "templates/providers"
#: The folder of the user's own, beside the inventory.
OWN_FOLDER = "providers"


@dataclass(frozen=True)
class Known:
    """Every profile, sorted by id. own: ids of the user's files; replaced: those of them that stand in for ours."""

    profiles: tuple[Profile, ...]
    own: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """What people have to know about where profiles come from; nothing when all of them are ours."""
        if not self.own:
            return ""
        instead = f"; in place of ours: {', '.join(self.replaced)}" if self.replaced else ""
        return f"Providers described beside the inventory: {', '.join(self.own)}{instead}"


def known_profiles(variables: Mapping[str, Any]) -> Known:
    """Ours and the user's together. variables: a task's. Raises MailsteadError with all mistakes of all files."""
    inventory = inventory_directory(variables)
    own = profiles(inventory / OWN_FOLDER, f"{OWN_FOLDER}/") if inventory else ()
    ours = by_id(profiles())
    ids = tuple(p.id for p in own)
    together = {**ours, **by_id(own)}
    return Known(tuple(together[i] for i in sorted(together)), ids, tuple(i for i in ids if i in ours))


@functools.lru_cache(maxsize=4)
def profiles(folder: Path = FOLDER, shown: str = "") -> tuple[Profile, ...]:
    """Every profile of a folder, sorted by id; none when there is no folder. shown: what messages put before a file's name.

    Raises MailsteadError with all mistakes of all files.
    """
    found: list[Profile] = []
    problems: list[Problem] = []
    for path in sorted((*folder.glob("*.yml"), *folder.glob("*.yaml"))):
        profile, wrong = _read(path, f"{shown}{path.name}")
        problems += wrong
        found.append(profile)
    if problems:
        raise MailsteadError(problems)
    return tuple(found)


def _read(path: Path, place: str) -> tuple[Profile, list[Problem]]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        what = " ".join(str(error).split())
        return read_profile({}, place)[0], [Problem("MS-PRO-001", place, what, "correct the file")]
    profile, problems = read_profile(data, place)
    if not problems and profile.id == OWN:
        what = f"{OWN} is our own server, which has no profile"
        problems.append(Problem("MS-PRO-003", place, what, "give the provider another id, and the file its name"))
    elif not problems and path.name != f"{profile.id}.yml":
        what = f"the file is named {path.name} and holds {profile.id}"
        problems.append(Problem("MS-PRO-001", place, what, f"rename it to {profile.id}.yml, or correct the id in it"))
    return profile, problems
