# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which probes to run where for a service through which applications send. Pure, like all of the planning.

The service's own host stands for the LAN; each client stands for its way through the tunnel. Every login is made over
verified TLS only: a broken certificate must not cost a password.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks import ids
from ansible_collections.mailstead.stack.plugins.module_utils.checks.marks import FOREIGN, OWN_ADDRESS, token
from ansible_collections.mailstead.stack.plugins.module_utils.checks.view import View, domain_of
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import (
    ApplicationPlan,
    ClientPlan,
    SmarthostPlan,
    SubmissionPlan,
)

SUBMISSIONS, SUBMISSION, SMTP = 465, 587, 25
LOOPBACK = "127.0.0.1"
#: Seconds to wait for a port that should be closed: SYN is repeated after 1 s and 3 s.
CLOSED = 5.0

#: Vantage, id, kind and arguments of a probe.
Probe = Tuple[str, str, str, Dict[str, Any]]


@dataclass(frozen=True)
class Wanted:
    """What probes are planned for. number: of the service in its plan; wait: seconds for a message to arrive."""

    view: View
    service: SubmissionPlan
    run_id: str
    number: int
    wait: int


def lan(service: SubmissionPlan) -> str:
    """The address at which the service is looked for from its own host."""
    return service.lan_address or service.server_address


def behind_tunnel(service: SubmissionPlan) -> Tuple[ClientPlan, ...]:
    return service.clients if service.tunnel else ()


def port25_addresses(service: SubmissionPlan) -> Tuple[str, ...]:
    return tuple(dict.fromkeys(a for a in (service.lan_address, service.server_address) if a))


def onlookers(view: View, service: SubmissionPlan) -> Tuple[str, ...]:
    """Who tries to get into the tunnel without a token."""
    found = (view.vantages.controller, *(c.host for c in behind_tunnel(service)), *view.vantages.outside)
    return tuple(dict.fromkeys(found))


def of_service(wanted: Wanted) -> Iterator[Probe]:
    service = wanted.service
    host = service.host
    yield from _lan(wanted)
    yield from _session(wanted, host, lan(service), SUBMISSIONS)
    for client in behind_tunnel(service):
        yield client.host, ids.sender_tls(f"{service.name}/tunnel"), "tls", _tls(service, LOOPBACK, client.port)
        yield from _session(wanted, client.host, LOOPBACK, client.port)
    if service.tunnel:
        for vantage in onlookers(wanted.view, service):
            for kind, credentials in (("none", {}), ("wrong", _made_up_token(wanted.run_id))):
                args = {"hostname": service.tunnel.hostname, **credentials}
                yield vantage, ids.tunnel_upgrade(service.name, kind), "upgrade", args
    for smarthost in service.smarthosts:
        yield host, ids.smarthost(service.name, smarthost.id), "smtp", _smarthost(smarthost)
    yield from _witnesses(wanted)


def _tls(service: SubmissionPlan, address: str, port: int, legacy: bool = False) -> Dict[str, Any]:
    return {"address": address, "port": port, "name": service.server_name, "greeting": True, "legacy": legacy}


def _lan(wanted: Wanted) -> Iterator[Probe]:
    """Ports of the service as its own host sees them, and as the controller and clients do where they are on the LAN."""
    service = wanted.service
    here = wanted.view.vantages.controller
    address = lan(service)
    yield service.host, ids.sender_tls(service.name), "tls", _tls(service, address, SUBMISSIONS, legacy=True)
    if service.lan_address:
        for vantage in (here, *(c.host for c in service.clients)):
            yield vantage, ids.sender_tls(service.name), "tls", _tls(service, address, SUBMISSIONS)
    for other in port25_addresses(service):
        closed = {"address": other, "port": SMTP, "name": service.server_name, "tls": "none", "connect_timeout": CLOSED}
        yield service.host, ids.sender_port25(service.name, other), "smtp", {**closed, "steps": []}
    if any(listener.port == SUBMISSION for listener in service.listeners):
        yield (
            service.host,
            ids.sender_starttls(service.name),
            "smtp",
            {
                "address": address,
                "port": SUBMISSION,
                "name": service.server_name,
                "tls": "none",
                "steps": [
                    {"label": "auth", "send": "AUTH PLAIN"},
                    {"label": "mail", "send": f"MAIL FROM:<{_own(service)}>"},
                    {"label": "rcpt", "send": f"RCPT TO:<probe@{FOREIGN}>"},
                ],
            },
        )
    if service.probe:
        # From one place only: who guesses passwords is shut out after some, and behind a tunnel all have one address.
        login = {"username": service.probe.login, "made_up": f"not-{wanted.run_id}", "strict": True}
        args = _implicit(service, address, SUBMISSIONS)
        yield service.host, ids.sender_password(service.name), "smtp", {**args, "auth": login, "steps": []}


def _implicit(service: SubmissionPlan, address: str, port: int) -> Dict[str, Any]:
    return {"address": address, "port": port, "name": service.server_name, "tls": "implicit"}


def _own(service: SubmissionPlan) -> str:
    """An address that may be sent from, after a login."""
    return service.probe_sender or f"postmaster@{service.domains[0] if service.domains else FOREIGN}"


