# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mail record set: which DNS records a domain and its public hosts need, in which phase, and why."""

from __future__ import annotations

from typing import Iterable, List, Optional, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import (
    DKIM_ALGORITHMS,
    Deferred,
    DkimPlan,
    DmarcPlan,
    DomainPlan,
    EdgePlan,
    HomePlan,
    Record,
)
from ansible_collections.mailstead.stack.plugins.module_utils.plan.phases import PHASES
from ansible_collections.mailstead.stack.plugins.module_utils.providers.mixing import Composed

TTL = 3600
#: A sender re-reads a policy when the id changes: the id must not be the thing that is cached longest.
TTL_STS_ID = 300

#: The names under which known authorities recognise themselves in CAA (RFC 8659 §4.2), by host of their directory.
CAA_ISSUERS = {
    "acme-v02.api.letsencrypt.org": "letsencrypt.org",
    "acme-staging-v02.api.letsencrypt.org": "letsencrypt.org",
    "acme.zerossl.com": "sectigo.com",
    "dv.acme-v02.api.pki.goog": "pki.goog",
    "acme.buypass.com": "buypass.com",
}


def in_order(found: Iterable[Record]) -> Tuple[Record, ...]:
    """Sorted by phase, name, type and content; equal records of several domains on one host count once."""
    unique = {(r.name, r.type, r.content, r.deferred): r for r in found}
    return tuple(sorted(unique.values(), key=lambda r: (PHASES.index(r.phase), r.name, r.type, r.content)))


def caa_issuer(directory: str) -> str:
    """The CAA name of the authority behind an ACME directory, or nothing when it is not known."""
    host = directory.split("//", 1)[-1].split("/", 1)[0].split(":", 1)[0].lower()
    return CAA_ISSUERS.get(host, "")


def caa(zone: str, name: str, directory: str, challenge: str) -> List[Record]:
    """Who may issue certificates for the name of a mail host, and how it is proved; nothing for an unknown authority."""
    issuer = caa_issuer(directory)
    if not issuer:
        return []
    value = f"{issuer}; validationmethods={challenge}"
    why = "only this authority, only by this challenge (RFC 8657)"
    nobody = "nobody needs a wildcard for a mail host"
    return [
        Record(zone, name, "CAA", f'0 issue "{value}"', TTL, "policy", "caa", why),
        Record(zone, name, "CAA", '0 issuewild ";"', TTL, "policy", "caa", nobody),
    ]


def of_edge(edge: EdgePlan, zone: str, home: Optional[HomePlan], dane: bool) -> List[Record]:
    """Records of a public host: address, HELO identity, CAA, TLSA."""

    def record(
        name: str, kind: str, content: str, phase: str, role: str, reason: str, deferred: Optional[Deferred] = None
    ) -> Record:
        return Record(zone, name, kind, content, TTL, phase, role, reason, deferred)

    out: List[Record] = []
    for name, role in ((edge.mail_name, "host"), (edge.relay_name, "relay")):
        out.append(record(name, "A", edge.ipv4, "address", role, f"public address of {edge.host}"))
        if edge.ipv6:
            out.append(record(name, "AAAA", edge.ipv6, "address", role, f"public IPv6 address of {edge.host}"))
        out.append(
            record(
                name,
                "TXT",
                "v=spf1 a -all",
                "identity",
                "spf-helo",
                "receivers check the HELO name too (RFC 7208 §2.3)",
            )
        )
    if home is None:
        return out
    out += caa(zone, edge.mail_name, home.acme_directory, home.acme_challenge)
    if dane:
        out.append(
            record(
                f"_25._tcp.{edge.mail_name}",
                "TLSA",
                "3 1 1 <hash of the certificate's key>",
                "certificate",
                "dane",
                "binds port 25 to the server's key (RFC 7672)",
                Deferred("tlsa", edge.mail_name),
            )
        )
    return out


def forwarded_bounces(edge: EdgePlan, zone: str) -> Record:
    """DMARC of the name in which an edge's relay writes its bounces, where some of them are forwarded.

    They bear no signature, and behind a forwarder SPF no longer speaks for them: under the domain's own policy whoever
    sent the mail would never learn that it came back.
    """
    why = f"bounces of {edge.host} to domains whose mail others forward are not signed"
    return Record(zone, f"_dmarc.{edge.relay_name}", "TXT", "v=DMARC1; p=none", TTL, "policy", "dmarc", why)


def reports(zone: str, name: str, dmarc: DmarcPlan, tls_rpt: Tuple[str, ...], why: str) -> List[Record]:
    """What every mail domain says to those who get mail in its name: DMARC and TLS-RPT."""
    rua = ",".join(f"mailto:{a}" for a in dmarc.rua)
    text = f"v=DMARC1; p={dmarc.policy}; np={dmarc.np}; adkim={dmarc.adkim}; aspf={dmarc.aspf}; rua={rua}"
    out = [Record(zone, f"_dmarc.{name}", "TXT", text, TTL, "policy", "dmarc", why)]
    if tls_rpt:
        text = "v=TLSRPTv1; rua=" + ",".join(f"mailto:{a}" for a in tls_rpt)
        why = "senders report TLS failures (RFC 8460)"
        out.append(Record(zone, f"_smtp._tls.{name}", "TXT", text, TTL, "policy", "tls-rpt", why))
    return out


