# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every vendor's account: one course of action, whatever the API and whatever goes wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.common.http import Answer, TransportError
from ansible_collections.mailstead.stack.plugins.module_utils.ptr import account as accounts
from ansible_collections.mailstead.stack.plugins.module_utils.ptr import client as clients
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.account import AccountPtr
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.codes import CODES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.twins.http import Fault
from tests.unit.ptr.support import NAME, OLD, V6, VENDORS, TwinTransport, Vendor, v4, vendor, wanted


@pytest.fixture(name="there", params=VENDORS)
def fixture_there(request: pytest.FixtureRequest) -> Vendor:
    return vendor(request.param)


def problem(caught: pytest.ExceptionInfo[MailsteadError], there: Vendor) -> tuple[str, str]:
    (found,) = caught.value.problems
    assert found.code in CODES and found.fix
    assert there.secret not in str(caught.value)
    return found.code, f"{found.what} | {found.fix}"


def both(there: Vendor) -> list[Any]:
    return [wanted(v4(1))] if there.word == "aws" else [wanted(v4(1)), wanted(V6)]


@pytest.mark.parametrize("http", [False, True], ids=["in process", "over HTTP"])
def test_read_set_and_then_nothing(there: Vendor, http: bool) -> None:
    def course(provider: AccountPtr) -> None:
        planned = provider.plan(both(there))
        assert [r.status for r in planned] == ["changed"] * len(planned)
        assert [r.before for r in planned] == [(OLD,), ()][: len(planned)]
        assert {r.provider for r in planned} == {there.word}
        assert there.writes() == 0
        provider.apply(planned)
        assert provider.written == planned
        assert there.names() == {w.address: NAME for w in both(there)}
        done = there.writes()
        again = provider.plan(both(there))
        assert [r.status for r in again] == ["ok"] * len(again)
        provider.apply(again)
        assert there.writes() == done == len(planned)

    if not http:
        course(there.provider())
        return
    with there.over_http() as provider:
        course(provider)
    assert there.twin.log.connections == 1


def test_every_answer_says_that_it_is_a_twins(there: Vendor) -> None:
    response = there.twin.handle("GET", there.twin.base + "/nowhere", None, {}, None)
    assert response.headers["X-Mailstead-Lab"] == f"{there.word}-twin" and response.status in (401, 403)


@pytest.mark.parametrize("word", VENDORS)
def test_many_addresses_are_read_at_once_and_only_those_that_differ_are_written(word: str) -> None:
    there = vendor(word, {v4(n): NAME if n % 4 else OLD for n in range(1, 41)}, **forward(word, 40))
    planned = there.run(*(wanted(v4(n)) for n in range(1, 41)))
    assert [r.status for r in planned].count("changed") == there.writes() == 10
    reads = len(there.twin.log.entries) - there.writes()
    # Vultr tells the reverse names per instance; AWS is asked once more how the updates get on.
    assert reads == {"hcloud": 1, "linode": 1, "vultr": 41, "aws": 3}[word]
    assert set(there.names().values()) == {NAME}


@pytest.mark.parametrize("word", VENDORS)
def test_an_address_on_the_last_page_is_found(word: str) -> None:
    many = {"hcloud": 120, "linode": 1100, "vultr": 1100, "aws": 30}[word]
    more = {"page": 10} if word == "aws" else {}
    there = vendor(word, {v4(n): OLD for n in range(1, many + 1)}, **forward(word, many), **more)
    assert there.run(wanted(v4(many)))[0].status == "changed"
    assert there.names()[v4(many)] == NAME and list(there.names().values()).count(OLD) == many - 1


def forward(word: str, many: int) -> dict[str, Any]:
    return {"forward": {NAME: [v4(n) for n in range(1, many + 1)]}} if word == "linode" else {}


def test_an_address_named_for_two_hosts_is_written_once(there: Vendor) -> None:
    assert [r.status for r in there.run(wanted(v4(1)), wanted(v4(1), host="vps2"))] == ["changed"] * 2
    assert there.writes() == 1 and there.names()[v4(1)] == NAME


def test_an_address_of_somebody_else_is_told_with_what_the_account_has(there: Vendor) -> None:
    with pytest.raises(MailsteadError) as caught:
        there.provider().plan([wanted(v4(1)), wanted("203.0.113.5")])
    code, text = problem(caught, there)
    assert code == "MS-PTR-012" and v4(1) in text and there.writes() == 0
    assert caught.value.problems[0].where == "reverse record 203.0.113.5 of vps1"


def test_an_account_without_any_address_says_so() -> None:
    for word in VENDORS:
        with pytest.raises(MailsteadError, match="it shows none at all"):
            vendor(word, {}).provider().plan([wanted("203.0.113.5")])


