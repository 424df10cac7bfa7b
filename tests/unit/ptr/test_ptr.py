# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reverse records: the update message, the provider against a real exchange on loopback, the manual instructions."""

from __future__ import annotations

import base64
from typing import Any

import dns.message
import dns.name
import dns.rcode
import dns.resolver
import dns.tsig
import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.ptr import codes as ptr_codes
from ansible_collections.mailstead.stack.plugins.module_utils.ptr import model, rfc2136
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.manual import ManualProvider
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.model import PtrWanted, read_wanted
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.rfc2136 import Rfc2136Ptr
from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136 import codes as update_codes
from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.link import Key, Server, build_update

from tests.unit.dns.authority import Authority

SECRET = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
KEY = Key("mailstead-ptr", "hmac-sha256", SECRET)
V4, V6 = "1.18.198.in-addr.arpa", "0.0.0.0.2.0.0.0.1.0.0.2.ip6.arpa"
NAME4 = f"10.{V4}"
WANTED = PtrWanted("198.18.1.10", "mail.example.com", "vps1")
WANTED6 = read_wanted("2001:2:0:2::10", "Mail.Example.com.", "vps1")


def authority(**more: Any) -> Authority:
    zones = {V4: {(NAME4, "PTR"): ["vps1.provider.example."]}, V6: {}}
    return Authority(zones, KEY.ring(), **more)


def provider(server: Authority, key: Key | None = KEY, zone: str = V4, **more: Any) -> Rfc2136Ptr:
    return Rfc2136Ptr(Server("127.0.0.1", server.port, key), zone, timeout=0.5, **more)


def problem(error: pytest.ExceptionInfo[MailsteadError]) -> tuple[str, str]:
    (found,) = error.value.problems
    assert found.code in {**ptr_codes.CODES, **update_codes.CODES} and found.fix
    assert SECRET not in str(error.value)
    return found.code, found.what


def test_an_update_replaces_whole_sets_and_is_signed() -> None:
    message = build_update(V4, {(NAME4, "PTR"): ["mail.example.com"], (f"11.{V4}", "PTR"): []}, 3600, KEY)
    parsed = dns.message.from_wire(message.to_wire(), keyring=KEY.ring())
    assert parsed.had_tsig
    lines = [line for line in parsed.to_text().splitlines() if line.startswith(("10.", "11."))]
    assert lines == [
        f"{NAME4}. ANY PTR",
        f"{NAME4}. 3600 IN PTR mail.example.com.",
        f"11.{V4}. ANY PTR",
    ]


def test_the_record_is_read_set_and_then_right() -> None:
    with authority() as server:
        (planned,) = provider(server).plan([WANTED])
        assert (planned.status, planned.before, planned.zone) == ("changed", ("vps1.provider.example",), V4)
        assert server.updates == 0
        provider(server).apply([planned])
        assert server.zones[V4] == {(NAME4, "PTR"): ["mail.example.com."]}
        (again,) = provider(server).plan([WANTED])
        assert again.status == "ok"
        provider(server).apply([again])
        assert server.updates == 1


def test_both_families_in_one_call_each_in_its_own_zone() -> None:
    with authority() as server:
        link = provider(server)
        planned = link.plan([WANTED, WANTED6])
        assert [r.zone for r in planned] == [V4, V6]
        link.apply(planned)
        assert server.updates == 2
        assert [r.status for r in link.plan([WANTED, WANTED6])] == ["ok", "ok"]


def test_a_zone_that_is_refused_does_not_hold_up_the_other() -> None:
    with authority() as server:
        link = provider(server, zone="")
        planned = link.plan([WANTED, WANTED6])
        first = sorted(r.zone for r in planned)[0]
        kept = server.zones.pop(first)
        server.zones[first.partition(".")[2]] = kept
        with pytest.raises(MailsteadError) as caught:
            link.apply(planned)
        assert first in problem(caught)[1]
        assert [r.zone for r in link.written] == [r.zone for r in planned if r.zone != first]


def test_a_name_that_is_no_host_name_is_read_shown_and_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with authority() as server:
        server.zones[V4][(NAME4, "PTR")] = ["-198 18 1 10.provider.example.".replace(" ", r"\032")]
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], server.port
        monkeypatch.setattr(dns.resolver, "default_resolver", resolver)
        seen = (r"-198\03218\0321\03210.provider.example",)
        assert rfc2136.names_of("198.18.1.10") == seen
        (result,) = provider(server).plan([WANTED])
        assert (result.status, result.before) == ("changed", seen)
        assert rf"PTR {seen[0]}. ;" in model.zone_file([result], after=False)
        provider(server).apply([result])
        assert provider(server).plan([WANTED])[0].status == "ok"


def test_several_names_are_not_the_wanted_one() -> None:
    with authority() as server:
        server.zones[V4][(NAME4, "PTR")] = ["mail.example.com.", "other.example."]
        (planned,) = provider(server, zone="").plan([WANTED])
        assert (planned.status, planned.zone) == ("changed", V4)
        provider(server).apply([planned])
        assert server.zones[V4][(NAME4, "PTR")] == ["mail.example.com."]


def test_reading_needs_no_key() -> None:
    with authority() as server:
        assert provider(server, key=None).plan([WANTED])[0].status == "changed"


