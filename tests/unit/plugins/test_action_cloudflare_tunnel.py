# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cloudflare_tunnel in a real run: secrets of service tokens are kept, missed when lost, and never shown."""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.plugin_utils import access_secrets
from ansible_collections.mailstead.stack.plugins.plugin_utils.state import SecretStore

from lab.twins.cloudflare import Fault, Twin, TwinConfig
from lab.twins.cloudflare.server import Running
from tests.unit.cloudflare.support import ZONE
from tests.unit.cloudflare.tunnels import HOSTNAME, SCOPES, tunnel
from tests.unit.plugins.playbook import CANARY, ansible_playbook, output, write_inventory

PLAYBOOK = """\
---
- name: Keep tunnels as the playbooks do
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Keep them
      mailstead.stack.cloudflare_tunnel:
        api_token: "{{ token }}"
        base_url: "{{ url }}"
        tunnels: "{{ tunnels }}"
        rotate_now: "{{ rotate_now | default([]) }}"
      register: tunnel
      no_log: true

    - name: Look
      mailstead.stack.cloudflare_tunnel_info:
        api_token: "{{ token }}"
        base_url: "{{ url }}"
        tunnels: "{{ tunnels }}"
      register: info
      when: not ansible_check_mode

    - name: Write what the next roles get
      ansible.builtin.copy:
        content: "{{ {'tunnel': tunnel, 'info': info} | to_json }}"
        dest: "{{ result }}"
        mode: "0600"
      check_mode: false
      diff: false
      no_log: true
"""
#: CANARY is the token, too: it must not be seen.
API_TOKEN = CANARY.ljust(40, "x")


@dataclass
class World:
    """A twin on a socket and an inventory whose playbook keeps tunnels there."""

    twin: Twin
    url: str
    root: Path
    inventory: Path

    def play(
        self, *tunnels: dict[str, Any], options: tuple[str, ...] = (), **more: Any
    ) -> subprocess.CompletedProcess[str]:
        variables = {
            "token": API_TOKEN,
            "url": self.url,
            "tunnels": tunnels,
            "result": str(self.root / "result.json"),
            **more,
        }
        file = self.root / "variables.json"
        file.write_text(json.dumps(variables), encoding="utf-8")
        self.played = ansible_playbook(
            self.inventory, self.root / "use.yml", "-e", f"@{file}", "-vv", "--diff", *options
        )
        for secret in (API_TOKEN, *(t.secret for t in self.twin.trust.tokens.values())):
            assert secret not in output(self.played)
        for living in self.twin.trust.tunnels.values():
            assert living.secret not in output(self.played)
        return self.played

    def result(self) -> dict[str, Any]:
        assert self.played.returncode == 0, output(self.played)
        return dict(json.loads((self.root / "result.json").read_text()))

    def kept(self, name: str = "app1") -> dict[str, Any]:
        path = self.inventory / ".mailstead/secrets" / f"access-{name}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        return dict(json.loads(path.read_text()))

    def real(self) -> str:
        (token,) = self.twin.trust.tokens.values()
        return str(token.secret)


@pytest.fixture(name="world")
def fixture_world(tmp_path: Path) -> Iterator[World]:
    tokens = [{"token": API_TOKEN, "scopes": SCOPES}]
    twin = Twin(TwinConfig.from_data({"zones": [{"name": ZONE}], "tokens": tokens}))
    (tmp_path / "use.yml").write_text(PLAYBOOK, encoding="utf-8")
    with Running(twin, ["127.0.0.1:0"]) as server:
        yield World(twin, server.urls[0] + "/client/v4", tmp_path, write_inventory(tmp_path))


