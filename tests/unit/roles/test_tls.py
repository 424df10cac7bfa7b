"""Role tls: the credentials with which certbot writes into a zone, and what becomes of them."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pytest
import yaml

from tests.unit.roles.rendering import templar, trusted
from tools import role_docs


def tasks(name: str) -> list[dict[str, Any]]:
    path = role_docs.ROLES / "tls" / "tasks" / f"{name}.yml"
    found: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def files(task: dict[str, Any], **given: Any) -> dict[str, dict[str, Any]]:
    made = templar("tls", **given)
    return {made.template(trusted(f["path"])): f for f in task["mailstead.stack.host_setup"]["files"]}


@pytest.mark.parametrize(("plugin", "other"), [("cloudflare", "rfc2136"), ("rfc2136", "cloudflare")])
def test_credentials_of_a_zone_that_moved_do_not_stay(plugin: str, other: str) -> None:
    (task,) = [t for t in tasks("install") if t["name"] == "Let certbot write into the zone"]
    found = files(task, tls_dns_plugin=plugin)
    assert found[f"/etc/mailstead/tls-dns/{plugin}.ini"]["mode"] == "0600"
    assert found[f"/etc/mailstead/tls-dns/{other}.ini"]["state"] == "absent"


def test_a_host_that_needs_no_certificate_keeps_no_credentials_for_one() -> None:
    forget, remove = tasks("uninstall")
    # Else the next renewal would fail for ever.
    command = forget["ansible.builtin.command"]
    assert command["argv"][:2] == ["certbot", "delete"]
    assert PurePosixPath(command["removes"]).stem == command["argv"][-1]
    assert {path: f["state"] for path, f in files(remove).items()} == {"/etc/mailstead/tls-dns": "absent"}
    gone = yaml.safe_load((role_docs.ROLES.parent / "playbooks/tasks/submission_gone.yml").read_text(encoding="utf-8"))
    roles = [t["ansible.builtin.include_role"]["name"].rpartition(".")[2] for t in gone]
    assert roles == ["tunnel", "stalwart", "frp_client", "tls"]
