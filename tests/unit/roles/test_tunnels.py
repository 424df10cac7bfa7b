"""Roles tunnel and tunnel_client: what they render, and what the real program says of it where it is at hand."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.roles.rendering import templar, template, trusted
from tools import role_docs

SERVICE = {
    "name": "notify",
    "hostname": "smtp.example.com",
    "listen": "127.0.0.1:2525",
    "server_name": "notify.example.com",
    "client_id": "88bf3b6d86161464f6509f7219099e57.access",
    "client_secret": "57f0c4a1",
}
INGRESS = [
    {"hostname": "smtp.example.com", "service": "tcp://172.29.25.12:465"},
    {"hostname": "", "service": "http_status:404"},
]
PARTS = {"a": "acc0", "t": "4f3ad1c6-0000-4000-8000-000000000000", "s": "c2VjcmV0"}
TOKEN = base64.b64encode(json.dumps(PARTS).encode()).decode()


def role_tasks(role: str, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(
        (role_docs.ROLES / role / "tasks" / f"{name}.yml").read_text(encoding="utf-8")
    )
    return found


def environment(mode: str) -> dict[str, str]:
    text = template("tunnel_client", "client.env.j2", tunnel_client_mode=mode, __tunnel_client_service=SERVICE)
    return dict(line.split("=", 1) for line in text.splitlines() if not line.startswith("#"))


@pytest.mark.parametrize(("mode", "listen"), [("systemd", "127.0.0.1:2525"), ("container", "0.0.0.0:2525")])
def test_a_client_is_told_all_by_its_environment(mode: str, listen: str) -> None:
    assert environment(mode) == {
        "TUNNEL_SERVICE_HOSTNAME": "smtp.example.com",
        "TUNNEL_SERVICE_URL": listen,
        "TUNNEL_SERVICE_TOKEN_ID": SERVICE["client_id"],
        "TUNNEL_SERVICE_TOKEN_SECRET": SERVICE["client_secret"],
    }


def test_names_are_kept_only_where_the_host_itself_listens() -> None:
    def names(**given: Any) -> Any:
        made = templar("tunnel_client", tunnel_client_services=[SERVICE, SERVICE], **given)
        return made.template(trusted("{{ __tunnel_client_hosts }}"))

    assert names() == ["notify.example.com"]
    assert names(tunnel_client_hosts_entry=False) == []
    assert names(tunnel_client_mode="container") == ["notify.example.com"]
    assert names(tunnel_client_mode="container", tunnel_client_publish=False) == []


@pytest.mark.parametrize(("check", "changed", "reads"), [(True, True, False), (True, False, True), (False, True, True)])
def test_a_dry_run_does_not_read_the_token_that_it_has_not_written(check: bool, changed: bool, reads: bool) -> None:
    (task,) = [t for t in role_tasks("tunnel_client", "container") if "community.docker.docker_container" in t]
    made = templar(
        "tunnel_client",
        tunnel_client_name="notify",
        ansible_check_mode=check,
        __tunnel_client_files={"changed": changed},
        omit="left out",
    )
    found = made.template(trusted(task["community.docker.docker_container"]["env_file"]))
    assert found == ("/etc/mailstead/tunnel-client/container/notify.env" if reads else "left out")


@pytest.mark.parametrize(("check", "made", "joins"), [(True, True, False), (True, False, True), (False, True, True)])
def test_a_dry_run_does_not_look_for_the_network_that_it_has_not_made(check: bool, made: bool, joins: bool) -> None:
    (task,) = [t for t in role_tasks("tunnel_client", "container") if "community.docker.docker_container" in t]
    maker = next(t for t in role_tasks("tunnel_client", "install") if "community.docker.docker_network" in t)
    rendered = templar(
        "tunnel_client",
        tunnel_client_network="apps",
        ansible_check_mode=check,
        __tunnel_client_networks=["apps"],
        omit="left out",
        **{maker["register"]: {"changed": made}},
    )
    found = rendered.template(trusted(task["community.docker.docker_container"]["networks"]))
    assert found == (["apps"] if joins else "left out")


def test_files_of_clients_that_are_gone_are_told_from_those_that_stay() -> None:
    (task,) = [t for t in role_tasks("tunnel_client", "remove") if "loop" in t]
    here = "/etc/mailstead/tunnel-client"
    files = [f"{here}/systemd/notify.env", f"{here}/systemd/old.env", f"{here}/container/notify.env"]
    made = templar(
        "tunnel_client",
        __tunnel_client_kept=["notify"],
        __tunnel_client_present={"files": [{"path": path} for path in files]},
        **trusted(task["vars"]),
    )
    # The same service in the other mode has to go, too: it has the port.
    assert made.template(trusted(task["loop"])) == [f"{here}/container/notify.env", f"{here}/systemd/old.env"]


def local_files() -> dict[str, Any]:
    """What the connector of a locally managed tunnel is given, by file."""
    (task,) = role_tasks("tunnel", "local")
    made = templar("tunnel", tunnel_token=TOKEN, tunnel_ingress=INGRESS, **trusted(task["vars"]))
    setup = task["mailstead.stack.host_setup"]
    out = {f["path"]: made.template(trusted(f["content"])) for f in setup["files"] if "content" in f}
    out.update({path: made.template(trusted(text)) for path, text in setup["secrets"].items()})
    return out


def test_a_local_connector_gets_rules_and_the_credentials_out_of_its_token() -> None:
    files = local_files()
    config = json.loads(files["/etc/mailstead/tunnel/config.json"])
    assert config["ingress"] == INGRESS and config["tunnel"] == PARTS["t"]
    credentials = files[config["credentials-file"]]
    credentials = credentials if isinstance(credentials, dict) else json.loads(credentials)
    assert credentials == {"AccountTag": "acc0", "TunnelID": PARTS["t"], "TunnelSecret": "c2VjcmV0"}
    assert "c2VjcmV0" not in files["/etc/mailstead/tunnel/config.json"]


@pytest.mark.parametrize(
    ("management", "words"),
    [
        ("remote", ["run", "--token-file", "/etc/mailstead/tunnel/token"]),
        ("local", ["--config", "/etc/mailstead/tunnel/config.json", "run"]),
    ],
)
def test_the_connector_runs_closed_and_tells_nobody_its_token(management: str, words: list[str]) -> None:
    task = next(t for t in role_tasks("tunnel", "install") if "community.docker.docker_container" in t)
    container = task["community.docker.docker_container"]
    made = templar("tunnel", tunnel_management=management, tunnel_token=TOKEN, tunnel_ingress=INGRESS)
    command = made.template(trusted(container["command"]))
    assert command == ["tunnel", "--metrics", "127.0.0.1:20241", *words]
    assert not {"published_ports", "ports", "privileged", "capabilities"} & set(container)
    assert container["read_only"] is True and container["cap_drop"] == ["ALL"] and container["pids_limit"]
    assert container["security_opts"] == ["no-new-privileges"] and made.template(trusted(container["user"])) == "65532"
    assert made.template(trusted(container["image"])) == "cloudflare/cloudflared:2026.8.2"
    pinned = templar("tunnel", tunnel_digest="sha256:ab").template(trusted(container["image"]))
    assert pinned == "cloudflare/cloudflared:2026.8.2@sha256:ab"


def program() -> str:
    """The real cloudflared, where one is on PATH or named by the environment."""
    return os.environ.get("MAILSTEAD_CLOUDFLARED", "") or shutil.which("cloudflared") or ""


@pytest.mark.skipif(not program(), reason="needs cloudflared")
@pytest.mark.parametrize(
    ("broken", "refused"),
    [
        ("", False),
        ("orignRequest", True),
    ],
)
def test_what_the_real_program_warns_of_is_what_we_refuse(broken: str, refused: bool, tmp_path: Path) -> None:

    rules: list[dict[str, Any]] = [dict(rule) for rule in INGRESS]
    if broken:
        rules[0][broken] = {"connectTimeout": "10s"}
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"ingress": rules}), encoding="utf-8")
    made = templar("tunnel", tunnel_token=TOKEN, tunnel_ingress=rules)
    words = made.template(trusted("{{ __tunnel_validate }}"))
    command = [program(), *words[words.index("tunnel") :]]
    said = subprocess.run(
        [w.replace("/tmp/config.json", str(path)) for w in command], capture_output=True, text=True, check=False
    )
    assert said.returncode == 0
    pattern = made.template(trusted("{{ __tunnel_refuses }}"))
    assert bool(re.search(pattern, said.stdout + said.stderr)) is refused
