# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's life: up (idempotent), status, down, clean."""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import json
import shutil
import time
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import Any

import docker.errors

from lab import (
    engine,
    health,
    hosts,
    images,
    mailserver,
    paths,
    registry,
    render,
    secrets,
    topology,
    trust,
    wiring,
    workerd,
)
from lab.cloudflared import build as cloudflared
from lab.console import CONSOLE, LabError
from lab.frp import build as frp
from lab.topology import HOSTS, LABEL, NETWORKS, SPEC_LABEL, TUNNELLED, Host

LOCK = Path("/run/lock/mailstead-lab.lock")

#: The image that cloudflared's starts from.
CLOUDFLARED_BASE = "cloudflared-base"

#: As the reader can type it in the project's directory: a fresh Debian has no program called python.
PYTHON = ".venv/bin/python"

#: Machines that others need while they start; the rest follows at once, without waiting for these to be healthy.
FIRST = ("router", "cpe", "dns", "resolver")
WORKERS = 6


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """There is one lab on a machine, so one harness at a time; the next one waits and says so."""
    with LOCK.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            CONSOLE.say("another run is changing the lab: waiting for it ...")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def up(only: tuple[str, ...] = (), also: tuple[str, ...] = ()) -> None:
    """Bring the lab to the state of the topology, alone. See :func:`_up`."""
    engine.require_root()
    with _alone():
        _up(only, also)


def chosen(only: tuple[str, ...], also: tuple[str, ...], running: Container[str]) -> tuple[Host, ...]:
    """The machines that a run is about. only: these, default is all but those on demand; also: of these, in addition;
    running: containers that are there, of which those on demand stay part of the lab."""
    return tuple(
        h for h in HOSTS if h.name in also or (h.name in only if only else not h.on_demand or h.container in running)
    )


def _up(only: tuple[str, ...], also: tuple[str, ...]) -> None:
    """Bring the lab to the state of the topology. only: names of machines, for trying things; also: of those on demand.

    A machine on demand comes to a running lab, or is made anew in it, without a new start of the others.
    Raises LabError, with everything left as it is so that it can be looked at.
    """
    begin = time.monotonic()
    engine.ensure_tools()
    client = engine.ensure()
    paths.private_dir(paths.BUILD)
    running = hosts.existing(client)
    machines = chosen(only, also, running)
    facts = render.world(secrets.load())
    secrets.known_hosts()
    paths.write_if_changed(paths.BUILD / "resolv.conf", render.RESOLV_CONF, 0o644)
    before = _published()
    tags, inside = _artefacts(client, machines, facts.authority)

    wanted = {m.name: _spec(client, m, tags, facts, inside) for m in machines}
    added = tuple(m for m in machines if m.on_demand and not _matches((m,), wanted, running))
    kept = tuple(m for m in machines if m not in added)
    unchanged = _matches(kept, wanted, running)
    why = "the running lab differs from its description"
    acme = any(m.name == "acme" for m in machines)
    if unchanged and before and _published() not in ("", before):
        unchanged, why = False, "the registry's cloudflared is another one, and machines may hold the old one"
    if unchanged and acme and _authority_lost(client, running):
        unchanged, why = False, "the lab's ACME server was restarted, and nobody trusts what it had issued"
    if unchanged:
        _rewire(client, kept, running)
        for machine in added:
            if machine.container in running:
                _remove(running[machine.container])
                # What its container engine had pulled must not outlive a change of what there is to pull.
                for volume in machine.volumes:
                    client.volumes.get(volume.name).remove(force=True)
            with CONSOLE.step(f"machine: {machine.name}"):
                _begin(client, machine, tags, wanted, facts)
    else:
        if running:
            programs = wiring.busy()
            if programs:
                raise LabError(
                    f"{why}; it would be started afresh, but programs run in it: {', '.join(programs[:5])}.\n"
                    f"    Fix: let them end and try again, or make lab-down first"
                )
            CONSOLE.say(f"{why}: starting afresh")
            _teardown(client)
        _start(client, machines, tags, wanted, facts)
    health.await_all(client, machines, announce=not unchanged or bool(added))
    trust.install(client, machines, facts.authority, trust.acme_root(client) if acme else b"")
    state = "runs as described" if unchanged else "is up"
    CONSOLE.say(f"the lab {state}: {len(machines)} machines, {time.monotonic() - begin:.1f} s")


