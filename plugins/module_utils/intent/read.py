# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the inventory's raw values to an :class:`Intent`; every mistake is found in one pass, nothing is contacted."""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks.addresses import is_private
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.intent import (
    hosted,
    model,
    routing,
    schema,
    senders,
    submission,
    words,
    words_operator,
)
from ansible_collections.mailstead.stack.plugins.module_utils.intent.names import complete, is_within
from ansible_collections.mailstead.stack.plugins.module_utils.intent.shapes import Mapped, Reading, nearest
from ansible_collections.mailstead.stack.plugins.module_utils.intent.written import Written, given
from ansible_collections.mailstead.stack.plugins.module_utils.providers.model import Profile


def read_intent(
    raw: model.RawIntent, origin: Optional[Callable[[Any], str]] = None, profiles: Sequence[Profile] = ()
) -> model.Intent:
    """Read and cross-check the inventory.

    origin tells ``file:line`` of a raw value where the loader knows it. profiles: the providers beside our own server.
    Raises MailsteadError with every problem.
    """
    reading = Reading(origin=origin or (lambda value: ""))
    _misspelt_variables(raw, reading)
    version = 1 if raw.mail_intent is None else raw.mail_intent
    if isinstance(version, bool) or version != 1:
        reading.note(
            "MS-INT-009",
            "mail_intent",
            raw.mail_intent,
            f"version {version!r} is unknown",
            "this release reads `mail_intent: 1`",
        )
    operator = _operator(raw, reading)
    hosts = _hosts(raw, reading)
    domains = _domains(raw, profiles, reading)
    services = submission.read(raw.mail_submission, profiles, reading)
    intent = model.Intent(1, operator, domains, hosts, profiles=tuple(profiles), services=services)
    intent = submission.imply(_imply(intent, reading))
    _cross_check(intent, reading)
    written = Written(raw.mail_domains, raw.mail_submission)
    senders.check(intent, written, reading)
    routing.check(intent, written, reading)
    hosted.check(intent, written, reading)
    submission.check(intent, written, reading)
    if reading.problems:
        raise MailsteadError(_once(reading.problems))
    return intent


def _once(problems: List[Problem]) -> List[Problem]:
    return list(dict.fromkeys(problems))


def _misspelt_variables(raw: model.RawIntent, reading: Reading) -> None:
    for name in sorted(raw.variables):
        if name.startswith("mail_") and name not in schema.VARIABLES:
            reading.note(
                "MS-INT-006",
                name,
                name,
                "no variable of mailstead has this name",
                f"known are {', '.join(schema.VARIABLES)}.{nearest(name, schema.VARIABLES)} Rename it if it is yours.",
            )


def _operator(raw: model.RawIntent, reading: Reading) -> model.Operator:
    if raw.mail_operator is None:
        reading.note(
            "MS-INT-002", "mail_operator", None, "'mail_operator' is missing", "add it to group_vars/all/operator.yml"
        )
        return words_operator.OPERATOR.fallback  # type: ignore[no-any-return]
    operator: model.Operator = words_operator.OPERATOR.read(raw.mail_operator, "mail_operator", reading)
    if operator.email and "@" not in operator.email:
        reading.note(
            "MS-INT-003", "mail_operator.email", None, f"'{operator.email}' has no domain", "write the complete address"
        )
    _dns_hosts(operator.dns, raw.mail_operator, reading)
    if not operator.acme.email:
        operator = dataclasses.replace(operator, acme=dataclasses.replace(operator.acme, email=operator.email))
    return operator


def _dns_hosts(hosts: Tuple[model.Dns, ...], raw: Any, reading: Reading) -> None:
    """One zone has one host; of several hosts the first serves the zones that no other names."""
    if isinstance(raw, Mapping) and raw.get("dns") is not None and not hosts:
        reading.note("MS-INT-002", "mail_operator.dns", raw["dns"], "there is no DNS host", "say who serves the zones")
    owner: Dict[str, int] = {}
    for index, host in enumerate(hosts):
        path = f"mail_operator.dns[{index}].zones"
        if index and not host.zones:
            fix = "list its zones; those that no other names are the first host's"
            reading.note("MS-INT-033", path, None, "a further DNS host serves no zone", fix)
        for zone in host.zones:
            if owner.setdefault(zone, index) != index:
                what = f"{zone} is given to mail_operator.dns[{owner[zone]}] already"
                reading.note("MS-INT-033", path, None, what, "a zone is kept in one place: remove one of the two")


