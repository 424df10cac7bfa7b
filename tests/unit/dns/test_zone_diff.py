# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person reads with --diff."""

from __future__ import annotations

import difflib

from ansible_collections.mailstead.stack.plugins.module_utils.dns import render
from ansible_collections.mailstead.stack.plugins.module_utils.dns.engine import diff
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Have, Options, Want
from ansible_collections.mailstead.stack.plugins.module_utils.dns.zone_diff import ansible_diff
from ansible_collections.mailstead.stack.plugins.module_utils.plan.phases import ForeignPolicy

ZONE = "example.com"
HOST = f"mail.{ZONE}"
HAVE = [
    Have(ZONE, "NS", "ada.ns.cloudflare.com", 300, "1"),
    Have(HOST, "A", "192.0.2.9", 3600, "2", "mailstead:mailstead:host do not touch", ("mailstead:mailstead",)),
    Have(f"old.{ZONE}", "A", "192.0.2.8", 3600, "3", "mailstead:mailstead:host"),
    Have(f"www.{ZONE}", "A", "192.0.2.7", 300, "4", "web", ("team:web",), proxied=True),
    Have(f"h.{ZONE}", "A", "192.0.2.6", 300, "5", "mailstead:berlin:host"),
    Have("lists.example.net", "MX", "5 mx.example.net", 300, "6"),
]


def shown(wants: list[Want], have: list[Have], foreign: ForeignPolicy | None = None) -> dict[str, str]:
    return ansible_diff(diff(ZONE, wants, have, Options(foreign=foreign or ForeignPolicy())), "mailstead")


def changed_lines(texts: dict[str, str]) -> list[str]:
    found = difflib.unified_diff(texts["before"].splitlines(), texts["after"].splitlines(), n=0, lineterm="")
    return [line for line in list(found)[2:] if not line.startswith("@@")]


def test_master_file_lines_in_columns_with_the_reason_of_each_change() -> None:
    texts = shown([Want(HOST, "A", "192.0.2.1", 3600, "address", "host", "moved")], HAVE)
    assert texts["before_header"] == "zone example.com"
    assert texts["after_header"] == "zone example.com: 1 changed, 1 gone"
    assert texts["before"].splitlines() == [
        "@                    300 NS    ada.ns.cloudflare.com.",
        "h                    300 A     192.0.2.6  ; mailstead:berlin:host",
        "mail                3600 A     192.0.2.9  ; host | do not touch",
        "old                 3600 A     192.0.2.8  ; - host: no longer wanted",
        "www                  300 A     192.0.2.7  ; proxied | web | tags team:web",
        "lists.example.net.   300 MX    5 mx.example.net.",
    ]
    assert changed_lines(texts) == [
        "-mail                3600 A     192.0.2.9  ; host | do not touch",
        "-old                 3600 A     192.0.2.8  ; - host: no longer wanted",
        "+mail                3600 A     192.0.2.1  ; ~ host: was 192.0.2.9; moved | do not touch",
    ]


def test_comments_are_anybodys_words_and_steer_nothing() -> None:
    have = [Have(f"x.{ZONE}", "A", "192.0.2.9", 300, "1", "two\nlines \x1b[31mred\x9b")]
    assert shown([], have)["before"].splitlines() == ["x   300 A     192.0.2.9  ; two lines [31mred"]
    assert render.line(have[0]) == f"x.{ZONE}. 300 IN A 192.0.2.9 ; two lines [31mred"


def test_a_change_of_nothing_but_the_mark_shows() -> None:
    have = [Have(HOST, "A", "192.0.2.1", 3600, "1", "by hand")]
    texts = shown([Want(HOST, "A", "192.0.2.1", 3600, "address", "host")], have, ForeignPolicy(other="adopt"))
    before, after = changed_lines(texts)
    assert before == "-mail  3600 A     192.0.2.1  ; by hand"
    assert after.startswith("+mail  3600 A     192.0.2.1  ; ~ host: adopted") and after.endswith("| by hand")


def test_long_keys_are_cut_and_still_tell_one_from_another() -> None:
    def key(middle: str) -> Have:
        text = "v=DKIM1; k=rsa; p=" + "A" * 100 + middle + "B" * 100
        return Have(f"s1._domainkey.{ZONE}", "TXT", text, 3600, "1", "mailstead:mailstead:dkim")

    wants = [Want(key("y").name, "TXT", key("y").content, 3600, "keys", "dkim")]
    options = Options(allow=("dkim_key",))
    texts = ansible_diff(diff(ZONE, wants, [key("x")], options), "mailstead")
    before, after = changed_lines(texts)
    assert '"v=DKIM1; k=rsa; p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA…" (219 characters, sha256 ' in before
    assert before.split("sha256 ")[1][:8] != after.split("sha256 ")[1][:8]
    assert max(map(len, (before, after))) < 250


def test_a_new_zone_and_names_of_any_length() -> None:
    name = "x" * 60 + "." + ZONE
    texts = shown([Want(name, "A", "192.0.2.1", 300, "address", "host", "new\nline")], [])
    assert texts["before"] == ""
    assert texts["after"] == f"{'x' * 60}   300 A     192.0.2.1  ; + host: new line\n"
    assert texts["after_header"] == "zone example.com: 1 new"
