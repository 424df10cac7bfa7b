"""host_setup: writes what differs and nothing else, refuses as a whole, and shows no secret."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.modules import host_setup

from tests.unit.plugins.modules import Answer, run_module

OWNER, GROUP = str(os.getuid()), str(os.getgid())
#: Succeeds when the staged file (its last argument) does not contain the word "bad".
CHECKER = [sys.executable, "-c", "import sys; sys.exit('bad' in open(sys.argv[1]).read())", "%s"]


def entry(path: Path, content: str | None = None, **more: Any) -> dict[str, Any]:
    given = {"path": str(path), "owner": OWNER, "group": GROUP, **more}
    return given if content is None else {**given, "content": content}


def host(*files: dict[str, Any], check: bool = False, **more: Any) -> Answer:
    return run_module(host_setup.main, files=list(files), check=check, **more)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def snapshot(root: Path) -> dict[str, tuple[int, str]]:
    """Everything below root: mode, and content or link target."""
    found = {}
    for path in sorted(root.rglob("*")):
        text = str(path.readlink()) if path.is_symlink() else path.read_text() if path.is_file() else ""
        found[str(path.relative_to(root))] = (path.lstat().st_mode, text)
    return found


def diff_text(answer: Answer) -> str:
    return "".join(d["prepared"] for d in answer.data["diff"])


def test_a_tree_is_written_once(tmp_path: Path) -> None:
    files = [
        entry(tmp_path / "etc", state="directory", mode="0750"),
        entry(tmp_path / "etc/a.conf", "one\n", mode="0640"),
        entry(tmp_path / "etc/deep/b.conf", "zwei – 2\n"),
        entry(tmp_path / "etc/current", state="link", target="a.conf"),
        entry(tmp_path / "etc/old", state="absent"),
    ]
    first = host(*files)
    assert first.changed
    assert first.data["changed_paths"] == [f["path"] for f in files[:4]]
    assert mode_of(tmp_path / "etc") == 0o750 and mode_of(tmp_path / "etc/a.conf") == 0o640
    assert (tmp_path / "etc/deep/b.conf").read_text(encoding="utf-8") == "zwei – 2\n"
    assert (tmp_path / "etc/current").read_text() == "one\n"
    written = snapshot(tmp_path)
    second = host(*files)
    assert not second.changed and second.data["changed_paths"] == []
    assert snapshot(tmp_path) == written


def test_only_what_differs_is_touched_and_by_rename(tmp_path: Path) -> None:
    same, other = tmp_path / "same", tmp_path / "other"
    host(entry(same, "x\n"), entry(other, "1\n"))
    inode, before = same.stat().st_ino, other.stat().st_ino
    with other.open() as reader:
        answer = host(entry(same, "x\n"), entry(other, "2\n"))
        assert answer.data["changed_paths"] == [str(other)]
        # Whoever has the old file open goes on reading it whole.
        assert reader.read() == "1\n"
    assert same.stat().st_ino == inode and other.stat().st_ino != before


def test_a_refused_content_replaces_nothing(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.conf", tmp_path / "bad.conf"
    host(entry(good, "old\n"), entry(bad, "old\n", validate=CHECKER))
    before = snapshot(tmp_path)
    answer = host(entry(good, "new\n"), entry(bad, "bad\n", validate=CHECKER))
    assert answer.failed and "[MS-HOST-001]" in answer.message and str(bad) in answer.message
    assert "Fix:" in answer.message
    assert snapshot(tmp_path) == before


def test_the_validator_sees_the_new_content_under_the_old_suffix(tmp_path: Path) -> None:
    path = tmp_path / "frps.json"
    script = "import sys; p = sys.argv[1]; sys.exit(not (p.endswith('.json') and open(p).read() == '{}'))"
    answer = host(entry(path, "{}", validate=[sys.executable, "-c", script, "%s"]))
    assert answer.changed and path.read_text() == "{}"


def test_a_secret_is_in_no_difference_and_never_open_to_others(tmp_path: Path) -> None:
    path = tmp_path / "token"
    for content in ("hunter2-old\n", "hunter2-new\n"):
        answer = host(entry(path, mode="0600"), secrets={str(path): content})
        assert answer.changed and "secret content changes" in diff_text(answer)
        # The result as a whole: nothing of it may carry the content but the module's own arguments.
        answer.data.pop("invocation", None)
        assert "hunter2" not in str(answer.data)
    assert mode_of(path) == 0o600


def test_differences_are_unified_and_complete(tmp_path: Path) -> None:
    path = tmp_path / "main.cf"
    host(entry(path, "a = 1\nb = 2"))
    text = diff_text(host(entry(path, "a = 1\nb = 3")))
    assert f"--- {path} (before)\n+++ {path} (after)\n" in text
    assert "-b = 2\n\\ No newline at end of file\n+b = 3\n\\ No newline at end of file\n" in text


def test_check_mode_predicts_exactly_and_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "gone").write_text("x")
    (tmp_path / "stays").write_text("same\n")
    (tmp_path / "stays").chmod(0o644)
    files = [
        entry(tmp_path / "new/file", "1\n"),
        entry(tmp_path / "stays", "same\n"),
        entry(tmp_path / "gone", state="absent"),
        entry(tmp_path / "dir", state="directory"),
        entry(tmp_path / "link", state="link", target="stays"),
    ]
    before = snapshot(tmp_path)
    predicted = host(*files, check=True)
    assert snapshot(tmp_path) == before
    real = host(*files)
    for key in ("changed", "changed_paths", "digest", "diff"):
        assert predicted.data[key] == real.data[key]
    assert not host(*files, check=True).changed


def test_check_mode_completes_where_the_user_is_still_to_come(tmp_path: Path) -> None:
    wanted = {**entry(tmp_path / "f", "x"), "owner": "no-such-user"}
    assert host(wanted, check=True).changed
    answer = host(wanted)
    assert answer.failed and "[MS-HOST-004]" in answer.message and "no-such-user" in answer.message
    assert snapshot(tmp_path) == {}


@pytest.mark.parametrize("state", ["file", "directory"])
def test_a_changed_mode_is_a_change(tmp_path: Path, state: str) -> None:
    path = tmp_path / "x"
    content = "x\n" if state == "file" else None
    host(entry(path, content, state=state, mode="0755"))
    answer = host(entry(path, content, state=state, mode="0700"))
    assert answer.changed and mode_of(path) == 0o700
    assert "owner or mode changes" in diff_text(answer) or state == "directory"


def test_links_are_replaced_and_a_file_replaces_a_link(tmp_path: Path) -> None:
    target, path = tmp_path / "target", tmp_path / "below/path"
    target.write_text("keep\n")
    assert host(entry(path, state="link", target=str(target))).changed
    assert host(entry(path, state="link", target="elsewhere")).changed and str(path.readlink()) == "elsewhere"
    assert not host(entry(path, state="link", target="elsewhere")).changed
    host(entry(path, state="link", target=str(target)))
    assert host(entry(path, "own\n")).changed
    assert not path.is_symlink() and path.read_text() == "own\n" and target.read_text() == "keep\n"


def test_absent_removes_files_trees_and_links_but_not_their_targets(tmp_path: Path) -> None:
    (tmp_path / "tree/deep").mkdir(parents=True)
    (tmp_path / "tree/deep/file").write_text("x")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_text("x")
    (tmp_path / "link").symlink_to("kept")
    gone = [entry(tmp_path / name, state="absent") for name in ("tree", "link", "never-was")]
    assert host(*gone).data["changed_paths"] == [str(tmp_path / "tree"), str(tmp_path / "link")]
    assert sorted(snapshot(tmp_path)) == ["kept", "kept/file"]
    assert not host(*gone).changed


def test_a_link_to_a_directory_counts_as_the_directory(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir(mode=0o755)
    (tmp_path / "state").symlink_to("disk")
    wanted = entry(tmp_path / "state", state="directory", mode="0700")
    assert host(wanted).changed and mode_of(tmp_path / "disk") == 0o700
    assert not host(wanted).changed and (tmp_path / "state").is_symlink()


def test_nothing_of_value_is_removed_to_make_room(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/data").write_text("x")
    (tmp_path / "file").write_text("x")
    before = snapshot(tmp_path)
    for wanted in (
        entry(tmp_path / "full", "x"),
        entry(tmp_path / "full", state="link", target="x"),
        entry(tmp_path / "file", state="directory"),
    ):
        answer = host(entry(tmp_path / "innocent", "x"), wanted)
        assert answer.failed and "[MS-HOST-005]" in answer.message
        assert snapshot(tmp_path) == before
    # What a container engine makes for a missing mount source is empty, and in nobody's way.
    (tmp_path / "empty").mkdir()
    assert host(entry(tmp_path / "empty", "x")).changed and (tmp_path / "empty").read_text() == "x"


@pytest.mark.parametrize(
    "wanted",
    [{"path": "/tmp/x"}, {"path": "/tmp/x", "state": "link"}, {"path": "/tmp/x", "state": "fifo", "content": ""}],
)
def test_half_a_wish_is_refused(wanted: dict[str, Any]) -> None:
    assert host(wanted).failed


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_warning_counts_as_a_refusal_where_it_is_said_so(tmp_path: Path, stream: str) -> None:
    """cloudflared warns of a misspelt key and succeeds."""
    path = tmp_path / "ingress.json"
    program = (
        f"import sys; print('Warning: unused keys' if 'orign' in open(sys.argv[1]).read() else 'OK', file=sys.{stream})"
    )
    wish: dict[str, Any] = {"validate": [sys.executable, "-c", program, "%s"], "validate_refuses": "(?i)warning"}
    answer = host(entry(path, "orignRequest", **wish))
    assert answer.failed and "[MS-HOST-001]" in answer.message and "Warning: unused keys" in answer.message
    assert not path.exists()
    assert host(entry(path, "originRequest", **wish)).changed
    del wish["validate_refuses"]
    assert host(entry(path, "orignRequest", **wish)).changed
