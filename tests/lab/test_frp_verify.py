"""frp's own verifier on the configurations that the plan makes; needs the frp that the lab builds (make lab)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import MailPlan
from ansible_collections.mailstead.stack.plugins.module_utils.plan.tunnel import (
    edge_config,
    home_config,
    server_config,
    service_config,
)

from lab.paths import BUILD
from tests.unit.examples import HOSTS, HOSTS_D, plan_a, plan_d

pytestmark = pytest.mark.lab
SECRET = "the shared key"


def plan_of_a_service() -> MailPlan:
    """Nothing but applications' mail leaves through the edge."""
    return plan_d(hosts={**HOSTS_D, "vps1": HOSTS["vps1"]}, smarthosts=["edge"])


def program(name: str) -> Path:
    """The newest build of frps or frpc."""
    found = [p for p in BUILD.rglob(name) if p.is_file() and p.stat().st_mode & 0o100]
    assert found, f"no {name} below {BUILD}: run `make lab-up` first"
    return max(found, key=lambda p: p.stat().st_mtime)


def verify(name: str, config: dict[str, Any], directory: Path) -> subprocess.CompletedProcess[str]:
    path = directory / f"{name}.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    command = [str(program(name)), "verify", "-c", str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    """The files that the configurations name; the verifier reads the token."""
    for name in ("token", "ca.crt", "server.crt", "server.key", "client.crt", "client.key"):
        (tmp_path / name).write_text("x\n")
    return tmp_path


def test_the_server_takes_its_configuration(credentials: Path) -> None:
    for plan in (plan_a(), plan_of_a_service()):
        done = verify("frps", server_config(plan, "vps1", str(credentials)), credentials)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_clients_take_theirs(credentials: Path) -> None:
    plan = plan_a()
    for config in (
        home_config(plan, "home", "vps1", str(credentials), SECRET),
        edge_config(plan, "vps1", str(credentials), SECRET),
        edge_config(plan_of_a_service(), "vps1", str(credentials), SECRET),
        service_config(plan_of_a_service(), "lan-box", str(credentials), SECRET),
    ):
        done = verify("frpc", config, credentials)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_verifier_would_have_noticed(credentials: Path) -> None:
    plan = plan_a()
    server = {**server_config(plan, "vps1", str(credentials)), "allowPort": []}
    client = home_config(plan, "home", "vps1", str(credentials), SECRET)
    client["proxies"][0]["transport"]["proxyProtocolVersion"] = "v9"
    for name, config in (("frps", server), ("frpc", client)):
        assert verify(name, config, credentials).returncode != 0
