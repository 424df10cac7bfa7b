# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of the lab's machines: found by a hash of what they are made from, or built.

``lab/images/<name>/Dockerfile`` is all it takes to add one; it starts ``FROM mailstead-lab/base`` and installs packages
with ``apt-get update && apt-get install``. Which packages that are is read from the file, and the pool is filled with
them beforehand.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import io
import shutil
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker.errors

from lab import packages, paths
from lab.console import CONSOLE, LabError
from lab.topology import HOSTS, LABEL

REPOSITORY = "mailstead-lab"
#: Bumped when the way of building changes what is built.
RECIPE = "1"
#: Two cores build two images; more only compete for the disk.
BUILDERS = 2


@dataclass(frozen=True)
class Image:
    """context: directory with the Dockerfile; name: without the repository."""

    name: str
    context: Path

    @property
    def dockerfile(self) -> Path:
        return self.context / "Dockerfile"


def declared() -> dict[str, Image]:
    """Every image there is a recipe for, by name."""
    found = {d.parent.name: Image(d.parent.name, d.parent) for d in sorted(paths.IMAGES.glob("*/Dockerfile"))}
    standin = paths.LAB / "standin"
    if (standin / "Dockerfile").is_file():
        found["stalwart-standin"] = Image("stalwart-standin", standin)
    return found


def _files(directory: Path) -> list[Path]:
    skipped = {"__pycache__"}
    return sorted(p for p in directory.rglob("*") if not skipped & set(p.parts) and (p.is_file() or p.is_symlink()))


def fingerprint(image: Image, base: str = "") -> str:
    """A hash of everything an image is made from. base: fingerprint of the image it starts from. Reads files only."""
    state = hashlib.sha256(f"{RECIPE} {base}".encode())
    for file in _files(image.context):
        state.update(f"\0{file.relative_to(image.context)}\0{file.stat().st_mode & 0o111}\0".encode())
        state.update(file.read_bytes())
    return state.hexdigest()[:16]


def tags(images: dict[str, Image]) -> dict[str, str]:
    """Full name with a content tag of each image."""
    base = fingerprint(images["base"])
    return {
        name: f"{REPOSITORY}/{name}:{base if name == 'base' else fingerprint(image, base)}"
        for name, image in images.items()
    }


def _exists(client: Any, tag: str) -> bool:
    try:
        client.images.get(tag)
    except docker.errors.ImageNotFound:
        return False
    return True


def ensure(client: Any, names: set[str]) -> dict[str, str]:
    """Make sure that these images exist. Returns the content tags by name. Raises LabError with the builder's last words."""
    images = declared()
    unknown = sorted(names - set(images))
    if unknown:
        raise LabError(f"there is no lab/images/{unknown[0]}/Dockerfile")
    wanted = {name: tag for name, tag in tags(images).items() if name in names or name == "base"}
    missing = [name for name, tag in wanted.items() if not _exists(client, tag)]
    sets = {name: packages.installed_by(image.dockerfile) for name, image in images.items()}
    sets["roles"] = packages.listed(paths.IMAGES / "pool.txt")
    if not missing:
        packages.build_pool(sets)
        return wanted
    CONSOLE.say(f"images to build, once, in some minutes: {', '.join(missing)}")
    rootfs = f"{REPOSITORY}/rootfs:{packages.SUITE}-{RECIPE}"
    with concurrent.futures.ThreadPoolExecutor(BUILDERS) as workers:
        # The download and the unpacking of the smallest system use different things: do both at once.
        packages.sources()
        jobs = [workers.submit(packages.build_pool, sets)]
        if "base" in missing and not _exists(client, rootfs):
            jobs.append(workers.submit(_import_rootfs, client, rootfs))
        for job in jobs:
            job.result()
        with packages.pool_proxy() as proxy:
            if "base" in missing:
                _build(client, images["base"], wanted["base"], proxy, {"ROOTFS": rootfs})
            client.api.tag(wanted["base"], f"{REPOSITORY}/base", "latest")
            # The longest first, so that the last one does not build alone.
            rest = sorted((n for n in missing if n != "base"), key=lambda n: -len(sets[n]))
            builds = [workers.submit(_build, client, images[n], wanted[n], proxy, {}) for n in rest]
            for build in builds:
                build.result()
    return wanted


