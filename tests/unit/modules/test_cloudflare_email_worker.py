# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module cloudflare_email_worker as Ansible runs it, against the API twin on a socket."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.workers import COMPATIBILITY_DATE
from ansible_collections.mailstead.stack.plugins.modules import cloudflare_email_worker
from ansible_collections.mailstead.stack.plugins.plugin_utils.worker_code import TEMPLATES, modules

from lab.twins.cloudflare import Twin, TwinConfig
from lab.twins.cloudflare.server import Running
from tests.unit.cloudflare.support import TOKEN
from tests.unit.modules.documentation import assert_documented
from tests.unit.plugins.modules import Answer, run_module

ROOT = Path(__file__).parents[3]
CODE = 'export default { async email(message) { await message.forward("a@mailbox.example"); } };\n'
SECRET = "s3cret-of-the-webhook"
CONFIG = {"CONFIG": {"forward": ["you@mailbox.example"]}}
NARROW = "n" * 40


class Run:
    def __init__(self, twin: Twin, url: str) -> None:
        self.twin, self.url = twin, url

    def __call__(self, *workers: dict[str, Any], **params: Any) -> Answer:
        given = {"api_token": TOKEN, "base_url": self.url, "workers": list(workers), **params}
        answer = run_module(cloudflare_email_worker.main, **given)
        assert SECRET not in answer.raw
        return answer


@pytest.fixture(name="run")
def fixture_run() -> Iterator[Run]:
    scopes = ["Zone:Read", "Workers Scripts:Edit", "Email Routing Rules:Edit"]
    tokens = [{"token": TOKEN, "scopes": scopes}, {"token": NARROW, "scopes": ["Zone:Read"]}]
    twin = Twin(TwinConfig.from_data({"zones": [{"name": "example.com"}], "tokens": tokens}))
    with Running(twin, ["127.0.0.1:0"]) as server:
        yield Run(twin, server.urls[0] + "/client/v4")


def worker(name: str = "tickets", **more: Any) -> dict[str, Any]:
    return {"name": name, "modules": {"main.js": CODE}, "main": "main.js", **more}


def codes(answer: Answer) -> list[str]:
    assert all(p["where"] and p["what"] and p["fix"] for p in answer.data["problems"])
    return [p["code"] for p in answer.data["problems"]]


def bound(run: Run, name: str = "tickets") -> dict[str, dict[str, Any]]:
    script = run.twin.worker(name)
    assert script is not None
    return {b["name"]: b for b in script.bindings}


def test_the_documentation_is_that_of_the_arguments() -> None:
    assert_documented(cloudflare_email_worker)
    offered = {p.stem for p in TEMPLATES.glob("*.js") if "export default" in p.read_text(encoding="utf-8")}
    assert offered == set(cloudflare_email_worker.TEMPLATES)
    for part in ("DOCUMENTATION", "EXAMPLES", "RETURN"):
        assert yaml.safe_load(getattr(cloudflare_email_worker, part))


