# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What probes say and look for: names that stand for something, and tokens that no other run has."""

from __future__ import annotations

#: Filled in by the vantage: its own address.
OWN_ADDRESS = "{me}"
#: A domain that accepts no mail by definition (RFC 2606 §3); the session ends before DATA in any case.
FOREIGN = "example.net"


def token(run_id: str, label: str, domain: str) -> str:
    """What is searched for in mailboxes: unique for a run, a message and a domain."""
    return f"ms{run_id}{label}{domain.replace('.', '')}"
