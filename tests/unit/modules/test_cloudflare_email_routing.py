# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module cloudflare_email_routing as Ansible runs it, against the API twin on a socket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.dns import history
from ansible_collections.mailstead.stack.plugins.modules import cloudflare_email_routing

from lab.twins.cloudflare import Twin, TwinConfig
from lab.twins.cloudflare.faults import Fault
from lab.twins.cloudflare.server import Running
from tests.unit.cloudflare.support import TOKEN
from tests.unit.email_routing.world import ICLOUD, SCOPES, txt
from tests.unit.modules.documentation import assert_documented
from tests.unit.modules.routing_run import Run, codes

LIMITED = "l" * 40
ME = {"name": "example.me", "leaving": ["*.mail.icloud.com"]}
MX = {"name": "example.me", "type": "MX", "content": "10 mail.example.org", "role": "mx"}


@pytest.fixture(name="run")
def fixture_run(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    limited = [s for s in SCOPES if not s.startswith("Zone Settings")]
    tokens = [{"token": TOKEN, "scopes": SCOPES}, {"token": LIMITED, "scopes": limited}]
    twin = Twin(TwinConfig.from_data({"zones": [{"name": "example.me"}, {"name": "example.org"}], "tokens": tokens}))
    with Running(twin, ["127.0.0.1:0"]) as server:
        yield Run(cloudflare_email_routing, twin, server.urls[0] + "/client/v4", capsys)


def kinds(domain: dict[str, Any]) -> list[str]:
    return [step["kind"] for step in domain["steps"]]


def test_check_then_enable_then_nothing(run: Run, tmp_path: Path) -> None:
    state = run.twin.zone("example.me")
    for body in (ICLOUD, txt("v=spf1 include:icloud.com -all", comment="by hand")):
        state.create(body)
    domains = [{**ME, "subaddressing": True}, {"name": "example.org"}]
    kept = str(tmp_path / "saved")
    planned = run(check=True, domains=domains, snapshots=kept)
    assert planned["changed"] and planned["requests"] == 7 and not Path(kept).exists()
    assert kinds(planned["domains"][0]) == ["enable", "unlock", "write", "settings"]
    assert not run.twin.email("example.me").settings["enabled"]
    done = run(domains=domains, snapshots=kept)
    assert done["changed"] and done["diff"] == planned["diff"]
    assert kinds(done["domains"][0]) == kinds(planned["domains"][0]) and kinds(done["domains"][1]) == ["enable"]
    first = done["domains"][0]
    assert (first["enabled"], first["status"], first["subaddressing"]) == (True, "unlocked", True)
    assert [r["type"] for r in first["required"]] == ["MX", "MX", "MX", "TXT", "TXT"]
    assert first["steps"][0]["changes"][0]["before"] == "10 mx01.mail.icloud.com"
    assert "routed: false\n" in done["diff"][0]["before"] and "routed: true\n" in done["diff"][0]["after"]
    assert "mx01.mail.icloud.com" in done["diff"][1]["before"] and "route1.mx" in done["diff"][1]["after"]
    assert len(done["snapshots"]["files"]) == 2
    point = history.load(next(f for f in done["snapshots"]["files"] if "example.me" in f))
    assert any(r.content == "10 mx01.mail.icloud.com" for r in point.before) and point.changes
    again = run(domains=domains, snapshots=kept)
    # Two zones: the look-up, and for each its settings, its records and what the service needs.
    assert not again["changed"] and again["requests"] == 7 and again["diff"] == [] and "snapshots" not in again


def test_leaving_and_a_sub_domain_in_one_run(run: Run) -> None:
    sub = {"name": "lists.example.me", "zone": "example.me"}
    assert run(domains=[ME, sub])["changed"]
    off = [{"name": "example.me", "state": "disabled", "records": [MX]}, {**sub, "state": "disabled"}]
    assert codes(run(domains=off)) == ["MS-ER-012"]
    done = run(domains=off, allow=["no_mx"])
    assert [d["name"] for d in done["domains"]] == ["example.me", "lists.example.me"]
    assert [d["enabled"] for d in done["domains"]] == [False, False]
    assert [r.value.content for r in run.twin.zone("example.me").snapshot().values()] == ["mail.example.org"]
    assert run.twin.email("example.me").deprecated == []
    assert not run(domains=off, allow=["no_mx"])["changed"]


def test_each_domain_of_a_zone_saves_the_zone_as_it_finds_it(run: Run, tmp_path: Path) -> None:
    sub = {"name": "lists.example.me", "zone": "example.me"}
    done = run(domains=[ME, sub], snapshots=str(tmp_path / "saved"))
    points = [history.load(f) for f in done["snapshots"]["files"]]
    assert sorted(len(p.before) for p in points) == [0, 5] and all(len(p.changes) == 5 for p in points)


def test_refusals_name_the_place_and_the_permission(run: Run) -> None:
    run.twin.zone("example.me").create(ICLOUD)
    refused = run(domains=[{"name": "example.me"}, {"name": "example.org"}])
    assert codes(refused) == ["MS-ER-011"] and refused["changed"] is False and refused["domains"] == []
    assert not run.twin.email("example.org").settings["enabled"]
    limited = run(domains=[{"name": "example.org"}], token=LIMITED)
    assert codes(limited) == ["MS-ER-020"] and "Zone › Zone Settings › Read" in limited["msg"]


def test_what_fails_on_the_way_tells_what_is_in_effect_and_is_finished_by_the_next_run(run: Run) -> None:
    run.twin.zone("example.me").create(txt("v=spf1 include:icloud.com -all"))
    run.twin.faults.add(Fault("status", 1, method="PATCH", path="/email/routing/dns", status=400))
    failed = run(domains=[ME])
    assert codes(failed) == ["MS-ER-014"] and failed["changed"]
    assert kinds(failed["domains"][0]) == ["enable", "unlock"] and failed["domains"][0]["enabled"]
    assert kinds(run(domains=[ME])["domains"][0]) == ["unlock", "write"]


@pytest.mark.parametrize(
    ("domains", "expected"),
    [
        ([ME, {"name": "EXAMPLE.me."}], "MS-ER-016"),
        ([{"name": "not a name"}], "MS-ER-016"),
        ([{"name": "example.me", "zone": "example.org"}], "MS-ER-016"),
        (
            [{**ME, "zone_id": "a" * 32}, {"name": "x.example.me", "zone": "example.me", "zone_id": "b" * 32}],
            "MS-ER-016",
        ),
        (
            [{**ME, "subaddressing": True}, {"name": "x.example.me", "zone": "example.me", "subaddressing": False}],
            "MS-ER-016",
        ),
        ([{"name": "example.net"}], "MS-CF-003"),
    ],
)
def test_mistakes_in_the_list(run: Run, domains: list[dict[str, Any]], expected: str) -> None:
    assert codes(run(domains=domains)) == [expected]


def test_mistakes_in_the_arguments(run: Run) -> None:
    assert codes(run(domains=[ME], snapshots_point="yesterday")) == ["MS-DNS-087"]
    assert codes(run(domains=[ME], base_url="http://192.0.2.1/client/v4")) == ["MS-CF-013"]


def test_documentation_and_argument_spec_agree() -> None:
    assert_documented(cloudflare_email_routing)