def _hosts(raw: model.RawIntent, reading: Reading) -> Tuple[model.Host, ...]:
    hosts = []
    for name, entry in sorted(raw.hosts.items()):
        groups = tuple(sorted(str(g) for g in entry.get("groups", ())))
        mail_host: Optional[model.MailHost] = None
        if entry.get("mail_host") is not None:
            mail_host = words_operator.MAIL_HOST.read(entry["mail_host"], f"hosts.{name}.mail_host", reading)
        elif "mail_edge" in groups:
            reading.note(
                "MS-INT-002", f"hosts.{name}", None, "'mail_host' is missing for a host of group mail_edge",
                f"add `mail_host: {{name, ipv4, ptr}}` to host_vars/{name}.yml",
            )  # fmt: skip
        hosts.append(model.Host(name=str(name), groups=groups, mail_host=mail_host))
    return tuple(hosts)


def _domains(raw: model.RawIntent, profiles: Sequence[Profile], reading: Reading) -> Tuple[model.Domain, ...]:
    if not isinstance(raw.mail_domains, (list, tuple)) or not raw.mail_domains:
        reading.note(
            "MS-INT-027",
            "mail_domains",
            raw.mail_domains,
            "there is no mail domain",
            "list at least one `- name: example.com`",
        )
        return ()
    shape = Mapped(name="a mail domain", keys=words.domain_keys(profiles), build=lambda **v: v, shorthand="name")
    domains = []
    for index, entry in enumerate(raw.mail_domains):
        path = f"mail_domains[{index}]"
        values: Optional[Dict[str, Any]] = shape.read(entry, path, reading)
        if values is None or not values["name"]:
            continue
        read = _domain(values, entry, path, profiles, reading)
        domains.append(dataclasses.replace(read, position=index))
    return tuple(domains)


def _domain(
    values: Dict[str, Any], entry: Any, path: str, profiles: Sequence[Profile], reading: Reading
) -> model.Domain:
    name = values["name"]
    found = tuple(sorted(given(entry)))
    provider = values.pop("provider")
    inbound, outbound = values.pop("inbound"), values.pop("outbound")
    sending = [model.OWN, *(p.id for p in profiles if p.sends)]
    inputs = dict(values.pop("inputs"))
    if provider and (inbound or outbound):
        reading.note(
            "MS-INT-021", f"{path}.provider", entry, "'provider' stands for inbound and outbound, and one of these is given too",
            "keep either the shorthand or the two",
        )  # fmt: skip
    if provider:
        inbound, outbound = model.Inbound(provider), None
    if inbound is None:
        reading.note(
            "MS-INT-002",
            path,
            entry,
            "nobody owns the domain's MX",
            "add `inbound: {provider: stalwart}` or `provider: stalwart`",
        )
    accounts = tuple(_complete_account(a, name) for a in values.pop("accounts") if a.address)
    dmarc: model.Dmarc = values.pop("dmarc")
    dkim: model.Dkim = values.pop("dkim")
    if not any(k.startswith("rsa") for k in dkim.keys):
        reading.note(
            "MS-INT-024",
            f"{path}.dkim.keys",
            entry,
            "there is no RSA key",
            "add rsa-2048: large receivers verify no Ed25519 signature",
        )
    rua = tuple(complete(a, name) for a in dmarc.rua) or (f"postmaster@{name}",)
    tls_rpt = values.pop("tls_rpt")
    if outbound is None and inbound is not None and inbound.provider in sending:
        outbound = model.Outbound(inbound.provider)
    also = tuple(values["also_send_via"])
    if inbound is not None:
        inbound = dataclasses.replace(inbound, inputs=tuple({**inputs, **dict(inbound.inputs)}.items()))
        inbound, outbound, also = senders.with_inputs(inbound, outbound, also, path, entry, reading)
    elsewhere = inbound is not None and inbound.provider != model.OWN
    return model.Domain(
        name=name,
        unicode_name=_unicode(name),
        state=values["state"],
        zone=values["zone"] or name,
        inbound=routing.complete_addresses(inbound, name) if inbound else None,
        outbound=senders.complete_addresses(outbound, name) if outbound else None,
        also=tuple(senders.complete_addresses(s, name) for s in also if s),
        dkim=dkim,
        dmarc=dataclasses.replace(dmarc, rua=rua),
        # Our own server serves a policy. Of others, only where that is asked for.
        mta_sts="off" if elsewhere and "mta_sts" not in found else values["mta_sts"],
        tls_rpt=() if tls_rpt == ("off",) else tuple(complete(a, name) for a in tls_rpt) or rua,
        dane=values["dane"],
        accounts=accounts,
        catch_all=complete(values["catch_all"], name) if values["catch_all"] else "",
        subaddressing=values["subaddressing"],
        given=found,
        webmail=values["webmail"],
    )


def _unicode(name: str) -> str:
    try:
        return ".".join(
            label.encode("ascii").decode("idna") if label.startswith("xn--") else label for label in name.split(".")
        )
    except UnicodeError:
        return name


