#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: stalwart_objects
short_description: Bring the objects of a Stalwart mail server to a declared state
description:
  - Takes the whole set of wanted objects in one call, reads what the server has, and writes only what differs.
  - Everything that can be found wrong without writing (types, properties, values, references, names in expressions)
    is reported at once, before the first change.
  - Settings are loaded by exactly one ReloadSettings, certificates by one ReloadTlsCertificates, and only when
    something of that kind changed. A reload that an earlier, interrupted run still owes is made good.
  - Works with Stalwart 0.16.18 and newer through its JMAP management API.
version_added: 0.1.0
author: mailstead contributors (@mailstead)
attributes:
  check_mode:
    description: Exact on a reachable server. Without a server or API key everything counts as to be created.
    support: full
  diff_mode:
    description: One entry per changed object. Secrets never appear.
    support: full
  idempotent:
    description: A second run makes no change and no write request.
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
  api_key_file:
    description: File with the API key; it must be mode 0600 and belong to the user the module runs as.
    type: path
  username:
    description: User name, when there is no API key.
    type: str
  password:
    description: Password of O(username).
    type: str
  objects:
    description: The wanted objects, in any order; dependencies are found from the references.
    type: list
    elements: dict
    required: true
    suboptions:
      type:
        description: Object type as in the server's schema, without the C(x:).
        type: str
        required: true
      match:
        description:
          - Properties by which the object is recognised; they are also set when it is created.
          - Left out for singletons, which are only ever updated.
        type: dict
        default: {}
      properties:
        description:
          - Properties to hold. What is not named is left alone.
          - Lists, sets, durations (V(5m)) and sizes (V(1GiB)) may be written naturally.
          - A text C(ref:Type/key=value[,key=value]) stands for the id of an object that exists or is declared in the
            same list. A dotted key reaches into an object.
        type: dict
        default: {}
      state:
        description: V(absent) removes every object that matches.
        type: str
        choices: [present, absent]
        default: present
      create:
        description: V(false) changes the object only if it exists.
        type: bool
        default: true
      secrets:
        description:
          - JSON pointers into O(objects[].properties) and the secrets that go there.
          - A secret is written when the object is created and when it differs from the one written last; a
            fingerprint of that is kept in O(state_dir).
        type: dict
        default: {}
  purge:
    description: Types of which every object that is not listed is removed. Accounts and domains are refused.
    type: list
    elements: str
    default: []
  state_dir:
    description: Directory for fingerprints of secrets, owed reloads and the server's schema. It is made with mode 0700.
    type: path
    default: /var/lib/mailstead/stalwart
  server_started:
    description:
      - When the server's process was started, such as the container engine's C(State.StartedAt).
      - With it, a restart that an earlier run asked for and that never happened is asked for again. Without it a
        restart is asked for once.
    type: str
  timeout:
    description: Seconds to wait for each answer.
    type: int
    default: 30
  wait:
    description: Seconds to wait for a server that is just starting.
    type: int
    default: 0
seealso:
  - module: mailstead.stack.stalwart_bootstrap
"""

EXAMPLES = r"""
- name: A domain, a mailbox and the host's name
  mailstead.stack.stalwart_objects:
    api_key_file: /etc/mailstead/stalwart/api-key
    objects:
      - type: Domain
        match: {name: example.com}
        properties:
          dkimManagement: {"@type": Manual}
          dnsManagement: {"@type": Manual}
          certificateManagement: {"@type": Manual}
      - type: Account
        match: {"@type": User, name: alice, domainId: "ref:Domain/name=example.com"}
        properties:
          credentials: [{"@type": Password}]
          quotas: {maxDiskQuota: 1073741824}
        secrets:
          /credentials/0/secret: "{{ alice_password }}"
      - type: SystemSettings
        properties:
          defaultHostname: mail.example.com
          defaultDomainId: "ref:Domain/name=example.com"
      - type: NetworkListener
        match: {name: pop3s}
        state: absent
  register: objects

- name: Listeners are opened only when the process starts
  ansible.builtin.command: docker restart stalwart
  when: objects.restart_required
"""

RETURN = r"""
changes:
  description: What was changed, or would be in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    type: {description: Object type., type: str}
    object: {description: The object as messages name it., type: str}
    action: {description: create or update or destroy., type: str}
    properties: {description: Names of the properties concerned., type: list, elements: str}
restart_required:
  description: Whether the server must be restarted, because listeners (their proxy trust included) changed.
  returned: success
  type: bool
actions:
  description: Reloads that were made, or would be in check mode.
  returned: success
  type: list
  elements: str
requests:
  description: Number of HTTP requests.
  returned: success
  type: int
