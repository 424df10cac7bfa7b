# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP/1.1 on the connections of the http listeners: just enough of RFC 9112 for clients that behave, with limits."""

from __future__ import annotations

import asyncio
import json
import urllib.parse
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

from .listeners import Connection

SERVER = "mailstead-lab stand-in for Stalwart 0.16.18"
_LONGEST_HEAD = 64 << 10
_LARGEST_BODY = 10_000_000
_IDLE_SECONDS = 60.0


@dataclass(frozen=True)
class Request:
    """One request; header names are lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    remote_ip: str


@dataclass(frozen=True)
class Response:
    """One response."""

    status: int
    body: bytes = b""
    content_type: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)


Handler = Callable[[Request], Awaitable[Response]]


def problem(status: int, detail: str | None = None, kind: str = "about:blank", **more: Any) -> Response:
    """A problem document (RFC 9457) as the server writes it."""
    title = HTTPStatus(status).phrase
    body = {"type": kind, "status": status}
    if kind == "about:blank":
        body["title"] = title
    body["detail"] = title if detail is None else detail
    return Response(status, json.dumps({**body, **more}, separators=(",", ":")).encode(), "application/problem+json")


class BadRequestError(ValueError):
    """A request that cannot be read."""


async def _read_head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]] | None:
    try:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _IDLE_SECONDS)
    except (asyncio.IncompleteReadError, TimeoutError):
        return None
    except asyncio.LimitOverrunError:
        raise BadRequestError("head too long") from None
    if len(head) > _LONGEST_HEAD:
        raise BadRequestError("head too long")
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or name != name.strip():
            raise BadRequestError("malformed header")
        headers[name.lower()] = value.strip()
    return first, headers


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = b""
        while True:
            size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
            chunk = await reader.readexactly(size + 2)
            if size == 0:
                return body
            body += chunk[:-2]
            if len(body) > _LARGEST_BODY:
                raise BadRequestError("body too large")
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > _LARGEST_BODY:
        raise BadRequestError("body too large")
    return await reader.readexactly(int(length))


async def serve(connection: Connection, handler: Handler) -> None:
    """Answer the requests of one connection until it ends."""
    while True:
        try:
            head = await _read_head(connection.reader)
            if head is None:
                return
            first, headers = head
            parts = first.split(" ")
            if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
                raise BadRequestError("malformed request line")
            if headers.get("expect", "").lower() == "100-continue":
                connection.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await _read_body(connection.reader, headers)
        except (BadRequestError, ValueError, asyncio.IncompleteReadError):
            await _write(connection, problem(400), close=True, with_body=True)
            return
        url = urllib.parse.urlsplit(parts[1])
        query = {key: values[0] for key, values in urllib.parse.parse_qs(url.query).items()}
        path = urllib.parse.unquote(url.path)
        response = await handler(Request(parts[0], path, query, headers, body, connection.remote[0]))
        close = headers.get("connection", "").lower() == "close" or parts[2] == "HTTP/1.0"
        await _write(connection, response, close, with_body=parts[0] != "HEAD")
        if close:
            return


async def _write(connection: Connection, response: Response, close: bool, with_body: bool) -> None:
    lines = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in response.headers]
    if response.content_type:
        lines.append(f"content-type: {response.content_type}")
    lines += [f"content-length: {len(response.body)}", f"date: {formatdate(usegmt=True)}", f"server: {SERVER}"]
    if close:
        lines.append("connection: close")
    connection.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
    if with_body:
        connection.writer.write(response.body)
    await connection.writer.drain()
