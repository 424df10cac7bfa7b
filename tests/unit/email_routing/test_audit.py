# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which address was passed on, and what only the catch-all takes."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.audit import (
    audit,
    block_line,
    is_from,
    lines,
)
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.model import Rule

RULES = [
    Rule("shop@example.me", "forward", "you@gmail.example", True, "mailstead:main bookshop.example"),
    Rule("you@example.me", "forward", "you@gmail.example", True, "mailstead:main"),
    Rule("off@example.me", "drop", "", False, "mailstead:main"),
    Rule("", "forward", "you@gmail.example", True),
]


def mail(sender: str, to: str, day: int = 1, **more: object) -> dict[str, object]:
    return {"from": sender, "to": to, "datetime": f"2026-11-{day:02}T10:00:00Z", **more}


EVENTS = [
    mail("news@bookshop.example", "shop@example.me", 2),
    mail("orders@mail.bookshop.example", "Shop@example.me"),
    mail("win@casino.example", "shop@example.me", 5, count=7),
    mail("friend@gmail.example", "you@example.me"),
    mail("x@bank.example", "you+bank@example.me"),
    mail("x@spam.example", "you+bank@example.me", 9),
    mail("guess@spam.example", "info@example.me"),
    mail("", "info@example.me", 3),
    mail("nobody@x.example", ""),
    mail("late@x.example", "off@example.me"),
]


def test_an_address_that_others_than_its_correspondent_use_has_leaked() -> None:
    found = audit(EVENTS, RULES, subaddressing=True)
    shop, bank, you = found.declared
    assert (shop.address, shop.messages, shop.tag) == ("shop@example.me", 9, "bookshop.example")
    assert [(c.domain, c.messages, c.expected) for c in shop.correspondents] == [
        ("casino.example", 7, False),
        ("bookshop.example", 1, True),
        ("mail.bookshop.example", 1, True),
    ]
    assert shop.correspondents[1].first == "2026-11-02T10:00:00Z" and shop.rule == "forward to you@gmail.example"
    assert (bank.tag, [c.domain for c in bank.strangers]) == ("bank", ["spam.example"])
    assert not you.leaked and found.leaked == (shop, bank)


def test_addresses_without_a_rule_are_told_apart() -> None:
    found = audit(EVENTS, RULES)
    assert [a.address for a in found.unknown] == ["info@example.me", "you+bank@example.me", "off@example.me"]
    assert [c.domain for c in found.unknown[0].correspondents] == ["(none)", "spam.example"]
    assert found.unknown[0].rule == "forward to you@gmail.example"
    assert audit(EVENTS, RULES[:3]).unknown[0].rule == "refused"


def test_each_line_says_how_to_block_the_address() -> None:
    told = lines(audit(EVENTS, RULES, subaddressing=True))
    assert told[0] == (
        "shop@example.me, given to 'bookshop.example', is also written to by casino.example (7); to block it: shop: drop"
    )
    assert told[1].endswith('to block it: "you+bank": drop')
    assert told[2].startswith("info@example.me is not declared (forward to you@gmail.example) and gets mail from")
    assert len(told) == 4


@pytest.mark.parametrize("local", ["old", "a.b-c", "you+shop", "no", "ON", "123", "y", "x&y", "null"])
def test_the_line_reads_back_as_the_address(local: str) -> None:
    assert yaml.safe_load(block_line(f"{local}@example.me")) == {local: "drop"}


@pytest.mark.parametrize(
    ("domain", "tag", "expected"),
    [
        ("shop.example", "shop", True),
        ("news.shop.example", "my (shop.example) account", True),
        ("example.shop", "shop", False),
        ("workshop.example", "shop", False),
        ("shop.example", "", False),
    ],
)
def test_whether_a_sender_fits_a_tag(domain: str, tag: str, expected: bool) -> None:
    assert is_from(domain, tag) is expected
