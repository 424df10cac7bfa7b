# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of the twin's mail products that may do everything, and the bodies it sends."""

from __future__ import annotations

from typing import Any

from lab.twins.cloudflare import Response, Twin, TwinConfig
from lab.twins.cloudflare.config import SCOPES
from tests.unit.lab.twins.conftest import BASE, TOKEN, Api

GMAIL = "hi@gmail.example"


class MailApi(Api):
    """Calls below the zone's ``email/routing``, the account's and the rest by path."""

    def __init__(self, twin: Twin, token: str = TOKEN, zone: str = "example.com") -> None:
        super().__init__(twin, token, zone)
        self.name = zone
        self.account = f"/accounts/{twin.config.account.id}"

    def at(self, method: str, path: str, body: Any = None, query: str = "") -> Response:
        """path: below BASE, ``{z}`` and ``{a}`` for zone and account."""
        full = path.replace("{z}", f"/zones/{self.zone_id}").replace("{a}", self.account)
        return self.call(method, BASE + full, body, query)

    def routing(self, method: str, path: str = "", body: Any = None, query: str = "") -> Response:
        return self.at(method, "{z}/email/routing" + path, body, query)

    def ok(self, method: str, path: str, body: Any = None, query: str = "") -> Any:
        """The result of a call that must succeed."""
        response = self.at(method, path, body, query)
        assert response.status == 200, response.json
        return response.json.get("result")

    def of(self, type_: str, name: str = "") -> list[dict[str, Any]]:
        """Records of a type at the zone or a name in it."""
        full = f"{name}.{self.name}" if name else self.name
        return [r for r in self.list() if r["type"] == type_ and r["name"] == full]

    def status(self) -> str:
        return str(self.ok("GET", "{z}/email/routing")["status"])

    def wrong(self) -> list[str]:
        """Codes of what is wrong with the records."""
        return [mistake["code"] for mistake in self.twin.email(self.name).dns()["errors"]]


def twin(options: dict[str, Any] | None = None, **zone: Any) -> Twin:
    """A twin of two zones with a token that may do everything; GMAIL is verified. zone: of example.com."""
    return Twin(
        TwinConfig.from_data(
            {
                "zones": [{"name": "example.com", **zone}, {"name": "example.org"}],
                "tokens": [{"token": TOKEN, "scopes": list(SCOPES)}],
                "email": {"destinations": [GMAIL], **(options or {})},
            }
        )
    )


def mail(options: dict[str, Any] | None = None, **zone: Any) -> MailApi:
    return MailApi(twin(options, **zone))


def literal(address: str, action: str = "forward", target: str = GMAIL, **more: Any) -> dict[str, Any]:
    """The body of a rule."""
    actions = [{"type": action, **({"value": [target]} if action != "drop" else {})}]
    return {"matchers": [{"type": "literal", "field": "to", "value": address}], "actions": actions, **more}


def catch_all(action: str = "drop", target: str = GMAIL, **more: Any) -> dict[str, Any]:
    return {**literal("", action, target, **more), "matchers": [{"type": "all"}]}


def form(parts: dict[str, tuple[str, str]]) -> tuple[str, bytes]:
    """A ``multipart/form-data`` body: content type and text by name. Gives its own type and the bytes."""
    lines: list[str] = []
    for name, (kind, text) in parts.items():
        lines += ["--b", f'Content-Disposition: form-data; name="{name}"; filename="{name}"', f"Content-Type: {kind}"]
        lines += ["", text]
    return 'multipart/form-data; boundary="b"', "\r\n".join([*lines, "--b--", ""]).encode()
