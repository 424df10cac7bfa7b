# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tunnels behind Access: what a run makes, what it leaves alone, what it refuses, and what is left when it is killed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare import tunnel_run
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_model import Held, wishes
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.dns.codes import GUARDS

from lab.twins.cloudflare import Fault
from lab.twins.cloudflare.zero_trust.model import ServiceToken
from tests.unit.cloudflare.support import TOKEN, ZONE, codes, mail_set
from tests.unit.cloudflare.tunnels import DAY, HOSTNAME, SCOPES, Bench, done, planned, refused, tunnel

NAME = "mailstead-notify"
ABSENT = {"name": NAME, "state": "absent", "zone": ZONE}
OTHER = f"other.{ZONE}"


def test_a_tunnel_is_made_behind_access_and_a_second_run_changes_nothing() -> None:
    bench = Bench()
    accounts = bench.converge(tunnel())
    assert done(accounts) == planned(accounts)
    # Access stands before anything leads there.
    assert [(kind, action) for kind, action, _name in done(accounts)] == [
        ("token", "create"),
        ("policy", "create"),
        ("app", "create"),
        ("tunnel", "create"),
        ("config", "update"),
        ("record", "create"),
    ]
    world = bench.world()
    assert world["policies"] == [(NAME, "non_identity", ["mailstead-app1"])]
    assert world["apps"] == [(NAME, HOSTNAME, [HOSTNAME], [NAME], True)]
    assert world["records"] == [("CNAME", HOSTNAME, NAME, True, f"mailstead:mailstead.tunnel:{NAME}")]
    ((_name, _source, config),) = world["tunnels"]
    access = {"required": True, "teamName": "mailstead", "audTag": [f"<audience of {NAME}>"]}
    first = {"hostname": HOSTNAME, "service": "tcp://172.29.1.2:465", "originRequest": {"access": access}}
    assert config == {"ingress": [first, {"service": "http_status:404"}]}
    assert bench.works() and not bench.open()
    assert not bench.passes(bench.held["app1"].client_id, "wrong") and not bench.passes("", "")

    again = bench.converge(tunnel())
    assert planned(again) == done(again) == [] and bench.world() == world
    # Zones, team, tunnels, rules, applications, policies, tokens, records.
    assert len(bench.requests) == 8


def test_what_is_returned_runs_a_connector() -> None:
    bench = Bench()
    for management in ("remote", "local"):
        want = tunnel(f"mailstead-{management}", f"{management}.{ZONE}", management=management)
        accounts = bench.converge(want)
        (row,) = tunnel_run.rows(bench.client(), accounts[0], "/etc/credentials.json")
        live = bench.twin.trust.tunnels[row["id"]]
        assert row["token"] == live.token(bench.account) and live.source == {"remote": "cloudflare"}.get(
            management, "local"
        )
        assert {**row["credentials"], "TunnelName": live.name} == live.credentials(bench.account)
        assert row["team"] == "mailstead" and row["cname"] == f"{live.id}.cfargotunnel.com"
        assert row["config"]["tunnel"] == live.id and row["config"]["credentials-file"] == "/etc/credentials.json"
        access = row["config"]["ingress"][0]["originRequest"]["access"]
        assert access == {"required": True, "teamName": "mailstead", "audTag": [row["audience"]]}
        # The rules of a locally managed one are in its file only.
        assert (live.config is None) == (management == "local")
        assert planned(bench.converge(want)) == []


def test_a_run_before_anything_is_there_knows_placeholders() -> None:
    bench = Bench()
    (account,) = bench.prepare(tunnel(), {**ABSENT, "name": "mailstead-gone"})
    present, absent = tunnel_run.rows(bench.client(), account, "/c")
    assert present["id"] == present["token"] == present["audience"] == tunnel_run.PLACEHOLDER
    assert set(present["credentials"].values()) == {tunnel_run.PLACEHOLDER} and "token" not in absent
    told = tunnel_run.token_rows([account])["app1"]
    assert told == {"client_id": tunnel_run.PLACEHOLDER, "expires_at": "", "rotated": False}
    assert bench.world()["tunnels"] == [] and not any(not r.startswith("GET") for r in bench.requests)


