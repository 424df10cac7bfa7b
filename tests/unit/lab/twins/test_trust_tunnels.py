# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tunnels: their life, their names, tokens and configurations, and the state that follows from connectors."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from lab.twins.cloudflare import Fault, Twin, TwinConfig
from lab.twins.cloudflare.config import SCOPES, Proxy, Zone
from lab.twins.cloudflare.served import served_sets
from lab.twins.cloudflare.store import FileStore
from tests.unit.lab.twins.conftest import TOKEN, codes
from tests.unit.lab.twins.trust import HOST, RUNNER, TrustApi, rules, secret_of, trust

LIST = "{a}/cfd_tunnel"


def test_a_new_tunnel_tells_its_token_once_and_whenever_it_is_asked_for() -> None:
    api = trust()
    made = api.tunnel()
    seen = json.loads(base64.b64decode(made["token"]))
    assert seen == {"a": api.twin.config.account.id, "t": made["id"], "s": made["credentials_file"]["TunnelSecret"]}
    assert len(base64.b64decode(seen["s"])) == 32
    assert (made["status"], made["remote_config"], made["conns_active_at"]) == ("inactive", True, None)
    found = api.ok("GET", f"{LIST}/{made['id']}")
    assert found == {name: value for name, value in made.items() if name not in ("token", "credentials_file")}
    assert api.ok("GET", f"{LIST}/{made['id']}/token") == made["token"]
    own = base64.b64encode(b"x" * 32).decode()
    local = api.made("cfd_tunnel", {"name": "file", "tunnel_secret": own})
    assert (local["config_src"], local["remote_config"], secret_of(local)) == ("local", False, own)


def test_names_are_taken_by_living_tunnels_only() -> None:
    api = trust()
    one, other = api.tunnel("one"), api.tunnel("other")
    again = api.at("POST", LIST, {"name": "one"})
    assert (again.status, codes(again)) == (409, [1013])
    assert codes(api.at("PATCH", f"{LIST}/{other['id']}", {"name": "one"})) == [1013]
    assert api.ok("PATCH", f"{LIST}/{one['id']}", {"name": "one"})["name"] == "one"
    assert api.ok("DELETE", f"{LIST}/{one['id']}")["deleted_at"] is not None
    assert api.ok("PATCH", f"{LIST}/{other['id']}", {"name": "one"})["name"] == "one"
    assert api.ok("GET", f"{LIST}/{one['id']}")["deleted_at"] is not None
    for method, path in (("DELETE", ""), ("PATCH", ""), ("GET", "/token"), ("GET", "/configurations")):
        gone = api.at(method, f"{LIST}/{one['id']}{path}", {} if method == "PATCH" else None)
        assert (gone.status, codes(gone)) == (404, [1003])


@pytest.mark.parametrize(
    "body",
    [
        [], {}, {"name": ""}, {"name": 7}, {"name": "a", "config_src": "file"}, {"name": "a", "surprise": 1},
        {"name": "a", "tunnel_secret": "c2hvcnQ="}, {"name": "a", "tunnel_secret": "no base64"},
    ],
)  # fmt: skip
def test_what_is_no_tunnel_is_refused_and_makes_nothing(body: Any) -> None:
    api = trust()
    assert api.at("POST", LIST, body).status == 400
    assert api.ok("GET", LIST) == []


def test_lists_are_filtered_and_cut_into_pages() -> None:
    api = trust()
    made = [api.tunnel(name) for name in ("a-1", "a-2", "b-1")]
    api.ok("DELETE", f"{LIST}/{made[0]['id']}")
    api.connect(made[2])

    def names(query: str) -> list[str]:
        return [tunnel["name"] for tunnel in api.ok("GET", LIST, query=query)]

    assert names("") == ["a-1", "a-2", "b-1"] and names("is_deleted=false") == ["a-2", "b-1"]
    assert names("is_deleted=true") == ["a-1"] and names("name=a-2") == ["a-2"] and names("name=a") == []
    assert names(f"uuid={made[2]['id']}") == ["b-1"] and names("include_prefix=a-") == ["a-1", "a-2"]
    assert names("exclude_prefix=a-") == ["b-1"] and names("status=healthy") == ["b-1"]
    assert names("existed_at=2000-01-01T00:00:00Z") == [] and names("was_active_at=2999-01-01T00:00:00Z") == ["b-1"]
    page = api.at("GET", LIST, query="per_page=2&page=2").json
    assert [t["name"] for t in page["result"]] == ["b-1"] and page["result_info"]["total_count"] == 3
    for query in ("is_deleted=no", "status=fine", "nmae=a", "per_page=1001", "existed_at=now"):
        assert api.at("GET", LIST, query=query).status == 400


