# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking a tunnel's public name for a connection, as ``cloudflared access tcp`` does: an HTTP/1.1 WebSocket upgrade.

Only the status line matters. Nothing is ever sent over a connection that opens.
"""

from __future__ import annotations

import base64
import socket
import ssl
from typing import Any, Dict, List, Mapping

from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.context import Context, ProbeError, classify

MAX_HEAD = 16 * 1024
#: Any 16 octets (RFC 6455 §4.1): nobody listens to what follows.
_KEY = base64.b64encode(b"mailstead-verify").decode("ascii")


def probe_upgrade(args: Dict[str, Any], ctx: Context) -> Dict[str, Any]:
    """args: hostname, port (443), client_id and client_secret (of a service token; both or none), addresses (instead of
    looking the name up).

    data: hostname, address, connect (open, or the class of what failed), tls_error, status (0: no answer), line, location.
    """
    hostname, port = str(args["hostname"]), int(args.get("port", 443))
    data: Dict[str, Any] = {
        "hostname": hostname,
        "address": "",
        "connect": "",
        "tls_error": "",
        "status": 0,
        "line": "",
        "location": "",
    }
    try:
        targets = [str(a) for a in args.get("addresses") or _addresses(hostname, port)]
    except OSError as error:
        data["connect"] = classify(error)
        return data
    for address in targets:
        try:
            raw = ctx.connect(address, port)
        except (OSError, ProbeError) as error:
            if isinstance(error, ProbeError) and error.klass == "budget":
                raise
            data.update(connect=classify(error), address=address)
            continue
        data.update(connect="open", address=address)
        _ask(raw, hostname, args, data, ctx)
        break
    return data


def _addresses(hostname: str, port: int) -> List[str]:
    """The name's addresses as this host looks names up. Raises OSError."""
    found = socket.getaddrinfo(hostname, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def request(hostname: str, args: Mapping[str, Any]) -> bytes:
    """The upgrade (RFC 6455 §4.1), with the headers of a service token where one is given."""
    lines = [
        "GET / HTTP/1.1",
        f"Host: {hostname}",
        "User-Agent: mailstead-verify",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {_KEY}",
    ]
    if args.get("client_id"):
        lines.append(f"Cf-Access-Client-Id: {args['client_id']}")
        lines.append(f"Cf-Access-Client-Secret: {args['client_secret']}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def _ask(raw: socket.socket, hostname: str, args: Mapping[str, Any], data: Dict[str, Any], ctx: Context) -> None:
    try:
        with ssl.create_default_context().wrap_socket(raw, server_hostname=hostname) as sock:
            sock.settimeout(ctx.left(20.0))
            sock.sendall(request(hostname, args))
            head = _head(sock, ctx)
    except ssl.SSLCertVerificationError as error:
        data["tls_error"] = error.verify_message
    except ssl.SSLError as error:
        data["tls_error"] = str(error)
    except (OSError, ValueError) as error:
        data["connect"] = classify(error)
    else:
        data.update(_parse(head))
    finally:
        raw.close()


def _head(sock: ssl.SSLSocket, ctx: Context) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received and len(received) < MAX_HEAD:
        sock.settimeout(ctx.left(20.0))
        chunk = sock.recv(4096)
        if not chunk:
            break
        received += chunk
    return received


def _parse(head: bytes) -> Dict[str, Any]:
    """Status and Location of an answer; what is no HTTP has status 0."""
    lines = head.split(b"\r\n\r\n", 1)[0].decode("latin-1").split("\r\n")
    words = lines[0].split(" ", 2)
    if not words[0].startswith("HTTP/1.") or len(words) < 2 or not words[1].isdigit():
        return {"line": lines[0][:200]}
    fields = dict(line.partition(":")[::2] for line in lines[1:])
    location = next((v.strip() for n, v in fields.items() if n.strip().lower() == "location"), "")
    return {"status": int(words[1]), "line": lines[0][:200], "location": location[:500]}
