#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: cloudflare_tunnel
short_description: Keep Cloudflare Tunnels behind Access, with their names and service tokens
version_added: 0.1.0
author: The mailstead maintainers
description:
  - Keeps any number of tunnels in one call. Each has its ingress rules, the name that leads to it (a proxied CNAME), an Access
    application that lets in service tokens only, and those tokens with their secrets.
  - Everything is read first and nothing is written where anything stands in the way. The order of writing is safe to be stopped
    in. A hostname never leads to a tunnel before Access stands in front of it, and the next run goes on where one stopped.
  - The connector checks Access as well. Its rules demand a token of the team for this very application
    (C(originRequest.access)), so that a request that got around Access is refused at the origin.
  - "What is ours is known by its name: a tunnel by O(tunnels[].name), its application and policy by the same, a service token by
    O(instance) and its name (C(mailstead-app1)), a record by a mark in its comment. Whatever else the account has stays."
  - "This is an action plugin around a module. Secrets of service tokens come back from Cloudflare exactly once. They are kept at
    once in the inventory's C(.mailstead/secrets) as C(access-<name>), encrypted where the run has a vault password. A token
    whose secret is not there gets a new one."
  - The result holds secrets. Set C(no_log) on the task; what went wrong is told on the terminal nevertheless.
  - Rules that cloudflared would take with a warning, or take in another sense than meant, are refused (a service without a port,
    an unknown key, no catch-all). Where C(cloudflared) is installed on the controller it is asked as well, and a warning counts.
attributes:
  check_mode:
    description: Predicts exactly, at the cost of the same reads. What only a real run knows is shown as a placeholder.
    support: full
  diff_mode:
    description: Shows every step, ids by the names of what they stand for, never a secret.
    support: full
  idempotent:
    description: A second run changes nothing, until a secret or a token comes of age.
    support: full
extends_documentation_fragment:
  - mailstead.stack.cloudflare
  - mailstead.stack.cloudflare_tunnels
options:
  allow:
    description:
      - Guards to override, by name. V(revoked), make a deleted service token anew and enable a disabled one. V(expired), renew an
        expired one. Either gets a new secret.
    type: list
    elements: str
    choices: [revoked, expired]
    default: []
  rotate_now:
    description: Service tokens that get a new secret in this run, whatever the age of the old one. Unknown names are passed over.
    type: list
    elements: str
    default: []
  credentials_file:
    description: Where the host of a locally managed tunnel has its credentials, for RV(tunnels[].config).
    type: str
    default: /etc/cloudflared/credentials.json
  rotate:
    description:
      - Whether service tokens that have a secret get a new one. The action plugin asks first which are to, notes that, and then
        lets it be done, so that a secret that is lost on the way is missed by the next run.
    type: bool
    default: true
seealso:
  - module: mailstead.stack.cloudflare_tunnel_info
  - module: mailstead.stack.cloudflare_zone
"""

EXAMPLES = r"""
- name: Let an application in from outside
  mailstead.stack.cloudflare_tunnel:
    api_token: "{{ vault_cloudflare_token }}"
    tunnels:
      - name: mailstead-notify
        hostname: smtp.example.com
        zone: example.com
        ingress:
          - {hostname: smtp.example.com, service: "tcp://172.29.1.2:465"}
          - {service: "http_status:404"}
        service_tokens: [app1]
        duration: 31536000
        rotate_after: 15552000
        overlap: 604800
  delegate_to: localhost
  register: tunnel
  no_log: true

- name: Remove it with everything that belongs to it
  mailstead.stack.cloudflare_tunnel:
    api_token: "{{ vault_cloudflare_token }}"
    tunnels:
      - {name: mailstead-notify, state: absent, zone: example.com}
  delegate_to: localhost
  no_log: true
"""

RETURN = r"""
tunnels:
  description: The tunnels in the order given. Secret.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
    state:
      description: V(present) or V(absent); of one that is absent only the name, the account and the team are told.
      type: str
    management:
      description: V(remote) or V(local).
      type: str
    hostname:
      description: The name that clients reach it under.
      type: str
    id:
      description: Its id.
      type: str
    cname:
      description: Where the hostname leads.
      type: str
    account_id:
      description: Id of its account.
      type: str
    team:
      description: Name of the team whose keys sign what Access lets through.
      type: str
    audience:
      description: Audience tag of its application.
      type: str
    token:
      description: What a connector of a remotely managed tunnel runs with. Secret.
      type: str
    credentials:
      description: The same as the credentials file of a locally managed one, C(AccountTag), C(TunnelID), C(TunnelSecret). Secret.
      type: dict
    config:
      description: The configuration file of a locally managed one, C(tunnel), C(credentials-file) and C(ingress).
      type: dict
    service_tokens:
      description: Its service tokens by name, as in RV(service_tokens). Secret.
      type: dict
