#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: stalwart_bootstrap
short_description: Make the management account and API key of a Stalwart mail server
description:
  - Ensures a domain, an account with the role Admin and an API key of that account, and writes the key to a file
    before it counts as done. Password and key are generated on the target and never leave it.
  - Does nothing when the key in O(api_key_file) works. When the key is lost it is made again with the account's
    password, and when that is lost too, with the server's recovery administrator.
  - Safe to run again after a crash at any point.
version_added: 0.1.0
author: mailstead contributors (@mailstead)
attributes:
  check_mode:
    description: Says what would be made; changes nothing.
    support: full
  diff_mode:
    description: There is nothing to show but secrets.
    support: none
  idempotent:
    description: A working key is left alone.
    support: full
  platform:
    description: The host that reaches the management API, with Python 3.9 or newer.
    support: full
    platforms: posix
options:
  url:
    description: Address of the management API.
    type: str
    default: http://127.0.0.1:8080
  recovery_user:
    description: The recovery administrator the server was started with (C(STALWART_RECOVERY_ADMIN)).
    type: str
  recovery_password:
    description: Password of O(recovery_user).
    type: str
  domain:
    description:
      - Domain of the account; it is made with manual DNS, DKIM and certificate management when missing.
      - Required for O(state=present). Without it a probe cannot try the account's password.
    type: str
  account:
    description: Local part of the account.
    type: str
    default: mailstead-admin
  description:
    description: Mark of the API key; keys of the account with this description are ours to replace.
    type: str
    default: mailstead
  allowed_ips:
    description:
      - Addresses and networks from which the key works; empty for all.
      - A published port reaches a container from the container network's gateway.
    type: list
    elements: str
    default: []
  api_key_file:
    description: Where the API key is kept, mode 0600.
    type: path
    default: /etc/mailstead/stalwart/api-key
  password_file:
    description: Where the account's password is kept, mode 0600; C(admin-password) beside O(api_key_file) when left out.
    type: path
  state:
    description: V(probe) only finds out whether the server must be started with a recovery administrator.
    type: str
    choices: [present, probe]
    default: present
  state_dir:
    description: Where the server's schema is kept between runs.
    type: path
    default: /var/lib/mailstead/stalwart
  timeout:
    description: Seconds to wait for each answer.
    type: int
    default: 30
  wait:
    description: Seconds to wait for a server that is just starting. The first start of all can take a minute.
    type: int
    default: 0
seealso:
  - module: mailstead.stack.stalwart_objects
"""

EXAMPLES = r"""
- name: Does the server have to start with a recovery administrator
  mailstead.stack.stalwart_bootstrap:
    domain: example.com
    state: probe
  register: probe

- name: Account and API key
  mailstead.stack.stalwart_bootstrap:
    domain: example.com
    recovery_user: recovery
    recovery_password: "{{ recovery_password }}"
    allowed_ips: [172.29.25.1, 127.0.0.0/8]
    wait: 120
"""

RETURN = r"""
needs_recovery:
  description: Whether neither the key nor the password worked, so that the recovery administrator is needed.
  returned: success
  type: bool
reachable:
  description: Whether the server answered; null when it did not have to be asked.
  returned: success
  type: bool
account:
  description: Address of the account; only its local part when no domain is given.
  returned: success
  type: str
actions:
  description: What was done.
  returned: success
  type: list
  elements: str
problems:
  description: Every mistake, with code, place, what is wrong and the fix.
  returned: failure
  type: list
  elements: dict
"""

from pathlib import Path
from typing import List

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.common.files import private_directory
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart import show
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.bootstrap import Wanted, ensure, probe
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.client import Client
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.state import State


def run(module: AnsibleModule) -> None:
    params = module.params
    clients: List[Client] = []

    def connect(authorization: str) -> Client:
        client = Client(params["url"], authorization, float(params["timeout"]))
        clients.append(client)
        return client

    def state() -> State:
        directory = Path(params["state_dir"])
        private_directory(directory)
        return State(directory)

    recovery = None
    if params["recovery_user"]:
        recovery = (params["recovery_user"], params["recovery_password"])
    key_file = Path(params["api_key_file"])
    wanted = Wanted(
        domain=params["domain"] or "",
        account=params["account"],
        description=params["description"],
        api_key_file=key_file,
        password_file=Path(params["password_file"] or key_file.parent / "admin-password"),
        allowed_ips=tuple(params["allowed_ips"]),
        recovery=recovery,
    )
    try:
        if params["wait"]:
            connect("").wait(params["wait"])
        if params["state"] == "probe":
            result = probe(connect, wanted)
            result.changed = False
        elif module.check_mode and recovery is None:
            result = probe(connect, wanted)
        else:
            result = ensure(connect, wanted, module.check_mode, state)
        module.exit_json(
            changed=result.changed,
            needs_recovery=result.needs_recovery,
            reachable=result.reachable,
            account=wanted.address,
            actions=result.actions,
        )
    finally:
        for client in clients:
            client.close()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "default": "http://127.0.0.1:8080"},
            "recovery_user": {"type": "str"},
            "recovery_password": {"type": "str", "no_log": True},
            "domain": {"type": "str"},
            "account": {"type": "str", "default": "mailstead-admin"},
            "description": {"type": "str", "default": "mailstead"},
            "allowed_ips": {"type": "list", "elements": "str", "default": []},
            "api_key_file": {"type": "path", "default": "/etc/mailstead/stalwart/api-key"},
            "password_file": {"type": "path", "no_log": False},
            "state": {"type": "str", "choices": ["present", "probe"], "default": "present"},
            "state_dir": {"type": "path", "default": "/var/lib/mailstead/stalwart"},
            "timeout": {"type": "int", "default": 30},
            "wait": {"type": "int", "default": 0},
        },
        required_together=[("recovery_user", "recovery_password")],
        required_if=[("state", "present", ("domain",))],
        supports_check_mode=True,
    )
    try:
        run(module)
    except MailsteadError as error:
        module.fail_json(msg=str(error), problems=show.summary(error.problems))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or module.params['api_key_file']}: {error.strerror}", problems=[])


if __name__ == "__main__":
    main()
