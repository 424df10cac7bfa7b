# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A zone's records and the ways to change them: single calls and the batch, each one transaction."""

from __future__ import annotations

import copy
import dataclasses
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, Protocol, TypeVar

from . import errors
from .config import TwinConfig, Zone, stable_id
from .dnssec import Dnssec, Key
from .email import domains
from .email.model import MailState
from .records import Limits, Reader, Record, record_id
from .rules import Rules, Working

#: The order in which a batch runs, whatever the order in the body (reference, §1.3).
BATCH_ORDER = ("deletes", "patches", "puts", "posts")

T = TypeVar("T")


class PublishError(Exception):
    """The records could not be brought into DNS."""


class Publisher(Protocol):
    """Brings a zone's change into DNS before it is answered (see ddns.py)."""

    def publish(self, zone: Zone, before: Mapping[str, Record], after: Mapping[str, Record]) -> None:
        """Raises PublishError; the change is then not made."""

    def key_of(self, zone: Zone) -> Key | None:
        """The key-signing key that the server signs the zone with, if it does."""


class Store(Protocol):
    """Keeps zones across restarts (see store.py)."""

    def save(self, zone: ZoneState) -> None: ...


def utc_now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class ZoneState:
    """One zone. Every method is safe to call from several threads; a change is made whole or not at all."""

    def __init__(
        self,
        zone: Zone,
        config: TwinConfig,
        publisher: Publisher | None = None,
        store: Store | None = None,
        clock: Callable[[], str] = utc_now,
    ) -> None:
        self.zone = zone
        self.limits = Limits.of(zone)
        self.lock = threading.RLock()
        self.records: dict[str, Record] = {}
        self.scanned: dict[str, Record] = {}
        self.created_on = clock()
        key = Key.made_up(zone.name) if zone.dnssec != "disabled" else None
        self.dnssec = Dnssec(zone.name, zone.dnssec, self.created_on, key)
        self.settings: dict[str, Any] = default_settings(zone)
        self._config, self._publisher, self._store, self._clock = config, publisher, store, clock
        self.mail = MailState.new(stable_id("catch-all", zone.name), self.created_on)

    @property
    def _rules(self) -> Rules:
        return Rules(self.zone, self.limits, self._config.duplicate_code, self.mail.locked_names)

    # -- reading -----------------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Record]:
        """The records as they are now, by id, in order of creation."""
        with self.lock:
            return dict(self.records)

    def get(self, wanted: str) -> Record:
        with self.lock:
            return Working(self.records).get(wanted)

    # -- changing ----------------------------------------------------------------------------------------------------

    def create(self, body: Any) -> Record:
        with self.lock:
            working = Working(self.records)
            record = self._post(working, body)
            self._commit(working)
            return record

    def change(self, wanted: str, body: Any, overwrite: bool) -> Record:
        """PUT (overwrite) or PATCH of one record."""
        with self.lock:
            working = Working(self.records)
            record = self._replace(working, working.get(wanted), body, overwrite)
            self._commit(working)
            return record

    def delete(self, wanted: str) -> Record:
        with self.lock:
            working = Working(self.records)
            record = working.get(wanted)
            self._rules.delete(working, record)
            self._commit(working)
            return record

    def batch(self, body: Any, fail_at: int = -1, failure: errors.ApiError | None = None) -> dict[str, list[Record]]:
        """Run a batch: deletes, patches, puts, posts, each list in its order; the first error undoes everything.

        fail_at and failure: the injected error at an operation, counted from 0 in the order of execution.
        """
        lists = read_batch(body)
        total = sum(len(items) for items in lists.values())
        if total > self.limits.batch:
            raise errors.batch_too_large(self.limits.batch)
        with self.lock:
            working = Working(self.records)
            done: dict[str, list[Record]] = {name: [] for name in BATCH_ORDER}
            position = 0
            for name in BATCH_ORDER:
                for index, operation in enumerate(lists[name]):
                    try:
                        if position == fail_at and failure is not None:
                            raise failure
                        done[name].append(self._operate(working, name, operation))
                    except errors.ApiError as error:
                        raise error.at(f"/{name}/{index}") from None
                    position += 1
            self._commit(working)
            return done

    def import_bodies(self, bodies: Iterable[Any]) -> int:
        """All of them or none; what is there already is passed over. Returns how many are new. Raises ApiError.

        Whether the API passes over identical records is unverified.
        """
        with self.lock:
            working, added = Working(self.records), 0
            for body in bodies:
                try:
                    self._post(working, body)
                except errors.ApiError as error:
                    if error.code == self._config.duplicate_code:
                        continue
                    raise
                added += 1
            self._commit(working)
            return added

    def scan(self) -> None:
        """Find the records of the zone's previous servers; they wait for a review."""
        with self.lock:
            found = [self._reader().create(body) for body in self.zone.scannable]
            self.scanned = {record.id: record for record in found}

    def review(self, accepts: Any, rejects: Any) -> dict[str, Any]:
        """Bring the accepted ones into the zone, forget the rejected ones; whole or not at all. Raises ApiError."""
        if not isinstance(accepts, list) or not isinstance(rejects, list):
            raise errors.invalid_body("accepts and rejects are lists.")
        with self.lock:
            working, left = Working(self.records), dict(self.scanned)
            made = [self._post(working, body) for body in accepts]
            for record in made:
                left = {key: other for key, other in left.items() if other.identity != record.identity}
            gone = [record_id(body) for body in rejects]
            for wanted in gone:
                if left.pop(wanted, None) is None:
                    raise errors.record_not_found()
            self._commit(working)
            self.scanned = left
            return {"accepts": [record.to_json(self.zone) for record in made], "rejects": gone}

    def change_dnssec(self, body: Any) -> Dnssec:
        with self.lock:
            key = self._publisher.key_of(self.zone) if self._publisher else None
            self.dnssec.change(body, self._clock(), key or Key.made_up(self.zone.name))
            self.save()
            return self.dnssec

    def activate_dnssec(self) -> None:
        """As if the registrar now had the DS."""
        with self.lock:
            self.dnssec.activate(self._clock())
            self.save()

    def set_dnssec(self, status: str) -> None:
        """Bring DNSSEC into a state that only the provider reaches (``error``, ``pending-disabled``)."""
        with self.lock:
            if self.dnssec.key is None:
                self.dnssec.key = Key.made_up(self.zone.name)
            self.dnssec.status, self.dnssec.modified_on = status, self._clock()
            self.save()

    def change_settings(self, body: Any) -> dict[str, Any]:
        """PATCH of ``dns_settings``. Raises ApiError for a field the endpoint does not have."""
        with self.lock:
            self.settings = merge_settings(self.settings, body)
            self.save()
            return self.settings

    # -- starting ----------------------------------------------------------------------------------------------------

    def seed(self, imported: Iterable[dict[str, Any]] = ()) -> None:
        """The first records of a zone that has no saved state: configured ones, then imported bodies. Raises ApiError."""
        reader, working = self._reader(), Working({})
        for body in [*self.zone.records, *imported]:
            fields = {name: value for name, value in body.items() if name != "meta"}
            record = reader.create(fields, dict(body.get("meta", {})))
            if record.read_only:
                working.put(record)
            else:
                self._rules.add(working, record)
        with self.lock:
            self._start_routing(working)
            self.records = working.records

    def use_server_key(self) -> None:
        """Report the key the server signs with instead of a made-up one, for a zone that starts out signed."""
        with self.lock:
            key = self._publisher.key_of(self.zone) if self._publisher else None
            if key is not None and self.dnssec.status != "disabled":
                self.dnssec.key = key
                self.save()

    def reconfigure(self, **changes: Any) -> None:
        """Change the zone's configuration while it runs (plan, email_routing, mx_priority, …), for tests.

        Turning Email Routing on brings its records, turning it off removes them; locking makes them read-only.
        """
        with self.lock:
            self.zone = dataclasses.replace(self.zone, **changes)
            self.limits = Limits.of(self.zone)
            if "email_routing" in changes:
                working = Working(self.records)
                for domain in list(self.mail.domains):
                    domains.disable(self.mail, working, domain)
                self._start_routing(working)
                self._commit(working)

    def change_mail(self, change: Callable[[Working, Reader], T]) -> T:
        """A change that a mail product makes to its own state and to records, past the rules for clients; whole or not
        at all. Raises what change raises."""
        with self.lock:
            working, before = Working(self.records), copy.deepcopy(self.mail)
            try:
                result = change(working, self._reader())
                self.mail.modified = self._clock()
                self._commit(working)
            except Exception:
                self.mail = before
                raise
            return result

    def set_meta(self, wanted: str, **meta: Any) -> None:
        """Set entries of a record's ``meta`` (``read_only=True``), which no client can."""
        with self.lock:
            working = Working(self.records)
            record = working.get(wanted)
            working.put(dataclasses.replace(record, meta={**record.meta, **meta}))
            self._commit(working)

    def restore(self, records: Mapping[str, Record]) -> None:
        """Take over saved or imported records as they are."""
        with self.lock:
            self.records = dict(records)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _start_routing(self, working: Working) -> None:
        """Email Routing as the zone is configured, whatever else is there."""
        if self.zone.email_routing == "off":
            return
        anything = dataclasses.replace(self._config.email, foreign_mx="beside", spf="beside")
        domains.enable(self.mail, working, self._reader(), self.zone.name, anything)
        if self.zone.email_routing == "unlocked":
            domains.unlock(self.mail, working, self.zone.name)

    def _reader(self) -> Reader:
        return Reader(self.zone, self.limits, self._clock(), lenient=not self._config.strict)

    def _post(self, working: Working, body: Any) -> Record:
        record = self._reader().create(body)
        self._rules.add(working, record)
        return record

    def _replace(self, working: Working, old: Record, body: Any, overwrite: bool) -> Record:
        reader = self._reader()
        new = reader.overwrite(body, old) if overwrite else reader.merge(body, old)
        self._rules.replace(working, old, new)
        return new

    def _operate(self, working: Working, name: str, operation: Any) -> Record:
        if name == "posts":
            return self._post(working, operation)
        old = working.get(record_id(operation))
        if name == "deletes":
            self._rules.delete(working, old)
            return old
        return self._replace(working, old, operation, overwrite=name == "puts")

    def _commit(self, working: Working) -> None:
        if self._publisher is not None:
            self._publisher.publish(self.zone, self.records, working.records)
        self.records = working.records
        self.save()

    def save(self) -> None:
        """Keep what was changed past this class's methods."""
        if self._store is not None:
            self._store.save(self)


