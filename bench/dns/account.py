# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The account that is worked on: the API twin as a process of its own, and what the bench itself asks of it."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .records import Body

ROOT = Path(__file__).resolve().parent.parent.parent

#: What runners and the bench authenticate with. They open nothing but the twin of this run.
TOKEN = "bench" * 8
CONTROL = "control-of-the-bench"

#: Milliseconds added to every request.
LATENCY = 100.0

#: Seconds within which the twin has to listen.
STARTUP = 20.0

Records = dict[str, list[Body]]


def twin_config(zones: Sequence[str]) -> dict[str, Any]:
    """Tags need a paid plan. Not strict: octodns sends fields of SRV data that the API dropped, which it is known to
    ignore. The limit of 1,200 requests in 5 minutes would stop the slower peers half-way."""
    return {
        "listen": ["127.0.0.1:0"],
        "zones": [{"name": name, "plan": "pro"} for name in zones],
        "tokens": [{"token": TOKEN}],
        "latency_ms": LATENCY,
        "strict": False,
        "control_token": CONTROL,
        "rate_limit": {"requests": 1_000_000},
    }


class Account:
    """A running twin. A context manager; leaving it ends the process. url: base of the API."""

    def __init__(self, zones: Sequence[str], directory: Path) -> None:
        self.zones = list(zones)
        directory.mkdir(parents=True, exist_ok=True)
        config = directory / "twin.json"
        config.write_text(json.dumps(twin_config(zones)), encoding="utf-8")
        self._log = directory / "twin.log"
        command = [sys.executable, "-m", "lab.twins.cloudflare", "--config", str(config)]
        with self._log.open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, stderr=log, stdout=log)
        self.address = self._wait()
        self.url = f"http://{self.address}/client/v4"
        self._ids = {z["name"]: z["id"] for z in self._ask("GET", "/client/v4/zones?per_page=50")}

    def __enter__(self) -> Account:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)

    def _wait(self) -> str:
        deadline = time.monotonic() + STARTUP
        while time.monotonic() < deadline and self._process.poll() is None:
            found = re.search(r"serving \d+ zones on http://(\S+)", self._log.read_text(encoding="utf-8"))
            if found:
                return found[1]
            time.sleep(0.05)
        self._process.kill()
        self._process.wait(10)
        raise RuntimeError(f"the twin did not start; see {self._log}")

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        """The result of one request. Raises RuntimeError with the API's words if it is refused."""
        connection = http.client.HTTPConnection(urlsplit(f"//{self.address}").netloc, timeout=30)
        try:
            headers = {"Authorization": f"Bearer {TOKEN}", "X-Twin-Control": CONTROL}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if not answer["success"]:
            raise RuntimeError(f"{method} {path}: {answer['errors']}")
        return answer["result"]

    def _records(self, zone: str) -> list[Body]:
        found: list[Body] = self._ask("GET", f"/client/v4/zones/{self._ids[zone]}/dns_records?per_page=5000")
        return found

    def _replace(self, zone: str, bodies: Iterable[Body]) -> None:
        operations = {"deletes": [{"id": r["id"]} for r in self._records(zone)], "posts": list(bodies)}
        if any(operations.values()):
            self._ask("POST", f"/client/v4/zones/{self._ids[zone]}/dns_records/batch", operations)

    def replace(self, start: Mapping[str, Sequence[Body]]) -> None:
        """Make zones hold exactly these records."""
        with ThreadPoolExecutor(len(start)) as pool:
            list(pool.map(lambda item: self._replace(*item), start.items()))

    def records(self, zones: Sequence[str]) -> Records:
        """Every record as the API gives it, by zone."""
        with ThreadPoolExecutor(len(zones)) as pool:
            return dict(zip(zones, pool.map(self._records, zones), strict=True))

    def forget(self) -> None:
        """Start the request log anew."""
        self._ask("DELETE", "/__twin__/log")

    def misbehave(self, faults: Iterable[Mapping[str, Any]]) -> None:
        """Plan these faults of the twin and no others."""
        self._ask("DELETE", "/__twin__/faults")
        for fault in faults:
            self._ask("POST", "/__twin__/faults", fault)

    def log(self) -> list[dict[str, Any]]:
        """The requests since forget(), in order of answering."""
        entries: list[dict[str, Any]] = self._ask("GET", "/__twin__/log")["requests"]
        return entries
