# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images put into the lab's registry by writing the files that docker-registry's file system driver keeps.

Layout of the distribution project, storage driver "filesystem": blobs by digest, and links to them by repository. So
nothing has to be pushed, no program is needed for it, and the registry serves the images from its first second.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
import tempfile
from pathlib import Path
from typing import IO, Any

from lab import paths
from lab.console import CONSOLE

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
CHUNK = 1 << 20

ROOT = paths.REGISTRY / "docker" / "registry" / "v2"


class _Blob:
    """A blob being written: hashed on the way, in place under its digest when it is finished."""

    def __init__(self) -> None:
        ROOT.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.NamedTemporaryFile(dir=ROOT, delete=False)  # noqa: SIM115 - closed in finish()
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.size += len(data)
        return self._file.write(data)

    def finish(self) -> str:
        self._file.close()
        digest = self._hash.hexdigest()
        place = ROOT / "blobs" / "sha256" / digest[:2] / digest / "data"
        place.parent.mkdir(parents=True, exist_ok=True)
        drafted = Path(self._file.name)
        drafted.chmod(0o644)
        drafted.replace(place)
        return f"sha256:{digest}"


def _store(data: bytes) -> tuple[str, int]:
    blob = _Blob()
    blob.write(data)
    return blob.finish(), blob.size


def _compress(source: IO[bytes]) -> tuple[str, int]:
    """A layer, compressed lightly and without a time, so that an equal layer gets an equal digest."""
    blob = _Blob()
    with gzip.GzipFile(filename="", fileobj=blob, mode="wb", compresslevel=1, mtime=0) as packed:  # type: ignore[call-overload]
        while chunk := source.read(CHUNK):
            packed.write(chunk)
    return blob.finish(), blob.size


def _link(place: Path, digest: str) -> None:
    place.mkdir(parents=True, exist_ok=True)
    (place / "link").write_text(digest)


def _holds(image_id: str, repository: str, tag: str) -> str:
    """The manifest digest under a tag if it is of this image, else ""."""
    current = ROOT / "repositories" / repository / "_manifests" / "tags" / tag / "current" / "link"
    if not current.is_file():
        return ""
    digest = current.read_text()
    manifest = ROOT / "blobs" / "sha256" / digest[7:9] / digest[7:] / "data"
    if not manifest.is_file():
        return ""
    config: str = json.loads(manifest.read_text())["config"]["digest"]
    return digest if config == image_id else ""


def publish(client: Any, image: str, reference: str) -> str:
    """Put an image of the engine into the registry as repository:tag. Returns the manifest's digest.

    Unchanged images are not written again: a manifest names its configuration by the digest that is the image's id.
    """
    repository, tag = reference.rsplit(":", 1)
    found = client.images.get(image)
    present = _holds(str(found.id), repository, tag)
    if present:
        return present
    with CONSOLE.step(f"registry: {reference}"), tempfile.TemporaryFile(dir=paths.BUILD) as saved:
        for chunk in found.save(chunk_size=CHUNK):
            saved.write(chunk)
        saved.seek(0)
        with tarfile.open(fileobj=saved) as archive:
            listing = json.load(_member(archive, "manifest.json"))[0]
            layers = [_compress(_member(archive, name)) for name in listing["Layers"]]
            config = _store(_member(archive, listing["Config"]).read())
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "size": config[1], "digest": config[0]},
        "layers": [{"mediaType": LAYER, "size": size, "digest": digest} for digest, size in layers],
    }
    digest, _ = _store(json.dumps(manifest, indent=3).encode())
    base = ROOT / "repositories" / repository
    for blob in (config[0], *(d for d, _ in layers)):
        _link(base / "_layers" / "sha256" / blob[7:], blob)
    _link(base / "_manifests" / "revisions" / "sha256" / digest[7:], digest)
    _link(base / "_manifests" / "tags" / tag / "index" / "sha256" / digest[7:], digest)
    _link(base / "_manifests" / "tags" / tag / "current", digest)
    return digest


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    file = archive.extractfile(name)
    if file is None:
        raise ValueError(f"the saved image has no file {name}")
    return file
