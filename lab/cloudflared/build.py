# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cloudflared for the lab's machines and its registry, and the release that the lab's web server publishes.

:func:`ensure` leaves under the lab's build directory

``cloudflared/cloudflared``
    the program: real, or the packed stand-in;
``cloudflared/standin``
    the packed stand-in, which is the connector in any case;
``cloudflared/www/github.com/cloudflare/cloudflared/releases/download/<version>/cloudflared-linux-<arch>``
    the program as upstream publishes it;
``cloudflared.sha256``
    its SHA-256 in hexadecimal, for the lab's inventory.

:func:`image_context` writes the build context of the image ``cloudflare/cloudflared:<version>``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import shutil
import subprocess
import time
import zipfile
from pathlib import Path

from lab import gomodule
from lab.gomodule import Log

VERSION = "2026.8.2"
MODULE = "github.com/cloudflare/cloudflared"
MINIMUM_GO = (1, 26)
#: What takes the place of other modules (go.mod).
FORKS = ("github.com/chungthuang/quic-go", "github.com/ipostelnik/cli")

HERE = Path(__file__).resolve().parent
STANDIN = HERE / "standin"
INPUTS = (HERE / "go.mod", HERE / "go.sum", HERE / "build.py", Path(gomodule.__file__))
#: LAB_CLOUDFLARED: real, stand-in, or auto (the default): built where that works, else the stand-in.
CHOICES = ("auto", "real", "stand-in")


class CloudflaredError(RuntimeError):
    """The real program was asked for and could not be built, or what was asked for is no choice."""


@dataclasses.dataclass(frozen=True)
class Cloudflared:
    """Where things lie. client: real or stand-in; origin: why; program: what hosts install; standin: the connector."""

    client: str
    origin: str
    program: Path
    standin: Path
    release: Path
    sha256: Path
    image_tag: str = f"cloudflare/cloudflared:{VERSION}"

    @property
    def digest(self) -> str:
        return self.sha256.read_text(encoding="ascii").strip()


def layout(build_dir: Path, arch: str, client: str, origin: str = "") -> Cloudflared:
    """The places below ``build_dir``."""
    base = build_dir / "cloudflared"
    published = base / "www" / "github.com" / "cloudflare" / "cloudflared" / "releases" / "download" / VERSION
    return Cloudflared(
        client=client,
        origin=origin,
        program=base / "cloudflared",
        standin=base / "standin",
        release=published / f"cloudflared-linux-{arch}",
        sha256=build_dir / "cloudflared.sha256",
    )


def ensure(build_dir: Path, log: Log) -> Cloudflared:
    """Make every artefact exist and be current; costs some milliseconds when they are.

    A stand-in is not kept: what was missing may be there the next time. Raises CloudflaredError.
    """
    wanted = os.environ.get("LAB_CLOUDFLARED", "auto") or "auto"
    if wanted not in CHOICES:
        raise CloudflaredError(f"LAB_CLOUDFLARED is {wanted!r}.\n    Fix: use one of {', '.join(CHOICES)}")
    build_dir = build_dir.resolve()
    base = build_dir / "cloudflared"
    base.mkdir(parents=True, exist_ok=True)
    with gomodule.locked(base / ".lock"):
        arch = gomodule.architecture()
        gomodule.write(base / "standin", packed(), 0o755)
        if wanted == "stand-in":
            found = layout(build_dir, arch, "stand-in", "asked for by LAB_CLOUDFLARED")
            (base / "stamp.json").unlink(missing_ok=True)
            shutil.copy2(found.standin, found.program)
        else:
            found = _real(build_dir, arch, log)
            if found.client != "real" and wanted == "real":
                raise CloudflaredError(
                    f"LAB_CLOUDFLARED=real, but it cannot be built: {found.origin}\n    Fix: install Go "
                    f"{MINIMUM_GO[0]}.{MINIMUM_GO[1]} and let it reach a module proxy, or unset LAB_CLOUDFLARED"
                )
        _publish(found)
        return found


