# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The durable side: objects of the registry and the mail queue in one SQLite file, safe from any thread."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .patching import format_id, parse_id
from .schema import JsonObject

# Counted from one; every other type gets an id that grows with time.
SEQUENTIAL = frozenset({"Account", "Domain", "MailingList", "OAuthClient", "Role", "Tenant"})
SINGLETON = "singleton"
_EPOCH_MS = 1_632_280_000_000

_TABLES = """
CREATE TABLE IF NOT EXISTS objects (type TEXT, id TEXT, number INTEGER, data TEXT, PRIMARY KEY (type, id));
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER);
CREATE TABLE IF NOT EXISTS queue (id TEXT PRIMARY KEY, due REAL, data TEXT, message BLOB);
CREATE INDEX IF NOT EXISTS queue_due ON queue (due);
"""


class Store:
    """Objects by type and id, kept in order of their ids. Every call is one transaction."""

    def __init__(self, path: Path | str) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(str(path), check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_TABLES)
        self._last = 0
        self.version = 0  # grows with every change of an object: what derived state is cached by

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One atomic change; rolled back when the body raises."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self._lock:
            return self._db.execute(statement, values).fetchall()

    def close(self) -> None:
        """Write everything back and close the file."""
        with self._lock:
            self._db.close()

    # -- ids --------------------------------------------------------------------------------------------------------
    def unique(self) -> int:
        """A number that grows with time and never repeats: milliseconds, then a counter."""
        with self._lock:
            self._last = max(self._last + 1, (int(time.time() * 1000) - _EPOCH_MS) << 21)
            return self._last

    def _next_id(self, object_type: str, db: sqlite3.Connection) -> int:
        if object_type not in SEQUENTIAL:
            return self.unique()
        row = db.execute(
            "INSERT INTO counters VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value",
            (object_type,),
        ).fetchone()
        return int(row[0])

    # -- objects ----------------------------------------------------------------------------------------------------
    def get(self, object_type: str, object_id: str) -> JsonObject | None:
        """One object, or ``None``."""
        rows = self.rows("SELECT data FROM objects WHERE type = ? AND id = ?", object_type, object_id)
        return dict(json.loads(rows[0][0])) if rows else None

    def all(self, object_type: str) -> dict[str, JsonObject]:
        """Every object of a type by id, in order of the ids."""
        rows = self.rows("SELECT id, data FROM objects WHERE type = ? ORDER BY number", object_type)
        return {row[0]: json.loads(row[1]) for row in rows}

    def everything(self) -> Iterator[tuple[str, str, JsonObject]]:
        """Every object as ``(type, id, object)``, ordered by type and id."""
        for row in self.rows("SELECT type, id, data FROM objects ORDER BY type, number"):
            yield row[0], row[1], json.loads(row[2])

    def insert(self, object_type: str, obj: JsonObject, object_id: str | None = None) -> str:
        """Store a new object under a new id, or under the one given; returns the id."""
        with self.transaction() as db:
            number = self._next_id(object_type, db) if object_id is None else parse_id(object_id) or 0
            new_id = object_id or format_id(number)
            db.execute("INSERT INTO objects VALUES (?, ?, ?, ?)", (object_type, new_id, number, json.dumps(obj)))
            if object_type in SEQUENTIAL:
                db.execute(
                    "INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = max(value, ?)",
                    (object_type, number, number),
                )
            self.version += 1
        return new_id

    def put(self, object_type: str, object_id: str, obj: JsonObject) -> None:
        """Replace an object; a singleton that was never written is created."""
        with self.transaction() as db:
            db.execute(
                "INSERT INTO objects VALUES (?, ?, 0, ?) ON CONFLICT (type, id) DO UPDATE SET data = excluded.data",
                (object_type, object_id, json.dumps(obj)),
            )
            self.version += 1

    def delete(self, object_type: str, object_id: str) -> None:
        """Remove an object."""
        with self.transaction() as db:
            db.execute("DELETE FROM objects WHERE type = ? AND id = ?", (object_type, object_id))
            self.version += 1
