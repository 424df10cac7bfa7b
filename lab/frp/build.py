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
import gzip
import hashlib
import io
import re
import shutil
import subprocess
import tarfile
import threading
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from lab import gomodule
from lab.gomodule import Log

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

#: What takes the place of another module.
FORKED_MODULE = "github.com/fatedier/yamux"

HERE = Path(__file__).resolve().parent
#: What the result depends on; a change of any of these builds anew.
INPUTS = (HERE / "go.mod", HERE / "go.sum", HERE / "build.py", HERE / "Dockerfile", Path(gomodule.__file__))


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
    try:
        return _ensure(build_dir, log)
    except gomodule.GoError as error:
        raise FrpError(str(error)) from error


def _ensure(build_dir: Path, log: Log) -> FrpArtifacts:
    arch = gomodule.architecture()
    base = build_dir / "frp"
    base.mkdir(parents=True, exist_ok=True)
    with gomodule.locked(base / ".lock"):
        stamp = base / "stamp.json"
        inputs = gomodule.inputs_digest(arch, INPUTS)
        known = gomodule.current_origin(stamp, inputs, lambda origin: _outputs(layout(build_dir, arch, origin)))
        if known is not None:
            return layout(build_dir, arch, known)
        stamp.unlink(missing_ok=True)
        began = time.monotonic()
        origin = "release" if _from_release(build_dir, arch, log) else "module"
        art = layout(build_dir, arch, origin)
        if origin == "module":
            _from_module(art, build_dir, log)
        _check_versions(art)
        _image_context(art)
        gomodule.write_stamp(stamp, inputs, origin, _outputs(art))
        log(f"frp {VERSION}: ready ({origin}, {time.monotonic() - began:.1f} s)")
        return art


# --- state ------------------------------------------------------------------------------------------------------------


def _outputs(art: FrpArtifacts) -> tuple[Path, ...]:
    return (art.frps, art.frpc, art.licence, art.archive, art.checksums, *sorted(art.image_context.iterdir()))


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
            gomodule.write(target, member.read(), 0o644 if name == "LICENSE" else 0o755)
    # The file as upstream wrote it: it lists every platform, and readers must find their line in it.
    gomodule.write(art.archive, archive, 0o644)
    gomodule.write(art.checksums, checksums, 0o644)
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
    go = gomodule.find_go(build_dir, log, MINIMUM_GO)
    env = gomodule.environment(go, (FORKED_MODULE,))
    log(f"frp {VERSION}: building frps and frpc with {go} (about 80 s when nothing is cached)")
    for name in PROGRAMS:
        began = time.monotonic()
        fresh = art.frps.parent / f"{name}.new"
        gomodule.run(
            [
                str(go), "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", f"-tags={name},noweb",
                "-o", str(fresh), f"github.com/fatedier/frp/cmd/{name}",
            ],
            HERE,
            env,
        )  # fmt: skip
        fresh.replace(art.frps.parent / name)
        log(f"frp {VERSION}: {name} built in {time.monotonic() - began:.1f} s")
    module = Path(gomodule.run([str(go), "list", "-m", "-f", "{{.Dir}}", "github.com/fatedier/frp"], HERE, env).strip())
    gomodule.write(art.licence, (module / "LICENSE").read_bytes(), 0o644)
    contents = {
        "LICENSE": (art.licence.read_bytes(), 0o644),
        "frpc": (art.frpc.read_bytes(), 0o755),
        "frps": (art.frps.read_bytes(), 0o755),
    }
    archive = release_archive(archive_stem(art.arch), contents)
    gomodule.write(art.archive, archive, 0o644)
    gomodule.write(art.checksums, f"{hashlib.sha256(archive).hexdigest()}  {art.archive.name}\n".encode(), 0o644)


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
