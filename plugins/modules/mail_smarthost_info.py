#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_smarthost_info
short_description: Try whether mail can leave through smarthosts
version_added: 0.1.0
author: The mailstead maintainers
description:
  - Does at every smarthost what a mail server does before it hands over a message, from the host that will send. Resolves the
    name, connects, verifies the certificate's chain and name, logs in with the real credentials, and asks with C(MAIL FROM)
    whether the senders are allowed there.
  - Never names a recipient and never sends a message. Credentials go over verified TLS only.
  - All smarthosts are tried at once, each within O(deadline).
attributes:
  check_mode:
    description: Never changes anything.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
  idempotent:
    description: Never changes anything.
    support: full
options:
  smarthosts:
    description: What to try.
    type: list
    elements: dict
    required: true
    suboptions:
      id:
        description: Its name among the others, such as V(1-smtp2go).
        type: str
        required: true
      host:
        description: The name that the certificate has to be for.
        type: str
        required: true
      port:
        description: The port.
        type: int
        required: true
      tls:
        description:
          - V(implicit) speaks TLS from the start, V(starttls) after asking for it.
          - V(none) is for a server at the other end of a tunnel of our own; nobody logs in there.
        type: str
        choices: [implicit, starttls, none]
        default: implicit
      username:
        description: For the log-in. Without one, nobody logs in.
        type: str
        default: ""
      password:
        description: For the log-in; an API token at some providers.
        type: str
        default: ""
      senders:
        description:
          - Envelope senders that have to be allowed.
          - A pattern such as V(*@ci.example.com) is tried as the domain's postmaster.
        type: list
        elements: str
        default: []
      max_size:
        description: Bytes that a message may have; V(0) when that does not matter.
        type: int
        default: 0
      title:
        description: The provider's name, for messages.
        type: str
        default: ""
      hint:
        description: What its password is, for messages, such as V(the password is an app password).
        type: str
        default: ""
      place:
        description: Where the smarthost is written down, for messages, such as V(mail_submission[0].smarthosts[1]).
        type: str
        default: ""
      suppressions:
        description:
          - Ask the provider's API whom it does not write to any more. At its SMTP server such a recipient is accepted like any
            other.
          - Cloudflare Email Sending only.
        type: dict
        suboptions:
          account_id:
            description: Id of the account. When it is empty, the token's zones tell it, if they are of one account.
            type: str
            default: ""
          api_token:
            description: A token that may read them. When it is empty, the O(smarthosts[].password).
            type: str
            default: ""
          base_url:
            description: Where the API is.
            type: str
            default: https://api.cloudflare.com/client/v4
  fail_on:
    description:
      - V(never) only returns what was found.
      - V(lasting) fails for what stays until somebody mends it, such as refused credentials, and warns of smarthosts that cannot
        be reached now.
      - V(problems) fails for those as well, and warns of refusals for the time being.
      - V(warnings) fails for everything.
    type: str
    choices: [never, lasting, problems, warnings]
    default: problems
  deadline:
    description: Seconds that one smarthost may take.
    type: int
    default: 30
  helo:
    description: The name to introduce oneself with. When it is empty, the host's own, or its address where it has none.
    type: str
    default: ""
seealso:
  - module: mailstead.stack.mail_provider_info
  - module: mailstead.stack.cloudflare_email_sending
    description: Tells whom Cloudflare does not write to any more.
"""

EXAMPLES = r"""
- name: Try a smarthost before anything is changed
  mailstead.stack.mail_smarthost_info:
    smarthosts:
      - id: 1-smtp2go
        host: mail.smtp2go.com
        port: 465
        username: notify
        password: "{{ vault_smtp2go }}"
        senders: [noreply@example.com]
        max_size: 10485760
        place: mail_submission[0].smarthosts[0]
"""

RETURN = r"""
smarthosts:
  description: What was found, in the order asked for.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: As given.
      type: str
    host:
      description: As given.
      type: str
    port:
      description: As given.
      type: int
    address:
      description: The address that took the connection; empty when none did.
      type: str
    tls:
      description: Version of TLS, such as V(TLSv1.3).
      type: str
    mechanism:
      description: How the log-in was tried, V(PLAIN) or V(LOGIN).
      type: str
    authenticated:
      description: Whether the credentials are good.
      type: bool
    size:
      description: The largest message that is announced, in bytes; V(0) when nothing is.
      type: int
    senders:
      description: Each sender with C(address), C(allowed) and C(answer).
      type: list
      elements: dict
    usable:
      description: Whether mail can leave this way now.
      type: bool
    codes:
      description: Codes of what is wrong with it.
      type: list
      elements: str
    suppressed:
      description: Recipients that the provider does not write to, each with C(email), C(reason), C(created_at), C(expires_at).
      returned: with O(smarthosts[].suppressions)
      type: list
      elements: dict
    suppressions_error:
      description: Why they cannot be told; empty when they are.
      returned: with O(smarthosts[].suppressions)
      type: str
    transcript:
      description: What was said and what was answered, secrets left out.
      type: list
      elements: list
