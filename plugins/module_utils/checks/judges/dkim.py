# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""G: every key that signs: published everywhere, well formed, ours, and proven on a real message."""

from __future__ import annotations

import base64
import binascii
import dataclasses
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks import headers, ids
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import Finding
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.case import NO_CANARY, Case, Published
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.receivers import demanded
from ansible_collections.mailstead.stack.plugins.module_utils.checks.observation import Observation
from ansible_collections.mailstead.stack.plugins.module_utils.checks.view import Key
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import DomainPlan, HostedPlan, SubmissionPlan

MIN_BITS, GOOD_BITS, MAX_BITS = 1024, 2048, 4096
#: Without these in h= a signed message can be given another face.
SIGNED = ("from", "date", "subject", "to", "message-id")


def judge(case: Case) -> Iterator[Finding]:
    for domain in case.view.plan.domains:
        keys = case.view.keys(domain.name)
        if not keys:
            for check in ("G1", "G4", "G6", "G7"):
                yield case.unknown(check, domain.name, "no facts about DKIM keys were given")
            continue
        yield _rsa(case, domain.name, keys, "add rsa-2048 to dkim.keys in mail_domains")
        for key in keys:
            yield from _key(case, domain, key)
    for hosted in case.view.hosted:
        yield from _of_others(case, hosted)
    for service in case.view.submissions:
        for name in service.domains:
            yield from _of_service(case, service, name)


def _of_service(case: Case, service: SubmissionPlan, name: str) -> Iterator[Finding]:
    """Keys with which a service signs what applications send; that they sign is S27's matter."""
    keys = case.view.keys_of_service(service, name)
    scope = f"{name}/{service.name}"
    if not keys:
        for check in ("G1", "G4", "G6"):
            yield case.unknown(check, scope, f"no facts about the DKIM keys of {service.name} were given")
        return
    yield _rsa(case, scope, keys, "add rsa-2048 to dkim.keys of the domain in mail_domains")
    for key in keys:
        yield from _record(case, key)
        yield _file(case, key)


def _of_others(case: Case, domain: HostedPlan) -> Iterator[Finding]:
    """Keys of which the providers hold the private half: the inventory has what they told."""
    keys = case.view.keys_of_others(domain)
    if not any(k.record in domain.selectors for k in keys):
        yield _undeclared(case, domain)
    for key in keys:
        yield from _record(case, key)


def _undeclared(case: Case, domain: HostedPlan) -> Finding:
    if all(s.provider != domain.provider for s in domain.senders):
        return case.na("G1", domain.name, f"{domain.title} does not send for the domain")
    return case.warn(
        "G1",
        domain.name,
        f"the inventory has no key of {domain.title}",
        expected="one key that signs, published",
        evidence=("nobody outside knows the names of a domain's keys, so none can be looked for",),
        fix=f"switch DKIM on at {domain.title} and write what it shows into inputs. {demanded('DKIM')}",
        requires=case.unproven_needs(domain),
    )


def _rsa(case: Case, scope: str, keys: List[Key], fix: str) -> Finding:
    found = [k.selector for k in keys if k.algorithm.startswith("rsa")]
    return case.finding(
        "G6",
        scope,
        "pass" if found else "fail",
        ", ".join(found) or f"only {', '.join(k.algorithm for k in keys)}",
        expected="at least one RSA key that signs",
        fix=fix,
    )


def _key(case: Case, domain: DomainPlan, key: Key) -> Iterator[Finding]:
    yield from _record(case, key)
    yield _file(case, key)
    yield from _canary(case, domain, key)


