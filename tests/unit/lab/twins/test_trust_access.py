# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Access over the API: the organization, applications, policies, service tokens."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from lab.twins.cloudflare import ConfigError, TwinConfig
from lab.twins.cloudflare.config import SCOPES
from lab.twins.cloudflare.zero_trust.clock import duration
from tests.unit.lab.twins.conftest import TOKEN, codes
from tests.unit.lab.twins.trust import HOST, TrustApi, admitting, trust

APPS, POLICIES, TOKENS = "{a}/access/apps", "{a}/access/policies", "{a}/access/service_tokens"
NOBODY = "6f1b9c1e-0000-4000-8000-000000000000"


def test_the_organization_has_its_own_permission_and_may_not_be_there() -> None:
    other = "o" * 40
    scopes = ["Access: Apps and Policies:Edit", "Access: Service Tokens:Edit"]
    tokens = [{"token": TOKEN, "scopes": list(SCOPES)}, {"token": other, "scopes": scopes}]
    api = trust(tokens=tokens, zero_trust={"team": "our-team"})
    found = api.ok("GET", "{a}/access/organizations")
    assert (found["auth_domain"], found["strict_service_token_auth"]) == ("our-team.cloudflareaccess.com", True)
    refused = TrustApi(api.twin, other).at("GET", "{a}/access/organizations")
    assert (refused.status, codes(refused)) == (403, [10000])
    api.twin.trust.reconfigure({"enabled": False})
    for path in ("{a}/access/organizations", APPS, POLICIES, TOKENS):
        answer = api.at("GET", path)
        assert codes(answer) == [9999] and answer.json["errors"][0]["message"].startswith(
            "access.api.error.not_enabled"
        )
    assert api.ok("GET", "{a}/cfd_tunnel") == []


@pytest.mark.parametrize("options", [{"team": ""}, {"team": "a.b"}, {"team": "Team"}])
def test_a_team_is_a_label(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="zero_trust"):
        TwinConfig.from_data({"zero_trust": options})


# -- service tokens --------------------------------------------------------------------------------------------------


def test_a_service_token_tells_its_secret_once() -> None:
    api = trust()
    made = api.service_token()
    secret = made.pop("client_secret")
    assert made["client_id"].endswith(".access") and len(secret) == 64
    assert (made["duration"], made["enabled"], made["last_seen_at"]) == ("8760h", True, None)
    lives = datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(made["created_at"])
    assert lives == timedelta(hours=8760)
    assert api.ok("GET", TOKENS) == [made] == [api.ok("GET", f"{TOKENS}/{made['id']}")]
    assert api.service_token("for ever", duration="forever")["expires_at"] is None
    assert [t["name"] for t in api.ok("GET", TOKENS, query="name=app1")] == ["app1"]
    assert [t["name"] for t in api.ok("GET", TOKENS, query="search=EVER")] == ["for ever"]


def test_refreshing_moves_the_end_and_a_change_keeps_what_is_left_out() -> None:
    api = trust()
    made = api.service_token(duration="24h")
    path = f"{TOKENS}/{made['id']}"
    api.twin.move_clock(3600)
    renewed = api.ok("POST", f"{path}/refresh")
    moved = datetime.fromisoformat(renewed["expires_at"]) - datetime.fromisoformat(made["expires_at"])
    assert timedelta(seconds=3599) <= moved <= timedelta(seconds=3660)
    changed = api.ok("PUT", path, {"name": "renamed", "enabled": False})
    assert (changed["name"], changed["enabled"]) == ("renamed", False) and "client_secret" not in changed
    assert changed["expires_at"] == renewed["expires_at"]
    assert api.ok("PUT", path, {"duration": "forever"})["expires_at"] is None


def test_a_higher_version_or_a_rotation_makes_a_new_secret() -> None:
    api = trust()
    made = api.service_token()
    path = f"{TOKENS}/{made['id']}"
    rotated = api.ok("POST", f"{path}/rotate", {"previous_client_secret_expires_at": "2999-01-01T00:00:00Z"})
    assert rotated["client_id"] == made["client_id"] and rotated["client_secret"] != made["client_secret"]
    again = api.ok(
        "PUT", path, {"client_secret_version": 3, "previous_client_secret_expires_at": "2999-01-01T00:00:00Z"}
    )
    assert again["client_secret"] not in (made["client_secret"], rotated["client_secret"])
    assert "client_secret" not in api.ok("PUT", path, {"client_secret_version": 3})
    assert codes(api.at("PUT", path, {"client_secret_version": 2})) == [12130]
    (state,) = api.told("GET", "/tokens")
    assert (state["client_secret_version"], state["previous_client_secret_expires_at"]) == (3, "2999-01-01T00:00:00Z")
    assert not any("secret" in name and "version" not in name and "expires" not in name for name in state)


