# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration: what is read and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lab.twins.cloudflare import ConfigError, TwinConfig
from lab.twins.cloudflare.__main__ import main

GOOD: dict[str, Any] = {
    "listen": ["198.18.0.20:443", "[2001:2:0:1::20]:443"],
    "tls_cert": "/lab/pki/cloudflare.crt",
    "tls_key": "/lab/pki/cloudflare.key",
    "account": {"name": "lab", "id": "1" * 32},
    "tokens": [{"token": "a" * 40, "scopes": ["Zone:Read", "DNS:Edit"], "zones": ["example.com"]}],
    "zones": [
        {"name": "example.com", "plan": "free", "records": [{"type": "A", "name": "@", "content": "198.18.1.1"}]}
    ],
    "ddns": {"server": "198.18.0.55", "tsig_name": "mailstead-twin", "tsig_secret": "c2VjcmV0", "timeout": 3},
    "rate_limit": {"requests": 10},
    "latency_ms": 5,
    "state_dir": "/var/lib/twin",
}


def test_a_full_configuration() -> None:
    config = TwinConfig.from_data(GOOD)
    assert config.ddns is not None and config.ddns.timeout == 3.0 and config.ddns.secret() == "c2VjcmV0"
    assert config.zones[0].zone_id == TwinConfig.from_data(GOOD).zones[0].zone_id
    assert config.latency_ms == 5.0 and config.account.id == "1" * 32


def test_the_tsig_secret_may_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "tsig"
    path.write_text("c2VjcmV0\n")
    ddns = {"server": "198.18.0.55", "tsig_name": "t", "tsig_secret_file": str(path)}
    config = TwinConfig.from_data({**GOOD, "ddns": ddns})
    assert config.ddns is not None and config.ddns.secret() == "c2VjcmV0"


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"listn": []}, "unknown key listn"),
        ({"zones": [{"nme": "x"}]}, "config.zones[0]: unknown key nme"),
        ({"zones": [{}]}, "config.zones[0]: name is missing"),
        ({"zones": {}}, "config.zones: a list"),
        ({"zones": [{"name": "Example.com"}]}, "lower case"),
        ({"zones": [{"name": "com"}]}, "two labels"),
        ({"zones": [{"name": "example.com", "id": "x"}]}, "32 hexadecimal"),
        ({"zones": [{"name": "example.com", "plan": "gold"}]}, "'gold'"),
        ({"zones": [{"name": "example.com"}, {"name": "example.com"}]}, "twice"),
        ({"tokens": [{"token": "short"}]}, "config.tokens[0].token"),
        ({"tokens": [{"token": "a" * 40, "scopes": ["DNS:Write"]}]}, "'DNS:Write'"),
        ({"tokens": [{"token": "a" * 40, "zones": ["other.net"]}]}, "other.net is no zone"),
        ({"tokens": [{"token": 1}]}, "str is expected, not int"),
        ({"latency_ms": "5"}, "float is expected, not str"),
        ({"strict": 1}, "bool is expected, not int"),
        ({"tls_key": ""}, "go together"),
        ({"ddns": {"server": "a", "tsig_name": "b"}}, "tsig_secret or tsig_secret_file"),
        ({"duplicate_code": 1}, "81057 or 81058"),
        ({"account": []}, "config.account: an object"),
    ],
)
def test_mistakes_are_named(change: dict[str, Any], place: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TwinConfig.from_data({**GOOD, **change})
    assert place in str(caught.value)


def test_the_command_checks_a_file(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(GOOD))
    assert main(["--config", str(path), "--check"]) == 0
    path.write_text("{")
    assert main(["--config", str(path), "--check"]) == 2
    assert main(["--config", str(tmp_path / "none"), "--check"]) == 2