def test_everything_goes_with_a_tunnel_also_one_that_runs() -> None:
    bench = Bench()
    bench.converge(tunnel(), tunnel("mailstead-stays", OTHER, service_tokens=["app2"]))
    living = next(t for t in bench.twin.trust.tunnels.values() if t.name == NAME)
    bench.twin.register(living.id, living.secret, "connector")
    accounts = bench.converge(ABSENT)
    assert done(accounts) == [
        ("record", "delete", HOSTNAME),
        ("connections", "delete", NAME),
        ("tunnel", "delete", NAME),
        ("app", "delete", NAME),
        ("policy", "delete", NAME),
        ("token", "delete", "app1"),
    ]
    world = bench.world()
    assert [t[0] for t in world["tunnels"]] == [a[0] for a in world["apps"]] == ["mailstead-stays"]
    assert [t[0] for t in world["tokens"]] == ["mailstead-app2"] and set(bench.held) == {"app2"}
    assert planned(bench.converge(ABSENT)) == []


def test_a_token_that_another_tunnel_needs_stays() -> None:
    bench = Bench()
    bench.converge(tunnel(), tunnel("mailstead-two", OTHER))
    assert len(bench.world()["tokens"]) == 1
    bench.converge(ABSENT)
    assert [t[0] for t in bench.world()["tokens"]] == ["mailstead-app1"] and bench.works(hostname=OTHER)


def test_what_is_changed_by_hand_is_put_right() -> None:
    bench = Bench()
    bench.converge(tunnel())
    world, trust = bench.world(), bench.twin.trust
    (app,), (policy,), (live,) = trust.apps.values(), trust.policies.values(), trust.tunnels.values()

    changes: list[Callable[[], Any]] = [
        lambda: app.more.update(service_auth_401_redirect=False),
        lambda: app.more.update(options_preflight_bypass=True),
        lambda: app.uris.append(f"free.{ZONE}"),
        lambda: setattr(app, "policies", []),
        lambda: setattr(policy, "decision", "bypass"),
        lambda: policy.include.append({"everyone": {}}),
        lambda: policy.require.append({"ip": {"ip": "198.18.0.0/24"}}),
        lambda: setattr(policy, "include", []),
        lambda: live.config["ingress"][0].update(service="tcp://172.29.1.3:25") if live.config else None,
        lambda: live.config["ingress"][0].pop("originRequest") if live.config else None,
        lambda: setattr(live, "config", None),
    ]
    for change in changes:
        change()
        accounts = bench.prepare(tunnel())
        assert len(planned(accounts)) == 1
        bench.converge(tunnel())
        assert bench.world() == world and planned(bench.converge(tunnel())) == []


def test_the_order_and_ids_that_the_service_adds_to_rules_say_nothing() -> None:
    bench = Bench()
    bench.converge(tunnel())
    (live,) = bench.twin.trust.tunnels.values()
    assert live.config is not None
    live.config["ingress"][0].update(id="1", path="")
    live.config["ingress"][1]["originRequest"] = {}
    live.config.update({"warp-routing": {"enabled": False}, "originRequest": {}})
    assert planned(bench.converge(tunnel())) == []
    live.config["warp-routing"] = {"enabled": True}
    assert planned(bench.converge(tunnel())) == [("config", "update", NAME)]


def test_a_hostname_moves_without_being_open() -> None:
    bench = Bench()
    bench.converge(tunnel())
    accounts = bench.converge(tunnel(hostname=OTHER))
    steps = [(kind, action) for kind, action, _name in done(accounts)]
    assert steps == [("record", "delete"), ("app", "update"), ("config", "update"), ("record", "create")]
    assert bench.works(hostname=OTHER) and [r[1] for r in bench.world()["records"]] == [OTHER]


