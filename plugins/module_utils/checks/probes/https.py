# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One HTTPS GET as a mail server or a mail program would make it: no redirects, certificate checked for the name."""

from __future__ import annotations

import http.client
import socket
import ssl
from typing import Any, Dict
from urllib.parse import urlsplit

from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.context import Context, ProbeError, classify

MAX_BODY = 64 * 1024


def probe_https(args: Dict[str, Any], ctx: Context) -> Dict[str, Any]:
    """args: url, addresses (tried in order; the name is not looked up), port. data: url, connect, status, type, body
    (at most 64 KiB), truncated, tls_error."""
    url = urlsplit(str(args["url"]))
    name = url.hostname or ""
    data: Dict[str, Any] = {
        "url": str(args["url"]),
        "connect": "",
        "status": 0,
        "type": "",
        "body": "",
        "tls_error": "",
    }
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    for address in args["addresses"]:
        try:
            raw = ctx.connect(str(address), int(args.get("port", 443)))
        except (OSError, ProbeError) as error:
            if isinstance(error, ProbeError) and error.klass == "budget":
                raise
            data.update(connect=classify(error), address=str(address))
            continue
        data.update(connect="open", address=str(address))
        _get(raw, name, target, data, ctx)
        break
    return data


def _get(raw: socket.socket, name: str, target: str, data: Dict[str, Any], ctx: Context) -> None:
    connection = http.client.HTTPConnection(name)
    try:
        connection.sock = ssl.create_default_context().wrap_socket(raw, server_hostname=name)
        connection.sock.settimeout(ctx.left(20.0))
        connection.request("GET", target, headers={"User-Agent": "mailstead-verify"})
        response = connection.getresponse()
        body = response.read(MAX_BODY + 1)
    except ssl.SSLCertVerificationError as error:
        data["tls_error"] = error.verify_message
    except (OSError, ValueError) as error:
        data["tls_error" if isinstance(error, ssl.SSLError) else "connect"] = (
            str(error) if isinstance(error, ssl.SSLError) else classify(error)
        )
    except http.client.HTTPException as error:
        data["connect"] = f"protocol: {type(error).__name__}"
    else:
        data.update(
            status=response.status,
            type=response.headers.get_content_type(),
            body=body[:MAX_BODY].decode("utf-8", "replace"),
            truncated=len(body) > MAX_BODY,
        )
    finally:
        raw.close()
        connection.close()
