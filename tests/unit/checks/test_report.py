# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report in all its forms, and the two action plugins in a real run."""

from __future__ import annotations

import dataclasses
import json
import re
import stat
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.mailstead.stack.plugins.module_utils.checks import report as reports
from ansible_collections.mailstead.stack.plugins.module_utils.checks.marks import token
from ansible_collections.mailstead.stack.plugins.module_utils.checks.planning import Options, probe_plan
from ansible_collections.mailstead.stack.plugins.module_utils.checks.view import View, secret_references
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import to_data
from ansible_collections.mailstead.stack.plugins.plugin_utils import report_files

from tests.unit.checks.test_root_causes import no_ptr, open_relay
from tests.unit.checks.world import DOMAIN, NOW, RUN, V4, World, facts, healthy, plan
from tests.unit.docs.test_email_routing_page import example
from tests.unit.plugins.playbook import ansible_playbook, output

LABEL = "mail server: a stand-in <ran>"


def report_of(world: World, labels: tuple[str, ...] = (LABEL,)) -> dict[str, Any]:
    return reports.build(world.plan, world.judge(), labels, NOW)


def broken_report() -> dict[str, Any]:
    world = healthy()
    no_ptr(world)
    return report_of(world)


def test_the_model_is_json_and_names_outcome_and_counts() -> None:
    report = broken_report()
    assert json.loads(json.dumps(report)) == report
    assert (report["exit_code"], report["counts"]["fail"], report["labels"]) == (1, 2, [LABEL])
    assert report["generated"] == "2026-11-21T12:00:00Z"


def test_the_drawing_marks_the_station_that_is_broken() -> None:
    path = broken_report()["domains"][0]
    assert {s["verdict"] for s in path["inbound"]} == {"pass"}
    outbound = {s["name"]: (s["verdict"], s["checks"]) for s in path["outbound"]}
    assert outbound["edge"] == ("fail", ["A1"])
    assert outbound["receiver"] == ("unknown", ["P1", "P2", "P3", "P4"])
    assert outbound["submission"] == ("pass", [])


def test_a_healthy_path_is_drawn_as_such() -> None:
    path = report_of(healthy(), ())["domains"][0]
    assert {s["verdict"] for s in (*path["inbound"], *path["outbound"])} == {"pass"}


def test_the_terminal_shows_trouble_in_full_and_the_rest_in_short() -> None:
    text = reports.text(broken_report())
    lines = text.splitlines()
    assert lines[0].startswith("Verify example.com: 2 fail")
    assert LABEL in lines[1]
    assert f"FAIL     A1   {V4}: The egress address has a PTR" in lines
    assert any(line.startswith("UNKNOWN  not judged, because of A1@") for line in lines)
    assert text.index("FAIL ") < text.index("UNKNOWN ") < text.index("PASS ")
    assert len(lines) < 40
    assert len(reports.text(report_of(healthy(), ())).splitlines()) <= 4


