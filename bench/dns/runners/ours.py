# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module cloudflare_zone, by its documented options only."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from .ansible import module_command, playbook_command
from .base import Command, Job

MODULE = "ansible_collections.mailstead.stack.plugins.modules.cloudflare_zone"
PLAY = """\
- name: Publish the mail records
  hosts: localhost
  gather_facts: false
  vars_files: [job.json]
  tasks:
    - name: Keep the records of all zones
      mailstead.stack.cloudflare_zone:
        base_url: "{{ url }}"
        zones: "{{ zones }}"
"""


def zones_of(job: Job) -> list[dict[str, Any]]:
    return [{"name": name, "records": [dataclasses.asdict(r) for r in records]} for name, records in job.wanted.items()]


class OursModule:
    """The module as one bare process."""

    name = "ours (module)"

    def commands(self, job: Job, directory: Path) -> list[Command]:
        params = {"base_url": job.url, "zones": zones_of(job)}
        return [module_command(MODULE, params, directory, {"CLOUDFLARE_API_TOKEN": job.token})]

    def note(self, job: Job) -> str:
        return ""


class OursPlaybook(OursModule):
    """A playbook of one task."""

    name = "ours (playbook)"

    def commands(self, job: Job, directory: Path) -> list[Command]:
        variables = {"url": job.url, "zones": zones_of(job)}
        return [playbook_command(PLAY, variables, directory, {"CLOUDFLARE_API_TOKEN": job.token})]