def test_a_long_list_of_addresses_is_cut() -> None:
    there = vendor("hcloud", {v4(n): OLD for n in range(1, 30)})
    with pytest.raises(MailsteadError, match="and 9 more"):
        there.provider().plan([wanted("203.0.113.5")])


def test_a_wrong_credential(there: Vendor) -> None:
    with pytest.raises(MailsteadError) as caught:
        there.provider(token="x" * 40).plan(both(there))
    code, text = problem(caught, there)
    assert code == ("MS-PTR-010") and "x" * 40 not in text


@pytest.mark.parametrize("token", ["", "   ", "two words", "line\nend", "schlüssel"])
def test_what_cannot_be_a_credential_is_not_sent(there: Vendor, token: str) -> None:
    with pytest.raises(MailsteadError) as caught:
        there.provider(token=token)
    assert caught.value.problems[0].code == "MS-PTR-010"
    assert not token.strip() or token not in str(caught.value)
    assert not there.twin.log.entries


def test_reads_are_repeated_on_server_errors_and_lost_connections(there: Vendor) -> None:
    there.twin.faults.add(Fault("status", status=503))
    there.twin.faults.add(Fault("drop_before"))
    there.run(*both(there))
    assert there.names() == {w.address: NAME for w in both(there)}
    assert [p for p in there.pauses if p < clients.MAX_PAUSE]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault("status", 99, status=502, html=True), "MS-PTR-017"),
        (Fault("drop_before", 99), "MS-PTR-016"),
        (Fault("status", 99, status=200, html=True), "MS-PTR-019"),
        (Fault("status", 99, status=404, html=True), "MS-PTR-019"),
        (Fault("status", 99, status=429, retry_after=3600), "MS-PTR-018"),
        (Fault("status", 99, status=429, retry_after=0), "MS-PTR-018"),
        (Fault("status", 1, status=418), "MS-PTR-014"),
    ],
)
def test_what_does_not_go_away_is_told(there: Vendor, fault: Fault, code: str) -> None:
    there.twin.faults.add(Fault(**{**fault.__dict__}))
    with pytest.raises(MailsteadError) as caught:
        there.provider().plan(both(there))
    assert problem(caught, there)[0] == code
    assert sum(there.pauses) <= clients.RATE_BUDGET + 60 and there.names() == {v4(1): OLD}


def test_a_rate_limit_is_waited_out_for_reads_and_changes(there: Vendor) -> None:
    there.twin.faults.add(Fault("status", 3, status=429, retry_after=7))
    skip = 2 if there.word == "aws" else 0
    there.twin.faults.add(
        Fault("status", method=writing(there), path=there.write, skip=skip, status=429, retry_after=9)
    )
    there.run(*both(there))
    assert there.twin.faults.pending == 0
    assert there.pauses[:3] == [7.5, 7.5, 7.5] and 9.5 in there.pauses
    assert there.names() == {w.address: NAME for w in both(there)}


def test_a_change_whose_answer_was_lost_is_looked_at_before_anything_else(there: Vendor) -> None:
    skip = 2 if there.word == "aws" else 0
    there.twin.faults.add(Fault("drop_after", method="" if skip else writing(there), path=there.write, skip=skip))
    there.run(wanted(v4(1)))
    assert there.twin.faults.pending == 0
    assert there.names()[v4(1)] == NAME and there.writes() == 1


def test_a_change_that_got_lost_is_tried_again(there: Vendor) -> None:
    skip = 2 if there.word == "aws" else 0
    there.twin.faults.add(Fault("drop_before", method="" if skip else writing(there), path=there.write, skip=skip))
    there.twin.faults.add(Fault("status", status=502, method=writing(there), path=there.write, skip=2 * skip))
    there.run(wanted(v4(1)))
    assert there.twin.faults.pending == 0
    assert there.names()[v4(1)] == NAME and there.writes() in (2, 3)


def test_a_change_that_stays_unclear_is_told_and_the_others_are_made(there: Vendor) -> None:
    there = vendor(there.word, {v4(1): OLD, v4(2): OLD}, **forward(there.word, 2))
    provider = there.provider()
    planned = provider.plan([wanted(v4(1)), wanted(v4(2))])
    if there.word == "aws":
        # Change and look take turns; it is the changes that get lost.
        for number in range(accounts.UNCLEAR_TRIES):
            there.twin.faults.add(Fault("drop_before", skip=2 * number))
    else:
        there.twin.faults.add(Fault("drop_before", accounts.UNCLEAR_TRIES, method=writing(there), path=there.write))
    with pytest.raises(MailsteadError) as caught:
        provider.apply(planned)
    assert problem(caught, there)[0] == "MS-PTR-020"
    assert provider.written == planned[1:] and there.names() == {v4(1): OLD, v4(2): NAME}


