# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the edge is told: who gets in with which service token at which time, by which assertion, to which tunnel."""

from __future__ import annotations

import base64
import hashlib
import json
import urllib.request
from datetime import datetime, timezone
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from lab.twins.cloudflare.server import Running
from lab.twins.cloudflare.zero_trust.decisions import Answer
from tests.unit.lab.twins.conftest import codes
from tests.unit.lab.twins.trust import HOST, RUNNER, TrustApi, admitting, rules, secret_of, trust

TOKENS = "{a}/access/service_tokens"


class Lab:
    """A name behind an application and a running tunnel."""

    def __init__(self, **options: Any) -> None:
        self.api: TrustApi = trust(zero_trust=options)
        self.tunnel = self.api.tunnel()
        self.api.lead(self.tunnel)
        self.api.connect(self.tunnel)
        self.token = self.api.service_token(duration="48h")
        self.policy = self.api.policy(self.token)
        self.app = self.api.app(self.policy["id"])

    def ask(self, token: dict[str, Any] | None = None, **more: str) -> Answer:
        token = token or self.token
        return self.api.twin.decide(HOST, token["client_id"], token["client_secret"], **more)


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def claims(jwt: str, keys: list[dict[str, str]]) -> dict[str, Any]:
    """The claims of a token signed by one of the keys. Raises InvalidSignature."""
    head, body, signature = jwt.split(".")
    header = json.loads(decoded(head))
    assert header["alg"] == "RS256"
    (key,) = [key for key in keys if key["kid"] == header["kid"]]
    numbers = rsa.RSAPublicNumbers(*(int.from_bytes(decoded(key[name]), "big") for name in ("e", "n")))
    numbers.public_key().verify(decoded(signature), f"{head}.{body}".encode(), padding.PKCS1v15(), hashes.SHA256())
    return dict(json.loads(decoded(body)))


def test_a_good_token_gets_in_with_an_assertion_that_the_published_key_confirms() -> None:
    lab = Lab()
    answer = lab.ask()
    assert (answer.allowed, answer.status, answer.tunnel_id, answer.aud) == (
        True,
        200,
        lab.tunnel["id"],
        lab.app["aud"],
    )
    assert answer.token == {"id": lab.token["id"], "name": "app1", "client_id": lab.token["client_id"]}
    published = lab.api.twin.handle("GET", "/cdn-cgi/access/certs").json
    assert published == lab.api.told("GET", "/certs")
    found = claims(answer.jwt, published["keys"])
    assert (found["aud"], found["iss"]) == ([lab.app["aud"]], "https://mailstead.cloudflareaccess.com")
    assert (found["common_name"], found["type"], found["sub"]) == (lab.token["client_id"], "app", "")
    assert found["exp"] - found["iat"] == 24 * 3600 and found["exp"] == answer.exp
    with pytest.raises(InvalidSignature):
        claims(answer.jwt, trust_keys_under(published["keys"][0]["kid"]))
    assert lab.api.ok("GET", f"{TOKENS}/{lab.token['id']}")["last_seen_at"] is not None


def trust_keys_under(kid: str) -> list[dict[str, str]]:
    """Another organization's key under this id."""
    return [{**trust().told("GET", "/certs")["keys"][0], "kid": kid}]


def test_the_id_of_the_key_is_its_thumbprint() -> None:
    (key,) = trust().told("GET", "/certs")["keys"]
    text = json.dumps({name: key[name] for name in ("e", "kty", "n")}, separators=(",", ":"), sort_keys=True)
    assert key["kid"] == hashlib.sha256(text.encode()).hexdigest()


