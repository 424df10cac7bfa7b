#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: host_files
short_description: Keep a set of files and directories of a host in one call
version_added: 0.1.0
author: The mailstead maintainers
description:
  - Writes every listed file that differs, each as a whole by rename, and nothing else. One call replaces a task per
    file, which over SSH is about thirty times faster.
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
  files:
    description: The files, in the order in which they are written.
    type: list
    elements: dict
    required: true
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
        description: The whole content of a file.
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
      secret:
        description: Keep the content out of differences.
        type: bool
        default: false
      validate:
        description:
          - A command, as a list, that must succeed before the file is replaced; V(%s) stands for the new file.
        type: list
        elements: str
      notify:
        description: A word that appears in RV(notified) when this file changed.
        type: str
"""

EXAMPLES = r"""
- name: Configure the tunnel server
  mailstead.stack.host_files:
    files:
      - {path: /etc/frp, state: directory, mode: "0750", group: frp}
      - path: /etc/frp/frps.json
        content: "{{ __frp_server_config | to_nice_json }}"
        validate: [/usr/local/bin/frps, verify, -c, "%s"]
"""

RETURN = r"""
changed_paths:
  description: What was (or would be) changed.
  returned: success
  type: list
  elements: str
notified:
  description: The words of the changed files' O(files[].notify).
  returned: success
  type: list
  elements: str
"""

import difflib
import grp
import os
import pwd
import shutil
import stat
import tempfile
from typing import Any, Dict, List, Optional, Tuple

from ansible.module_utils.basic import AnsibleModule

Wanted = Dict[str, Any]


def user_id(name: str) -> int:
    return int(name) if name.isdigit() else pwd.getpwnam(name).pw_uid


def group_id(name: str) -> int:
    return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid


def read(path: str) -> Optional[bytes]:
    """The content of a regular file; None where there is none."""
    if os.path.islink(path) or not os.path.isfile(path):
        return None
    with open(path, "rb") as stream:
        return stream.read()


def differs(wanted: Wanted) -> bool:
    """Whether the host's state of one entry is not the wanted one."""
    path, state = wanted["path"], wanted["state"]
    if state == "absent":
        return os.path.lexists(path)
    if state == "link":
        return not os.path.islink(path) or os.readlink(path) != wanted["target"]
    if state == "directory" and not os.path.isdir(path):
        return True
    if state == "file" and (os.path.islink(path) or not os.path.isfile(path)):
        return True
    found = os.stat(path)
    if stat.S_IMODE(found.st_mode) != int(wanted["mode"], 8):
        return True
    try:
        if (found.st_uid, found.st_gid) != (user_id(wanted["owner"]), group_id(wanted["group"])):
            return True
    except KeyError:
        # The account comes with a package that is not installed yet (check mode on a bare host).
        return True
    return bool(state == "file" and read(path) != wanted["content"].encode("utf-8"))


def unified(wanted: Wanted) -> Dict[str, str]:
    """The difference as Ansible shows it; of a secret only that there is one."""
    path = wanted["path"]
    if wanted["state"] != "file" or wanted["secret"]:
        what = "secret content" if wanted["secret"] else wanted["state"]
        return {"prepared": f"{path}: {what} changes\n"}
    before = (read(path) or b"").decode("utf-8", "replace")
    lines = difflib.unified_diff(
        before.splitlines(keepends=True),
        wanted["content"].splitlines(keepends=True),
        f"{path} (before)",
        f"{path} (after)",
    )
    shown = (line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines)
    return {"prepared": "".join(shown) or f"{path}: owner or mode changes\n"}


def write_new(wanted: Wanted) -> str:
    """The new content in a file beside the old one, with its final owner and mode; returns its path."""
    directory, name = os.path.split(wanted["path"])
    uid, gid = user_id(wanted["owner"]), group_id(wanted["group"])
    # Validators may go by the suffix.
    handle, partial = tempfile.mkstemp(dir=directory, prefix=f".{name}.", suffix=os.path.splitext(name)[1])
    try:
        with os.fdopen(handle, "wb") as stream:
            os.fchown(stream.fileno(), uid, gid)
            os.fchmod(stream.fileno(), int(wanted["mode"], 8))
            stream.write(wanted["content"].encode("utf-8"))
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        os.unlink(partial)
        raise
    return partial


