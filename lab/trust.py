# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The second authority: the ACME server's issuing root, which exists only once that server runs."""

from __future__ import annotations

import concurrent.futures
from typing import Any

from lab import hosts, paths, render
from lab.console import LabError
from lab.engine import wait_until
from lab.topology import Host, host

ACME_FILE = "/usr/local/share/ca-certificates/mailstead-lab-acme.crt"
MANAGEMENT_PORT = 15000


def acme_root(client: Any) -> bytes:
    """The issuing root of the running ACME server (PEM), read from its management interface. Raises LabError."""
    container = client.containers.get(host("acme").container)
    argv = ["curl", "-sfk", "--max-time", "5", f"https://127.0.0.1:{MANAGEMENT_PORT}/roots/0"]
    said = b""

    def answered() -> bool:
        nonlocal said
        result = container.exec_run(argv)
        said = bytes(result.output)
        return result.exit_code == 0 and said.startswith(b"-----BEGIN CERTIFICATE")

    if not wait_until(answered, 20):
        raise LabError(f"the ACME server's root cannot be read: {said[:200]!r}")
    return said


def install(client: Any, machines: tuple[Host, ...], authority: bytes, acme: bytes) -> None:
    """Make the controller's bundle and every trusting machine's store hold both authorities."""
    paths.write_if_changed(paths.CA_BUNDLE, authority + acme, 0o644)

    def into(machine: Host) -> None:
        container = client.containers.get(machine.container)
        files = {render.ANCHOR_FILE: render.File(authority)}
        if acme:
            files[ACME_FILE] = render.File(acme)
        read = container.exec_run(["cat", *files])
        if read.exit_code == 0 and read.output == b"".join(f.content for f in files.values()) and _stored(container):
            return
        hosts.put(container, files)
        result = container.exec_run(["update-ca-certificates"])
        if result.exit_code:
            raise LabError(f"{machine.name}: update-ca-certificates: {result.output.decode(errors='replace')[-300:]}")

    with concurrent.futures.ThreadPoolExecutor(4) as workers:
        list(workers.map(into, (m for m in machines if m.trusts)))


def _stored(container: Any) -> bool:
    name = render.ANCHOR_FILE.rsplit("/", 1)[1].removesuffix(".crt")
    return bool(container.exec_run(["test", "-e", f"/etc/ssl/certs/{name}.pem"]).exit_code == 0)
