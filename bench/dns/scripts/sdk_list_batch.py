#!/usr/bin/env python3
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody writes with the vendor's SDK in an hour: list, compare by text, one batch per zone, zones in parallel.

Naive on purpose: no ownership, no decoding of TXT, and a record set at a wanted name and type is made to be the wanted one.
Usage: sdk_list_batch.py FILE, with {"url": …, "zones": {name: [bodies]}}; the token is in CLOUDFLARE_API_TOKEN.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def text(record: Record) -> str:
    """A record's value as text. The SDK reads every number as a float."""
    data = record.get("data")
    if data and record["type"] != "MX":
        return json.dumps({k: int(v) if isinstance(v, float) else v for k, v in data.items()}, sort_keys=True)
    return f"{int(record['priority'])} {record['content']}" if record["type"] == "MX" else str(record["content"])


def compare(wanted: list[Record], live: list[Record]) -> dict[str, list[Record]]:
    """The four lists of a batch; leftovers of one name and type become patches."""
    at = {(r["name"], r["type"]) for r in wanted}
    live = [r for r in live if (r["name"], r["type"]) in at]
    have = {(r["name"], r["type"], text(r), r["ttl"]) for r in live}
    want = {(r["name"], r["type"], text(r), r["ttl"]) for r in wanted}
    new = [r for r in wanted if (r["name"], r["type"], text(r), r["ttl"]) not in have]
    old = [r for r in live if (r["name"], r["type"], text(r), r["ttl"]) not in want]
    patches = []
    for record in list(new):
        partner = next((r for r in old if (r["name"], r["type"]) == (record["name"], record["type"])), None)
        if partner:
            patches.append({**record, "id": partner["id"]})
            old.remove(partner)
            new.remove(record)
    return {"deletes": [{"id": r["id"]} for r in old], "patches": patches, "posts": new}


def apply(client: Any, zone_id: str, wanted: list[Record]) -> None:
    listed = client.dns.records.list(zone_id=zone_id, per_page=5000)
    batch = compare(wanted, [r.to_dict(mode="json") for r in listed])
    if any(batch.values()):
        client.dns.records.batch(zone_id=zone_id, **{k: v for k, v in batch.items() if v})


def main() -> None:
    # Only in the peers' environment; the comparison above is tested without it.
    from cloudflare import Cloudflare  # type: ignore[import-not-found]  # noqa: PLC0415

    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    client = Cloudflare(base_url=job["url"])
    ids = {zone.name: zone.id for zone in client.zones.list(per_page=50)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: apply(client, ids[name], job["zones"][name]), job["zones"]))


if __name__ == "__main__":
    main()