def _published() -> str:
    """The digest of the cloudflared image in the registry as the last start left it, "" where there was none."""
    if not paths.STATE.is_file():
        return ""
    return str(json.loads(paths.STATE.read_text()).get("cloudflared", {}).get("digest", ""))


def _artefacts(client: Any, machines: tuple[Host, ...], authority: bytes) -> tuple[dict[str, str], str]:
    """Everything that is made before machines start: images, frp, the registry's content; cloudflared where it is used.

    authority: PEM, for the image of cloudflared. Returns the images' tags, and what identifies the registry's content
    (without cloudflared, which comes to a running lab with the machines that use it).
    """
    if any(m.name == "routing" for m in machines):
        workerd.ensure()
    needed = {m.image for m in machines}
    serves = any(m.name == "release" for m in machines)
    if not serves:
        return images.ensure(client, needed), ""
    choice = mailserver.choose(client)
    if choice.kind == "stand-in":
        needed.add(mailserver.STANDIN)
    tunnelled = any(m.name in TUNNELLED for m in machines)
    if tunnelled:
        needed.add(CLOUDFLARED_BASE)
    with concurrent.futures.ThreadPoolExecutor(2) as workers:
        # The compiler and the package manager wait for different things.
        binaries = workers.submit(_frp)
        client_program = workers.submit(_cloudflared) if tunnelled else None
        tags = images.ensure(client, needed)
        try:
            artefacts = binaries.result()
            tunnels = client_program.result() if client_program else None
        except (frp.FrpError, cloudflared.CloudflaredError) as error:
            raise LabError(str(error)) from error
    image = choice.image or tags[mailserver.STANDIN]
    tunnel = images.ensure_context(client, "frpc", artefacts.image_context)
    state: dict[str, dict[str, str]] = {
        "mail_server": {
            "kind": choice.kind,
            "origin": choice.origin,
            "digest": registry.publish(client, image, mailserver.UPSTREAM),
            "image_id": hosts.image_id(client, image),
        },
        "frp": {
            "version": artefacts.version,
            "origin": artefacts.origin,
            "digest": registry.publish(client, tunnel, artefacts.image_tag),
        },
    }
    inside = json.dumps(state, sort_keys=True)
    if tunnels:
        state["cloudflared"] = _publish_cloudflared(client, tunnels, tags[CLOUDFLARED_BASE], authority)
    if paths.write_if_changed(paths.STATE, json.dumps(state, indent=1) + "\n", 0o644):
        CONSOLE.say(f"mail server: {choice.kind} ({choice.origin})")
        if tunnels:
            CONSOLE.say(f"cloudflared: client {tunnels.client} ({tunnels.origin}), connector stand-in")
    return tags, inside


def _cloudflared() -> cloudflared.Cloudflared:
    with CONSOLE.watched("cloudflared"):
        return cloudflared.ensure(paths.BUILD, CONSOLE.say)


def _publish_cloudflared(client: Any, made: cloudflared.Cloudflared, base: str, authority: bytes) -> dict[str, str]:
    """Put the image into the registry. Returns what state.json says of it: a lab's connector is never the real one."""
    image = images.ensure_context(client, "cloudflared", cloudflared.image_context(made, base, authority))
    return {
        "version": cloudflared.VERSION,
        "client": made.client,
        "connector": "stand-in",
        "origin": made.origin,
        "sha256": made.digest,
        "digest": registry.publish(client, image, made.image_tag),
    }


def _frp() -> frp.FrpArtifacts:
    with CONSOLE.watched("frp"):
        return frp.ensure(paths.BUILD, CONSOLE.say)


