# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Z: the zone itself: whether the provider has it and calls it active, who the world is told to ask, and DNSSEC."""

from __future__ import annotations

from typing import FrozenSet, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import FAIL, NA, PASS, UNKNOWN, WARN
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.dnssec import unmatched
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.sheet import Sheet, columns
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.views import ZoneView

#: What providers call a zone that they serve; an empty status is one they do not tell.
ACTIVE = ("active",)
REACH = "See whether this host may ask name servers (port 53)."


def compare_zone(sheet: Sheet) -> None:
    """Findings Z1 to Z4."""
    _read(sheet)
    if sheet.view.live is not None:
        _status(sheet)
    _delegation(sheet)
    _dnssec(sheet)


def _read(sheet: Sheet) -> None:
    view = sheet.view
    if view.live is not None:
        sheet.add("Z1", view.zone, PASS, f"{len(view.live.records)} records read from {view.provider}")
        return
    text = "; ".join(f"{p.what} [{p.code}]" for p in view.problems) or "nobody asked the provider"
    fix = " ".join(dict.fromkeys(p.fix for p in view.problems))
    sheet.add("Z1", view.zone, FAIL if view.absent else UNKNOWN, text, expected="the zone, with its records", fix=fix)


def _status(sheet: Sheet) -> None:
    view, live = sheet.view, sheet.view.live
    assert live is not None
    if not live.status:
        sheet.add("Z2", view.zone, NA, "the provider does not tell a state")
    elif live.status in ACTIVE:
        sheet.add("Z2", view.zone, PASS, live.status)
    else:
        fix = "Look at the zone's overview at the provider; usually the registrar does not name the provider's servers."
        if live.name_servers:
            fix += f" They are {', '.join(live.name_servers)}."
        sheet.add("Z2", view.zone, FAIL, live.status, expected=ACTIVE[0], evidence=live.notes, fix=fix)


# -- delegation ------------------------------------------------------------------------------------------------------


def _delegation(sheet: Sheet) -> None:
    view, at = sheet.view, sheet.view.delegation
    own, source = _own_servers(view)
    rows = [(f"parent {at.parent or '?'}", f"NS {_names(at.ns)}")]
    rows += [(s.label, f"NS {_names(s.ns)}") for s in view.servers if s.healthy]
    if view.live is not None and view.live.name_servers:
        rows.append(("provider", _names(frozenset(view.live.name_servers))))
    evidence = columns(rows)
    expected = _names(own) if own else "the provider's name servers"
    fix = f"At the registrar, set the name servers to {expected}."
    if at.cut and at.cut != view.zone:
        text = f"it is not delegated: the nearest zone is {at.cut}"
        sheet.add("Z3", view.zone, FAIL, text, expected=expected, evidence=evidence, fix=fix)
    elif at.error:
        sheet.add("Z3", view.zone, UNKNOWN, at.error, expected=expected, fix=REACH)
    elif not own:
        text = "no name server told the zone's own NS records"
        sheet.add("Z3", view.zone, UNKNOWN, text, evidence=evidence, fix=REACH)
    elif at.ns != own:
        text = f"the parent names {_names(at.ns)}"
        sheet.add("Z3", view.zone, FAIL, text, expected=f"{expected} ({source})", evidence=evidence, fix=fix)
    else:
        _agreement(sheet, own, evidence)


def _agreement(sheet: Sheet, own: FrozenSet[str], evidence: Tuple[str, ...]) -> None:
    """Parent and provider agree; whether every server in between does as well."""
    view = sheet.view
    other = [s for s in view.servers if s.healthy and s.ns != own]
    if not other:
        sheet.add("Z3", view.zone, PASS, _names(own), evidence=evidence)
        return
    text = "; ".join(f"{s.label} has NS {_names(s.ns)}" for s in other)
    fix = f"Set the zone's NS records there to {_names(own)}, or take the server out of the delegation."
    sheet.add("Z3", view.zone, FAIL, text, expected=_names(own), evidence=evidence, fix=fix)


