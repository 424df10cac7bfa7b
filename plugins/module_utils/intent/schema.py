# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All words of the inventory in one: the names of its variables, and their JSON Schema."""

from __future__ import annotations

from typing import Any, Dict, Sequence

from ansible_collections.mailstead.stack.plugins.module_utils.intent.shapes import Mapped, Number
from ansible_collections.mailstead.stack.plugins.module_utils.intent.words import domain_keys
from ansible_collections.mailstead.stack.plugins.module_utils.intent.words_operator import MAIL_HOST, OPERATOR
from ansible_collections.mailstead.stack.plugins.module_utils.intent.words_services import service_keys
from ansible_collections.mailstead.stack.plugins.module_utils.providers.model import Profile

#: The variables of the interface; any other that begins with mail_ is a mistake.
VARIABLES = ("mail_domains", "mail_submission", "mail_operator", "mail_host", "mail_intent")
MAIL_INTENT = Number(low=1, high=1, fallback=1)


def json_schema(profiles: Sequence[Profile] = ()) -> Dict[str, Any]:
    """The JSON Schema (2020-12) of the inventory's variables, for editors and for docs/intent.schema.json."""
    domain = Mapped(name="a mail domain", shorthand="name", build=dict, keys=domain_keys(profiles)).schema()
    service = Mapped(name="a service", build=dict, keys=service_keys(profiles)).schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mailstead intent",
        "type": "object",
        "properties": {
            "mail_intent": MAIL_INTENT.schema(),
            "mail_operator": OPERATOR.schema(),
            "mail_domains": {"type": "array", "items": domain},
            "mail_submission": {"type": "array", "items": service},
            "mail_host": MAIL_HOST.schema(),
        },
    }
