"""Pages that are made from the code say what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import error_docs, generated


def test_every_code_that_is_used_is_explained() -> None:
    explained = error_docs.codes()
    assert {code: files for code, files in error_docs.used().items() if code not in explained} == {}


def test_every_code_that_is_explained_is_used() -> None:
    assert sorted(set(error_docs.codes()) - set(error_docs.used())) == []


def test_the_error_page_is_up_to_date() -> None:
    assert "".join(generated.stale(error_docs.wanted())) == ""


def test_a_stale_page_is_noticed_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generated, "ROOT", tmp_path)
    path = tmp_path / "page.md"
    monkeypatch.setattr("sys.argv", ["x", "--check"])
    with pytest.raises(SystemExit, match=r"\+new\nFix: run the command"):
        generated.main({path: "new\n"}, "the command")
    monkeypatch.setattr("sys.argv", ["x"])
    generated.main({path: "new\n"}, "the command")
    assert path.read_text() == "new\n"
    monkeypatch.setattr("sys.argv", ["x", "--check"])
    generated.main({path: "new\n"}, "the command")
