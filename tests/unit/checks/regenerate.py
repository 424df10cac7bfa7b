# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes docs/checks.md from the catalogue: `PYTHONPATH=collections python -m tests.unit.checks.regenerate`."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.mailstead.stack.plugins.module_utils.checks.catalogue import markdown

TARGET = Path(__file__).resolve().parents[3] / "docs" / "checks.md"

if __name__ == "__main__":
    TARGET.write_text(markdown(), encoding="utf-8")
