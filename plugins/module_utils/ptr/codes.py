# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Codes of reverse records."""

from __future__ import annotations

from typing import Dict

CODES: Dict[str, str] = {
    "MS-PTR-001": "A reverse record: the address is not a public address, or the name is not a host name.",
    "MS-PTR-002": "A reverse record: an option of the provider is missing, wrong or of no use to it.",
    "MS-PTR-003": "The base URL of a provider's API cannot be used.",
    "MS-PTR-010": "The provider does not accept the credential. Make a new one and put it where the message says.",
    "MS-PTR-011": "The provider refused: the credential lacks a permission. The message names the one that is needed.",
    "MS-PTR-012": "An address that the account does not have. The message lists the addresses that the credential sees.",
    "MS-PTR-013": "The provider wants the address record (A, AAAA) of the name first. Publish it, wait, run again.",
    "MS-PTR-014": "The provider refused a change; its own words are given.",
    "MS-PTR-015": "The provider accepted a change and then failed at it, or is not done with it in time.",
    "MS-PTR-016": "The provider's API cannot be reached: name resolution, network, TLS.",
    "MS-PTR-017": "The provider's API keeps answering with a server error. Nothing more was written; run again later.",
    "MS-PTR-018": "The rate limit of the provider holds for longer than the run is ready to wait.",
    "MS-PTR-019": "The answer of the provider has not the documented shape (a proxy or a portal in between?).",
    "MS-PTR-020": "The outcome of a change stays unclear after several tries. Run again: the state is read first.",
    "MS-PTR-021": "The provider cannot set the reverse record of this address; the message says why and what can be done.",
    "MS-PTR-030": "The world does not see the reverse record, or the name does not lead back to the address.",
}
