# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the parts of the mail side share: registry, certificates, resolver, queue, compiled scripts."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from . import authentication, sieve
from .certificates import Certificates
from .delivery import Delivery
from .listeners import Connection
from .mail_queue import MailQueue
from .registry import Registry
from .resolver import Resolver
from .schema import JsonObject
from .smtp_session import SmtpSession
from .throttle import Throttles
from .tokens import Authenticator
from .webhooks import WebHooks

log = logging.getLogger("standin.mail")

P = ParamSpec("P")
R = TypeVar("R")
_WORKERS = 16


class Mail:
    """The mail side of one running server."""

    def __init__(self, registry: Registry, authenticator: Authenticator, mail_root: Path) -> None:
        self.registry = registry
        self.authenticator = authenticator
        self.certificates = Certificates(registry)
        self.resolver = Resolver(registry)
        self.throttles = Throttles(registry)
        self.mail_root = mail_root
        self.delivery = Delivery(registry, self.resolver, mail_root)
        self.hooks = WebHooks(registry)
        self.queue = MailQueue(registry, self.delivery, self.hooks)
        self._workers = concurrent.futures.ThreadPoolExecutor(_WORKERS, "mail")
        self._scripts: dict[str, tuple[sieve.Call, ...]] = {}
        authentication.install(self.resolver)
        registry.on_reload.append(self._scripts.clear)

    async def in_thread(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run something that blocks."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._workers, lambda: function(*args, **kwargs))

    async def pause(self, seconds: float) -> None:
        """Keep a client waiting after a mistake, as the server does."""
        await asyncio.sleep(seconds)

    def script(self, name: str) -> tuple[sieve.Call, ...] | None:
        """A live and active system script, compiled; ``None`` when there is none of that name."""
        if name not in self._scripts:
            found = self.registry.live_named("SieveSystemScript", name)
            if found is None or not found["isActive"]:
                log.warning("sieve.script-not-found: %s", name)
                return None
            self._scripts[name] = sieve.compile_script(found["contents"])
        return self._scripts[name]

    async def serve_smtp(self, connection: Connection) -> None:
        """One SMTP connection."""
        await SmtpSession(self, connection).run()

    # -- actions of the management API ------------------------------------------------------------------------------
    def perform(self, action: JsonObject) -> JsonObject | None:
        """Carry out an action; the SetError, or ``None``."""
        kind = action["@type"]
        if kind == "ReloadSettings":
            return self.registry.reload()
        if kind == "ReloadTlsCertificates":
            self.registry.refresh_certificates()
            self.certificates.load()
        elif kind in {"PauseMtaQueue", "ResumeMtaQueue"}:
            self.queue.pause(kind == "PauseMtaQueue")
        elif kind in {"TroubleshootDmarc", "ClassifySpam", "UpdateApps"}:
            return {"type": "forbidden", "description": f"{kind} is no part of the stand-in."}
        # The other actions empty caches that do not exist here.
        return None

    def queued(self) -> dict[str, JsonObject]:
        """Queued messages as objects of the API."""
        return self.queue.objects()

    def drop_queued(self, message_id: str) -> bool:
        """Remove a message from the queue; whether it was there."""
        return self.queue.drop(message_id)

    def used_bytes(self, address: str) -> int:
        """Size of a mailbox in bytes."""
        return self.delivery.mailbox_size(address)

    def close(self) -> None:
        """Let running work end."""
        self._workers.shutdown(wait=True, cancel_futures=True)
        self.hooks.close()
