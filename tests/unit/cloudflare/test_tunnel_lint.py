# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ingress rules that cloudflared would take, or warn of, and that do not do what they look like."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_lint import (
    lint_ingress,
    validate_output,
)

LAST = {"service": "http_status:404"}
GOOD = {"hostname": "smtp.example.com", "service": "tcp://172.29.1.2:465"}
ACCESS = {"required": True, "teamName": "mailstead", "audTag": ["0123"]}


def rule(**change: Any) -> dict[str, Any]:
    return {"ingress": [{**GOOD, **change}, LAST]}


def origin(**fields: Any) -> dict[str, Any]:
    return rule(originRequest=fields)


@pytest.mark.parametrize(
    "config",
    [
        rule(),
        {"ingress": [LAST]},
        {"ingress": [{"hostname": "*", "service": "hello_world"}]},
        {"ingress": [{**GOOD, "path": "/a"}, {**GOOD, "path": "/b"}, LAST]},
        rule(hostname="*.example.com"),
        rule(hostname="bücher.example.com"),
        rule(service="unix:/run/app.sock"),
        rule(service="unix+tls:/run/app.sock"),
        rule(service="ssh://[2001:2::1]:22"),
        rule(service="https://localhost:8443"),
        rule(service="bastion"),
        origin(access=ACCESS),
        origin(access={"required": False}),
        origin(connectTimeout="30s", tlsTimeout=10, noTLSVerify=False, keepAliveConnections=5, httpHostHeader="x"),
        origin(ipRules=[{"prefix": "198.18.0.0/24", "ports": [25], "allow": True}]),
        {
            "tunnel": "x",
            "credentials-file": "/x",
            "metrics": "127.0.0.1:1",
            "warp-routing": {"enabled": False},
            "originRequest": {"noHappyEyeballs": True},
            **rule(),
        },
    ],
)
def test_good_rules(config: dict[str, Any]) -> None:
    assert lint_ingress(config) == []


@pytest.mark.parametrize(
    ("config", "place", "words"),
    [
        ("text", "", "no mapping"),
        ({}, ".ingress", "no rules"),
        ({"ingress": []}, ".ingress", "no rules"),
        ({"ingress": "x"}, ".ingress", "no rules"),
        ({"ingress": ["x"]}, ".ingress[0]", "no mapping"),
        ({"ingress": [GOOD]}, ".ingress[0]", "does not catch all"),
        ({"ingress": [{**LAST, "path": "/x"}]}, ".ingress[0]", "does not catch all"),
        ({"ingress": [LAST, LAST]}, ".ingress[0]", "never reached"),
        (
            {"ingress": [GOOD, {**GOOD, "hostname": "SMTP.example.com."}, LAST]},
            ".ingress[1].hostname",
            "already answered",
        ),
        ({**rule(), "Ingress": []}, ".Ingress", "unknown"),
        ({**rule(), "warp-routing": {"on": True}}, ".warp-routing.on", "unknown"),
        ({**rule(), "warp-routing": True}, ".warp-routing", "no mapping"),
        ({**rule(), "originRequest": {"noTlsVerify": True}}, ".originRequest.noTlsVerify", "unknown"),
        (rule(host="x"), ".ingress[0].host", "unknown"),
        (rule(hostname=5), ".ingress[0].hostname", "no text"),
        (rule(hostname="https://a.example.com"), ".ingress[0].hostname", "more than a name"),
        (rule(hostname="a.example.com:465"), ".ingress[0].hostname", "more than a name"),
        (rule(hostname="a..b"), ".ingress[0].hostname", ""),
        (rule(hostname="a.*.example.com"), ".ingress[0].hostname", "*"),
        (rule(path="("), ".ingress[0].path", "regular expression"),
        (rule(service=None), ".ingress[0].service", "no service"),
        (rule(service="tcp://172.29.1.2"), ".ingress[0].service", "no port"),
        (rule(service="tcp://172.29.1.2:0"), ".ingress[0].service", "no port"),
        (rule(service="ssh://host"), ".ingress[0].service", "no port"),
        (rule(service="http://host"), ".ingress[0].service", "no port"),
        (rule(service="tcp://a:99999"), ".ingress[0].service", "cannot be read"),
        (rule(service="tcp://:465"), ".ingress[0].service", "no host"),
        (rule(service="172.29.1.2:465"), ".ingress[0].service", "no scheme"),
        (rule(service="smtp://a:25"), ".ingress[0].service", "no scheme"),
        (rule(service="http://a:80/path"), ".ingress[0].service", "more than"),
        (rule(service="unix:app.sock"), ".ingress[0].service", "absolute"),
        (rule(service="http_status:4"), ".ingress[0].service", "three digits"),
        (rule(originRequest=[]), ".ingress[0].originRequest", "no mapping"),
        (origin(connectTimeout="soon"), ".ingress[0].originRequest.connectTimeout", "a time"),
        (origin(noTLSVerify="yes"), ".ingress[0].originRequest.noTLSVerify", "true or false"),
        (origin(keepAliveConnections=True), ".ingress[0].originRequest.keepAliveConnections", "whole number"),
        (origin(caPool=1), ".ingress[0].originRequest.caPool", "a text"),
        (origin(ipRules={}), ".ingress[0].originRequest.ipRules", "no list"),
        (origin(ipRules=[{"cidr": "x"}]), ".ingress[0].originRequest.ipRules[0].cidr", "unknown"),
        (origin(access=True), ".ingress[0].originRequest.access", "no mapping"),
        (origin(access={**ACCESS, "aud": "x"}), ".ingress[0].originRequest.access.aud", "unknown"),
        (origin(access={**ACCESS, "teamName": ""}), ".ingress[0].originRequest.access.teamName", "no team"),
        (origin(access={**ACCESS, "teamName": "a b"}), ".ingress[0].originRequest.access.teamName", "no name"),
        (origin(access={**ACCESS, "audTag": []}), ".ingress[0].originRequest.access.audTag", "no audience"),
        (origin(access={**ACCESS, "audTag": "x"}), ".ingress[0].originRequest.access.audTag", "no list"),
        (origin(access={**ACCESS, "required": False}), ".ingress[0].originRequest.access.required", "without a token"),
        (origin(access={**ACCESS, "required": "yes"}), ".ingress[0].originRequest.access.required", "not true"),
    ],
)
def test_bad_rules_are_told_with_their_place(config: Any, place: str, words: str) -> None:
    (problem,) = lint_ingress(config)
    assert problem.code == "MS-TUN-001" and problem.where == f"ingress{place}" and words in problem.what and problem.fix


