# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The twin's own endpoints for the mail products, below ``/__twin__/email`` and ``/__twin__/zones/<name>/email``.

They do over HTTP what EmailZone and EmailProducts do in a test; the lab's mail exchanger asks ``effective`` here.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from .. import errors as twin_errors
from . import helper
from .helper import EmailZone
from .product import EmailProducts


def account(products: EmailProducts, method: str, words: list[str], body: Any) -> Any:
    """The result of a call below ``email``; None stands for "no such call". Raises ApiError."""
    known = products.account
    if (method, words) == ("GET", []):
        return dataclasses.asdict(known.options)
    if (method, words) == ("PATCH", []):
        _try(lambda: products.reconfigure(**body))
        return dataclasses.asdict(known.options)
    if (method, words) == ("GET", ["outbox"]):
        return list(known.outbox)
    if (method, words) == ("POST", ["click"]):
        _try(lambda: products.click(body["address"]))
        return {}
    if (method, words) == ("GET", ["destinations"]):
        return [found.to_json() for found in known.destinations.values()]
    if (method, words) == ("POST", ["destinations"]):
        made = known.add_destination(str(body.get("address")), verified=bool(body.get("verified", True)))
        return made.to_json()
    if method == "GET" and words[:1] == ["effective"] and len(words) == 2:
        return helper.effective(known, words[1]) or {"action": "reject", "problem": "not-served", "target": ""}
    if method == "GET" and words[:1] == ["workers"] and len(words) == 2:
        script = known.script(words[1])
        return {
            "main_module": script.metadata["main_module"],
            "compatibility_date": script.metadata["compatibility_date"],
            "compatibility_flags": list(script.metadata.get("compatibility_flags", [])),
            "modules": dict(script.modules),
            "bindings": list(script.bindings),
        }
    return None


def zone(view: EmailZone, method: str, words: list[str], body: Any) -> Any:
    """The same below ``zones/<name>/email``."""
    if (method, words) == ("GET", []):
        return {
            "settings": view.settings,
            "domains": view.domains,
            "rules": view.rules,
            "catch_all": view.catch_all,
            "sending": view.sending,
            "deprecated": view.deprecated,
        }
    if (method, words) == ("PATCH", []):
        view.set_status(str(body.get("status", "")))
        return {}
    if (method, words) == ("POST", ["rules"]):
        return _try(lambda: view.add_rule(body.pop("address", ""), **body))
    if (method, words) == ("POST", ["statistics"]):
        _try(lambda: view.statistics(body["events"], bool(body.get("sending", False))))
        return {}
    return None


def _try(act: Any) -> Any:
    """Mistakes of the caller as a refusal."""
    try:
        return act()
    except (KeyError, TypeError, ValueError) as error:
        raise twin_errors.invalid_body(str(error)) from None