def test_nothing_gets_in_without_the_right_secret() -> None:
    lab = Lab()
    stranger = lab.api.service_token("stranger")
    cases: list[tuple[Answer, int, str]] = [
        (lab.api.twin.decide(HOST), 401, "no service token"),
        (lab.api.twin.decide(HOST, "0" * 32 + ".access", "x"), 403, "not known"),
        (lab.ask({**lab.token, "client_secret": "0" * 64}), 403, "not that of"),
        (lab.ask({**lab.token, "client_secret": ""}), 403, "not that of"),
        (lab.ask({**lab.token, "client_secret": "ü"}), 403, "not that of"),
        (lab.ask(stranger), 403, "no policy admits"),
    ]
    for answer, status, why in cases:
        assert (answer.allowed, answer.status, answer.jwt) == (False, status, "") and why in answer.why
    assert lab.api.ok("GET", f"{TOKENS}/{lab.token['id']}")["last_seen_at"] is None


def test_an_organization_without_the_strict_setting_sends_to_the_login_page() -> None:
    lab = Lab(strict_service_token_auth=False)
    answer = lab.api.twin.decide(HOST, path="/a b")
    assert answer.status == 302 and answer.redirect == (
        f"https://mailstead.cloudflareaccess.com/cdn-cgi/access/login/{HOST}?kid={lab.app['aud']}&redirect_url=%2Fa%20b"
    )
    body = {"name": "n", "type": "self_hosted", "domain": HOST, "service_auth_401_redirect": True}
    lab.api.ok("PUT", f"{{a}}/access/apps/{lab.app['id']}", body)
    assert (lab.api.twin.decide(HOST).status, lab.api.twin.decide(HOST).redirect) == (401, "")


def test_a_token_is_good_until_it_expires_is_disabled_or_gone() -> None:
    lab = Lab()
    path = f"{TOKENS}/{lab.token['id']}"
    lab.api.ok("PUT", path, {"enabled": False})
    assert "disabled" in lab.ask().why
    lab.api.ok("PUT", path, {"enabled": True})
    lab.api.twin.move_clock(47 * 3600)
    assert lab.ask().allowed
    lab.api.twin.move_clock(2 * 3600)
    assert (lab.ask().allowed, lab.ask().status) == (False, 403) and "expired" in lab.ask().why
    lab.api.ok("POST", f"{path}/refresh")
    assert lab.ask().allowed
    everyone = {"name": "p", "decision": "non_identity", "include": [{"any_valid_service_token": {}}]}
    lab.api.ok("PUT", f"{{a}}/access/policies/{lab.policy['id']}", everyone)
    lab.api.ok("DELETE", path)
    assert "not known" in lab.ask().why and lab.ask().status == 403


def test_the_previous_secret_is_good_as_long_as_it_is_said_to_be() -> None:
    lab = Lab()
    path = f"{TOKENS}/{lab.token['id']}"
    until = lab.api.twin.trust.clock.now().timestamp() + 3600
    moment = f"{lab.api.twin.trust.clock.now().year + 1}-01-01T00:00:00Z"
    new = lab.api.ok("POST", f"{path}/rotate", {"previous_client_secret_expires_at": moment})
    assert lab.ask(new).allowed and lab.ask().allowed
    lab.api.ok("PUT", path, {"previous_client_secret_expires_at": _text(until)})
    lab.api.twin.move_clock(3500)
    assert lab.ask().allowed
    lab.api.twin.move_clock(200)
    assert not lab.ask().allowed and "no longer good" in lab.ask().why
    assert lab.ask(new).allowed
    last = lab.api.ok("POST", f"{path}/rotate")
    assert lab.ask(last).allowed and not lab.ask(new).allowed
    raised = lab.api.ok("PUT", path, {"client_secret_version": 9, "previous_client_secret_expires_at": moment})
    assert lab.ask(raised).allowed and lab.ask(last).allowed and not lab.ask(new).allowed


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_policies_are_looked_at_in_their_order_service_auth_first() -> None:
    lab = Lab()
    other = lab.api.service_token("other")
    body = {"name": "n", "type": "self_hosted", "domain": HOST}

    def with_policies(*policies: dict[str, Any]) -> None:
        lab.api.ok("PUT", f"{{a}}/access/apps/{lab.app['id']}", {**body, "policies": list(policies)})

    deny = {"name": "no", "decision": "deny", "include": [{"everyone": {}}]}
    with_policies(deny, admitting(lab.token))
    assert lab.ask().allowed and not lab.ask(other).allowed
    with_policies(admitting(lab.token, decision="allow"))
    assert not lab.ask().allowed
    with_policies({**admitting(lab.token), "exclude": [{"ip": {"ip": "198.18.0.0/16"}}]})
    assert lab.ask(ip="192.0.2.1").allowed and not lab.ask(ip="198.18.7.7").allowed and lab.ask().allowed
    with_policies({**admitting(lab.token, other), "require": [{"ip": {"ip": "2001:db8::/32"}}]})
    assert lab.ask(other, ip="2001:db8::1").allowed and not lab.ask(ip="192.0.2.1").allowed and not lab.ask().allowed
    with_policies({"name": "people", "decision": "non_identity", "include": [{"email": {"email": "a@example.com"}}]})
    assert not lab.ask().allowed
    with_policies({"name": "open", "decision": "bypass", "include": [{"everyone": {}}]})
    passed = lab.api.twin.decide(HOST)
    assert (passed.allowed, passed.jwt, passed.aud) == (True, "", lab.app["aud"])


