# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a Cloudflare module reaches the API: the arguments of the documentation fragment ``cloudflare``."""

from __future__ import annotations

from typing import Any, Dict, Mapping

from ansible.module_utils.basic import env_fallback
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client
from ansible_collections.mailstead.stack.plugins.module_utils.common.http import (
    DEFAULT_URL,
    HttpTransport,
    Transport,
    check_base_url,
)


def client_spec() -> Dict[str, Any]:
    """The arguments that :func:`client_of` takes."""
    return {
        "api_token": {
            "type": "str",
            "required": True,
            "no_log": True,
            "fallback": (env_fallback, ["CLOUDFLARE_API_TOKEN"]),
        },
        "base_url": {"type": "str", "default": DEFAULT_URL},
        "timeout": {"type": "int", "default": 30},
    }


def client_of(params: Mapping[str, Any]) -> Client:
    """A client for a module's arguments. Raises MailsteadError for a URL or a token that cannot be used."""
    base_url = check_base_url(params["base_url"])
    timeout = float(params["timeout"])

    def connect() -> Transport:
        return HttpTransport(base_url, timeout)

    return Client(params["api_token"], connect)
