# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wanted and present records in short, and the diff between them."""

from __future__ import annotations

from typing import Any

from ansible_collections.mailstead.stack.plugins.module_utils.dns import engine
from ansible_collections.mailstead.stack.plugins.module_utils.dns.codes import CODES
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Have, Options, Want, ZoneDiff
from ansible_collections.mailstead.stack.plugins.module_utils.plan.phases import ForeignPolicy

ZONE = "example.com"
HOST = "mail.example.com"
SPF = "v=spf1 ip4:192.0.2.1 -all"
DMARC = "v=DMARC1; p=reject; rua=mailto:postmaster@example.com"
PHASE = {"A": "address", "AAAA": "address", "CNAME": "address", "TXT": "policy", "CAA": "policy", "TLSA": "certificate"}


def want(name: str, rtype: str, content: str, **more: Any) -> Want:
    fields = {"ttl": 3600, "phase": PHASE.get(rtype, "delivery"), "role": rtype.lower(), **more}
    return Want(name, rtype, content, **fields)


def theirs(name: str, rtype: str, content: str, **more: Any) -> Have:
    return Have(name, rtype, content, more.pop("ttl", 300), id=f"f-{name}-{content}", **more)


def ours(name: str, rtype: str, content: str, role: str = "", **more: Any) -> Have:
    mark = f"mailstead:mailstead:{role or rtype.lower()}"
    return Have(name, rtype, content, more.pop("ttl", 3600), id=f"o-{name}-{content}", comment=mark, **more)


def diff(wants: list[Want], have: list[Have], foreign: dict[str, str] | None = None, **options: Any) -> ZoneDiff:
    return engine.diff(ZONE, wants, have, Options(foreign=ForeignPolicy(**(foreign or {})), **options))


def actions(found: ZoneDiff) -> list[tuple[str, str, str, str | None, str | None]]:
    assert not found.problems, found.problems
    return [
        (
            c.action,
            c.record.type,
            c.record.name,
            c.before.content if c.before else None,
            c.after.content if c.after else None,
        )
        for c in found.changes
    ]


def codes(found: ZoneDiff) -> list[str]:
    assert all(p.code in CODES and p.where and p.what and p.fix for p in found.problems)
    return [p.code for p in found.problems]


BASIC = [want(HOST, "A", "192.0.2.1"), want(ZONE, "MX", f"10 {HOST}"), want(ZONE, "TXT", SPF, role="spf")]
