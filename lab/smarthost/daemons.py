# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""First process of the machine: the daemons' log to stdout and to whoever wants it, all of them or none."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

#: "<22>Nov 21 11:47:26 postfix/smtpd[7]: text": priority and time are left out, the container's log has its own.
_SYSLOG = re.compile(rb"^<\d+>(?:\w{3} [ \d]\d \d\d:\d\d:\d\d )?")


def serve_syslog(seen: Callable[[str], None], path: Path = Path("/dev/log")) -> None:
    """Answer as the system's log: every datagram becomes a line on stdout, and is shown to ``seen``."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(path))
    path.chmod(0o666)

    def copy() -> None:
        while True:
            line = _SYSLOG.sub(b"", listener.recv(65536).rstrip(b"\0\n")).decode(errors="replace")
            seen(line)
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    threading.Thread(target=copy, name="syslog", daemon=True).start()


def supervise(commands: Sequence[Sequence[str]]) -> int:
    """Start programs that stay in the foreground; end them all when one ends or when told to. Returns an exit status."""
    running = {subprocess.Popen(list(c), start_new_session=True).pid: c[0] for c in commands}
    stopping = False
    status = 0

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True
        for pid in running:
            os.kill(pid, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    while running:
        # As the first process it also inherits orphans, whose ends are nobody's concern.
        pid, code = os.waitpid(-1, 0)
        name = running.pop(pid, None)
        if name is not None and not stopping:
            print(f"smarthost: {name} has ended with {os.waitstatus_to_exitcode(code)}", flush=True)
            status = 1
            stop()
    return status
