# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One record: read from a request body (create, overwrite, merge), written as the API gives it back."""

from __future__ import annotations

import dataclasses
import functools
import re
import secrets
from dataclasses import dataclass, field
from typing import Any

import dns.rdata

from . import errors
from .config import HEX_ID, Zone
from .rdata import PRIORITY_TYPES, PROXIABLE, TYPES, Value, make_value, to_rdata
from .text import absolute_name

#: Seconds that ``ttl: 1`` stands for (reference, §1.3).
AUTO_TTL = 300

#: Fields a client may set.
WRITABLE = frozenset(
    ["type", "name", "ttl", "content", "data", "priority", "proxied", "comment", "tags", "settings", "private_routing"]
)

#: Fields only the API sets; a client that sends a whole record back is not refused for them.
RESPONSE_ONLY = frozenset(
    [
        "id",
        "created_on",
        "modified_on",
        "comment_modified_on",
        "tags_modified_on",
        "proxiable",
        "meta",
        "locked",
        "zone_id",
        "zone_name",
    ]
)

#: Kinds of zones whose records can carry comments and tags.
ANNOTATED = ("full", "partial")

_TAG = re.compile(r"[A-Za-z0-9_-]{1,32}(:.{0,100})?")


@dataclass(frozen=True)
class Limits:
    """What a plan allows (reference, §1.3)."""

    records: int
    batch: int
    comment: int
    tags: int
    txt: int = 2048
    txt_per_name: int = 8192
    min_ttl: int = 60

    @classmethod
    def of(cls, zone: Zone) -> Limits:
        free = zone.plan == "free"
        return cls(
            records=zone.record_quota or (200 if free else 3500),
            batch=200 if free else 3500,
            comment=100 if free else 500,
            tags=0 if free else 20,
            min_ttl=30 if zone.plan == "enterprise" else 60,
        )


@dataclass(frozen=True)
class Record:
    """A stored record; times are RFC 3339 text, ttl in seconds with 1 for automatic."""

    id: str
    type: str
    name: str
    value: Value
    ttl: int
    proxied: bool
    comment: str | None
    tags: tuple[str, ...]
    settings: dict[str, bool]
    private_routing: bool
    created_on: str
    modified_on: str
    comment_modified_on: str | None = None
    tags_modified_on: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def served_ttl(self) -> int:
        return AUTO_TTL if self.ttl == 1 else self.ttl

    @functools.cached_property
    def rdata(self) -> dns.rdata.Rdata:
        return to_rdata(self.type, self.value)

    @property
    def read_only(self) -> bool:
        return self.meta.get("read_only") is True

    @functools.cached_property
    def identity(self) -> tuple[str, str, str]:
        """What makes two records identical. The API's rule is unverified; this is "DNS would serve them as one"."""
        return (self.type, self.name, self.rdata.to_digestable().hex())

    def to_json(self, zone: Zone) -> dict[str, Any]:
        out: dict[str, Any] = {
            "id": self.id,
            "name": self.name,
            "type": self.type,
            "content": self.value.content,
            "proxiable": self.type in PROXIABLE,
            "proxied": self.proxied,
            "ttl": self.ttl,
            "settings": dict(self.settings),
            "meta": dict(self.meta),
            "comment": self.comment,
            "tags": list(self.tags),
            "created_on": self.created_on,
            "modified_on": self.modified_on,
        }
        if self.value.data is not None:
            out["data"] = dict(self.value.data)
        if self.value.priority is not None:
            out["priority"] = self.value.priority
        if self.type == "MX" and zone.mx_priority == "both":
            out["data"] = {"priority": self.value.priority, "target": self.value.content}
        if self.type in ("A", "AAAA") and self.private_routing:
            out["private_routing"] = True
        if zone.legacy_fields:
            out.update(locked=self.read_only, zone_id=zone.zone_id, zone_name=zone.name)
        if self.comment_modified_on:
            out["comment_modified_on"] = self.comment_modified_on
        if self.tags_modified_on:
            out["tags_modified_on"] = self.tags_modified_on
        return out


