# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recipients that a provider has stopped writing to: it takes mail for them all the same and delivers nothing.

Only Cloudflare Email Sending tells them through an API that needs no more than the token that sends (documentation,
"Suppression lists"): at the SMTP server even a message that has no other recipients is answered with 250.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.module import client_of
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.sending import suppressions
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.common.http import DEFAULT_URL
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.api import only_account
from ansible_collections.mailstead.stack.plugins.module_utils.smarthost.model import Smarthost

Connect = Callable[[Mapping[str, Any]], Client]


@dataclass(frozen=True)
class Asked:
    """Where to ask. account: id; empty for the one of the token's zones. token: empty for the password of the smarthost."""

    smarthost: Smarthost
    account: str = ""
    token: str = field(default="", repr=False)
    base_url: str = DEFAULT_URL


@dataclass(frozen=True)
class Suppressed:
    """recipients: each with email, reason, created_at and expires_at; problems: why there are none to tell."""

    recipients: Tuple[Dict[str, Any], ...] = ()
    problems: Tuple[Problem, ...] = ()


def ask(asked: Asked, timeout: int, connect: Connect = client_of) -> Suppressed:
    """Never raises: what cannot be read is a problem, and nobody's mail waits for it."""
    token = asked.token or asked.smarthost.password
    client = None
    try:
        client = connect({"api_token": token, "base_url": asked.base_url, "timeout": timeout})
        found: List[Dict[str, Any]] = suppressions(client, asked.account or only_account(client))
    except MailsteadError as error:
        fix = "Give account_id, and a token with Account › Email Sending › Read, if the one that sends may not read."
        what = f"whom {asked.smarthost.called} does not write to any more cannot be read: {error.problems[0].what}"
        return Suppressed(problems=(Problem("MS-SMH-014", asked.smarthost.where, what, fix),))
    finally:
        if client:
            client.close()
    return Suppressed(tuple(found))
