#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: cloudflare_email_worker
short_description: Upload Workers that handle mail of Cloudflare Email Routing
version_added: 0.1.0
author: The mailstead maintainers
description:
  - Uploads any number of Worker scripts with their configuration, from the templates that come with this collection or
    from files, and removes those that are to be absent. Which mail a Worker gets is said by rules, see
    M(mailstead.stack.cloudflare_email_routing_rules).
  - "Code, bindings and date are compared with what is deployed, so a second run changes nothing, and what somebody changed
    in the dashboard is found and put back. Secrets are never told by Cloudflare; whether one differs is known by a digest
    that is bound as C(MAILSTEAD_HASH)."
  - Only scripts with the tag C(mailstead:<instance>) are changed or removed, unless O(adopt) is set.
  - "The templates are configured by O(workers[].vars) alone, with one variable C(CONFIG); each explains its own at the head
    of its file in C(templates/worker). V(filter) refuses, drops or forwards by sender, recipient, header and size. V(fan_out)
    forwards to several mailboxes. V(reply) forwards, and answers once what passes DMARC. V(store_and_notify) forwards, keeps
    a copy and tells a program. V(mta_sts) serves the MTA-STS policy of domains whose mail Email Routing takes."
attributes:
  check_mode:
    description: Predicts exactly, at the cost of the same reads.
    support: full
  diff_mode:
    description: Shows date, bindings, tags and a digest of each module before and after; no code and no secrets.
    support: full
  idempotent:
    description: A second run changes nothing.
    support: full
extends_documentation_fragment:
  - mailstead.stack.cloudflare
options:
  workers:
    description: The Workers. The token needs Account › Workers Scripts › Edit.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the script. Renaming one means a new script; rules keep the old name and fail.
        type: str
        required: true
      state:
        description: Whether the script is to be there.
        type: str
        choices: [present, absent]
        default: present
      template:
        description: One of the templates of this collection. Exclusive with O(workers[].file) and O(workers[].modules).
        type: str
        choices: [filter, fan_out, reply, store_and_notify, mta_sts]
      file:
        description:
          - Path of a file with the Worker, on the controller, looked for as by M(ansible.builtin.copy).
          - Files beside it that it imports (C(./name.js)) are uploaded with it.
        type: path
      modules:
        description: The code itself, text by file name.
        type: dict
      main:
        description: Which of O(workers[].modules) is entered; found out for a template or a file.
        type: str
      vars:
        description: Variables of the Worker by name; a text is bound as text, anything else as JSON.
        type: dict
        default: {}
      secrets:
        description: Secret texts by name, for example C(WEBHOOK_TOKEN) of V(store_and_notify).
        type: dict
        default: {}
      kv:
        description: KV namespaces, id by name of the binding. V(reply) uses C(ANSWERED), V(store_and_notify) C(MESSAGES_KV).
        type: dict
        default: {}
      r2:
        description: R2 buckets, bucket by name of the binding. V(store_and_notify) uses C(MESSAGES_R2).
        type: dict
        default: {}
      send_email:
        description:
          - Bindings to send mail. Each with C(name) and, as far as wanted, C(destination_address) or
            C(allowed_destination_addresses), and C(allowed_sender_addresses). None of the templates needs one.
        type: list
        elements: dict
        default: []
      bindings:
        description: Further bindings, as the API has them (C(type), C(name), …).
        type: list
        elements: dict
        default: []
      keep_bindings:
        description: Types of bindings that somebody else adds to the script and that stay, for example V(d1).
        type: list
        elements: str
        default: []
      hostnames:
        description:
          - Hostnames at which the Worker answers over HTTPS, for example C(mta-sts.example.org) for V(mta_sts). All of them;
            others are detached. Left as they are when not given.
          - Cloudflare makes the record and the certificate itself, and refuses a hostname that has records.
        type: list
        elements: str
      compatibility_date:
        description: The behaviour of the runtime. The default is what the templates are tested with.
        type: str
        default: "2026-04-01"
  account_id:
    description: Id of the account. When not given, the zones that the token sees tell it, if they are of one account.
    type: str
  instance:
    description: Name of this installation, in the tag by which it knows its scripts.
    type: str
    default: mailstead
  adopt:
    description: Take over scripts of the wanted names that somebody else made.
    type: bool
    default: false
  allow:
    description: Guards to override, by name. V(used), remove a Worker although rules of Email Routing hand mail to it.
    type: list
    elements: str
    choices: [used]
    default: []
seealso:
  - module: mailstead.stack.cloudflare_email_routing_rules
notes:
  - O(workers[].template) and O(workers[].file) are read on the controller; the module itself may run anywhere.