def test_check_then_upload_then_nothing(run: Run) -> None:
    wanted = worker(vars={**CONFIG, "GREETING": "hi"}, secrets={"WEBHOOK_TOKEN": SECRET}, kv={"SEEN": "4" * 32})
    planned = run(wanted, check=True)
    assert planned.changed and planned.data["workers"][0]["action"] == "create" and run.twin.worker("tickets") is None
    done = run(wanted)
    assert done.changed and done.data["workers"][0]["written"] and done.data["diff"] == planned.data["diff"]
    # The account, the scripts, the upload.
    assert done.data["requests"] == 3
    script = run.twin.worker("tickets")
    assert script is not None and script.modules == {"main.js": CODE}
    assert script.metadata["tags"] == ["mailstead:mailstead"]
    assert script.metadata["compatibility_date"] == COMPATIBILITY_DATE and script.metadata["main_module"] == "main.js"
    found = bound(run)
    assert found["CONFIG"] == {"type": "json", "name": "CONFIG", "json": CONFIG["CONFIG"]}
    assert found["GREETING"] == {"type": "plain_text", "name": "GREETING", "text": "hi"}
    assert found["WEBHOOK_TOKEN"]["text"] == SECRET and found["SEEN"]["namespace_id"] == "4" * 32
    again = run(wanted, account_id=run.twin.config.account.id)
    # The scripts, and settings and code of the one.
    assert not again.changed and again.data["requests"] == 3 and again.data["diff"] == []
    assert [entry.method for entry in run.twin.log.entries if "workers" in entry.path].count("PUT") == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"modules": {"main.js": CODE, "more.js": "export const x = 1;\n"}}, "module more.js differs"),
        ({"modules": {"main.js": CODE.replace("a@", "b@")}}, "module main.js differs"),
        ({"vars": {"CONFIG": {"forward": ["other@mailbox.example"]}}}, "binding CONFIG differs"),
        ({"vars": {}}, "binding CONFIG is not wanted"),
        ({"r2": {"MESSAGES_R2": "mail"}}, "binding MESSAGES_R2 is missing"),
        ({"secrets": {"WEBHOOK_TOKEN": "s3cond"}}, "a secret differs, or it was uploaded by another tool"),
        ({"compatibility_date": "2026-01-01"}, f"compatibility date was {COMPATIBILITY_DATE}"),
    ],
)
def test_what_differs_is_told_and_put_right(run: Run, change: dict[str, Any], reason: str) -> None:
    wanted = worker(vars=CONFIG, secrets={"WEBHOOK_TOKEN": SECRET})
    run(wanted)
    planned = run({**wanted, **change}, check=True)
    assert planned.data["workers"][0]["reasons"] == [reason] and planned.data["diff"][0]["before"]
    done = run({**wanted, **change})
    assert done.changed and done.data["diff"] == planned.data["diff"]
    assert not run({**wanted, **change}).changed


def test_what_somebody_changed_by_hand_is_put_back(run: Run) -> None:
    wanted = worker(vars=CONFIG)
    run(wanted)
    script = run.twin.worker("tickets")
    assert script is not None
    script.modules["main.js"] = "export default {};\n"
    script.bindings.append({"type": "plain_text", "name": "DEBUG", "text": "1"})
    script.bindings.append({"type": "d1", "name": "ARCHIVE", "id": "x"})
    kept = {**wanted, "keep_bindings": ["d1"]}
    done = run(kept)
    assert set(done.data["workers"][0]["reasons"]) == {"module main.js differs", "binding DEBUG is not wanted"}
    assert set(bound(run)) == {"CONFIG", "ARCHIVE", "MAILSTEAD_HASH"} and not run(kept).changed


def test_other_peoples_scripts_are_not_touched(run: Run) -> None:
    run(worker("theirs"), instance="other")
    before = run.twin.worker("theirs")
    refused = run(worker("theirs", vars=CONFIG), worker("ours"))
    assert codes(refused) == ["MS-CW-001"] and "mailstead:other" in refused.message
    assert run.twin.worker("theirs") == before and run.twin.worker("ours") is None
    assert codes(run({"name": "theirs", "state": "absent"})) == ["MS-CW-001"]
    adopted = run(worker("theirs", vars=CONFIG), adopt=True)
    assert adopted.changed and "adopted" in adopted.data["workers"][0]["reasons"]
    assert not run(worker("theirs", vars=CONFIG)).changed


@pytest.mark.parametrize("listed", [True, False])
def test_the_catch_all_keeps_its_worker(run: Run, listed: bool) -> None:
    run.twin.reconfigure_email(catch_all_listed=listed)
    run(worker())
    put = {"actions": [{"type": "worker", "value": ["tickets"]}], "matchers": [{"type": "all"}], "enabled": True}
    zone = run.twin.zone("example.com").zone.zone_id
    headers = {"Authorization": f"Bearer {TOKEN}"}
    path = f"/client/v4/zones/{zone}/email/routing/rules/catch_all"
    run.twin.email("example.com").enable()
    assert run.twin.handle("PUT", path, {}, headers, json.dumps(put).encode()).status == 200
    refused = run({"name": "tickets", "state": "absent"})
    assert codes(refused) == ["MS-CW-003"] and "the catch-all of example.com" in refused.message