def _complete_account(account: model.Account, domain: str) -> model.Account:
    return dataclasses.replace(
        account, address=complete(account.address, domain), aliases=tuple(complete(a, domain) for a in account.aliases)
    )


def _imply(intent: model.Intent, reading: Reading) -> model.Intent:
    """One home and one edge in the inventory are implied; anything else must be named."""
    domains = []
    for index, domain in enumerate(intent.domains):
        path = f"mail_domains[{index}]"
        if domain.elsewhere:
            told = routing.imply(domain, intent.operator.email) if domain.routed else domain
            domains.append(_imply_submission(intent, told, reading))
            continue
        if domain.inbound is None or domain.inbound.provider != model.OWN or domain.outbound is None:
            continue
        inbound, outbound = domain.inbound, domain.outbound
        inbound = dataclasses.replace(
            inbound,
            host=_one_of(intent, "mail_home", inbound.host, f"{path}.inbound.host", reading),
            edge=tuple(
                e
                for e in (
                    _one_of(intent, "mail_edge", e, f"{path}.inbound.edge", reading) for e in inbound.edge or ("",)
                )
                if e
            ),
        )
        if outbound.egress:
            outbound = dataclasses.replace(
                outbound, egress=_one_of(intent, "mail_edge", outbound.egress, f"{path}.outbound.egress", reading)
            )
        elif inbound.edge:
            outbound = dataclasses.replace(outbound, egress=inbound.edge[0])
        domains.append(dataclasses.replace(domain, inbound=inbound, outbound=outbound))
    return dataclasses.replace(intent, domains=tuple(domains))


def _imply_submission(intent: model.Intent, domain: model.Domain, reading: Reading) -> model.Domain:
    """The home and the edge through which our own server sends for a domain whose mail others take."""
    own = domain.submission
    if own is None:
        return domain
    path = domain.path + senders.place_of(domain, own)
    found = dataclasses.replace(
        own,
        host=_one_of(intent, "mail_home", own.host, f"{path}.host", reading),
        egress=_one_of(intent, "mail_edge", own.egress, f"{path}.egress", reading),
    )
    return dataclasses.replace(
        domain,
        outbound=found if domain.outbound is own else domain.outbound,
        also=tuple(found if s is own else s for s in domain.also),
    )


def _one_of(intent: model.Intent, group: str, name: str, path: str, reading: Reading) -> str:
    members = [h.name for h in intent.in_group(group)]
    # What is named anywhere else is not implied here.
    others = submission.reserved(intent.services) if group == "mail_home" and not name else set()
    members = [m for m in members if m not in others]
    if name:
        if name not in members:
            known = [h.name for h in intent.hosts]
            why = f"'{name}' is not in group {group}" if name in known else f"the inventory has no host '{name}'"
            reading.note(
                "MS-INT-007",
                path,
                name,
                why,
                f"hosts of {group}: {', '.join(members) or 'none'}.{nearest(name, members)}",
            )
            return ""
        return name
    if len(members) == 1:
        return members[0]
    what = f"the inventory has {len(members)} hosts in group {group}"
    reading.note(
        "MS-INT-008",
        path,
        name,
        what,
        f"name one of them: {', '.join(members)}" if members else f"add a host to group {group}",
    )
    return ""


def _one_tunnel(intent: model.Intent, reading: Reading) -> None:
    """This release builds one tunnel per home: a single edge that takes mail in and lets it out."""
    served: Dict[str, str] = {}
    tunnels = {d.inbound.host: d.inbound.edge[0] for d in intent.domains if d.inbound and d.inbound.edge}
    for index, domain in enumerate(intent.domains):
        if domain.inbound is None or (domain.outbound is None and domain.submission is None):
            continue
        path, edges, home = f"mail_domains[{index}]", domain.inbound.edge, domain.inbound.host
        leaves = domain.outbound.egress if domain.outbound else ""
        if domain.submission:
            edges, home = tuple(e for e in (domain.submission.egress,) if e), domain.submission.host
            other = tunnels.setdefault(home, edges[0]) if home and edges else ""
            if other and other != edges[0]:
                fix = f"let {domain.name} be sent through {other}"
                reading.note("MS-INT-010", path, None, f"two edges for {home} are not built yet", fix)
        if len(edges) > 1 or (edges and leaves and leaves != edges[0]):
            fix = "use one edge for both directions in this release"
            reading.note("MS-INT-010", path, None, "several edges for one domain are not built yet", fix)
        for edge in edges:
            if served.setdefault(edge, home) != home:
                reading.note(
                    "MS-INT-010", path, None, f"two homes behind {edge} are not built yet", "give each home an edge"
                )