def _own_servers(view: ZoneView) -> Tuple[FrozenSet[str], str]:
    """The NS records that count, and who says so: the provider's own servers, else whoever answers, else its API.

    What the provider's servers say comes before the names its API assigns: a zone may have name servers under names of
    its owner.
    """
    for source, servers in (
        ("as the provider's servers say", [s for s in view.servers if s.healthy and s.provider and s.ns]),
        ("as the zone's servers say", [s for s in view.servers if s.healthy and s.ns]),
    ):
        if servers:
            return servers[0].ns, source
    assigned = frozenset(view.live.name_servers) if view.live is not None else frozenset()
    return assigned, "as the provider assigned them"


def _names(names: FrozenSet[str]) -> str:
    return ", ".join(sorted(names)) or "none"


# -- DNSSEC ----------------------------------------------------------------------------------------------------------


def _dnssec(sheet: Sheet) -> None:
    """A validating resolver takes the zone for bogus when the parent has DS records of which none fits (RFC 4035 §5.2)."""
    view, at = sheet.view, sheet.view.delegation
    healthy = [s for s in view.servers if s.healthy]
    keys = frozenset(k for s in healthy for k in s.keys)
    rows = [(f"parent {at.parent or '?'}", f"DS {ds}") for ds in sorted(at.ds)]
    evidence = columns([*rows, *((s.label, f"{len(s.keys)} DNSKEY") for s in healthy)])
    fix = "At the registrar, remove the DS record that has no key, or set the one that the provider shows for the zone."
    if at.error or (not healthy and at.ds):
        text = at.error or "no name server told the zone's keys"
        sheet.add("Z4", view.zone, UNKNOWN, text, evidence=evidence, fix=REACH)
        return
    if not at.ds:
        _unsigned(sheet, keys, evidence)
        return
    expected = "every DS at the parent has its DNSKEY in the zone, on every server"
    try:
        lost, good = unmatched(view.zone, at.ds, keys)
        bare = [s.label for s in healthy if unmatched(view.zone, good, s.keys)[0]] if good else []
    except ValueError as error:
        sheet.add("Z4", view.zone, UNKNOWN, str(error), expected=expected, evidence=evidence, fix=fix)
        return
    if not good:
        text = f"none of the parent's DS records fits a key of the zone: validating resolvers answer SERVFAIL ({'; '.join(lost)})"
        # The domain is dark wherever its name servers are: most likely it moved, and this DS stayed behind.
        sheet.add("Z4", view.zone, FAIL, text, expected=expected, evidence=evidence, fix=fix, alone=True)
    elif bare:
        text = f"the key behind the DS is missing on {', '.join(bare)}"
        sheet.add(
            "Z4",
            view.zone,
            FAIL,
            text,
            expected=expected,
            evidence=evidence,
            fix="Mend the zone's transfer to that server.",
        )
    elif lost:
        text = f"a DS record without its key: {'; '.join(lost)}; another one fits"
        sheet.add("Z4", view.zone, WARN, text, expected=expected, evidence=evidence, fix=fix)
    else:
        sheet.add("Z4", view.zone, PASS, f"{len(good)} DS, each with its key", evidence=evidence)


def _unsigned(sheet: Sheet, keys: FrozenSet[str], evidence: Tuple[str, ...]) -> None:
    view = sheet.view
    if not keys:
        sheet.add("Z4", view.zone, NA, "the zone is not signed, and the parent has no DS")
        return
    text = "the zone is signed, but the parent has no DS: nobody validates it"
    fix = (
        "Set the DS record at the registrar: for a zone at Cloudflare the module cloudflare_dnssec shows it, for another its "
        "name server does. TLSA records count only then."
    )
    sheet.add("Z4", view.zone, WARN, text, expected="a DS at the parent", evidence=evidence, fix=fix)
