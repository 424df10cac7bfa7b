# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a Cloudflare module reaches the API: the arguments of the documentation fragment ``cloudflare``."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional

from ansible.module_utils.basic import env_fallback
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client, check_token
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.limits import ZONES_PER_PAGE
from ansible_collections.mailstead.stack.plugins.module_utils.common.ahead import Ahead
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.common.http import (
    BASE_HEADERS,
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


def client_of(params: Mapping[str, Any], first: Optional[Transport] = None) -> Client:
    """A client for a module's arguments; first: a connection that is there already.

    Raises MailsteadError for a URL or a token that cannot be used.
    """
    base_url = check_base_url(params["base_url"])
    timeout = _timeout(params)
    made = [first] if first else []

    def connect() -> Transport:
        return made.pop() if made else HttpTransport(base_url, timeout)

    return Client(params["api_token"], connect)


def look_up_ahead(params: Mapping[str, Any]) -> Optional[Transport]:
    """A connection on which the first page of the token's zones is asked for already.

    None where the arguments do not allow it: whoever uses them says why.
    """
    try:
        transport = HttpTransport(params["base_url"], _timeout(params))
        headers = {**BASE_HEADERS, "Authorization": f"Bearer {check_token(params['api_token'])}"}
    except MailsteadError:
        return None
    return Ahead(transport, "/zones", {"page": "1", "per_page": str(ZONES_PER_PAGE)}, headers)


def _timeout(params: Mapping[str, Any]) -> float:
    return max(1.0, float(params["timeout"]))
