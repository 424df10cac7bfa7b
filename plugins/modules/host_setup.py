#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: host_setup
short_description: Keep accounts, files and services of a host in one call
version_added: 0.1.0
author: The mailstead maintainers
description:
  - Makes missing system accounts, writes every listed file that differs, each as a whole by rename, and has the listed
    services run with them. One call replaces a task per file and service, which over SSH is about thirty times faster.
  - All new contents are validated before the first file is replaced, so that a bad configuration replaces nothing.
    Directories are made before that, for the new contents are staged in them.
  - Never removes a directory that holds something in order to put a file or link there, nor a file in order to make a
    directory.
attributes:
  check_mode:
    description: Predicts exactly.
    support: full
  diff_mode:
    description: Shows unified differences, except for files marked secret.
    support: full
  idempotent:
    description: A second run changes nothing.
    support: full
options:
  accounts:
    description: System accounts to have, without password, home and shell.
    type: list
    elements: str
    default: []
  services:
    description:
      - systemd units that must be enabled and running.
      - They are restarted when a file of the same call changed, or is younger than their last start.
    type: list
    elements: str
    default: []
  secrets:
    description: Contents of files that hold secrets, by path; they never appear in any output.
    type: dict
    default: {}
  files:
    description: The files, in the order in which they are written.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      state:
        description:
          - A V(file) with O(files[].content), a V(directory), a symbolic V(link) to O(files[].target), or V(absent).
          - A symbolic link to a directory counts as that directory; a symbolic link to a file does not count as a file.
        type: str
        choices: [file, directory, link, absent]
        default: file
      content:
        description: The whole content of a file; one that is not in O(secrets).
        type: str
      target:
        description: What a link points to.
        type: str
      mode:
        description: Permissions in octal.
        type: str
        default: "0644"
      owner:
        description: User name or id.
        type: str
        default: root
      group:
        description: Group name or id.
        type: str
        default: root
      validate:
        description:
          - A command, as a list, that must succeed before the file is replaced; V(%s) stands for the new file.
        type: list
        elements: str
      validate_refuses:
        description:
          - A regular expression. Output of O(files[].validate) in which it is found counts as a refusal even when the
            command succeeds, for programs that only warn of what they do not understand.
        type: str
"""

EXAMPLES = r"""
- name: Run the tunnel server
  mailstead.stack.host_setup:
    accounts: [frps]
    files:
      - {path: /etc/frp, state: directory, mode: "0750", group: frps}
      - {path: /etc/frp/token, mode: "0640", group: frps}
      - path: /etc/frp/frps.json
        content: "{{ config | to_nice_json }}"
        validate: [/usr/local/bin/frps, verify, -c, "%s"]
    secrets:
      /etc/frp/token: "{{ token }}"
    services: [frps.service]
"""

RETURN = r"""
changed_paths:
  description: Files that were (or would be) changed.
  returned: success
  type: list
  elements: str
started:
  description: Services that were (or would be) enabled, started or restarted.
  returned: success
  type: list
  elements: str
digest:
  description: One value for all wanted contents, for labels of containers that run with these files.
  returned: success
  type: str
"""

from typing import Any, Dict, List

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.host import accounts, files, services


def wanted_files(params: Dict[str, Any]) -> List[files.Wanted]:
    """The entries with their contents, those of secret files included. Raises MailsteadError for one without."""
    out = []
    for entry in params["files"]:
        secret = entry["path"] in params["secrets"]
        content = params["secrets"][entry["path"]] if secret else entry["content"]
        if entry["state"] == "file" and content is None:
            raise MailsteadError.one(
                "MS-HOST-009", entry["path"], "it has no content", "give content, or an entry in secrets"
            )
        out.append({**entry, "content": content, "secret": secret})
    return out


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "accounts": {"type": "list", "elements": "str", "default": []},
            "services": {"type": "list", "elements": "str", "default": []},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "path", "required": True},
                    "state": {"type": "str", "choices": ["file", "directory", "link", "absent"], "default": "file"},
                    "content": {"type": "str"},
                    "target": {"type": "str"},
                    "mode": {"type": "str", "default": "0644"},
                    "owner": {"type": "str", "default": "root"},
                    "group": {"type": "str", "default": "root"},
                    "validate": {"type": "list", "elements": "str"},
                    "validate_refuses": {"type": "str"},
                },
                "required_if": [("state", "link", ("target",))],
            },
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        wanted = wanted_files(params)
        new = accounts.missing(params["accounts"])
        if new and not module.check_mode:
            accounts.make(module.run_command, new)
        changed = [f for f in wanted if files.differs(f)]
        paths = [f["path"] for f in changed]
        diff = [{"prepared": f"account {name}: new\n"} for name in new] + [files.unified(f) for f in changed]
        if changed and not module.check_mode:
            files.apply(module.run_command, changed)
        units = services.read(module.run_command, params["services"])
        if not module.check_mode and units and services.reload_needed(units, paths):
            module.run_command(["systemctl", "daemon-reload"], check_rc=True)
        started = []
        for unit in units:
            verbs = services.needs(unit, wanted, bool(changed))
            if verbs:
                started.append(unit.name)
                diff.append({"prepared": f"{unit.name}: {', '.join(verbs)}\n"})
                if not module.check_mode:
                    services.apply(module.run_command, unit.name, verbs)
    except MailsteadError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=bool(new or changed or started),
        changed_paths=paths,
        started=started,
        digest=files.digest(wanted),
        diff=diff,
    )


if __name__ == "__main__":
    main()
