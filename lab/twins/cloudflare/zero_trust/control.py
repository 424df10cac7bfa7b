# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The twin's own endpoints for tunnels and Access, below ``/__twin__/zero_trust``: the lab's tunnel edge asks and reports here.

| call | |
|---|---|
| ``POST edge/decide`` | a request (decisions.Question) → decisions.Answer |
| ``POST connector/register``, ``connector/unregister``, ``connector/applied`` | what the edge reports (connectors.py) |
| ``GET connector/config/<tunnel>`` | what a connector should run |
| ``GET certs`` | the organization's public keys |
| ``GET tokens`` | service tokens with what the API does not tell, without secrets |
| ``GET``, ``PATCH``, ``DELETE`` at the top | options with clock_offset; change them; forget everything |
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from ..errors import invalid_body
from . import connectors
from .decisions import Question, decide
from .product import TrustProducts


def command(products: TrustProducts, method: str, words: list[str], body: Any) -> Any:
    """The result of a call below ``zero_trust``; None stands for "no such call". Raises ApiError."""
    trust = products.trust
    if (method, words) == ("GET", []):
        return _overview(products)
    if (method, words) == ("PATCH", []):
        _try(lambda: trust.reconfigure(body))
        return _overview(products)
    if (method, words) == ("DELETE", []):
        trust.reset()
        return {}
    if (method, words) == ("GET", ["certs"]):
        return products.certs()
    if (method, words) == ("GET", ["tokens"]):
        with trust.lock:
            return [token.state_json() for token in trust.tokens.values()]
    if method == "GET" and words[:2] == ["connector", "config"] and len(words) == 3:
        return connectors.configuration(trust, words[2])
    reports: dict[str, Callable[[], dict[str, Any]]] = {
        "edge/decide": lambda: decide(trust, Question(**body)).to_json(),
        "connector/register": lambda: connectors.register(trust, body),
        "connector/unregister": lambda: connectors.unregister(trust, body),
        "connector/applied": lambda: connectors.applied(trust, body),
    }
    report = reports.get("/".join(words)) if method == "POST" else None
    return _try(report) if report else None


def _overview(products: TrustProducts) -> dict[str, Any]:
    trust = products.trust
    with trust.lock:
        return {
            **dataclasses.asdict(trust.options),
            "clock_offset": trust.clock.offset,
            "tunnels": len(trust.tunnels),
            "apps": len(trust.apps),
            "policies": len(trust.policies),
            "tokens": len(trust.tokens),
        }


def _try(act: Callable[[], Any]) -> Any:
    """Mistakes of the caller as a refusal."""
    try:
        return act()
    except KeyError as error:
        raise invalid_body(f"{error.args[0]} is missing") from None
    except (AttributeError, TypeError, ValueError) as error:
        raise invalid_body(str(error)) from None
