# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in's command line, held to what the real program was seen to say; and to the real one itself where it is built."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.cloudflared import build
from lab.cloudflared.standin.assertion import AssertionRefusedError, Verifier
from lab.cloudflared.standin.connector import Connector, Credentials, Edge
from lab.cloudflared.standin.frames import BINARY, accept_key, frame
from lab.cloudflared.standin.ingress import Access, matching, parse
from lab.cloudflared.standin.log import Log
from lab.cloudflared.standin.metrics import answer
from lab.cloudflared.standin.tunnel import credentials_of_token
from lab.cloudflared.standin.usage import Line, UsageError
from tests.unit.lab.tunnel.test_tunnel import REAL

CATCH_ALL = {"service": "http_status:404"}
RULE = {"hostname": "a.example.com", "service": "tcp://a:465"}

#: Ingress rules, exit status, and the last line that the real program prints about them.
JUDGED = [
    ([RULE, CATCH_ALL], 0, "OK"),
    ([], 1, "Validation failed: The config file doesn't contain any ingress rules"),
    ([RULE], 1, "(i.e. it should not have a hostname or path filter)"),
    ([CATCH_ALL, RULE], 1, "meaning the rules which follow it will never be triggered."),
    ([{**RULE, "hostname": "a.example.com:443"}, CATCH_ALL], 1, "Validation failed: Hostname cannot contain a port"),
    ([{**RULE, "hostname": "a.*.com"}, CATCH_ALL], 1, 'e.g. "*.example.com"'),
    ([{**RULE, "service": "a:465"}, CATCH_ALL], 1, "please make sure it has a scheme and a hostname"),
    ([{**RULE, "service": ""}, CATCH_ALL], 1, "please make sure it has a scheme and a hostname"),
    ([{**RULE, "service": "tcp://a:1/x"}, CATCH_ALL], 1, "The path will be the same as the eyeball request's path"),
    ([{**RULE, "service": "tcp://a"}, CATCH_ALL], 0, "OK"),
    ([{**RULE, "servce": "x"}, CATCH_ALL], 0, "field servce not found in type config.UnvalidatedIngressRule"),
    (
        [{**RULE, "originRequest": {"acces": {}}}, CATCH_ALL],
        0,
        "field acces not found in type config.OriginRequestConfig",
    ),
    (
        [{**RULE, "originRequest": {"access": {"required": True, "audTag": ["a"]}}}, CATCH_ALL],
        1,
        "Validation failed: access.TeamName cannot be blank when access.audTags are present",
    ),
]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("packed") / "cloudflared"
    file.write_bytes(build.packed())
    file.chmod(0o755)
    return str(file)


def run(program: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = [sys.executable, program] if Path(program).read_bytes()[:2] == b"#!" else [program]
    return subprocess.run(
        [*command, *words],
        capture_output=True, text=True, timeout=20, check=False, env={"PATH": path, "HOME": "/nonexistent", **environment},
    )  # fmt: skip


def test_it_is_packed_the_same_every_time_and_says_what_it_is(packed: str) -> None:
    assert build.packed() == build.packed()
    done = run(packed, "version")
    assert (done.returncode, done.stdout) == (0, "cloudflared version 2026.8.2 (mailstead lab stand-in)\n")
    assert run(packed, "--no-autoupdate", "--version").stdout == done.stdout


@pytest.mark.parametrize("program", ["stand-in", "real"])
@pytest.mark.parametrize(("rules", "status", "last"), JUDGED)
def test_ingress_rules_are_judged_as_the_real_one_does(
    packed: str, tmp_path: Path, program: str, rules: list[dict[str, object]], status: int, last: str
) -> None:
    if program == "real" and not REAL:
        pytest.skip("cloudflared is not built here")
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"tunnel": "x", "ingress": rules}))
    done = run(packed if program == "stand-in" else REAL, "tunnel", "--config", str(file), "ingress", "validate")
    assert done.returncode == status, done
    assert (done.stdout + done.stderr).strip().endswith(last)


TOKEN_PROBLEM = "Provided Tunnel token is not valid.\nSee 'cloudflared tunnel run --help'.\n"
NOBODY = '"cloudflared tunnel run" requires the ID or name of the tunnel to run as the last command line argument'


