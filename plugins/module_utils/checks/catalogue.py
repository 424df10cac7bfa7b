# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every check with its stable id, what makes it fail, and where the rule stands. docs/checks.md is made from this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import FAIL, WARN

AREAS: Dict[str, str] = {
    "A": "Sending identity",
    "B": "Port 25 outwards",
    "C": "Reachability",
    "E": "DNS",
    "F": "SPF",
    "G": "DKIM",
    "H": "DMARC",
    "I": "MTA-STS and TLS reports",
    "J": "DANE",
    "K": "TLS",
    "L": "SMTP behaviour",
    "M": "Clients and messages",
    "P": "Mail really sent",
    "R": "Email Routing",
}


@dataclass(frozen=True)
class Check:
    """severity: the worst verdict the check can give. needs: ids whose failure explains a failure of this one."""

    id: str
    slug: str
    title: str
    rule: str
    ref: str
    needs: Tuple[str, ...] = ()
    severity: str = FAIL

    @property
    def area(self) -> str:
        return AREAS[self.id[0]]


#: What a message from us to somebody else needs on its way.
OUTBOUND = ("A1", "A2", "A3", "A4", "B1", "C3", "F1", "F2", "F3", "F4", "F10", "F12", "H1", "K2", "K3")

CHECKS: Tuple[Check, ...] = (
    Check("A1", "ptr.exists", "The egress address has a PTR", "none: fail; several: warn", "RFC 1912 §2.1"),
    Check(
        "A2",
        "ptr.fcrdns",
        "The PTR name leads back to the address",
        "it does not: fail",
        "RFC 8601 §2.7.3",
        ("A1", "E1"),
    ),
    Check(
        "A3",
        "ptr.helo",
        "PTR, mail host name and EHLO agree",
        "EHLO not the mail host or no FQDN: fail; PTR differs: warn",
        "RFC 5321 §4.1.1.1",
        ("A1",),
    ),
    Check(
        "A4", "helo.resolves", "The EHLO name has the egress address", "it has not: fail", "RFC 5321 §2.3.5", ("E1",)
    ),
    Check(
        "A5", "helo.spf", "SPF passes for the EHLO name", "none: warn; not pass: fail", "RFC 7208 §2.3", ("E1", "A4")
    ),
    Check(
        "A6",
        "ptr.generic",
        "The PTR name does not look like a dial-up pool",
        "it does: warn",
        "Yahoo sender rules",
        ("A1",),
        WARN,
    ),
    Check("A7", "egress.seen", "Receivers see the planned address", "another one: fail", "RFC 7208 §4", ("P1",)),
    Check(
        "B1",
        "egress.port25",
        "Port 25 outwards, by address family",
        "closed where mail leaves: fail; partly: warn",
        "RFC 5321 §2.3",
        ("B2",),
    ),
    Check(
        "B2",
        "egress.network",
        "The operators' networks are reachable at all",
        "other ports dead too: unknown",
        "control for B1",
        (),
    ),
    Check(
        "B3",
        "egress.interception",
        "Nobody answers in the operators' place",
        "foreign certificates, masked banners, missing STARTTLS: fail",
        "RFC 3207 §6",
        ("B1",),
    ),
    Check(
        "C1",
        "inbound.port25",
        "Port 25 answers the outside world",
        "closed, silent, or no mail server: fail",
        "RFC 5321 §3.1",
    ),
    Check(
        "C2",
        "inbound.client_address",
        "The server sees the client's own address",
        "the tunnel's address, or the PROXY header read as SMTP: fail",
        "PROXY protocol §2",
        ("C1",),
    ),
    Check(
        "C3",
        "inbound.client_ports",
        "Ports 465, 993 and 443 answer with TLS",
        "closed or no TLS: fail",
        "RFC 8314 §3",
        ("C2",),
    ),
    Check(
        "C4",
        "inbound.postmaster",
        "postmaster and abuse are accepted",
        "refused: fail",
        "RFC 5321 §4.5.1, RFC 2142",
        ("C1", "C2"),
    ),
    Check(
        "C5", "inbound.delay", "The banner comes within 15 seconds", "later: warn", "RFC 5321 §4.5.3.2", ("C1",), WARN
    ),
    Check(
        "E1",
        "dns.delegation",
        "Parent and zone name the same servers, and all answer",
        "lame server or different sets: fail",
        "RFC 1034 §4.2.2",
    ),
    Check(
        "E2",
        "dns.consistency",
        "All authoritative servers give the same answers",
        "they differ: warn",
        "RFC 1034 §4.3.5",
        ("E1",),
        WARN,
    ),
    Check(
        "E3",
        "mx.sane",
        "MX names hosts with public addresses",
        "none, alias, literal, private or duplicate: fail",
        "RFC 5321 §5.1, RFC 2181 §10.3",
        ("E1",),
    ),
    Check("E4", "mx.ours", "MX names exactly our hosts", "another host: fail", "one owner of MX", ("E1", "E3")),
    Check(
        "E5",
        "dns.proxied",
        "Mail names do not lead to an HTTP proxy",
        "they do: fail",
        "SMTP does not pass it",
        ("E1",),
    ),
    Check("E6", "dns.wildcard", "No wildcard answers for mail names", "one does: warn", "RFC 4592", ("E1",), WARN),
    Check(
        "E8",
        "dns.ttl",
        "Lifetimes of mail records are sane",
        "below 60 s or above a day: warn",
        "RFC 8461 §3.1",
        ("E1",),
        WARN,
    ),
    Check(
        "E9", "dns.caa", "CAA admits our certificate authority", "excludes it: fail", "RFC 8659 §4, RFC 8657", ("E1",)
    ),
    Check("E10", "dns.dnssec", "The zone validates", "bogus: fail; unsigned: warn", "RFC 4035 §5", ("E1",)),
    Check("E11", "resolver.validates", "The mail hosts' own resolvers validate", "they do not: fail", "RFC 7672 §2.1"),
    Check("E12", "clock", "Clocks agree", "more than a minute off: fail; more than 15 s: warn", "RFC 6376 §3.5"),
    Check("F1", "spf.single", "Exactly one SPF record", "none or several: fail", "RFC 7208 §4.5", ("E1",)),
    Check("F2", "spf.grammar", "The SPF record is well formed", "syntax error: fail", "RFC 7208 §4.6", ("F1",)),
    Check(
        "F3",
        "spf.lookups",
        "At most ten terms cause DNS look-ups",
        "more: fail; eight or more: warn",
        "RFC 7208 §4.6.4",
        ("F1", "F2"),
    ),
    Check("F4", "spf.void", "At most two look-ups find nothing", "more: fail", "RFC 7208 §4.6.4", ("F1", "F2")),
    Check("F6", "spf.ptr", "No ptr mechanism", "used: warn", "RFC 7208 §5.5", ("F1", "F2"), WARN),
    Check(
        "F7",
        "spf.all",
        "The record ends in -all or ~all",
        "+all: fail; ?all or none: warn",
        "RFC 7208 §5.1",
        ("F1", "F2"),
    ),
    Check(
        "F9",
        "spf.strings",
        "The record fits",
        "a string over 255 bytes cannot be published; over 450 bytes in all: warn",
        "RFC 7208 §3.3, §3.4",
        ("F1",),
        WARN,
    ),
    Check(
        "F10",
        "spf.evaluate",
        "SPF passes for the real egress address",
        "anything but pass: fail",
        "RFC 7208 §4",
        ("F1", "F2", "F3", "F4"),
    ),
    Check(
        "F12",
        "domain.exists",
        "The sender's domain answers SOA or MX",
        "it does not: fail",
        "Yahoo sender rules",
        ("E1",),
    ),
    Check(
        "F14",
        "spf.every_sender",
        "The relay's own name has an SPF record that passes",
        "none: warn; not pass: fail",
        "RFC 7208 §2.3",
        ("E1",),
    ),
    Check(
        "G1",
        "dkim.published",
        "The key record stands on every authoritative server",
        "missing or several: fail",
        "RFC 6376 §3.6.2",
        ("E1",),
    ),
    Check(
        "G2",
        "dkim.tags",
        "The key record's tags are right",
        "wrong version, key type, hash or service: fail; t=y: warn",
        "RFC 6376 §3.6.1",
        ("G1",),
    ),
    Check(
        "G3",
        "dkim.key_form",
        "The published key has the right form and strength",
        "RSA below 1024 or Ed25519 not 32 bytes: fail; RSA below 2048: warn",
        "RFC 8301 §3.2, RFC 8463 §4",
        ("G1", "G5"),
    ),
    Check(
        "G4",
        "dkim.key_match",
        "The published key belongs to the private key",
        "differs: fail",
        "RFC 6376 §3.6.1",
        ("G1", "G5"),
    ),
    Check("G5", "dkim.revoked", "The signing key is not revoked", "empty p=: fail", "RFC 6376 §3.6.1", ("G1",)),
    Check("G6", "dkim.rsa", "An RSA key signs", "only Ed25519: fail", "large receivers verify RSA only"),
    Check(
        "G7",
        "dkim.canary",
        "The signature on a real message verifies",
        "receiver or own verification fails, l= used, From not signed: fail",
        "RFC 6376 §6, §8.2",
        ("P1", "G1", "G2", "G3", "G4", "G5", "G6"),
    ),
    Check(
        "G10",
        "dkim.key_file",
        "The private key file is closed to others",
        "readable by group or others: fail",
        "RFC 6376 §8.3",
    ),
    Check(
        "H1",
        "dmarc.single",
        "Exactly one DMARC record",
        "none, several or wrong version: fail",
        "RFC 9989 §4.10",
        ("E1",),
    ),
    Check(
        "H2",
        "dmarc.policy",
        "The policy is the planned one",
        "weaker than planned: fail; none, or np missing: warn",
        "RFC 9989 §4.7",
        ("H1",),
    ),
    Check(
        "H3", "dmarc.tags", "No removed or unknown tags", "pct, rf, ri, sizes, unknown: warn", "RFC 9989", ("H1",), WARN
    ),
    Check(
        "H4",
        "dmarc.rua",
        "Aggregate reports go somewhere that takes mail",
        "no rua: warn; host without MX: fail",
        "RFC 9990",
        ("H1", "R2"),
    ),
    Check(
        "H5",
        "dmarc.external",
        "The receiver of external reports agrees",
        "no authorisation: fail",
        "RFC 9990",
        ("H1", "H4"),
    ),
    Check(
        "H7",
        "dmarc.alignment",
        "From, DKIM and envelope align",
        "nothing aligns: fail",
        "RFC 9989 §4.4, §4.10.2",
        ("H1", "P1"),
    ),
    Check("I1", "sts.record", "One MTA-STS record", "none, several or malformed: fail", "RFC 8461 §3.1", ("E1",)),
    Check(
        "I2",
        "sts.policy",
        "The policy can be fetched",
        "certificate, status, type or size wrong: fail",
        "RFC 8461 §3.2, §3.3",
        ("C2", "C3", "A4"),
    ),
    Check(
        "I3",
        "sts.mx",
        "The policy covers exactly the MX",
        "an MX missing: fail; one too many: warn",
        "RFC 8461 §4.1",
        ("I2", "E3"),
    ),
    Check(
        "I4",
        "sts.mode",
        "The mode is the planned one",
        "enforce without valid certificates: fail; other mode: warn",
        "RFC 8461 §5",
        ("I2", "K2"),
    ),
    Check(
        "I5",
        "sts.id",
        "The id belongs to the served policy",
        "policy differs from what the id stands for: fail",
        "RFC 8461 §3.1",
        ("I1", "I2"),
    ),
    Check(
        "I6",
        "sts.max_age",
        "max_age is sensible",
        "below a day or above a year: fail; below a week: warn",
        "RFC 8461 §3.2",
        ("I2",),
    ),
    Check(
        "I7", "tls_rpt.record", "One TLS-RPT record", "several or malformed: fail; none: warn", "RFC 8460 §3", ("E1",)
    ),
    Check(
        "J1",
        "dane.usable",
        "TLSA records are signed",
        "not validated: warn",
        "RFC 7672 §2.2",
        ("E1", "E10", "J3"),
        WARN,
    ),
    Check(
        "J2",
        "dane.parameters",
        "TLSA parameters are usable",
        "usage 0 or 1: fail; not 3 1 1 or 2 1 1: warn",
        "RFC 7672 §3.1",
        ("E1",),
    ),
    Check(
        "J3",
        "dane.match",
        "A TLSA record matches the live key",
        "none matches: fail",
        "RFC 7671 §5",
        ("E1", "C1", "C2", "K1"),
    ),
    Check("K1", "tls.starttls", "Port 25 offers STARTTLS and it works", "it does not: fail", "RFC 3207", ("C1", "C2")),
    Check(
        "K2",
        "tls.certificate",
        "Chain and name of the certificate are valid",
        "they are not: fail where clients or a policy insist, else warn",
        "RFC 8314 §3, RFC 8461 §4.2",
        ("C3", "K1", "K3"),
    ),
    Check(
        "K3",
        "tls.expiry",
        "The certificate lasts",
        "under a tenth of its life left: fail; under a third: warn",
        "fraction of lifetime",
        ("C3", "K1"),
    ),
    Check(
        "K4",
        "tls.versions",
        "TLS 1.2 or later only",
        "1.0 or 1.1: fail on client ports, warn on 25",
        "RFC 8996",
        ("C3", "K1"),
    ),
    Check(
        "K5",
        "tls.key",
        "Key and signature are strong",
        "RSA below 2048 or SHA-1: fail",
        "NCSC-NL TLS guidelines",
        ("C3", "K1"),
    ),
    Check("L1", "relay.closed", "No open relay", "a foreign recipient accepted: fail", "RFC 5321 §7.9", ("C1", "C2")),
    Check(
        "L5",
        "smtp.vrfy",
        "VRFY and EXPN tell nothing",
        "a user disclosed: warn",
        "RFC 5321 §7.3",
        ("C1", "C2", "K1"),
        WARN,
    ),
    Check(
        "L6",
        "smtp.auth",
        "No password without TLS",
        "AUTH accepted: fail; offered: warn",
        "RFC 4954 §4, RFC 8314",
        ("C1", "C2"),
    ),
    Check(
        "L7",
        "smtp.extensions",
        "The usual extensions are offered",
        "SIZE, 8BITMIME, PIPELINING or ENHANCEDSTATUSCODES missing: warn",
        "RFC 1870, RFC 6152",
        ("C1", "C2"),
        WARN,
    ),
    Check(
        "L8",
        "smtp.banner",
        "The banner names the host and no version",
        "another name or a version: warn",
        "RFC 5321 §4.2",
        ("C1", "C2"),
        WARN,
    ),
    Check(
        "L9",
        "smtp.unknown_recipient",
        "Unknown recipients are refused at once",
        "accepted: fail (backscatter)",
        "RFC 5321 §3.3",
        ("C1", "C2", "C4"),
    ),
    Check(
        "L10",
        "forgery.stranger",
        "Nobody outside can pretend to be us",
        "own-domain From without authentication accepted as genuine: fail",
        "RFC 9989 §5",
        ("C1", "C2", "H1"),
    ),
    Check("L11", "smtp.null_sender", "Delivery reports are accepted", "refused: fail", "RFC 5321 §4.5.5", ("C1", "C2")),
    Check(
        "L13",
        "forgery.envelope",
        "A user cannot use another envelope sender",
        "accepted: fail",
        "RFC 6409 §6.1",
        ("C2", "C3"),
    ),
    Check("L14", "forgery.header", "A user cannot write another From", "accepted: fail", "RFC 6409 §8.1", ("C2", "C3")),
    Check(
        "L15",
        "proxy.forged",
        "Nobody but the tunnel can say who called",
        "a forged PROXY header believed: fail",
        "PROXY protocol §2",
        ("C1",),
    ),
    Check(
        "L16",
        "smtp.elsewhere",
        "Mail that others take is refused here",
        "a stranger's mail accepted for a domain that is only sent from here: fail",
        "RFC 5321 §3.6.2",
    ),
    Check(
        "M1",
        "clients.discovery",
        "Mail programs find their settings",
        "SRV or autoconfig wrong: warn",
        "RFC 6186, RFC 8620 §2.2",
        ("C2", "C3", "E1"),
        WARN,
    ),
    Check(
        "M4",
        "message.form",
        "One From, Date, Subject and Message-ID arrive",
        "missing or doubled: fail",
        "RFC 5322 §3.6",
        ("P1",),
    ),
    Check(
        "P1",
        "canary.arrives",
        "A submitted message arrives elsewhere",
        "refused, bounced or lost: fail",
        "the purpose",
        OUTBOUND,
    ),
    Check(
        "P2", "canary.spf", "The receiver says spf=pass", "anything else: fail", "RFC 8601 §2.7.2", ("P1", "F10", "F1")
    ),
    Check(
        "P3",
        "canary.dmarc",
        "The receiver says dmarc=pass",
        "anything else: fail",
        "RFC 8601 §2.7.4",
        ("P1", "H1", "F10", "F1", "G1", "G4"),
    ),
    Check(
        "P4",
        "canary.privacy",
        "The message shows no address of the home",
        "private or home address in a header: fail",
        "privacy",
        ("P1",),
    ),
    Check(
        "P5",
        "stranger.arrives",
        "A stranger's message is read in the mailbox",
        "refused or not found: fail",
        "the purpose",
        ("C1", "C2", "C3", "E3", "K2", "K3"),
    ),
    Check(
        "R1",
        "routing.on",
        "The routing service is on and content",
        "off, or it misses records: fail",
        "Email Routing API, settings",
    ),
    Check(
        "R2",
        "routing.mx",
        "MX names exactly the routing service's hosts",
        "another host, or one missing: fail",
        "one owner of MX",
        ("E1", "R1"),
    ),
    Check(
        "R3",
        "routing.rules",
        "Every address does what is declared",
        "missing, different or off: fail; waiting for a click: warn",
        "Email Routing API, rules",
        ("R1",),
    ),
    Check(
        "R4",
        "routing.destinations",
        "Every destination is confirmed by its owner",
        "awaited: warn",
        "Email Routing API, addresses",
        (),
        WARN,
    ),
    Check(
        "R5",
        "routing.dkim",
        "The key that signs forwarded mail is published",
        "missing or not a key: fail",
        "RFC 6376 §3.6.1",
        ("E1", "R1"),
    ),
    Check(
        "R6",
        "routing.spf",
        "SPF authorises forwarding and every declared sender",
        "a term is missing: fail",
        "RFC 7208 §5.2",
        ("E1", "F1", "F2"),
    ),
    Check(
        "R7",
        "routing.senders",
        "The DMARC policy lets every declared sender through",
        "stricter than one of them allows: fail",
        "RFC 9989 §4.4",
        ("E1", "H1"),
    ),
    Check(
        "R8",
        "routing.roles",
        "Somebody reads postmaster's and abuse's mail",
        "nobody: warn",
        "RFC 5321 §4.5.1, RFC 2142",
        (),
        WARN,
    ),
    Check(
        "R9",
        "routing.arrives",
        "A stranger's message reaches the destination",
        "refused or not found: fail",
        "the purpose",
        ("R1", "R2", "R3"),
    ),
    Check(
        "R10",
        "routing.sts",
        "The MTA-STS policy is announced and served",
        "no announcement, no policy, or one that does not cover the MX: fail",
        "RFC 8461 §3.1, §3.3",
        ("E1",),
    ),
)

BY_ID: Dict[str, Check] = {c.id: c for c in CHECKS}


def markdown() -> str:
    """docs/checks.md."""
    lines = [
        "# Checks",
        "",
        "<!-- Made from plugins/module_utils/checks/catalogue.py by `PYTHONPATH=collections python -m tests.unit.checks.regenerate`. -->",
        "",
        "Verdicts: `pass`, `warn`, `fail`, `unknown` (could not be tested, never counted as passed), `na` (does not apply).",
        "Exit status: 0 all pass or warn, 1 a fail, 2 an unknown that matters, 3 the run itself broke.",
        "",
        "*Explained by*: when one of these checks has failed, a failure of this one follows from it and is reported as",
        "`unknown, because of …` (docs/decisions/0010-root-causes.md). Ids are stable.",
    ]
    for letter, area in AREAS.items():
        lines += ["", f"## {letter}: {area}", ""]
        lines += ["| id | check | what it proves | verdicts | reference | explained by |", "|---|---|---|---|---|---|"]
        for check in CHECKS:
            if check.id[0] == letter:
                cells = (check.id, f"`{check.slug}`", check.title, check.rule, check.ref, ", ".join(check.needs) or "–")
                lines.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |")
    return "\n".join(lines) + "\n"
