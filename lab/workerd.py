# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""workerd, Cloudflare's Workers runtime: the program out of its npm package, for the machine that runs Email Workers.

The package (licence Apache-2.0) holds nothing but the program; npm brings it from the registry that this machine uses, and
the hash below is what npm itself would compare.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import platform
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lab import paths
from lab.console import CONSOLE, LabError

VERSION = "1.20261117.1"
#: dist.integrity of @cloudflare/workerd-linux-<processor>.
INTEGRITY = {
    "64": "sha512-gZLA8X11m/luZwn+YA3+mDu61vdxNJzpksP/QZqjydKTQ+VUCulsK5gtn9Bqst1p3KJu2kafQpJ1nDQv4B23jA==",
    "arm64": "sha512-gxWngFojq41ULKNKb9rpWYvKotN5hT2I/xot+Bpy31cXzrwcTgtDLSMb2t75sW5BJxH7hihFvikgYb577kB3Zg==",
}
MEMBER = "package/bin/workerd"


def processor(machine: str | None = None) -> str:
    """npm's word for this machine's processor. Raises LabError."""
    name = machine or platform.machine()
    known = {"x86_64": "64", "amd64": "64", "aarch64": "arm64", "arm64": "arm64"}
    if name not in known:
        raise LabError(f"no workerd for the processor {name!r}: known are {', '.join(sorted(known))}")
    return known[name]


def present() -> bool:
    """Whether the program is there in this version."""
    program, stamp = paths.WORKERD / "workerd", paths.WORKERD / ".version"
    return program.is_file() and stamp.is_file() and stamp.read_text() == VERSION


def ensure() -> Path:
    """The program in build/lab/workerd, fetched when it is not there in this version. Raises LabError."""
    directory = paths.WORKERD
    program, stamp = directory / "workerd", directory / ".version"
    with _alone(directory):
        if present():
            return program
        with CONSOLE.step(f"workerd {VERSION}"), tempfile.TemporaryDirectory(dir=directory) as scratch:
            archive = _fetch(Path(scratch))
            check(archive, INTEGRITY[processor()])
            _unpack(archive, program)
        paths.write_if_changed(stamp, VERSION, 0o644)
    return program


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _fetch(directory: Path) -> Path:
    if not shutil.which("npm"):
        raise LabError("running Email Workers needs npm, to fetch workerd.\n    Fix: install Node.js with npm")
    package = f"@cloudflare/workerd-linux-{processor()}@{VERSION}"
    argv = ["npm", "pack", "--silent", "--pack-destination", str(directory), package]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=directory)
    found = list(directory.glob("*.tgz"))
    if done.returncode or len(found) != 1:
        raise LabError(f"npm could not fetch {package}: {(done.stderr or done.stdout).strip()[-300:]}")
    return found[0]


def check(archive: Path, integrity: str) -> None:
    """Raises LabError when a file's hash is another one. integrity: as in npm's lock files."""
    name, _, expected = integrity.partition("-")
    with archive.open("rb") as source:
        digest = base64.b64encode(hashlib.file_digest(source, name).digest()).decode()
    if digest != expected:
        raise LabError(f"{archive.name} is not what it should be: its {name} is {digest}")


def _unpack(archive: Path, program: Path) -> None:
    draft = program.with_name(".workerd.draft")
    with tarfile.open(archive) as tar:
        source = tar.extractfile(MEMBER)
        if source is None:
            raise LabError(f"{archive.name} has no {MEMBER}")
        with draft.open("wb") as target:
            shutil.copyfileobj(source, target)
    draft.chmod(0o755)
    draft.replace(program)
