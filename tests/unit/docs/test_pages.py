"""Pages lead somewhere: links, anchors, files, playbooks and make targets that they name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.plugins.playbook import ROOT
from tools.error_docs import codes

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
IDS = [str(p.relative_to(ROOT)) for p in PAGES]
each_page = pytest.mark.parametrize("page", PAGES, ids=IDS)


def anchors(page: Path) -> set[str]:
    text = page.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    made = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
    return made | set(re.findall(r"<a id='([^']+)'", text))


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        name, _hash, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(path), f"{page.name}: {target}"


@each_page
def test_what_is_named_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"\bplaybooks/(\w+\.yml)", text):
        assert (ROOT / "playbooks" / name).exists(), name
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for name in re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE):
        assert name in targets, name
    for code in re.findall(r"\bMS-[A-Z]+-\d{3}\b", text):
        assert code in codes(), code


@pytest.mark.parametrize("record", sorted((ROOT / "docs/decisions").glob("*.md")), ids=lambda p: p.stem)
def test_decisions_say_context_choice_and_consequence(record: Path) -> None:
    text = record.read_text(encoding="utf-8")
    number = re.match(r"# (\d+)\.? \S", text)
    assert number and int(number[1]) == int(record.name[:4])
    for part in ("Context", "Choice|Decision", "Consequence"):
        assert re.search(rf"^(## |\*\*)({part})", text, re.MULTILINE), part


def test_decisions_are_numbered_once() -> None:
    numbers = [p.name[:4] for p in (ROOT / "docs/decisions").glob("*.md")]
    assert len(numbers) == len(set(numbers)) and all(n.isdigit() for n in numbers)
