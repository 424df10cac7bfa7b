# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue: durable in the database before a message is acknowledged, retried by the delivery schedules."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import re
import threading
import time
from collections.abc import Collection
from datetime import datetime, timezone
from typing import Any

from . import bounces
from .delivery import Attempt, Delivery, Outcome, parts
from .expression_functions import Value, to_text
from .patching import format_id, parse_id
from .registry import Registry
from .schema import JsonObject
from .webhooks import WebHooks

log = logging.getLogger("standin.queue")

DEFAULT_RETRY_MS = [minutes * 60_000 for minutes in (2, 5, 10, 15, 30, 60, 120)]
DEFAULT_EXPIRE_MS = 3 * 86_400_000
_CONCURRENT = 8
# What expressions call last_error → what the API calls errorType.
_ERROR_TYPES = {
    "dns": "dnsError",
    "unexpected-reply": "unexpectedResponse",
    "connection": "connectionError",
    "tls": "tlsError",
}


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class MailQueue:
    """Messages with their recipients; every change is committed before anything depends on it."""

    def __init__(self, registry: Registry, delivery: Delivery, hooks: WebHooks | None = None) -> None:
        self.registry = registry
        self.store = registry.store
        self.delivery = delivery
        self.hooks = hooks or WebHooks(registry)
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._paused = False
        self._lock = threading.Lock()

    def new_id(self) -> str:
        """An id for a new message, as the server prints it."""
        return f"{self.store.unique():x}"

    # -- adding and looking -----------------------------------------------------------------------------------------
    def add(
        self,
        queue_id: str,
        sender: str,
        recipients: list[str],
        message: bytes,
        source: str,
        remote_ip: str,
        port: int,
        silent: Collection[str] = (),
    ) -> None:
        """Put a message into the queue; when this returns it is on disk. ``silent``: no report if these fail."""
        now = time.time()
        entry: JsonObject = {
            "created": now,
            "sender": sender,
            "source": source,
            "remoteIp": remote_ip,
            "port": port,
            "size": len(message),
            "recipients": {},
        }
        for recipient in recipients:
            # The schedule is chosen when a message arrives and kept.
            variables = self._variables(entry, recipient, {"retries": 0, "lastError": ""})
            name = to_text(self.registry.evaluate("MtaOutboundStrategy", "schedule", variables) or "")
            entry["recipients"][recipient] = {
                "schedule": name,
                "due": now,
                "retries": 0,
                "status": "scheduled",
                "reply": "",
                "lastError": "",
                "silent": recipient in silent,
            }
        with self.store.transaction() as db:
            db.execute("INSERT INTO queue VALUES (?, ?, ?, ?)", (queue_id, now, json.dumps(entry), message))
        log.info("queue.message-queued: %s from=<%s> to=%s size=%d", queue_id, sender, recipients, len(message))
        kind = {"authenticated": "queue.authenticated-message-queued", "dsn": "queue.dsn-queued"}
        self._tell(kind.get(source, "queue.message-queued"), queue_id, entry, recipients)
        self.wake()

    def _tell(self, kind: str, queue_id: str, entry: JsonObject, to: Any, **data: Any) -> None:
        """What upstream says of every event of the queue, and what this one is about."""
        about = {"queueId": int(queue_id, 16), "from": entry["sender"] or "<>", "to": to, "size": entry["size"]}
        self.hooks.tell(kind, {**about, **data})

    def wake(self) -> None:
        """Look at the queue now, from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake.set)

    def pause(self, paused: bool) -> None:
        """Stop or go on delivering; receiving continues."""
        self._paused = paused
        self.wake()

    def drop(self, message_id: str) -> bool:
        """Remove a message by its API id; whether it was there."""
        with self.store.transaction() as db:
            return db.execute("DELETE FROM queue WHERE id = ?", (f"{_number(message_id):x}",)).rowcount > 0

    def objects(self) -> dict[str, JsonObject]:
        """Queued messages as the API shows them."""
        result = {}
        for queue_id, data in self.store.rows("SELECT id, data FROM queue ORDER BY id"):
            entry = json.loads(data)
            api_id = format_id(int(queue_id, 16))
            pending = [r for r in entry["recipients"].values() if r["status"] == "scheduled"]
            result[api_id] = {
                "blobId": "",
                "createdAt": _moment(entry["created"]),
                "envId": None,
                "flags": {entry["source"]: True} if entry["source"] in self._flags() else {},
                "nextNotify": None,
                "nextRetry": _moment(min(r["due"] for r in pending)) if pending else None,
                "priority": 0,
                "receivedFromIp": entry["remoteIp"],
                "receivedViaPort": entry["port"],
                "recipients": {address: self._shown(entry, r) for address, r in entry["recipients"].items()},
                "returnPath": entry["sender"] or "<>",
                "size": entry["size"],
                "id": api_id,
            }
        return result

    def _flags(self) -> list[str]:
        return self.registry.schema.enums["MessageFlag"]

    def _shown(self, entry: JsonObject, recipient: JsonObject) -> JsonObject:
        _, expire_ms, attempts = self._schedule(recipient["schedule"])
        expires: JsonObject = {"@type": "Attempts", "expiresAttempts": attempts}
        if attempts is None:
            life = DEFAULT_EXPIRE_MS if expire_ms is None else expire_ms
            expires = {"@type": "Ttl", "expiresAt": _moment(entry["created"] + life / 1000)}
        return {
            "expires": expires,
            "flags": {},
            "notifyCount": 0,
            "notifyDue": _moment(recipient["due"]),
            "orcpt": None,
            "queueName": recipient["schedule"],
            "retryCount": recipient["retries"],
            "retryDue": _moment(recipient["due"]),
            "status": self._status(recipient),
        }

    @staticmethod
    def _status(recipient: JsonObject) -> JsonObject:
        if not recipient["reply"]:
            return {"@type": "Scheduled"}
        command = recipient.get("command", "")
        code, enhanced, text = parts(recipient["reply"]) if command else (None, None, None)
        return {
            "@type": "TemporaryFailure",
            "errorType": _ERROR_TYPES.get(recipient["lastError"], "io"),
            "errorMessage": None if command else recipient["reply"],
            "errorCommand": command or None,
            "responseHostname": recipient.get("host", ""),
            "responseCode": code,
            "responseEnhanced": enhanced,
            "responseMessage": text,
        }

    # -- delivering -------------------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Deliver what is due, until cancelled."""
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        try:
            await self._deliver_due()
        finally:
            self._loop = None

    async def _deliver_due(self) -> None:
        running: dict[str, asyncio.Task[None]] = {}
        while True:
            self._wake.clear()
            now = time.time()
            due = [] if self._paused else self.store.rows("SELECT id FROM queue WHERE due <= ? ORDER BY due", now)
            for (queue_id,) in due:
                if queue_id not in running and len(running) < _CONCURRENT:
                    task = asyncio.create_task(asyncio.to_thread(self._attempt, queue_id))
                    running[queue_id] = task
                    task.add_done_callback(functools.partial(self._finished, running, queue_id))
            later = self.store.rows("SELECT min(due) FROM queue WHERE due > ?", now)[0][0]
            wait = None if later is None or self._paused else max(later - now, 0.05)
            try:
                await asyncio.wait_for(self._wake.wait(), wait)
            except TimeoutError:
                continue

    def _finished(self, running: dict[str, asyncio.Task[None]], key: str, done: asyncio.Task[None]) -> None:
        running.pop(key, None)
        if not done.cancelled() and done.exception() is not None:
            log.error("queue: %s: %r", key, done.exception())
        self._wake.set()

    def _attempt(self, queue_id: str) -> None:
        """Try every recipient that is due, then write the result back."""
        rows = self.store.rows("SELECT data, message FROM queue WHERE id = ?", queue_id)
        if not rows:
            return
        entry, message = json.loads(rows[0][0]), bytes(rows[0][1])
        now = time.time()
        due = {a: r for a, r in entry["recipients"].items() if r["status"] == "scheduled" and r["due"] <= now}
        groups: dict[tuple[str, str], list[str]] = {}
        for address, recipient in due.items():
            variables = self._variables(entry, address, recipient)
            route = to_text(self.registry.evaluate("MtaOutboundStrategy", "route", variables) or "")
            groups.setdefault((route, address.rpartition("@")[2].lower()), []).append(address)
        for (route, _domain), addresses in groups.items():
            variables = self._variables(entry, addresses[0], entry["recipients"][addresses[0]])
            attempt = Attempt(queue_id, entry["sender"], addresses, message, route, variables)
            outcomes = self.delivery.deliver(attempt)
            self._tell_of_host(queue_id, entry, outcomes)
            for address, outcome in outcomes.items():
                self._note(entry, address, outcome, time.time())
        self._write_back(queue_id, entry, message)

    def _tell_of_host(self, queue_id: str, entry: JsonObject, outcomes: dict[str, Outcome]) -> None:
        """What a host did to the whole attempt, such as refusing our password."""
        for event in sorted({(o.event, o.host, o.reply) for o in outcomes.values() if o.event}):
            kind, host, reply = event
            self._tell(kind, queue_id, entry, list(outcomes), hostname=host, causedBy=_cause(reply))

    def _variables(self, entry: JsonObject, address: str, recipient: JsonObject) -> dict[str, Value]:
        now = time.time()
        return {
            "sender": entry["sender"].lower(),
            "sender_domain": entry["sender"].rpartition("@")[2].lower(),
            "rcpt": address.lower(),
            "rcpt_domain": address.rpartition("@")[2].lower(),
            "recipients": [address.lower()],
            "priority": 0,
            "retry_num": recipient["retries"],
            "notify_num": 0,
            "expires_in": int(entry["created"] + DEFAULT_EXPIRE_MS / 1000 - now),
            "last_status": recipient.get("reply", ""),
            "last_error": recipient["lastError"] or "none",
            "queue_name": recipient.get("schedule", ""),
            "queue_age": int(now - entry["created"]),
            "received_from_ip": entry["remoteIp"],
            "received_via_port": entry["port"],
            "source": entry["source"],
            "size": entry["size"],
        }

    def _note(self, entry: JsonObject, address: str, outcome: Outcome, now: float) -> None:
        recipient = entry["recipients"][address]
        recipient["reply"], recipient["lastError"] = outcome.reply, outcome.error
        recipient["host"], recipient["command"] = outcome.host, outcome.command
        recipient["details"] = outcome.details
        if outcome.kind in {"delivered", "failed"}:
            recipient["status"] = outcome.kind
            return
        intervals, expire_ms, attempts = self._schedule(recipient["schedule"])
        wait = intervals[min(recipient["retries"], len(intervals) - 1)] / 1000
        recipient["retries"] += 1
        recipient["due"] = now + wait
        too_often = attempts is not None and recipient["retries"] >= attempts
        if too_often or (expire_ms is not None and now + wait > entry["created"] + expire_ms / 1000):
            recipient["status"] = "failed"
            recipient["reply"] = f"expired: {outcome.reply}"
        log.info("queue.rescheduled: <%s> in %.0f s: %s", address, wait, outcome.reply)

    def _schedule(self, name: str) -> tuple[list[int], int | None, int | None]:
        """``(intervals in ms, time to live in ms, most attempts)`` of a live schedule; the defaults for an unknown one."""
        schedule = self.registry.live_named("MtaDeliverySchedule", name)
        if schedule is None:
            return DEFAULT_RETRY_MS, DEFAULT_EXPIRE_MS, None
        intervals = DEFAULT_RETRY_MS
        if schedule["retry"]["@type"] == "Custom":
            intervals = [interval["duration"] for interval in schedule["retry"]["intervals"].values()]
        return intervals, schedule["expiry"].get("expire"), schedule["expiry"].get("maxAttempts")

    def _write_back(self, queue_id: str, entry: JsonObject, message: bytes) -> None:
        everybody = [*entry["recipients"]]
        failed = {a: r for a, r in entry["recipients"].items() if r["status"] == "failed"}
        waiting = [r["due"] for r in entry["recipients"].values() if r["status"] == "scheduled"]
        entry["recipients"] = {a: r for a, r in entry["recipients"].items() if r["status"] == "scheduled"}
        with self._lock, self.store.transaction() as db:
            if waiting:
                values: tuple[Any, ...] = (min(waiting), json.dumps(entry), queue_id)
                db.execute("UPDATE queue SET due = ?, data = ? WHERE id = ?", values)
            else:
                db.execute("DELETE FROM queue WHERE id = ?", (queue_id,))
        self._tell_failed(queue_id, entry, failed)
        if waiting:
            self._tell("queue.rescheduled", queue_id, entry, [*entry["recipients"]], nextRetry=_moment(min(waiting)))
        else:
            self._tell("delivery.completed", queue_id, entry, everybody)
        failed = {a: r for a, r in failed.items() if not r["silent"]}
        if failed and entry["sender"]:
            report = bounces.report(self.registry, entry, failed, message)
            self.add(self.new_id(), "", [entry["sender"]], report, "dsn", "127.0.0.1", 0)
        self.wake()

    def _tell_failed(self, queue_id: str, entry: JsonObject, failed: dict[str, JsonObject]) -> None:
        for address, recipient in failed.items():
            about = {"hostname": recipient["host"], "details": recipient["details"], "total": recipient["retries"]}
            self._tell("delivery.dsn-perm-fail", queue_id, entry, address, **about)
        if failed and not entry["sender"]:
            # A report that could not be delivered either: nobody hears of it any more.
            lost = [f"<{address}> ({recipient['details']})" for address, recipient in failed.items()]
            self._tell("delivery.double-bounce", queue_id, entry, lost)


def _cause(reply: str) -> JsonObject:
    """An SMTP error as upstream nests it in an event."""
    found = re.search(r"Code: (\d{3}), Enhanced code: [\d.]+, Message: (.*)", reply, re.S)
    if found is None:
        return {"type": "smtp.error", "data": {"reason": reply}}
    data = {"details": "SMTP Authentication Failed", "code": int(found[1]), "reason": found[2]}
    return {"type": "smtp.error", "data": data}


def _number(message_id: str) -> int:
    return parse_id(message_id) or 0
