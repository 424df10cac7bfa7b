# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every host of zones has to keep to, whoever it is: one suite, run against each of them.

A test class inherits from :class:`Conformance` and gives it a bed: a zone at that host, with the means to act there as
somebody else would.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.dns.provider import (
    UnclearError,
    Written,
    Zone,
    ZoneProvider,
)
from ansible_collections.mailstead.stack.plugins.module_utils.dns.reconcile import ZoneResult, ZoneTask, reconcile
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Change, Have, Options, Want
from ansible_collections.mailstead.stack.plugins.module_utils.plan.phases import PHASES, ForeignPolicy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.cloudflare.support import mail_set, want

#: A record by hand: name below the zone (@ for its top), type, content in canonical form, time to live.
Row = tuple[str, str, str, int]
FREE = ("last_mx", "delete_limit")
#: Wanted below the zone, so that one suite serves zones of any name.
Named = Callable[[str], list[Want]]


class Bed(Protocol):
    """A zone at a host, seen from outside of the reconciler.

    guards_values: a write is refused when somebody else changed the values it is about. edits_stay_ours: a record of ours
    that somebody changes remains ours.
    """

    zone: str
    guards_values: bool
    edits_stay_ours: bool

    def provider(self) -> ZoneProvider:
        """The provider as a new run sees it."""

    def reset(self) -> None:
        """Leave nothing in the zone but what its host put there."""

    def put(self, *rows: Row) -> None:
        """Make records by hand."""

    def drop(self, name: str, rtype: str) -> None:
        """Delete the records of a name and type by hand."""

    def edit(self, name: str, rtype: str, content: str, ttl: int) -> None:
        """Give the record of a name and type another value by hand."""

    def world(self) -> list[tuple[str, ...]]:
        """All records as they are at the host, to the byte, without ids and times; sorted."""


class Intercepted:
    """A provider to which something happens. before and after are called around each exchange with its kind and number."""

    def __init__(self, provider: ZoneProvider, before: Any = None, after: Any = None) -> None:
        self._provider, self._before, self._after, self._number = provider, before, after, 0
        self.exchanges: list[str] = []

    @property
    def requests(self) -> Mapping[str, int]:
        return self._provider.requests

    def _exchange(self, kind: str, work: Callable[[], Any]) -> Any:
        number = len(self.exchanges)
        self.exchanges.append(kind)
        if self._before:
            self._before(kind, number)
        result = work()
        if self._after:
            self._after(kind, number)
        return result

    def find(self, wanted: Sequence[tuple[str, str]]) -> Any:
        return self._provider.find(wanted)

    def identify(self, zone: Zone) -> Zone:
        return self._provider.identify(zone)

    def read(self, zone: Zone) -> list[Have]:
        records: list[Have] = self._exchange("read", lambda: self._provider.read(zone))
        return records

    def quota(self, zone: Zone) -> int | None:
        return self._provider.quota(zone)

    def split(self, changes: Sequence[Change], zone: Zone) -> list[list[Change]]:
        # Small writes, so that there is something in between.
        whole = self._provider.split(changes, zone)
        names: dict[str, list[Change]] = {}
        for change in (c for part in whole for c in part):
            names.setdefault(change.record.name, []).append(change)
        return list(names.values())

    def write(self, zone: Zone, batch: Sequence[Change]) -> Written:
        written: Written = self._exchange("write", lambda: self._provider.write(zone, batch))
        return written


def run(
    bed: Bed,
    wants: Sequence[Want],
    foreign: dict[str, str] | None = None,
    provider: ZoneProvider | None = None,
    check: bool = False,
    confirmed: bool = False,
    **options: Any,
) -> ZoneResult:
    """One run over the bed's zone. options: of reconcile() or of Options."""
    more = {name: options.pop(name) for name in ("stages", "gate", "before_write") if name in options}
    task = ZoneTask(bed.zone, tuple(wants), foreign=ForeignPolicy(**(foreign or {})), confirmed=confirmed)
    (result,) = reconcile(provider or bed.provider(), [task], Options(**options), check, **more)
    return result


def problems(bed: Bed, *args: Any, **kwargs: Any) -> list[str]:
    with pytest.raises(MailsteadError) as caught:
        run(bed, *args, **kwargs)
    assert all(p.where and p.what and p.fix for p in caught.value.problems)
    return [p.code for p in caught.value.problems]