def test_the_state_follows_the_connections() -> None:
    api = trust()
    tunnel = api.tunnel()
    path = f"{LIST}/{tunnel['id']}"

    def status() -> str:
        return str(api.ok("GET", path)["status"])

    first, second = api.connect(tunnel, 0), api.connect(tunnel, 1)
    found = api.ok("GET", path)
    assert (found["status"], found["conns_inactive_at"]) == ("healthy", None)
    assert [conn["uuid"] for conn in found["connections"]] == [first, second]
    (client,) = api.ok("GET", f"{path}/connections")
    assert (client["id"], client["version"], len(client["conns"])) == (RUNNER, "2026.8.2", 2)
    assert api.connect(tunnel, 1) != second and len(api.ok("GET", path)["connections"]) == 2
    assert api.twin.unregister(tunnel["id"], uuid=first, pending=True) == 1 and status() == "degraded"
    assert api.twin.unregister(tunnel["id"], uuid=first) == 1 and status() == "healthy"
    assert api.twin.unregister(tunnel["id"], connector="another") == 0
    assert api.twin.unregister(tunnel["id"], connector=RUNNER) == 1
    gone = api.ok("GET", path)
    assert gone["status"] == "down" and gone["conns_active_at"] and gone["conns_inactive_at"]


def test_a_tunnel_with_connections_stays_unless_they_go_along() -> None:
    api = trust()
    tunnel, other = api.tunnel(), api.tunnel("other")
    for one in (tunnel, other):
        api.connect(one)
        refused = api.at("DELETE", f"{LIST}/{one['id']}")
        assert (refused.status, codes(refused)) == (400, [1022])
    assert api.ok("DELETE", f"{LIST}/{tunnel['id']}", query="cascade=true")["connections"] == []
    api.ok("DELETE", f"{LIST}/{other['id']}/connections", query="client_id=6f1b9c1e-0000-4000-8000-000000000000")
    assert api.at("DELETE", f"{LIST}/{other['id']}").status == 400
    api.ok("DELETE", f"{LIST}/{other['id']}/connections", query=f"client_id={RUNNER}")
    assert api.ok("GET", f"{LIST}/{other['id']}")["status"] == "down"
    api.ok("DELETE", f"{LIST}/{other['id']}")
    refused_registration = api.twin.register(other["id"], secret_of(other), RUNNER)
    assert refused_registration["registered"] is False and "not found" in refused_registration["error"]


def test_only_the_secret_opens_a_tunnel() -> None:
    api = trust()
    tunnel = api.tunnel()
    for wrong in ("", "no base64!", base64.b64encode(b"y" * 32).decode()):
        answer = api.twin.register(tunnel["id"], wrong, RUNNER)
        assert answer == {"registered": False, "error": "Unauthorized: Invalid tunnel secret", "retry_after": 0}
    fresh = base64.b64encode(b"z" * 40).decode()
    api.ok("PATCH", f"{LIST}/{tunnel['id']}", {"tunnel_secret": fresh})
    assert not api.twin.register(tunnel["id"], secret_of(tunnel), RUNNER)["registered"]
    assert api.twin.register(tunnel["id"], fresh, RUNNER)["registered"]
    assert api.ok("GET", f"{LIST}/{tunnel['id']}/token") != tunnel["token"]


def test_each_configuration_has_a_higher_version_and_reaches_the_connector() -> None:
    api = trust()
    tunnel = api.tunnel()
    path = f"{LIST}/{tunnel['id']}/configurations"
    before = api.ok("GET", path)
    assert (before["version"], before["config"], before["source"]) == (0, None, "cloudflare")
    access = {"required": True, "teamName": "mailstead", "audTag": ["a" * 64]}
    wanted = rules(access=access)
    assert api.ok("PUT", path, {"config": wanted})["version"] == 1
    api.connect(tunnel)
    told = api.told("GET", f"/connector/config/{tunnel['id']}")
    assert (told["exists"], told["remote"], told["version"], told["config"]) == (True, True, 1, wanted)
    assert api.ok("PUT", path, {"config": rules()})["version"] == 2
    assert api.told("GET", f"/connector/config/{tunnel['id']}")["config"] == rules()
    api.told("POST", "/connector/applied", {"tunnel_id": tunnel["id"], "connector": RUNNER, "version": 2})
    assert api.ok("GET", f"{LIST}/{tunnel['id']}/connections")[0]["config_version"] == 2
    local = api.made("cfd_tunnel", {"name": "file", "config_src": "local"})
    assert api.at("PUT", f"{LIST}/{local['id']}/configurations", {"config": rules()}).status == 400


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (None, "object"),
        ({}, "No ingress rules"),
        ({"ingress": []}, "No ingress rules"),
        ({"ingress": [{"hostname": HOST}]}, "no service"),
        ({"ingress": [{"hostname": HOST, "service": "tcp://10.0.0.1:465"}]}, "must match all URLs"),
        ({"ingress": [{"path": "/x", "service": "http_status:404"}]}, "must match all URLs"),
        ({"ingress": [{"service": "http_status:404"}, {"service": "http_status:404"}]}, "never be triggered"),
        ({"ingress": [{"hostname": f"{HOST}:443", "service": "tcp://h:1"}, {"service": "http_status:404"}]}, "port"),
        (
            {"ingress": [{"hostname": "a*.example.com", "service": "tcp://h:1"}, {"service": "http_status:404"}]},
            "wildcard",
        ),
        ({"ingress": [{"service": "10.0.0.1:465"}]}, "invalid address"),
        ({"ingress": [{"service": "http://h/path"}]}, "different path"),
        ({"ingress": [{"service": "http_status:4040"}]}, "invalid address"),
        (rules(access={"required": True, "audTag": ["a"]}), "TeamName"),
        (rules(access={"teamName": "t", "audTag": "a"}), "list"),
    ],
)
def test_a_configuration_that_cloudflared_would_not_read_is_refused(config: Any, words: str) -> None:
    api = trust()
    tunnel = api.tunnel()
    answer = api.at("PUT", f"{LIST}/{tunnel['id']}/configurations", {"config": config})
    assert answer.status == 400 and words in answer.json["errors"][0]["message"]
    assert api.ok("GET", f"{LIST}/{tunnel['id']}/configurations")["version"] == 0


