# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""octodns with octodns-cloudflare: `octodns-sync --doit` over one YAML file per zone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ..records import Record, value
from .base import Command, Job

#: Threads over zones; it has one by default.
WORKERS = 8


def rrset_value(record: Record) -> Any:
    """One value in octodns's own words."""
    if record.type == "TXT":
        return record.content.replace(";", "\\;")
    body = value(record.type, record.content)
    if record.type == "MX":
        return {"preference": body["priority"], "exchange": body["content"] + "."}
    if record.type == "SRV":
        return {**body["data"], "target": body["data"]["target"] + "."}
    if record.type == "TLSA":
        data = body["data"]
        return {
            "certificate_usage": data["usage"],
            "selector": data["selector"],
            "matching_type": data["matching_type"],
            "certificate_association_data": data["certificate"],
        }
    if record.type == "CAA":
        return body["data"]
    return body["content"] + "." if record.type == "CNAME" else body["content"]


def zone_file(zone: str, records: Sequence[Record]) -> dict[str, list[dict[str, Any]]]:
    """A zone as octodns reads it: record sets by relative name."""
    sets: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        sets[(record.name.removesuffix(zone).rstrip("."), record.type)].append(record)
    out: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for (name, kind), members in sets.items():
        values = [rrset_value(r) for r in members]
        what = {"value": values[0]} if kind == "CNAME" else {"values": values}
        out[name].append({"type": kind, "ttl": members[0].ttl, **what})
    return dict(out)


def configuration(job: Job, directory: Path) -> dict[str, Any]:
    """pagerules off saves it one request per zone."""
    owned = {"processors": ["owner"]} if job.foreign else {}
    zone = {"sources": ["config"], "targets": ["cloudflare"], **owned}
    cloudflare = {
        "class": "octodns_cloudflare.CloudflareProvider",
        "token": "env/CLOUDFLARE_TOKEN",
        "api_url": job.url,
        "pagerules": False,
    }
    config = {
        "class": "octodns.provider.yaml.YamlProvider",
        "directory": str(directory),
        "enforce_order": False,
    }
    return {
        "manager": {"max_workers": WORKERS},
        "processors": {"owner": {"class": "octodns.processor.ownership.OwnershipProcessor"}},
        "providers": {"config": config, "cloudflare": cloudflare},
        "zones": {f"{name}.": zone for name in job.wanted},
    }


class Octodns:
    """venv: the peers' environment."""

    name = "octodns"

    def __init__(self, venv: Path) -> None:
        self._program = str(venv / "bin" / "octodns-sync")

    def commands(self, job: Job, directory: Path) -> list[Command]:
        zones = directory / "octodns"
        zones.mkdir(exist_ok=True)
        for name, records in job.wanted.items():
            (zones / f"{name}.yaml").write_text(yaml.safe_dump(zone_file(name, records)), encoding="utf-8")
        config = directory / "octodns.yml"
        config.write_text(yaml.safe_dump(configuration(job, zones)), encoding="utf-8")
        argv = (self._program, f"--config-file={config}", "--doit", "--quiet")
        return [Command(argv, {"CLOUDFLARE_TOKEN": job.token})]

    def note(self, job: Job) -> str:
        return "with its OwnershipProcessor" if job.foreign else ""
