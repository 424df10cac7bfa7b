# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A zone as a BIND file, the way the export endpoint writes it (form after published exports)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .config import Zone
from .rdata import PROXIABLE
from .records import Record


def bind_file(zone: Zone, settings: Mapping[str, Any], records: Iterable[Record], now: str) -> str:
    """SOA, NS, then one section per type; comments and the proxy's state travel behind a semicolon.

    The SOA's owner has no trailing dot in published exports, so a strict parser stumbles over that line here as well.
    """
    soa = settings["soa"]
    serial = "".join(c for c in now[:16] if c.isdigit())[2:]
    numbers = " ".join(str(soa[name]) for name in ("refresh", "retry", "expire", "min_ttl"))
    lines = [
        ";;",
        f";; Domain:     {zone.name}.",
        f";; Exported:   {now[:19].replace('T', ' ')}",
        ";;",
        "",
        ";; SOA Record",
        f"{zone.name}\t{soa['ttl']}\tIN\tSOA\t{soa['mname']}. {soa['rname']}. {serial} {numbers}",
        "",
        ";; NS Records",
        *(f"{zone.name}.\t{settings['ns_ttl']}\tIN\tNS\t{server}." for server in zone.name_servers),
    ]
    by_type: dict[str, list[Record]] = {}
    for record in records:
        by_type.setdefault(record.type, []).append(record)
    for record_type in sorted(by_type):
        lines += ["", f";; {record_type} Records"]
        lines += [_line(record) for record in sorted(by_type[record_type], key=lambda r: (r.name, r.value.content))]
    return "\n".join(lines) + "\n"


def _line(record: Record) -> str:
    return f"{record.name}.\t{record.ttl}\tIN\t{record.type}\t{record.value.presentation}{_remark(record)}"


def _remark(record: Record) -> str:
    tags = list(record.tags)
    if record.type in PROXIABLE:
        tags.append(f"cf-proxied:{str(record.proxied).lower()}")
    if record.settings.get("flatten_cname"):
        tags.append("cf-flatten-cname")
    words = [record.comment] if record.comment else []
    if tags:
        words.append("cf_tags=" + ",".join(tags))
    return " ; " + " ".join(words) if words else ""
