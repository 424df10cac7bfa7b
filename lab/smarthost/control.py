# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``lab-smarthost``: tell a provider what to do, and ask what it did. What it was told holds when the command returns."""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from lab.smarthost import config, journal, modes, settings
from lab.smarthost.config import Port, Provider

AUTHORITY = "/lab/pki/ca.crt"
#: Seconds that a change may take to hold.
PATIENCE = 20.0
#: The state of a port, by what a customer meets: it is closed, lets him in, has another certificate, or does not let him in.
CLOSED, PROPER, FOREIGN, LOCKED, SILENT = "closed", "proper", "foreign", "locked", "silent"
MET = {"down": CLOSED, "badcert": FOREIGN, "auth": LOCKED}


def meet(provider: Provider, address: str, port: Port, authority: str = AUTHORITY) -> str:
    """What somebody who connects meets. One of the states above."""
    context = ssl.create_default_context(cafile=authority)
    try:
        with contextlib.ExitStack() as stack:
            sock = stack.enter_context(socket.create_connection((address, port.number), timeout=3))
            if port.tls == "starttls":
                _dialogue(sock, (b"", b"EHLO lab-health.example.org\r\n", b"STARTTLS\r\n"))
            tls = stack.enter_context(context.wrap_socket(sock, server_hostname=provider.host))
            if port.tls == "implicit":
                _dialogue(tls, (b"",))
            _dialogue(tls, (b"EHLO lab-health.example.org\r\n",))
            _dialogue(tls, (_login(provider),))
    except ConnectionRefusedError:
        return CLOSED
    except ssl.SSLCertVerificationError:
        return FOREIGN
    except RefusedError as error:
        return LOCKED if error.args[0].startswith("535 ") else SILENT
    except (OSError, ValueError):
        return SILENT
    return PROPER


class RefusedError(Exception):
    """A reply that is not friendly."""


def _login(provider: Provider) -> bytes:
    """The customer's own log-in: Dovecot looks at most once a second whether its lists have changed."""
    if not provider.username:
        return b"NOOP\r\n"
    token = base64.b64encode(f"\0{provider.username}\0{provider.password}".encode())
    return b"AUTH PLAIN " + token + b"\r\n"


def _dialogue(sock: socket.socket, said: Sequence[bytes]) -> None:
    """Says each line and reads a reply to it. Raises ValueError, RefusedError."""
    for line in said:
        if line:
            sock.sendall(line)
        reply = b""
        while not (reply.endswith(b"\n") and reply.splitlines()[-1][3:4] == b" "):
            chunk = sock.recv(4096)
            if not chunk:
                raise ValueError("closed")
            reply += chunk
        if not reply.startswith(b"2"):
            raise RefusedError(reply.decode(errors="replace"))


def wrong(providers: Sequence[Provider]) -> list[str]:
    """Ports that do not answer as their provider's mode has it."""
    ports = [(p, address, port) for p in providers for port in p.ports for address in p.addresses]

    def look(found: tuple[Provider, str, Port]) -> str:
        provider, address, port = found
        mode = modes.read(provider.name).mode
        due = PROPER if mode == "auth" and not provider.username else MET.get(mode, PROPER)
        met = meet(provider, address, port)
        return "" if met == due else f"{provider.name} {address} port {port.number}: {met}, should be {due}"

    with ThreadPoolExecutor(len(ports)) as pool:
        return [said for said in pool.map(look, ports) if said]


def tell(providers: Sequence[Provider], name: str, mode: str, value: int | None) -> int:
    """Returns an exit status."""
    given = modes.DEFAULTS.get(mode, 0) if value is None else value
    since = sum(journal.accepted(journal.entries(), name).values())
    modes.write(name, modes.Mode(mode, given, since))
    told = {p.name: modes.read(p.name) for p in providers}
    denied = Path(settings.DENIED)
    _replace(denied, settings.denied(providers, told), 0o640)
    shutil.chown(denied, "root", "dovecot")
    if _replace(Path(settings.MASTER), settings.master_cf(providers, told), 0o644):
        subprocess.run(["/usr/sbin/postfix", "reload"], check=True, capture_output=True)
    mine = [p for p in providers if p.name == name]
    end = time.monotonic() + PATIENCE
    while found := wrong(mine):
        if time.monotonic() > end:
            print("\n".join(found), file=sys.stderr)
            return 1
        time.sleep(0.1)
    print(status(mine))
    return 0


def _replace(path: Path, text: str, mode: int) -> bool:
    """Whether it was another text."""
    if path.exists() and path.read_text() == text:
        return False
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(text)
    draft.chmod(mode)
    draft.replace(path)
    return True


def status(providers: Sequence[Provider]) -> str:
    """One JSON object: each provider's mode, and how many messages it has accepted."""
    every = journal.entries()
    found = {
        p.name: {**asdict(modes.read(p.name)), "accepted": sum(journal.accepted(every, p.name).values())}
        for p in providers
    }
    return json.dumps(found)


def arguments(names: Sequence[str]) -> argparse.ArgumentParser:
    told = "\n".join(f"  {mode:12} {what}" for mode, what in modes.MODES.items())
    parser = argparse.ArgumentParser(
        prog="lab-smarthost",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=__doc__,
        epilog=f"modes:\n{told}",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("status", help="modes and counts, as JSON")
    commands.add_parser("health", help="nothing, and status 0, when every port answers as it should")
    commands.add_parser("reset", help="every provider is ok again, and the journal empty")
    counted = commands.add_parser("accepted", help="how often each Message-ID was accepted, as JSON")
    counted.add_argument("provider", nargs="?", default="", choices=["", *names])
    logged = commands.add_parser("log", help="the journal, one JSON object a line")
    logged.add_argument("provider", nargs="?", default="", choices=["", *names])
    for name in names:
        provider = commands.add_parser(name, help="what this provider does from now on")
        provider.add_argument("mode", choices=list(modes.MODES))
        provider.add_argument("value", nargs="?", type=int)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    providers = config.load()
    given = arguments([p.name for p in providers]).parse_args(argv)
    if given.command == "status":
        print(status(providers))
    elif given.command == "health":
        found = wrong(providers)
        print("\n".join(found), end="\n" if found else "")
        return 1 if found else 0
    elif given.command == "reset":
        config.JOURNAL.write_text("")
        return max(tell(providers, p.name, "ok", None) for p in providers)
    elif given.command == "accepted":
        print(json.dumps(journal.accepted(journal.entries(), given.provider)))
    elif given.command == "log":
        for entry in journal.entries():
            if given.provider in ("", entry["provider"]):
                print(json.dumps(entry))
    else:
        return tell(providers, given.command, given.mode, given.value)
    return 0


if __name__ == "__main__":
    sys.exit(main())