"""

EXAMPLES = r"""
- name: Two mailboxes for one address, and a filter before another
  mailstead.stack.cloudflare_email_worker:
    api_token: "{{ vault_cloudflare_token }}"
    workers:
      - name: sales
        template: fan_out
        vars:
          CONFIG:
            forward: [ann@mailbox.example, bob@mailbox.example]
      - name: filter
        template: filter
        vars:
          CONFIG:
            forward: [you@mailbox.example]
            rules:
              - {from: ["*@spam.example"], action: reject, reason: not wanted here}

- name: Serve the MTA-STS policy of a domain whose mail Email Routing takes
  mailstead.stack.cloudflare_email_worker:
    api_token: "{{ vault_cloudflare_token }}"
    workers:
      - name: mta-sts
        template: mta_sts
        hostnames: [mta-sts.example.org]

- name: Tell the ticket system of every message
  mailstead.stack.cloudflare_email_worker:
    api_token: "{{ vault_cloudflare_token }}"
    workers:
      - name: tickets
        template: store_and_notify
        vars:
          CONFIG: {forward: [you@mailbox.example], webhook: "https://tickets.example.net/mail"}
        secrets:
          WEBHOOK_TOKEN: "{{ vault_webhook_token }}"
        r2:
          MESSAGES_R2: mail-copies
"""

RETURN = r"""
workers:
  description: The Workers in the order given, without those that belong to others.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the script.
      type: str
    action:
      description: One of V(create), V(update), V(delete) and V(none).
      type: str
    reasons:
      description: Why, in words.
      type: list
      elements: str
    written:
      description: Whether it was done.
      type: bool
    hostnames:
      description: What changes of its hostnames, in words.
      type: list
      elements: str
    template:
      description: The template, empty for other code.
      type: str
requests:
  description: Requests made in all. A no-op needs one, two for each Worker, and one where hostnames are given.
  returned: always
  type: int
problems:
  description: What is wrong, each with C(code), C(where), C(what) and C(fix).
  returned: failure
  type: list
  elements: dict