def test_secrets_are_kept_and_reach_the_next_roles(world: World) -> None:
    world.play(tunnel(), options=("--check",))
    dry = world.result()["tunnel"]
    assert dry["changed"] and not world.twin.trust.tokens and not (world.inventory / ".mailstead").exists()
    assert dry["service_tokens"]["app1"]["client_secret"] == "made-by-the-first-real-run"

    world.play(tunnel())
    first = world.result()
    told = first["tunnel"]["service_tokens"]["app1"]
    assert told["client_secret"] == world.real() == world.kept()["client_secret"] and not told["rotated"]
    assert first["tunnel"]["tunnels"][0]["service_tokens"] == {"app1": told}
    assert first["info"]["service_tokens"]["app1"]["held"] and first["info"]["tunnels"][0]["as_wanted"]
    assert not {"secrets", "forget", "due", "invocation"} & set(first["tunnel"])

    world.play(tunnel())
    second = world.result()["tunnel"]
    assert not second["changed"] and second["service_tokens"]["app1"]["client_secret"] == told["client_secret"]


def test_a_secret_that_is_asked_for_or_lost_is_made_anew(world: World) -> None:
    world.play(tunnel())
    old = world.real()
    world.play(tunnel(), rotate_now=["app1"])
    rotated = world.result()["tunnel"]
    assert rotated["changed"] and [s["done"] for s in rotated["steps"]] == [True]
    assert old != world.real() == world.kept()["client_secret"] == rotated["service_tokens"]["app1"]["client_secret"]
    assert rotated["service_tokens"]["app1"]["rotated"] and "pending" not in world.kept()

    (world.inventory / ".mailstead/secrets/access-app1").write_text("{}")
    world.play(tunnel())
    assert world.kept()["client_secret"] == world.real() != rotated["service_tokens"]["app1"]["client_secret"]


def test_a_run_that_fails_while_it_makes_a_secret_is_missed_by_the_next(world: World) -> None:
    world.play(tunnel())
    old = world.real()
    world.twin.faults.add(Fault("status", 99, method="POST", path="/rotate", status=502, after=True))
    failed = world.play(tunnel(), rotate_now=["app1"])
    assert failed.returncode != 0 and "MS-TUN-011" in output(failed)
    assert world.kept()["pending"] and world.kept()["client_secret"] == old != world.real()
    world.twin.faults.clear()
    world.play(tunnel())
    assert world.kept()["client_secret"] == world.real() and world.result()["tunnel"]["changed"]


def test_what_is_wrong_is_told_although_the_result_is_hidden(world: World) -> None:
    world.twin.zone(ZONE).create({"type": "A", "name": HOSTNAME, "content": "198.18.1.10", "ttl": 300})
    failed = world.play(tunnel())
    assert failed.returncode != 0 and "MS-TUN-003" in output(failed) and "198.18.1.10" in output(failed)


def test_secrets_of_tokens_that_are_gone_are_not_kept(world: World) -> None:
    world.play(tunnel())
    world.play({"name": "mailstead-notify", "state": "absent", "zone": ZONE})
    assert world.result()["tunnel"]["changed"] and not world.twin.trust.tokens
    assert list((world.inventory / ".mailstead/secrets").iterdir()) == []


def test_a_store_that_cannot_be_opened_stops_the_run(world: World) -> None:
    directory = world.inventory / ".mailstead/secrets"
    directory.mkdir(parents=True, mode=0o700)
    path = directory / "access-app1"
    path.touch(0o600)
    path.write_text("$ANSIBLE_VAULT;1.1;AES256\n00\n")
    failed = world.play(tunnel())
    assert failed.returncode != 0 and not world.twin.trust.tokens


def test_what_is_no_secret_of_a_token_counts_as_not_held(tmp_path: Path) -> None:
    store = SecretStore(tmp_path, None)
    assert access_secrets.held(store) == {}
    for name, text in (("access-a", "x"), ("access-b", "[]"), ("access-c", '{"client_id": "c"}'), ("other", "{}")):
        store.put(name, text)
    good = {"client_id": "c", "client_secret": "s", "version": 1}
    access_secrets.keep(store, "d", good)
    assert access_secrets.held(store) == {"d": good}
    facts = access_secrets.facts({"d": good})
    assert facts == {"d": {"client_id": "c", "version": 1, "account": None, "made": None, "pending": None}}
    access_secrets.forget(store, "d")
    access_secrets.forget(store, "never")
    assert access_secrets.held(store) == {} and store.names("o") == ["other"]