def _session(wanted: Wanted, vantage: str, address: str, port: int) -> Iterator[Probe]:
    """Without a login, then with that of the checks, as somebody else."""
    service = wanted.service
    where = _implicit(service, address, port)
    own = _own(service)
    steps = (
        ("mail", f"MAIL FROM:<{own}>"),
        ("rcpt", f"RCPT TO:<probe@{FOREIGN}>"),
        ("reset", "RSET"),
        ("stranger", f"MAIL FROM:<{OWN_ADDRESS}>"),
        ("domain", f"RCPT TO:<{own}>"),
    )
    args = {**where, "steps": [{"label": label, "send": line} for label, line in steps]}
    yield vantage, ids.sender_stranger(service.name), "smtp", args
    if service.probe is None:
        return
    auth = {"username": service.probe.login, "secret": service.probe.secret, "strict": True}
    forged = {**where, "auth": auth, "steps": _forged(wanted, service.probe)}
    yield vantage, ids.sender_forged(service.name), "smtp", forged
    for number, canary in enumerate(wanted.view.plan.canaries):
        yield (
            vantage,
            ids.sender_message(service.name, vantage, canary.address),
            "submit",
            {
                "submission": {
                    "addresses": [address],
                    "port": port,
                    "name": service.server_name,
                    "username": service.probe.login,
                    "secret": service.probe.secret,
                },
                "label": "sent",
                "sender": own,
                "recipient": canary.address,
                "token": _token(wanted, vantage, number),
            },
        )


def _forged(wanted: Wanted, probe: ApplicationPlan) -> List[Dict[str, Any]]:
    """Somebody of the same domain, another application, then somebody else in the header alone."""
    service, own = wanted.service, wanted.service.probe_sender
    domain = domain_of(own)
    somebody = f"somebody-else@{domain}"
    canaries = wanted.view.plan.canaries
    # Should the message be taken after all, a witness gets it, or nobody.
    recipient = canaries[0].address if canaries else f"probe@{FOREIGN}"
    mark = token(wanted.run_id, f"s{wanted.number}forged", domain)
    message = "\r\n".join(
        (
            f"From: <{somebody}>",
            f"To: <{recipient}>",
            f"Subject: Forged sender {mark}",
            f"Message-ID: <{mark}@{domain}>",
            "",
            "This message must have been refused: its From is not the application's own.",
            "",
        )
    )
    neighbour = neighbour_of(service)
    other = [{"label": "neighbour", "send": f"MAIL FROM:<{neighbour}>"}, {"label": "again", "send": "RSET"}]
    return [
        {"label": "envelope", "send": f"MAIL FROM:<{somebody}>"},
        {"label": "reset", "send": "RSET"},
        *(other if neighbour else ()),
        {"label": "mail", "send": f"MAIL FROM:<{own}>"},
        {"label": "login-name", "send": f"RCPT TO:<{probe.login}>"},
        {"label": "rcpt", "send": f"RCPT TO:<{recipient}>"},
        {"label": "header", "message": message, "after": ["mail", "rcpt"]},
    ]


def neighbour_of(service: SubmissionPlan) -> str:
    """An address that belongs to an application and not to the login of the checks; empty when there is none."""
    patterns = [s for a in service.applications for s in a.senders]
    found = (p.replace("*", "somebody-else", 1) if p.startswith("*") else p for p in patterns)
    return next((a for a in found if a != service.probe_sender), "")


def _token(wanted: Wanted, vantage: str, canary: int) -> str:
    """By place and not by name: the token of one message must not be the beginning of another's."""
    hosts = (wanted.service.host, *(c.host for c in behind_tunnel(wanted.service)))
    return token(wanted.run_id, f"s{wanted.number}p{hosts.index(vantage)}c{canary}x", "")


def _witnesses(wanted: Wanted) -> Iterator[Probe]:
    """The controller alone reads the witnesses' mailboxes: an application's host does not get their passwords."""
    service = wanted.service
    if service.probe is None:
        return
    hosts = (service.host, *(c.host for c in behind_tunnel(service)))
    for number, canary in enumerate(wanted.view.plan.canaries):
        yield (
            wanted.view.vantages.controller,
            ids.sender_witness(service.name, canary.address),
            "mailbox",
            {
                "imap": {"host": canary.imap_host, "username": canary.imap_username, "secret": canary.secret},
                "tokens": {host: _token(wanted, host, number) for host in hosts},
                "wait": wanted.wait,
            },
        )


def _smarthost(smarthost: SmarthostPlan) -> Dict[str, Any]:
    args: Dict[str, Any] = {
        "address": smarthost.host,
        "port": smarthost.port,
        "name": smarthost.host,
        "tls": smarthost.tls,
        "steps": [],
    }
    if smarthost.username:
        args["auth"] = {"username": smarthost.username, "secret": smarthost.secret, "strict": True}
    return args


def _made_up_token(run_id: str) -> Dict[str, Any]:
    """Shaped like a service token, and nobody's."""
    return {"client_id": f"{run_id:0>32}.access", "client_secret": f"{run_id:0>64}"}
