# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets of Access service tokens in the controller's store: ``access-<name>``, one JSON object each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.mailstead.stack.plugins.plugin_utils.state import SecretStore

#: What begins the names of secrets of service tokens in the store.
PREFIX = "access-"
#: What a module is told of them.
FACTS = ("client_id", "version", "account", "made", "pending")


def held(store: SecretStore) -> dict[str, dict[str, Any]]:
    """What the store holds, by the token's name. What cannot be read as such counts as not held."""
    out: dict[str, dict[str, Any]] = {}
    for name in store.names(PREFIX):
        try:
            found = json.loads(store.get(name) or "")
        except ValueError:
            continue
        if isinstance(found, dict) and found.get("client_id") and found.get("client_secret"):
            out[name[len(PREFIX) :]] = found
    return out


def facts(kept: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The argument ``held`` of the modules: all but the secrets."""
    return {name: {fact: secret.get(fact) for fact in FACTS} for name, secret in kept.items()}


def keep(store: SecretStore, name: str, secret: Mapping[str, Any]) -> None:
    store.put(PREFIX + name, json.dumps(dict(secret), sort_keys=True))


def forget(store: SecretStore, name: str) -> None:
    store.remove(PREFIX + name)