def _record(case: Case, key: Key) -> Iterator[Finding]:
    """What is published for a key."""
    found = case.published(key.record, "CNAME" if key.alias else "TXT")
    quoted = f'"{key.txt}"'
    fix = f"publish {key.record} {found.rtype} {key.alias or quoted} (run site.yml)"
    published = (f"G1@{key.scope}",)
    usable = (*published, f"G5@{key.scope}")
    yield _published(case, key, found, fix)
    values, why = _behind(case, key) if key.alias else (found.values, found.why)
    record = headers.tags(values[0]) if len(values) == 1 else {}
    if key.alias and found.values and not values and not why:
        for check in ("G2", "G3", "G5"):
            yield case.na(check, key.scope, f"{key.alias} holds no key yet")
        yield _same_alias(case, key, found, published, fix)
        return
    if not record:
        why = why or "there is not one record to look at"
        for check, more in (("G2", published), ("G3", usable), ("G4", usable), ("G5", published)):
            yield case.unknown(check, key.scope, why, requires=more)
        return
    if key.alias:
        key = dataclasses.replace(key, algorithm=record.get("k", "rsa"))
    yield _tags(case, key, values[0], record, published, fix)
    revoked = not record.get("p")
    verdict = "fail" if revoked else "pass"
    observed = "empty p=: revoked" if revoked else "in force"
    yield case.finding("G5", key.scope, verdict, observed, evidence=found.evidence(), fix=fix, requires=published)
    renew = f"let {key.holder} make a key of {GOOD_BITS} bits and write it into inputs" if key.holder else fix
    yield _form(case, key, record, usable, renew)
    if key.holder:
        fix = f"{fix}; if {key.holder} has changed its key, write the new one into inputs first"
    yield _same_alias(case, key, found, published, fix) if key.alias else _match(case, key, record, usable, fix)


def _behind(case: Case, key: Key) -> Tuple[Tuple[str, ...], str]:
    """The key records that an alias leads to, or why they are not known."""
    question = f"{key.alias} TXT"
    answer = case.answers().get(question)
    if answer is None or answer.get("rcode") not in ("NOERROR", "NXDOMAIN"):
        return (), f"{question} was not looked up" if answer is None else f"{question}: {answer.get('rcode')}"
    return tuple(str(v) for v in answer.get("values", ())), ""


def _same_alias(case: Case, key: Key, found: Published, needs: Tuple[str, ...], fix: str) -> Finding:
    same = all(values == (key.alias,) for _label, values in found.servers)
    return case.finding(
        "G4",
        key.scope,
        "pass" if same and found.values else "fail",
        ", ".join(found.values) or "no such record",
        expected=f"{key.record} CNAME {key.alias}",
        evidence=found.evidence(),
        fix=fix,
        requires=needs,
    )


def _published(case: Case, key: Key, found: Published, fix: str) -> Finding:
    unproven = next((case.unproven_needs(d) for d in case.view.hosted if d.name == key.domain), ())
    needs = (*case.zone_needs(key.record), *unproven)
    if not found.known:
        return case.unknown("G1", key.scope, found.why, requires=needs)
    wrong = [f"{label}: {len(values)} records" for label, values in found.servers if len(values) != 1]
    evidence = list(found.evidence())
    empty = bool(key.alias) and not wrong and _behind(case, key) == ((), "")
    if empty:
        wrong = [f"{key.alias} holds no key"]
        evidence.append(f"{key.alias} TXT no such record")
        fix = f"switch DKIM on at {key.holder}: it publishes the key there"
    elif not any(values for _label, values in found.servers):
        fix = f"{fix}. {demanded('DKIM')}"
    return case.finding(
        "G1",
        key.scope,
        # Providers keep a spare name without a key until they change keys: one that has a key is enough.
        "warn" if empty and _another(case, key) else "fail" if wrong else "pass",
        "; ".join(wrong) or f"on {len(found.servers)} authoritative addresses",
        expected=f"one {key.record} {found.rtype} on every authoritative server",
        evidence=evidence,
        fix=fix,
        requires=needs,
    )


def _another(case: Case, key: Key) -> bool:
    """Whether another name of the same holder leads to a key."""
    domains = [d for d in case.view.hosted if d.name == key.domain]
    others = [k for d in domains for k in case.view.keys_of_others(d) if k != key and k.holder == key.holder]
    return any(_behind(case, k)[0] and case.published(k.record, "CNAME").values for k in others if k.alias)


def _tags(case: Case, key: Key, text: str, record: Mapping[str, str], needs: Tuple[str, ...], fix: str) -> Finding:
    trouble, doubts = [], []
    kind = "ed25519" if key.algorithm == "ed25519" else "rsa"
    if "v" in record and (record["v"] != "DKIM1" or headers.tag_order(text)[0] != "v"):
        trouble.append("v= must be DKIM1 and stand first")
    if record.get("k", "rsa") != kind:
        trouble.append(f"k={record.get('k', 'rsa')} instead of {kind}")
    if "h" in record and "sha256" not in record["h"].split(":"):
        trouble.append("h= does not allow sha256")
    if not {s.strip() for s in record.get("s", "*").split(":")} & {"*", "email"}:
        trouble.append("s= does not allow e-mail")
    if "y" in record.get("t", "").split(":"):
        doubts.append("t=y: receivers treat the domain as testing")
    return case.finding(
        "G2",
        key.scope,
        "fail" if trouble else "warn" if doubts else "pass",
        "; ".join(trouble + doubts) or "v, k, h and s are right",
        expected=f"v=DKIM1; k={kind}",
        evidence=(text,),
        fix=fix,
        requires=needs,
    )


