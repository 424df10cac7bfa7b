# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Email Routing's endpoints. Requests: one per 50 rules of an account, per 50 destinations, and one per zone otherwise.

The endpoints ``/enable``, ``/disable`` and ``/unlock`` are deprecated and not used; ``enabled`` in the settings does
nothing. Permissions are named as the dashboard names them (terraform provider, "Accepted Permissions").
"""

from __future__ import annotations

import dataclasses
from contextlib import contextmanager
from typing import Any, Callable, Dict, FrozenSet, Iterator, List, Mapping, Optional, Tuple, TypeVar

from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client, RefusalError
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.zones import explain_refusal
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing import wire
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.model import (
    Destination,
    RequiredRecord,
    Rule,
    Settings,
)

PER_PAGE = 50
SETTINGS, RULES, ADDRESSES, SCRIPTS = (
    "Zone Settings",
    "Email Routing Rules",
    "Email Routing Addresses",
    "Workers Scripts",
)
#: Of these permissions those that are given for an account, not for zones.
_OF_ACCOUNT = (ADDRESSES, SCRIPTS)
#: What the service's own refusals mean and what to do about them (documentation and public threads).
NOT_VERIFIED, DUPLICATE, NO_WORKER, NOT_ENABLED, FOREIGN_MX = 2054, 2014, 2016, 2034, 2008
_REFUSALS: Dict[int, Tuple[str, str]] = {
    NOT_VERIFIED: ("MS-ER-007", "Click the link in the message to the destination, then run again."),
    NO_WORKER: (
        "MS-ER-009",
        "Upload the Worker first (cloudflare_email_worker); a new one is known after half a minute.",
    ),
    DUPLICATE: ("MS-ER-014", "Somebody made a rule for the address meanwhile: run again, the rules are read first."),
    2007: ("MS-ER-014", "Cloudflare's words say which part of the request it does not take."),
    FOREIGN_MX: ("MS-ER-011", "Declare the old provider's MX in leaving, or keep routing off."),
}

T = TypeVar("T")


# -- reading ---------------------------------------------------------------------------------------------------------


def read_settings(client: Client, zone_id: str, where: str, label: str = "") -> Settings:
    """Settings of a zone. Raises MailsteadError."""
    return _one(client, f"/zones/{zone_id}/email/routing", wire.read_settings, SETTINGS, where, label)


def read_required(client: Client, zone_id: str, domain: str, apex: bool, label: str = "") -> Tuple[RequiredRecord, ...]:
    """The records that the service needs for a domain, with the preferences it has chosen. Raises MailsteadError."""
    query = {} if apex else {"subdomain": domain}
    path = f"/zones/{zone_id}/email/routing/dns"
    return _one(client, path, lambda raw: wire.read_required(raw, domain), SETTINGS, f"domain {domain}", label, query)


def list_rules(
    client: Client, account: str, zones: Mapping[str, str], label: str = ""
) -> Tuple[List[Rule], Dict[str, str]]:
    """The rules of an account's zones, and the ids of the zones they are in, by name.

    One listing for the account; where the token may not ask for it (its permission is given for zones), one for each of
    zones (ids by name). A catch-all may be among the rules or not. Raises MailsteadError.
    """
    path = f"/accounts/{account}/email/routing/rules"
    ids: Dict[str, str] = {}

    def decode(raw: Any) -> Rule:
        rule = wire.read_rule(raw)
        if rule.zone:
            ids[rule.zone] = str(raw["zone"].get("tag") or "")
        return rule

    try:
        return _pages(client, path, decode, label), ids
    except RefusalError:
        found = [r for zone, zone_id in zones.items() for r in list_zone_rules(client, zone_id, zone, label)]
        return found, dict(zones)


def list_zone_rules(client: Client, zone_id: str, zone: str, label: str = "") -> List[Rule]:
    """The rules of one zone; its catch-all may be among them or not. Raises MailsteadError."""
    path, where = f"/zones/{zone_id}/email/routing/rules", f"rules of {zone}"
    found = _all(client, path, wire.read_rule, RULES, where, label)
    return [dataclasses.replace(rule, zone=zone) for rule in found]


def read_catch_all(client: Client, zone_id: str, zone: str, label: str = "") -> Rule:
    """A zone's catch-all; every zone has one. Raises MailsteadError."""
    path = f"/zones/{zone_id}/email/routing/rules/catch_all"
    rule = _one(client, path, wire.read_rule, RULES, f"catch-all of {zone}", label)
    return dataclasses.replace(rule, zone=zone)


def list_destinations(client: Client, account: str, label: str = "") -> List[Destination]:
    """All destinations. Without the filter only verified ones would come (its default), so both are asked for.

    Raises MailsteadError.
    """
    path, where = f"/accounts/{account}/email/routing/addresses", "the account's destinations"
    found: Dict[str, Destination] = {}
    for verified in ("true", "false"):
        for item in _all(client, path, wire.read_destination, ADDRESSES, where, label, {"verified": verified}):
            found.setdefault(item.address.lower(), item)
    return list(found.values())


def list_workers(client: Client, account: str, label: str = "") -> Optional[FrozenSet[str]]:
    """Names of the account's scripts; None when the token may not list them."""
    try:
        listed = client.read(f"/accounts/{account}/workers/scripts", label=label).result
    except RefusalError:
        return None
    return frozenset(str(s["id"]) for s in listed or [] if isinstance(s, dict) and isinstance(s.get("id"), str))