def test_a_hostname_passes_from_one_tunnel_to_another() -> None:
    bench = Bench()
    bench.converge(tunnel())
    bench.converge(tunnel("mailstead-new"), tunnel(hostname=OTHER))
    records = bench.world()["records"]
    assert [(r[1], r[2]) for r in records] == [(OTHER, NAME), (HOSTNAME, "mailstead-new")]
    bench.converge({"name": "mailstead-new", "state": "absent", "zone": ZONE}, tunnel(hostname=HOSTNAME))
    assert [(r[1], r[2]) for r in bench.world()["records"]] == [(HOSTNAME, NAME)]


def test_a_record_of_the_dashboard_for_this_tunnel_is_taken_over_with_its_words() -> None:
    bench = Bench()
    bench.converge(tunnel())
    state = bench.twin.zone(ZONE)
    (record,) = state.snapshot().values()
    state.delete(record.id)
    body = {"type": "CNAME", "name": HOSTNAME, "content": record.value.content, "ttl": 1, "proxied": False}
    bench.seed({**body, "comment": "by hand"})
    accounts = bench.converge(tunnel())
    assert accounts[0].steps[0].reasons == ("it was not proxied", "it was not marked as ours")
    ((_type, _name, _content, proxied, comment),) = bench.world()["records"]
    assert proxied and comment == f"mailstead:mailstead.tunnel:{NAME} by hand"
    assert planned(bench.converge(tunnel())) == []


def test_a_tunnel_that_was_deleted_is_made_again_and_its_record_follows() -> None:
    bench = Bench()
    bench.converge(tunnel())
    world = bench.world()
    (live,) = bench.twin.trust.tunnels.values()
    live.deleted_at = "2026-11-20T00:00:00Z"
    steps = [(kind, action) for kind, action, _name in done(bench.converge(tunnel()))]
    assert steps == [("tunnel", "create"), ("config", "update"), ("record", "update")]
    assert bench.world() == world and planned(bench.converge(tunnel())) == []


def test_the_reconciler_of_zones_leaves_the_record_alone() -> None:
    bench = Bench()
    bench.converge(tunnel())
    bench.run(mail_set())
    bench.run([], allow=tuple(GUARDS))
    assert len(bench.records()) == 1
    assert bench.works()


# -- others' things --------------------------------------------------------------------------------------------------


def test_what_others_have_in_the_account_stays() -> None:
    bench = Bench()
    foreign = Bench.converge
    foreign(bench, tunnel("theirs", f"theirs.{ZONE}", service_tokens=["robot"]))
    bench.held.clear()
    bench.seed({"type": "A", "name": OTHER, "content": "198.18.1.10", "ttl": 300})
    before = bench.world()
    bench.converge(tunnel())
    bench.converge(ABSENT)
    assert bench.world() == before


@pytest.mark.parametrize("rtype", ["A", "AAAA", "CNAME"])
def test_a_foreign_record_at_the_hostname_is_refused(rtype: str) -> None:
    bench = Bench()
    value = {"A": "198.18.1.10", "AAAA": "2001:2:0:2::10", "CNAME": "www.example.org"}[rtype]
    bench.seed({"type": rtype, "name": HOSTNAME, "content": value, "ttl": 300})
    error = refused(bench, tunnel())
    assert codes(error) == ["MS-TUN-003"] and "not ours" in str(error)


def test_a_record_of_another_tunnel_or_of_the_zone_is_refused() -> None:
    bench = Bench()
    bench.converge(tunnel("mailstead-two"))
    assert "of the tunnel mailstead-two" in str(refused(bench, tunnel()))
    bench = Bench()
    comment = "mailstead:mailstead:host"
    bench.seed({"type": "A", "name": HOSTNAME, "content": "198.18.1.10", "ttl": 300, "comment": comment})
    assert "of mailstead (mailstead)" in str(refused(bench, tunnel()))


@pytest.mark.parametrize("place", [HOSTNAME, f"{HOSTNAME}/admin"])
def test_a_foreign_application_at_the_hostname_is_refused(place: str) -> None:
    bench = Bench()
    body = {"name": "theirs", "type": "self_hosted", "domain": place}
    bench.client().write(f"/accounts/{bench.account}/access/apps", body)
    error = refused(bench, tunnel())
    assert codes(error) == ["MS-TUN-004"] and place in str(error)


