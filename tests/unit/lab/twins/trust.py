# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of the twin's tunnels and Access that may do everything, and the bodies it sends."""

from __future__ import annotations

import base64
import json
from typing import Any

from lab.twins.cloudflare import Response, Twin, TwinConfig
from lab.twins.cloudflare.config import SCOPES
from tests.unit.lab.twins.conftest import TOKEN
from tests.unit.lab.twins.mail import MailApi

CONTROL = "c" * 20
HOST = "smtp.example.com"
#: A connector's id.
RUNNER = "6f1b9c1e-0f5d-4a57-9a3a-0c1d2e3f4a5b"


class TrustApi(MailApi):
    """Paths below BASE, ``{a}`` for the account and ``{z}`` for the zone."""

    def made(self, path: str, body: dict[str, Any]) -> dict[str, Any]:  # type: ignore[override]
        """POST something new and give it back."""
        response = self.at("POST", f"{{a}}/{path}", body)
        assert response.status in (200, 201), response.json
        return dict(response.json["result"])

    def tunnel(self, name: str = "mailstead-notify", **more: Any) -> dict[str, Any]:
        return self.made("cfd_tunnel", {"name": name, "config_src": "cloudflare", **more})

    def service_token(self, name: str = "app1", **more: Any) -> dict[str, Any]:
        return self.made("access/service_tokens", {"name": name, **more})

    def policy(self, *tokens: dict[str, Any], **more: Any) -> dict[str, Any]:
        return self.made("access/policies", {**admitting(*tokens), **more})

    def app(self, *policies: Any, domain: str = HOST, **more: Any) -> dict[str, Any]:
        body = {"name": "notify", "type": "self_hosted", "domain": domain, "policies": list(policies), **more}
        return self.made("access/apps", body)

    def lead(self, tunnel: dict[str, Any], name: str = "smtp") -> None:
        """The name leads to the tunnel."""
        answer = self.create("CNAME", name, f"{tunnel['id']}.cfargotunnel.com", proxied=True)
        assert answer.status == 200, answer.json

    def connect(self, tunnel: dict[str, Any], index: int = 0, connector: str = RUNNER) -> str:
        """A connection of a connector: its uuid."""
        answer = self.twin.register(tunnel["id"], secret_of(tunnel), connector, index)
        assert answer["registered"], answer
        return str(answer["uuid"])

    def control(self, method: str, path: str, body: Any = None, token: str = CONTROL) -> Response:
        data = b"" if body is None else json.dumps(body).encode()
        return self.twin.handle(method, f"/__twin__/zero_trust{path}", "", {"X-Twin-Control": token}, data)

    def told(self, method: str, path: str, body: Any = None) -> Any:
        """The result of a call of the control endpoints that must succeed."""
        response = self.control(method, path, body)
        assert response.status == 200, response.json
        return response.json["result"]


def trust(**config: Any) -> TrustApi:
    data = {
        "zones": [{"name": "example.com"}, {"name": "example.org"}],
        "tokens": [{"token": TOKEN, "scopes": list(SCOPES)}],
        "control_token": CONTROL,
    }
    return TrustApi(Twin(TwinConfig.from_data({**data, **config})))


def secret_of(tunnel: dict[str, Any]) -> str:
    return str(json.loads(base64.b64decode(tunnel["token"]))["s"])


def admitting(*tokens: dict[str, Any], decision: str = "non_identity") -> dict[str, Any]:
    """The body of a policy about service tokens."""
    include = [{"service_token": {"token_id": token["id"]}} for token in tokens]
    return {"name": "applications", "decision": decision, "include": include}


def rules(service: str = "tcp://172.31.0.2:465", **origin: Any) -> dict[str, Any]:
    """A configuration for HOST."""
    first = {"hostname": HOST, "service": service, **({"originRequest": origin} if origin else {})}
    return {"ingress": [first, {"service": "http_status:404"}]}