def host(bed: Bed) -> str:
    return f"mail.{bed.zone}"


def address(bed: Bed, content: str = "198.18.1.10", **more: Any) -> Want:
    return want(host(bed), "A", content, "address", "host", **more)


def values(bed: Bed) -> set[tuple[str, str, str]]:
    """What the provider reads, as (name, type, content)."""
    provider = bed.provider()
    zone = provider.find([(bed.zone, "")])[0][bed.zone]
    return {(h.name, h.type, h.content) for h in provider.read(zone)}


def wanted(wants: Sequence[Want]) -> set[tuple[str, str, str]]:
    return {(w.name, w.type, w.content) for w in wants}


#: Somebody else's records: at names of their own, or at ours without competing.
BYSTANDERS: list[Row] = [
    ("www", "A", "203.0.113.5", 300),
    ("@", "TXT", "google-site-verification=abc", 86400),
    ("mail", "TXT", 'a "note" with \\ and ü', 600),
    ("lists", "MX", "5 mx.example.net", 3600),
    ("sub", "NS", "ns1.example.net", 3600),
    ("_sip._tcp", "SRV", "1 1 5060 sip.example.net", 3600),
    ("shop", "CNAME", "shops.example.net", 3600),
]
#: Somebody else's records where ours have to go.
RIVALS: list[Row] = [
    ("@", "TXT", "v=spf1 include:_spf.example.net ~all", 7200),
    ("_dmarc", "TXT", "v=DMARC1; p=none; rua=mailto:x@example.net", 3600),
    ("@", "MX", "50 mx.example.net", 1800),
    ("mail", "A", "203.0.113.7", 3600),
    ("autoconfig", "CNAME", "auto.example.net", 3600),
    ("mail", "CAA", '0 issue "other.example"', 3600),
]
POLICY = {"mx": "merge", "dmarc": "merge", "other": "replace"}
_POOL: list[tuple[str, str, str, str, str, int]] = [
    *(("mail", "A", f"198.18.1.{n}", "address", "host", t) for n, t in ((1, 300), (2, 3600))),
    *(("mx2", "AAAA", f"2001:2::{n}", "address", "host", 3600) for n in (1, 2)),
    ("autoconfig", "A", "198.18.1.9", "address", "autoconfig", 3600),
    ("autoconfig", "CNAME", "mail.example.net", "address", "autoconfig", 3600),
    *(("@", "TXT", f"v=spf1 {t} -all", "policy", "spf", 3600) for t in ("mx", "ip4:198.18.1.1", "a mx")),
    *(("_dmarc", "TXT", f"v=DMARC1; p=none; rua=mailto:{r}@example.net", "policy", "dmarc", 3600) for r in "ab"),
    *(("mail", "CAA", f'0 issue "{ca}.example"', "policy", "caa", 3600) for ca in ("one", "two")),
    *(("_25._tcp.mail", "TLSA", f"3 1 1 {d * 32}", "certificate", "dane", 3600) for d in ("ab", "cd")),
    *(("@", "MX", f"{n} mx{n}.example.net", "delivery", "mx", 3600) for n in (10, 20)),
    *(("_imaps._tcp", "SRV", f"0 1 993 mx{n}.example.net", "delivery", "autoconfig", 3600) for n in (1, 2)),
]
_SINGLE = ("spf", "dmarc")


def _consistent(chosen: list[tuple[str, str, str, str, str, int]]) -> list[tuple[str, str, str, str, str, int]]:
    out: dict[Any, tuple[str, str, str, str, str, int]] = {}
    for row in chosen:
        alone = row[4] in _SINGLE or row[0] == "autoconfig"
        out.setdefault((row[0], row[4]) if alone else row, row)
    return list(out.values())


SETS = st.lists(st.sampled_from(_POOL), unique=True, max_size=12).map(_consistent)


def some(pool: list[Row]) -> st.SearchStrategy[list[Row]]:
    return st.lists(st.sampled_from(pool), unique=True, max_size=len(pool))


def named(bed: Bed, rows: Sequence[tuple[str, str, str, str, str, int]]) -> list[Want]:
    return [
        want(bed.zone if n == "@" else f"{n}.{bed.zone}", t, c, phase, role, ttl=ttl)
        for n, t, c, phase, role, ttl in rows
    ]


def apply(bed: Bed, wants: Sequence[Want], **options: Any) -> ZoneResult:
    return run(bed, wants, POLICY, allow=FREE, **options)


