# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Probes of the name system."""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks import addresses
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.context import Context, ProbeError
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.dnsclient import (
    DnsClient,
    client,
    spf_lookup,
)
from ansible_collections.mailstead.stack.plugins.module_utils.checks.spf import check_host
from ansible_collections.mailstead.stack.plugins.module_utils.dns import spf_cost
from ansible_collections.mailstead.stack.plugins.module_utils.dns.spf import SpfError, parse, spf_records


def _key(question: Sequence[str]) -> str:
    return f"{question[0]} {question[1]}"


def probe_zone(args: Dict[str, Any], ctx: Context) -> Dict[str, Any]:
    """Every question to every server of a zone, and the delegation.

    args: zone, questions ([name, type] …). data: parent_ns, child_ns, ds (values at the parent), dnskey (bool),
    servers [{ns, address, family, error, aa, serial, answers {"name type": {rcode, values, ttl, segments?, chain?}}}].
    """
    dns = client(ctx)
    zone = str(args["zone"])
    questions = [(str(n), str(t)) for n, t in args["questions"]]
    cut, servers = dns.servers_of(zone)
    data: Dict[str, Any] = {
        "zone": zone,
        "parent_ns": [],
        "child_ns": [],
        "ds": [],
        "dnskey": False,
        "parent_error": "",
    }
    if cut != zone:
        raise ProbeError("dns", f"{zone} is not delegated: the nearest zone is {cut}")
    try:
        parent, names, ds = delegation(dns, zone)
        data.update(parent=parent, parent_ns=names, ds=ds)
    except ProbeError as error:
        if error.klass == "budget":
            raise
        data["parent_error"] = str(error)
    # A server that only the parent knows is asked as well: that is how a lame delegation shows.
    known = {host for host, _address in servers}
    servers = servers + dns.addresses([n for n in data["parent_ns"] if n not in known])
    rows: List[Dict[str, Any]] = []
    threads = []
    for host, address in servers:
        row: Dict[str, Any] = {"ns": host, "address": address, "family": addresses.family(address), "answers": {}}
        rows.append(row)
        thread = threading.Thread(target=_ask_all, args=(dns, row, zone, questions), daemon=True)
        threads.append(thread)
        thread.start()
    for thread in threads:
        thread.join(max(0.0, ctx.left(600.0)))
    data["servers"] = [dict(row, answers=dict(row["answers"])) for row in rows]
    data["child_ns"] = next((row["child_ns"] for row in rows if row.get("child_ns")), [])
    data["dnskey"] = any(row.get("dnskey") for row in rows)
    return data


def delegation(dns: DnsClient, zone: str) -> Tuple[str, List[str], List[str]]:
    """(parent zone, NS names, DS values) as the parent's own servers have them. Raises ProbeError when none answers."""
    parent, servers = dns.servers_of(zone.split(".", 1)[1]) if "." in zone else ("", [])
    failure = ProbeError("dns", f"no server of {parent} answers for {zone}")
    for _host, address in servers:
        try:
            referral = dns.ask(address, zone, "NS", recursive=False)
            ds = dns.ask(address, zone, "DS", recursive=False)
        except ProbeError as error:
            if error.klass == "budget":
                raise
            failure = error
            continue
        # A parent that serves the child as well answers instead of referring.
        found = referral.authority.get(zone) or referral.values
        if found:
            return parent, sorted(set(found)), sorted(ds.values)
    raise failure


def _ask_all(dns: DnsClient, row: Dict[str, Any], zone: str, questions: Sequence[Tuple[str, str]]) -> None:
    address = str(row["address"])
    try:
        soa = dns.ask(address, zone, "SOA", recursive=False)
        row["aa"] = soa.aa
        row["serial"] = int(soa.values[0].split()[2]) if soa.values else None
        row["child_ns"] = sorted(dns.ask(address, zone, "NS", recursive=False).values)
        row["dnskey"] = bool(dns.ask(address, zone, "DNSKEY", recursive=False).values)
        for question in questions:
            answer = dns.ask(address, question[0], question[1], recursive=False).to_data()
            answer.pop("ad", None)
            row["answers"][_key(question)] = answer
        row["error"] = ""
    except ProbeError as error:
        row["error"] = error.klass
        row["message"] = str(error)