def test_a_key_in_other_letters_is_told_how_it_is_written() -> None:
    (problem,) = lint_ingress(origin(no_tls_verify=True))
    assert problem.fix == "It is written noTLSVerify."


def test_all_that_is_wrong_is_told_at_once() -> None:
    config = {"ingress": [{"hostname": "a_b..", "service": "x", "o": 1}, {"service": "tcp://a"}, {**GOOD}]}
    assert len(lint_ingress(config)) >= 6


# What release 2026.8.2 says, word for word.
SAYS_OK = "Validating rules from /etc/cloudflared/config.yml\nOK\n"
SAYS_UNUSED = (
    "Validating rules from /etc/cloudflared/config.yml\n"
    "Warning: unused keys detected in your config file. Here is a list of unused keys:\n"
    "yaml: unmarshal errors:\n"
    "  line 7: field noTlsVerify not found in type config.OriginRequestConfig\n"
)


def test_what_cloudflared_says() -> None:
    assert validate_output(SAYS_OK, 0) == []
    cases = [
        (SAYS_UNUSED, 0, "it warned"),
        (SAYS_UNUSED + "OK\n", 0, "it warned"),
        ("2026-11-21T10:00:00Z WRN something\nOK\n", 0, "it warned"),
        ("Validation failed: The last ingress rule must match all URLs", 1, "it ended with 1"),
        (SAYS_OK, 1, "it ended with 1"),
        ("", 0, "did not say OK: no output"),
        ("something else", 0, "did not say OK"),
    ]
    for text, code, words in cases:
        (problem,) = validate_output(text, code)
        assert problem.code == "MS-TUN-014" and words in problem.what and problem.fix


@pytest.mark.skipif(shutil.which("cloudflared") is None, reason="cloudflared is not installed")
def test_the_program_agrees(tmp_path: Path) -> None:
    """What we refuse, it refuses or warns of; what we let through it takes without a word."""
    file = tmp_path / "config.yml"

    def said(config: dict[str, Any]) -> list[str]:
        file.write_text(yaml.safe_dump(config), encoding="utf-8")
        run = subprocess.run(
            ["cloudflared", "tunnel", "--config", str(file), "ingress", "validate"],
            capture_output=True,
            text=True,
            check=False,
        )
        return [p.code for p in validate_output(run.stdout + run.stderr, run.returncode)]

    assert said({"tunnel": "x", **origin(access=ACCESS, connectTimeout="30s")}) == []
    for bad in (
        origin(noTlsVerify=True),
        {"ingress": [GOOD]},
        rule(service="tcp://"),
        origin(access={**ACCESS, "teamName": ""}),
    ):
        assert lint_ingress(bad) and said(bad) == ["MS-TUN-014"]
    # Without a port, it would lead somewhere: this is ours alone to refuse.
    assert lint_ingress(rule(service="tcp://172.29.1.2")) and said(rule(service="tcp://172.29.1.2")) == []
