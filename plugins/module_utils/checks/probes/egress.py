# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether mail can leave from here: port 25 of several operators' live mail servers, per address family."""

from __future__ import annotations

import socket
import ssl
import threading
from typing import Any, Dict, List, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks import addresses
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes import tls
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.context import Context, ProbeError, classify
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.dnsclient import DnsClient, client
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.smtp import Conversation, keywords

#: A connection that was silently dropped does not come later: SYN is repeated after 1 s and 3 s.
CONNECT_TIMEOUT = 5.0
BANNER_TIMEOUT = 20.0
ROUNDS = 3

_OUTCOMES = {"timeout": "dropped", "refused": "refused", "closed": "refused", "no-route": "no-route"}


def probe_egress(args: Dict[str, Any], ctx: Context) -> Dict[str, Any]:
    """One concurrent round against every operator; further rounds only for those that differ from the others.

    args: family, operators [{operator, domain, mx_suffixes, control [[host, port]]}], port.
    data: family, rounds, operators [{operator, domain, mx, address, outcome, banner, ehlo_host, starttls, tls,
    control {"address:port": outcome}}]; outcome: open, dropped, refused, prohibited, unreachable, no-route, no-banner,
    dns.

    Nothing but EHLO, STARTTLS and QUIT is ever said: operators block hosts that try recipients without sending.
    """
    dns = client(ctx)
    family = str(args["family"])
    rows = _round(args["operators"], dns, ctx, family, int(args.get("port", 25)))
    rounds = 1
    while rounds < ROUNDS and len({r["outcome"] for r in rows if r["outcome"] not in ("dns", "no-address")}) > 1:
        rounds += 1
        again = [o for o, r in zip(args["operators"], rows) if r["outcome"] not in ("open", "dns", "no-address")]
        fresh = {r["operator"]: r for r in _round(again, dns, ctx, family, int(args.get("port", 25)))}
        better = [fresh.get(r["operator"], r) for r in rows]
        if [r["outcome"] for r in better] == [r["outcome"] for r in rows]:
            break
        rows = better
    return {"family": family, "rounds": rounds, "operators": rows}


def _round(operators: Sequence[Any], dns: DnsClient, ctx: Context, family: str, port: int) -> List[Dict[str, Any]]:
    rows: List[Dict[str, Any]] = [
        {"operator": str(o["operator"]), "domain": str(o["domain"]), "outcome": "dropped"} for o in operators
    ]
    threads = []
    for operator, row in zip(operators, rows):
        thread = threading.Thread(target=_operator, args=(operator, row, dns, ctx, family, port), daemon=True)
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join(ctx.left(600.0))
    return [dict(row) for row in rows]


def _operator(
    operator: Dict[str, Any], row: Dict[str, Any], dns: DnsClient, ctx: Context, family: str, port: int
) -> None:
    rtype = "AAAA" if family == "ipv6" else "A"
    try:
        row["mx"], row["address"] = _target(dns, str(operator["domain"]), rtype)
        if not row["address"]:
            row["outcome"] = "no-address"
            return
        results: Dict[str, str] = {}
        watcher = threading.Thread(target=_controls, args=(operator, row, dns, ctx, rtype, results), daemon=True)
        watcher.start()
        _talk(row, ctx, port)
        watcher.join(ctx.left(2 * CONNECT_TIMEOUT))
        row["control"] = dict(results)
    except ProbeError as error:
        row["outcome"] = "dns" if error.klass in ("dns", "timeout") else error.klass
        row["message"] = str(error)


def _target(dns: DnsClient, domain: str, rtype: str) -> Tuple[str, str]:
    """The most preferred MX with an address in the family, as a sender would choose it today."""
    found = sorted(dns.recursive(domain, "MX").values, key=lambda v: (int(v.split()[0]), v))
    if not found:
        raise ProbeError("dns", f"no MX for {domain}")
    first = ""
    for value in found[:3]:
        host = value.split()[1]
        first = first or host
        values = sorted(dns.recursive(host, rtype).values)
        if values:
            return host, values[0]
    return first, ""


def _controls(
    operator: Dict[str, Any], row: Dict[str, Any], dns: DnsClient, ctx: Context, rtype: str, results: Dict[str, str]
) -> None:
    """Other ports of the same networks: an answer of any kind proves that the network is there."""
    targets = [(str(row["address"]), 443), (str(row["address"]), 587), (str(row["address"]), 465)]
    for host, port in operator.get("control") or ():
        try:
            targets += [(a, int(port)) for a in sorted(dns.recursive(str(host), rtype).values)[:1]]
        except ProbeError:
            continue
    threads = [threading.Thread(target=_control, args=(a, p, ctx, results), daemon=True) for a, p in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(CONNECT_TIMEOUT + 1)


def _control(address: str, port: int, ctx: Context, results: Dict[str, str]) -> None:
    try:
        with ctx.dialer(address, port, ctx.left(CONNECT_TIMEOUT)):
            results[f"{address}:{port}"] = "open"
    except OSError as error:
        klass = classify(error)
        results[f"{address}:{port}"] = _OUTCOMES.get(klass, klass)
    except ProbeError as error:
        results[f"{address}:{port}"] = error.klass


def _talk(row: Dict[str, Any], ctx: Context, port: int) -> None:
    """Connects to port 25 and reads who answers."""
    try:
        sock = ctx.dialer(str(row["address"]), port, ctx.left(CONNECT_TIMEOUT))
    except OSError as error:
        klass = classify(error)
        row["outcome"] = _OUTCOMES.get(klass, klass)
        return
    row["outcome"] = "no-banner"
    talk = Conversation(sock, ctx.left)
    try:
        banner = talk.banner(BANNER_TIMEOUT)
        row["banner"] = banner.text
        if banner.code == 220:
            row["outcome"] = "open"
        greeting = talk.command(f"EHLO {ctx.fqdn()}")
        row["ehlo_host"] = greeting.lines[0][4:].split(" ")[0].lower() if greeting.ok else ""
        row["keywords"] = keywords(greeting) if greeting.ok else []
        row["starttls"] = "STARTTLS" in row["keywords"]
        if row["starttls"]:
            row["tls"] = _certificate(talk, str(row["mx"]))
    except (OSError, ProbeError) as error:
        row["ended"] = classify(error)
    finally:
        talk.close()


def _certificate(talk: Conversation, name: str) -> Optional[Dict[str, Any]]:
    """The certificate after STARTTLS, read without trust: whether it names the operator is what tells a proxy."""
    try:
        talk.starttls(name, verify=False)
    except ssl.SSLError as error:
        return {"error": str(error)}
    if not isinstance(talk.sock, ssl.SSLSocket):
        return {"error": "STARTTLS was announced and refused"}
    return tls.describe(talk.sock, name)


def own_addresses(targets: Sequence[str]) -> List[str]:
    """The source addresses the kernel would use for the targets; nothing is sent (UDP connect)."""
    found: List[str] = []
    for target in targets:
        kind = socket.AF_INET6 if addresses.family(target) == "ipv6" else socket.AF_INET
        try:
            with socket.socket(kind, socket.SOCK_DGRAM) as sock:
                sock.connect((target, 9))
                source = str(sock.getsockname()[0])
        except OSError:
            continue
        if source not in found:
            found.append(source)
    return found
