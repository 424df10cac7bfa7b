# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The vendor's Python SDK with a plain script of list, naive comparison and batch (scripts/sdk_list_batch.py)."""

from __future__ import annotations

import json
from pathlib import Path

from .base import Command, Job

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "sdk_list_batch.py"


class Sdk:
    """venv: the peers' environment."""

    name = "SDK script"

    def __init__(self, venv: Path) -> None:
        self._python = str(venv / "bin" / "python")

    def commands(self, job: Job, directory: Path) -> list[Command]:
        wanted = {zone: [r.body() for r in records] for zone, records in job.wanted.items()}
        file = directory / "sdk.json"
        file.write_text(json.dumps({"url": job.url, "zones": wanted}), encoding="utf-8")
        return [Command((self._python, str(SCRIPT), str(file)), {"CLOUDFLARE_API_TOKEN": job.token})]

    def note(self, job: Job) -> str:
        return "naive comparison by text; what it does not want at its names and types goes" if job.foreign else ""
