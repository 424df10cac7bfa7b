# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Made-up providers on one domain."""

from __future__ import annotations

from typing import Any

from ansible_collections.mailstead.stack.plugins.module_utils.providers.mixing import Party
from ansible_collections.mailstead.stack.plugins.module_utils.providers.model import (
    Dkim,
    DmarcCeiling,
    Mx,
    Profile,
    RecordTemplate,
    Spf,
)

DOMAIN = "example.com"
VALUES = (("domain", DOMAIN), ("dashes", "example-com"))


def profile(name: str, spf: Spf = Spf(), **more: Any) -> Profile:  # noqa: B008 (frozen)
    roles = ("inbound", "outbound") if more.get("mx") else ("outbound",)
    return Profile(name, name.title(), roles, "2026-11-20", ("https://docs.example.net",), spf=spf, **more)


def apex(host: str, cost: int, end: str = "~all", **more: Any) -> Spf:
    return Spf("apex", (host,), end, cost, **more)


def party(of: Profile, values: tuple[tuple[str, str], ...] = (), **more: Any) -> Party:
    return Party(of, VALUES + values, place=f"mail_domains[0].{of.id}", **more)


#: A mailbox provider that costs much, one that costs little, one that returns mail below the domain, one only asked for.
HEAVY = profile("heavy", apex("spf.heavy.example", 8), mx=(Mx("mx.heavy.example", 10),))
LIGHT = profile("light", apex("spf.light.example", 2, "-all"))
BELOW = profile(
    "below",
    Spf("return_path", ("below.example",), cost_hint=1),
    dkim=(Dkim("cname", "s1", "s1.{dashes}.below.example"),),
    return_path=(
        RecordTemplate("bounce", "MX", "10 feedback.below.example"),
        RecordTemplate("bounce", "TXT", "v=spf1 include:below.example ~all"),
    ),
)
OTHER = profile(
    "other",
    apex("spf.other.example", 1, "-all"),
    dkim=(Dkim("txt", "s1", "{key}"),),
    return_path=(RecordTemplate("bounce", "CNAME", "return.other.example"),),
)
ASKED = profile("asked", apex("spf.asked.example", 4, optional=True))
KEEPER = profile("keeper", dmarc=DmarcCeiling(cname="{dashes}.dmarc.keeper.example"))
OWNER = profile("owner", dmarc=DmarcCeiling(owns_record="v=DMARC1; p=reject;"))