EACH = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors, HealthCheck.too_slow],
)


class Conformance:
    """The suite. Subclasses define the fixture ``bed``."""

    # -- the record set ----------------------------------------------------------------------------------------------

    def test_the_mail_set_is_published_read_back_and_then_satisfied(self, bed: Bed) -> None:
        wants = mail_set(bed.zone)
        first = run(bed, wants)
        assert len(first.diff.changes) == len(wants) == len(first.written)
        assert values(bed) == wanted(wants)
        provider = Intercepted(bed.provider())
        again = run(bed, wants, provider=provider)
        assert (again.diff.changes, again.diff.satisfied, provider.exchanges) == ((), len(wants), ["read"])

    def test_taking_it_back_leaves_nothing(self, bed: Bed) -> None:
        before = bed.world()
        run(bed, mail_set(bed.zone))
        assert bed.world() != before
        run(bed, [], allow=FREE, max_delete=100, max_delete_percent=100)
        assert bed.world() == before

    @pytest.mark.parametrize(
        "text",
        [
            "plain",
            "x" * 255,
            "y" * 256,
            "z" * 1900,
            'he said "no" \\ and left',
            "semi;colon (and) brackets",
            "two  blanks and a\ttab",
            " leading and trailing ",
            "grüße",
            "bytes \udcff\udc80\x7f",
            '"looks quoted"',
        ],
    )
    def test_a_text_survives_the_way_there_and_back(self, bed: Bed, text: str) -> None:
        wants = [want(f"t.{bed.zone}", "TXT", text, "policy", "note")]
        run(bed, wants)
        assert values(bed) == wanted(wants)
        assert run(bed, wants).diff.changes == ()

    @pytest.mark.parametrize(
        ("rtype", "content"),
        [
            ("MX", "0 ."),
            ("SRV", "0 0 0 ."),
            ("CAA", '0 iodef "mailto:x@example.net"'),
            ("TLSA", "3 1 2 " + "ab" * 64),
            ("HTTPS", "1 . alpn=h3,h2"),
            ("SSHFP", "4 2 " + "ab" * 32),
            ("URI", '10 1 "https://example.net/"'),
            ("AAAA", "2001:2::1"),
        ],
    )
    def test_a_type_survives_the_way_there_and_back(self, bed: Bed, rtype: str, content: str) -> None:
        wants = [want(f"t.{bed.zone}", rtype, content)]
        run(bed, wants)
        assert values(bed) == wanted(wants)
        assert run(bed, wants).diff.changes == ()

    # -- changes -----------------------------------------------------------------------------------------------------

    def test_a_changed_value_replaces_the_old_one(self, bed: Bed) -> None:
        run(bed, [address(bed)])
        result = run(bed, [address(bed, "198.18.1.11")])
        assert [c.action for c in result.diff.changes] == ["update"]
        assert values(bed) == wanted([address(bed, "198.18.1.11")])

    def test_a_changed_time_to_live_alone_is_written(self, bed: Bed) -> None:
        run(bed, [address(bed)])
        assert run(bed, [address(bed, ttl=600)]).written
        assert run(bed, [address(bed, ttl=600)]).diff.changes == ()
        assert any("600" in row for row in bed.world())

    def test_address_and_alias_change_places_in_one_write(self, bed: Bed) -> None:
        name = f"autoconfig.{bed.zone}"
        alias = want(name, "CNAME", "mail.example.net", "address", "autoconfig")
        both = [want(name, "A", "198.18.1.9", "address", "auto"), want(name, "AAAA", "2001:2::9", "address", "auto")]
        for wants in (both, [alias], both[:1], [alias], both):
            provider = Intercepted(bed.provider())
            run(bed, wants, provider=provider, allow=FREE)
            assert provider.exchanges.count("write") == 1
            assert values(bed) == wanted(wants)

    def test_check_mode_says_what_a_real_run_does_and_does_nothing(self, bed: Bed) -> None:
        bed.put(*BYSTANDERS)
        before = bed.world()
        provider = Intercepted(bed.provider())
        planned = run(bed, mail_set(bed.zone), provider=provider, check=True)
        assert (bed.world(), provider.exchanges, planned.written) == (before, ["read"], ())
        done = run(bed, mail_set(bed.zone))
        assert [c.to_data() for c in planned.diff.changes] == [c.to_data() for c in done.diff.changes]
        assert {c.record.key for c in done.written} == {c.record.key for c in planned.diff.changes}

    def test_stages_on_one_reading_end_where_a_single_run_ends(self, bed: Bed) -> None:
        run(bed, mail_set(bed.zone))
        whole = bed.world()
        bed.reset()
        seen: list[set[str]] = []

        def gate(results: Sequence[ZoneResult]) -> None:
            seen.append({c.phase for r in results for c in r.written})

        provider = Intercepted(bed.provider())
        run(bed, mail_set(bed.zone), provider=provider, stages=("address", "keys", "policy"), gate=gate)
        assert seen == [set(PHASES[:1]), set(PHASES[:3]), set(PHASES[:4])]
        assert provider.exchanges.count("read") == 1
        assert bed.world() == whole

    # -- ownership ---------------------------------------------------------------------------------------------------

    def test_bystanders_stay_to_the_byte(self, bed: Bed) -> None:
        bed.put(*BYSTANDERS)
        before = bed.world()
        run(bed, mail_set(bed.zone))
        after = bed.world()
        assert set(before) <= set(after)
        run(bed, [], allow=FREE, max_delete=100, max_delete_percent=100)
        assert bed.world() == before

    def test_a_record_made_by_hand_that_says_it_already_is_left_alone(self, bed: Bed) -> None:
        bed.put(("mail", "A", "198.18.1.10", 900))
        before = bed.world()
        result = run(bed, [address(bed)])
        assert (result.diff.foreign_satisfied, result.diff.changes, bed.world()) == (1, (), before)
        run(bed, [])
        assert bed.world() == before

    def test_adopting_makes_it_ours(self, bed: Bed) -> None:
        bed.put(("mail", "A", "198.18.1.10", 900))
        assert run(bed, [address(bed)], {"other": "adopt"}).written
        assert run(bed, [address(bed)], {"other": "adopt"}).diff.changes == ()
        run(bed, [])
        assert values(bed) == set()

    def test_what_is_put_back_as_somebody_elses_is_theirs_again(self, bed: Bed) -> None:
        bed.put(("@", "MX", "50 mx.example.net", 1800), ("@", "TXT", "note", 900))
        before = bed.world()
        run(bed, mail_set(bed.zone), {"mx": "replace"}, allow=FREE)
        row = Have(bed.zone, "MX", "50 mx.example.net", 1800)
        back = [want(bed.zone, "MX", row.content, role="mx", ttl=row.ttl, bare=row)]
        run(bed, back, allow=FREE, max_delete=100, max_delete_percent=100)
        assert bed.world() == before
        assert run(bed, back).diff.changes == ()
        run(bed, [])
        assert bed.world() == before

    def test_another_instances_records_are_somebody_elses(self, bed: Bed) -> None:
        run(bed, [address(bed)], instance="berlin")
        before = bed.world()
        run(bed, [])
        assert bed.world() == before
        assert problems(bed, [address(bed, "198.18.1.11")]) == ["MS-DNS-034"]
        mine = [want(f"mx2.{bed.zone}", "A", "198.18.1.12", "address", "host")]
        run(bed, mine)
        run(bed, [address(bed)], instance="berlin")
        assert values(bed) == wanted([*mine, address(bed)])
        run(bed, [], instance="berlin")
        assert values(bed) == wanted(mine)

    def test_a_record_of_ours_that_somebody_deleted_comes_back(self, bed: Bed) -> None:
        run(bed, mail_set(bed.zone))
        whole = bed.world()
        bed.drop("mail", "A")
        assert [c.action for c in run(bed, mail_set(bed.zone)).written] == ["create"]
        assert bed.world() == whole

    def test_a_value_of_ours_that_somebody_changed(self, bed: Bed) -> None:
        run(bed, [address(bed)])
        bed.edit("mail", "A", "203.0.113.9", 3600)
        if bed.edits_stay_ours:
            assert [c.action for c in run(bed, [address(bed)]).written] == ["update"]
        else:
            assert problems(bed, [address(bed)]) == ["MS-DNS-034"]
            assert [c.action for c in run(bed, [address(bed)], {"other": "replace"}).written] == ["update"]
        assert values(bed) == wanted([address(bed)])
        assert run(bed, [address(bed)]).diff.changes == ()

    def test_a_merged_record_follows_its_other_owner(self, bed: Bed) -> None:
        bed.put(("@", "TXT", "v=spf1 include:_spf.example.net ~all", 3600))
        ours = [want(bed.zone, "TXT", "v=spf1 ip4:198.18.1.10 -all", "policy", "spf")]
        run(bed, ours)
        assert run(bed, ours).diff.changes == ()
        ((_, _, merged),) = values(bed)
        assert "ip4:198.18.1.10" in merged and "include:_spf.example.net" in merged
        bed.edit("@", "TXT", merged.replace("include:_spf", "include:_spf2"), 3600)
        run(bed, ours)
        run(bed, [])
        ((_, _, left),) = values(bed)
        assert left == "v=spf1 include:_spf2.example.net ~all"

    def test_policy_fail_names_it_and_writes_nothing(self, bed: Bed) -> None:
        bed.put(*RIVALS)
        before = bed.world()
        found = problems(bed, mail_set(bed.zone))
        assert {"MS-DNS-031", "MS-DNS-032", "MS-DNS-034"} <= set(found)
        assert bed.world() == before

    def test_mode_create_only_changes_and_deletes_nothing(self, bed: Bed) -> None:
        bed.put(*RIVALS)
        before = bed.world()
        run(bed, mail_set(bed.zone), mode="create_only")
        assert set(before) <= set(bed.world())
        run(bed, [], mode="create_only")
        assert run(bed, mail_set(bed.zone), mode="create_only").diff.changes == ()

    def test_mode_names_takes_what_stands_at_our_names_and_no_more(self, bed: Bed) -> None:
        bed.put(*BYSTANDERS)
        kept = values(bed)
        bed.put(*RIVALS)
        run(bed, mail_set(bed.zone), mode="names", allow=FREE)
        assert values(bed) == kept | wanted(mail_set(bed.zone))

    def test_mode_zone_needs_to_be_confirmed_and_then_leaves_ours_alone(self, bed: Bed) -> None:
        bed.put(*(row for row in BYSTANDERS if row[1] != "NS"))
        before = bed.world()
        options: dict[str, Any] = {"mode": "zone", "max_delete": 100, "max_delete_percent": 100, "allow": FREE}
        assert problems(bed, mail_set(bed.zone), **options)
        assert bed.world() == before
        run(bed, mail_set(bed.zone), confirmed=True, **options)
        assert values(bed) == wanted(mail_set(bed.zone))

    # -- under fire --------------------------------------------------------------------------------------------------

    def test_somebody_who_acts_between_reading_and_writing_is_not_overwritten(self, bed: Bed) -> None:
        run(bed, mail_set(bed.zone))
        moved = [w if w.role != "host" or w.type != "A" else address(bed, "198.18.1.77") for w in mail_set(bed.zone)]

        def meddle(kind: str, number: int) -> None:
            if (kind, number) == ("write", 1):
                bed.drop("mail", "A")
                bed.put(("www", "A", "203.0.113.5", 300))

        provider = Intercepted(bed.provider(), before=meddle)
        run(bed, moved, provider=provider)
        assert provider.exchanges == ["read", "write", "read", "write"]
        assert values(bed) == wanted(moved) | {(f"www.{bed.zone}", "A", "203.0.113.5")}
        assert run(bed, moved).diff.changes == ()

    def test_a_rival_who_comes_between_reading_and_writing_is_seen(self, bed: Bed) -> None:
        if not bed.guards_values:
            pytest.skip("this host has no means to make a write depend on what was read")

        def meddle(kind: str, number: int) -> None:
            if (kind, number) == ("write", 1):
                bed.put(("@", "MX", "5 mx.example.net", 3600))

        wants = [want(bed.zone, "MX", "10 mail.example.net", role="mx")]
        with pytest.raises(MailsteadError) as caught:
            run(bed, wants, provider=Intercepted(bed.provider(), before=meddle))
        assert [p.code for p in caught.value.problems] == ["MS-DNS-031"]
        assert values(bed) == {(bed.zone, "MX", "5 mx.example.net")}

    def test_what_was_written_is_told_although_the_answer_was_lost(self, bed: Bed) -> None:
        kept, gone = want(f"a.{bed.zone}", "A", "198.18.1.1"), want(f"b.{bed.zone}", "A", "198.18.1.2")
        run(bed, [kept, gone])

        def lose(kind: str, _number: int) -> None:
            if kind == "write":
                raise UnclearError("the answer is lost")

        wants = [dataclasses.replace(kept, content="198.18.1.9"), want(f"c.{bed.zone}", "A", "198.18.1.3")]
        result = run(bed, wants, provider=Intercepted(bed.provider(), after=lose))
        assert sorted(c.action for c in result.written) == ["create", "delete", "update"]
        assert values(bed) == wanted(wants)

    def test_a_refusal_is_told_and_leaves_the_zone_as_it_was(self, bed: Bed) -> None:
        before = bed.world()
        real = bed.provider()

        class Refusing(Intercepted):
            def write(self, zone: Zone, batch: Sequence[Change]) -> Written:
                broken = dataclasses.replace(batch[0], before=dataclasses.replace(batch[0].record, id="nobody"))
                return super().write(zone, [dataclasses.replace(broken, action="update")])

        with pytest.raises(MailsteadError) as caught:
            run(bed, [address(bed)], provider=Refusing(real))
        assert caught.value.problems[0].fix
        assert bed.world() == before

    # -- promises that hold for any zone, any wanted set and any fault -----------------------------------------------

    @EACH
    @given(SETS, SETS, some(BYSTANDERS), some(RIVALS))
    def test_any_second_run_changes_nothing(
        self, bed: Bed, first: Any, second: Any, bystanders: list[Row], rivals: list[Row]
    ) -> None:
        bed.reset()
        bed.put(*bystanders, *rivals)
        for rows in (first, second):
            apply(bed, named(bed, rows))
            before = bed.world()
            provider = Intercepted(bed.provider())
            assert apply(bed, named(bed, rows), provider=provider).diff.changes == ()
            assert provider.exchanges == ["read"]
            assert bed.world() == before

    @EACH
    @given(SETS, SETS, some(BYSTANDERS))
    def test_any_bystander_survives_and_nothing_of_ours_is_left_over(
        self, bed: Bed, first: Any, second: Any, bystanders: list[Row]
    ) -> None:
        bed.reset()
        bed.put(*bystanders)
        before, theirs = bed.world(), values(bed)
        for rows in (first, second):
            apply(bed, named(bed, rows))
            assert values(bed) == theirs | wanted(named(bed, rows))
            assert set(before) <= set(bed.world())
        apply(bed, [])
        assert bed.world() == before

    @EACH
    @given(SETS, some(RIVALS[:2]))
    def test_taking_back_restores_what_was_merged(self, bed: Bed, rows: Any, rivals: list[Row]) -> None:
        bed.reset()
        bed.put(*rivals)
        before = bed.world()
        apply(bed, named(bed, rows))
        apply(bed, [])
        assert bed.world() == before

    @EACH
    @given(SETS, SETS, st.integers(0, 9), st.sampled_from(["before", "after", "lost", "unsent"]), some(RIVALS))
    def test_a_crash_between_any_two_exchanges_converges(
        self, bed: Bed, first: Any, second: Any, at: int, how: str, rivals: list[Row]
    ) -> None:
        def start() -> None:
            bed.reset()
            bed.put(*rivals)
            apply(bed, named(bed, first))

        def strike(kind: str, number: int) -> None:
            if number == at and how in ("before", "after"):
                raise KeyboardInterrupt
            if number == at and kind == "write":
                raise UnclearError("the answer is lost")

        start()
        apply(bed, named(bed, second))
        calm = bed.world()
        start()
        happens = {"before" if how in ("before", "unsent") else "after": strike}
        try:
            apply(bed, named(bed, second), provider=Intercepted(bed.provider(), **happens))
        except KeyboardInterrupt:
            assert how in ("before", "after")
        apply(bed, named(bed, second))
        assert bed.world() == calm

    @EACH
    @given(SETS, SETS, st.lists(st.sampled_from(PHASES), unique=True), some(RIVALS))
    def test_phase_by_phase_ends_where_one_run_ends(
        self, bed: Bed, first: Any, second: Any, phases: list[str], rivals: list[Row]
    ) -> None:
        def start() -> None:
            bed.reset()
            bed.put(*rivals)
            apply(bed, named(bed, first))

        start()
        apply(bed, named(bed, second))
        whole = bed.world()
        start()
        for phase in sorted(phases, key=PHASES.index):
            apply(bed, named(bed, second), through_phase=phase)
            assert apply(bed, named(bed, second), through_phase=phase).diff.changes == ()
        apply(bed, named(bed, second))
        assert bed.world() == whole