class Reader(HTMLParser):
    """Collects what a page would load and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.loads += [str(v) for k, v in attrs if k in ("src", "srcset", "data", "poster")]
        self.loads += [str(given.get("href"))] if tag == "link" else []
        self.links += [str(given["href"])] if tag == "a" else []
        self.ids += [str(given["id"])] if "id" in given else []
        if tag == "script":
            self.loads.append("script")

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


def test_the_page_is_complete_in_itself() -> None:
    page = report_files.html(broken_report())
    reader = read(page)
    assert reader.loads == []
    assert not re.search(r"url\(|@import|https?://(?!mta-sts|autoconfig)", page)
    assert {link for link in reader.links if link[1:] not in reader.ids} == set()
    assert len(reader.ids) == len(set(reader.ids))


def test_the_page_shows_every_finding_and_escapes_what_servers_said() -> None:
    report = broken_report()
    report["findings"][0]["evidence"].append("220 <script>alert(1)</script>")
    page = report_files.html(report)
    text = "".join(read(page).words)
    assert "<script>" not in page
    assert "220 <script>alert(1)</script>" in text
    assert LABEL in text
    for finding in report["findings"]:
        assert finding["title"] in text
        assert finding["scope"] in text


def test_what_became_of_mail_stands_in_every_form_of_the_report() -> None:
    world = healthy()
    mail = json.loads(json.dumps([example()]))
    report = reports.build(world.plan, world.judge(), (), NOW, mail)
    assert json.loads(json.dumps(report))["mail"] == mail
    words = ", ".join(f"{count} {outcome}" for outcome, count in mail[0]["counts"].items() if count)
    assert f"MAIL     example.org, {mail[0]['since']} to {mail[0]['until']}: {words}" in reports.text(report)
    shown = report_files.html(report)
    assert "What became of the mail" in shown and "<svg" in shown and "hi@example.org" in shown
    nothing = {**mail[0], "total": 0, "counts": dict.fromkeys(mail[0]["counts"], 0)}
    assert reports.text(reports.build(world.plan, (), (), NOW, [nothing])).endswith(": none")
    assert "What became of the mail" not in report_files.html(report_of(world))


def test_a_run_that_broke_says_so_in_all_forms() -> None:
    report = reports.broken("KeyError: 'x'", [], NOW)
    assert report["exit_code"] == 3
    assert "the run itself broke" in reports.text(report)
    assert "KeyError" in report_files.html(report)


# -- planning ----------------------------------------------------------------------------------------------------------


def test_probes_are_a_function_of_plan_facts_and_run_id() -> None:
    view = View(plan(), facts())
    once, again = probe_plan(view, RUN), probe_plan(View(plan(), facts()), RUN)
    assert once == again
    assert json.loads(json.dumps(once)) == once
    assert set(once) == {"localhost", "vps1", "home", "stranger"}
    for probes in once.values():
        names = [p["id"] for p in probes]
        assert names == sorted(set(names))
        assert all(set(p) == {"id", "kind", "args"} for p in probes)


def test_what_is_sent_is_what_is_awaited() -> None:
    view = View(plan(), facts())
    probes = {(v, p["id"]): p["args"] for v, found in probe_plan(view, RUN).items() for p in found}
    sent = {m["label"]: m["token"] for m in probes["stranger", f"mail.stranger/{DOMAIN}"]["messages"]}
    assert sent == probes["localhost", f"mail.mailbox/{DOMAIN}"]["tokens"]
    assert len({token(RUN, "a", "x.com"), token(RUN, "b", "x.com"), token("other", "a", "x.com")}) == 3


def test_no_secret_stands_in_a_plan_of_probes_only_its_name() -> None:
    everything = json.dumps(probe_plan(View(plan(), facts()), RUN))
    references = secret_references(plan())
    assert len(references) == 2
    assert all(json.dumps(reference) in everything for reference in references)
    assert "PRIVATE KEY" not in everything


def test_third_parties_are_never_asked_about_recipients() -> None:
    for probes in probe_plan(View(plan(), facts()), RUN).values():
        for probe in probes:
            text = json.dumps(probe)
            if probe["kind"] == "egress25":
                assert "RCPT" not in text
            if "RCPT TO" in text:
                assert probe["args"]["address"] in (V4, "2001:2:0:2::10")


def test_a_senders_address_and_the_wait_can_be_set() -> None:
    options = Options(wait=7, senders={"stranger": "me@stranger.example.org"})
    probes = {p["id"]: p["args"] for p in probe_plan(View(plan(), facts()), RUN, options)["stranger"]}
    assert probes[f"mail.stranger/{DOMAIN}"]["sender"] == "me@stranger.example.org"


# -- the action plugins in a real run ----------------------------------------------------------------------------------


PLANNED = (
    "probes.by_vantage | length == 4",
    # Each host is to be handed its own; together they are all.
    "probes.secrets_by_vantage.values() | flatten | unique | sort == probes.secret_references",
    "probes.secrets_by_vantage.vps1 == []",
)


def play(tmp_path: Path, world: World, **args: Any) -> tuple[int, str, Path]:
    """Runs both plugins on data from a file, as the verify play does."""
    where = tmp_path / "report"
    data = {
        "given_plan": to_data(world.plan),
        "given_facts": json.loads(json.dumps(dataclasses.asdict(world.facts))),
        # Two hosts' lists, as hostvars give them.
        "seen": [list(world.seen.values())[::2], list(world.seen.values())[1::2]],
    }
    (tmp_path / "vars.json").write_text(json.dumps(data), encoding="utf-8")
    tasks = [
        {
            "mailstead.stack.mail_probe_plan": {"plan": "{{ given_plan }}", "facts": "{{ given_facts }}"},
            "register": "probes",
        },
        {"ansible.builtin.assert": {"that": [*PLANNED, "probes is not changed"]}},
        {
            "mailstead.stack.mail_judge": {
                "plan": "{{ given_plan }}",
                "facts": "{{ given_facts }}",
                "observations": "{{ seen }}",
                "report_dir": str(where),
                "labels": [LABEL],
                **args,
            }
        },
    ]
    book = [{"hosts": "localhost", "gather_facts": False, "vars_files": [str(tmp_path / "vars.json")], "tasks": tasks}]
    (tmp_path / "play.yml").write_text(yaml.safe_dump(book), encoding="utf-8")
    (tmp_path / "hosts").write_text("localhost ansible_connection=local\n", encoding="utf-8")
    done = ansible_playbook(tmp_path / "hosts", tmp_path / "play.yml")
    return done.returncode, output(done), where


@pytest.fixture
def at_noon(monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose certificates are valid now, for the plugin reads the real clock."""
    import time  # noqa: PLC0415

    world = healthy()
    for seen in world.seen.values():
        for data in (seen["data"], seen["data"].get("tls") or {}):
            if "not_after" in data:
                data.update(not_before=time.time() - 86400, not_after=time.time() + 80 * 86400)
    return world


