# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be read of a zone beside its records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.zones import (
    ZoneInfo,
    export_zone,
    find_zones,
    read_settings,
    read_usage,
    record_quota,
)
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.common.http import Answer

ZONE = ZoneInfo("a", "example.com")
REFUSED = Answer(400, {}, b'{"success": false, "errors": [{"code": 7003, "message": "no such thing"}]}')
PLAIN = {"content-type": "text/plain; charset=utf-8"}


def client(*answers: Answer) -> Client:
    left = list(answers)

    class InTurn:
        def request(self, *_args: Any) -> Answer:
            return left.pop(0)

        def close(self) -> None:
            return None

    transport = InTurn()
    return Client("t" * 40, lambda: transport, pause=lambda _s: None)


def envelope(result: str) -> Answer:
    return Answer(200, {}, f'{{"success": true, "result": {result}}}'.encode())


@pytest.mark.parametrize(
    ("result", "usage"),
    [
        ('{"record_quota": 200, "record_usage": 7}', (200, 7)),
        ('{"record_quota": null, "record_usage": 7}', (None, 7)),
        ("[]", (None, None)),
    ],
)
def test_usage(result: str, usage: tuple[int | None, int | None]) -> None:
    assert read_usage(client(envelope(result)), ZONE) == usage
    assert record_quota(client(envelope(result)), ZONE) == usage[0]


@pytest.mark.parametrize("spelt", ["xn--mnchen-3ya.example", "M\u00fcnchen.example"])
def test_a_zone_is_found_in_either_spelling_of_its_name(spelt: str) -> None:
    listed = envelope(f'[{{"id": "a", "name": "{spelt}"}}, {{"id": "b", "name": "stra\u00dfe.example"}}]')
    found, problems = find_zones(client(listed), [("xn--mnchen-3ya.example", "")])
    assert not problems and found["xn--mnchen-3ya.example"].id == "a"


def test_a_quota_that_may_not_be_read_is_not_known() -> None:
    assert record_quota(client(REFUSED), ZONE) is None


@pytest.mark.parametrize("read", [read_usage, read_settings, export_zone])
def test_a_refusal_names_the_zone(read: Callable[[Client, ZoneInfo], Any]) -> None:
    with pytest.raises(MailsteadError) as caught:
        read(client(REFUSED), ZONE)
    (problem,) = caught.value.problems
    assert (problem.code, problem.where) == ("MS-CF-007", "zone example.com") and "7003" in problem.what


def test_settings_that_are_none() -> None:
    with pytest.raises(MailsteadError, match="MS-CF-004"):
        read_settings(client(envelope("[]")), ZONE)


def test_the_export_is_plain_text() -> None:
    text = 'example.com. 1 IN TXT "\u00e9"\n'
    assert export_zone(client(Answer(200, PLAIN, text.encode())), ZONE) == text
    # After a server error it is asked for again, as every read is.
    assert export_zone(client(Answer(503), Answer(200, PLAIN, b"x")), ZONE) == "x"


@pytest.mark.parametrize(
    "answer", [Answer(200, {"content-type": "text/html"}, b"<html>sign in</html>"), envelope("{}")]
)
def test_an_export_that_is_something_else(answer: Answer) -> None:
    with pytest.raises(MailsteadError, match="MS-CF-004"):
        export_zone(client(answer), ZONE)
