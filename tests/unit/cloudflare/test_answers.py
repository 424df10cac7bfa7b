# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How answers are read: odd and wrong ones, zones of one name, what was stored, limits, several pages, and
answers that echo the token."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare import client as client_module
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare import zones
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.provider import CloudflareProvider
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.common.http import Answer, TransportError
from ansible_collections.mailstead.stack.plugins.module_utils.dns.reconcile import ZoneTask, reconcile
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Options

from tests.unit.cloudflare.support import ADDRESS, HOST, TOKEN, ZONE, Bench, codes, kinds, mail_set

# -- odd answers -----------------------------------------------------------------------------------------------------


class Scripted:
    """A transport that gives one prepared answer."""

    def __init__(self, answer: Answer | Exception) -> None:
        self.answer = answer

    def request(self, *_args: Any) -> Answer:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def close(self) -> None:
        return None


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(200, {"content-type": "text/html"}, b"<html>sign in</html>"), "MS-CF-004"),
        (Answer(302, {}, b""), "MS-CF-004"),
        (Answer(200, {}, b'{"result": []}'), "MS-CF-004"),
        (Answer(200, {}, b"[]"), "MS-CF-004"),
        (Answer(200, {}, b"[" * 100_000), "MS-CF-004"),
        (Answer(200, {}, b'{"success": true, "result": {}}'), "MS-CF-004"),
        (Answer(200, {}, b'{"success": true, "result": [{"id": 1}]}'), "MS-CF-004"),
        (Answer(200, {}, b'{"success": true, "result": [7]}'), "MS-CF-004"),
        (Answer(400, {}, b'{"success": false, "errors": null}'), "MS-CF-007"),
        (Answer(400, {}, b'{"success": false, "errors": ["x", {"code": "y", "message": null}]}'), "MS-CF-007"),
        (TransportError("api.cloudflare.com: the name cannot be resolved", False), "MS-CF-005"),
    ],
)
def test_a_wrong_answer_is_told_from_a_refusal(answer: Answer | Exception, code: str) -> None:
    client = client_module.Client(TOKEN, lambda: Scripted(answer), pause=lambda _s: None)
    with pytest.raises(MailsteadError) as caught:
        reconcile(CloudflareProvider(client), [ZoneTask(ZONE, ())], Options())
    assert codes(caught.value) == [code]


def answers(*results: Any) -> Any:
    """A transport that gives one envelope after another; total_pages is 1."""
    left = [json.dumps({"success": True, "errors": [], "result": r}).encode() for r in results]

    class InTurn:
        def request(self, *_args: Any) -> Answer:
            return Answer(200, {}, left.pop(0))

        def close(self) -> None:
            return None

    transport = InTurn()
    return client_module.Client(TOKEN, lambda: transport, pause=lambda _s: None)


def zone_row(zone_id: str, status: str = "active", **more: Any) -> dict[str, Any]:
    return {"id": zone_id, "name": ZONE, "status": status, **more}


def test_of_two_zones_of_one_name_the_active_one_counts() -> None:
    (result,) = reconcile(
        CloudflareProvider(answers([zone_row("a", "pending"), zone_row("b")], [])), [ZoneTask(ZONE, ())], Options()
    )
    assert result.zone.id == "b"
    with pytest.raises(MailsteadError) as caught:
        reconcile(CloudflareProvider(answers([zone_row("a"), zone_row("b")])), [ZoneTask(ZONE, ())], Options())
    assert codes(caught.value) == ["MS-CF-012"] and "a (active), b (active)" in caught.value.problems[0].what


@pytest.mark.parametrize(("status", "words"), [("pending", "not active yet"), ("moved", "'moved'"), ("active", "")])
def test_a_zone_that_is_not_active_is_noted(status: str, words: str) -> None:
    (result,) = reconcile(CloudflareProvider(answers([zone_row("a", status)], [])), [ZoneTask(ZONE, ())], Options())
    assert bool(result.notes) == bool(words) and words in "".join(result.notes)


STORED = {"id": "1", "name": HOST, "type": "A", "content": "198.18.1.10", "ttl": 3600}


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ({"posts": [STORED]}, ""),
        ({"posts": [{**STORED, "content": "198.18.1.99"}]}, "stored as '198.18.1.99', sent '198.18.1.10'"),
        ({"posts": [{**STORED, "type": None}]}, "cannot be read"),
        ({"posts": []}, "does not list the 1 posts"),
        ([], "does not list the 1 posts"),
    ],
)
def test_what_the_answer_says_was_stored_is_compared(stored: Any, words: str) -> None:
    (result,) = reconcile(
        CloudflareProvider(answers([zone_row("a")], [], stored)), [ZoneTask(ZONE, tuple(ADDRESS))], Options()
    )
    assert bool(result.notes) == bool(words) and words in "".join(result.notes)


