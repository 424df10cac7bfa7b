# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random zones and random wanted sets for promises that hold for any of them."""

from __future__ import annotations

from typing import Any

from ansible_collections.mailstead.stack.plugins.module_utils.dns.reconcile import ZoneResult
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Want
from hypothesis import strategies as st

from tests.unit.cloudflare.support import ZONE, Bench, want

FREE = ("last_mx", "delete_limit")
POLICY = {"mx": "merge", "dmarc": "merge", "other": "replace"}
HOSTS = [f"{n}.{ZONE}" for n in ("mail", "mx2", "edge")]
DMARC = f"_dmarc.{ZONE}"


def tls_name(host: str) -> str:
    return f"_25._tcp.{host}"


#: Everything a wanted set may hold; a set is a choice of these in which no two exclude each other.
POOL: list[Want] = [
    *(want(h, "A", f"198.18.1.{n}", "address", "host", ttl=t) for h in HOSTS for n, t in ((1, 300), (2, 3600))),
    *(want(h, "AAAA", f"2001:2::{n}", "address", "host") for h in HOSTS for n in (1, 2)),
    *(want(f"autoconfig.{ZONE}", t, v, "address", "autoconfig") for t, v in (("A", "198.18.1.9"), ("CNAME", HOSTS[0]))),
    *(
        want(ZONE, "TXT", f"v=spf1 {terms} -all", "policy", "spf")
        for terms in ("mx", "ip4:198.18.1.1", "a mx ip4:198.18.1.2")
    ),
    *(
        want(DMARC, "TXT", f"v=DMARC1; p={p}; rua=mailto:{r}@{ZONE}", "policy", "dmarc")
        for p, r in (("none", "a"), ("reject", "b"))
    ),
    *(want(f"_smtp._tls.{ZONE}", "TXT", f"v=TLSRPTv1; rua=mailto:{r}@{ZONE}", "policy", "tls-rpt") for r in ("a", "b")),
    *(want(HOSTS[0], "CAA", f'0 issue "{ca}.example"', "policy", "caa") for ca in ("one", "two")),
    *(want(tls_name(HOSTS[0]), "TLSA", f"3 1 1 {d * 32}", "certificate", "dane") for d in ("ab", "cd", "ef")),
    *(want(ZONE, "MX", f"{n} {h}", role="mx") for n in (10, 20) for h in HOSTS),
    *(want(f"_imaps._tcp.{ZONE}", "SRV", f"0 1 993 {h}", role="autoconfig") for h in HOSTS),
]
SINGLE = {"spf", "dmarc", "tls-rpt"}


def consistent(chosen: list[Want]) -> list[Want]:
    """One record per single policy, no alias beside an address."""
    out: list[Want] = []
    taken: set[str] = set()
    for record in chosen:
        place = record.role if record.role in SINGLE or record.name.startswith("autoconfig") else ""
        if place in taken:
            continue
        if place:
            taken.add(place)
        out.append(record)
    return out


WANTS = st.lists(st.sampled_from(POOL), unique=True, max_size=14).map(consistent)
#: Somebody else's records: at names of their own, or at ours without competing.
BYSTANDERS: list[dict[str, Any]] = [
    {"type": "A", "name": "www", "content": "203.0.113.5", "proxied": True, "comment": "web", "tags": ["team:web"]},
    {"type": "TXT", "name": ZONE, "content": "google-site-verification=abc", "comment": "seo"},
    {"type": "TXT", "name": ZONE, "content": '"in" "two parts"'},
    {"type": "TXT", "name": "mail", "content": "note"},
    {"type": "MX", "name": "lists", "content": "mx.example.net", "priority": 5},
    {"type": "NS", "name": "sub", "content": "ns1.example.net"},
    {"type": "A", "name": "h9", "content": "203.0.113.6", "comment": "mailstead:berlin:host"},
    {
        "type": "SRV",
        "name": "_sip._tcp",
        "data": {"priority": 1, "weight": 1, "port": 5060, "target": "sip.example.net"},
    },
]
#: Somebody else's records where ours have to go.
RIVALS: list[dict[str, Any]] = [
    {"type": "TXT", "name": ZONE, "content": "v=spf1 include:_spf.example.net ~all", "comment": "theirs"},
    {"type": "TXT", "name": "_dmarc", "content": "v=DMARC1; p=none; rua=mailto:x@example.net"},
    {"type": "MX", "name": ZONE, "content": "mx.example.net", "priority": 50},
    {"type": "A", "name": "mail", "content": "203.0.113.7"},
    {"type": "CNAME", "name": "autoconfig", "content": "auto.example.net"},
    {"type": "CAA", "name": "mail", "data": {"flags": 0, "tag": "issue", "value": "other.example"}},
]


def some(pool: list[dict[str, Any]]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(st.sampled_from(pool), unique_by=repr, max_size=len(pool))


def bench_with(*seeds: list[dict[str, Any]]) -> Bench:
    bench = Bench([{"name": ZONE, "plan": "pro"}])
    bench.seed(*(body for seed in seeds for body in seed))
    return bench


def apply(bench: Bench, wants: list[Want], **options: Any) -> ZoneResult:
    return bench.run(wants, POLICY, allow=FREE, **options)[0]
