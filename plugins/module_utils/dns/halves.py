# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SPF and DMARC records that two owners share, taken apart and put together again."""

from __future__ import annotations

import dataclasses
from typing import List, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.dns import spf, spf_merge
from ansible_collections.mailstead.stack.plugins.module_utils.dns.foreign import stripped
from ansible_collections.mailstead.stack.plugins.module_utils.dns.policies import dmarc_merge, kind_of, tags, uri_key
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Have, Mark, Options, term_hash

#: The kinds of which a name has one record for all its owners.
KINDS = ("spf", "dmarc")


def ours(record: Have, mark: Optional[Mark], alone: bool) -> str:
    """What of a record is ours, as a record; empty when nothing is.

    A record without ``merged`` in its mark is ours as it stands. Of a shared one only our terms are. alone: nobody else
    has a record there any more, so ours ends as the shared one did; otherwise the other owner's end stands.
    """
    if mark is None or mark.merged is None:
        return record.content
    if kind_of(record.name, record.type, record.content) == "dmarc":
        return _our_dmarc(record.content, mark)
    try:
        read = spf.parse(record.content)
    except spf.SpfError:
        return ""
    terms = [t.text for t in read.mechanisms if term_hash(t.key) in set(mark.merged)]
    end = [read.all.text] if alone and read.all is not None else []
    return " ".join(["v=spf1", *terms, *end]) if terms else ""


def _our_dmarc(text: str, mark: Mark) -> str:
    """A record with the shared one's policy and our report addresses alone."""
    hashes = set(mark.merged or ())
    kept: List[Tuple[str, str]] = []
    for name, value in tags(text):
        if name in ("rua", "ruf"):
            addresses = [u.strip() for u in value.split(",")]
            kept.append((name, ",".join(u for u in addresses if term_hash(uri_key(u)) in hashes)))
        else:
            kept.append((name, value))
    if not any(value for name, value in kept if name in ("rua", "ruf")):
        return ""
    return "; ".join(f"{name}={value}" for name, value in kept if value)


def theirs(record: Have, mark: Mark) -> str:
    """What of a shared record is the other owner's, as a record."""
    return stripped(record, mark)


def join(record: Have, half: str, base: Sequence[str]) -> Tuple[str, Tuple[str, ...]]:
    """Our half and the others' records as one text, and the hashes of our terms in it. ValueError when that cannot be."""
    if kind_of(record.name, record.type, record.content) == "dmarc":
        text, addresses = dmarc_merge(half, base)
        return text, tuple(term_hash(uri_key(a)) for a in addresses)
    merged = spf_merge.merge(half or "v=spf1", base)
    return merged.text, tuple(term_hash(k) for k in merged.added)


def marked(basis: Have, text: str, mark: Mark) -> Have:
    """A record of others as a shared one."""
    return dataclasses.replace(basis, content=text, comment=mark.write(Options().comment_limit))
