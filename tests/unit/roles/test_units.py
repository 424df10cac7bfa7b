"""The units that roles install and that users copy: closed as far as systemd can close them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.roles.rendering import template, unit_files

#: What systemd-analyze may say of a unit of ours; of 10.
LIMIT = 3.0
#: What the rating reads only whether it is set to: any user that is not root.
GIVEN = {
    "edge_firewall": {},
    "edge_relay": {"edge_relay_frpc": "/usr/bin/true", "edge_relay_user": "mailstead-relay"},
    "frp_server": {},
    "tunnel_client": {},
}


def rendered(path: Path) -> str:
    role = path.parent.parent.name
    return template(role, path.name, **GIVEN[role]) if path.suffix == ".j2" else path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", unit_files(), ids=lambda p: p.name)
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_no_unit_is_rated_above_the_limit(path: Path, tmp_path: Path) -> None:
    text = rendered(path)
    assert "{{" not in text
    name = path.name.removesuffix(".j2").replace("@.", "@notify.")
    (tmp_path / name).write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/usr/bin/true", text, flags=re.MULTILINE))
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(tmp_path / name)]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    rating = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert rating, said
    assert float(rating[1]) <= LIMIT, said


def test_there_are_units_of_every_kind() -> None:
    names = {path.name for path in unit_files()}
    assert {"mailstead-frps.service.j2", "mailstead-relay.service.j2", "mailstead-tunnel-client@.service.j2"} <= names
    assert "mailstead-drift.service" in names


def test_the_clients_unit_shows_no_token_and_keeps_trying() -> None:
    text = template("tunnel_client", "mailstead-tunnel-client@.service.j2", tunnel_client_services=[])
    start = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    assert start == "ExecStart=/opt/mailstead/cloudflared-2026.8.2/cloudflared --no-autoupdate access tcp"
    assert "EnvironmentFile=/etc/mailstead/tunnel-client/systemd/%i.env" in text
    assert "Restart=always" in text and "StartLimitIntervalSec=0" in text and "DynamicUser=yes" in text