def of_domain(domain: DomainPlan, egress: EdgePlan, composed: Composed) -> List[Record]:
    """Records of a mail domain: MX, SPF, DKIM, DMARC, MTA-STS, TLS-RPT, service discovery.

    composed: the SPF record of our own server and of further senders.
    """
    name, host = domain.name, domain.mail_hosts[0]

    def record(label: str, kind: str, content: str, phase: str, role: str, reason: str, ttl: int = TTL) -> Record:
        return Record(domain.zone, f"{label}.{name}" if label else name, kind, content, ttl, phase, role, reason)

    out = [_dkim(domain, algorithm) for algorithm in domain.dkim.algorithms]
    alone = all(share.lookups == 0 and share.who == (egress.host,) for share in composed.shares)
    why = f"mail leaves from {egress.host} {'alone' if alone else 'and others'}"
    out.append(record("", "TXT", composed.text, "policy", "spf", why))
    why = f"policy {domain.dmarc.policy} for mail that is not ours (RFC 9989)"
    out += reports(domain.zone, name, domain.dmarc, domain.tls_rpt, why)
    for number, mail_host in enumerate(domain.mail_hosts, start=1):
        out.append(
            record("", "MX", f"{number * 10} {mail_host}", "delivery", "mx", f"mail for {name} is delivered there")
        )
    if domain.mta_sts != "off":
        out.append(
            record("mta-sts", "CNAME", host, "address", "mta-sts", "the policy is served over HTTPS under this name")
        )
        text = f"v=STSv1; id={domain.mta_sts_id}"
        out.append(
            record(
                "_mta-sts",
                "TXT",
                text,
                "delivery",
                "mta-sts",
                f"policy in mode {domain.mta_sts} (RFC 8461)",
                TTL_STS_ID,
            )
        )
    out.append(
        record("autoconfig", "CNAME", host, "address", "autoconfig", "mail programs look for their settings there")
    )
    out.append(record("autodiscover", "CNAME", host, "address", "autoconfig", "Microsoft's mail programs look there"))
    offered = (("_submissions._tcp", 465), ("_imaps._tcp", 993), ("_jmap._tcp", 443), ("_autodiscover._tcp", 443))
    for label, port in offered:
        out.append(
            record(
                label, "SRV", f"0 1 {port} {host}", "delivery", "autoconfig", "service discovery (RFC 6186, RFC 8620)"
            )
        )
    for label in ("_submission._tcp", "_imap._tcp", "_pop3._tcp", "_pop3s._tcp"):
        out.append(record(label, "SRV", "0 0 0 .", "delivery", "autoconfig", "expressly not offered (RFC 6186 §3.4)"))
    return out


def spf_addresses(egress: EdgePlan) -> List[str]:
    """The SPF terms of the addresses from which an edge sends."""
    return [f"ip4:{egress.ipv4}", *([f"ip6:{egress.ipv6}"] if egress.ipv6 else [])]


def of_submission(domain: DomainPlan, egress: EdgePlan, lead: bool = True) -> List[Record]:
    """Records of a domain that is only sent from home: its keys, and where mail programs hand in mail.

    lead: false where whoever takes the mail has names for mail programs; two would be asked in turn.
    SPF and the policies are with those of its inbound side.
    """
    why = "where mail in this name is handed in (RFC 6186); it is read elsewhere"
    name = f"_submissions._tcp.{domain.name}"
    place = Record(domain.zone, name, "SRV", f"0 1 465 {egress.mail_name}", TTL, "delivery", "autoconfig", why)
    return [*(_dkim(domain, algorithm) for algorithm in domain.dkim.algorithms), *([place] if lead else [])]


def dkim(zone: str, domain: str, plan: DkimPlan, algorithm: str, service: str = "") -> Record:
    """A public key of a domain. service: the one on whose host it is made; none for a home's own."""
    kind = "ed25519" if algorithm == "ed25519" else "rsa"
    whose = f" for {service}" if service else ""
    return Record(
        zone=zone,
        name=f"<{plan.selector}{DKIM_ALGORITHMS[algorithm]}>._domainkey.{domain}",
        type="TXT",
        content=f"v=DKIM1; k={kind}; h=sha256; p=<public key>",
        ttl=TTL,
        phase="keys",
        role=f"dkim-{DKIM_ALGORITHMS[algorithm]}",
        reason=f"{algorithm} key of {domain}{whose} (RFC 6376{', RFC 8463' if kind == 'ed25519' else ''})",
        deferred=Deferred("dkim", f"{domain}/{algorithm}{'@' if service else ''}{service}"),
    )


def _dkim(domain: DomainPlan, algorithm: str) -> Record:
    return dkim(domain.zone, domain.name, domain.dkim, algorithm)