service_tokens:
  description: The wanted service tokens by name. Secret.
  returned: success
  type: dict
  sample:
    app1:
      client_id: 88bf3b6d86161464f6509f7219099e57.access
      client_secret: "..."
      expires_at: "2027-11-20T00:00:00Z"
      rotated: false
steps:
  description: What was done, or would be, in order, each with C(kind), C(action), C(name), C(tunnel), C(reasons) and C(done).
  returned: always
  type: list
  elements: dict
requests:
  description: Requests made in all.
  returned: always
  type: int
problems:
  description: What is wrong, each with C(code), C(where), C(what) and C(fix).
  returned: failure
  type: list
  elements: dict
"""

import dataclasses
import json
from datetime import datetime, timezone
from typing import Any, Dict, List, Sequence

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare import tunnel_run
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.module import client_of, client_spec
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_arguments import tunnels_spec
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_diff import Step
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_model import (
    GUARDS,
    Options,
    held_of,
    wishes,
)
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_program import ask_program
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_run import Account
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem


def argument_spec() -> Dict[str, Any]:
    return {
        **client_spec(),
        **tunnels_spec(),
        "allow": {"type": "list", "elements": "str", "choices": list(GUARDS), "default": []},
        "rotate_now": {"type": "list", "elements": "str", "default": [], "no_log": False},
        "credentials_file": {"type": "str", "default": "/etc/cloudflared/credentials.json"},
        "rotate": {"type": "bool", "default": True},
    }


def now() -> datetime:
    return datetime.now(timezone.utc).replace(microsecond=0)


def difference(step: Step) -> Dict[str, str]:
    """A step before and after; the same in check mode."""
    header = f"{step.kind} {step.name}"
    texts = [json.dumps(part, indent=1, sort_keys=True) + "\n" if part else "" for part in (step.before, step.after)]
    return {"before_header": header, "after_header": header, "before": texts[0], "after": texts[1]}


def step_rows(accounts: Sequence[Account]) -> List[Dict[str, Any]]:
    """What was planned, and whether it was done; what a second look added follows."""
    out: List[Dict[str, Any]] = []
    for account in accounts:
        more = [step for step in account.done.steps if step not in account.steps]
        out += [{**s.to_data(), "done": s in account.done.steps} for s in [*account.steps, *more]]
    return out


def run(module: AnsibleModule, client: Client) -> None:
    """Raises MailsteadError as long as nothing was written; ends the module otherwise."""
    params = module.params
    wanted, lives = wishes(params["tunnels"])
    ask_program(module, wanted)
    options = Options(params["instance"], now(), tuple(params["allow"]), tuple(params["rotate_now"]))
    accounts = tunnel_run.prepare(client, wanted, lives, held_of(params["held"]), options)
    problems: List[Problem] = []
    tunnels: List[Dict[str, Any]] = []
    try:
        for account in accounts:
            if not module.check_mode:
                tunnel_run.apply(client, account, params["rotate"])
        for account in accounts:
            tunnels += tunnel_run.rows(client, account, params["credentials_file"])
    except MailsteadError as error:
        problems = list(error.problems)
    order = {w.name: number for number, w in enumerate(wanted)}
    finish(module, client, accounts, problems, sorted(tunnels, key=lambda row: order[row["name"]]))


def finish(
    module: AnsibleModule,
    client: Client,
    accounts: Sequence[Account],
    problems: Sequence[Problem],
    tunnels: Sequence[Dict[str, Any]],
) -> None:
    planned = [step for account in accounts for step in account.steps]
    written = any(account.done.steps for account in accounts)
    out: Dict[str, Any] = {
        "changed": bool(planned) if module.check_mode else written,
        "steps": step_rows(accounts),
        "requests": sum(client.counts.values()),
        "secrets": tunnel_run.secret_rows(accounts),
        "due": sorted({name for account in accounts for name in account.due}),
        "forget": sorted({name for account in accounts for name in account.forget}),
    }
    if module._diff:
        out["diff"] = [difference(step) for step in planned]
    if problems:
        msg = str(MailsteadError(problems))
        module.fail_json(msg=msg, problems=[dataclasses.asdict(p) for p in problems], **out)
    module.exit_json(tunnels=list(tunnels), service_tokens=tunnel_run.token_rows(accounts), **out)


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    client = None
    try:
        client = client_of(module.params)
        run(module, client)
    except MailsteadError as error:
        requests = sum(client.counts.values()) if client else 0
        problems = [dataclasses.asdict(p) for p in error.problems]
        module.fail_json(msg=str(error), problems=problems, steps=[], requests=requests)
    finally:
        if client:
            client.close()


if __name__ == "__main__":
    main()
