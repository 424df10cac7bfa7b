# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was accepted and what became of it, told from Postfix's own log lines. Pure but for the file."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lab.smarthost.config import JOURNAL

#: The services of each provider log as postfix/<provider>; what all share logs as postfix.
_LINE = re.compile(
    r"postfix/(?:(?P<provider>[a-z0-9-]+)/)?(?P<daemon>[a-z]+)\[\d+\]: (?P<queue>[0-9A-Za-z]{6,}): (?P<text>.*)"
)
_CLIENT = re.compile(r"client=\S*\[(?P<client>[^\]]+)\].*sasl_username=(?P<username>\S+)")
_MESSAGE_ID = re.compile(r"message-id=(?P<id>.*)")
_QUEUED = re.compile(r"from=<(?P<sender>[^>]*)>, size=(?P<size>\d+), nrcpt=(?P<recipients>\d+) \(queue active\)")
_OUTCOME = re.compile(r"to=<(?P<recipient>[^>]*)>,.* status=(?P<status>sent|deferred|bounced) \((?P<said>.*)\)$")


class Journal:
    """Follows messages by queue id. A message counts as accepted when the queue manager has it: the client was told 250."""

    def __init__(self, path: Path = JOURNAL) -> None:
        self._path = path
        self._open: dict[str, dict[str, Any]] = {}

    def line(self, text: str) -> None:
        """One line of the log, whoever wrote it."""
        found = _LINE.search(text)
        if found is None:
            return
        queue, said = found["queue"], found["text"]
        client = _CLIENT.match(said)
        if found["daemon"] == "smtpd" and client:
            self._open[queue] = {
                "provider": found["provider"],
                "queue": queue,
                "client": client["client"],
                "username": client["username"].rstrip(","),
                "accepted": False,
            }
        message = self._open.get(queue)
        # What has no client is a notice of our own making.
        if message is None:
            return
        if found["daemon"] == "cleanup" and (match := _MESSAGE_ID.match(said)):
            message["message_id"] = match["id"]
        elif found["daemon"] == "qmgr" and said == "removed":
            del self._open[queue]
        elif found["daemon"] == "qmgr" and not message["accepted"] and (match := _QUEUED.match(said)):
            message.update(accepted=True, sender=match["sender"], size=int(match["size"]))
            message["recipients"] = int(match["recipients"])
            self._write("accepted", {k: v for k, v in message.items() if k != "accepted"})
        elif match := _OUTCOME.match(said):
            told = {k: message.get(k, "") for k in ("provider", "queue", "message_id")}
            self._write(match["status"], {**told, "recipient": match["recipient"], "answer": match["said"]})

    def _write(self, event: str, data: dict[str, Any]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps({"time": round(time.time(), 3), "event": event, **data}) + "\n")


def entries(path: Path = JOURNAL) -> list[dict[str, Any]]:
    """Everything so far, the oldest first."""
    # The last line may be half written.
    return (
        [json.loads(line) for line in path.read_text().splitlines(True) if line.endswith("\n")] if path.exists() else []
    )


def accepted(found: Iterable[dict[str, Any]], provider: str = "") -> Counter[str]:
    """How often each Message-ID was accepted, by one provider or by all."""
    return Counter(
        e.get("message_id", "") for e in found if e["event"] == "accepted" and provider in ("", e["provider"])
    )