def test_a_name_without_an_application_is_open_unless_the_organization_closes_it() -> None:
    lab = Lab()
    lab.api.lead(lab.tunnel, "bare")
    answer = lab.api.twin.decide("BARE.example.com.")
    assert (answer.allowed, answer.status, answer.jwt, answer.app) == (True, 200, "", None)
    lab.api.twin.trust.reconfigure({"deny_unmatched_requests": True})
    closed = lab.api.twin.decide("bare.example.com")
    assert (closed.allowed, closed.status, closed.cf_error) == (False, 403, 1043)


def test_the_most_exact_application_decides() -> None:
    lab = Lab()
    wide = lab.api.app(domain="*.example.com", name="all")
    below = lab.api.app(domain=f"{HOST}/admin", name="admin")
    found = {
        path: lab.api.twin.decide(HOST, path=path).aud for path in ("/", "/adm", "/admin", "/admin/x", "/administrator")
    }
    assert found == {
        "/": lab.app["aud"], "/adm": lab.app["aud"], "/admin": below["aud"], "/admin/x": below["aud"],
        "/administrator": lab.app["aud"],
    }  # fmt: skip
    assert lab.api.twin.decide("other.example.com").aud == wide["aud"]
    assert lab.api.twin.decide("a.other.example.com").aud == "" == lab.api.twin.decide("example.com").aud


def test_access_is_decided_before_the_tunnel_is_looked_for() -> None:
    lab = Lab()
    lab.api.twin.unregister(lab.tunnel["id"])
    assert lab.api.twin.decide(HOST).status == 401
    down = lab.ask()
    assert (down.allowed, down.status, down.cf_error, down.tunnel_status, down.jwt) == (False, 530, 1033, "down", "")
    lab.api.ok("DELETE", "{a}/cfd_tunnel/" + lab.tunnel["id"])
    assert (lab.ask().status, lab.ask().cf_error, lab.ask().tunnel_status) == (530, 1033, "deleted")
    lab.api.create("CNAME", "lost", "6f1b9c1e-0000-4000-8000-000000000000.cfargotunnel.com", proxied=True)
    assert lab.api.twin.decide("lost.example.com").tunnel_status == "unknown"
    lab.api.create("A", "plain", "198.18.1.10")
    for name in ("plain.example.com", "missing.example.com", "elsewhere.net"):
        nowhere = lab.api.twin.decide(name)
        assert (nowhere.allowed, nowhere.status, nowhere.cf_error) == (False, 530, 1001)


def test_a_wildcard_leads_names_without_records_of_their_own() -> None:
    lab = Lab()
    lab.api.lead(lab.tunnel, "*")
    lab.api.create("TXT", "taken", "x")
    assert lab.api.twin.decide("any.example.com").allowed
    assert lab.api.twin.decide("taken.example.com").cf_error == 1001


# -- over HTTP -------------------------------------------------------------------------------------------------------


