# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls to the live WebHook objects: what becomes of messages, gathered for ``throttle`` and signed.

Events wait in memory, as upstream: a call that fails is tried again until its events are older than ``discardAfter``, and
what a killed process had not yet sent is lost. The queue does not depend on any of it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import logging
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from . import keys
from .registry import Registry
from .schema import JsonObject

log = logging.getLogger("standin.webhook")

#: Events that the stand-in tells of; a WebHook that asks for any other hears nothing of that.
EVENTS = frozenset(
    {
        "delivery.auth-failed",
        "delivery.completed",
        "delivery.connect-error",
        "delivery.double-bounce",
        "delivery.dsn-perm-fail",
        "queue.authenticated-message-queued",
        "queue.dsn-queued",
        "queue.message-queued",
        "queue.rescheduled",
    }
)
_RETRY_SECONDS = 1.0  # between failed calls when a hook has no throttle

Post = Callable[[JsonObject, bytes], None]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other that is not a success."""

    def redirect_request(self, *_args: Any) -> None:
        return None


def post(hook: JsonObject, body: bytes) -> None:
    """One signed call. Raises OSError for anything but a success."""
    headers = {"Content-Type": "application/json", **hook["httpHeaders"], **_authorization(hook["httpAuth"])}
    if hook["signatureKey"]["@type"] != "None":
        digest = hmac.new(keys.read_text(hook["signatureKey"]).encode(), body, hashlib.sha256).digest()
        headers["X-Signature"] = base64.b64encode(digest).decode()
    context = ssl._create_unverified_context() if hook["allowInvalidCerts"] else keys.trust()
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context), _NoRedirect
    )
    request = urllib.request.Request(hook["url"], body, headers, method="POST")
    with opener.open(request, timeout=hook["timeout"] / 1000):
        return


def _authorization(auth: JsonObject) -> dict[str, str]:
    if auth["@type"] == "Basic":
        pair = f"{auth['username']}:{keys.read_text(auth['secret'])}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    if auth["@type"] == "Bearer":
        return {"Authorization": f"Bearer {keys.read_text(auth['bearerToken'])}"}
    return {}


def _wants(hook: JsonObject, kind: str) -> bool:
    return bool(hook["enable"]) and (kind in hook["events"]) == (hook["eventsPolicy"] == "include")


class WebHooks:
    """Gathers events and makes the calls in a thread of its own, which starts with the first event."""

    def __init__(self, registry: Registry, send: Post = post, clock: Callable[[], float] = time.time) -> None:
        self.registry = registry
        self._send, self._clock = send, clock
        self._pending: dict[str, list[tuple[float, JsonObject]]] = {}
        self._next: dict[str, float] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._numbers = itertools.count(1)

    def tell(self, kind: str, data: JsonObject) -> None:
        """Something happened. Never waits."""
        hooks = [i for i, hook in self.registry.live_objects("WebHook").items() if _wants(hook, kind)]
        if not hooks or kind not in EVENTS:
            return
        now = self._clock()
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        with self._changed:
            event = {"id": f"{int(now)}{next(self._numbers)}", "createdAt": created, "type": kind, "data": data}
            for hook_id in hooks:
                self._pending.setdefault(hook_id, []).append((now, event))
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                wait = self._wait()
                if wait is None or wait > 0:
                    self._changed.wait(wait)
                    continue
            self.flush()

    def _wait(self) -> float | None:
        """Seconds until a call is due; None when there is nothing to say."""
        due = [self._next.get(hook_id, 0.0) for hook_id in self._pending]
        return max(min(due) - self._clock(), 0.0) if due else None

    def flush(self) -> None:
        """Make the calls that are due."""
        now = self._clock()
        with self._changed:
            due = [hook_id for hook_id in self._pending if self._next.get(hook_id, 0.0) <= now]
            batches = {hook_id: self._pending.pop(hook_id) for hook_id in due}
        for hook_id, events in batches.items():
            hook = self.registry.live_objects("WebHook").get(hook_id)
            if hook is None:
                continue
            self._next[hook_id] = now + hook["throttle"] / 1000
            body = json.dumps({"events": [event for _, event in events]}, separators=(",", ":")).encode()
            try:
                self._send(hook, body)
            except (OSError, keys.KeyTextError, ValueError) as error:
                log.warning("telemetry.webhook-error: %s: %s", hook["url"], error)
                self._keep(hook_id, hook, events)

    def _keep(self, hook_id: str, hook: JsonObject, events: list[tuple[float, JsonObject]]) -> None:
        """Events of a call that failed wait for the next, unless they are too old by now."""
        now = self._clock()
        fresh = [(at, event) for at, event in events if now - at < hook["discardAfter"] / 1000]
        self._next[hook_id] = now + max(hook["throttle"] / 1000, _RETRY_SECONDS)
        if fresh:
            with self._changed:
                self._pending[hook_id] = [*fresh, *self._pending.get(hook_id, [])]

    def close(self) -> None:
        """Stop; what has not been said is dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout=5)