def test_things_of_the_same_name_are_refused() -> None:
    bench = Bench()
    client, base = bench.client(), f"/accounts/{bench.account}/access"
    for _ in range(2):
        client.write(f"{base}/service_tokens", {"name": "mailstead-app1"})
        client.write(f"{base}/policies", {"name": NAME, "decision": "deny", "include": [{"everyone": {}}]})
    error = refused(bench, tunnel())
    assert codes(error) == ["MS-TUN-005"] * 2
    assert codes(refused(bench, ABSENT)) == ["MS-TUN-005"]


def test_the_other_management_is_refused() -> None:
    bench = Bench()
    bench.converge(tunnel())
    error = refused(bench, tunnel(management="local"))
    assert codes(error) == ["MS-TUN-009"] and "Set management: remote" in str(error)


def test_an_account_without_a_team_is_refused() -> None:
    bench = Bench(zero_trust={"enabled": False})
    with pytest.raises(MailsteadError) as caught:
        bench.converge(tunnel())
    assert codes(caught.value) == ["MS-TUN-008"]


@pytest.mark.parametrize(
    ("lacking", "permission"),
    [
        ("Cloudflare Tunnel:Edit", "Account › Cloudflare Tunnel › Read"),
        ("Access: Apps and Policies:Edit", "Account › Access: Apps and Policies › Read"),
        ("Access: Service Tokens:Edit", "Account › Access: Service Tokens › Read"),
        (SCOPES[-1], "Account › Access: Organizations, Identity Providers, and Groups › Read"),
    ],
)
def test_a_permission_that_is_missing_is_named(lacking: str, permission: str) -> None:
    bench = Bench(tokens=[{"token": TOKEN, "scopes": [s for s in SCOPES if s != lacking]}])
    error = refused(bench, tunnel())
    assert codes(error) == ["MS-TUN-012"] and permission in str(error)


def test_a_token_that_may_only_read_is_refused_at_the_first_write() -> None:
    scopes = [s.replace("Tunnel:Edit", "Tunnel:Read") for s in SCOPES]
    bench = Bench(tokens=[{"token": TOKEN, "scopes": scopes}])
    with pytest.raises(MailsteadError) as caught:
        bench.converge(tunnel())
    assert codes(caught.value) == ["MS-TUN-012"] and "Cloudflare Tunnel › Edit" in str(caught.value)
    # What was made before stays, and its secret with it.
    assert bench.held["app1"].client_id and not bench.open()


# -- service tokens --------------------------------------------------------------------------------------------------


def test_a_secret_is_changed_in_time_and_the_old_one_stays_good_for_a_while() -> None:
    bench = Bench()
    bench.converge(tunnel())
    old = (bench.held["app1"].client_id, bench.secrets["app1"])
    bench.pass_time(days=179)
    assert planned(bench.converge(tunnel())) == []
    bench.pass_time(days=2)
    accounts = bench.converge(tunnel())
    assert done(accounts) == planned(accounts) == [("token", "rotate", "app1")]
    assert tunnel_run.token_rows(accounts)["app1"]["rotated"]
    assert bench.works() and bench.secrets["app1"] != old[1] and bench.passes(*old)
    bench.pass_time(days=8)
    assert bench.works() and not bench.passes(*old)
    assert planned(bench.converge(tunnel())) == []


def test_a_token_is_renewed_before_it_expires() -> None:
    bench = Bench()
    want = tunnel(rotate_after=0, overlap=0)
    bench.converge(want)
    bench.pass_time(days=334)
    assert planned(bench.converge(want)) == []
    bench.pass_time(days=2)
    accounts = bench.converge(want)
    assert done(accounts) == [("token", "refresh", "app1")] and bench.works()
    assert tunnel_run.token_rows(accounts)["app1"]["expires_at"].startswith("2028-")
    bench.pass_time(days=300)
    assert bench.works()


