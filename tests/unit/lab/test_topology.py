# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The topology is consistent in itself: addresses, gateways, names, certificates and the delegations that follow."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import dns.message
import dns.name
import dns.rdatatype
import dns.zone
import pytest
import yaml

from lab import dns as lab_dns
from lab import names, paths, wiring
from lab.topology import (
    CONTROLLER,
    EGRESS,
    EGRESS_MODES,
    GUARDED4,
    GUARDED6,
    HOSTS,
    NETWORKS,
    SOURCES,
    TUNNEL_ZONES,
    host,
    network,
)

ZONES = names.all_zones()
INVENTORY = paths.ROOT / "inventory" / "lab"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, lab_dns.SigningKey]:
    patch = pytest.MonkeyPatch()
    patch.setattr(paths, "DNS_KEYS", tmp_path_factory.mktemp("dns") / "keys.json")
    made = lab_dns.signing_keys(ZONES)
    patch.undo()
    return made


@pytest.fixture(scope="module")
def parsed(keys: dict[str, lab_dns.SigningKey]) -> dict[str, dns.zone.Zone]:
    return {
        z.name: dns.zone.from_text(lab_dns.zone_file(z, ZONES, keys), f"{z.name}.", relativize=False) for z in ZONES
    }


def addresses() -> list[tuple[str, str, str]]:
    """(who, network, address) of everything that has one."""
    found = [(h.name, link.network, a) for h in HOSTS for link in h.links for a in (link.ipv4, link.ipv6, *link.extra)]
    found += [("gateway", n.name, a) for n in NETWORKS for a in (n.gateway4, n.gateway6)]
    return [
        *found,
        ("controller", CONTROLLER.network, CONTROLLER.ipv4),
        ("controller", CONTROLLER.network, CONTROLLER.ipv6),
    ]


def test_no_address_is_given_twice() -> None:
    all_of_them = [ipaddress.ip_address(a) for _, _, a in addresses()]
    assert len(set(all_of_them)) == len(all_of_them) > 40


@pytest.mark.parametrize(("who", "where", "address"), addresses())
def test_each_address_lies_in_its_network(who: str, where: str, address: str) -> None:
    net, parsed_address = network(where), ipaddress.ip_address(address)
    assert any(parsed_address in ipaddress.ip_network(r) for r in (net.ipv4, net.ipv6)), who


def test_public_addresses_are_benchmarking_addresses() -> None:
    public = [ipaddress.ip_address(a) for _, where, a in addresses() if where != "lan" or ":" in a]
    guarded = ipaddress.ip_network(GUARDED4), ipaddress.ip_network(GUARDED6)
    assert all(any(a in g for g in guarded) for a in public)
    assert ipaddress.ip_network(network("lan").ipv4).is_private


def test_every_gateway_has_an_owner_on_its_network() -> None:
    for net in NETWORKS:
        assert net.name in {link.network for link in host(net.owner).links}


def test_interface_names_fit_the_kernel() -> None:
    assert all(len(n.bridge) <= 15 for n in NETWORKS) and len(CONTROLLER.interface) <= 15


def test_the_access_provider_blocks_port_25_in_both_families_and_the_cloud_does_not() -> None:
    modes = {(e.network, e.family): e.mode for e in EGRESS}
    assert modes["isp", 4] == modes["isp", 6] == "drop"
    assert modes["cloud", 4] == modes["cloud", 6] == "open"
    home6 = ipaddress.ip_address(host("home").address6())
    assert any(home6 in ipaddress.ip_network(s) for s in SOURCES["isp", 6])


@pytest.mark.parametrize("mode", EGRESS_MODES)
@pytest.mark.parametrize("family", [4, 6])
def test_every_egress_mode_has_a_rule_of_its_own(mode: str, family: int) -> None:
    rule = wiring.egress_rule(family, mode)
    others = {wiring.egress_rule(family, other) for other in EGRESS_MODES if other != mode}
    assert rule not in others
    assert (rule == "") == (mode == "open")


