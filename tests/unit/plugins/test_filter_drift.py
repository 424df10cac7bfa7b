# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is planned as far as it is known: facts fill it, and what no host told stays open."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.filter.drift import drift_hosts, zones_known
from ansible_collections.mailstead.stack.plugins.filter.plan import zones_wanted
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import to_data

from tests.unit.checks.world import DOMAIN, facts, plan

PLAN = to_data(plan())
EDGE = PLAN["edges"][0]["host"]
#: As plan.resolve wants them; the world's zone is signed.
FACTS: dict[str, Any] = {
    "dkim": [dict(f) for f in facts().dkim],
    "spki": dict(facts().spki),
    "signed": list(facts().signed),
}
ASKED: dict[str, Any] = {EDGE: {"dns_signed": {"observations": [{"data": {}}]}}}
UNREACHABLE = {EDGE: {"dns_signed": {"unreachable": True, "msg": "no route"}}}


def records(zones: list[dict[str, Any]]) -> list[dict[str, Any]]:
    (zone,) = [z for z in zones if z["name"] == DOMAIN]
    found: list[dict[str, Any]] = zone["records"]
    return found


def deferred(zones: list[dict[str, Any]]) -> set[str]:
    return {r["deferred"]["kind"] for r in records(zones) if r.get("deferred")}


def test_with_all_facts_it_is_what_is_published() -> None:
    known = zones_known(PLAN, FACTS, ASKED)
    assert deferred(known) == set()
    wanted = zones_wanted(PLAN, FACTS, "delivery")
    keys = ("name", "type", "content", "ttl", "phase", "role")

    def rows(zones: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
        return {tuple(r[k] for k in keys) for r in records(zones)}

    assert rows(known) == rows(wanted) and len(rows(known)) == len(records(known))
    assert [(z["name"], z["provider"], z["foreign"]) for z in known] == [
        (z["name"], z["provider"], z["foreign"]) for z in wanted
    ]


@pytest.mark.parametrize(
    ("lost", "hostvars", "open_"),
    [
        ({"dkim": []}, ASKED, {"dkim"}),
        ({"spki": {}}, ASKED, {"tlsa"}),
        ({"signed": []}, ASKED, set()),
        ({"signed": []}, UNREACHABLE, {"tlsa"}),
        ({"signed": []}, {EDGE: {}}, {"tlsa"}),
        ({"dkim": [], "spki": {}, "signed": []}, UNREACHABLE, {"dkim", "tlsa"}),
    ],
)
def test_what_no_host_told_stays_open(lost: dict[str, Any], hostvars: dict[str, Any], open_: set[str]) -> None:
    assert deferred(zones_known(PLAN, {**FACTS, **lost}, hostvars)) == open_


def test_an_unsigned_zone_has_no_tlsa_planned() -> None:
    found = records(zones_known(PLAN, {**FACTS, "signed": []}, ASKED))
    assert not [r for r in found if r["type"] == "TLSA"]


def test_hosts_get_the_values_of_their_secrets() -> None:
    (host,) = drift_hosts(PLAN, {_reference(): "value"})
    assert (host["provider"], host["secret"]) == ("cloudflare", "value") and DOMAIN in host["zones"]


def _reference() -> str:
    return str(dict(tuple(o) for o in PLAN["zones"][0]["options"])["token"])
