# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How changes are divided into writes."""

from __future__ import annotations

from ansible_collections.mailstead.stack.plugins.module_utils.dns.batches import batches
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Change, Have


def record(name: str, content: str = "192.0.2.1", ident: str = "") -> Have:
    return Have(name, "A", content, 3600, ident)


def create(name: str, phase: str, content: str = "192.0.2.1") -> Change:
    return Change("create", None, record(name, content), "", phase)


def delete(name: str, number: int = 0) -> Change:
    return Change("delete", record(name, ident=f"{name}{number}"), None, "")


def test_names_stay_together_addresses_come_first_and_mere_deletions_last() -> None:
    changes = [
        create("mx.example.com", "delivery"),
        delete("old.example.com"),
        create("host.example.com", "address"),
        delete("host.example.com"),
        create("key.example.com", "keys"),
    ]
    parts = batches(changes, 2)
    names = [[c.record.name.split(".")[0] for c in part] for part in parts]
    assert names == [["host", "host"], ["key", "mx"], ["old"]]
    assert batches(changes, 200) == [[c for part in parts for c in part]]
    assert batches([], 200) == []


def test_more_than_a_batch_at_one_name_adds_before_it_deletes() -> None:
    changes = [delete("a.example.com", n) for n in range(3)] + [
        create("a.example.com", "address", f"192.0.2.{n}") for n in range(3)
    ]
    assert [[c.action for c in part] for part in batches(changes, 3)] == [["create"] * 3, ["delete"] * 3]


def test_a_size_of_ones_own_is_what_counts() -> None:
    changes = [create(f"{n}.example.com", "address", "192.0.2.1" * n) for n in (1, 2, 3, 4)]
    parts = batches(changes, 40, lambda change: len(change.record.content))
    assert [[c.record.name[0] for c in part] for part in parts] == [["1", "2"], ["3"], ["4"]]


def test_one_change_that_is_too_large_stands_alone() -> None:
    changes = [create("a.example.com", "address"), create("b.example.com", "address", "x" * 99)]
    assert [len(part) for part in batches(changes, 40, lambda change: len(change.record.content))] == [1, 1]