@pytest.mark.parametrize("program", ["stand-in", "real"])
@pytest.mark.parametrize(
    ("words", "environment", "status", "said"),
    [
        (["run", "--token", "notatoken"], {}, 255, TOKEN_PROBLEM),
        (["run"], {"TUNNEL_TOKEN": "bad"}, 255, TOKEN_PROBLEM),
        (["run", "--token-file", "/nonexistent/t"], {}, 255, "Failed to read token file: open /nonexistent/t: no such"),
        (["run"], {}, 255, NOBODY),
        (["--metrics", "127.0.0.1:1", "ready"], {}, 1, 'Get "http://127.0.0.1:1/ready": '),
        (["ready"], {}, 1, "--metrics has to be provided"),
    ],
)
def test_what_goes_wrong_is_said_as_the_real_one_says_it(
    packed: str, program: str, words: list[str], environment: dict[str, str], status: int, said: str
) -> None:
    if program == "real" and not REAL:
        pytest.skip("cloudflared is not built here")
    done = run(packed if program == "stand-in" else REAL, "tunnel", *words, **environment)
    assert done.returncode == status, done
    assert said in done.stderr


def test_missing_credentials_of_a_local_tunnel(packed: str, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"tunnel": "t", "credentials-file": "/nonexistent.json", "ingress": [CATCH_ALL]}))
    done = run(packed, "tunnel", "--config", str(file), "run")
    assert done.returncode == 1
    assert done.stderr == "Tunnel credentials file '/nonexistent.json' doesn't exist or is not a file\n"


def test_a_token_holds_account_tunnel_and_secret() -> None:
    token = base64.b64encode(json.dumps({"a": "acc", "t": "id", "s": "c2VjcmV0"}).encode()).decode()
    assert credentials_of_token(token + "\n") == Credentials("acc", "id", "c2VjcmV0")
    with pytest.raises(UsageError, match="not valid"):
        credentials_of_token(base64.b64encode(b'{"a": "acc"}').decode())


def test_options_stand_anywhere_and_come_from_the_environment_too() -> None:
    line = Line.parse(
        ["--no-autoupdate", "tunnel", "--metrics", "127.0.0.1:1", "run", "--token-file=/t"], {"TUNNEL_EDGE": "e:1"}
    )
    assert line.words == ["tunnel", "run"]
    assert line.options == {"no-autoupdate": "true", "metrics": "127.0.0.1:1", "token-file": "/t", "edge": "e:1"}
    assert Line.parse(["access", "tcp", "-T", "h", "--id", "i"], {}).options == {
        "hostname": "h",
        "service-token-id": "i",
    }
    with pytest.raises(UsageError, match="needs an argument: -token"):
        Line.parse(["tunnel", "run", "--token"], {})


def test_the_first_rule_that_fits_is_taken() -> None:
    rules = parse(
        {
            "originRequest": {"access": {"required": True, "teamName": "t", "audTag": ["x"]}},
            "ingress": [
                {"hostname": "a.example.com", "service": "tcp://a:1", "originRequest": {"access": {"required": False}}},
                {"hostname": "*.example.com", "service": "ssh://b"},
                CATCH_ALL,
            ],
        }
    )
    found = [matching(rules, name) for name in ("a.example.com", "b.example.com", "example.com", "b.example.net")]
    assert [(r.host, r.port, r.status) for r in found] == [("a", 1, 0), ("b", 22, 0), ("", 0, 404), ("", 0, 404)]
    assert [r.access.required for r in found] == [False, True, True, True]


def test_an_assertion_that_is_none_is_refused_without_asking_anybody() -> None:
    def ask(url: str) -> object:
        raise AssertionError(url)

    verifier = Verifier(ask)
    verifier.check(Access(), "")
    none = base64.urlsafe_b64encode(b'{"alg": "none"}').decode().rstrip("=")
    for text, status in (("", 403), ("x", 502), ("a.b.c", 502), (f"{none}.{none}.", 502)):
        with pytest.raises(AssertionRefusedError) as refused:
            verifier.check(Access(True, "t", ("a",)), text)
        assert refused.value.status == status


def test_readiness_has_the_real_form() -> None:
    connector = Connector(Credentials("a", "t", "s"), Log(), Edge(), verifier=Verifier())
    assert answer(connector, "/ready") == (
        503,
        f'{{"status":503,"readyConnections":0,"connectorId":"{connector.id}"}}',
    )
    connector.counts.active |= {0, 2}
    assert answer(connector, "/ready")[0] == 200
    assert '"readyConnections":2' in answer(connector, "/ready")[1]
    assert "cloudflared_tunnel_ha_connections 2\n" in answer(connector, "/metrics")[1]
    assert answer(connector, "/healthcheck") == (200, "OK\n")
    assert answer(connector, "/debug/pprof/cmdline")[0] == 404


def test_frames_are_those_of_the_standard() -> None:
    # RFC 6455 sections 1.3 and 5.7.
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert frame(0x1, b"Hello", bytes.fromhex("37fa213d")) == bytes.fromhex("818537fa213d7f9f4d5158")
    assert frame(BINARY, b"\0" * 256, b"\0\0\0\0")[:4] == bytes.fromhex("82fe0100")
    assert frame(BINARY, b"\0" * 65536, b"\0\0\0\0")[:10] == bytes.fromhex("82ff0000000000010000")
