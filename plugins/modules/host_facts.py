#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: host_facts
short_description: What the roles must know of a host, in one quick call
version_added: 0.1.0
author: The mailstead maintainers
description:
  - Gathers the few facts that the roles use, about ten times faster than M(ansible.builtin.setup) with
    M(ansible.builtin.package_facts).
attributes:
  check_mode:
    description: Only reads.
    support: full
  diff_mode:
    description: Changes nothing, hence shows no differences.
    support: none
  idempotent:
    description: Only reads.
    support: full
options: {}
"""

EXAMPLES = r"""
- name: Look at the host
  mailstead.stack.host_facts:
"""

RETURN = r"""
ansible_facts:
  description: Facts of the host.
  returned: success
  type: dict
  contains:
    mailstead_host:
      description:
        - C(uid), C(user), C(python) (C(3.11)), C(distribution) (C(debian)), C(release) (C(12)), C(systemd) and
          C(packages), the names of the installed distribution packages.
      type: dict
"""

import os
import platform
import pwd
from pathlib import Path
from typing import Any, Dict, List

from ansible.module_utils.basic import AnsibleModule


def os_release(text: str) -> Dict[str, str]:
    """The assignments of an os-release file (os-release(5))."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {key: value.strip().strip("\"'") for key, value in pairs}


def installed(listing: str) -> List[str]:
    """Names out of ``dpkg-query``'s listing; foreign architectures and removed packages do not count."""
    rows = (line.split("\t") for line in listing.splitlines())
    return sorted({row[1] for row in rows if len(row) == 2 and row[0].startswith("ii")})


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    release: Dict[str, str] = {}
    for place in ("/etc/os-release", "/usr/lib/os-release"):
        if Path(place).exists():
            release = os_release(Path(place).read_text(encoding="utf-8"))
            break
    packages: List[str] = []
    if module.get_bin_path("dpkg-query"):
        _rc, out, _err = module.run_command(
            ["dpkg-query", "--show", "--showformat", "${db:Status-Abbrev}\\t${Package}\\n"]
        )
        packages = installed(out)
    uid = os.getuid()
    facts: Dict[str, Any] = {
        "uid": uid,
        "user": pwd.getpwuid(uid).pw_name,
        "python": ".".join(platform.python_version_tuple()[:2]),
        "distribution": release.get("ID", ""),
        "release": release.get("VERSION_ID", ""),
        "systemd": Path("/run/systemd/system").is_dir(),
        "packages": packages,
    }
    module.exit_json(changed=False, ansible_facts={"mailstead_host": facts})


if __name__ == "__main__":
    main()