def test_reading_is_not_enough_for_what_lets_one_run_a_tunnel() -> None:
    reader = "r" * 40
    tokens = [{"token": TOKEN, "scopes": list(SCOPES)}, {"token": reader, "scopes": ["Cloudflare Tunnel:Read"]}]
    api = trust(tokens=tokens)
    tunnel = api.tunnel()
    other = TrustApi(api.twin, reader)
    assert len(other.ok("GET", LIST)) == 1 and other.ok("GET", f"{LIST}/{tunnel['id']}/connections") == []
    assert codes(other.at("POST", LIST, {"name": "x"})) == [10000]
    for method, path in (
        ("GET", "/token"),
        ("DELETE", "/connections"),
        ("DELETE", ""),
        ("PATCH", ""),
        ("PUT", "/configurations"),
    ):
        refused = other.at(method, f"{LIST}/{tunnel['id']}{path}", {} if method in ("PATCH", "PUT") else None)
        assert (refused.status, codes(refused)) == (403, [10000])


def test_changes_are_in_the_audit_log_and_faults_hit_these_calls_too() -> None:
    api = trust()
    tunnel = api.tunnel()
    api.ok("DELETE", f"{LIST}/{tunnel['id']}")
    assert [(e.kind, e.product, e.resource, e.resource_id) for e in api.twin.audit] == [
        ("create", "cloudflare_tunnel", "tunnel", tunnel["id"]),
        ("delete", "cloudflare_tunnel", "tunnel", tunnel["id"]),
    ]
    api.twin.faults.add(Fault("status", status=502, path="/cfd_tunnel", after=True, method="POST"))
    assert api.at("POST", LIST, {"name": "late"}).status == 502
    assert codes(api.at("POST", LIST, {"name": "late"})) == [1013]


def test_a_restarted_twin_still_has_everything(tmp_path: Path) -> None:
    config = TwinConfig.from_data(
        {"zones": [{"name": "example.com"}], "tokens": [{"token": TOKEN, "scopes": list(SCOPES)}]}
    )
    store = FileStore(tmp_path)
    first = TrustApi(Twin(config, trust_store=store))
    tunnel, token = first.tunnel(), first.service_token()
    first.ok("PUT", f"{LIST}/{tunnel['id']}/configurations", {"config": rules()})
    first.app(first.policy(token)["id"])
    first.connect(tunnel)
    paths = [
        LIST,
        f"{LIST}/{tunnel['id']}/configurations",
        *(f"{{a}}/access/{kind}" for kind in ("apps", "policies", "service_tokens")),
    ]
    before = [first.ok("GET", path) for path in paths]
    second = TrustApi(Twin(config, trust_store=FileStore(tmp_path)))
    assert [second.ok("GET", path) for path in paths] == before
    second.twin.trust.reset()
    assert second.ok("GET", LIST) == [] and TrustApi(Twin(config, trust_store=store)).ok("GET", LIST) == []


def test_the_name_of_a_tunnel_is_served_as_the_tunnel_edge() -> None:
    api = trust()
    api.lead(api.tunnel())
    api.create("A", "www", "198.18.1.10", proxied=True)
    api.create("CNAME", "plain", "x.cfargotunnel.com")
    records = list(api.twin.zone("example.com").snapshot().values())
    edge = Proxy(("198.18.0.70",), ("2001:2:0:1::70",))
    sets = served_sets(Zone("example.com"), records, Proxy(("198.18.0.99",)), edge)
    found = {owner: {rdata.to_text() for rdata in rrset.rdatas} for owner, rrset in sets.items()}
    assert found == {
        (HOST, "A"): {"198.18.0.70"},
        (HOST, "AAAA"): {"2001:2:0:1::70"},
        ("www.example.com", "A"): {"198.18.0.99"},
        ("plain.example.com", "CNAME"): {"x.cfargotunnel.com."},
    }
    alone = served_sets(Zone("example.com"), records, Proxy(("198.18.0.99",)))
    assert {rdata.to_text() for rdata in alone[HOST, "A"].rdatas} == {"198.18.0.99"}
