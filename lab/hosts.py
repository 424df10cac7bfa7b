# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines as containers: created from the topology with their files inside, and recognised again later.

Each container carries a hash of all it was made from; a machine is up to date when that hash is what the topology,
the image and the files would give now.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from typing import Any

import docker.errors

from lab import paths, render, wiring
from lab.topology import LABEL, SPEC_LABEL, Host

#: Endings of the programs that a machine runs from a bind.
CODE = (".py", ".mjs")

#: A container that boots systemd without being privileged, on cgroup v1 and v2 alike.
SYSTEMD_CAPABILITIES = ("SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE")


def options(machine: Host) -> dict[str, Any]:
    """Keyword arguments of the engine's host configuration, but for what is the same everywhere."""
    binds = [f"{paths.BUILD / 'resolv.conf'}:/etc/resolv.conf:{'rw' if machine.systemd else 'ro'}"]
    binds += [f"{paths.ROOT / b.source}:{b.target}:{'ro' if b.read_only else 'rw'}" for b in machine.binds]
    binds += [f"{v.name}:{v.target}" for v in machine.volumes]
    sysctls = {"net.ipv4.ip_nonlocal_bind": "1", "net.ipv6.ip_nonlocal_bind": "1"}
    # A machine that roles are run on behaves like one: low ports are root's.
    sysctls["net.ipv4.ip_unprivileged_port_start"] = "1024" if machine.systemd else "0"
    if machine.forwards:
        sysctls |= {"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1"}
    result: dict[str, Any] = {"cap_add": list(machine.capabilities), "sysctls": sysctls, "binds": binds}
    if machine.systemd:
        result["cap_add"] += [c for c in SYSTEMD_CAPABILITIES if c not in machine.capabilities]
        result["security_opt"] = ["seccomp=unconfined", "apparmor=unconfined"]
        result["tmpfs"] = {"/run": "", "/run/lock": "", "/tmp": ""}
        result["cgroupns"] = "host"
        binds.append("/sys/fs/cgroup:/sys/fs/cgroup:rw")
    return result


def fingerprint(machine: Host, image_id: str, files: dict[str, render.File], inside: str = "") -> str:
    """What a container made now would be made from. inside: identifies what its own container engine will pull."""
    state = hashlib.sha256(repr((machine, image_id, options(machine), inside)).encode())
    for code in machine.code:
        for file in sorted(f for f in (paths.ROOT / code).rglob("*") if f.suffix in CODE):
            state.update(file.read_bytes())
    for path in sorted(files):
        state.update(f"\0{path}\0{files[path].mode}\0".encode() + files[path].content)
    return state.hexdigest()[:24]


def archive(files: dict[str, render.File]) -> bytes:
    """The files as a tar archive owned by root, with their directories: 0700 only for /root/.ssh."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        if any(path.startswith("/root/.ssh/") for path in files):
            member = tarfile.TarInfo("root/.ssh")
            member.type, member.mode = tarfile.DIRTYPE, 0o700
            tar.addfile(member)
        for path in sorted(files):
            member = tarfile.TarInfo(path.lstrip("/"))
            member.size, member.mode = len(files[path].content), files[path].mode
            tar.addfile(member, io.BytesIO(files[path].content))
    return buffer.getvalue()


def create(client: Any, machine: Host, image: str, spec: str, files: dict[str, render.File]) -> Any:
    """Create the container of a machine with its volumes, networks and files. It is not started."""
    for volume in machine.volumes:
        client.volumes.create(volume.name, labels={LABEL: "1"})
    api = client.api
    first, *others = machine.links
    endpoint = api.create_endpoint_config(ipv4_address=first.ipv4, ipv6_address=first.ipv6)
    host_config = api.create_host_config(network_mode=f"mailstead-{first.network}", **options(machine))
    if machine.docker:
        # What the command line calls systempaths=unconfined: /proc/sys has to be writable for an engine inside.
        host_config |= {"MaskedPaths": [], "ReadonlyPaths": []}
    name, _, domain = machine.hostname.partition(".")
    created = api.create_container(
        image,
        command=list(machine.command) or None,
        name=machine.container,
        hostname=name,
        domainname=domain or None,
        detach=True,
        stop_signal="SIGRTMIN+3" if machine.systemd else "SIGTERM",
        labels={LABEL: "1", SPEC_LABEL: spec},
        host_config=host_config,
        networking_config=api.create_networking_config({f"mailstead-{first.network}": endpoint}),
    )
    for link in others:
        api.connect_container_to_network(
            created["Id"], f"mailstead-{link.network}", ipv4_address=link.ipv4, ipv6_address=link.ipv6
        )
    api.put_archive(created["Id"], "/", archive(files))
    return client.containers.get(created["Id"])


def start(machine: Host, container: Any) -> None:
    """Start a container and wire it. Starting a running one only wires."""
    container.start()
    container.reload()
    wiring.wire(machine, container.attrs["State"]["Pid"])


def put(container: Any, files: dict[str, render.File]) -> None:
    """Write files into a running container."""
    container.put_archive("/", archive(files))


def existing(client: Any) -> dict[str, Any]:
    """Our containers by name, running or not. (The other label is also on whatever is run from one of our images.)"""
    found = client.containers.list(all=True, filters={"label": SPEC_LABEL})
    return {c.name: c for c in found}


def image_id(client: Any, tag: str) -> str:
    """The id of an image, "" when there is none."""
    try:
        return str(client.images.get(tag).id)
    except docker.errors.ImageNotFound:
        return ""