def _real(build_dir: Path, arch: str, log: Log) -> Cloudflared:
    """The real program, built unless it is there; the stand-in in its place where that does not work."""
    stamp = build_dir / "cloudflared" / "stamp.json"
    found = layout(build_dir, arch, "real", "module")
    inputs = gomodule.inputs_digest(arch, INPUTS)
    if gomodule.current_origin(stamp, inputs, lambda _: (found.program,)):
        return found
    stamp.unlink(missing_ok=True)
    began = time.monotonic()
    try:
        _build(found.program, build_dir, log)
    except gomodule.GoError as error:
        log(f"cloudflared {VERSION}: it cannot be built here, its stand-in takes its place ({str(error)[-300:]})")
        found = layout(build_dir, arch, "stand-in", "the Go module cannot be built here")
        shutil.copy2(found.standin, found.program)
        return found
    gomodule.write_stamp(stamp, inputs, "module", (found.program,))
    log(f"cloudflared {VERSION}: built in {time.monotonic() - began:.1f} s")
    return found


def _build(program: Path, build_dir: Path, log: Log) -> None:
    """Raises gomodule.GoError."""
    go = gomodule.find_go(build_dir, log, MINIMUM_GO)
    env = gomodule.environment(go, FORKS)
    log(f"cloudflared {VERSION}: building it with {go} (about 65 s when nothing is cached)")
    fresh = program.with_name("cloudflared.new")
    gomodule.run(
        [
            str(go), "build", "-trimpath", "-buildvcs=false", f"-ldflags=-s -w -X main.Version={VERSION}",
            "-o", str(fresh), f"{MODULE}/cmd/cloudflared",
        ],
        HERE,
        env,
    )  # fmt: skip
    done = subprocess.run([fresh, "version"], capture_output=True, text=True, timeout=30, check=False)
    if f"cloudflared version {VERSION} " not in done.stdout:
        raise gomodule.GoError(f"{fresh} version says {done.stdout.strip()!r} {done.stderr.strip()!r}, not {VERSION}")
    fresh.replace(program)


def _publish(found: Cloudflared) -> None:
    """The release beside its hash. A hard link: the program is large, and each is replaced as a whole."""
    digest = hashlib.sha256(found.program.read_bytes()).hexdigest() + "\n"
    found.release.parent.mkdir(parents=True, exist_ok=True)
    fresh = found.release.with_name(found.release.name + ".new")
    fresh.unlink(missing_ok=True)
    fresh.hardlink_to(found.program)
    fresh.replace(found.release)
    fresh.unlink(missing_ok=True)
    if not found.sha256.is_file() or found.sha256.read_text(encoding="ascii") != digest:
        gomodule.write(found.sha256, digest.encode(), 0o644)


def packed() -> bytes:
    """The stand-in as one file that runs by itself; byte for byte the same for the same sources."""
    sources = {f"standin/{p.name}": p.read_bytes() for p in sorted(STANDIN.glob("*.py")) if p.name != "__main__.py"}
    sources["__main__.py"] = b"import sys\n\nfrom standin.main import main\n\nsys.exit(main())\n"
    buffer = io.BytesIO()
    buffer.write(b"#!/usr/bin/python3\n")
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(sources):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), sources[name])
    return buffer.getvalue()


def image_context(found: Cloudflared, base: str, authority: bytes) -> Path:
    """The image's build context, written only where it differs. base: tag that it starts from; authority: PEM."""
    context = found.program.parent / "image"
    files = {
        "Dockerfile": ((HERE / "Dockerfile").read_bytes().replace(b"ARG BASE\n", f"ARG BASE={base}\n".encode()), 0o644),
        "lab.crt": (authority, 0o644),
        "cloudflared": (found.standin.read_bytes(), 0o755),
        "libexec/.keep": (b"", 0o644),
    }
    if found.client == "real":
        files["libexec/cloudflared"] = (found.program.read_bytes(), 0o755)
    for old in [p for p in context.rglob("*") if p.is_file() and str(p.relative_to(context)) not in files]:
        old.unlink()
    for name, (data, mode) in files.items():
        path = context / name
        if not path.is_file() or path.read_bytes() != data or path.stat().st_mode & 0o777 != mode:
            gomodule.write(path, data, mode)
    return context