def read_batch(body: Any) -> dict[str, list[Any]]:
    """The four lists of a batch; absent ones are empty. Raises ApiError for anything else in the body."""
    if not isinstance(body, dict):
        raise errors.invalid_body("An object with deletes, patches, puts and posts is expected.")
    for name, value in body.items():
        if name not in BATCH_ORDER:
            raise errors.invalid_body(f"Unknown field {name}.", f"/{name}")
        if not isinstance(value, list):
            raise errors.invalid_body(f"{name} must be a list.", f"/{name}")
        for index, operation in enumerate(value):
            if not isinstance(operation, dict):
                raise errors.invalid_body("An operation must be an object.", f"/{name}/{index}")
            if name == "deletes" and set(operation) != {"id"}:
                raise errors.invalid_body("A deletion holds an id.", f"/{name}/{index}")
    return {name: body.get(name, []) for name in BATCH_ORDER}


def default_settings(zone: Zone) -> dict[str, Any]:
    """``dns_settings`` of a new zone. minimum TTL 1800 is the documentation's figure."""
    return {
        "flatten_all_cnames": False,
        "multi_provider": False,
        "ns_ttl": 86400,
        "zone_mode": "standard",
        "soa": {
            "mname": zone.name_servers[0],
            "rname": "dns.cloudflare.com",
            "refresh": 10000,
            "retry": 2400,
            "expire": 604800,
            "min_ttl": 1800,
            "ttl": 3600,
        },
    }


def merge_settings(settings: Mapping[str, Any], body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise errors.invalid_body("An object is expected.")
    merged = dict(settings)
    for name, value in body.items():
        if name not in settings or type(value) is not type(settings[name]):
            raise errors.invalid_body(f"{name} is unknown or of the wrong kind.", f"/{name}")
        if name == "soa":
            merged[name] = merge_settings(settings["soa"], value)
            continue
        if name == "zone_mode" and value not in ("standard", "cdn_only", "dns_only"):
            raise errors.invalid_body("zone_mode must be standard, cdn_only or dns_only.", "/zone_mode")
        merged[name] = value
    return merged
