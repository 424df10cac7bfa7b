# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes made one after another, seen as one."""

from __future__ import annotations

from ansible_collections.mailstead.stack.plugins.module_utils.dns.compose import net, plan, total
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Change, Have, Options, Want

ZONE = "example.com"


def record(content: str, ident: str = "1") -> Have:
    return Have(f"h.{ZONE}", "A", content, 300, ident)


A, B, C = record("192.0.2.1"), record("192.0.2.2"), record("192.0.2.3")
CREATE = Change("create", None, A, "first", "address", "host")
UPDATE = Change("update", A, B, "second", "keys", "other")
AGAIN = Change("update", B, C, "third", "", "")
BACK = Change("update", B, A, "back", "", "")
DELETE = Change("delete", B, None, "no longer wanted", "", "host")


def test_made_and_changed_is_made_so() -> None:
    (change,) = net([CREATE, UPDATE]).values()
    assert change == Change("create", None, record("192.0.2.2", ""), "first; second", "keys", "other")


def test_changed_twice_is_changed_once_from_the_first_to_the_last() -> None:
    (change,) = net([UPDATE, AGAIN]).values()
    assert change == Change("update", A, C, "second; third", "keys", "other")


def test_there_and_back_is_nothing() -> None:
    assert net([UPDATE, BACK]) == {}
    assert net([CREATE, UPDATE, DELETE]) == {}


def test_changed_and_deleted_is_deleted_for_the_last_reason() -> None:
    (change,) = net([UPDATE, DELETE]).values()
    assert (change.action, change.before, change.after, change.reason) == ("delete", A, None, "no longer wanted")


def test_records_without_an_id_are_each_their_own() -> None:
    new = [Change("create", None, record(f"192.0.2.{n}", ""), "") for n in (1, 2)]
    assert list(net(new).values()) == new


def test_stages_add_up_to_the_zone_as_one_run_would_leave_it() -> None:
    wants = [
        Want(f"h.{ZONE}", "A", "192.0.2.2", 300, "address", "host"),
        Want(f"x.{ZONE}", "TXT", "x", 300, "keys", "x"),
        Want(ZONE, "MX", f"10 h.{ZONE}", 300, "delivery", "mx"),
        Want(f"y.{ZONE}", "TXT", "y", 300, "delivery", "y"),
    ]
    have = [
        Have(f"h.{ZONE}", "A", "192.0.2.1", 300, "1", "mailstead:mailstead:host"),
        Have(f"y.{ZONE}", "TXT", "y", 300, "2"),
    ]
    options = Options()
    stages = plan(ZONE, wants, have, options, ["address", "keys", "delivery"])
    assert [[c.record.type for c in s.changes] for s in stages] == [["A"], ["TXT"], ["MX"]]
    # The last stage knows the record of the one before by its provisional id.
    assert {r.id for r in stages[2].before} == {"1", "2", "new 1.0"}
    summed, (whole,) = total(stages, options), plan(ZONE, wants, have, options, ["delivery"])
    assert (summed.changes, summed.before, set(summed.after)) == (whole.changes, whole.before, set(whole.after))
    assert (summed.satisfied, summed.foreign_satisfied, summed.held) == (1, 1, 0)
    assert total([whole], options) is whole