def _spec(client: Any, machine: Host, tags: dict[str, str], facts: render.World, inside: str) -> str:
    # A machine that has pulled an image would keep it, whatever the registry offers under that name later.
    image = hosts.image_id(client, tags[machine.image])
    return hosts.fingerprint(machine, image, render.files(machine, facts), inside if machine.docker else "")


def _matches(machines: tuple[Host, ...], wanted: dict[str, str], running: dict[str, Any]) -> bool:
    """Whether every machine is there as described; stopped ones count, extra ones do not matter."""
    return all(
        m.container in running and running[m.container].labels.get(SPEC_LABEL) == wanted[m.name] for m in machines
    )


def _authority_lost(client: Any, running: dict[str, Any]) -> bool:
    """Whether the ACME server started anew since its authority was put into the trust stores (this machine was
    restarted, mostly). It makes a new one at each start, and clients keep their certificates of the old one until
    these are due: as the real one never does this, no role is there to mend it."""
    acme = running[topology.host("acme").container]
    if acme.status != "running":
        return True
    return paths.CA_BUNDLE.is_file() and trust.acme_root(client) not in paths.CA_BUNDLE.read_bytes()


def _rewire(client: Any, machines: tuple[Host, ...], running: dict[str, Any]) -> None:
    """Mend what a restart of a machine or of the engine takes away. Does nothing on a lab that is as it was left."""
    for net in NETWORKS:
        wiring.ensure_network(client, net)
    wiring.guard()
    wiring.ensure_controller()
    for machine in machines:
        container = running[machine.container]
        if container.status != "running":
            CONSOLE.say(f"{machine.name}: starting again")
            hosts.start(machine, container)
        elif not wiring.wired(machine, container.attrs["State"]["Pid"]):
            wiring.wire(machine, container.attrs["State"]["Pid"])


def _parallel(function: Callable[[Host], None], machines: tuple[Host, ...]) -> None:
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as workers:
        for job in [workers.submit(function, m) for m in machines]:
            job.result()


def _start(
    client: Any, machines: tuple[Host, ...], tags: dict[str, str], wanted: dict[str, str], facts: render.World
) -> None:
    with CONSOLE.step(f"networks: {len(NETWORKS)}"):
        for net in NETWORKS:
            wiring.ensure_network(client, net)
        wiring.guard()

    def begin(machine: Host) -> None:
        _begin(client, machine, tags, wanted, facts)

    with CONSOLE.step(f"machines: {len(machines)}"):
        _parallel(begin, tuple(m for m in machines if m.name in FIRST))
        wiring.ensure_controller()
        _parallel(begin, tuple(m for m in machines if m.name not in FIRST))


def _begin(client: Any, machine: Host, tags: dict[str, str], wanted: dict[str, str], facts: render.World) -> None:
    for bind in machine.binds:
        (paths.ROOT / bind.source).mkdir(parents=True, exist_ok=True)
    files = render.files(machine, facts)
    container = hosts.create(client, machine, tags[machine.image], wanted[machine.name], files)
    hosts.start(machine, container)


def down() -> None:
    """Remove every container, network, volume, namespace, route and control group of ours. Images stay."""
    engine.require_root()
    with _alone():
        _down()
    if engine.own():
        CONSOLE.say("the container engine that was started for it still runs, with the images (make lab-clean ends it)")


def _down() -> None:
    client = engine.connect()
    if client is None:
        # Nothing of ours can run without it, but what the kernel holds can be left over.
        wiring.remove_controller()
        wiring.unguard()
        CONSOLE.say("no container engine answers: removed the namespace and the routes only")
        return
    _teardown(client)
    CONSOLE.say("the lab is down")