def obstacle(wanted: Wanted) -> str:
    """What keeps an entry from being put in place, with its fix; empty when nothing does."""
    path, state = wanted["path"], wanted["state"]
    if state == "directory" and os.path.lexists(path) and not os.path.isdir(path):
        return f"[MS-HOST-005] {path}: something that is no directory stands there\n    Fix: look at it, then run: rm {path}"
    if state in ("file", "link") and os.path.isdir(path) and not os.path.islink(path) and os.listdir(path):
        return (
            f"[MS-HOST-005] {path}: a directory that is not empty stands there\n    Fix: look at it, then move it away"
        )
    if state in ("file", "directory"):
        for kind, name, look_up in (("user", wanted["owner"], user_id), ("group", wanted["group"], group_id)):
            try:
                look_up(name)
            except KeyError:
                return f"[MS-HOST-004] {path}: there is no {kind} {name}\n    Fix: make the {kind} before the file that belongs to it"
    return ""


def make_room(path: str) -> None:
    """Remove an empty directory in the way: container engines make one for a mount whose source is missing."""
    if os.path.isdir(path) and not os.path.islink(path):
        os.rmdir(path)


def make_directory(wanted: Wanted) -> None:
    path = wanted["path"]
    os.makedirs(path, exist_ok=True)
    os.chown(path, user_id(wanted["owner"]), group_id(wanted["group"]))
    os.chmod(path, int(wanted["mode"], 8))


def remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def stage(module: AnsibleModule, files: List[Wanted]) -> List[Tuple[Wanted, str]]:
    """Write and validate every new content beside its place; nothing is replaced when one is refused."""
    staged: List[Tuple[Wanted, str]] = []
    try:
        for wanted in files:
            if wanted["state"] == "directory":
                make_directory(wanted)
            if wanted["state"] != "file":
                continue
            os.makedirs(os.path.dirname(wanted["path"]), exist_ok=True)
            partial = write_new(wanted)
            staged.append((wanted, partial))
            if wanted["validate"]:
                command = [word.replace("%s", partial) for word in wanted["validate"]]
                rc, out, err = module.run_command(command)
                if rc != 0:
                    module.fail_json(
                        msg=f"[MS-HOST-001] {wanted['path']}: the new content is refused, nothing was replaced: {(err or out).strip()}\n"
                        f"    Fix: correct the variables it is made from; the command was {' '.join(wanted['validate'])}"
                    )
    except BaseException:
        for _wanted, partial in staged:
            if os.path.exists(partial):
                os.unlink(partial)
        raise
    return staged


def apply(module: AnsibleModule, files: List[Wanted]) -> None:
    obstacles = [found for found in map(obstacle, files) if found]
    if obstacles:
        module.fail_json(msg="\n".join(obstacles))
    for wanted, partial in stage(module, files):
        make_room(wanted["path"])
        os.replace(partial, wanted["path"])
    for wanted in files:
        if wanted["state"] == "absent":
            remove(wanted["path"])
        elif wanted["state"] == "link":
            os.makedirs(os.path.dirname(wanted["path"]), exist_ok=True)
            make_room(wanted["path"])
            partial = f"{wanted['path']}.{os.getpid()}.partial"
            os.symlink(wanted["target"], partial)
            os.replace(partial, wanted["path"])


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "path": {"type": "path", "required": True},
                    "state": {"type": "str", "choices": ["file", "directory", "link", "absent"], "default": "file"},
                    "content": {"type": "str"},
                    "target": {"type": "str"},
                    "mode": {"type": "str", "default": "0644"},
                    "owner": {"type": "str", "default": "root"},
                    "group": {"type": "str", "default": "root"},
                    "secret": {"type": "bool", "default": False},
                    "validate": {"type": "list", "elements": "str"},
                    "notify": {"type": "str"},
                },
                "required_if": [("state", "file", ("content",)), ("state", "link", ("target",))],
            }
        },
        supports_check_mode=True,
    )
    changed = [f for f in module.params["files"] if differs(f)]
    diff = [unified(f) for f in changed]
    if changed and not module.check_mode:
        apply(module, changed)
    module.exit_json(
        changed=bool(changed),
        changed_paths=[f["path"] for f in changed],
        notified=sorted({f["notify"] for f in changed if f["notify"]}),
        diff=diff,
    )


if __name__ == "__main__":
    main()
