# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: which words are the stand-in's, and which go to the real program where there is one."""

from __future__ import annotations

import asyncio
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

from . import LABEL, VERSION, access, ingress
from .log import Log
from .usage import Line, UsageError

#: The real program, beside a stand-in that is packed into an image.
REAL = Path("/usr/local/libexec/cloudflared")


def run_access(line: Line) -> int:
    """``access tcp``."""
    options = line.options
    if not options.get("hostname") or not options.get("url"):
        raise UsageError("cloudflared access tcp needs --hostname and --url", 1)
    try:
        target = _connect_to(options.get("connect-to", ""))
        wanted = access.Access(
            access.host_of(options["hostname"]),
            access.address(options["url"]),
            options.get("service-token-id", ""),
            options.get("service-token-secret", ""),
            target,
        )
    except ValueError as error:
        raise UsageError(f"error validating origin URL: {error}", 1) from error
    try:
        asyncio.run(access.serve(wanted, Log()))
    except OSError as error:
        raise UsageError(f"failed to start forwarding server: {error}", 1) from error
    return 0


def _connect_to(text: str) -> tuple[str, int] | None:
    """The real one's hidden option for tests, ``host[:port]``."""
    if not text:
        return None
    host, _, port = text.partition(":")
    return host, int(port or 443)


def ready(line: Line) -> int:
    """``tunnel --metrics ADDRESS ready``."""
    if "metrics" not in line.options:
        raise UsageError("--metrics has to be provided", 1)
    url = f"http://{line.options['metrics']}/ready"
    try:
        with urllib.request.urlopen(url, timeout=10):
            return 0
    except urllib.error.HTTPError as error:
        with error:
            body = error.read().decode(errors="replace")
        raise UsageError(f"{url} endpoint returned status code {error.code}\n{body}", 1) from error
    except OSError as error:
        raise UsageError(f'Get "{url}": {error}', 1) from error


def validate(line: Line) -> int:
    """``tunnel --config FILE ingress validate``."""
    if "config" not in line.options:
        raise UsageError("No configuration file was found. Please create one, or use the --config flag", 1)
    try:
        status, text = ingress.validate(Path(line.options["config"]))
    except OSError as error:
        raise UsageError(f"open {line.options['config']}: {error}", 1) from error
    print(text)
    return status


def version() -> int:
    print(f"cloudflared version {VERSION} ({LABEL})")
    return 0


def dispatch(line: Line) -> int:
    """Raises UsageError."""
    if line.words[:2] == ["tunnel", "run"]:
        from . import tunnel  # noqa: PLC0415 - needs cryptography, which hosts of "access tcp" need not have

        return tunnel.run(line)
    if line.words[:2] in (["access", "tcp"], ["access", "ssh"], ["access", "rdp"], ["access", "smb"]):
        return run_access(line)
    if line.words == ["tunnel", "ready"]:
        return ready(line)
    if line.words == ["tunnel", "ingress", "validate"]:
        return validate(line)
    if line.words in (["version"], []) or "version" in line.options:
        return version()
    raise UsageError(f"The {LABEL} for cloudflared knows no command {' '.join(line.words)!r}", 1)


def main(argv: list[str] | None = None) -> int:
    words = sys.argv[1:] if argv is None else argv
    try:
        line = Line.parse(words, os.environ)
        if REAL.is_file() and line.words[:2] != ["tunnel", "run"]:
            os.execv(REAL, ["cloudflared", *words])
        return dispatch(line)
    except UsageError as error:
        print(error, file=sys.stderr)
        return error.status
