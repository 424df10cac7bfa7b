# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""community.general.cloudflare_dns: one module run per record, in a loop of a playbook or as bare processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..records import STRING_MAX, Record, quoted, value
from .ansible import module_command, playbook_command
from .base import Command, Job

MODULE = "ansible_collections.community.general.plugins.modules.cloudflare_dns"
PLAY = """\
- name: Publish the mail records
  hosts: localhost
  gather_facts: false
  vars_files: [job.json]
  tasks:
    - name: Keep one record
      community.general.cloudflare_dns:
        zone: "{{ item.zone }}"
        record: "{{ item.record | default(omit) }}"
        type: "{{ item.type }}"
        value: "{{ item.value }}"
        ttl: "{{ item.ttl }}"
        priority: "{{ item.priority | default(omit) }}"
        weight: "{{ item.weight | default(omit) }}"
        port: "{{ item.port | default(omit) }}"
        service: "{{ item.service | default(omit) }}"
        proto: "{{ item.proto | default(omit) }}"
        cert_usage: "{{ item.cert_usage | default(omit) }}"
        selector: "{{ item.selector | default(omit) }}"
        hash_type: "{{ item.hash_type | default(omit) }}"
        flag: "{{ item.flag | default(omit) }}"
        tag: "{{ item.tag | default(omit) }}"
      loop: "{{ items }}"
      loop_control:
        label: "{{ item.type }}"
"""


def item(zone: str, record: Record) -> dict[str, Any]:
    """The module's parameters for one record."""
    base: dict[str, Any] = {"zone": zone, "type": record.type, "ttl": record.ttl}
    if record.type == "TXT":
        # A value that has to be divided is given as the API gives it back; the module would not find it again otherwise.
        text = record.content if len(record.content) <= STRING_MAX else quoted(record.content)
        return {**base, "record": record.name, "value": text}
    body = value(record.type, record.content)
    if record.type == "SRV":
        data = body["data"]
        service, proto, _ = record.name.split(".", 2)
        numbers = {k: data[k] for k in ("priority", "weight", "port")}
        return {**base, **numbers, "service": service, "proto": proto, "value": data["target"]}
    if record.type == "TLSA":
        data = body["data"]
        port, proto, host = record.name.split(".", 2)
        named = {"cert_usage": data["usage"], "selector": data["selector"], "hash_type": data["matching_type"]}
        where = {"port": int(port.lstrip("_")), "proto": proto, "record": host}
        return {**base, **where, **named, "value": data["certificate"]}
    if record.type == "CAA":
        data = body["data"]
        return {**base, "record": record.name, "flag": data["flags"], "tag": data["tag"], "value": data["value"]}
    priority = {"priority": body["priority"]} if record.type == "MX" else {}
    return {**base, **priority, "record": record.name, "value": body["content"]}


def items_of(job: Job) -> list[dict[str, Any]]:
    return [item(zone, record) for zone, records in job.wanted.items() for record in records]


class CommunityModule:
    """A bare process for each record."""

    name = "cloudflare_dns (module)"

    def commands(self, job: Job, directory: Path) -> list[Command]:
        env = {"CLOUDFLARE_TOKEN": job.token}
        return [module_command(MODULE, params, directory, env) for params in items_of(job)]

    def note(self, job: Job) -> str:
        return ""


class CommunityPlaybook(CommunityModule):
    """One playbook, one task, a loop."""

    name = "cloudflare_dns (playbook)"

    def commands(self, job: Job, directory: Path) -> list[Command]:
        variables = {"items": items_of(job)}
        return [playbook_command(PLAY, variables, directory, {"CLOUDFLARE_TOKEN": job.token})]