def test_the_edge_reports_and_asks_over_http() -> None:
    api = trust()
    tunnel = api.tunnel()
    api.lead(tunnel)
    api.ok("PUT", f"{{a}}/cfd_tunnel/{tunnel['id']}/configurations", {"config": rules()})
    with Running(api.twin, ["127.0.0.1:0"]) as running:

        def post(path: str, body: Any) -> Any:
            request = urllib.request.Request(
                f"{running.urls[0]}/__twin__/zero_trust/{path}",
                json.dumps(body).encode(),
                {"X-Twin-Control": api.twin.config.control_token},
            )
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)["result"]

        about = {"id": RUNNER, "version": "2026.8.2", "arch": "linux_amd64", "features": ["quick_reconnects"]}
        report = {"account": api.twin.config.account.id, "tunnel_id": tunnel["id"], "secret": secret_of(tunnel)}
        made = post("connector/register", {**report, "connector": about, "conn_index": 2, "colo": "lab02"})
        assert (made["registered"], made["location"], made["remote"], made["version"]) == (True, "lab02", True, 1)
        assert made["config"] == rules()
        assert post("edge/decide", {"hostname": HOST})["tunnel_id"] == tunnel["id"]
        assert post("connector/unregister", {"tunnel_id": tunnel["id"], "uuid": made["uuid"]}) == {"removed": 1}
        with urllib.request.urlopen(f"{running.urls[0]}/cdn-cgi/access/certs", timeout=10) as answer:
            assert [key["use"] for key in json.load(answer)["keys"]] == ["sig"]
    assert api.told("GET", f"/connector/config/{tunnel['id']}")["connections"] == []
    assert api.told("GET", "/connector/config/nowhere")["exists"] is False
    assert api.told("POST", "/connector/unregister", {"tunnel_id": "nowhere"}) == {"removed": 0}


def test_a_report_of_another_account_is_refused() -> None:
    api = trust()
    tunnel = api.tunnel()
    report = {"account": "0" * 32, "tunnel_id": tunnel["id"], "secret": secret_of(tunnel), "connector": {"id": RUNNER}}
    assert api.told("POST", "/connector/register", report)["registered"] is False


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/edge/decide", {}), ("POST", "/edge/decide", {"hostname": 1}), ("POST", "/edge/decide", {"hostname": "a", "ip": "x"}),
        ("POST", "/edge/decide", {"hostname": "a", "surprise": 1}), ("POST", "/edge/decide", ["a"]),
        ("POST", "/connector/register", {"connector": {}}), ("POST", "/connector/register", {"connector": "a"}),
        ("POST", "/connector/applied", {}), ("PATCH", "", {"team": "A B"}), ("PATCH", "", {"surprise": 1}),
        ("PATCH", "", {"clock_offset": "1h"}), ("PATCH", "", {"enabled": "no"}), ("PATCH", "", ["enabled"]),
    ],
)  # fmt: skip
def test_mistakes_of_the_edge_are_told(method: str, path: str, body: Any) -> None:
    api = trust()
    before = api.told("GET", "")
    assert api.control(method, path, body).status == 400
    assert api.told("GET", "") == before


def test_the_control_endpoints_are_closed_to_others_and_know_their_calls() -> None:
    api = trust()
    assert codes(api.control("GET", "", token="wrong")) == [7003]
    for method, path in (
        ("POST", ""),
        ("GET", "/edge/decide"),
        ("POST", "/edge"),
        ("GET", "/connector/config"),
        ("POST", "/certs"),
    ):
        assert api.control(method, path, {}).status == 404
    api.tunnel()
    told = api.told("PATCH", "", {"team": "other", "clock_offset": 60})
    assert (told["team"], told["clock_offset"], told["tunnels"]) == ("other", 60, 1)
    assert api.ok("GET", "{a}/access/organizations")["auth_domain"] == "other.cloudflareaccess.com"
    assert api.told("DELETE", "") == {}
    assert (api.told("GET", "")["tunnels"], api.told("GET", "")["clock_offset"]) == (0, 0)
