#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: cloudflare_tunnel_info
short_description: Tell how Cloudflare Tunnels are, and what stands in the way of the wanted ones
version_added: 0.1.0
author: The mailstead maintainers
description:
  - Reads tunnels, their connections, their Access applications, records and service tokens, and compares them with what is
    wanted. Changes nothing, and needs the permission to read only.
  - As a preflight it finds what M(mailstead.stack.cloudflare_tunnel) would refuse, before a run changes anything, such as an expired
    or revoked service token, somebody else's record or application at the hostname, or a wrong rule.
  - With O(complete) it is a check of what runs. What is not as wanted, or not connected, is a problem then.
  - This is an action plugin around a module. It knows for which service tokens the controller holds the secret.
attributes:
  check_mode:
    description: Changes nothing in any mode.
    support: full
  diff_mode:
    description: Nothing to show.
    support: none
extends_documentation_fragment:
  - mailstead.stack.cloudflare
  - mailstead.stack.cloudflare_tunnels
options:
  complete:
    description: Whether what is not as wanted, and a tunnel without a connection, are problems.
    type: bool
    default: false
  strict:
    description: Whether a problem is a failure.
    type: bool
    default: true
  warn_days:
    description: Warn when a service token expires in fewer days than this.
    type: int
    default: 30
seealso:
  - module: mailstead.stack.cloudflare_tunnel
  - module: mailstead.stack.cloudflare_token_info
"""

EXAMPLES = r"""
- name: Refuse an expired service token before anything is changed
  mailstead.stack.cloudflare_tunnel_info:
    api_token: "{{ vault_cloudflare_token }}"
    tunnels: "{{ tunnels }}"
  delegate_to: localhost

- name: See whether the tunnels are connected and as they should be
  mailstead.stack.cloudflare_tunnel_info:
    api_token: "{{ vault_cloudflare_token }}"
    tunnels: "{{ tunnels }}"
    complete: true
    strict: false
  delegate_to: localhost
  register: tunnel
"""

RETURN = r"""
tunnels:
  description: The tunnels in the order given.
  returned: unless nothing could be read
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
    state:
      description: V(present) or V(absent), as wanted.
      type: str
    hostname:
      description: The name that clients reach it under.
      type: str
    account_id:
      description: Id of its account.
      type: str
    team:
      description: Name of the account's team; empty without one.
      type: str
    id:
      description: Its id; empty when it is not there.
      type: str
    status:
      description: V(healthy), V(degraded), V(down), V(inactive) when it never ran, or V(missing).
      type: str
    connections:
      description: Connections that serve.
      type: int
    audience:
      description: Audience tag of its Access application; empty without one.
      type: str
    config_as_wanted:
      description: Whether the rules that Cloudflare keeps are the wanted ones; always true of a locally managed tunnel.
      type: bool
    as_wanted:
      description: Whether a run would change nothing, secrets and lives that come of age aside.
      type: bool
    differences:
      description: What a run would change, each with C(kind), C(action), C(name), C(tunnel) and C(reasons).
      type: list
      elements: dict
service_tokens:
  description: The wanted service tokens by name.
  returned: unless nothing could be read
  type: dict
  sample:
    app1:
      status: valid
      client_id: 88bf3b6d86161464f6509f7219099e57.access
      enabled: true
      expires_at: "2027-11-20T00:00:00Z"
      days_left: 364
      last_seen_at: "2026-11-20T12:00:00Z"
      held: true
facts:
  description: What stands there by the name of the service, for M(mailstead.stack.mail_judge).
  returned: unless nothing could be read
  type: dict
requests:
  description: Requests made in all.
  returned: always
  type: int
problems:
  description: What is wrong, each with C(code), C(where), C(what) and C(fix).
  returned: always
  type: list
  elements: dict
"""

import dataclasses
from datetime import datetime, timezone
from typing import Any, Dict, Sequence

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare import tunnel_info
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.module import client_of, client_spec
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_arguments import tunnels_spec
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_model import Options, held_of, wishes
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_program import ask_program
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem


def argument_spec() -> Dict[str, Any]:
    return {
        **client_spec(),
        **tunnels_spec(),
        "complete": {"type": "bool", "default": False},
        "strict": {"type": "bool", "default": True},
        "warn_days": {"type": "int", "default": 30},
    }


def now() -> datetime:
    return datetime.now(timezone.utc).replace(microsecond=0)


def fail(module: AnsibleModule, problems: Sequence[Problem], **more: Any) -> None:
    msg = str(MailsteadError(problems))
    module.fail_json(msg=msg, problems=[dataclasses.asdict(p) for p in problems], **more)


def run(module: AnsibleModule, client: Client) -> None:
    """Raises MailsteadError where nothing can be read; ends the module otherwise."""
    params = module.params
    wanted, lives = wishes(params["tunnels"])
    ask_program(module, wanted)
    options = Options(params["instance"], now())
    held = held_of(params["held"])
    found = tunnel_info.report(client, wanted, lives, held, options, params["warn_days"], params["complete"])
    for text in found.warnings:
        module.warn(text)
    out = {
        "facts": found.facts,
        "tunnels": found.tunnels,
        "service_tokens": found.tokens,
        "requests": sum(client.counts.values()),
    }
    if found.problems and params["strict"]:
        fail(module, found.problems, **out)
    module.exit_json(changed=False, problems=[dataclasses.asdict(p) for p in found.problems], **out)


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    client = None
    try:
        client = client_of(module.params)
        run(module, client)
    except MailsteadError as error:
        fail(module, error.problems, requests=sum(client.counts.values()) if client else 0)
    finally:
        if client:
            client.close()


if __name__ == "__main__":
    main()
