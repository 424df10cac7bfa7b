# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a host: compared, validated and replaced as a set."""

from __future__ import annotations

import difflib
import grp
import hashlib
import os
import pwd
import re
import shutil
import stat
import tempfile
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem

#: Runs a command: (exit status, output, errors).
Run = Callable[[List[str]], Tuple[int, str, str]]
Wanted = Dict[str, Any]


def user_id(name: str) -> int:
    return int(name) if name.isdigit() else pwd.getpwnam(name).pw_uid


def group_id(name: str) -> int:
    return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid


def read(path: str) -> Optional[bytes]:
    """The content of a regular file; None where there is none."""
    if os.path.islink(path) or not os.path.isfile(path):
        return None
    with open(path, "rb") as stream:
        return stream.read()


def differs(wanted: Wanted) -> bool:
    """Whether the host's state of one entry is not the wanted one."""
    path, state = wanted["path"], wanted["state"]
    if state == "absent":
        return os.path.lexists(path)
    if state == "link":
        return not os.path.islink(path) or os.readlink(path) != wanted["target"]
    if state == "directory" and not os.path.isdir(path):
        return True
    if state == "file" and (os.path.islink(path) or not os.path.isfile(path)):
        return True
    found = os.stat(path)
    if stat.S_IMODE(found.st_mode) != int(wanted["mode"], 8):
        return True
    try:
        if (found.st_uid, found.st_gid) != (user_id(wanted["owner"]), group_id(wanted["group"])):
            return True
    except KeyError:
        # The account comes with a package that is not installed yet (check mode on a bare host).
        return True
    return bool(state == "file" and read(path) != wanted["content"].encode("utf-8"))


def unified(wanted: Wanted) -> Dict[str, str]:
    """The difference as Ansible shows it; of a secret only that there is one."""
    path = wanted["path"]
    if wanted["state"] != "file" or wanted["secret"]:
        what = "secret content" if wanted["secret"] else wanted["state"]
        return {"prepared": f"{path}: {what} changes\n"}
    before = (read(path) or b"").decode("utf-8", "replace")
    lines = difflib.unified_diff(
        before.splitlines(keepends=True),
        wanted["content"].splitlines(keepends=True),
        f"{path} (before)",
        f"{path} (after)",
    )
    shown = (line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines)
    return {"prepared": "".join(shown) or f"{path}: owner or mode changes\n"}


def _write_new(wanted: Wanted) -> str:
    """The new content in a file beside the old one, with its final owner and mode; returns its path."""
    directory, name = os.path.split(wanted["path"])
    uid, gid = user_id(wanted["owner"]), group_id(wanted["group"])
    # Validators may go by the suffix.
    handle, partial = tempfile.mkstemp(dir=directory, prefix=f".{name}.", suffix=os.path.splitext(name)[1])
    try:
        with os.fdopen(handle, "wb") as stream:
            os.fchown(stream.fileno(), uid, gid)
            os.fchmod(stream.fileno(), int(wanted["mode"], 8))
            stream.write(wanted["content"].encode("utf-8"))
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        os.unlink(partial)
        raise
    return partial


def obstacle(wanted: Wanted) -> Optional[Problem]:
    """What keeps an entry from being put in place; nothing when it can be."""
    path, state = wanted["path"], wanted["state"]
    if state == "directory" and os.path.lexists(path) and not os.path.isdir(path):
        return Problem(
            "MS-HOST-005", path, "something that is no directory stands there", f"look at it, then run: rm {path}"
        )
    if state in ("file", "link") and os.path.isdir(path) and not os.path.islink(path) and os.listdir(path):
        return Problem(
            "MS-HOST-005", path, "a directory that is not empty stands there", "look at it, then move it away"
        )
    if state in ("file", "directory"):
        for kind, name, look_up in (("user", wanted["owner"], user_id), ("group", wanted["group"], group_id)):
            try:
                look_up(name)
            except KeyError:
                fix = f"make the {kind} before the file that belongs to it"
                return Problem("MS-HOST-004", path, f"there is no {kind} {name}", fix)
    return None


def make_room(path: str) -> None:
    """Remove an empty directory in the way: container engines make one for a mount whose source is missing."""
    if os.path.isdir(path) and not os.path.islink(path):
        os.rmdir(path)


def make_directory(wanted: Wanted) -> None:
    path = wanted["path"]
    os.makedirs(path, exist_ok=True)
    os.chown(path, user_id(wanted["owner"]), group_id(wanted["group"]))
    os.chmod(path, int(wanted["mode"], 8))


def remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def _stage(run: Run, files: List[Wanted]) -> List[Tuple[Wanted, str]]:
    """Write and validate every new content beside its place; nothing is replaced when one is refused."""
    staged: List[Tuple[Wanted, str]] = []
    try:
        for wanted in files:
            if wanted["state"] == "directory":
                make_directory(wanted)
            if wanted["state"] != "file":
                continue
            os.makedirs(os.path.dirname(wanted["path"]), exist_ok=True)
            partial = _write_new(wanted)
            staged.append((wanted, partial))
            if wanted["validate"]:
                command = [word.replace("%s", partial) for word in wanted["validate"]]
                rc, out, err = run(command)
                # Entries of callers that do not ask for it have no such key.
                warned = wanted.get("validate_refuses") and re.search(wanted["validate_refuses"], f"{out}\n{err}")
                if rc != 0 or warned:
                    words = f"{out}\n{err}" if warned else err or out
                    what = f"the new content is refused, nothing was replaced: {words.strip()}"
                    fix = f"correct the variables it is made from; the command was {' '.join(wanted['validate'])}"
                    raise MailsteadError.one("MS-HOST-001", wanted["path"], what, fix)
    except BaseException:
        for _wanted, partial in staged:
            if os.path.exists(partial):
                os.unlink(partial)
        raise
    return staged


def apply(run: Run, files: List[Wanted]) -> None:
    """Put every entry in place. Raises MailsteadError, with nothing replaced, when one cannot be or is refused."""
    obstacles = [found for found in map(obstacle, files) if found]
    if obstacles:
        raise MailsteadError(obstacles)
    for wanted, partial in _stage(run, files):
        make_room(wanted["path"])
        os.replace(partial, wanted["path"])
    for wanted in files:
        if wanted["state"] == "absent":
            remove(wanted["path"])
        elif wanted["state"] == "link":
            os.makedirs(os.path.dirname(wanted["path"]), exist_ok=True)
            make_room(wanted["path"])
            partial = f"{wanted['path']}.{os.getpid()}.partial"
            os.symlink(wanted["target"], partial)
            os.replace(partial, wanted["path"])


def digest(files: Sequence[Wanted]) -> str:
    """One value for all wanted contents: whoever runs with these files can be told apart from who does not."""
    total = hashlib.sha256()
    for wanted in files:
        if wanted["state"] == "file":
            total.update(wanted["path"].encode() + b"\0" + wanted["content"].encode("utf-8") + b"\0")
    return total.hexdigest()[:16]
