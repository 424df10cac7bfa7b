# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IMAP by Dovecot, run without root beside the server.

The imap listeners take care of the PROXY protocol and of TLS, like every other listener; behind them a Dovecot on
loopback speaks IMAP and learns the client's address from a PROXY header of our own. Its password file is written from
the registry whenever that changes, so accounts are live at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import grp
import ipaddress
import logging
import math
import os
import pwd
import shutil
import socket
import struct
import time
from pathlib import Path

from .directory import Directory
from .listeners import Connection
from .store import Store

log = logging.getLogger("standin.imap")

_DOVECOT = "/usr/sbin/dovecot"
_READY_SECONDS = 20.0
_CHECK_SECONDS = 0.25

_CONFIG = """
protocols = imap
base_dir = {base}/run
state_dir = {base}/state
default_internal_user = {user}
default_login_user = {user}
default_internal_group = {group}
log_path = /dev/stderr
info_log_path = /dev/stderr
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_username_format = %Lu
# Names come from the API: what it accepts as a local part may log in.
auth_username_chars =
haproxy_trusted_networks = 127.0.0.1
haproxy_timeout = 5s
first_valid_uid = 1
mail_location = maildir:~/Maildir
mail_max_userip_connections = 50
# A wrong password is answered at once, as upstream does; bans are not Dovecot's business here.
auth_failure_delay = 0
default_process_limit = 20
default_client_limit = 200
default_vsz_limit = 128M
passdb {{
  driver = passwd-file
  args = username_format=%Lu {passwd}
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={mail}/%Ld/%Ln
}}
namespace inbox {{
  inbox = yes
  mailbox "Deleted Items" {{
    auto = subscribe
    special_use = \\Trash
  }}
  mailbox Drafts {{
    auto = subscribe
    special_use = \\Drafts
  }}
  mailbox "Junk Mail" {{
    auto = subscribe
    special_use = \\Junk
  }}
  mailbox "Sent Items" {{
    auto = subscribe
    special_use = \\Sent
  }}
}}
service imap-login {{
  chroot =
  process_min_avail = 1
  service_count = 0
  inet_listener imap {{
    address = 127.0.0.1
    port = {port}
    haproxy = yes
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
service auth {{
  vsz_limit = 0
}}
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def proxy_v2(remote: tuple[str, int], local: tuple[str, int]) -> bytes:
    """A PROXY v2 header for a TCP connection."""
    ends = [ipaddress.ip_address(remote[0]), ipaddress.ip_address(local[0])]
    if ends[0].version != ends[1].version:
        ends = [end if end.version == 6 else ipaddress.ip_address(f"::ffff:{end}") for end in ends]
    family = 0x11 if ends[0].version == 4 else 0x21
    body = ends[0].packed + ends[1].packed + struct.pack("!HH", remote[1], local[1])
    return b"\r\n\r\n\x00\r\nQUIT\n" + struct.pack("!BBH", 0x21, family, len(body)) + body


class Imap:
    """Dovecot as a child process, and the way to it."""

    def __init__(self, directory: Directory, store: Store, mail_root: Path, base: Path) -> None:
        self.directory = directory
        self.store = store
        self.mail_root = mail_root
        self.base = base
        self.port = _free_port()
        self._process: asyncio.subprocess.Process | None = None
        self._written = -1
        self._writes = 0
        self._settled = 0.0

    @property
    def available(self) -> bool:
        """Whether Dovecot is installed."""
        return Path(_DOVECOT).is_file()

    # -- process ----------------------------------------------------------------------------------------------------
    async def start(self) -> None:
        """Write the configuration and start Dovecot; returns when it accepts connections."""
        shutil.rmtree(self.base, ignore_errors=True)
        # Dovecot links its configuration into its base directory: the two must not be the same place.
        for name in ("run", "state"):
            (self.base / name).mkdir(parents=True, mode=0o700)
        self.mail_root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.refresh()
        names = {"user": _user_name(), "group": _group_name()}
        config = self.base / "dovecot.conf"
        config.write_text(
            _CONFIG.format(base=self.base, passwd=self.base / "passwd", mail=self.mail_root, port=self.port, **names)
        )
        self._process = await asyncio.create_subprocess_exec(_DOVECOT, "-F", "-c", str(config))
        deadline = asyncio.get_running_loop().time() + _READY_SECONDS
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return
            except OSError:
                if self._process.returncode is not None or asyncio.get_running_loop().time() > deadline:
                    raise RuntimeError("dovecot did not start; its messages are above") from None
                # Nothing announces that the port is open; asking again is all there is.
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """End Dovecot."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), 10)

    async def watch(self) -> None:
        """Keep the password file in step with the registry, and end when Dovecot does."""
        process = self._process
        if process is None:
            return
        waiting = asyncio.create_task(process.wait())
        while not waiting.done():
            self.refresh()
            await asyncio.wait([waiting], timeout=_CHECK_SECONDS)
        raise RuntimeError(f"dovecot ended with status {waiting.result()}")

    def refresh(self) -> None:
        """Write the password file anew if accounts may have changed."""
        version = self.store.version
        if version == self._written:
            return
        lines = []
        for login, secret, primary in self.directory.password_lines():
            scheme = "{ARGON2ID}" if secret.startswith("$argon2id$") else "" if secret.startswith("{") else "{CRYPT}"
            if not set(login + primary) & set(":\n "):
                lines.append(f"{login}:{scheme}{secret}::::::user={primary}")
        self._writes += 1
        # Dovecot looks at the file once a second, at its time and size, in whole seconds: two changes within one must
        # differ in size, and a connection right after a change waits for the next second (see serve).
        lines.append("#" * (self._writes % 97 + 1))
        draft = self.base / "passwd.new"
        draft.touch(mode=0o600)
        draft.write_text("\n".join(lines) + "\n")
        draft.rename(self.base / "passwd")
        self._written = version
        self._settled = math.floor(time.time()) + 1.0

    # -- connections ------------------------------------------------------------------------------------------------
    async def serve(self, connection: Connection) -> None:
        """Carry one client's connection to Dovecot and back."""
        self.refresh()
        await asyncio.sleep(max(self._settled - time.time(), 0))
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(proxy_v2(connection.remote, connection.local))
            copies = [
                asyncio.create_task(_copy(connection.reader, writer)),
                asyncio.create_task(_copy(reader, connection.writer)),
            ]
            await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
            for copy in copies:
                copy.cancel()
            await asyncio.gather(*copies, return_exceptions=True)
        finally:
            writer.close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(1 << 16):
        target.write(data)
        await target.drain()


def _user_name() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def _group_name() -> str:
    return grp.getgrgid(os.getgid()).gr_name