OTHER = base64.b64encode(b"another secret of thirty two by.").decode()


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (Key("mailstead-ptr", "hmac-sha256", OTHER), "BADSIG"),
        (Key("nobody", "hmac-sha256", SECRET), "BADKEY"),
        (None, "REFUSED"),
        (Key("mailstead-ptr", "hmac-sha256", "not base64!"), "malformed"),
    ],
)
def test_a_refused_key_is_told(key: Key | None, words: str) -> None:
    with authority() as server:
        link = provider(server, key)
        planned = link.plan([WANTED])
        with pytest.raises(MailsteadError) as caught:
            link.apply(planned)
        code, what = problem(caught)
        assert code == "MS-DNS-053" and words in what
        assert server.updates == 0


def test_a_lost_question_is_repeated_and_a_silent_server_reported() -> None:
    with authority(deaf=2) as server:
        assert provider(server).plan([WANTED])[0].status == "changed"
    with authority(deaf=99) as server, pytest.raises(MailsteadError) as caught:
        provider(server).plan([WANTED])
    assert problem(caught) == ("MS-DNS-052", f"PTR {NAME4}: no answer in time")


def test_a_server_that_refuses_or_is_not_authoritative() -> None:
    with authority(rcode=dns.rcode.SERVFAIL) as server, pytest.raises(MailsteadError) as caught:
        provider(server).plan([WANTED])
    assert "SERVFAIL" in problem(caught)[1]
    with authority(lame=True) as server, pytest.raises(MailsteadError) as caught:
        provider(server, zone="").plan([WANTED])
    assert "not authoritative" in problem(caught)[1]
    with authority() as server:
        link = provider(server, zone="")
        with pytest.raises(MailsteadError) as caught:
            link.plan([PtrWanted("203.0.113.1", "mail.example.com", "x")])
    assert "REFUSED" in problem(caught)[1]


def test_an_accepted_update_that_is_not_served_is_reported() -> None:
    now = [0.0]

    def pause(seconds: float) -> None:
        now[0] += 5.0

    with authority(frozen=True) as server:
        link = provider(server, pause=pause, clock=lambda: now[0])
        planned = link.plan([WANTED])
        with pytest.raises(MailsteadError) as caught:
            link.apply(planned)
    code, what = problem(caught)
    assert code == "MS-DNS-052" and "198.18.1.10 → mail.example.com" in what


def test_a_server_name_that_does_not_resolve() -> None:
    link = Rfc2136Ptr(Server("no-such-host.invalid", 53, None))
    with pytest.raises(MailsteadError) as caught:
        link.plan([WANTED])
    assert "cannot be resolved" in problem(caught)[1]


def test_the_key_does_not_show_its_secret() -> None:
    assert SECRET not in repr(KEY) and SECRET not in repr(Server("x", 53, KEY))


def test_wanted_records_are_canonical() -> None:
    assert PtrWanted("2001:2:0:2::10", "mail.example.com", "vps1") == WANTED6
    assert WANTED6.reverse == "0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.0.0.0.0.0.2.0.0.0.1.0.0.2.ip6.arpa"


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("198.18.1.0/24", "mail.example.com"),
        ("mail.example.com", "mail.example.com"),
        ("127.0.0.1", "mail.example.com"),
        ("fe80::1", "mail.example.com"),
        ("2001:db8::1%eth0", "mail.example.com"),
        ("::ffff:198.18.1.10", "mail.example.com"),
        ("198.18.1.10", "198.18.1.10"),
        ("198.18.1.10", "localhost"),
        ("198.18.1.10", "."),
        ("", ""),
    ],
)
def test_what_cannot_be_a_reverse_record_is_refused(address: str, name: str) -> None:
    with pytest.raises(MailsteadError) as caught:
        read_wanted(address, name, "vps1")
    assert {p.code for p in caught.value.problems} == {"MS-PTR-001"}


def test_one_address_has_one_name() -> None:
    model.one_name_each([WANTED, WANTED, WANTED6])
    with pytest.raises(MailsteadError):
        model.one_name_each([WANTED, PtrWanted("198.18.1.10", "other.example.com", "vps1")])


@pytest.mark.parametrize(
    ("names", "says"),
    [(None, "could not be looked up"), ((), "has none"), (("vps1.provider.example",), "vps1.provider.example")],
)
def test_manual_says_what_to_set_and_where(names: tuple[str, ...] | None, says: str) -> None:
    (result,) = ManualProvider({"198.18.1.10": names}).plan([WANTED])
    assert result.status == "manual"
    for words in (
        "198.18.1.10",
        "Enter exactly: mail.example.com",
        "vps1",
        f"{NAME4}. PTR mail.example.com.",
        says,
        "IPv4",
    ):
        assert words in result.instructions


def test_manual_is_silent_when_it_is_right() -> None:
    (result,) = ManualProvider({"198.18.1.10": ("mail.example.com",)}).plan([WANTED])
    assert (result.status, result.instructions) == ("ok", "")


def test_the_diff_shows_what_changes() -> None:
    with authority() as server:
        planned = provider(server).plan([WANTED])
    assert model.zone_file(planned, after=False) == f"{NAME4}. IN PTR vps1.provider.example. ; 198.18.1.10\n"
    assert model.zone_file(planned, after=True) == f"{NAME4}. IN PTR mail.example.com. ; 198.18.1.10\n"


def test_names_of_an_address_by_the_systems_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    with authority() as server:
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], server.port
        monkeypatch.setattr(dns.resolver, "default_resolver", resolver)
        assert rfc2136.names_of("198.18.1.10") == ("vps1.provider.example",)
        assert rfc2136.names_of("198.18.1.11") == ()
        server.rcode = dns.rcode.SERVFAIL
        assert rfc2136.names_of("198.18.1.10", lifetime=0.5) is None
