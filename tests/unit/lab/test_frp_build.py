# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the lab gets its frp: the release's layout, what counts as current, and the ways it can go wrong."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lab import gomodule
from lab.frp import build

STEM = build.archive_stem("amd64")
SCRIPT = b"#!/bin/sh\necho " + build.VERSION.encode() + b"\n"


def _archive(program: bytes = SCRIPT) -> bytes:
    return build.release_archive(
        STEM, {"frps": (program, 0o755), "frpc": (program, 0o755), "LICENSE": (b"free\n", 0o644)}
    )


def test_archive_is_the_same_for_the_same_contents_in_any_order() -> None:
    one = build.release_archive(STEM, {"a": (b"1", 0o644), "b": (b"2", 0o755)})
    two = build.release_archive(STEM, {"b": (b"2", 0o755), "a": (b"1", 0o644)})
    assert one == two
    assert one != build.release_archive(STEM, {"a": (b"1", 0o644), "b": (b"3", 0o755)})


def test_archive_is_laid_out_as_upstreams() -> None:
    with tarfile.open(fileobj=io.BytesIO(_archive())) as tar:
        assert tar.getnames() == [STEM, f"{STEM}/LICENSE", f"{STEM}/frpc", f"{STEM}/frps"]
        assert tar.getmember(f"{STEM}/frps").mode == 0o755
        assert tar.getmember(f"{STEM}/LICENSE").mode == 0o644
        assert {member.mtime for member in tar.getmembers()} == {0}


@pytest.mark.parametrize(
    ("text", "version"),
    [("go1.26.8\n", (1, 26)), ("go1.25", (1, 25)), ("devel go1.30-abc", None), ("", None), ("go1", None)],
)
def test_go_version(text: str, version: tuple[int, int] | None) -> None:
    assert gomodule.parse_version(text) == version


def test_digest_is_found_by_the_whole_name() -> None:
    text = f"{'a' * 64}  frp_1_linux_arm.tar.gz\n{'b' * 64} *frp_1_linux_arm64.tar.gz\nnonsense\n"
    assert build.expected_digest(text, "frp_1_linux_arm.tar.gz") == "a" * 64
    assert build.expected_digest(text, "frp_1_linux_arm64.tar.gz") == "b" * 64
    with pytest.raises(ValueError, match="not in the release"):
        build.expected_digest(text, "frp_1_linux_amd64.tar.gz")


def test_unknown_processor_is_named() -> None:
    with pytest.raises(gomodule.GoError, match="sparc64"):
        gomodule.architecture("sparc64")


def test_wrapper_repeats_the_replacement_and_its_sums_are_committed() -> None:
    module = (build.HERE / "go.mod").read_text()
    assert f"github.com/fatedier/frp v{build.VERSION}" in module
    assert f"replace github.com/hashicorp/yamux => {build.FORKED_MODULE} v" in module
    sums = (build.HERE / "go.sum").read_text()
    assert f"github.com/fatedier/frp v{build.VERSION} h1:" in sums
    assert f"{build.FORKED_MODULE} v" in sums


class Release(ThreadingHTTPServer):
    """A release server on loopback: files by name; a name without content never answers."""

    def __init__(self) -> None:
        self.files: dict[str, bytes | None] = {}
        self.asked: list[str] = []
        self.released = threading.Event()
        release = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rsplit("/", 1)[-1]
                release.asked.append(name)
                content = release.files.get(name)
                if name in release.files and content is None:
                    release.released.wait(10)
                self.send_response(200 if content is not None else 404)
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, format: str, *args: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    def publish(self, archive: bytes, digest: str | None = None) -> None:
        name = f"{STEM}.tar.gz"
        line = f"{digest or hashlib.sha256(archive).hexdigest()}  {name}\n{'0' * 64}  other.tar.gz\n"
        self.files = {name: archive, build.CHECKSUMS: line.encode()}


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> Iterator[Release]:
    server = Release()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setattr(build, "RELEASE_URL", f"http://127.0.0.1:{server.server_port}/v{build.VERSION}")
    monkeypatch.setattr(gomodule, "architecture", lambda machine=None: "amd64")
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_reachable_release_is_taken_as_it_is_and_only_once(release: Release, tmp_path: Path) -> None:
    archive = _archive()
    release.publish(archive)
    said: list[str] = []
    art = build.ensure(tmp_path, said.append)
    assert art.origin == "release"
    assert art.archive.read_bytes() == archive
    assert art.checksums.read_bytes() == release.files[build.CHECKSUMS]
    assert art.frps.read_bytes() == SCRIPT
    assert art.frps.stat().st_mode & 0o777 == 0o755
    assert {p.name for p in art.image_context.iterdir()} == {"Dockerfile", "frpc"}
    assert str(art.archive).endswith(f"/www/github.com/fatedier/frp/releases/download/v{build.VERSION}/{STEM}.tar.gz")
    release.asked.clear()
    assert build.ensure(tmp_path, said.append) == art
    assert release.asked == []


def test_lost_output_is_made_again(release: Release, tmp_path: Path) -> None:
    release.publish(_archive())
    art = build.ensure(tmp_path, lambda line: None)
    art.frpc.unlink()
    assert build.ensure(tmp_path, lambda line: None).frpc.read_bytes() == SCRIPT


def test_wrong_checksum_is_refused_and_nothing_is_left(release: Release, tmp_path: Path) -> None:
    release.publish(_archive(), digest="f" * 64)
    with pytest.raises(build.FrpError, match="SHA-256"):
        build.ensure(tmp_path, lambda line: None)
    assert not (tmp_path / "frp" / "frps").exists()
    assert not (tmp_path / "frp" / "stamp.json").exists()


def test_wrong_version_is_refused(release: Release, tmp_path: Path) -> None:
    release.publish(_archive(b"#!/bin/sh\necho 0.70.0\n"))
    with pytest.raises(build.FrpError, match=r"0\.70\.0"):
        build.ensure(tmp_path, lambda line: None)


@pytest.mark.parametrize("silent", [True, False], ids=["silence", "not-found"])
def test_unreachable_release_leads_to_a_build(
    release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent: bool
) -> None:
    if silent:
        release.files[build.CHECKSUMS] = None
    monkeypatch.setattr(build, "RELEASE_DEADLINE", 0.3)

    def module(art: build.FrpArtifacts, build_dir: Path, log: gomodule.Log) -> None:
        for path in (art.frps, art.frpc):
            path.write_bytes(SCRIPT)
            path.chmod(0o755)
        for path in (art.licence, art.archive, art.checksums):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")

    monkeypatch.setattr(build, "_from_module", module)
    said: list[str] = []
    assert build.ensure(tmp_path, said.append).origin == "module"
    assert "not reachable" in said[0]
