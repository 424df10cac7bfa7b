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


def test_of_one_phase_hosts_come_before_what_points_to_them() -> None:
    changes = [
        Change("create", None, Have(name, rtype, content, 300), "", "delivery")
        for name, rtype, content in (
            ("_a.example.com", "SRV", "0 1 993 example.com"),
            ("_mta-sts.example.com", "TXT", "v=STSv1; id=1"),
            ("example.com", "A", "192.0.2.1"),
            ("example.com", "MX", "10 mail.example.com"),
            ("mail.example.com", "A", "192.0.2.1"),
        )
    ]
    names = [c.record.name for part in batches(changes, 2) for c in part]
    assert names == ["mail.example.com", "example.com", "example.com", "_a.example.com", "_mta-sts.example.com"]


def test_a_host_keeps_its_address_until_nothing_points_to_it() -> None:
    def gone(name: str, rtype: str, content: str) -> Change:
        return Change("delete", Have(name, rtype, content, 3600, f"{rtype} {name}"), None, "")

    changes = [
        gone("a.example.com", "A", "192.0.2.1"),
        gone("b.example.com", "A", "192.0.2.1"),
        Change("create", None, Have("b.example.com", "CAA", '0 issue ";"', 3600), "", "policy"),
        gone("example.com", "MX", "10 a.example.com"),
        gone("example.com", "A", "192.0.2.1"),
        gone("z.example.com", "TXT", "x"),
    ]
    names = [[c.record.name for c in part] for part in batches(changes, 2)]
    assert names == [["z.example.com"], ["example.com"] * 2, ["a.example.com"], ["b.example.com"] * 2]


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