def test_a_failed_check_fails_the_play_with_report_and_evidence(tmp_path: Path, at_noon: World) -> None:
    open_relay(at_noon)
    code, shown, where = play(tmp_path, at_noon)
    assert code == 2
    assert "[MS-CHK-001]" in shown and "accepted: external" in shown and LABEL in shown
    report = json.loads((where / "report.json").read_text(encoding="utf-8"))
    assert {f["id"] for f in report["findings"] if f["verdict"] == "fail"} == {"L1"}
    for name in ("report.json", "report.html"):
        assert stat.S_IMODE((where / name).stat().st_mode) == 0o644
    assert sorted(p.name for p in where.iterdir()) == ["report.html", "report.json"]


def test_a_healthy_path_changes_nothing_and_ends_well(tmp_path: Path, at_noon: World) -> None:
    code, shown, where = play(tmp_path, at_noon)
    assert code == 0, shown
    assert "changed=0" in shown and "failed=0" in shown
    assert str(where / "report.html") in shown


def test_an_unknown_that_matters_fails_unless_it_is_allowed(tmp_path: Path, at_noon: World) -> None:
    at_noon.lose(f"mail.stranger/{DOMAIN}")
    code, shown, _where = play(tmp_path, at_noon, fail=False)
    assert code == 0 and "exit 2" in shown


def test_observations_that_are_none_break_the_run_whatever_was_allowed(tmp_path: Path, at_noon: World) -> None:
    at_noon.seen = {("x", "y"): {"nonsense": True}}
    code, shown, where = play(tmp_path, at_noon, fail=False)
    assert code == 2 and "[MS-CHK-003]" in shown
    assert json.loads((where / "report.json").read_text(encoding="utf-8"))["exit_code"] == 3
