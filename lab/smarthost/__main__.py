# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configure the machine from /lab/config.json and run its daemons: ``python3 -m lab.smarthost``."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from lab.smarthost import config, daemons, modes, policy, settings
from lab.smarthost.journal import Journal

COMMANDS = (("/usr/sbin/dovecot", "-F"), ("/usr/sbin/postfix", "start-fg"))


def main() -> int:
    providers = config.load()
    told = {p.name: modes.read(p.name) for p in providers}
    for name, (content, mode) in settings.files(providers, told).items():
        path = Path(name)
        path.write_text(content)
        path.chmod(mode)
    for secret in ("users", "denied"):
        shutil.chown(f"/etc/dovecot/{secret}", "root", "dovecot")
    # A restarted container still has the files of its last life.
    for leftover in ("/run/dovecot/master.pid", "/var/spool/postfix/pid/master.pid"):
        Path(leftover).unlink(missing_ok=True)
    journal = Journal()
    daemons.serve_syslog(journal.line)
    policy.serve(policy.Policy(providers, policy.counting(config.JOURNAL)))
    subprocess.run(["/usr/sbin/postfix", "check"], check=True)
    return daemons.supervise(COMMANDS)


if __name__ == "__main__":
    sys.exit(main())