def test_another_life_is_given_to_a_token() -> None:
    bench = Bench()
    bench.converge(tunnel())
    for duration, text in ((0, "forever"), (90 * DAY, "2160h"), (90 * DAY + 1, "7776001s")):
        want = tunnel(duration=duration, rotate_after=0, overlap=0)
        assert done(bench.converge(want)) == [("token", "update", "app1"), ("token", "refresh", "app1")]
        assert bench.world()["tokens"] == [("mailstead-app1", text, True)] and bench.works()
        assert planned(bench.converge(want)) == []


def test_a_secret_that_is_lost_is_replaced() -> None:
    bench = Bench()
    bench.converge(tunnel())
    bench.held.clear()
    assert done(bench.converge(tunnel())) == [("token", "rotate", "app1")] and bench.works()
    bench.held["app1"] = Held("another.access")
    assert done(bench.converge(tunnel())) == [("token", "rotate", "app1")] and bench.works()


def test_where_versions_are_told_they_show_that_somebody_else_made_the_last_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ServiceToken, "to_json", lambda self, with_secret=False: _told(self, with_secret))
    bench = Bench()
    bench.converge(tunnel())
    assert bench.held["app1"].version == 1 and planned(bench.converge(tunnel())) == []
    (token,) = bench.twin.trust.tokens.values()
    bench.client().write(f"/accounts/{bench.account}/access/service_tokens/{token.id}/rotate", {})
    assert done(bench.converge(tunnel())) == [("token", "rotate", "app1")]
    assert bench.held["app1"].version == 3 and bench.works() and planned(bench.converge(tunnel())) == []


def _told(token: ServiceToken, with_secret: bool) -> dict[str, Any]:
    out = {name: getattr(token, name) for name in ("id", "name", "client_id", "duration", "enabled", "expires_at")}
    return {**out, "client_secret_version": token.version, **({"client_secret": token.secret} if with_secret else {})}


def test_a_secret_is_changed_when_that_is_asked_for() -> None:
    bench = Bench()
    bench.converge(tunnel(service_tokens=["app1", "app2"]))
    old = dict(bench.secrets)
    rotate = ("app1", "of-another-account")
    accounts = bench.converge(tunnel(service_tokens=["app1", "app2"]), rotate_now=rotate)
    assert done(accounts) == [("token", "rotate", "app1")] and bench.works("app1") and bench.works("app2")
    assert old["app1"] != bench.secrets["app1"] and old["app2"] == bench.secrets["app2"]
    bench.twin.faults.add(Fault("drop_after", 1, method="POST", path="/rotate"))
    bench.converge(tunnel(service_tokens=["app1", "app2"]), rotate_now=("app1", "app2"))
    assert bench.works("app1") and bench.works("app2")


def test_a_disabled_token_is_refused_and_comes_back_with_a_new_secret_only() -> None:
    bench = Bench()
    bench.converge(tunnel())
    (token,) = bench.twin.trust.tokens.values()
    old = (bench.held["app1"].client_id, bench.secrets["app1"])
    token.enabled = False
    error = refused(bench, tunnel())
    assert codes(error) == ["MS-TUN-006"] and "disabled" in str(error)
    steps = done(bench.converge(tunnel(), allow=("revoked",)))
    assert steps == [("token", "rotate", "app1"), ("token", "update", "app1")]
    bench.pass_time(seconds=1)
    assert bench.works() and not bench.passes(*old)


def test_a_deleted_token_is_refused_and_made_anew_where_that_is_allowed() -> None:
    bench = Bench()
    bench.converge(tunnel())
    (policy,) = bench.twin.trust.policies.values()
    policy.include.clear()
    bench.twin.trust.tokens.clear()
    error = refused(bench, tunnel())
    assert codes(error) == ["MS-TUN-006"] and "deleted" in str(error)
    bench.converge(tunnel(), allow=("revoked",))
    assert bench.works()


