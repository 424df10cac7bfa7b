# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module cloudflare_email_routing_destinations as Ansible runs it, against the API twin on a socket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing import announce
from ansible_collections.mailstead.stack.plugins.modules import cloudflare_email_routing_destinations

from lab.twins.cloudflare import Twin, TwinConfig
from lab.twins.cloudflare.faults import Fault
from lab.twins.cloudflare.server import Running
from tests.unit.cloudflare.support import TOKEN
from tests.unit.email_routing.world import SCOPES
from tests.unit.modules.documentation import assert_documented
from tests.unit.modules.routing_run import Run, codes

LIMITED = "l" * 40
YOU, NEW = "you@gmail.example", "New@gmail.example"


@pytest.fixture(name="run")
def fixture_run(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    limited = [s for s in SCOPES if not s.startswith("Email Routing Addresses")]
    tokens = [{"token": TOKEN, "scopes": SCOPES}, {"token": LIMITED, "scopes": limited}]
    config = {"zones": [{"name": "example.me"}], "tokens": tokens, "email": {"destinations": [YOU]}}
    twin = Twin(TwinConfig.from_data(config))
    with Running(twin, ["127.0.0.1:0"]) as server:
        yield Run(cloudflare_email_routing_destinations, twin, server.urls[0] + "/client/v4", capsys)


def test_announced_once_pending_until_the_click_then_verified(run: Run) -> None:
    planned = run(check=True, addresses=[YOU, NEW])
    assert planned["changed"] and planned["created"] == [NEW] and run.twin.outbox == []
    done = run(addresses=[YOU, NEW])
    assert done["changed"] and done["diff"] == planned["diff"] and done["requests"] == 4
    assert (done["pending"], done["verified"]) == ([NEW], [YOU])
    (text,) = done["instructions"]
    assert text.startswith(NEW) and text in str(done["warnings"])
    assert done["diff"]["before"] == f"{YOU}: verified\n"
    assert done["diff"]["after"] == f"{NEW}: pending\n{YOU}: verified\n"
    again = run(addresses=[YOU, NEW])
    # The account, verified ones, pending ones; nobody gets the message twice.
    assert not again["changed"] and again["pending"] == [NEW] and again["requests"] == 3
    assert len(run.twin.outbox) == 1
    run.twin.click(NEW)
    final = run(addresses=[YOU, NEW], account_id=run.twin.config.account.id)
    assert final["pending"] == [] and len(final["verified"]) == 2 and final["requests"] == 2


def test_one_is_removed_when_named_and_unused(run: Run) -> None:
    run.twin.email("example.me").add_rule("hi@example.me", "forward", YOU)
    refused = run(absent=[YOU])
    assert codes(refused) == ["MS-ER-010"] and "hi@example.me" in refused["msg"]
    run.twin.add_destination("old@gmail.example", verified=True)
    planned = run(check=True, absent=["OLD@gmail.example"])
    done = run(absent=["OLD@gmail.example"])
    assert done["deleted"] == planned["deleted"] == ["old@gmail.example"] and done["diff"] == planned["diff"]
    assert not run(absent=["old@gmail.example"])["changed"] and set(run.twin.destinations) == {YOU}


def test_waiting_for_the_click(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    late = run(addresses=[NEW], wait_verified=1)
    assert not late.get("failed") and late["pending"] == [NEW]
    real = announce.wait

    def wait(client: Any, task: announce.Task, seconds: float) -> None:
        real(client, task, seconds, pause=lambda _s: run.twin.click(NEW))

    monkeypatch.setattr(announce, "wait", wait)
    done = run(addresses=[NEW], wait_verified=60)
    assert done["pending"] == [] and done["instructions"] == [] and len(done["verified"]) == 1


@pytest.mark.parametrize("kind", ["drop_after", "drop_before"])
def test_a_lost_answer_sends_no_second_message(run: Run, kind: str) -> None:
    run.twin.faults.add(Fault(kind, 1, method="POST", path="/email/routing/addresses"))
    done = run(addresses=[NEW])
    assert done["changed"] and len(run.twin.outbox) == 1
    run.twin.faults.add(Fault(kind, 1, method="DELETE", path="/email/routing/addresses"))
    assert run(absent=[NEW])["deleted"] and set(run.twin.destinations) == {YOU}


def test_an_outcome_that_stays_unclear_is_told(run: Run) -> None:
    run.twin.faults.add(Fault("status", 9, method="POST", path="/email/routing/addresses", status=502))
    assert codes(run(addresses=[NEW])) == ["MS-ER-013"]


def test_mistakes_and_permissions(run: Run) -> None:
    assert codes(run(addresses=["nobody", "*@gmail.example"])) == ["MS-ER-001", "MS-ER-001"]
    limited = run(addresses=[NEW], token=LIMITED)
    assert codes(limited) == ["MS-ER-020"] and "Account › Email Routing Addresses › Read" in limited["msg"]
    assert codes(run(base_url="http://192.0.2.1/client/v4")) == ["MS-CF-013"]


def test_documentation_and_argument_spec_agree() -> None:
    assert_documented(cloudflare_email_routing_destinations)
