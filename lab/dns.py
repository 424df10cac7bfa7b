# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the zones as data to what knotd and unbound read: zone files with delegations and DS, keys, configuration.

Each zone's one signing key (a CSK, ECDSA P-256, RFC 8624) is made here, so every DS record is known before the first
server starts: there is no hand-over to wait for, and the root's anchor can be given to hosts when they are created.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import dns.dnssec
import dns.dnssectypes
import dns.name
import dns.rdtypes.ANY.DNSKEY
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lab import paths
from lab.names import ADMIN_KEY, SERVERS, TTL, Record, Server, Zone, covers
from lab.topology import GUARDED4, GUARDED6

TSIG_ALGORITHM = "hmac-sha256"


@dataclass(frozen=True)
class SigningKey:
    """pem: PKCS #8, unencrypted; ds: rdata of the DS record for the parent (SHA-256)."""

    pem: str
    ds: str


def signing_keys(zones: tuple[Zone, ...]) -> dict[str, SigningKey]:
    """The key of every zone, kept in build/lab so that the root's anchor stays the same while that directory does."""
    kept: dict[str, str] = json.loads(paths.DNS_KEYS.read_text()) if paths.DNS_KEYS.is_file() else {}
    pems = {zone.name: kept.get(zone.name) or _new_key() for zone in zones}
    if any(kept.get(name) != pem for name, pem in pems.items()):
        paths.write_if_changed(paths.DNS_KEYS, json.dumps({**kept, **pems}, indent=1))
    return {name: SigningKey(pem, _ds(name, pem)) for name, pem in pems.items()}