@dataclass(frozen=True)
class Reader:
    """Reads bodies for one zone. now: the RFC 3339 time to stamp; lenient: ignore unknown fields as old clients need."""

    zone: Zone
    limits: Limits
    now: str
    lenient: bool = False

    def create(self, body: Any, meta: dict[str, Any] | None = None) -> Record:
        """POST and the seeds of a zone."""
        return self._read(self._object(body), None, meta or {})

    def overwrite(self, body: Any, old: Record) -> Record:
        """PUT: what is not given returns to its default (reference, §1.3)."""
        return self._read(self._object(body), old, old.meta)

    def merge(self, body: Any, old: Record) -> Record:
        """PATCH: what is not given stays. ``data`` is replaced as a whole (how deep the API merges is unverified)."""
        given = self._object(body)
        changed_type = given.get("type", old.type) != old.type
        full: dict[str, Any] = {
            "type": old.type,
            "name": old.name,
            "ttl": old.ttl,
            "proxied": old.proxied,
            "comment": old.comment,
            "tags": list(old.tags),
        }
        if not changed_type:
            # Both belong to a kind of record: another type has none or others.
            full.update(settings=dict(old.settings), private_routing=old.private_routing)
            full.update(self._old_value(given, old))
        return self._read({**full, **given}, old, old.meta)

    @staticmethod
    def _old_value(given: dict[str, Any], old: Record) -> dict[str, Any]:
        if old.type == "MX":
            moved = given["data"] if isinstance(given.get("data"), dict) else {}
            kept: dict[str, Any] = {}
            if "priority" not in given and "priority" not in moved:
                kept["priority"] = old.value.priority
            if "content" not in given and "target" not in moved:
                kept["content"] = old.value.content
            return kept
        kept = {"data": old.value.data} if old.value.data is not None else {"content": old.value.content}
        if old.type in PRIORITY_TYPES:
            kept["priority"] = old.value.priority
        return kept

    def _object(self, body: Any) -> dict[str, Any]:
        if not isinstance(body, dict):
            raise errors.invalid_body("An object is expected.")
        if not self.lenient:
            for name in body:
                if name not in WRITABLE and name not in RESPONSE_ONLY:
                    raise errors.invalid_body(f"Unknown field {name}.", f"/{name}")
        return {name: value for name, value in body.items() if name in WRITABLE}

    def _read(self, body: dict[str, Any], old: Record | None, meta: dict[str, Any]) -> Record:
        record_type = body.get("type")
        if not isinstance(record_type, str) or record_type not in TYPES:
            raise errors.invalid_body("type must be one of the record types.", "/type")
        name = body.get("name")
        if not isinstance(name, str):
            raise errors.invalid_body("name must be a text.", "/name")
        name = absolute_name(name, self.zone.name)
        value = make_value(
            record_type, name, body.get("content"), body.get("data"), body.get("priority"), lenient=self.lenient
        )
        if record_type == "TXT" and len(value.content) > self.limits.txt:
            raise errors.content_too_long(self.limits.txt)
        proxied = self._bool(body, "proxied")
        if proxied and record_type not in PROXIABLE:
            raise errors.not_proxiable()
        comment, tags = self._comment(body.get("comment")), self._tags(body.get("tags"))
        if (comment or tags) and self.zone.type not in ANNOTATED:
            raise errors.plan_of_zone("Comments and tags")
        private = self._bool(body, "private_routing")
        if private and record_type not in ("A", "AAAA"):
            raise errors.invalid_body("private_routing is for A and AAAA.", "/private_routing")
        record = Record(
            id=old.id if old else secrets.token_hex(16),
            type=record_type,
            name=name,
            value=value,
            # A proxied record's TTL is always automatic (record-types page).
            ttl=1 if proxied else self._ttl(body.get("ttl")),
            proxied=proxied,
            comment=comment,
            tags=tags,
            settings=self._settings(body.get("settings"), record_type),
            private_routing=private,
            created_on=old.created_on if old else self.now,
            modified_on=self.now,
            comment_modified_on=self._stamp(
                comment, old.comment if old else None, old.comment_modified_on if old else None
            ),
            tags_modified_on=self._stamp(tags, old.tags if old else (), old.tags_modified_on if old else None),
            meta=dict(meta),
        )
        if old is not None and dataclasses.replace(record, modified_on=old.modified_on) == old:
            return old
        return record

    def _stamp(self, new: object, old: object, before: str | None) -> str | None:
        return before if new == old else self.now

    @staticmethod
    def _bool(body: dict[str, Any], name: str) -> bool:
        given = body.get(name)
        if given is None:
            return False
        if not isinstance(given, bool):
            raise errors.invalid_body(f"{name} must be true or false.", f"/{name}")
        return given

    def _ttl(self, given: Any) -> int:
        if given is None:
            return 1
        if isinstance(given, bool) or not isinstance(given, int):
            raise errors.invalid_body("ttl must be a number.", "/ttl")
        if given != 1 and not self.limits.min_ttl <= given <= 86400:
            raise errors.bad_ttl()
        return given

    def _comment(self, given: Any) -> str | None:
        if given is None or given == "":
            return None
        if not isinstance(given, str):
            raise errors.invalid_body("comment must be a text.", "/comment")
        if "\r" in given or "\n" in given:
            raise errors.bad_comment()
        if len(given) > self.limits.comment:
            raise errors.comment_too_long(self.limits.comment)
        return given

    def _tags(self, given: Any) -> tuple[str, ...]:
        if given is None:
            return ()
        if not isinstance(given, list) or not all(isinstance(tag, str) for tag in given):
            raise errors.invalid_body("tags must be a list of texts.", "/tags")
        if len(given) > self.limits.tags:
            raise errors.too_many_tags(len(given), self.limits.tags)
        for tag in given:
            if not _TAG.fullmatch(tag):
                raise errors.bad_tag(tag)
        return tuple(given)

    def _settings(self, given: Any, record_type: str) -> dict[str, bool]:
        if given is None:
            return {}
        if not isinstance(given, dict) or not all(isinstance(v, bool) for v in given.values()):
            raise errors.invalid_body("settings must be an object of true and false.", "/settings")
        allowed = {"flatten_cname"} if record_type == "CNAME" else set()
        allowed |= {"ipv4_only", "ipv6_only"} if record_type in PROXIABLE else set()
        for name in given:
            if name not in allowed:
                raise errors.invalid_body(f"settings of {record_type} have no {name}.", f"/settings/{name}")
        if given.get("flatten_cname") and self.zone.plan == "free":
            raise errors.plan_feature("Flattening of a single CNAME")
        return dict(given)


def record_id(body: Any) -> str:
    """The ``id`` of an operation of a batch. Raises ApiError."""
    given = body.get("id") if isinstance(body, dict) else None
    if not isinstance(given, str) or not HEX_ID.fullmatch(given):
        raise errors.invalid_body("id must be a record identifier.", "/id")
    return given
