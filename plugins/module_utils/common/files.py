# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that hold secrets or state: written whole or not at all, never readable by others even for an instant."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path
from typing import Optional

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError


def write_private(path: Path, data: bytes, mode: int = 0o600, uid: int = -1, gid: int = -1) -> None:
    """Put data into path atomically: a new file beside it (O_EXCL), fsync, rename, fsync of the directory.

    Owner and mode are set before the first byte is written. uid and gid -1 leave the owner alone. Raises OSError.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as stream:
            if uid != -1 or gid != -1:
                os.fchown(stream.fileno(), uid, gid)
            os.fchmod(stream.fileno(), mode)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
    sync_directory(path.parent)


def create_private(path: Path, data: bytes, mode: int = 0o600, uid: int = -1, gid: int = -1) -> None:
    """Like :func:`write_private`, but never over an existing file: raises FileExistsError then."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.new")
    write_private(temporary, data, mode, uid, gid)
    try:
        # link() fails when the name exists, rename() would replace it.
        os.link(temporary, path)
    finally:
        temporary.unlink()
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def private_directory(path: Path, mode: int = 0o700, uid: int = -1, gid: int = -1) -> bool:
    """Make the directory when it is missing, and its missing parents with 0755; True when it was. Raises OSError.

    The modes are exact whatever the umask.
    """
    if path.is_dir():
        return False
    for missing in reversed([p for p in path.parents if not p.exists()]):
        missing.mkdir(exist_ok=True)
        missing.chmod(0o755)
    path.mkdir(mode=0o700)
    if uid != -1 or gid != -1:
        os.chown(path, uid, gid)
    path.chmod(mode)
    return True


def read_private(path: Path, code: str, uid: Optional[int] = None) -> bytes:
    """The content of a file only its owner may read.

    Raises :class:`MailsteadError` with the given code when it is missing, no regular file, open to group or others,
    or owned by somebody other than uid (default: whoever runs this).
    """
    owner = os.geteuid() if uid is None else uid
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise MailsteadError.one(
            code, str(path), f"cannot be read: {error.strerror}", f"Look at it with: ls -ld {path}"
        ) from error
    with os.fdopen(handle, "rb") as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise MailsteadError.one(code, str(path), "is no regular file", f"Look at it with: ls -ld {path}")
        if status.st_uid != owner:
            raise MailsteadError.one(
                code, str(path), f"belongs to uid {status.st_uid}, not {owner}", f"Run: chown {owner} {path}"
            )
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise MailsteadError.one(
                code,
                str(path),
                f"is open to others (mode {stat.S_IMODE(status.st_mode):04o})",
                f"Run: chmod 600 {path}",
            )
        return stream.read()
