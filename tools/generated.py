"""Files that are made from others: written by default, compared under --check."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The repository is itself a collection: this is where Python finds it under its full name.
sys.path.insert(0, str(ROOT / "collections"))


def stale(wanted: Mapping[Path, str]) -> list[str]:
    """A unified difference for every file that does not say what it should."""
    found = []
    for path, text in wanted.items():
        present = path.read_text(encoding="utf-8") if path.exists() else ""
        if present != text:
            name = str(path.relative_to(ROOT))
            lines = difflib.unified_diff(present.splitlines(True), text.splitlines(True), name, f"{name} (made)")
            found.append("".join(lines))
    return found


def main(wanted: Mapping[Path, str], command: str) -> None:
    """Write the files, or with --check on the command line end with status 1 when one of them is stale."""
    differences = stale(wanted)
    if "--check" in sys.argv[1:]:
        if differences:
            sys.exit("".join(differences) + f"Fix: run {command} and commit what it writes")
        return
    for path, text in wanted.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