problems:
  description: Every mistake, with code, place, what is wrong and the fix.
  returned: failure
  type: list
  elements: dict
applied:
  description: Changes that were made before the failure.
  returned: failure
  type: list
  elements: str
"""

from pathlib import Path
from typing import Any, Dict, List, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.common.files import private_directory, read_private
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart import show
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.apply import ApplyError, apply
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.client import Client, basic, bearer
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.engine import make_plan, needed_types
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.state import State, timestamp


def _client(params: Dict[str, Any]) -> Client:
    if params["api_key_file"]:
        key = read_private(Path(params["api_key_file"]), "MS-SRV-027").decode("ascii", "replace").strip()
        authorization = bearer(key)
    else:
        authorization = basic(params["username"], params["password"])
    return Client(params["url"], authorization, float(params["timeout"]))


def _started(module: AnsibleModule) -> Optional[float]:
    text = module.params["server_started"]
    if not text:
        return None
    try:
        return timestamp(text)
    except ValueError:
        module.fail_json(msg=f"server_started: {text!r} is no RFC 3339 time such as 2026-01-31T12:00:00Z")
    return None


def _unreachable_in_check_mode(module: AnsibleModule, reason: str) -> None:
    """On a host where nothing exists yet, check mode says what would come instead of failing."""
    wanted = [o for o in module.params["objects"] if o["state"] == "present"]
    changes = [
        {
            "type": o["type"],
            "object": f"{o['type']} {o['match']}",
            "action": "create",
            "properties": sorted(o["properties"]),
        }
        for o in wanted
    ]
    module.warn(f"nothing could be compared, so every object counts as new: {reason}")
    module.exit_json(changed=True, changes=changes, restart_required=True, actions=[], requests=0)


def run(module: AnsibleModule) -> None:
    params = module.params
    started = _started(module)
    key_file = params["api_key_file"]
    if module.check_mode and key_file and not Path(key_file).exists():
        _unreachable_in_check_mode(module, f"{key_file} does not exist")
    client = _client(params)
    try:
        directory = Path(params["state_dir"])
        if not module.check_mode:
            private_directory(directory)
        state = State(directory)
        try:
            if params["wait"]:
                client.wait(params["wait"])
            schema = client.schema(directory if directory.is_dir() else None)
        except MailsteadError as error:
            if module.check_mode and error.problems[0].code == "MS-SRV-001":
                _unreachable_in_check_mode(module, error.problems[0].what)
            raise
        objects = [{k: v for k, v in o.items() if v is not None} for o in params["objects"]]
        types, singletons = needed_types(schema, objects, params["purge"])
        observed = client.get_all(types, singletons)
        plan = make_plan(schema, objects, observed, state.remembered, params["purge"])
        actions: List[str] = [
            a for a in ("ReloadTlsCertificates", "ReloadSettings") if a in {*plan.actions, *state.actions}
        ]
        restart = plan.restart or state.restart_owed(started)
        if not module.check_mode:
            actions = apply(client, plan, state).actions
            state.announced(started)
        result: Dict[str, Any] = {
            "changed": bool(plan.steps or actions),
            "changes": show.changes(plan),
            "restart_required": restart,
            "actions": actions,
            "requests": client.requests,
        }
        if module._diff:
            result["diff"] = show.diff(plan)
        module.exit_json(**result)
    finally:
        client.close()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "default": "http://127.0.0.1:8080"},
            "api_key_file": {"type": "path", "no_log": False},
            "username": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "objects": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "type": {"type": "str", "required": True},
                    "match": {"type": "dict", "default": {}},
                    "properties": {"type": "dict", "default": {}},
                    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                    "create": {"type": "bool", "default": True},
                    "secrets": {"type": "dict", "default": {}, "no_log": True},
                },
            },
            "purge": {"type": "list", "elements": "str", "default": []},
            "state_dir": {"type": "path", "default": "/var/lib/mailstead/stalwart"},
            "server_started": {"type": "str"},
            "timeout": {"type": "int", "default": 30},
            "wait": {"type": "int", "default": 0},
        },
        required_one_of=[("api_key_file", "username")],
        required_together=[("username", "password")],
        mutually_exclusive=[("api_key_file", "username")],
        supports_check_mode=True,
    )
    try:
        run(module)
    except MailsteadError as error:
        applied = error.applied if isinstance(error, ApplyError) else []
        module.fail_json(msg=str(error), problems=show.summary(error.problems), applied=applied, changed=bool(applied))
    except OSError as error:
        place = error.filename or module.params["state_dir"]
        module.fail_json(msg=f"{place}: {error.strerror}", problems=[], applied=[])


if __name__ == "__main__":
    main()