@pytest.mark.parametrize(
    "body",
    [
        {}, {"name": ""}, {"name": "a", "duration": "1 year"}, {"name": "a", "duration": ""}, {"name": "a", "duration": "0s"},
        {"name": "a", "duration": 5}, {"name": "a", "enabled": "yes"}, {"name": "a", "client_secret_version": 0},
        {"name": "a", "expires": "soon"}, {"name": "a", "duration": "1hour"},
    ],
)  # fmt: skip
def test_what_is_no_service_token_is_refused(body: dict[str, Any]) -> None:
    api = trust()
    assert codes(api.at("POST", TOKENS, body)) == [12130]
    assert api.ok("GET", TOKENS) == []


def test_a_service_token_goes_after_the_policies_that_name_it() -> None:
    api = trust()
    token = api.service_token()
    policy = api.policy(token)
    refused = api.at("DELETE", f"{TOKENS}/{token['id']}")
    assert codes(refused) == [12139] and "service_token_in_use" in refused.json["errors"][0]["message"]
    assert api.at("DELETE", f"{POLICIES}/{policy['id']}").status == 202
    assert api.ok("DELETE", f"{TOKENS}/{token['id']}")["id"] == token["id"]
    missing = api.at("GET", f"{TOKENS}/{token['id']}")
    assert missing.status == 404 and "service_token_not_found" in missing.json["errors"][0]["message"]


def test_durations_are_read_as_the_service_does() -> None:
    assert duration("2h45m") == timedelta(hours=2, minutes=45) and duration("300ms") == timedelta(milliseconds=300)
    assert duration("1.5h") == timedelta(minutes=90) and duration("forever") is None


# -- policies --------------------------------------------------------------------------------------------------------


def test_a_reusable_policy_says_how_many_applications_have_it_and_stays_while_any_has() -> None:
    api = trust()
    token = api.service_token()
    policy = api.policy(token, session_duration="1h")
    assert (policy["app_count"], policy["reusable"], policy["session_duration"]) == (0, True, "1h")
    app = api.app({"id": policy["id"], "precedence": 1})
    assert api.ok("GET", f"{POLICIES}/{policy['id']}")["app_count"] == 1
    refused = api.at("DELETE", f"{POLICIES}/{policy['id']}")
    assert (refused.status, codes(refused)) == (409, [12132])
    changed = api.ok("PUT", f"{POLICIES}/{policy['id']}", {**admitting(token), "name": "new"})
    assert changed["name"] == "new" and "session_duration" not in changed
    assert api.ok("GET", f"{APPS}/{app['id']}")["policies"][0]["name"] == "new"
    assert api.at("DELETE", f"{APPS}/{app['id']}").json["result"] == {"id": app["id"]}
    assert api.at("DELETE", f"{POLICIES}/{policy['id']}").status == 202
    assert api.at("GET", f"{POLICIES}/{policy['id']}").status == 404


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""}, {"decision": "maybe"}, {"include": []}, {"include": [{"service_token": {"token_id": NOBODY}}]},
        {"include": [{"everyone": {}, "ip": {"ip": "192.0.2.0/24"}}]}, {"include": [{"anybody": {}}]},
        {"include": [{"ip": {"ip": "192.0.2.0/33"}}]}, {"require": {}}, {"session_duration": "a day"}, {"surprise": 1},
    ],
)  # fmt: skip
def test_what_is_no_policy_is_refused(change: dict[str, Any]) -> None:
    api = trust()
    body = {"name": "p", "decision": "allow", "include": [{"everyone": {}}], **change}
    assert codes(api.at("POST", POLICIES, body)) == [12130]
    assert api.ok("GET", POLICIES) == []


# -- applications ----------------------------------------------------------------------------------------------------


def test_an_application_has_an_audience_that_stays() -> None:
    api = trust()
    token = api.service_token()
    policy = api.policy(token)
    made = api.app(policy["id"], session_duration="1h")
    assert len(made["aud"]) == 64 and made["destinations"] == [{"type": "public", "uri": HOST}]
    assert [(p["id"], p["precedence"]) for p in made["policies"]] == [(policy["id"], 1)]
    assert api.ok("GET", APPS) == [made]
    body = {"name": "renamed", "type": "self_hosted", "destinations": [{"type": "public", "uri": HOST}]}
    changed = api.ok("PUT", f"{APPS}/{made['id']}", body)
    assert (changed["aud"], changed["name"], changed["session_duration"]) == (made["aud"], "renamed", "24h")
    assert [p["id"] for p in changed["policies"]] == [policy["id"]]
    assert api.ok("PUT", f"{APPS}/{made['id']}", {**body, "policies": []})["policies"] == []