def probe_resolver(args: Dict[str, Any], ctx: Context) -> Dict[str, Any]:
    """The host's own resolver. args: questions. data: nameservers, answers {"name type": {rcode, values, ad, …}};
    cd_rcode stands where the answer was SERVFAIL: what it is with checking disabled (a bogus zone answers then)."""
    dns = client(ctx)
    answers: Dict[str, Any] = {}
    for question in args["questions"]:
        name, rtype = str(question[0]), str(question[1])
        answer = dns.recursive(name, rtype)
        answers[_key((name, rtype))] = answer.to_data()
        if answer.rcode == "SERVFAIL":
            answers[_key((name, rtype))]["cd_rcode"] = dns.recursive(name, rtype, cd=True).rcode
    return {"nameservers": dns.nameservers, "answers": answers}


def probe_reverse(args: Dict[str, Any], ctx: Context) -> Dict[str, Any]:
    """PTR of an address from the reverse zone's own servers, and the forward addresses of each name.

    args: address. data: name, rcode, ptr [names], forward {name: [addresses]}, via (authoritative or resolver).
    """
    address = addresses.parse(str(args["address"]))
    if address is None:
        raise ProbeError("internal", f"{args['address']!r} is no address")
    dns = client(ctx)
    via = "authoritative"
    try:
        answer = dns.authoritative(address.reverse_pointer, "PTR")
    except ProbeError as error:
        if error.klass == "budget":
            raise
        via = "resolver"
        answer = dns.recursive(address.reverse_pointer, "PTR")
    data: Dict[str, Any] = {
        "name": address.reverse_pointer,
        "rcode": answer.rcode,
        "ptr": sorted(answer.values),
        "via": via,
        "forward": {},
    }
    for name in data["ptr"]:
        found: List[str] = []
        for rtype in ("A", "AAAA"):
            status, values = spf_lookup(dns)(name, rtype)
            if status == "error":
                raise ProbeError("dns", f"{rtype} of {name} could not be looked up", data)
            found += values
        data["forward"][name] = sorted(found)
    return data


def probe_spf(args: Dict[str, Any], ctx: Context) -> Dict[str, Any]:
    """check_host() against authoritative servers. args: domain, address, sender, helo. data: fields of SpfResult."""
    address = addresses.parse(str(args["address"]))
    if address is None:
        raise ProbeError("internal", f"{args['address']!r} is no address")
    result = check_host(
        spf_lookup(client(ctx)), address, str(args["domain"]), str(args["sender"]), str(args.get("helo", ""))
    )
    data = dataclasses.asdict(result)
    data["records"] = list(result.records)
    return data


def probe_spf_cost(args: Dict[str, Any], ctx: Context) -> Dict[str, Any]:
    """What a domain's SPF record costs a receiver now, whoever sends: counted against authoritative servers.

    args: domain. data: records (SPF records found), syntax (why the one cannot be read), lookups, voids, parts ([term,
    look-ups, void look-ups] …), broken (what makes receivers give up), failed ("name type" that could not be looked up).
    Nothing is counted unless there is exactly one record.
    """
    look_up = spf_lookup(client(ctx))
    domain = str(args["domain"])
    status, values = look_up(domain, "TXT")
    if status == "error":
        raise ProbeError("dns", f"TXT of {domain} could not be looked up")
    records = list(spf_records(values))
    data: Dict[str, Any] = {"records": records, "syntax": "", "lookups": 0, "voids": 0}
    data.update(parts=[], broken=[], failed=[])
    if len(records) != 1:
        return data
    failed: List[str] = []

    def fetch(questions: Sequence[spf_cost.Question]) -> Mapping[spf_cost.Question, spf_cost.Answer]:
        with ThreadPoolExecutor(max_workers=8) as pool:
            found = dict(zip(questions, pool.map(lambda question: look_up(*question), questions)))
        failed.extend(_key(question) for question, answer in found.items() if answer[0] == "error")
        return found

    try:
        # No zone is believed before the DNS: "invalid" is nobody's (RFC 6761 §6.4).
        cost = spf_cost.measure(parse(records[0]), domain, spf_cost.ZoneAnswers("invalid", ()), fetch)
    except SpfError as error:
        data["syntax"] = str(error)
        return data
    data.update(lookups=cost.lookups, voids=cost.voids, broken=list(cost.broken), failed=failed)
    data["parts"] = [[part.term, part.lookups, part.voids] for part in cost.parts]
    return data
