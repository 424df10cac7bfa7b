# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records between the API's JSON and the engine's form, and changes as batches.

Reading takes whatever place a value stands in: MX priority at the top or in ``data``, SRV, CAA, TLSA and the like from
``data`` or from the echoed ``content``, TXT in any spelling. Writing uses the documented place, and TXT always quoted and
divided.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import AUTO_TTL, Change, Have

PROXIABLE = ("A", "AAAA", "CNAME")

#: Types whose value is an object, with its numeric fields and the rest, in presentation order.
_DATA: Dict[str, Tuple[Tuple[str, ...], Tuple[str, ...]]] = {
    "SRV": (("priority", "weight", "port"), ("target",)),
    "TLSA": (("usage", "selector", "matching_type"), ("certificate",)),
    "SMIMEA": (("usage", "selector", "matching_type"), ("certificate",)),
    "CAA": (("flags",), ("tag", "value")),
    "SSHFP": (("algorithm", "type"), ("fingerprint",)),
    "DS": (("key_tag", "algorithm", "digest_type"), ("digest",)),
    "HTTPS": (("priority",), ("target", "value")),
    "SVCB": (("priority",), ("target", "value")),
}
#: Batches run in this order whatever the order in the body (documentation, batch record changes).
LISTS = ("deletes", "patches", "posts")


class WireError(ValueError):
    """A record that has not the documented shape; says what is missing."""


def decode(raw: Any) -> Have:
    """A record as the API gives it. Raises WireError.

    A value that cannot be read keeps the API's own words: it is then somebody else's and equals nothing we want.
    """
    if not isinstance(raw, dict):
        raise WireError("a record is not an object")
    texts = {name: raw.get(name) for name in ("id", "name", "type")}
    for name, value in texts.items():
        if not isinstance(value, str) or not value:
            raise WireError(f"a record has no {name}")
    rtype = str(texts["type"]).upper()
    ttl = raw.get("ttl")
    if not isinstance(ttl, int):
        raise WireError(f"the record {texts['name']} {rtype} has no ttl")
    meta = raw.get("meta")
    locked = raw.get("locked") is True or (isinstance(meta, dict) and meta.get("read_only") is True)
    return Have(
        name=str(texts["name"]).lower().rstrip("."),
        type=rtype,
        content=_content(rtype, raw),
        ttl=AUTO_TTL if ttl == 1 else ttl,
        id=str(texts["id"]),
        comment=str(raw.get("comment") or ""),
        tags=tuple(str(t) for t in raw.get("tags") or ()),
        proxied=raw.get("proxied") is True,
        read_only=locked,
    )


def _content(rtype: str, raw: Mapping[str, Any]) -> str:
    given = raw.get("content")
    text = given if isinstance(given, str) else ""
    if rtype == "TXT":
        return rdata.txt_decode(text)
    try:
        return rdata.canonical(rtype, _presentation(rtype, raw, text))
    except (rdata.RdataError, KeyError):
        return text


def _presentation(rtype: str, raw: Mapping[str, Any], text: str) -> str:
    data = raw.get("data")
    fields: Mapping[str, Any] = data if isinstance(data, dict) else {}
    if rtype == "MX":
        priority = fields.get("priority", raw.get("priority"))
        return f"{priority} {text or fields.get('target', '')}"
    if rtype == "URI" and fields:
        priority = raw.get("priority", fields.get("priority"))
        return f"{priority} {fields['weight']} {rdata.quote(str(fields['target']))}"
    if rtype not in _DATA or not fields:
        if rtype == "SRV" and len(text.split()) == 3:
            return f"{raw.get('priority')} {text}"
        return text
    numbers, rest = _DATA[rtype]
    words = [str(fields.get(n, raw.get(n))) for n in numbers]
    words += [rdata.quote(str(fields[n])) if (rtype, n) == ("CAA", "value") else str(fields.get(n, "")) for n in rest]
    return " ".join(words)


def encode(rtype: str, content: str) -> Dict[str, Any]:
    """The value fields of a record in canonical form, as the documentation wants them written."""
    if rtype == "TXT":
        return {"content": rdata.txt_quote(content)}
    if rtype == "MX":
        priority, host = content.split(" ")
        return {"content": host, "priority": int(priority)}
    if rtype == "URI":
        priority, weight, target = rdata.tokens(content)
        return {"priority": int(priority), "data": {"weight": int(weight), "target": rdata.unquote(target)}}
    if rtype not in _DATA:
        return {"content": content}
    numbers, rest = _DATA[rtype]
    words = rdata.tokens(content)
    data: Dict[str, Any] = {name: int(word) for name, word in zip(numbers, words)}
    words = words[len(numbers) :]
    data.update(zip(rest[:-1], words))
    tail = words[len(rest) - 1 :]
    data[rest[-1]] = rdata.unquote(tail[0]) if rtype == "CAA" else " ".join(tail)
    return {"data": data}


def operation(change: Change) -> Tuple[str, Dict[str, Any]]:
    """A change as (list of the batch, entry). Updates send only what differs, so nobody else's fields are reset."""
    if change.action == "delete":
        assert change.before is not None
        return "deletes", {"id": change.before.id}
    after = change.after
    assert after is not None
    entry: Dict[str, Any] = {"type": after.type, "name": after.name}
    fields = change.fields() if change.action == "update" else ("content", "ttl", "proxied", "comment")
    if "content" in fields:
        entry.update(encode(after.type, after.content))
    if "ttl" in fields or "proxied" in fields:
        # Proxied records have no time to live of their own: one has to be given when that ends.
        entry["ttl"] = 1 if after.proxied else after.ttl
    if "proxied" in fields and after.type in PROXIABLE:
        entry["proxied"] = after.proxied
    if "comment" in fields:
        entry["comment"] = after.comment
    if "tags" in fields or (change.action == "create" and after.tags):
        entry["tags"] = list(after.tags)
    if change.action == "create":
        return "posts", entry
    assert change.before is not None
    return "patches", {"id": change.before.id, **entry}


def batch_body(changes: Iterable[Change]) -> Dict[str, List[Dict[str, Any]]]:
    """The body of one batch; empty lists are left out."""
    lists: Dict[str, List[Dict[str, Any]]] = {name: [] for name in LISTS}
    for change in changes:
        name, entry = operation(change)
        lists[name].append(entry)
    return {name: entries for name, entries in lists.items() if entries}


def change_at(changes: Sequence[Change], pointer: str) -> Change | None:
    """The change that ``/posts/3`` means; one of a single change needs no pointer."""
    parts = pointer.strip("/").split("/")
    if len(parts) >= 2 and parts[0] in LISTS and parts[1].isdigit():
        same = [c for c in changes if operation(c)[0] == parts[0]]
        if int(parts[1]) < len(same):
            return same[int(parts[1])]
    return changes[0] if len(changes) == 1 else None