"""

import dataclasses
from typing import Any, Dict, List, Sequence, Tuple

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare import worker_hostnames
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.module import client_of, client_spec
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.workers import (
    COMPATIBILITY_DATE,
    Task,
    Wanted,
    apply,
    check,
    plan,
    predicted,
    shown,
    still_used,
)
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.api import only_account

TEMPLATES = ["filter", "fan_out", "reply", "store_and_notify", "mta_sts"]


def argument_spec() -> Dict[str, Any]:
    mapping = {"type": "dict", "default": {}}
    worker = {
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "template": {"type": "str", "choices": TEMPLATES},
        "file": {"type": "path"},
        "modules": {"type": "dict"},
        "main": {"type": "str"},
        "vars": mapping,
        "secrets": {**mapping, "no_log": True},
        "kv": mapping,
        "r2": mapping,
        "send_email": {"type": "list", "elements": "dict", "default": []},
        "bindings": {"type": "list", "elements": "dict", "default": []},
        "keep_bindings": {"type": "list", "elements": "str", "default": [], "no_log": False},
        "hostnames": {"type": "list", "elements": "str"},
        "compatibility_date": {"type": "str", "default": COMPATIBILITY_DATE},
    }
    return {
        **client_spec(),
        "workers": {"type": "list", "elements": "dict", "required": True, "options": worker},
        "account_id": {"type": "str"},
        "instance": {"type": "str", "default": "mailstead"},
        "adopt": {"type": "bool", "default": False},
        "allow": {"type": "list", "elements": "str", "choices": ["used"], "default": []},
    }


def bindings(worker: Dict[str, Any]) -> List[Dict[str, Any]]:
    """The bindings as the API has them."""
    out: List[Dict[str, Any]] = []
    for name, value in worker["vars"].items():
        kind, key = ("plain_text", "text") if isinstance(value, str) else ("json", "json")
        out.append({"type": kind, "name": name, key: value})
    out += [{"type": "secret_text", "name": name, "text": str(text)} for name, text in worker["secrets"].items()]
    out += [{"type": "kv_namespace", "name": n, "namespace_id": str(value)} for n, value in worker["kv"].items()]
    out += [{"type": "r2_bucket", "name": n, "bucket_name": str(value)} for n, value in worker["r2"].items()]
    out += [{**one, "type": "send_email"} for one in worker["send_email"]]
    out += worker["bindings"]
    return out


def wish(worker: Dict[str, Any]) -> Wanted:
    return Wanted(
        name=worker["name"],
        modules={name: str(text) for name, text in (worker["modules"] or {}).items()},
        main=worker["main"] or "",
        bindings=tuple(bindings(worker)),
        keep=tuple(worker["keep_bindings"]),
        date=worker["compatibility_date"],
        present=worker["state"] == "present",
    )


def difference(task: Task) -> Dict[str, str]:
    name = task.wanted.name
    header = f"Worker {name}"
    texts = {"before": shown(name, task.before), "after": shown(name, predicted(task))}
    return {"before_header": header, "after_header": header, **texts}


@dataclasses.dataclass
class Hostnames:
    """What is done with hostnames. changes: by Worker; have: what leads where before."""

    have: List[worker_hostnames.Attached] = dataclasses.field(default_factory=list)
    changes: Dict[str, List[worker_hostnames.Change]] = dataclasses.field(default_factory=dict)

    @property
    def all(self) -> List[worker_hostnames.Change]:
        """Those that attach first: a hostname may only be moved away from a Worker that stays."""
        found = [change for changes in self.changes.values() for change in changes]
        return sorted(found, key=lambda change: not change.worker)


def names_of(workers: Sequence[Dict[str, Any]]) -> Dict[str, List[str]]:
    """The wanted hostnames by Worker. Raises MailsteadError for what is none."""
    out: Dict[str, List[str]] = {}
    problems: List[Problem] = []
    for worker in workers:
        if worker["hostnames"] is None or worker["state"] != "present":
            continue
        for given in worker["hostnames"]:
            try:
                out.setdefault(worker["name"], []).append(rdata.name(given))
            except rdata.RdataError as error:
                problems.append(Problem("MS-CW-002", f"hostname {given}", str(error), "Correct the name."))
        out.setdefault(worker["name"], [])
    if problems:
        raise MailsteadError(problems)
    return out


def plan_hostnames(
    client: Client, account: str, wanted: Dict[str, List[str]], adopt: bool
) -> Tuple[Hostnames, List[Problem]]:
    if not wanted:
        return Hostnames(), []
    have = worker_hostnames.list_attached(client, account)
    changes, problems = worker_hostnames.diff(wanted, have, adopt)
    return Hostnames(have, changes), problems


def report(module: AnsibleModule, client: Client, tasks: Sequence[Task], hostnames: Hostnames) -> Dict[str, Any]:
    templates = {w["name"]: w["template"] or "" for w in module.params["workers"]}
    rows = [
        {
            "name": task.wanted.name,
            "action": task.action,
            "reasons": list(task.reasons),
            "written": task.written,
            "hostnames": [str(change) for change in hostnames.changes.get(task.wanted.name, [])],
            "template": templates[task.wanted.name],
        }
        for task in tasks
    ]
    out: Dict[str, Any] = {"workers": rows, "requests": sum(client.counts.values())}
    if module._diff:
        out["diff"] = [difference(task) for task in tasks if task.action != "none"]
        if hostnames.all:
            before, after = worker_hostnames.shown(hostnames.have, hostnames.all, hostnames.changes)
            header = "Hostnames of Workers"
            out["diff"].append({"before_header": header, "after_header": header, "before": before, "after": after})
    return out


def run(module: AnsibleModule, client: Client) -> None:
    """Raises MailsteadError as long as nothing was written; ends the module otherwise."""
    params = module.params
    wanted = [wish(worker) for worker in params["workers"]]
    problems = check(wanted)
    if problems:
        raise MailsteadError(problems)
    names = names_of(params["workers"])
    account = params["account_id"] or only_account(client)
    tasks, problems = plan(client, account, wanted, params["instance"], params["adopt"])
    hostnames, more = plan_hostnames(client, account, names, params["adopt"])
    problems += more
    if "used" not in params["allow"]:
        problems += still_used(client, account, tasks)
    if problems:
        fail(module, problems, **report(module, client, tasks, hostnames))
    made = 0
    if not module.check_mode:
        # Uploads first, removals last: a hostname moves from one Worker that is there to another.
        staying = [task for task in tasks if task.action != "delete"]
        problems = apply(client, account, staying)
        lost = {task.wanted.name for task in staying if task.action != "none" and not task.written}
        made, more = worker_hostnames.apply(client, account, [c for c in hostnames.all if c.worker not in lost])
        problems += more
        if not problems:
            problems = apply(client, account, [task for task in tasks if task.action == "delete"])
    out = report(module, client, tasks, hostnames)
    if problems:
        fail(module, problems, changed=made > 0 or any(task.written for task in tasks), **out)
    changed = bool(hostnames.all) or any(task.action != "none" for task in tasks)
    module.exit_json(changed=changed, **out)


def fail(module: AnsibleModule, problems: Sequence[Problem], **more: Any) -> None:
    msg = str(MailsteadError(problems))
    module.fail_json(msg=msg, problems=[dataclasses.asdict(p) for p in problems], **more)


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    client = None
    try:
        client = client_of(module.params)
        run(module, client)
    except MailsteadError as error:
        requests = sum(client.counts.values()) if client else 0
        fail(module, error.problems, workers=[], requests=requests)
    finally:
        if client:
            client.close()


if __name__ == "__main__":
    main()
