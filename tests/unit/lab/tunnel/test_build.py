# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the lab gets its cloudflared: what is built, what stands in for it, and what is published."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import gomodule, lifecycle, paths
from lab.__main__ import _names
from lab.cloudflared import build
from lab.topology import TUNNELLED

PROGRAM = b"#!/bin/sh\necho cloudflared version 2026.8.2 '(built now)'\n"


@pytest.fixture(autouse=True)
def any_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_CLOUDFLARED", raising=False)
    monkeypatch.setattr(gomodule, "architecture", lambda machine=None: "amd64")


def compiler(monkeypatch: pytest.MonkeyPatch, program: bytes | None) -> list[list[str]]:
    """A Go that makes this program, or that is not there. Returns what it is asked to run."""
    asked: list[list[str]] = []

    def find(build_dir: Path, log: gomodule.Log, minimum: tuple[int, int]) -> Path:
        if program is None:
            raise gomodule.GoError("no Go 1.26 or newer on PATH")
        return Path("/go")

    def run(command: list[str], directory: Path, env: dict[str, str]) -> str:
        asked.append(command)
        made = Path(command[command.index("-o") + 1])
        made.write_bytes(program or b"")
        made.chmod(0o755)
        return ""

    monkeypatch.setattr(gomodule, "find_go", find)
    monkeypatch.setattr(gomodule, "environment", lambda go, forks: {})
    monkeypatch.setattr(gomodule, "run", run)
    return asked


def nothing(line: str) -> None:
    pass


def test_the_wrapper_repeats_the_replacements_and_their_sums_are_committed() -> None:
    module, sums = ((build.HERE / name).read_text() for name in ("go.mod", "go.sum"))
    assert f"{build.MODULE} v0.0.0-20260814112252-733bfb939963" in module
    for fork in build.FORKS:
        assert f"=> {fork}" in module and f"{fork}" in sums
    assert f"tool {build.MODULE}/cmd/cloudflared" in module


def test_the_real_program_is_built_once_and_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = compiler(monkeypatch, PROGRAM)
    found = build.ensure(tmp_path, nothing)
    assert (found.client, found.origin) == ("real", "module")
    assert found.release.read_bytes() == PROGRAM and found.release.stat().st_mode & 0o111
    path = f"www/github.com/cloudflare/cloudflared/releases/download/{build.VERSION}/cloudflared-linux-amd64"
    assert found.release == tmp_path / "cloudflared" / path
    digest = hashlib.sha256(PROGRAM).hexdigest()
    assert found.digest == digest and (tmp_path / "cloudflared.sha256").read_text() == f"{digest}\n"
    assert build.ensure(tmp_path, nothing) == found
    assert len(asked) == 1
    assert "-trimpath" in asked[0] and f"-ldflags=-s -w -X main.Version={build.VERSION}" in asked[0]
    found.program.unlink()
    assert build.ensure(tmp_path, nothing).release.read_bytes() == PROGRAM and len(asked) == 2


def test_without_a_compiler_the_stand_in_takes_its_place_until_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler(monkeypatch, None)
    said: list[str] = []
    found = build.ensure(tmp_path, said.append)
    assert found.client == "stand-in" and found.release.read_bytes() == build.packed()
    assert "its stand-in takes its place (no Go 1.26" in said[-1]
    assert found.digest == hashlib.sha256(build.packed()).hexdigest()
    compiler(monkeypatch, PROGRAM)
    assert build.ensure(tmp_path, nothing).client == "real"
    monkeypatch.setenv("LAB_CLOUDFLARED", "stand-in")
    assert build.ensure(tmp_path, nothing).release.read_bytes() == build.packed()
    monkeypatch.delenv("LAB_CLOUDFLARED")
    assert build.ensure(tmp_path, nothing).release.read_bytes() == PROGRAM


def test_a_program_of_another_version_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler(monkeypatch, PROGRAM.replace(b"2026.8.2", b"DEV"))
    said: list[str] = []
    assert build.ensure(tmp_path, said.append).client == "stand-in"
    assert "DEV" in said[-1]


@pytest.mark.parametrize(("choice", "word"), [("real", "LAB_CLOUDFLARED=real"), ("maybe", "use one of auto, real")])
def test_a_choice_that_cannot_be_kept_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, choice: str, word: str
) -> None:
    compiler(monkeypatch, None)
    monkeypatch.setenv("LAB_CLOUDFLARED", choice)
    with pytest.raises(build.CloudflaredError, match=word):
        build.ensure(tmp_path, nothing)


def test_the_image_has_the_connector_and_the_real_program_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler(monkeypatch, PROGRAM)
    context = build.image_context(build.ensure(tmp_path, nothing), "base:1", b"PEM")
    files = {str(p.relative_to(context)): p for p in context.rglob("*") if p.is_file()}
    assert set(files) == {"Dockerfile", "lab.crt", "cloudflared", "libexec/.keep", "libexec/cloudflared"}
    assert files["libexec/cloudflared"].read_bytes() == PROGRAM
    assert files["cloudflared"].read_bytes() == build.packed()
    assert "ARG BASE=base:1\n" in files["Dockerfile"].read_text()
    compiler(monkeypatch, None)
    (tmp_path / "cloudflared" / "stamp.json").unlink()
    build.image_context(build.ensure(tmp_path, nothing), "base:1", b"PEM")
    assert not (context / "libexec" / "cloudflared").exists()


def test_the_packed_stand_in_runs_with_nothing_but_python(tmp_path: Path) -> None:
    file = tmp_path / "cloudflared"
    file.write_bytes(build.packed())
    file.chmod(0o755)
    # -I: neither the project nor its environment can be seen; what "access tcp" imports is Python's own.
    script = f"import sys; sys.path.insert(0, {str(file)!r}); sys.argv = ['cloudflared', 'access', 'tcp']\n"
    script += "import runpy; runpy.run_path(sys.path[0], run_name='__main__')"
    done = subprocess.run(["python3", "-I", "-S", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "needs --hostname and --url" in done.stderr, done


def test_the_image_that_machines_may_hold_is_known_by_the_last_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "STATE", tmp_path / "state.json")
    assert lifecycle._published() == ""
    paths.STATE.write_text('{"mail_server": {"digest": "a"}}')
    assert lifecycle._published() == ""
    paths.STATE.write_text('{"mail_server": {"digest": "a"}, "cloudflared": {"digest": "b"}}')
    assert lifecycle._published() == "b"


def test_only_a_lab_with_a_use_for_it_has_cloudflared() -> None:
    assert not {m.name for m in lifecycle.chosen((), (), {})} & set(TUNNELLED)
    assert {m.name for m in lifecycle.chosen((), ("app1",), {})} & set(TUNNELLED) == {"app1"}


def test_names_of_machines_are_given_one_by_one_or_together() -> None:
    read: Callable[[str], list[str]] = _names(["app1", "app2"])
    assert read("app1,app2") == ["app1", "app2"]
    with pytest.raises(Exception, match="app3 is not one of app1, app2"):
        read("app1,app3")
