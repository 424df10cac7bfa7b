# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the exchanger is part of the lab: on demand, with settings that it and the twin take, and a Workers runtime."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
import types
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from lab import engine, health, hosts, lifecycle, names, paths, registry, render, secrets, trust, wiring, workerd
from lab.console import LabError
from lab.email_routing.config import Config
from lab.topology import HOSTS, ROUTING_EXCHANGES, SPEC_LABEL, host
from lab.twins.cloudflare import TwinConfig

MACHINE = host("routing")


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """build/lab somewhere else."""
    for name in ("PKI", "SSH", "POOL", "REGISTRY", "WORKERD"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    monkeypatch.setattr(paths, "BUILD", tmp_path)
    monkeypatch.setattr(paths, "SECRETS", tmp_path / "secrets.json")
    monkeypatch.setattr(paths, "DNS_KEYS", tmp_path / "dns-keys.json")
    monkeypatch.setattr(registry, "ROOT", tmp_path / "registry")
    return tmp_path


@pytest.fixture
def facts(build: Path) -> render.World:
    return render.world(secrets.load())


def test_a_lab_is_made_without_it_unless_it_is_asked_for() -> None:
    usual = {h.name for h in HOSTS if not h.on_demand}
    assert MACHINE.on_demand and len(usual) > 9
    assert {h.name for h in lifecycle.chosen((), (), ())} == usual
    assert {h.name for h in lifecycle.chosen((), ("routing",), ())} == usual | {"routing"}
    assert {h.name for h in lifecycle.chosen(("dns",), (), ())} == {"dns"}
    assert {h.name for h in lifecycle.chosen(("dns",), ("routing",), ())} == {"dns", "routing"}
    assert {h.name for h in lifecycle.chosen(("routing",), (), ())} == {"routing"}


def test_where_it_runs_it_stays_a_part_of_the_lab() -> None:
    assert MACHINE in lifecycle.chosen((), (), {MACHINE.container})


def test_its_settings_are_what_it_reads(facts: render.World) -> None:
    config = Config.from_data(json.loads(render.files(MACHINE, facts)["/lab/config.json"].content))
    assert tuple(listener.name for listener in config.listeners) == ROUTING_EXCHANGES
    own = {a for link in MACHINE.links for a in (link.ipv4, link.ipv6, *link.extra)}
    for listener in config.listeners:
        assert set(listener.addresses) < own
        assert f"/lab/pki/{listener.name}.crt" == listener.certificate
        assert listener.certificate in render.files(MACHINE, facts)
    assert {config.identity.ipv4, config.identity.ipv6} < own
    assert config.identity.hostname == MACHINE.hostname
    assert config.dkim_key in render.files(MACHINE, facts)
    assert config.control.token == facts.secrets.twin_control_token


def test_the_twin_takes_its_settings_and_publishes_the_key_that_signs(facts: render.World) -> None:
    data = render.settings(host("cloudflare"), facts)
    config = TwinConfig.from_data(data)
    routing = next(t for t in config.tokens if t.token == facts.secrets.cloudflare_routing_token)
    assert routing.zones == (render.ROUTED_ZONE,) and "Email Routing Rules:Edit" in routing.scopes
    published = next(r for z in facts.zones for r in z.records if r.name == names.ROUTING_DKIM)
    assert published.data.endswith(f"p={data['email']['dkim_public_key']}")


def test_the_token_of_the_other_path_may_not_touch_mail(facts: render.World) -> None:
    tokens = {t.token: t.scopes for t in TwinConfig.from_data(render.settings(host("cloudflare"), facts)).tokens}
    assert tokens[facts.secrets.cloudflare_token] == ("Zone:Read", "DNS:Edit")


def test_the_token_for_the_hosted_domain_sees_its_zone_alone(facts: render.World) -> None:
    tokens = {t.token: t.zones for t in TwinConfig.from_data(render.settings(host("cloudflare"), facts)).tokens}
    assert tokens[facts.secrets.cloudflare_hosted_token] == (render.HOSTED_ZONE,)


@pytest.mark.parametrize("secret", ["cloudflare_routing_token", "srs_secret", "twin_control_token", "routing_dkim"])
def test_only_who_needs_a_secret_has_it_and_keeps_it(facts: render.World, secret: str) -> None:
    owners = {
        "cloudflare_routing_token": {"cloudflare"},
        "srs_secret": {"routing"},
        "twin_control_token": {"cloudflare", "routing", "tunnel-edge"},
        "routing_dkim": {"routing"},
    }
    value = facts.routing_dkim.splitlines()[1] if secret == "routing_dkim" else getattr(facts.secrets, secret).encode()
    holders = set()
    for machine in HOSTS:
        for file in render.files(machine, facts).values():
            if value in file.content:
                holders.add(machine.name)
                assert file.mode == 0o600
    assert holders == owners[secret]


def test_a_zone_served_by_it_lets_it_send() -> None:
    spf = next(r.data for r in names.STATIC_RECORDS if r.name == "_spf.mx.cloudflare.net")
    assert f"ip4:{MACHINE.address4()}" in spf and f"ip6:{MACHINE.address6()}" in spf


def package(directory: Path, content: bytes = b"#!/bin/sh\necho workerd\n") -> Path:
    """An npm package with a program in it."""
    program = directory / "workerd"
    program.write_bytes(content)
    archive = directory / "cloudflare-workerd.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(program, workerd.MEMBER)
    return archive


def integrity(archive: Path) -> str:
    return f"sha512-{b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()}"


def test_workerd_is_fetched_once(build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "npm"
    scratch.mkdir()
    archive, fetched = package(scratch), []

    def fetch(directory: Path) -> Path:
        fetched.append(directory)
        return archive

    monkeypatch.setattr(workerd, "_fetch", fetch)
    monkeypatch.setattr(workerd, "INTEGRITY", dict.fromkeys(workerd.INTEGRITY, integrity(archive)))
    assert not workerd.present()
    program = workerd.ensure()
    assert workerd.ensure() == program and len(fetched) == 1
    assert subprocess.run([program], capture_output=True, check=True).stdout == b"workerd\n"


def test_another_program_than_the_pinned_one_is_refused(
    build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "npm"
    scratch.mkdir()
    archive = package(scratch)
    monkeypatch.setattr(workerd, "_fetch", lambda directory: archive)
    with pytest.raises(LabError, match="is not what it should be"):
        workerd.ensure()
    assert not workerd.present()


def test_without_npm_the_way_out_is_said(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(build))
    with pytest.raises(LabError, match=r"npm.*\n.*Fix:"):
        workerd.ensure()


def test_processors_have_npms_names() -> None:
    assert {workerd.processor(name) for name in ("x86_64", "aarch64")} == set(workerd.INTEGRITY)
    with pytest.raises(LabError, match="riscv"):
        workerd.processor("riscv64")


class Lab:
    """A lab of which only the bookkeeping is real. running: containers by name, as the engine would list them."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        stale: tuple[str, ...] = (),
        absent: tuple[str, ...] = (),
        published: tuple[str, ...] = ("",),
    ) -> None:
        self.done: list[str] = []
        #: What the registry's cloudflared was before, and is now.
        self.published = list(published)
        volume = types.SimpleNamespace(remove=lambda force: self.done.append("emptied"))
        client = types.SimpleNamespace(volumes=types.SimpleNamespace(get=lambda name: volume))
        self.running = {
            machine.container: types.SimpleNamespace(
                name=machine.name,
                labels={SPEC_LABEL: "old" if machine.name in stale else machine.name},
                status="running",
            )
            for machine in HOSTS
            if machine.name not in absent
        }
        fakes: dict[Any, dict[str, Any]] = {
            lifecycle: {
                "_artefacts": lambda client, machines, authority: ({}, ""),
                "_published": lambda: self.published.pop(0) if len(self.published) > 1 else self.published[0],
                "_spec": lambda client, machine, *_: machine.name,
                "_authority_lost": lambda client, running: False,
                "_rewire": lambda client, machines, running: self.done.append(f"kept {len(machines)}"),
                "_begin": lambda client, machine, *_: self.done.append(f"made {machine.name}"),
                "_remove": lambda container: self.done.append(f"removed {container.name}"),
                "_teardown": lambda client: self.done.append("torn down"),
                "_start": lambda client, machines, *_: self.done.append(f"started {len(machines)}"),
            },
            hosts: {"existing": lambda client: self.running},
            engine: {"ensure_tools": lambda: None, "ensure": lambda: client},
            render: {"world": lambda secrets: types.SimpleNamespace(authority=b"")},
            health: {"await_all": lambda client, machines, announce: None},
            trust: {"install": lambda *_: None, "acme_root": lambda client: b""},
            wiring: {"busy": lambda: []},
            secrets: {"known_hosts": lambda: ""},
        }
        for module, functions in fakes.items():
            for name, function in functions.items():
                monkeypatch.setattr(module, name, function)

    def up(self, *also: str) -> list[str]:
        lifecycle._up((), also)
        return self.done


ALL = len(HOSTS)


@pytest.mark.parametrize(
    ("stale", "absent", "also", "done"),
    [
        ((), ("routing",), (), [f"kept {ALL - 1}"]),
        ((), ("routing",), ("routing",), [f"kept {ALL - 1}", "made routing"]),
        ((), (), ("routing",), [f"kept {ALL}"]),
        (("routing",), (), (), [f"kept {ALL - 1}", "removed routing", "made routing"]),
        (("app1",), (), (), [f"kept {ALL - 1}", "removed app1", "emptied", "made app1"]),
        (("dns",), ("routing",), (), ["torn down", f"started {ALL - 1}"]),
        (("dns",), (), (), ["torn down", f"started {ALL}"]),
        (("dns",), ("routing",), ("routing",), ["torn down", f"started {ALL}"]),
    ],
    ids=[
        "not asked for",
        "added",
        "there already",
        "changed",
        "engine inside",
        "others changed",
        "stays",
        "asked for at a new start",
    ],
)
def test_a_machine_on_demand_disturbs_no_other(
    build: Path,
    monkeypatch: pytest.MonkeyPatch,
    stale: tuple[str, ...],
    absent: tuple[str, ...],
    also: tuple[str, ...],
    done: list[str],
) -> None:
    assert Lab(monkeypatch, stale, absent).up(*also) == done


@pytest.mark.parametrize(
    ("published", "done"),
    [
        (("", "a"), [f"kept {ALL}"]),
        (("a", "a"), [f"kept {ALL}"]),
        (("a", ""), [f"kept {ALL}"]),
        (("a", "b"), ["torn down", f"started {ALL}"]),
    ],
    ids=["new", "the same", "not asked for any more", "another"],
)
def test_machines_keep_no_image_that_the_registry_has_another_one_of(
    build: Path, monkeypatch: pytest.MonkeyPatch, published: tuple[str, ...], done: list[str]
) -> None:
    assert Lab(monkeypatch, published=published).up() == done