def only_account(client: Client, label: str = "") -> str:
    """The id of the token's account, where it has one. Raises MailsteadError (MS-ER-015)."""
    fix = "Give account_id: it is in the address bar of the dashboard, and on a zone's overview page."
    try:
        pages = client.pages("/zones", PER_PAGE, label=label)
        accounts = {
            str(z["account"]["id"]) for page in pages for z in page.result if isinstance(z.get("account"), dict)
        }
    except RefusalError as refusal:
        raise MailsteadError([explain_refusal(client, refusal, "the list of zones")]) from refusal
    except (KeyError, TypeError, AttributeError):
        accounts = set()
    if len(accounts) != 1:
        what = f"the token sees zones of {len(accounts)} accounts" if accounts else "the token sees no zone"
        raise MailsteadError.one("MS-ER-015", "account_id", what, fix)
    return accounts.pop()


def _one(
    client: Client,
    path: str,
    decode: Callable[[Any], T],
    permission: str,
    where: str,
    label: str,
    query: Optional[Mapping[str, Any]] = None,
) -> T:
    with explained(client, permission, where):
        try:
            return decode(client.read(path, query, label).result)
        except wire.WireError as error:
            raise client.malformed(f"GET {path}", str(error)) from error


def _all(
    client: Client,
    path: str,
    decode: Callable[[Any], T],
    permission: str,
    where: str,
    label: str,
    query: Optional[Mapping[str, Any]] = None,
) -> List[T]:
    with explained(client, permission, where):
        return _pages(client, path, decode, label, query)


def _pages(
    client: Client, path: str, decode: Callable[[Any], T], label: str, query: Optional[Mapping[str, Any]] = None
) -> List[T]:
    try:
        return [decode(raw) for page in client.pages(path, PER_PAGE, query, label) for raw in page.result]
    except wire.WireError as error:
        raise client.malformed(f"GET {path}", str(error)) from error


# -- writing: RefusalError becomes MailsteadError, UnclearError is left to the caller ----------------------------------


def change_settings(client: Client, zone_id: str, where: str, body: Mapping[str, Any], label: str = "") -> Settings:
    path = f"/zones/{zone_id}/email/routing"
    with explained(client, SETTINGS, where):
        return wire.read_settings(client.write(path, dict(body), label, "PATCH"))


def switch(client: Client, zone_id: str, method: str, domain: str, apex: bool, label: str = "") -> None:
    """POST enables and locks, PATCH unlocks, DELETE disables. The zone itself is not named: some zones refuse that."""
    body = {} if apex else {"name": domain}
    with explained(client, SETTINGS, f"domain {domain}"):
        client.write(f"/zones/{zone_id}/email/routing/dns", body, label, method)


def create_rule(client: Client, zone_id: str, rule: Rule, label: str = "") -> None:
    with explained(client, RULES, rule_place(rule)):
        client.write(f"/zones/{zone_id}/email/routing/rules", wire.write_rule(rule), label)


def change_rule(client: Client, zone_id: str, rule: Rule, label: str = "") -> None:
    part = rule.id if rule.address else "catch_all"
    with explained(client, RULES, rule_place(rule)):
        client.write(f"/zones/{zone_id}/email/routing/rules/{part}", wire.write_rule(rule), label, "PUT")


def delete_rule(client: Client, zone_id: str, rule: Rule, label: str = "") -> None:
    with explained(client, RULES, rule_place(rule)):
        client.remove(f"/zones/{zone_id}/email/routing/rules/{rule.id}", label)


def create_destination(client: Client, account: str, address: str, label: str = "") -> Destination:
    """Announce an address: the service sends it a message with a link."""
    with explained(client, ADDRESSES, f"destination {address}"):
        answer = client.write(f"/accounts/{account}/email/routing/addresses", {"email": address}, label)
    try:
        return wire.read_destination(answer)
    except wire.WireError:
        return Destination(address)


def delete_destination(client: Client, account: str, destination: Destination, label: str = "") -> None:
    with explained(client, ADDRESSES, f"destination {destination.address}"):
        client.remove(f"/accounts/{account}/email/routing/addresses/{destination.id}", label)


def rule_place(rule: Rule) -> str:
    return f"rule for {rule.address}" if rule.address else f"catch-all of {rule.zone}"


# -- refusals ----------------------------------------------------------------------------------------------------------


@contextmanager
def explained(client: Client, permission: str, where: str) -> Iterator[None]:
    """Turns a RefusalError into a MailsteadError that says what the service means, and which permission is missing."""
    try:
        yield
    except RefusalError as refusal:
        raise MailsteadError([explain(client, refusal, permission, where)]) from refusal


def explain(client: Client, refusal: RefusalError, permission: str, where: str) -> Problem:
    known = next((c for c in _REFUSALS if c in refusal.codes), None)
    if known is not None:
        code, fix = _REFUSALS[known]
        return Problem(code, where, f"Cloudflare refused: {refusal.words()}", fix)
    problem = explain_refusal(client, refusal, where)
    if problem.code == "MS-CF-001":
        part = "Account" if permission in _OF_ACCOUNT else "Zone"
        verb = "Read" if refusal.request.startswith("GET ") else "Edit"
        fix = f"Edit the token in the dashboard: add {part} › {permission} › {verb}."
        return Problem("MS-ER-020", where, problem.what, fix)
    if problem.code == "MS-CF-007":
        return Problem(
            "MS-ER-014", where, problem.what, "Read Cloudflare's words; nothing of this request was applied."
        )
    return problem