def _form(case: Case, key: Key, record: Mapping[str, str], needs: Tuple[str, ...], fix: str) -> Finding:
    verdict, observed, expected = _strength(key.algorithm, record.get("p", ""))
    evidence = (f"p={shorten(record.get('p', ''))}",)
    return case.finding(
        "G3", key.scope, verdict, observed, expected=expected, evidence=evidence, fix=fix, requires=needs
    )


def _strength(algorithm: str, public: str) -> Tuple[str, str, str]:
    """Verdict, what was seen and what is wanted of a p= value."""
    try:
        raw = base64.b64decode(public, validate=True)
    except (ValueError, binascii.Error):
        return "fail", "p= is no base64", "base64"
    if algorithm == "ed25519":
        right = len(raw) == 32
        observed = "32 raw bytes" if right else f"{len(raw)} bytes" + (", wrapped in ASN.1" if len(raw) == 44 else "")
        return "pass" if right else "fail", observed, "the 32 raw bytes of the key"
    bits = rsa_bits(raw)
    verdict = "pass"
    if bits < MIN_BITS:
        verdict = "fail"
    elif bits < GOOD_BITS or bits > MAX_BITS:
        verdict = "warn"
    return verdict, f"RSA, {bits} bits" if bits else "no RSA key in SubjectPublicKeyInfo form", "RSA, 2048 bits"


def rsa_bits(spki: bytes) -> int:
    """Length of the modulus in an RSA SubjectPublicKeyInfo (RFC 3279 §2.3.1); 0 when it is none."""
    oid = bytes.fromhex("06092a864886f70d010101")
    at = spki.find(oid)
    if at < 0:
        return 0
    try:
        body = _der(spki, spki.index(b"\x03", at + len(oid)))[1:]
        modulus = _der(_der(body, 0), 0)
    except (ValueError, IndexError):
        return 0
    return int.from_bytes(modulus, "big").bit_length()


def _der(data: bytes, at: int) -> bytes:
    """The content of the DER element at a position."""
    length = data[at + 1]
    start = at + 2
    if length & 0x80:
        count = length & 0x7F
        length = int.from_bytes(data[start : start + count], "big")
        start += count
    content = data[start : start + length]
    if len(content) != length:
        raise ValueError("truncated")
    return content


def _match(case: Case, key: Key, record: Mapping[str, str], needs: Tuple[str, ...], fix: str) -> Finding:
    expected = "p= is the public half of the private key on the server"
    probe = ids.dkim_file(key.domain, key.selector)
    if not key.path:
        same = record.get("p") == headers.tags(key.txt).get("p")
        maker = f"{key.holder} holds the private key: compared with what the inventory says"
        lines = (maker if key.holder else "compared with what the key's maker reported: the file's path was not given",)
        return case.finding(
            "G4",
            key.scope,
            "pass" if same else "fail",
            "equal" if same else "different",
            expected=expected,
            evidence=lines,
            fix=fix,
            requires=needs,
        )
    seen = case.seen(probe, key.home)
    if seen is None or not seen.ok:
        return case.unknown("G4", key.scope, case.why_not(seen, probe, key.home), expected=expected, requires=needs)
    same = record.get("p") == seen.data.get("public")
    evidence = (
        f"DNS: p={shorten(record.get('p', ''))}",
        f"{seen.data['path']}: p={shorten(str(seen.data.get('public')))}",
    )
    return case.finding(
        "G4",
        key.scope,
        "pass" if same else "fail",
        "equal" if same else "the record holds another key",
        expected=expected,
        evidence=evidence,
        fix=fix,
        requires=needs,
    )


def shorten(text: str) -> str:
    return text if len(text) <= 48 else f"{text[:24]}…{text[-16:]}"


