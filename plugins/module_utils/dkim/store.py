# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys on disk: ``<directory>/<domain>/<selector>.pem``, and a small record of when each was made.

Keys are input, never output: what exists is read and never made again. A selector's name is used once for ever, so
names of keys that are gone stay in the record as tombstones. Nothing unsafe is mended silently: a key that others
could read is a matter for a person.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.common.files import (
    create_private,
    private_directory,
    write_private,
)

_LABEL = r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"^{_LABEL}(?:\.{_LABEL})*$")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_ENDING = {"rsa-2048": "r", "rsa-4096": "r", "ed25519": "e"}

Describe = Callable[[bytes], Tuple[str, str]]


@dataclass(frozen=True)
class Wanted:
    """selector: a strftime pattern, evaluated in UTC when the key is made and never again."""

    domain: str
    algorithm: str
    selector: str


@dataclass(frozen=True)
class Key:
    """A key on disk. public: base64 as in the record's p=; created: UTC."""

    domain: str
    algorithm: str
    selector: str
    path: Path
    public: str
    created: datetime.datetime


class Record:
    """``dkim.json``: when keys were made, which are retired, which names are used up."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._data: Dict[str, Any] = {"version": 1, "keys": {}, "tombstones": []}
        if path.exists():
            try:
                data = json.loads(path.read_bytes())
                if not isinstance(data["keys"], dict) or not isinstance(data["tombstones"], list):
                    raise ValueError("keys or tombstones have the wrong type")
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise MailsteadError.one(
                    "MS-DKIM-007",
                    str(path),
                    f"cannot be read: {error}",
                    f"Restore it from the backup, or remove it: rm {path}",
                ) from error
            self._data = data

    def created(self, domain: str, selector: str) -> Optional[datetime.datetime]:
        text = self._data["keys"].get(f"{domain}/{selector}", {}).get("created")
        try:
            return datetime.datetime.fromisoformat(text) if isinstance(text, str) else None
        except ValueError:
            return None

    def retired(self, domain: str, selector: str) -> bool:
        return bool(self._data["keys"].get(f"{domain}/{selector}", {}).get("retired"))

    def used(self, domain: str, selector: str) -> bool:
        name = f"{domain}/{selector}"
        return name in self._data["keys"] or name in self._data["tombstones"]

    def note(self, keys: Sequence[Key]) -> None:
        """Enter keys that are not in the record yet; writes only then."""
        new = [k for k in keys if f"{k.domain}/{k.selector}" not in self._data["keys"]]
        if not new:
            return
        for key in new:
            self._data["keys"][f"{key.domain}/{key.selector}"] = {
                "algorithm": key.algorithm,
                "created": key.created.isoformat(timespec="seconds"),
            }
        private_directory(self.path.parent, 0o755)
        write_private(self.path, (json.dumps(self._data, indent=1, sort_keys=True) + "\n").encode())


def check_wanted(raw: Sequence[Mapping[str, Any]], now: datetime.datetime) -> List[Wanted]:
    """The wanted keys, checked; raises MailsteadError MS-DKIM-004 with every mistake."""
    problems: List[Problem] = []
    wanted: List[Wanted] = []
    for index, entry in enumerate(raw):
        one = Wanted(str(entry["domain"]).lower(), str(entry["algorithm"]), str(entry["selector"]))
        place = f"keys[{index}]"
        if not _NAME.match(one.domain) or len(one.domain) > 253:
            problems.append(
                Problem("MS-DKIM-004", f"{place}/domain", f"{one.domain!r} is no domain", "Write A-labels.")
            )
        if one.algorithm not in _ENDING:
            names = ", ".join(_ENDING)
            problems.append(Problem("MS-DKIM-004", f"{place}/algorithm", f"{one.algorithm!r}", f"Use one of {names}."))
        else:
            name = selector_name(one, now, 0)
            if not _NAME.match(name) or len(f"{name}._domainkey.{one.domain}") > 253:
                problems.append(
                    Problem(
                        "MS-DKIM-004",
                        f"{place}/selector",
                        f"{one.selector!r} gives {name!r}, which cannot stand in a DNS name",
                        "Use letters, digits and strftime codes, such as %Y%m.",
                    )
                )
        if (one.domain, one.algorithm) in {(w.domain, w.algorithm) for w in wanted}:
            problems.append(Problem("MS-DKIM-004", place, "is listed twice", "Remove one of the two."))
        wanted.append(one)
    if problems:
        raise MailsteadError(problems)
    return wanted


def selector_name(wanted: Wanted, now: datetime.datetime, again: int) -> str:
    """The selector made at this time; again counts further keys of the same period: 202601r, 202601br, 202601cr, …"""
    return now.strftime(wanted.selector).lower() + (_LETTERS[again] if again else "") + _ENDING[wanted.algorithm]


def free_selector(directory: Path, record: Record, wanted: Wanted, now: datetime.datetime, taken: Sequence[str]) -> str:
    """A name that no key has or ever had. Raises MailsteadError MS-DKIM-005 when the alphabet ends."""
    for again in range(len(_LETTERS)):
        name = selector_name(wanted, now, again)
        path = directory / wanted.domain / f"{name}.pem"
        if not record.used(wanted.domain, name) and name not in taken and not os.path.lexists(path):
            return name
    raise MailsteadError.one(
        "MS-DKIM-005",
        f"{wanted.domain} {wanted.algorithm}",
        f"all selectors of {now.strftime(wanted.selector)} are used up",
        "Use a finer pattern, such as %Y%m%d.",
    )


def read_keys(directory: Path, domains: Sequence[str], owner: int, record: Record, describe: Describe) -> List[Key]:
    """Every key of the domains. Raises MailsteadError with every unsafe or unreadable file (MS-DKIM-001 to 003)."""
    problems: List[Problem] = []
    keys: List[Key] = []
    for place in [directory, *(directory / d for d in sorted(set(domains)))]:
        problem = _unsafe_directory(place)
        if problem:
            problems.append(problem)
    if not problems:
        for domain in sorted(set(domains)):
            for path in sorted((directory / domain).glob("*.pem")):
                found = _read_key(path, domain, owner, record, describe)
                if isinstance(found, Problem):
                    problems.append(found)
                else:
                    keys.append(found)
    if problems:
        raise MailsteadError(problems)
    return keys


def _unsafe_directory(path: Path) -> Optional[Problem]:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISDIR(status.st_mode):
        return Problem("MS-DKIM-003", str(path), "is no directory", f"Look at it with: ls -ld {path}")
    if status.st_mode & 0o022:
        return Problem(
            "MS-DKIM-003",
            str(path),
            f"can be written by others (mode {stat.S_IMODE(status.st_mode):04o}), who could plant keys",
            f"Run: chmod 0711 {path}",
        )
    return None


def _read_key(path: Path, domain: str, owner: int, record: Record, describe: Describe) -> Key | Problem:
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        return Problem("MS-DKIM-001", str(path), "is no regular file", f"Look at it with: ls -l {path}")
    commands = []
    if stat.S_IMODE(status.st_mode) & 0o077 or not status.st_mode & 0o400:
        commands.append(f"chmod 600 {path}")
    if status.st_uid != owner:
        commands.append(f"chown {owner} {path}")
    if commands:
        return Problem(
            "MS-DKIM-001",
            str(path),
            f"is mode {stat.S_IMODE(status.st_mode):04o} of uid {status.st_uid}; a signing key is 0600 of uid {owner}",
            "Run: " + " && ".join(commands),
        )
    try:
        algorithm, public = describe(path.read_bytes())
    except (OSError, ValueError) as error:
        return Problem(
            "MS-DKIM-002",
            str(path),
            f"is no readable private key: {error}",
            f"Restore it from the backup, or move it away: mv {path} {path}.damaged",
        )
    modified = datetime.datetime.fromtimestamp(int(status.st_mtime), datetime.timezone.utc)
    created = record.created(domain, path.stem) or modified
    return Key(domain, algorithm, path.stem, path, public, created)


def active(keys: Sequence[Key], record: Record, wanted: Wanted) -> Optional[Key]:
    """The newest key of the domain and algorithm that is not retired."""
    fitting = [
        k
        for k in keys
        if (k.domain, k.algorithm) == (wanted.domain, wanted.algorithm) and not record.retired(k.domain, k.selector)
    ]
    return max(fitting, key=lambda k: (k.created, k.selector), default=None)


def make_key(
    directory: Path, wanted: Wanted, selector: str, pem: bytes, owner: Tuple[int, int], now: datetime.datetime
) -> Path:
    """Put a new private key on disk, never over another one. Raises MailsteadError MS-DKIM-006."""
    place = directory / wanted.domain
    path = place / f"{selector}.pem"
    try:
        # Others may pass through (the server in its container does) but not look around.
        private_directory(directory, 0o711)
        private_directory(place, 0o711)
        create_private(path, pem, 0o600, *owner)
        os.utime(path, (now.timestamp(), now.timestamp()))
    except OSError as error:
        raise MailsteadError.one(
            "MS-DKIM-006", str(path), f"cannot be written: {error.strerror}", f"Look at: ls -ld {place}; df {directory}"
        ) from error
    return path