problems:
  description: What is wrong, each with C(code), C(where), C(what) and C(fix). On failure also what is only worth a warning.
  returned: always
  type: list
  elements: dict
"""

import dataclasses
from typing import Any, Dict, List, Optional, Sequence

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.common.http import DEFAULT_URL
from ansible_collections.mailstead.stack.plugins.module_utils.smarthost.model import (
    LEVELS,
    Found,
    Smarthost,
    check,
    failing,
)
from ansible_collections.mailstead.stack.plugins.module_utils.smarthost.probe import try_all
from ansible_collections.mailstead.stack.plugins.module_utils.smarthost.suppressed import Asked, Suppressed, ask


def argument_spec() -> Dict[str, Any]:
    smarthost = {
        "id": {"type": "str", "required": True},
        "host": {"type": "str", "required": True},
        "port": {"type": "int", "required": True},
        "tls": {"type": "str", "choices": ["implicit", "starttls", "none"], "default": "implicit"},
        "username": {"type": "str", "default": ""},
        "password": {"type": "str", "default": "", "no_log": True},
        "senders": {"type": "list", "elements": "str", "default": []},
        "max_size": {"type": "int", "default": 0},
        "title": {"type": "str", "default": ""},
        "hint": {"type": "str", "default": ""},
        "place": {"type": "str", "default": ""},
        "suppressions": {
            "type": "dict",
            "options": {
                "account_id": {"type": "str", "default": ""},
                "api_token": {"type": "str", "default": "", "no_log": True},
                "base_url": {"type": "str", "default": DEFAULT_URL},
            },
        },
    }
    return {
        "smarthosts": {"type": "list", "elements": "dict", "required": True, "options": smarthost},
        "fail_on": {"type": "str", "choices": list(LEVELS), "default": "problems"},
        "deadline": {"type": "int", "default": 30},
        "helo": {"type": "str", "default": ""},
    }


def wish(entry: Dict[str, Any]) -> Smarthost:
    """The part of an entry that is tried over SMTP."""
    known = {field.name for field in dataclasses.fields(Smarthost)}
    given = {name: value for name, value in entry.items() if name in known}
    return Smarthost(**{**given, "senders": tuple(s.strip().lower() for s in entry["senders"])})


def suppressed(module: AnsibleModule, wanted: Sequence[Smarthost]) -> Dict[str, Suppressed]:
    """By id, for those that are to be asked."""
    out: Dict[str, Suppressed] = {}
    for want, entry in zip(wanted, module.params["smarthosts"]):
        asked = entry["suppressions"]
        if asked is not None:
            where = Asked(want, asked["account_id"], asked["api_token"], asked["base_url"])
            out[want.id] = ask(where, module.params["deadline"])
    return out


def row(found: Found, told: Optional[Suppressed]) -> Dict[str, Any]:
    if told is None:
        return found.data()
    error = told.problems[0].what if told.problems else ""
    return {**found.data(), "suppressed": list(told.recipients), "suppressions_error": error}


def finish(module: AnsibleModule, found: List[Found], told: Dict[str, Suppressed]) -> None:
    level = module.params["fail_on"]
    problems: List[Problem] = [p for one in found for p in one.problems]
    problems += [p for one in told.values() for p in one.problems]
    fatal = failing(problems, level)
    out: Dict[str, Any] = {
        "smarthosts": [row(one, told.get(one.smarthost.id)) for one in found],
        "problems": [dataclasses.asdict(p) for p in problems],
    }
    if fatal:
        module.fail_json(msg=str(MailsteadError(fatal)), **out)
    if level != "never":
        for problem in problems:
            module.warn(str(problem))
    module.exit_json(changed=False, **out)


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    wanted = [wish(entry) for entry in module.params["smarthosts"]]
    wrong = check(wanted)
    if wrong:
        problems = [dataclasses.asdict(p) for p in wrong]
        module.fail_json(msg=str(MailsteadError(wrong)), problems=problems, smarthosts=[])
    found = try_all(wanted, float(module.params["deadline"]), module.params["helo"])
    finish(module, found, suppressed(module, wanted))


if __name__ == "__main__":
    main()
