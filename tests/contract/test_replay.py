# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every recorded request gets the recorded answer: from the stand-in always, from a real server when one is named."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from tests.contract import replay, servers

ENTRIES = [entry for file in replay.ORDER for entry in replay.entries(file)]


def _replayed(client: replay.Client) -> dict[str, list[str]]:
    results: dict[str, list[str]] = {}
    replay.run_all(client, lambda entry, problems: results.update({str(entry): problems}))
    return results


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The differences of the stand-in by entry; one run, since the recordings build on each other."""
    return _replayed(servers.InProcess(tmp_path_factory.mktemp("etc")))


def test_every_file_of_recordings_is_replayed() -> None:
    recorded = {path.stem for path in replay.RECORDED.glob("*.json")}
    assert recorded == set(replay.ORDER)
    assert len(ENTRIES) == len({str(entry) for entry in ENTRIES})


@pytest.mark.parametrize("entry", ENTRIES, ids=str)
def test_standin_answers_as_recorded(entry: replay.Entry, standin: dict[str, list[str]]) -> None:
    assert not standin[str(entry)]


def test_real_server_answers_as_recorded() -> None:
    server = servers.real_server()
    if server is None:
        pytest.skip("MAILSTEAD_CONTRACT_URL names no server")
    assert [problem for problems in _replayed(server).values() for problem in problems] == []


def _compared(entry: replay.Entry, response: object, etc: Path) -> list[str]:
    run = replay.Replay(servers.InProcess(etc), replay.Material(etc))
    run.compare("", entry.response, response, "x:Domain/get")
    return run.problems


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("isEnabled",), 1),
        (("name",), "example.net"),
        (("createdAt",), "yesterday"),
        (("allowRelaying",), None),
        (("subAddressing",), {"@type": "Disabled"}),
        (("dnsZoneFile",), ""),
        (("surplus",), True),
    ],
)
def test_a_wrong_answer_is_noticed(place: tuple[str], value: object, tmp_path: Path) -> None:
    entry = next(e for e in ENTRIES if e.label == "domain/get")
    assert not _compared(entry, copy.deepcopy(entry.response), tmp_path)
    changed = copy.deepcopy(entry.response)
    changed["methodResponses"][0][1]["list"][0][place[0]] = value
    assert len(_compared(entry, changed, tmp_path)) == 1
    del changed["methodResponses"][0][1]["list"][0][place[0]]
    assert bool(_compared(entry, changed, tmp_path)) is (place != ("surplus",))


def test_ids_stand_for_each_other_both_ways(tmp_path: Path) -> None:
    run = replay.Replay(servers.InProcess(tmp_path), replay.Material(tmp_path))
    assert run.bind("jpraao7uaiqa", "jaaaaaaaaaaa")
    assert run.bind("jpraao7uaiqa", "jaaaaaaaaaaa")
    assert not run.bind("jpraao7uaiqa", "jbbbbbbbbbbb")
    assert not run.bind("jpraao7uajaa", "jaaaaaaaaaaa")
