# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A script's files and workerd's configuration for it, as text by file name. Pure.

Format: workerd.capnp in the workerd repository. Everything that a user wrote is embedded from a file of its own, so that
nothing has to be quoted; names are checked instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..service import Script

HERE = Path(__file__).resolve().parent
CONFIG, ENTRY, AUTHORITY = "config.capnp", "mailstead-entry.mjs", "authority.pem"
#: Sockets beside the configuration: the Worker's, and ours for what it does.
WORKER_SOCKET, EXCHANGER_SOCKET = "worker.sock", "exchanger.sock"

_MODULE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")
_BINDING = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_FLAG = re.compile(r"[a-z0-9_]+")


class LayoutError(ValueError):
    """The script uses something that the lab cannot give it; the text says what."""


def senders(script: Script) -> dict[str, tuple[str, ...]]:
    """The destinations that each send_email binding allows, none for any verified one."""
    found = {}
    for binding in script.bindings:
        if binding.get("type") == "send_email":
            one = binding.get("destination_address")
            found[str(binding["name"])] = tuple(binding.get("allowed_destination_addresses") or ([one] if one else []))
    return found


def files(script: Script, directory: Path, outbound: Iterable[str] = (), authority: str = "") -> dict[str, str]:
    """Text by name. directory: where they will lie. outbound: networks that fetch() reaches; authority: PEM it trusts,
    beside the well-known ones.

    Raises LayoutError.
    """
    _check(script)
    made = {"harness.mjs": (HERE / "harness.mjs").read_text(), "message.mjs": (HERE / "message.mjs").read_text()}
    modules = [_module(ENTRY, ENTRY), _module("mailstead-harness.mjs", "harness.mjs")]
    made[ENTRY] = (
        'import { around } from "mailstead-harness.mjs";\n'
        f'import * as worker from "{script.main_module}";\n'
        "export default around(worker);\n"
    )
    for number, (name, text) in enumerate(sorted(script.modules.items())):
        made[f"module-{number}"] = text
        modules.append(_module(name, f"module-{number}"))
    bindings = [
        '(name = "MAILSTEAD_EXCHANGER", service = "exchanger")',
        '(name = "MAILSTEAD_SENDERS", text = embed "senders.json")',
    ]
    made["senders.json"] = json.dumps(sorted(senders(script)))
    for number, binding in enumerate(b for b in script.bindings if b.get("type") != "send_email"):
        kind, text = _value(binding)
        made[f"binding-{number}"] = text
        bindings.append(f'(name = "{binding["name"]}", {kind} = embed "binding-{number}")')
    if authority:
        made[AUTHORITY] = authority
    made[CONFIG] = _config(script, directory, modules, bindings, list(outbound), bool(authority))
    return made


def _check(script: Script) -> None:
    if script.main_module not in script.modules:
        raise LayoutError(f"{script.name}: no module {script.main_module!r}")
    names = [(_MODULE, m) for m in script.modules]
    names += [(_BINDING, str(b.get("name"))) for b in script.bindings]
    names += [(_DATE, script.compatibility_date), *((_FLAG, f) for f in script.compatibility_flags)]
    for pattern, name in names:
        if not pattern.fullmatch(name):
            raise LayoutError(f"{script.name}: the lab does not take the name {name!r}")


def _module(name: str, file: str) -> str:
    return f'(name = "{name}", esModule = embed "{file}")'


def _value(binding: dict[str, Any]) -> tuple[str, str]:
    kind = binding.get("type")
    if kind in ("plain_text", "secret_text"):
        return "text", str(binding.get("text", ""))
    if kind == "json":
        return "json", json.dumps(binding.get("json"))
    raise LayoutError(f"binding {binding.get('name')}: the lab has no {kind}")


def _config(
    script: Script, directory: Path, modules: list[str], bindings: list[str], outbound: list[str], authority: bool
) -> str:
    flags = ", ".join(f'"{flag}"' for flag in script.compatibility_flags)
    networks = ", ".join(json.dumps(n) for n in outbound)
    trust = "trustBrowserCas = true"
    if authority:
        trust += f', trustedCertificates = [embed "{AUTHORITY}"]'
    between = ",\n        "
    return f"""using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "worker", worker = (
      modules = [
        {between.join(modules)}
      ],
      bindings = [
        {between.join(bindings)}
      ],
      compatibilityDate = "{script.compatibility_date}",
      compatibilityFlags = [{flags}],
    )),
    (name = "exchanger", external = (address = "unix:{directory / EXCHANGER_SOCKET}", http = ())),
    (name = "internet", network = (allow = [{networks}], tlsOptions = ({trust}))),
  ],
  sockets = [(name = "mail", address = "unix:{directory / WORKER_SOCKET}", http = (), service = "worker")],
  extensions = [(modules = [(name = "cloudflare-internal:email", internal = true, esModule = embed "message.mjs")])],
);
"""
