#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: dkim_keys
short_description: Make the DKIM keys that are missing and return the public halves of all
description:
  - Private keys are born on the target, readable for the mail server's user only, and never leave it. What is
    returned are the complete TXT records.
  - A key that exists is never made again. The selector comes from a pattern that is evaluated when the key is made;
    a second key in the same period gets a letter (V(202601r), V(202601br)), and no name is ever used twice.
  - A key that others could read, that belongs to somebody else or that cannot be decoded is an error with the
    command that mends it; nothing is mended silently and nothing is made before all keys have been looked at.
version_added: 0.1.0
author: mailstead contributors (@mailstead)
attributes:
  check_mode:
    description: Says which keys would be made and under which selector; those have no record yet.
    support: full
  diff_mode:
    description: Lists paths of keys.
    support: full
  idempotent:
    description: Existing keys are input.
    support: full
  platform:
    description: The host of the mail server, with Python 3.9 or newer.
    support: full
    platforms: posix
requirements:
  - python3-cryptography
options:
  directory:
    description: Where the keys are kept, as C(<directory>/<domain>/<selector>.pem).
    type: path
    default: /etc/mailstead/dkim
  container_directory:
    description: The same directory as the server in its container sees it; O(directory) when left out.
    type: path
  owner:
    description: Numeric user of the mail server.
    type: int
    default: 2000
  group:
    description: Numeric group of the mail server; O(owner) when left out.
    type: int
  keys:
    description: The wanted keys, one per domain and algorithm.
    type: list
    elements: dict
    required: true
    suboptions:
      domain:
        description: The signing domain, as A-labels.
        type: str
        required: true
      algorithm:
        description: Algorithm and size.
        type: str
        choices: [rsa-2048, rsa-4096, ed25519]
        required: true
      selector:
        description: A strftime pattern (UTC), to which C(r) or C(e) is appended.
        type: str
        default: "%Y%m"
  state_file:
    description: Record of when keys were made and which selectors are used up.
    type: path
    default: /var/lib/mailstead/dkim.json
"""

EXAMPLES = r"""
- name: Two keys for a domain
  mailstead.stack.dkim_keys:
    keys:
      - {domain: example.com, algorithm: rsa-2048}
      - {domain: example.com, algorithm: ed25519}
  register: dkim
"""

RETURN = r"""
keys:
  description: The active key of each wanted domain and algorithm, in the order they were asked for.
  returned: success
  type: list
  elements: dict
  contains:
    domain: {description: The domain., type: str}
    algorithm: {description: Algorithm and size., type: str}
    selector: {description: The selector., type: str}
    path: {description: The private key on this host., type: str}
    container_path: {description: The private key as the server sees it., type: str}
    txt: {description: The complete TXT value; missing while pending., type: str}
    public_key: {description: "What stands in the record after p=; missing while pending.", type: str}
    age_days: {description: Whole days since the key was made., type: int}
    pending: {description: Whether the key would be made (check mode only)., type: bool}
problems:
  description: Every mistake, with code, place, what is wrong and the fix.
  returned: failure
  type: list
  elements: dict
"""

import datetime
import os
import traceback
from pathlib import Path
from typing import Any, Dict, List, Optional

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.dkim import store

try:
    from ansible_collections.mailstead.stack.plugins.module_utils.dkim import material

    CRYPTOGRAPHY_ERROR: Optional[str] = None
except ImportError:
    CRYPTOGRAPHY_ERROR = traceback.format_exc()


def _result(key: store.Key, container: Path, now: datetime.datetime) -> Dict[str, Any]:
    return {
        "domain": key.domain,
        "algorithm": key.algorithm,
        "selector": key.selector,
        "path": str(key.path),
        "container_path": str(container / key.domain / key.path.name),
        "txt": material.record(key.algorithm, key.public),
        "public_key": key.public,
        "age_days": max(0, (now - key.created).days),
        "pending": False,
    }


def run(module: AnsibleModule, now: datetime.datetime) -> None:
    params = module.params
    directory = Path(params["directory"])
    container = Path(params["container_directory"] or directory)
    owner = (params["owner"], params["owner"] if params["group"] is None else params["group"])
    wanted = store.check_wanted(params["keys"], now)
    record = store.Record(Path(params["state_file"]))
    found = store.read_keys(directory, [w.domain for w in wanted], owner[0], record, material.describe)
    have = {w: store.active(found, record, w) for w in wanted}
    taken: Dict[str, List[str]] = {}
    names: Dict[store.Wanted, str] = {}
    for one in wanted:
        if have[one] is None:
            names[one] = store.free_selector(directory, record, one, now, taken.get(one.domain, ()))
            taken.setdefault(one.domain, []).append(names[one])
    results: List[Dict[str, Any]] = []
    made: List[store.Key] = []
    for one in wanted:
        key = have[one]
        if key is None and not module.check_mode:
            pem = material.generate(one.algorithm)
            path = store.make_key(directory, one, names[one], pem, owner, now)
            key = store.Key(one.domain, one.algorithm, names[one], path, material.describe(pem)[1], now)
            made.append(key)
            record.note([key])
        if key is None:
            relative = Path(one.domain) / f"{names[one]}.pem"
            results.append(
                {
                    "domain": one.domain,
                    "algorithm": one.algorithm,
                    "selector": names[one],
                    "path": str(directory / relative),
                    "container_path": str(container / relative),
                    "age_days": 0,
                    "pending": True,
                }
            )
        else:
            results.append(_result(key, container, now))
    if not module.check_mode:
        record.note([k for k in have.values() if k is not None])
    before = sorted(str(k.path) for k in have.values() if k is not None)
    after = sorted(r["path"] for r in results)
    module.exit_json(
        changed=bool(names),
        keys=results,
        diff={"before": "".join(f"{p}\n" for p in before), "after": "".join(f"{p}\n" for p in after)},
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "default": "/etc/mailstead/dkim"},
            "container_directory": {"type": "path"},
            "owner": {"type": "int", "default": 2000},
            "group": {"type": "int"},
            "keys": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "no_log": False,
                "options": {
                    "domain": {"type": "str", "required": True},
                    "algorithm": {"type": "str", "choices": ["rsa-2048", "rsa-4096", "ed25519"], "required": True},
                    "selector": {"type": "str", "default": "%Y%m"},
                },
            },
            "state_file": {"type": "path", "default": "/var/lib/mailstead/dkim.json"},
        },
        supports_check_mode=True,
    )
    if CRYPTOGRAPHY_ERROR is not None:
        module.fail_json(
            msg=missing_required_lib("cryptography", reason="to make signing keys (Debian: python3-cryptography)"),
            exception=CRYPTOGRAPHY_ERROR,
        )
    # Nothing that is written before its mode is set may be readable by others.
    os.umask(0o077)
    try:
        run(module, datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0))
    except MailsteadError as error:
        problems = [{"code": p.code, "where": p.where, "what": p.what, "fix": p.fix} for p in error.problems]
        module.fail_json(msg=str(error), problems=problems)
    except OSError as error:
        place = str(error.filename or module.params["directory"])
        problem = {
            "code": "MS-DKIM-006",
            "where": place,
            "what": str(error.strerror),
            "fix": f"Look at: ls -ld {place}",
        }
        module.fail_json(msg=f"[MS-DKIM-006] {place}: {error.strerror}", problems=[problem])


if __name__ == "__main__":
    main()
