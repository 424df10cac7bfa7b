# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The DS of a zone, asked from servers of its parent on loopback."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dns.rcode
import dns.resolver
import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare import parent
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.dnssec import ParentUnknownError
from ansible_collections.mailstead.stack.plugins.module_utils.dns.gate import Seen, SilentError, ask_server

from tests.unit.dns.authority import Authority

ZONE = "example.com"
DS = "2371 13 2 " + "ab" * 32
OTHER = "99 8 2 " + "cd" * 32


def published(ds: Sequence[str] = (DS,)) -> dict[str, Any]:
    return {"com": {(ZONE, "DS"): list(ds), ("com", "NS"): ["ns1.example.net."], (ZONE, "NS"): ["ns.example.net."]}}


def delegation(cached: Sequence[str] = (), servers: Sequence[str] = ("ns1.example.net",)) -> Any:
    return lambda _zone, _deadline: ("com", servers, cached)


def look(authority: Authority, cached: Sequence[str] = (), **more: Any) -> tuple[str, ...]:
    return parent.parent_ds(
        ZONE,
        2.0,
        delegation(cached),
        lambda address, question: ask_server(address, question, authority.port, 0.3),
        lambda _name: ["127.0.0.1"],
        **more,
    )


def test_what_the_parents_server_says() -> None:
    with Authority(published([DS, OTHER])) as authority:
        assert look(authority) == tuple(sorted((DS, OTHER)))
        assert authority.questions == [(ZONE, "DS")]


def test_no_ds_and_no_such_name_are_both_none() -> None:
    with Authority({"com": {(ZONE, "NS"): ["ns.example.net."]}}) as authority:
        assert look(authority) == ()
    with Authority({"com": {}}) as authority:
        assert look(authority) == ()


def test_what_a_cache_remembers_counts() -> None:
    with Authority({"com": {}}) as authority:
        assert look(authority, cached=[DS]) == (DS,)


@pytest.mark.parametrize("broken", [{"rcode": dns.rcode.SERVFAIL}, {"lame": True}, {"deaf": 9}])
def test_a_server_that_does_not_know_proves_nothing(broken: dict[str, Any]) -> None:
    with Authority(published(), **broken) as authority:
        with pytest.raises(ParentUnknownError, match="no server of com answers"):
            look(authority)
        assert look(authority, cached=[DS]) == (DS,)


def test_one_server_that_answers_is_enough() -> None:
    asked: list[str] = []

    def ask(address: str, _question: tuple[str, str]) -> Seen:
        asked.append(address)
        if address == "192.0.2.2":
            return Seen(frozenset([DS]))
        raise SilentError("no answer in time", final=False)

    def resolve(name: str) -> Sequence[str]:
        if name == "gone.example.net":
            raise OSError(-2, "unknown")
        return {"a.example.net": [f"192.0.2.1{i}" for i in range(9)], "b.example.net": ["192.0.2.2"]}[name]

    servers = ("a.example.net", "gone.example.net", "b.example.net")
    assert parent.parent_ds(ZONE, 2.0, delegation(servers=servers), ask, resolve) == (DS,)
    assert len(asked) == parent.ADDRESSES and "192.0.2.2" in asked


def test_servers_without_addresses_are_told() -> None:
    def resolve(_name: str) -> Sequence[str]:
        raise OSError(-2, "unknown")

    with pytest.raises(ParentUnknownError, match=r"ns1\.example\.net: unknown"):
        parent.parent_ds(ZONE, 2.0, delegation(), resolve=resolve)
    with pytest.raises(ParentUnknownError, match="no name servers"):
        parent.parent_ds(ZONE, 2.0, delegation(servers=()), resolve=resolve)


def test_the_deadline_ends_the_questions() -> None:
    def ask(_address: str, _question: tuple[str, str]) -> Seen:
        raise AssertionError("asked after the deadline")

    with pytest.raises(ParentUnknownError, match="no time left"):
        parent.parent_ds(ZONE, 0.0, delegation(), ask, lambda _name: ["127.0.0.1"])


# -- by this system's resolver ----------------------------------------------------------------------------------------


@pytest.fixture(name="resolver")
def fixture_resolver(monkeypatch: pytest.MonkeyPatch) -> Any:
    def use(port: int) -> None:
        class Local(dns.resolver.Resolver):
            def __init__(self) -> None:
                super().__init__(configure=False)
                self.nameservers, self.port = ["127.0.0.1"], port

        monkeypatch.setattr(dns.resolver, "Resolver", Local)

    return use


def test_the_delegation_as_the_resolver_sees_it(resolver: Any) -> None:
    with Authority(published()) as authority:
        resolver(authority.port)
        assert parent.system_delegation(ZONE, 4.0) == ("com", ["ns1.example.net"], [DS])
        # Down to the zone cut: deep.example.com is no zone, so the parent of x.deep.example.com is com here.
        assert parent.system_delegation(f"x.deep.{ZONE}", 4.0)[0] == "com"


def test_no_cached_ds(resolver: Any) -> None:
    with Authority({"com": {("com", "NS"): ["ns1.example.net."]}}) as authority:
        resolver(authority.port)
        assert parent.system_delegation(ZONE, 4.0) == ("com", ["ns1.example.net"], ())


def test_a_resolver_that_fails(resolver: Any) -> None:
    with Authority({}, rcode=dns.rcode.SERVFAIL) as authority:
        resolver(authority.port)
        with pytest.raises(ParentUnknownError, match="the resolver does not know the parent zone"):
            parent.system_delegation(ZONE, 1.0)