def _cross_check(intent: model.Intent, reading: Reading) -> None:
    _one_tunnel(intent, reading)
    _unique_domains(intent, reading)
    _addresses(intent, reading)
    _postmasters(intent, reading)
    _mail_hosts(intent, reading)
    _one_sts_policy(intent, reading)


def _unique_domains(intent: model.Intent, reading: Reading) -> None:
    seen: Dict[str, int] = {}
    for index, domain in enumerate(intent.domains):
        if domain.name in seen:
            reading.note(
                "MS-INT-021", f"mail_domains[{index}]", None, f"{domain.name} is declared at mail_domains[{seen[domain.name]}] already",
                "its MX can have one owner: remove one of the two",
            )  # fmt: skip
        seen.setdefault(domain.name, index)
        if not is_within(domain.name, domain.zone):
            reading.note(
                "MS-INT-023",
                f"mail_domains[{index}].zone",
                None,
                f"{domain.name} is not in {domain.zone}",
                "name the zone that holds it",
            )


def _addresses(intent: model.Intent, reading: Reading) -> None:
    owner: Dict[str, str] = {}
    served = {d.name for d in intent.domains if not d.elsewhere or d.submission}
    for index, domain in enumerate(intent.domains):
        for number, account in enumerate(domain.accounts):
            path = f"mail_domains[{index}].accounts[{number}]"
            for address in (account.address, *account.aliases):
                if address.lower() in owner:
                    reading.note(
                        "MS-INT-020",
                        path,
                        None,
                        f"{address} belongs to {owner[address.lower()]} already",
                        "an address has one owner: remove one",
                    )
                owner.setdefault(address.lower(), account.address)
                if address.rpartition("@")[2] not in served:
                    reading.note(
                        "MS-INT-025",
                        path,
                        None,
                        f"{address} is in no domain that our own server takes mail for or sends for",
                        "add the domain, or drop the address",
                    )
    for index, domain in enumerate(intent.domains):
        if domain.catch_all and not domain.elsewhere and domain.catch_all.lower() not in owner:
            reading.note(
                "MS-INT-025",
                f"mail_domains[{index}].catch_all",
                None,
                f"{domain.catch_all} is nobody's address",
                "name an account or alias",
            )


def _postmasters(intent: model.Intent, reading: Reading) -> None:
    """Somebody must read postmaster's mail (RFC 5321 §4.5.1); the plan gives it to a domain's first account."""
    for index, domain in enumerate(intent.domains):
        if domain.state == "present" and not domain.elsewhere and not domain.accounts and not domain.catch_all:
            reading.note(
                "MS-INT-031",
                f"mail_domains[{index}]",
                None,
                f"{domain.name} has no mailbox, so nobody reads postmaster@{domain.name}",
                "add an account, or a catch_all that names one of another domain",
            )


def _mail_hosts(intent: model.Intent, reading: Reading) -> None:
    zones = intent.zones()
    seen: Dict[str, str] = {}
    for host in intent.in_group("mail_edge"):
        if host.mail_host is None:
            continue
        path = f"hosts.{host.name}.mail_host"
        if host.mail_host.name and not any(is_within(host.mail_host.name, z) for z in zones):
            reading.note(
                "MS-INT-023", f"{path}.name", None, f"{host.mail_host.name} is in none of the zones {', '.join(zones) or '(none)'}",
                "choose a name in one of them, or add its zone to mail_operator.dns.zones",
            )  # fmt: skip
        for key in ("ipv4", "ipv6"):
            address = getattr(host.mail_host, key)
            if address and is_private(address):
                reading.note(
                    "MS-INT-028",
                    f"{path}.{key}",
                    None,
                    f"{address} is a private, shared or local address",
                    "write the address that the Internet sees; the provider's console shows it",
                )
        for value in (host.mail_host.name, host.mail_host.ipv4, host.mail_host.ipv6):
            if value and value in seen:
                reading.note(
                    "MS-INT-026",
                    path,
                    None,
                    f"{value} is {seen[value]}'s already",
                    "each edge has its own name and addresses",
                )
            if value:
                seen[value] = host.name


def _one_sts_policy(intent: model.Intent, reading: Reading) -> None:
    first: Dict[str, Tuple[int, str, Tuple[str, ...]]] = {}
    for index, domain in enumerate(intent.domains):
        if domain.inbound is None or not domain.inbound.host:
            continue
        mine = (index, domain.mta_sts, domain.inbound.edge)
        other = first.setdefault(domain.inbound.host, mine)
        if other[1:] != mine[1:]:
            reading.note(
                "MS-INT-022", f"mail_domains[{index}]", None,
                f"it wants mta_sts {mine[1]} with edge {', '.join(mine[2])}; on the same home "
                f"mail_domains[{other[0]}] wants {other[1]} with {', '.join(other[2])}",
                "a mail server serves one MTA-STS policy: let them agree",
            )  # fmt: skip