def test_an_own_policy_lives_and_goes_with_its_application() -> None:
    api = trust()
    token = api.service_token()
    app = api.app({**admitting(token), "precedence": 2}, {**admitting(token, decision="deny"), "precedence": 1})
    own = app["policies"]
    assert [p["decision"] for p in own] == ["deny", "non_identity"] and api.ok("GET", POLICIES) == []
    assert codes(api.at("DELETE", f"{TOKENS}/{token['id']}")) == [12139]
    body = {"name": "notify", "type": "self_hosted", "domain": HOST}
    kept = {**admitting(token), "id": own[1]["id"], "name": "changed"}
    changed = api.ok("PUT", f"{APPS}/{app['id']}", {**body, "policies": [kept]})["policies"]
    assert [(p["id"], p["name"], p["precedence"]) for p in changed] == [(own[1]["id"], "changed", 1)]
    assert codes(api.at("GET", f"{POLICIES}/{own[1]['id']}")) == [12083]
    other = {**body, "domain": "x.example.com", "policies": [own[1]["id"]]}
    assert codes(api.at("POST", APPS, other)) == [12083]
    api.at("DELETE", f"{APPS}/{app['id']}")
    assert api.ok("DELETE", f"{TOKENS}/{token['id']}")["id"] == token["id"]


def test_a_name_belongs_to_one_application() -> None:
    api = trust()
    first = api.app()
    body = {"name": "other", "type": "self_hosted", "domain": HOST.upper()}
    again = api.at("POST", APPS, body)
    assert (again.status, codes(again)) == (409, [11010])
    both = {"name": "other", "type": "self_hosted", "destinations": [{"uri": "a.example.com"}, {"uri": HOST}]}
    taken = api.at("POST", APPS, both)
    assert (taken.status, codes(taken)) == (409, [12132])
    assert api.ok("PUT", f"{APPS}/{first['id']}", {**body, "name": "same"})["domain"] == HOST
    assert api.at("POST", APPS, {**body, "domain": f"{HOST}/below"}).status == 201


@pytest.mark.parametrize(
    "change",
    [
        {"type": "saas"}, {"type": None}, {"name": ""}, {"domain": None}, {"domain": "no host"}, {"domain": "a.elsewhere.net"},
        {"domain": "https://a.example.com"}, {"destinations": [{"type": "private", "uri": "a.example.com"}]},
        {"destinations": [{"uri": "b.example.com"}]}, {"session_duration": "long"}, {"surprise": 1}, {"policies": {}},
        {"policies": [1]}, {"policies": [{**admitting(), "include": [{"everyone": {}}], "precedence": 0}]},
        {"policies": [{"name": "p", "decision": "deny", "include": [{"everyone": {}}], "precedence": 1}] * 2},
    ],
)  # fmt: skip
def test_what_is_no_application_is_refused_and_leaves_nothing(change: dict[str, Any]) -> None:
    api = trust()
    body = {"name": "a", "type": "self_hosted", "domain": "a.example.com", **change}
    assert codes(api.at("POST", APPS, body)) == [12130]
    assert api.ok("GET", APPS) == [] and api.told("GET", "")["policies"] == 0


def test_applications_are_found_by_parts_or_exactly() -> None:
    api = trust()
    made = [api.app(name=name, domain=f"{name}.example.com") for name in ("mail", "mail2")]

    def names(query: str) -> list[str]:
        return [app["name"] for app in api.ok("GET", APPS, query=query)]

    assert names("domain=mail") == names("name=mail") == names("search=mail") == ["mail", "mail2"]
    assert names("domain=mail.example.com&exact=true") == names("name=mail&exact=true") == ["mail"]
    assert names(f"aud={made[1]['aud']}") == ["mail2"] and names("target_attributes=a=b") == []
    unknown = api.at("GET", f"{APPS}/{NOBODY}")
    assert (unknown.status, codes(unknown)) == (404, [11021])


def test_changes_of_access_are_in_the_audit_log() -> None:
    api = trust()
    token = api.service_token()
    app = api.app(api.policy(token)["id"])
    api.ok("POST", f"{TOKENS}/{token['id']}/rotate")
    api.at("DELETE", f"{APPS}/{app['id']}")
    assert [(e.kind, e.resource) for e in api.twin.audit] == [
        ("create", "service_token"),
        ("create", "policy"),
        ("create", "application"),
        ("update", "service_token"),
        ("delete", "application"),
    ]
    assert {e.product for e in api.twin.audit} == {"access"}
