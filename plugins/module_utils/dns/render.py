# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A record as a line of a zone file, and the order of such lines."""

from __future__ import annotations

import re
from typing import List, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Have, without_ownership

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def one_line(words: str) -> str:
    """Anybody's words (a comment, say) within a line, where they do not steer a terminal."""
    return " ".join(_CONTROL.sub(" ", words).split())


def line(record: Have) -> str:
    """One record: ``name. ttl IN TYPE data ; comment``. Of the tags those that only repeat the mark are left out."""
    tags = ", ".join(without_ownership(record.tags))
    remarks = [r for r in ("proxied" if record.proxied else "", record.comment, tags and f"tags {tags}") if r]
    tail = " ; " + " | ".join(one_line(r) for r in remarks) if remarks else ""
    return f"{record.name}. {record.ttl} IN {record.type} {rdata.presentation(record.type, record.content)}{tail}"


def sort_key(record: Have) -> Tuple[List[str], str, str]:
    """The order of RFC 4034 §6.1: by labels from the right, the apex first."""
    return (list(reversed(record.name.split("."))), record.type, record.content)