def test_an_unknown_egress_mode_is_refused() -> None:
    with pytest.raises(KeyError):
        wiring.egress_rule(4, "mostly")


def test_the_router_sends_each_source_through_its_own_chain() -> None:
    rules = wiring.router_rules()
    for policy in EGRESS:
        chain = wiring.egress_chain(policy.network, policy.family)
        assert f"chain {chain} {{" in rules
        assert f"tcp dport 25 jump {chain}" in rules


def test_nobody_but_the_product_sets_the_edges_reverse_name() -> None:
    pointed = {a for a, _ in names.POINTERS}
    edge, subscriber = host("vps1"), host("cpe")
    assert not pointed & {edge.address4(), edge.address6(), subscriber.address4(), subscriber.address6()}


def resolve(parsed: dict[str, dns.zone.Zone], name: str, type: str) -> set[str]:
    """Follow the delegations from the root by the zone files alone; the text of the records found."""
    wanted = dns.name.from_text(name)
    zone = ""
    while True:
        below = [
            z.name
            for z in ZONES
            if z.name and names.covers(z.name, name.rstrip(".")) and z.name != zone and names.covers(zone, z.name)
        ]
        child = min(below, key=len, default=None)
        if child is None:
            found = parsed[zone].get_rdataset(wanted, type)
            return {r.to_text() for r in found} if found else set()
        cut = dns.name.from_text(child)
        assert parsed[zone].get_rdataset(cut, "NS"), f"{child} is not delegated from {zone or '.'}"
        zone = child


def test_every_delegation_is_signed_with_the_childs_key(
    parsed: dict[str, dns.zone.Zone], keys: dict[str, lab_dns.SigningKey]
) -> None:
    for zone in ZONES:
        parent = lab_dns.parent_of(zone, ZONES)
        if parent is None:
            assert zone.name == ""
            continue
        delegation = parsed[parent.name].get_rdataset(dns.name.from_text(zone.name), "DS")
        assert delegation is not None
        assert [r.to_text() for r in delegation] == [keys[zone.name].ds]


def test_parent_and_child_name_the_same_servers(parsed: dict[str, dns.zone.Zone]) -> None:
    for zone in ZONES:
        parent = lab_dns.parent_of(zone, ZONES)
        if parent is not None:
            apex = dns.name.from_text(zone.name)
            assert parsed[parent.name].get_rdataset(apex, "NS") == parsed[zone.name].get_rdataset(apex, "NS")


def test_every_name_that_a_record_points_to_has_an_address(parsed: dict[str, dns.zone.Zone]) -> None:
    targets = set()
    for zone in parsed.values():
        for _, _, rdata in zone.iterate_rdatas():
            if rdata.rdtype in (dns.rdatatype.NS, dns.rdatatype.PTR, dns.rdatatype.MX):
                targets.add(rdata.to_text().split()[-1])
    assert len(targets) > 10
    for target in targets:
        assert resolve(parsed, target, "A"), target


def test_every_server_answers_at_the_address_its_name_has(parsed: dict[str, dns.zone.Zone]) -> None:
    given = {a for link in host("dns").links for a in (link.ipv4, link.ipv6, *link.extra)}
    for server in names.SERVERS:
        for name, v4, v6 in zip(server.names, server.ipv4(), server.ipv6(), strict=True):
            assert resolve(parsed, name, "A") == {v4}
            assert resolve(parsed, name, "AAAA") == {str(ipaddress.ip_address(v6))}
            assert {v4, v6} <= given


def test_every_certificate_is_for_names_that_lead_to_its_machine(parsed: dict[str, dns.zone.Zone]) -> None:
    for machine in HOSTS:
        own = {a for link in machine.links for a in (link.ipv4, *link.extra)}
        for certificate in machine.certificates:
            for name in certificate.names:
                assert resolve(parsed, name, "A") <= own, name
                # What is in zones at the API twin, such as a tunnel's host name, is published only later.
                later = any(names.covers(zone, name) for zone in names.TWIN_ZONES)
                assert later or resolve(parsed, name, "A"), name


