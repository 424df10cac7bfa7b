# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a probe saw: the only thing that travels from a vantage to the judges."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple


@dataclass(frozen=True)
class Observation:
    """One probe's result at one vantage.

    ok: the probe could do its work (a refused connection is a result, a missing library is not). error: class of the
    obstacle (``dns``, ``timeout``, ``refused``, ``unreachable``, ``no-route``, ``prohibited``, ``closed``, ``tls``,
    ``auth``, ``secret``, ``budget``, ``library``, ``protocol``, ``file``, ``internal``) or empty. started: UTC,
    ISO 8601; took_ms: milliseconds.
    """

    probe: str
    kind: str
    vantage: str
    ok: bool
    error: str = ""
    message: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    started: str = ""
    took_ms: int = 0

    def to_data(self) -> Dict[str, Any]:
        return {
            "probe": self.probe,
            "kind": self.kind,
            "vantage": self.vantage,
            "ok": self.ok,
            "error": self.error,
            "message": self.message,
            "data": dict(self.data),
            "started": self.started,
            "took_ms": self.took_ms,
        }


def observation_from(data: Mapping[str, Any]) -> Observation:
    """The inverse of :meth:`Observation.to_data`. Raises TypeError when data has another shape."""
    if not isinstance(data, Mapping) or "probe" not in data or "vantage" not in data:
        raise TypeError("an observation needs at least probe and vantage")
    return Observation(
        probe=str(data["probe"]),
        kind=str(data.get("kind", "")),
        vantage=str(data["vantage"]),
        ok=bool(data.get("ok", False)),
        error=str(data.get("error") or ""),
        message=str(data.get("message") or ""),
        data=dict(data.get("data") or {}),
        started=str(data.get("started", "")),
        took_ms=int(data.get("took_ms", 0)),
    )


class Observations:
    """All observations of a run, found by probe id and vantage."""

    def __init__(self, items: Iterable[Observation]) -> None:
        self._by: Dict[Tuple[str, str], Observation] = {}
        for item in items:
            self._by[(item.probe, item.vantage)] = item

    def get(self, probe: str, vantage: Optional[str] = None) -> Optional[Observation]:
        """The observation of that probe; without a vantage the first one that could do its work, else any."""
        if vantage is not None:
            return self._by.get((probe, vantage))
        found = self.every(probe)
        return next((o for o in found if o.ok), found[0] if found else None)

    def every(self, probe: str) -> List[Observation]:
        return [o for (p, _v), o in sorted(self._by.items()) if p == probe]

    def vantages(self) -> Tuple[str, ...]:
        return tuple(sorted({v for _p, v in self._by}))