def test_an_expired_token_is_refused_and_renewed_where_that_is_allowed() -> None:
    bench = Bench()
    bench.converge(tunnel())
    bench.pass_time(days=366)
    error = refused(bench, tunnel())
    assert codes(error) == ["MS-TUN-007"] and "expired on 2027-" in str(error)
    assert done(bench.converge(tunnel(), allow=("expired",))) == [
        ("token", "rotate", "app1"),
        ("token", "refresh", "app1"),
    ]
    assert bench.works() and planned(bench.converge(tunnel())) == []


def test_a_token_of_another_account_is_refused() -> None:
    bench = Bench()
    bench.held["app1"] = Held("x.access", account="another")
    assert codes(refused(bench, tunnel())) == ["MS-TUN-002"]


def test_tokens_come_and_go_with_the_list() -> None:
    bench = Bench()
    bench.converge(tunnel())
    bench.converge(tunnel(service_tokens=["app1", "app2"]))
    assert bench.works("app1") and bench.works("app2")
    steps = done(bench.converge(tunnel(service_tokens=["app2"])))
    assert steps == [("policy", "update", NAME), ("token", "delete", "app1")]
    assert set(bench.held) == {"app2"} and bench.works("app2")


# -- wishes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "a b"}, "no name for a tunnel"),
        ({"hostname": "a..b"}, "hostname"),
        ({"zone": ""}, "hostname or zone is missing"),
        ({"zone": "example.net"}, "not in the zone"),
        ({"service_tokens": []}, "no service token"),
        ({"service_tokens": ["a b"]}, "no name for a service token"),
        ({"duration": -1}, "negative"),
        ({"overlap": 181 * DAY}, "outlive"),
        ({"duration": 100 * DAY}, "expire before"),
        ({"ingress": [{"service": "http_status:404"}]}, "no rule answers"),
        (
            {"ingress": [{"hostname": HOSTNAME, "service": "tcp://a:1"}, {"hostname": OTHER, "service": "tcp://a:1"}]},
            "protects",
        ),
        ({"ingress": [{"hostname": HOSTNAME, "service": "tcp://a:1", "origin": {"access": {}}}]}, "origin has access"),
    ],
)
def test_bad_wishes_are_refused_before_anything_is_asked(change: dict[str, Any], words: str) -> None:
    with pytest.raises(MailsteadError) as caught:
        wishes([tunnel(**change)])
    assert words in str(caught.value) and set(codes(caught.value)) <= {"MS-TUN-001", "MS-TUN-002"}


def test_bad_rules_and_doubles_are_refused() -> None:
    with pytest.raises(MailsteadError) as caught:
        wishes([tunnel(service="tcp://172.29.1.2")])
    assert codes(caught.value) == ["MS-TUN-001"]
    with pytest.raises(MailsteadError) as caught:
        wishes([tunnel(), tunnel(), tunnel("x", OTHER, duration=0, rotate_after=0, overlap=0)])
    assert codes(caught.value) == ["MS-TUN-002"] * 3


def test_the_account_is_that_of_the_zone_or_the_given_one() -> None:
    bench = Bench()
    (account,) = bench.prepare(tunnel())
    assert account.live.account == bench.account
    (account,) = bench.prepare({"name": NAME, "state": "absent", "account_id": bench.account})
    assert account.steps == [] and "GET /zones" not in bench.requests
    assert codes(refused(bench, {"name": NAME, "state": "absent"})) == ["MS-TUN-013"]
    with pytest.raises(MailsteadError) as caught:
        bench.prepare(tunnel(hostname="a.example.net", zone="example.net"))
    assert codes(caught.value) == ["MS-CF-003"]


# -- broken runs -----------------------------------------------------------------------------------------------------


class KilledError(Exception):
    """The run ends here, whatever it was doing."""


