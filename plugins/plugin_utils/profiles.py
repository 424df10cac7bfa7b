# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the providers' profiles (templates/providers/*.yml). On the controller only; the core gets them as data."""

from __future__ import annotations

import functools
from pathlib import Path

import yaml
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.providers.model import Profile
from ansible_collections.mailstead.stack.plugins.module_utils.providers.words import read_profile

FOLDER = Path(__file__).parents[2] / "templates/providers"


@functools.lru_cache(maxsize=4)
def profiles(folder: Path = FOLDER) -> tuple[Profile, ...]:
    """Every profile of a folder, sorted by id. Raises MailsteadError with all mistakes of all files."""
    found: list[Profile] = []
    problems: list[Problem] = []
    for path in sorted(folder.glob("*.yml")):
        profile, wrong = _read(path)
        problems += wrong
        found.append(profile)
    if problems:
        raise MailsteadError(problems)
    return tuple(found)


def _read(path: Path) -> tuple[Profile, list[Problem]]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        what = " ".join(str(error).split())
        return read_profile({}, path.name)[0], [Problem("MS-PRO-001", path.name, what, "correct the file")]
    profile, problems = read_profile(data, path.name)
    if not problems and profile.id != path.stem:
        what = f"the file is named {path.stem} and holds {profile.id}"
        problems.append(Problem("MS-PRO-001", path.name, what, "let file name and id agree"))
    return profile, problems
