# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Codes of mistakes in providers' profiles; docs/errors.md is made from these."""

from __future__ import annotations

from typing import Dict

CODES: Dict[str, str] = {
    "MS-PRO-001": "A provider's profile cannot be read: the file is no YAML, or its name is not the id in it.",
    "MS-PRO-002": "A provider's profile contradicts itself: a role without its words, a value without its input, a default "
    "that its own pattern refuses, a record of a type that does not belong there.",
    "MS-PRO-003": "A profile of your own has the id of our own mail server. Give the provider another one.",
    "MS-PRO-004": "A provider is to be shown that has no profile. `-e show=list` lists all of them.",
    "MS-PRO-020": "Two providers would take the mail of one domain: its MX has one owner (rule C1). Let one take it.",
    "MS-PRO-021": "An SPF record ends in -all although it does not list a declared sender, or that sender asks for ~all (rule C6).",
    "MS-PRO-022": "Two providers want different DKIM keys under one selector (rule C7). Give one of them another selector.",
    "MS-PRO-023": "Two providers each keep a record of their own at `_dmarc`, which can have one (rule C8).",
    "MS-PRO-024": "Two providers want records at one name that cannot stand together, such as a return path (rules C1, C3, C8).",
    "MS-PRO-030": "A host that a profile names has no address any more: the provider has moved. Correct the profile.",
    "MS-PRO-031": "The SPF includes of a profile cost more look-ups than it says. Domains with several senders may be over ten now.",
    "MS-PRO-032": "An SPF include that a profile names publishes no record that can be read: receivers answer permerror.",
    "MS-PRO-033": "More than two look-ups of a profile's SPF includes find nothing: receivers answer permerror (RFC 7208 §4.6.4).",
    "MS-PRO-034": "Nobody has looked at the facts of a profile for too long. Go through its sources and date it anew.",
    "MS-PRO-035": "The DNS did not answer, so profiles could not be compared with it.",
}
