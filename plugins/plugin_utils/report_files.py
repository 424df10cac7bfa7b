# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report as files: JSON for programs, one page of HTML for people."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import jinja2
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import (
    EXIT_BROKEN,
    EXIT_FAIL,
    EXIT_OK,
    EXIT_UNKNOWN,
)
from ansible_collections.mailstead.stack.plugins.module_utils.checks.report import WORDS

TEMPLATES = Path(__file__).resolve().parents[2] / "templates" / "report"
COLOURS = {EXIT_OK: "green", EXIT_FAIL: "red", EXIT_UNKNOWN: "yellow", EXIT_BROKEN: "red"}


def write(where: Path, report: dict[str, Any]) -> None:
    """report.json and report.html, each replaced as a whole."""
    where.mkdir(parents=True, exist_ok=True)
    replace(where / "report.json", json.dumps(report, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    replace(where / "report.html", html(report))


def replace(path: Path, content: str) -> None:
    with tempfile.NamedTemporaryFile("w", dir=path.parent, encoding="utf-8", delete=False) as handle:
        handle.write(content)
    temporary = Path(handle.name)
    # The report holds no secrets and is meant to be read.
    temporary.chmod(0o644)
    temporary.replace(path)


def html(report: dict[str, Any]) -> str:
    """The page; a kind of report has a template of its name."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(TEMPLATES)), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(f"{report['kind'].lower()}.html.j2").render(report=report, words=WORDS)
