# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A twin with a free and a paid zone, and a client that speaks to it without sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lab.twins.cloudflare import Response, Twin, TwinConfig
from tests.unit.lab.twins import shapes

TOKEN = "t" * 40
BASE = "/client/v4"


class Api:
    """Calls a twin as one token; the zone is example.com unless another is named."""

    def __init__(self, twin: Twin, token: str = TOKEN, zone: str = "example.com") -> None:
        self.twin, self.token = twin, token
        self.zone_id = twin.zone(zone).zone.zone_id
        self.records_path = f"{BASE}/zones/{self.zone_id}/dns_records"

    def call(self, method: str, path: str, body: Any = None, query: str = "") -> Response:
        return self.twin.handle(method, path, query, {"Authorization": f"Bearer {self.token}"}, body)

    def create(self, type_: str, name: str, content: str | None = None, **more: Any) -> Response:
        body: dict[str, Any] = {"type": type_, "name": name, **more}
        if content is not None:
            body["content"] = content
        return self.call("POST", self.records_path, body)

    def made(self, type_: str, name: str, content: str | None = None, **more: Any) -> dict[str, Any]:
        """Create a record and give it back; fails the test when it is refused."""
        response = self.create(type_, name, content, **more)
        assert response.status == 200, response.json
        return dict(response.json["result"])

    def batch(self, **lists: Any) -> Response:
        return self.call("POST", f"{self.records_path}/batch", lists)

    def list(self, query: str = "per_page=5000") -> list[dict[str, Any]]:
        response = self.call("GET", self.records_path, query=query)
        assert response.status == 200, response.json
        return list(response.json["result"])

    def one(self, method: str, record: dict[str, Any], body: Any = None) -> Response:
        return self.call(method, f"{self.records_path}/{record['id']}", body)


def codes(response: Response) -> list[int]:
    return [error["code"] for error in response.json["errors"]]


@pytest.fixture(autouse=True)
def every_answer_has_the_documented_shape(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test asks the twin, the answer is checked."""
    mistakes: list[str] = []
    handle = Twin.handle

    def checked(twin: Twin, method: str, path: str, *more: Any, **named: Any) -> Response:
        response = handle(twin, method, path, *more, **named)
        for known in filter(None, (shapes.documented(), shapes.published())):
            mistakes.extend(known.mistakes(method, path, response))
        return response

    monkeypatch.setattr(Twin, "handle", checked)
    yield
    assert not mistakes, "\n".join(dict.fromkeys(mistakes))


@pytest.fixture(name="make")
def fixture_make() -> Callable[..., Twin]:
    def make(**config: Any) -> Twin:
        data: dict[str, Any] = {
            "zones": [{"name": "example.com"}, {"name": "paid.example.org", "plan": "pro"}],
            "tokens": [{"token": TOKEN, "scopes": ["Zone:Read", "DNS:Edit"]}],
        }
        return Twin(TwinConfig.from_data({**data, **config}))

    return make


@pytest.fixture(name="twin")
def fixture_twin(make: Callable[..., Twin]) -> Twin:
    return make()


@pytest.fixture(name="api")
def fixture_api(twin: Twin) -> Api:
    return Api(twin)


@pytest.fixture(name="paid")
def fixture_paid(twin: Twin) -> Api:
    return Api(twin, zone="paid.example.org")