def _file(case: Case, key: Key) -> Finding:
    probe = ids.dkim_file(key.domain, key.selector)
    if not key.path:
        return case.na("G10", key.scope, "the file's path was not given")
    seen = case.seen(probe, key.home)
    if seen is None or not seen.ok:
        return case.unknown("G10", key.scope, case.why_not(seen, probe, key.home))
    mode = str(seen.data["mode"])
    closed = int(mode, 8) & 0o077 == 0
    return case.finding(
        "G10",
        key.scope,
        "pass" if closed else "fail",
        f"{seen.data['path']}: mode {mode}, uid {seen.data['uid']}",
        expected="mode 0600",
        fix=f"chmod 0600 {seen.data['path']} on {key.home} (run site.yml)",
    )


def canaries(case: Case, domain: str) -> List[Tuple[str, Optional[Observation]]]:
    return [(c.address, case.seen(ids.canary(domain, c.address))) for c in case.view.plan.canaries]


def receiver_results(case: Case, data: Mapping[str, Any]) -> List[headers.AuthResult]:
    """What the receiver says; a field in our own server's name says nothing."""
    own = [h.server_name for h in case.view.plan.homes]
    return headers.auth_results(data.get("headers", ()), exclude=own)


def _canary(case: Case, domain: DomainPlan, key: Key) -> Iterator[Finding]:
    needs = (f"P1@{domain.name}", *(f"{c}@{key.scope}" for c in ("G1", "G2", "G3", "G4", "G5")))
    if not case.view.plan.canaries:
        yield case.unknown("G7", key.scope, NO_CANARY, matters=False)
        return
    arrived = [(who, seen) for who, seen in canaries(case, domain.name) if seen and seen.data.get("arrived")]
    if not arrived:
        yield case.unknown("G7", key.scope, "no canary arrived", requires=needs)
        return
    trouble: List[str] = []
    evidence: List[str] = []
    for who, seen in arrived:
        bad, lines = _signature(case, key, seen.data)
        trouble += [f"{who}: {t}" for t in bad]
        evidence += lines
    yield case.finding(
        "G7",
        key.scope,
        "fail" if trouble else "pass",
        "; ".join(trouble) or "verified by the receiver and by us",
        expected=f"dkim=pass for d={key.domain} s={key.selector}; From, Date, Subject, To and Message-ID signed; no l=",
        evidence=evidence,
        fix="re-import the key into the mail server and reload it (run site.yml); nothing behind it may change mail",
        requires=needs,
    )


def _signature(case: Case, key: Key, data: Mapping[str, Any]) -> Tuple[List[str], List[str]]:
    """Trouble and evidence of one key's signature on one canary."""
    trouble, evidence = [], []
    said = [r for r in receiver_results(case, data) if r.method == "dkim" and _is_of(r.properties, key)]
    evidence += [f"{r.authserv}: dkim={r.result} {dict(r.properties)}" for r in said]
    # Some receivers name only the domain: then the algorithm tells the signatures apart, or nothing does.
    if not said:
        trouble.append("the receiver says nothing about this signature")
    elif not any(r.result == "pass" for r in said):
        trouble.append(f"the receiver says dkim={said[0].result}")
    mine: List[Dict[str, Any]] = [
        s for s in data.get("signatures", ()) if s["d"].lower() == key.domain and s["s"].lower() == key.selector
    ]
    if not mine:
        trouble.append("the message carries no signature of this key")
    for signature in mine:
        evidence.append(
            f"own verification: {signature['result']} {signature.get('reason', '')} a={signature['a']}".strip()
        )
        if signature["result"] != "pass":
            trouble.append(f"own verification: {signature.get('reason', '')}")
        if signature.get("l"):
            trouble.append("l= leaves the end of the body unsigned")
        missing = [h for h in SIGNED if h not in signature.get("h", ())]
        if missing:
            trouble.append(f"not signed: {', '.join(missing)}")
    return trouble, evidence


def _is_of(properties: Mapping[str, str], key: Key) -> bool:
    if properties.get("header.d", properties.get("header.i", "")).lstrip("@").lower() != key.domain:
        return False
    if "header.s" in properties:
        return properties["header.s"].lower() == key.selector
    if "header.a" in properties:
        return properties["header.a"].lower().startswith(key.algorithm.split("-")[0])
    return True