def _teardown(client: Any) -> None:
    containers = hosts.existing(client)
    volumes = client.volumes.list(filters={"label": f"{LABEL}=1"})
    groups = [c.id for c in containers.values()] + [i for v in volumes for i in _inner_containers(v)]
    wiring.remove_controller()
    if containers:
        with (
            CONSOLE.step(f"removing {len(containers)} machines"),
            concurrent.futures.ThreadPoolExecutor(WORKERS) as workers,
        ):
            for job in [workers.submit(_remove, c) for c in containers.values()]:
                job.result()
    for volume in volumes:
        volume.remove(force=True)
    for net in client.networks.list(filters={"label": f"{LABEL}=1"}):
        net.remove()
    wiring.unguard()
    _remove_groups(groups)


def _remove(container: Any) -> None:
    with contextlib.suppress(docker.errors.NotFound):
        container.remove(force=True, v=True)


def _inner_containers(volume: Any) -> list[str]:
    """Identifiers of containers that an engine inside a machine made: their control groups outlive the machine."""
    place = Path(volume.attrs["Mountpoint"]) / "containers"
    return [p.name for p in place.iterdir()] if place.is_dir() else []


def _remove_groups(identifiers: list[str]) -> None:
    """Remove the empty control groups of containers that are gone, in every hierarchy (cgroup v1) or the one (v2)."""
    for name in identifiers:
        for top in Path("/sys/fs/cgroup").glob(f"**/*{name}*"):
            for group in sorted((p for p in top.rglob("*") if p.is_dir()), key=lambda p: -len(p.parts)):
                with contextlib.suppress(OSError):
                    group.rmdir()
            with contextlib.suppress(OSError):
                top.rmdir()


def clean() -> None:
    """down(), and remove the images that carry our label, and build/lab."""
    engine.require_root()
    with _alone():
        _down()
        client = engine.connect()
        if client is not None:
            names = images.remove_all(client)
            CONSOLE.say(f"removed {len(names)} images")
            engine.stop_own(client)
        shutil.rmtree(paths.BUILD, ignore_errors=True)


def status() -> int:
    """Print what is up, with addresses, and how to log in. Returns 0 when everything runs, 1 otherwise."""
    client = engine.connect()
    if client is None:
        print(
            "The container engine of this machine does not answer (or not to this user: try sudo); the lab is not up."
        )
        return 1
    running = hosts.existing(client)
    if not running:
        print("The lab is not up. Start it with: make lab-up")
        return 1
    print(f"{'machine':<12}{'state':<10}{'IPv4':<16}{'IPv6':<20}what")
    everything = True
    for machine in HOSTS:
        state = running[machine.container].status if machine.container in running else "absent"
        everything = everything and (state == "running" or (machine.on_demand and state == "absent"))
        more = f" (+{len(machine.links[0].extra)} more addresses)" if machine.links[0].extra else ""
        print(f"{machine.name:<12}{state:<10}{machine.address4():<16}{machine.address6():<20}{machine.hostname}{more}")
    here = topology.CONTROLLER
    state = "up" if wiring.controller_exists() else "absent"
    print(f"{'controller':<12}{state:<10}{here.ipv4:<16}{here.ipv6:<20}namespace {here.namespace}")
    if paths.STATE.is_file():
        state = json.loads(paths.STATE.read_text())
        choice = state["mail_server"]
        print(f"\nThe mail server in the lab's registry is the {choice['kind']} ({choice['origin']}).")
        if "cloudflared" in state:
            made = state["cloudflared"]
            print(
                f"cloudflared is {made['client']} as client ({made['origin']}); its connector is the {made['connector']}."
            )
    print("\nTo log in, or to run anything as a machine of the home network:")
    for machine in HOSTS:
        if machine.ssh:
            key = paths.SSH / "id_ed25519"
            known = paths.SSH / "known_hosts"
            command = f"{PYTHON} -m lab exec -- ssh -i {key} -o UserKnownHostsFile={known} root@{machine.address4()}"
            print(f"  {machine.name:<10}{command}   # {machine.login}")
    print(f"  {'others':<10}docker exec -it {topology.PREFIX}<machine> bash")
    return 0 if everything else 1