def _new_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _ds(zone: str, pem: str) -> str:
    private = serialization.load_pem_private_key(pem.encode(), None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{paths.DNS_KEYS}: the key of {zone or '.'} is not an elliptic curve key")
    dnskey = dns.dnssec.make_dnskey(private.public_key(), dns.dnssectypes.Algorithm.ECDSAP256SHA256, flags=257)
    return str(dns.dnssec.make_ds(dns.name.from_text(zone + "."), dnskey, "SHA256"))


def parent_of(zone: Zone, zones: tuple[Zone, ...]) -> Zone | None:
    """The zone that delegates this one: the longest proper suffix among them; None for the root."""
    above = [z for z in zones if z.name != zone.name and covers(z.name, zone.name)]
    return max(above, key=lambda z: len(z.name)) if above and zone.name else None


def _servers() -> dict[str, Server]:
    return {s.role: s for s in SERVERS}


def _line(record: Record) -> str:
    data = record.data
    if record.type == "TXT":
        # Strings of at most 255 octets (RFC 1035 section 3.3).
        chunks = [data[i : i + 255] for i in range(0, len(data), 255)] or [""]
        data = " ".join('"' + c.replace("\\", "\\\\").replace('"', '\\"') + '"' for c in chunks)
    return f"{record.name}. {TTL} IN {record.type} {data}"


def _glue(name: str, servers: dict[str, Server]) -> list[str]:
    for server in servers.values():
        if name in server.names:
            index = server.names.index(name)
            return [f"{name}. {TTL} IN A {server.ipv4()[index]}", f"{name}. {TTL} IN AAAA {server.ipv6()[index]}"]
    raise KeyError(name)


def zone_file(zone: Zone, zones: tuple[Zone, ...], keys: dict[str, SigningKey]) -> str:
    """A zone's master file: SOA, NS, its records, and for each child NS, DS and the glue that is needed."""
    servers = _servers()
    own = servers[zone.role].names
    apex = f"{zone.name}."
    lines = [f"{apex} {TTL} IN SOA {own[0]}. hostmaster.example.org. 1 3600 600 86400 5"]
    lines += [f"{apex} {TTL} IN NS {n}." for n in own]
    lines += [_line(r) for r in zone.records]
    glue: set[str] = set(own) if zone.name == "" else set()
    for child in zones:
        parent = parent_of(child, zones)
        if parent is None or parent.name != zone.name:
            continue
        names = servers[child.role].names
        lines += [f"{child.name}. {TTL} IN NS {n}." for n in names]
        lines.append(f"{child.name}. {TTL} IN DS {keys[child.name].ds}")
        # Glue is for servers below the cut; the root gives it for all of its children, as it does on the Internet.
        glue |= {n for n in names if zone.name == "" or covers(child.name, n)}
    present = {(r.name, r.type) for r in zone.records}
    lines += [
        line
        for name in sorted(glue)
        for line in _glue(name, servers)
        if (name, "A" if " IN A " in line else "AAAA") not in present
    ]
    return "\n".join(lines) + "\n"


def root_hints() -> str:
    """What a resolver starts from."""
    server = _servers()["root"]
    lines = [f". 3600000 NS {n}." for n in server.names]
    for name, v4, v6 in zip(server.names, server.ipv4(), server.ipv6()):
        lines += [f"{name}. 3600000 A {v4}", f"{name}. 3600000 AAAA {v6}"]
    return "\n".join(lines) + "\n"


def root_anchor(keys: dict[str, SigningKey]) -> str:
    """The root's DS, in the form that unbound's trust-anchor-file and Debian's root.key share."""
    return f". 172800 IN DS {keys[''].ds}\n"


def knot_config(role: str, zones: tuple[Zone, ...], secrets: dict[str, str]) -> str:
    """knot.conf of the server for one part of the tree. secrets: TSIG secrets (base64) by key name."""
    server = _servers()[role]
    mine = [z for z in zones if z.role == role]
    listen = ", ".join(f"{a}@53" for a in (*server.ipv4(), *server.ipv6()))
    used = sorted({ADMIN_KEY, *(k for z in mine for k in z.keys)})
    out = [
        "server:",
        f"    rundir: /run/knot/{role}",
        f"    listen: [ {listen} ]",
        "    udp-workers: 1",
        "    tcp-workers: 1",
        "    background-workers: 1",
        "log:",
        "  - target: stderr",
        "    any: info",
        "database:",
        f"    storage: /var/lib/knot/{role}",
        "key:",
    ]
    for name in used:
        out += [f"  - id: {name}", f"    algorithm: {TSIG_ALGORITHM}", f"    secret: {secrets[name]}"]
    out += ["acl:"]
    for name in used:
        out += [f"  - id: {name}", f"    key: {name}", "    action: [ update, transfer ]"]
    out += [
        "policy:",
        "  - id: lab",
        "    algorithm: ecdsap256sha256",
        "    single-type-signing: on",
        "    ksk-lifetime: 0",
        "    zsk-lifetime: 0",
        "    cds-cdnskey-publish: none",
        "    dnskey-ttl: 60",
        "template:",
        "  - id: default",
        "    storage: /lab/dns/zones",
        '    file: "%s.zone"',
        "    dnssec-signing: on",
        "    dnssec-policy: lab",
        "    serial-policy: increment",
        # Updates live in the journal and are applied on top of the file at a restart.
        "    zonefile-load: whole",
        "    zonefile-sync: -1",
        "    journal-content: changes",
        "zone:",
    ]
    for zone in mine:
        acl = ", ".join((ADMIN_KEY, *zone.keys))
        out += [f'  - domain: "{zone.name}."', f'    file: "{file_name(zone)}"', f"    acl: [ {acl} ]"]
    return "\n".join(out) + "\n"


def file_name(zone: Zone) -> str:
    return f"{zone.name or 'root'}.zone"


def knot_files(zones: tuple[Zone, ...], keys: dict[str, SigningKey], secrets: dict[str, str]) -> dict[str, str]:
    """Everything below /lab/dns in the name server, by relative path."""
    files = {f"{s.role}.conf": knot_config(s.role, zones, secrets) for s in SERVERS}
    for zone in zones:
        files[f"zones/{file_name(zone)}"] = zone_file(zone, zones, keys)
        files[f"keys/{zone.role}/{zone.name or 'root'}.pem"] = keys[zone.name].pem
    return files


def unbound_config() -> str:
    """The lab's validating resolver. Short caching, so that a changed record is seen within a test's patience."""
    return f"""server:
    directory: "/lab/dns"
    chroot: ""
    username: "unbound"
    pidfile: ""
    use-syslog: no
    log-time-ascii: yes
    val-log-level: 2
    interface: 0.0.0.0
    interface: ::0
    access-control: {GUARDED4} allow
    access-control: {GUARDED6} allow
    access-control: 127.0.0.0/8 allow
    num-threads: 1
    module-config: "validator iterator"
    root-hints: "/usr/share/dns/root.hints"
    trust-anchor-file: "/usr/share/dns/root.key"
    cache-max-ttl: 60
    cache-max-negative-ttl: 5
    infra-host-ttl: 5
    # Without these two unbound answers the reverse zones of special ranges by itself and tests of PTR lie.
    unblock-lan-zones: yes
    insecure-lan-zones: no
remote-control:
    control-enable: yes
    control-interface: /run/unbound.ctl
"""