def test_an_answer_that_echoes_the_token_does_not_get_it_into_a_message() -> None:
    body = f'{{"success": false, "errors": [{{"code": 1, "message": "bad {TOKEN} \\u001b[31m"}}]}}'.encode()
    client = client_module.Client(TOKEN, lambda: Scripted(Answer(400, {}, body)), pause=lambda _s: None)
    with pytest.raises(MailsteadError) as caught:
        reconcile(CloudflareProvider(client), [ZoneTask(ZONE, ())], Options())
    assert TOKEN not in str(caught.value) and "<token>" in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_limit_that_does_not_say_how_long_is_given_half_a_minute() -> None:
    waits: list[float] = []
    client = client_module.Client(
        TOKEN, lambda: Scripted(Answer(429, {}, b"")), pause=waits.append, jitter=lambda: 0.0, clock=lambda: sum(waits)
    )
    with pytest.raises(MailsteadError, match="has waited 360 s"):
        reconcile(CloudflareProvider(client), [ZoneTask(ZONE, ())], Options())
    assert waits == [client_module.RATE_PAUSE] * 12


def test_a_list_of_more_than_one_page_is_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zones, "RECORDS_PER_PAGE", 10)
    bench = Bench()
    bench.run(mail_set())
    bench.run(mail_set())
    assert kinds(bench) == ["GET dns_records"] * 3 + ["GET zones"]


# -- the token -------------------------------------------------------------------------------------------------------


def success(*results: Any) -> list[Answer]:
    return [Answer(200, {}, json.dumps({"success": True, "result": r}).encode()) for r in results]


def failure(status: int, *errors: dict[str, Any]) -> Answer:
    return Answer(status, {}, json.dumps({"success": False, "errors": errors}).encode())


ERROR = {"code": 9999, "message": f"token {TOKEN}", "error_chain": [{"code": 1, "message": f"Bearer {TOKEN}"}]}
FORBIDDEN = failure(403, {**ERROR, "code": 10000})
ROW = {"id": "a", "name": ZONE, "status": f"odd {TOKEN}", "plan": {"legacy_id": TOKEN}}
#: One answer after another, each with the token wherever a server could put it; the last one repeats.
ECHOES: dict[str, list[Answer | TransportError]] = {
    "error": [failure(400, ERROR)],
    "forbidden": [FORBIDDEN],
    "expired": [FORBIDDEN, *success({"status": "expired", "expires_on": TOKEN})],
    "server error": [Answer(503, {"retry-after": TOKEN}, TOKEN.encode())],
    "portal": [Answer(200, {"content-type": f"text/{TOKEN}"}, TOKEN.encode())],
    "network": [TransportError(f"api.example: {TOKEN}", sent=False)],
    "names": [*success([{"id": "a", "name": TOKEN}])],
    "zone": [*success([ROW], [], {})],
    "stranger": [*success([ROW], [{"id": "1", "name": TOKEN, "type": "A", "ttl": 1}])],
    "half a record": [*success([ROW], [{"id": "1", "name": TOKEN, "type": TOKEN}])],
    "refused write": [*success([ROW], []), failure(400, ERROR)],
    "lost write": [*success([ROW], []), TransportError(f"api.example: {TOKEN}", sent=True), *success([]), FORBIDDEN],
    "stored": [*success([ROW], [], {"posts": [{"id": "1", "name": TOKEN, "type": "A", "content": TOKEN, "ttl": 1}]})],
}


@pytest.mark.parametrize("where", ECHOES)
def test_a_server_that_echoes_the_token_does_not_get_it_into_any_word_of_ours(where: str) -> None:
    left = list(ECHOES[where])

    class Echo:
        def request(self, *_args: Any) -> Answer:
            answer = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(answer, TransportError):
                raise answer
            return answer

        def close(self) -> None:
            return None

    echo = Echo()
    client = client_module.Client(TOKEN, lambda: echo, pause=lambda _s: None)
    try:
        (result,) = reconcile(CloudflareProvider(client), [ZoneTask(ZONE, tuple(ADDRESS))], Options())
    except MailsteadError as error:
        words = f"{error}{error.problems!r}"
    else:
        words = repr((result.notes, result.diff.notes, result.zone))
    assert TOKEN not in words
    assert "<token>" in words or where == "server error"