def writing(there: Vendor) -> str:
    return "PUT" if there.word == "linode" else "POST"


def test_nothing_that_came_is_no_answer_either() -> None:
    """An accepted change with an unreadable answer has to be looked at."""
    there = vendor("linode")
    there.twin.faults.add(Fault("status", method="PUT", status=200, html=True, after=True))
    there.run(wanted(v4(1)))
    assert there.names()[v4(1)] == NAME and there.writes() == 1


def test_refused_reads_while_waiting_are_told() -> None:
    there = vendor("hcloud", looks=3)
    there.twin.faults.add(Fault("status", status=403, path="/actions", method="GET"))
    provider = there.provider()
    with pytest.raises(MailsteadError) as caught:
        provider.apply(provider.plan([wanted(v4(1))]))
    assert problem(caught, there)[0] == "MS-PTR-011" and [r.wanted.address for r in provider.written] == [v4(1)]
    there.twin.faults.add(Fault("status", 9, status=503, path="/actions", method="GET"))
    with pytest.raises(MailsteadError) as caught:
        provider.apply(provider.plan([wanted(v4(1), "other.example.com")]))
    assert problem(caught, there)[0] == "MS-PTR-017"


#: Faults at random: they end at some time, as all troubles do.
FAULTS = st.lists(
    st.one_of(
        st.builds(Fault, st.sampled_from(["drop_before", "drop_after"]), skip=st.integers(0, 9)),
        st.builds(Fault, st.just("status"), status=st.sampled_from([429, 500, 503]), skip=st.integers(0, 9)),
        st.builds(Fault, st.just("status"), status=st.sampled_from([502]), after=st.just(True), skip=st.integers(0, 9)),
    ),
    max_size=4,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    word=st.sampled_from(VENDORS),
    before=st.lists(st.sampled_from(["", OLD, NAME]), min_size=1, max_size=6),
    ours=st.sets(st.integers(1, 6), min_size=1),
    faults=FAULTS,
)
def test_whatever_happens_a_later_run_changes_nothing_and_others_are_left_alone(
    word: str, before: list[str], ours: set[int], faults: list[Fault]
) -> None:
    there = vendor(word, {v4(n): name for n, name in enumerate(before, start=1)}, **forward(word, 6))
    mine = [wanted(v4(n)) for n in sorted(ours) if n <= len(before)] or [wanted(v4(1))]
    for fault in faults:
        there.twin.faults.add(Fault(**fault.__dict__))
    for _run in range(3):
        try:
            there.run(*mine)
        except MailsteadError as error:
            assert there.secret not in str(error)
        else:
            break
    there.twin.faults.clear()
    there.run(*mine)
    names, writes = there.names(), there.writes()
    assert all(names[w.address] == NAME for w in mine)
    kept = {v4(n): name for n, name in enumerate(before, start=1) if name and v4(n) not in {w.address for w in mine}}
    assert {a: n for a, n in names.items() if a not in {w.address for w in mine}} == kept
    assert {r.status for r in there.run(*mine)} == {"ok"} and there.writes() == writes


class Unconnected(TwinTransport):
    """No connection comes about for the first so many changes."""

    def __init__(self, twin: Any, times: int) -> None:
        super().__init__(twin)
        self.times = times

    def request(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        if method != "GET" and self.times:
            self.times -= 1
            raise TransportError("connection refused", sent=False)
        return super().request(method, path, query, headers, body)


def test_a_change_that_never_left_is_simply_sent_again() -> None:
    there = vendor("linode")
    there.run(wanted(v4(1)), transport=Unconnected(there.twin, clients.BUSY_TRIES - 1))
    assert there.names()[v4(1)] == NAME and there.writes() == 1
    with pytest.raises(MailsteadError) as caught:
        there.run(wanted(v4(1), OLD), transport=Unconnected(there.twin, clients.BUSY_TRIES))
    assert problem(caught, there)[0] == "MS-PTR-016" and there.writes() == 1


@pytest.mark.parametrize("word", ["hcloud", "linode", "vultr"])
def test_a_refusal_without_the_apis_words_is_told_as_such(word: str) -> None:
    there = vendor(word)

    class Other(TwinTransport):
        def request(self, method: str, *rest: Any) -> Answer:
            return super().request(method, *rest) if method == "GET" else Answer(404, {}, b'{"detail": "nginx"}')

    with pytest.raises(MailsteadError, match="without an explanation") as caught:
        there.run(wanted(v4(1)), transport=Other(there.twin))
    assert problem(caught, there)[0] == "MS-PTR-019"


def test_vendors_without_a_delay_are_done_at_once() -> None:
    for word in ("linode", "vultr"):
        there = vendor(word)
        assert there.account(there.client()).progress({v4(1): None})[v4(1)].done
