# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Email Sending: lost answers, odd answers, and that the zone engine leaves its records alone."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare import sending
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.provider import CloudflareProvider
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.sending import Task, Wanted
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.zones import ZoneInfo
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.common.http import Answer
from ansible_collections.mailstead.stack.plugins.module_utils.dns.codes import GUARDS
from ansible_collections.mailstead.stack.plugins.module_utils.dns.reconcile import ZoneTask, reconcile
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Options

from lab.twins.cloudflare import Fault
from tests.unit.cloudflare import support
from tests.unit.cloudflare.lost import lose
from tests.unit.cloudflare.support import TOKEN, ZONE, mail_set

INFO = ZoneInfo("z", ZONE)


class Bench(support.Bench):
    def __init__(self) -> None:
        super().__init__(tokens=[{"token": TOKEN, "scopes": ["Zone:Read", "DNS:Edit", "Email Sending:Edit"]}])

    def plan(self, *wanted: Wanted, allow: tuple[str, ...] = ("dmarc",)) -> list[Task]:
        tasks, problems = sending.plan(self.client(), wanted, allow)
        assert problems == []
        self.requests.clear()
        return tasks

    def managed(self) -> list[dict[str, Any]]:
        return sorted((r for r in self.records() if "cf-bounce" in r["name"]), key=lambda r: str(r["id"]))


def test_the_zone_engine_leaves_the_services_records_alone() -> None:
    bench = Bench()
    bench.run(mail_set())
    assert sending.apply(bench.client(), bench.plan(Wanted(ZONE))) == []
    before = bench.managed()
    assert len(before) == 5 and all(r["meta"]["read_only"] for r in before)
    for mode in ("owned", "names"):
        (result,) = bench.run(mail_set(), mode=mode)
        assert not result.diff.changes and not result.written
    # Also when everything that is ours changes, when it goes, and when the whole zone is ours.
    (result,) = bench.run([dataclasses.replace(w, ttl=600) for w in mail_set()])
    assert len(result.written) == len(mail_set())
    bench.run([], allow=tuple(GUARDS))
    assert len(bench.records()) == len(before)
    task = ZoneTask(ZONE, tuple(mail_set()), confirmed=True)
    (result,) = reconcile(CloudflareProvider(bench.client()), [task], Options(mode="zone", allow=tuple(GUARDS)))
    assert result.written
    assert bench.managed() == before


def test_an_onboarding_whose_answer_is_lost_is_looked_for() -> None:
    bench = Bench()
    tasks = bench.plan(Wanted(ZONE))
    bench.twin.faults.drop_after_write(path="/sending/subdomains")
    assert sending.apply(bench.client(), tasks) == [] and tasks[0].written
    assert sum(r.startswith("POST") for r in bench.requests) == 1


@pytest.mark.parametrize(("method", "action"), [("POST", "onboard"), ("POST", "repair"), ("DELETE", "remove")])
def test_a_write_that_was_lost_is_made_again_and_one_that_stays_unclear_is_told(method: str, action: str) -> None:
    bench = Bench()
    if action != "onboard":
        sending.apply(bench.client(), bench.plan(Wanted(ZONE)))
    if action == "repair":
        _lose_mx(bench)
    wanted = Wanted(ZONE, present=action != "remove")
    tasks = bench.plan(wanted)
    assert tasks[0].action == action
    bench.twin.faults.add(Fault("status", 9, method=method, path="/sending", status=502))
    (problem,) = sending.apply(bench.client(), tasks)
    assert problem.code == "MS-ES-005" and not tasks[0].written
    bench.twin.faults.clear()
    bench.twin.faults.add(Fault("status", 1, method=method, path="/sending", status=502))
    assert sending.apply(bench.client(), tasks) == [] and tasks[0].written
    assert bench.plan(wanted)[0].action == "none"


def test_a_repair_whose_answer_is_lost_is_looked_for() -> None:
    bench = Bench()
    sending.apply(bench.client(), bench.plan(Wanted(ZONE)))
    _lose_mx(bench)
    tasks = bench.plan(Wanted(ZONE))
    bench.twin.faults.drop_after_write(path="/dns")
    assert sending.apply(bench.client(), tasks) == []
    assert sum(r.startswith("POST") for r in bench.requests) == 1


def _lose_mx(bench: Bench) -> None:
    lose(bench.twin.zone(ZONE), lambda r: r.type == "MX" and r.name.startswith("cf-bounce."))


def test_two_policies_are_a_failure() -> None:
    task = Task(Wanted(ZONE), INFO, None, sending.Dns(), ("v=DMARC1; p=none", "v=DMARC1; p=reject;"))
    (problem,) = sending.outcome(task, ["v=DMARC1; p=none"])
    assert problem.code == "MS-ES-001" and "count as none" in problem.what
    assert sending.outcome(dataclasses.replace(task, dmarc=("a",)), ["a"]) == []


def test_what_is_no_policy_does_not_count() -> None:
    assert sending.tags("v=spf1 -all") == {} and sending.tags("v=DMARC1;P = None ;") == {"p": "None"}


class Fixed:
    """Answers the requests in order of the paths' ends; the last answer of a path repeats."""

    def __init__(self, answers: dict[str, list[Any]]) -> None:
        self.answers = answers

    def request(self, method: str, path: str, *_rest: Any) -> Answer:
        given = self.answers[path.rsplit("/", 1)[-1]]
        body = given.pop(0) if len(given) > 1 else given[0]
        status = 200 if body["success"] else 400
        return Answer(status, {"content-type": "application/json"}, json.dumps(body).encode())

    def close(self) -> None:
        return None


def client(**answers: Any) -> Client:
    good = {name: [{"success": True, **one} for one in given] for name, given in answers.items()}
    return Client(TOKEN, lambda: Fixed(good), pause=lambda _s: None)


def test_pages_of_suppressions_are_followed_and_never_in_circles() -> None:
    pages = [
        {"result": [{"email": "a@b.example"}, 7], "result_info": {"next_cursor": "x"}},
        {"result": [{"email": "c@d.example"}], "result_info": {"next_cursor": "x"}},
    ]
    found = sending.suppressions(client(suppressions=pages), "a")
    assert [row["email"] for row in found] == ["a@b.example", "c@d.example"]
    assert sending.suppressions(client(suppressions=[{"result": None}]), "a") == []
    refused = Client(
        TOKEN,
        lambda: Fixed({"suppressions": [{"success": False, "errors": [{"code": 6003, "message": "bad"}]}]}),
    )
    with pytest.raises(MailsteadError, match="MS-CF-002"):
        sending.suppressions(refused, "a")


@pytest.mark.parametrize("result", [None, ["x"], [{"tag": "t"}], [{"tag": "", "name": "x"}]])
def test_lists_without_the_documented_shape(result: Any) -> None:
    with pytest.raises(MailsteadError, match="MS-CF-004"):
        sending.list_domains(client(subdomains=[{"result": result}]), INFO)


def test_a_service_that_shows_no_preview_is_not_in_the_way() -> None:
    refused = Client(TOKEN, lambda: Fixed({"preview": [{"success": False, "errors": []}]}), pause=lambda _s: None)
    assert sending.preview(refused, INFO, ZONE) == sending.Dns()
    assert sending.preview(client(preview=[{"result": ["odd"]}]), INFO, ZONE) == sending.Dns()