class Killer:
    """Ends a run at its n-th request, before or after it takes effect."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, _method: str, _path: str) -> None:
        self.left -= 1
        if self.left < 0:
            raise KilledError


def _prepared(start: list[dict[str, Any]], days: int) -> Bench:
    bench = Bench()
    bench.seed({"type": "A", "name": f"www.{ZONE}", "content": "198.18.1.10", "ttl": 300})
    if start:
        bench.converge(*start)
    bench.pass_time(days=days)
    return bench


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("start", "days", "end"),
    [
        ([], 0, [tunnel()]),
        ([], 0, [tunnel(management="local", service_tokens=["app1", "app2"])]),
        ([tunnel()], 0, [tunnel(hostname=OTHER, service_tokens=["app1", "app2"])]),
        ([tunnel()], 181, [tunnel(service="tcp://172.29.1.9:465")]),
        ([tunnel()], 0, [ABSENT]),
        ([tunnel()], 0, [ABSENT, tunnel("mailstead-new", service_tokens=["app2"])]),
        ([tunnel(service_tokens=["app1", "app2"])], 0, [tunnel(service_tokens=["app2"])]),
    ],
)
def test_a_run_that_is_killed_anywhere_is_finished_by_the_next(
    start: list[dict[str, Any]], days: int, end: list[dict[str, Any]], moment: str
) -> None:
    whole = _prepared(start, days)
    whole.converge(*end)
    wanted = whole.world()
    for number in itertools.count():
        bench = _prepared(start, days)
        setattr(bench, moment, Killer(number))
        try:
            bench.converge(*end)
        except KilledError:
            killed = True
        else:
            killed = False
        bench.before = bench.after = None
        assert not bench.open(HOSTNAME) and not bench.open(OTHER)
        bench.converge(*end)
        assert bench.world() == wanted
        for row in end:
            for name in row.get("service_tokens", ()):
                assert bench.works(name, row["hostname"])
        assert planned(bench.converge(*end)) == []
        assert set(bench.held) == {t for row in end for t in row.get("service_tokens", ())}
        if not killed:
            break
    assert number > len(end)


@pytest.mark.parametrize("path", ["service_tokens", "policies", "apps", "cfd_tunnel", "configurations", "batch"])
@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "status"])
def test_a_request_whose_outcome_is_not_known_is_looked_after_in_the_same_run(path: str, kind: str) -> None:
    whole = Bench()
    whole.converge(tunnel())
    bench = Bench()
    method = "PUT" if path == "configurations" else "POST"
    bench.twin.faults.add(Fault(kind, 1, method=method, path=path, status=502))
    bench.converge(tunnel())
    assert bench.world() == whole.world() and bench.works()
    assert planned(bench.converge(tunnel())) == []


def test_what_stays_unclear_is_told() -> None:
    bench = Bench()
    bench.twin.faults.add(Fault("status", 99, method="POST", path="access/apps", status=502))
    with pytest.raises(MailsteadError) as caught:
        bench.converge(tunnel())
    assert codes(caught.value) == ["MS-TUN-011"] and bench.held["app1"].client_id
    bench.twin.faults.clear()
    bench.converge(tunnel())
    assert bench.works()


def test_what_turns_up_on_the_second_look_is_told() -> None:
    bench = Bench()

    def meddle(method: str, path: str) -> None:
        if method == "POST" and path.endswith("cfd_tunnel"):
            bench.seed({"type": "A", "name": HOSTNAME, "content": "198.18.1.10", "ttl": 300})

    bench.after = meddle
    bench.twin.faults.add(Fault("status", 1, method="POST", path="cfd_tunnel", status=502))
    with pytest.raises(MailsteadError) as caught:
        bench.converge(tunnel())
    assert codes(caught.value) == ["MS-TUN-003"]


def test_a_refused_change_is_told_with_cloudflares_words() -> None:
    bench = Bench()
    bench.before = lambda method, path: (
        bench.seed({"type": "A", "name": HOSTNAME, "content": "198.18.1.10", "ttl": 300})
        if method == "PUT" and path.endswith("configurations")
        else None
    )
    with pytest.raises(MailsteadError) as caught:
        bench.converge(tunnel())
    assert codes(caught.value) == ["MS-TUN-010"] and "record smtp.example.com" in str(caught.value)