def ensure_context(client: Any, name: str, context: Path) -> str:
    """Build an image that installs no packages from a directory made elsewhere. Returns its content tag."""
    image = Image(name, context)
    tag = f"{REPOSITORY}/{name}:{fingerprint(image)}"
    if not _exists(client, tag):
        _build(client, image, tag, "", {})
    return tag


def _import_rootfs(client: Any, tag: str) -> None:
    with CONSOLE.step("image rootfs: debootstrap"), tempfile.TemporaryDirectory(dir=paths.BUILD) as scratch:
        target = Path(scratch) / "rootfs"
        packages.debootstrap(target)
        for leftover in ("var/cache/apt/archives", "var/lib/apt/lists"):
            shutil.rmtree(target / leftover, ignore_errors=True)
            (target / leftover / "partial").mkdir(parents=True)
        for leftover in ("etc/hostname", "etc/resolv.conf", "etc/apt/apt.conf"):
            (target / leftover).unlink(missing_ok=True)
        archive = Path(scratch) / "rootfs.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(target, ".", filter=_without_devices)
        repository, version = tag.rsplit(":", 1)
        client.api.import_image(str(archive), repository=repository, tag=version, changes=[f"LABEL {LABEL}=1"])


def _without_devices(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if member.isdev() and not member.isfile() and not member.isdir() else member


def _context(image: Image) -> io.BytesIO:
    """The build context, owned by root and with no times, so that equal files make equal contexts."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for file in _files(image.context):
            member = tar.gettarinfo(str(file), str(file.relative_to(image.context)))
            member.uid = member.gid = 0
            member.uname = member.gname = "root"
            member.mtime = 0
            member.mode = 0o755 if member.mode & 0o100 else 0o644
            if member.isreg():
                with file.open("rb") as source:
                    tar.addfile(member, source)
            else:
                tar.addfile(member)
    buffer.seek(0)
    return buffer


def _build(client: Any, image: Image, tag: str, proxy: str, arguments: dict[str, str]) -> None:
    CONSOLE.say(f"image {image.name}: building ...")
    begin = time.monotonic()
    log: list[str] = []
    # The proxy variables are predefined build arguments: they neither end up in the image nor count for its cache.
    stream = client.api.build(
        fileobj=_context(image),
        custom_context=True,
        tag=tag,
        rm=True,
        forcerm=True,
        network_mode="host",
        labels={LABEL: "1"},
        buildargs={"http_proxy": proxy, **arguments},
        decode=True,
    )
    with CONSOLE.watched(f"image {image.name}: building"):
        for event in stream:
            if "stream" in event:
                log += event["stream"].rstrip().splitlines()
            if "error" in event:
                tail = "\n    ".join([*log[-15:], event["error"]])
                raise LabError(f"building the image {image.name} failed:\n    {tail}")
    client.api.tag(tag, f"{REPOSITORY}/{image.name}", "latest")
    size = client.images.get(tag).attrs["Size"] / 1e6
    CONSOLE.say(f"image {image.name}: built in {time.monotonic() - begin:.1f} s, {size:.0f} MB")


def used() -> set[str]:
    """Names of the images that the topology asks for."""
    return {machine.image for machine in HOSTS}


def remove_all(client: Any) -> list[str]:
    """Remove every image that carries our label, newest first. Returns the names of those that are gone.

    One that somebody's container still uses stays, and is named.
    """
    removed: list[str] = []
    found = client.images.list(filters={"label": f"{LABEL}=1"})
    for image in sorted(found, key=lambda i: i.attrs["Created"], reverse=True):
        names = image.tags or [image.short_id]
        try:
            client.images.remove(image.id, force=True)
        except docker.errors.ImageNotFound:
            # Its child's removal took it along.
            pass
        except docker.errors.APIError as error:
            CONSOLE.say(f"{names[0]} stays: {error.explanation or error}")
            continue
        removed += names
    return removed