def test_a_worker_goes_unless_rules_need_it(run: Run) -> None:
    run(worker())
    gone = {"name": "tickets", "state": "absent"}
    rule = run.twin.email("example.com").add_rule("hi@example.com", "worker", "tickets")
    refused = run(gone)
    assert codes(refused) == ["MS-CW-003"] and "hi@example.com" in refused.message
    assert rule["actions"][0]["value"] == ["tickets"] and run.twin.worker("tickets") is not None
    assert run(gone, allow=["used"], check=True).changed
    done = run(gone, allow=["used"])
    assert done.data["workers"][0]["action"] == "delete" and done.data["diff"][0]["after"] == ""
    assert run.twin.worker("tickets") is None and not run(gone).changed


def test_bad_wishes_are_all_told_before_anything_is_asked(run: Run) -> None:
    answer = run(
        worker("Bad Name"),
        worker("twice"),
        worker("twice"),
        {"name": "empty"},
        worker("dates", compatibility_date="today"),
        worker("clash", vars={"A": "1"}, kv={"A": "2"}),
        worker("seal", vars={"MAILSTEAD_HASH": "x"}),
        worker("odd", vars={"no-name": "x"}),
        worker("bare", bindings=[{"name": "X"}]),
    )
    assert codes(answer) == ["MS-CW-002"] * 8 and answer.data["requests"] == 0


def test_refusals_are_explained(run: Run) -> None:
    narrow = run(worker(), api_token=NARROW)
    assert codes(narrow) == ["MS-CW-006"] and "Account › Workers Scripts › Read" in narrow.message
    refused = run(worker(bindings=[{"type": "telepathy", "name": "MIND"}]))
    assert codes(refused) == ["MS-CW-004"] and "telepathy" in refused.message and not refused.changed


def test_one_that_fails_does_not_stop_the_others(run: Run) -> None:
    answer = run(worker("a", bindings=[{"type": "telepathy", "name": "MIND"}]), worker("b"))
    assert codes(answer) == ["MS-CW-004"] and answer.changed
    assert [w["written"] for w in answer.data["workers"]] == [False, True]


def leads(run: Run) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    path = f"/client/v4/accounts/{run.twin.config.account.id}/workers/domains"
    return {d["hostname"]: d["service"] for d in run.twin.handle("GET", path, {}, headers, None).json["result"]}


def test_hostnames_are_attached_moved_and_detached(run: Run) -> None:
    here = worker("sts", hostnames=["MTA-STS.example.com."])
    planned = run(here, check=True)
    assert planned.data["workers"][0]["hostnames"] == ["attach mta-sts.example.com"] and leads(run) == {}
    done = run(here)
    assert done.changed and leads(run) == {"mta-sts.example.com": "sts"} and done.data["diff"] == planned.data["diff"]
    assert done.data["diff"][-1]["after"] == "mta-sts.example.com: sts\n"
    again = run(here)
    # The account, the scripts, settings and code of the one, the hostnames.
    assert not again.changed and again.data["requests"] == 5
    assert not run(worker("sts")).changed and leads(run)
    moved = run(worker("sts", hostnames=[]), worker("other", hostnames=["mta-sts.example.com"]))
    assert leads(run) == {"mta-sts.example.com": "other"}
    assert moved.data["workers"][1]["hostnames"] == ["attach mta-sts.example.com, which led to sts"]
    assert run(worker("other", hostnames=[])).changed and leads(run) == {}