def test_the_edge_has_certificates_for_every_zone_at_the_api_twin() -> None:
    (certificate,) = host("tunnel-edge").certificates
    assert TUNNEL_ZONES == names.TWIN_ZONES
    assert {f"*.{zone}" for zone in names.TWIN_ZONES} < set(certificate.names)


def test_reverse_and_forward_agree_for_every_mail_exchanger(parsed: dict[str, dns.zone.Zone]) -> None:
    for address, name in names.POINTERS:
        family = "AAAA" if ":" in address else "A"
        reverse = ipaddress.ip_address(address).reverse_pointer
        assert resolve(parsed, reverse, "PTR") == {f"{name}."}
        assert str(ipaddress.ip_address(address)) in resolve(parsed, name, family)


def test_the_customers_zones_start_empty(parsed: dict[str, dns.zone.Zone]) -> None:
    for name in (*names.TWIN_ZONES, *names.OWN_ZONES):
        assert {rdata.rdtype for _, _, rdata in parsed[name].iterate_rdatas()} == {dns.rdatatype.SOA, dns.rdatatype.NS}


def test_only_the_right_keys_may_change_a_zone() -> None:
    allowed = {z.name: set(z.keys) for z in ZONES}
    assert all(allowed[z] == {names.TWIN_KEY} for z in names.TWIN_ZONES)
    assert all(allowed[z] == {names.PTR_KEY} for z in names.REVERSE_ZONES)
    assert all(allowed[z] == {names.OWN_KEY} for z in names.OWN_ZONES)
    keyed = {*names.TWIN_ZONES, *names.REVERSE_ZONES, *names.OWN_ZONES}
    assert not any(allowed[z] for z in allowed if z not in keyed)


def test_long_text_is_divided_into_strings_of_255_octets(keys: dict[str, lab_dns.SigningKey]) -> None:
    text = 'v=DKIM1; p="\\' + "A" * 600
    zones = names.all_zones((names.Record("long.example.org", "TXT", text),))
    source = lab_dns.zone_file(next(z for z in zones if z.name == "example.org"), zones, keys)
    zone = dns.zone.from_text(source, "example.org.", relativize=False)
    found = zone.get_rdataset(dns.name.from_text("long.example.org"), "TXT")
    assert found is not None
    assert b"".join(found[0].strings).decode() == text
    assert [len(s) for s in found[0].strings] == [255, 255, len(text) - 510]


def inventory(path: str) -> dict[str, object]:
    return dict(yaml.safe_load((INVENTORY / path).read_text(encoding="utf-8")))


def test_the_inventory_names_the_topologys_addresses() -> None:
    groups = inventory("hosts.yml")["all"]["children"]  # type: ignore[index]
    for group in ("mail_home", "mail_edge", "mail_vantage"):
        for name, variables in groups[group]["hosts"].items():
            assert variables["ansible_host"] == host(name).address4()
            assert host(name).ssh
    edge: dict[str, object] = inventory("host_vars/vps1.yml")["mail_host"]  # type: ignore[assignment]
    assert edge["ipv4"] == host("vps1").address4()
    ptr: dict[str, str] = edge["ptr"]  # type: ignore[assignment]
    reverse = next(s for s in names.SERVERS if s.role == "reverse")
    assert (ptr["server"], ptr["key_name"]) == (reverse.ipv4()[0], names.PTR_KEY)
    assert ptr["zone"] in names.REVERSE_ZONES
    assert names.covers(ptr["zone"], ipaddress.ip_address(str(edge["ipv4"])).reverse_pointer)


def test_binds_lead_into_the_repository() -> None:
    for machine in HOSTS:
        for bind in machine.binds:
            assert (paths.ROOT / bind.source).resolve().is_relative_to(paths.ROOT)
            assert Path(bind.target).is_absolute()
