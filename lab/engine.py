# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The container engine of this machine: found, started or installed, and reached through the SDK."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import docker.errors

from lab import packages
from lab.console import CONSOLE, LabError

PIDFILE = Path("/run/mailstead-dockerd.pid")
DOCKERD_LOG = Path("/var/log/mailstead-dockerd.log")


def wait_until(condition: Callable[[], bool], seconds: float, every: float = 0.1) -> bool:
    """Poll a condition until it holds or the time is over; says which. The one place of the harness that waits."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        if time.monotonic() >= end:
            return False
        pause.wait(every)
    return True


def require_root() -> None:
    """Raise LabError unless this is root: networks and namespaces cannot be made otherwise."""
    if os.geteuid() != 0:
        raise LabError(
            "the lab makes networks and namespaces, which needs root.\n    Fix: run the same command with sudo"
        )


def connect(timeout: int = 600) -> Any:
    """A client of the running engine, or None when none answers. timeout: seconds for one request."""
    try:
        client = docker.from_env(timeout=timeout)
        client.ping()
    except (docker.errors.DockerException, OSError):
        return None
    return client


def ensure() -> Any:
    """A client of the engine, installing the distribution's and starting it when there is none. Raises LabError."""
    client = connect()
    if client:
        return client
    if not shutil.which("dockerd"):
        with CONSOLE.step("no container engine on this machine: installing the distribution's (docker.io)"):
            # From Debian 13 on the command that people look into containers with is a package of its own.
            packages.install("docker.io", "iptables", *packages.known("docker-cli"))
    with CONSOLE.step("starting the container engine"):
        _start()
    client = connect()
    if client is None:
        raise LabError(f"the container engine does not answer.\n    Fix: see {DOCKERD_LOG} or journalctl -u docker")
    return client


def _answers() -> bool:
    return connect() is not None


def _start() -> None:
    if Path("/run/systemd/system").is_dir():
        subprocess.run(["systemctl", "start", "docker"], check=False, capture_output=True)
        if wait_until(_answers, 30):
            return
    elif Path("/etc/init.d/docker").exists():
        started = subprocess.run(["service", "docker", "start"], check=False, capture_output=True)
        # In some sandboxes the script ends at once because it may not raise a resource limit; then do without it.
        if started.returncode == 0 and wait_until(_answers, 30):
            return
    with DOCKERD_LOG.open("ab") as log:
        subprocess.Popen(
            ["dockerd", "--pidfile", str(PIDFILE)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    if not wait_until(_answers, 60):
        tail = "\n    ".join(DOCKERD_LOG.read_text(errors="replace").splitlines()[-10:])
        raise LabError(f"dockerd was started and does not answer:\n    {tail}")


def own() -> int:
    """Process id of an engine that was started here for want of a service manager that can; 0 when there is none."""
    try:
        pid = int(PIDFILE.read_text())
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except (OSError, ValueError):
        return 0
    return pid if name == "dockerd" else 0


def stop_own(client: Any) -> None:
    """End the engine of :func:`own` unless somebody else's containers are in it. It removes its PID file at its end."""
    pid = own()
    if not pid or client.containers.list(all=True):
        return
    client.close()
    with CONSOLE.step("stopping the container engine that was started for the lab"):
        os.kill(pid, signal.SIGTERM)
        if not wait_until(lambda: not own(), 30):
            raise LabError(f"dockerd (process {pid}) does not end.\n    Fix: see {DOCKERD_LOG}")


def ensure_tools() -> None:
    """Programs of this machine that the harness calls."""
    needed = {"ip": "iproute2", "nsenter": "util-linux", "ssh": "openssh-client"}
    missing = sorted({package for program, package in needed.items() if not shutil.which(program)})
    if missing:
        with CONSOLE.step(f"installing {' '.join(missing)}"):
            packages.install(*missing)