def test_a_hostname_of_another_worker_is_not_taken(run: Run) -> None:
    run(worker("theirs", hostnames=["www.example.com"]), instance="other")
    run(worker("mine", hostnames=["own.example.com"]))
    assert leads(run) == {"www.example.com": "theirs", "own.example.com": "mine"}
    run({"name": "mine", "state": "absent"})
    taken = worker("ours", hostnames=["www.example.com"])
    refused = run(taken)
    assert codes(refused) == ["MS-CW-008"] and run.twin.worker("ours") is None
    assert run(taken, adopt=True).changed and leads(run) == {"www.example.com": "ours"}


def test_hostnames_that_cannot_be_had(run: Run) -> None:
    assert codes(run(worker(hostnames=["a..b"]))) == ["MS-CW-002"]
    twice = run(worker("a", hostnames=["x.example.com"]), worker("b", hostnames=["x.example.com"]))
    assert codes(twice) == ["MS-CW-002"]
    # The script that was not uploaded gets no hostname; the others do.
    partly = run(
        worker("a", bindings=[{"type": "telepathy", "name": "MIND"}], hostnames=["a.example.com"]),
        worker("b", hostnames=["b.example.com", "b.example.net"]),
        {"name": "c", "state": "absent"},
    )
    assert codes(partly) == ["MS-CW-004"] * 2 and partly.changed and leads(run) == {"b.example.com": "b"}


PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - mailstead.stack.cloudflare_email_worker:
        api_token: "{TOKEN}"
        base_url: "{URL}"
        workers: {WORKERS}
"""


def play(run: Run, where: Path, *workers: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    text = PLAY.replace("{TOKEN}", TOKEN).replace("{URL}", run.url).replace("{WORKERS}", json.dumps(list(workers)))
    (where / "play.yml").write_text(text, encoding="utf-8")
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,", "-c", "local"]
    interpreter = ["-e", f"ansible_python_interpreter={sys.executable}"]
    return subprocess.run(
        [*command, *interpreter, str(where / "play.yml")],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def test_code_comes_from_templates_and_files_of_the_controller(run: Run, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "mine.js").write_text('import { x } from "./part.js";\n' + CODE, encoding="utf-8")
    (tmp_path / "files" / "part.js").write_text("export const x = 1;\n", encoding="utf-8")
    wanted: list[dict[str, Any]] = [
        {"name": "away", "template": "reply", "vars": {"CONFIG": {"forward": ["a@b.example"], "text": "x"}}},
        {"name": "mine", "file": "mine.js"},
    ]
    done = play(run, tmp_path, *wanted)
    assert "changed=1" in done.stdout, done.stdout
    for name, expected in (("away", modules(TEMPLATES / "reply.js")), ("mine", modules(tmp_path / "files/mine.js"))):
        script = run.twin.worker(name)
        assert script is not None and script.modules == expected
    away = run.twin.worker("away")
    assert away is not None and set(away.modules) == {"reply.js", "configuration.js", "mail.js", "answer.js"}
    assert away.metadata["main_module"] == "reply.js"
    assert "changed=0" in play(run, tmp_path, *wanted).stdout


def test_code_that_cannot_be_had(run: Run, tmp_path: Path) -> None:
    (tmp_path / "lost.js").write_text('import "./gone.js";\n', encoding="utf-8")
    (tmp_path / "noise.js").write_bytes(b"\xff\xfe\x00")
    done = play(
        run,
        tmp_path,
        {"name": "a", "file": "nowhere.js"},
        {"name": "b", "file": str(tmp_path / "lost.js")},
        {"name": "c", "file": str(tmp_path / "noise.js")},
        {"name": "d", "template": "fliter"},
        {"name": "e"},
        {"name": "f", "template": "filter", "file": "x.js"},
    )
    # Once as the error and once as the task's result.
    assert done.returncode != 0 and done.stdout.count("[MS-CW-007]") in (6, 12), done.stdout
    assert run.twin.log.entries == []
