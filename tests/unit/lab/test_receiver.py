# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The receiver's own code: the milter that asks for proof, and whose mail the providers' exchangers take."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import struct
import types
from pathlib import Path
from typing import Any

import pytest

from lab import names, paths, render, secrets
from lab.topology import EXMAIL_SENDER_LAST, host


def _program(name: str) -> types.ModuleType:
    """A file of the image's, which is no part of a package."""
    spec = importlib.util.spec_from_file_location(f"receiver_{name}", paths.IMAGES / "receiver" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


settings, unproven = _program("settings"), _program("unproven")

HOSTNAME = "mx.strict.example.org"
HEADER = unproven.HEADER


@pytest.mark.parametrize(
    ("results", "proven"),
    [
        ([f"{HOSTNAME}; spf=pass (sender SPF authorized) smtp.mailfrom=example.cn"], True),
        ([f"{HOSTNAME}; spf=none", f"{HOSTNAME};\n\tdkim=pass (2048-bit key) header.d=example.cn"], True),
        ([f"{HOSTNAME}; spf=softfail smtp.mailfrom=example.cn", f"{HOSTNAME}; dkim=none"], False),
        ([f"{HOSTNAME}; spf=none smtp.mailfrom=example.cn", f"{HOSTNAME}; spf=pass smtp.helo=smtpbg1.qq.com"], False),
        ([f"{HOSTNAME}; spf=pass smtp.helo=smtpbg1.qq.com"], True),
        ([f"{HOSTNAME}; dmarc=pass (p=none dis=none) header.from=example.cn"], False),
        (["mx.example.net; spf=pass; dkim=pass"], False),
        ([], False),
    ],
    ids=["spf", "dkim", "neither", "greeting", "greeting of a bounce", "only dmarc", "somebody else's word", "nothing"],
)
def test_one_of_our_own_results_has_to_be_a_pass(results: list[str], proven: bool) -> None:
    assert unproven.proven(results, HOSTNAME) is proven


def _field(name: str, value: str) -> bytes:
    made: bytes = unproven.packet(HEADER, f"{name}\0{value}\0".encode())
    return made


PASS = _field("Authentication-Results", f"{HOSTNAME}; spf=pass smtp.mailfrom=example.cn")
END = unproven.packet(unproven.END_OF_MESSAGE)


async def _talk(*packets: bytes) -> list[tuple[bytes, bytes]]:
    """What the milter answers on one connection: (letter, data)."""
    server = await asyncio.start_server(lambda r, w: unproven.converse(r, w, HOSTNAME), "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.writelines((*packets, unproven.packet(unproven.QUIT)))
        answers = []
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                (length,) = struct.unpack("!I", await reader.readexactly(4))
                answers.append((await reader.readexactly(1), await reader.readexactly(length - 1)))
        writer.close()
    return answers


def test_the_milter_speaks_as_postfix_expects() -> None:
    options = unproven.packet(unproven.NEGOTIATE, struct.pack("!III", 6, 0x1FF, 0x1FFFFF))
    macros = unproven.packet(unproven.MACROS, b"Cj\0mx\0")
    (negotiated, header, end) = asyncio.run(_talk(options, macros, PASS, END))
    assert negotiated == (b"O", struct.pack("!III", 6, 0, 0))
    assert header == end == (b"c", b"")


def test_every_message_of_a_connection_is_judged_by_itself() -> None:
    answers = asyncio.run(_talk(PASS, END, END, PASS, unproven.packet(unproven.ABORT), END, PASS, END))
    ends = [answers[i] for i in (1, 2, 4, 6)]
    assert [letter for letter, _ in ends] == [b"c", b"y", b"y", b"c"]
    assert ends[1][1].startswith(b"550 5.7.26 ") and ends[1][1].endswith(b"\0")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    for name in ("PKI", "SSH"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    monkeypatch.setattr(paths, "SECRETS", tmp_path / "secrets.json")
    monkeypatch.setattr(paths, "DNS_KEYS", tmp_path / "dns-keys.json")
    return render.settings(host("receiver"), render.world(secrets.load()))


def test_each_mailbox_is_there_once_and_has_its_other_names(config: dict[str, Any]) -> None:
    assert sorted(settings.mailboxes(config)) == sorted(
        [render.CANARY, render.HOSTED_MAILBOX, *render.MAILBOXES.values()]
    )
    aliases = settings.aliases(config)
    assert aliases[f"postmaster@{render.HOSTED_ZONE}"] == aliases[f"dmarc@{render.HOSTED_ZONE}"] == "you@example.cn"
    assert aliases["abuse@strict.example.org"] == render.CANARY


def test_every_provider_judges_in_its_own_way(config: dict[str, Any]) -> None:
    lines = settings.master_cf(config).splitlines()
    milters = {}
    for index, line in enumerate(lines):
        if line.endswith(" smtpd"):
            options = [o for o in lines[index + 1 : index + 12] if o.startswith("    -o")]
            milters[line.split()[0]] = [o for o in options[: _own(lines, index)] if "smtpd_milters" in o]
    assert milters["198.18.0.30:25"] == milters["198.18.0.35:25"] == milters["198.18.0.36:25"] == []
    assert str(settings.UNPROVEN_PORT) in milters["198.18.0.31:25"][0]
    assert milters["198.18.0.38:25"] == ["    -o smtpd_milters="]
    assert len(milters) == 2 * (1 + len(names.PROVIDER_EXCHANGES) + len(names.EXMAIL))


def _own(lines: list[str], index: int) -> int:
    """How many options follow the service at this line."""
    count = 0
    for line in lines[index + 1 :]:
        if not line.startswith("    "):
            return count
        count += 1
    return count


def test_the_include_costs_eight_look_ups_and_lists_the_sender() -> None:
    texts = {r.name: r.data for r in names.STATIC_RECORDS if r.type == "TXT" and r.data.startswith("v=spf1")}

    def cost(name: str) -> int:
        below = [term[8:] for term in texts[name].split() if term.startswith("include:")]
        return len(below) + sum(cost(b) for b in below)

    assert 1 + cost(names.EXMAIL_SPF) == 8
    assert f"ip4:198.18.0.{EXMAIL_SENDER_LAST}" in texts["spf-d.mail.qq.com"]
