# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets: binding what the registry says, the PROXY protocol's rules, TLS.

From a trusted network a PROXY header is mandatory: without one there is no banner and the connection hangs. From any
other source a header is so many bytes of the protocol behind it. Listeners and trust are read when the process starts.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .certificates import Certificates
from .names import parse_socket_address
from .registry import Registry
from .schema import JsonObject

log = logging.getLogger("standin.network")

_V2_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_V1_LONGEST = 107
_HANDSHAKE_SECONDS = 60.0
_NOT_SERVED = {"pop3", "manageSieve", "lmtp"}

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


class ProxyError(ConnectionError):
    """A PROXY header that is missing or malformed."""


@dataclass
class Connection:
    """An accepted connection, after PROXY header and implicit TLS."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    listener: str
    local: tuple[str, int]
    remote: tuple[str, int]
    tls: bool
    starttls: bool  # whether STARTTLS may be offered
    below: asyncio.StreamWriter | None = None  # what the connection was before STARTTLS

    async def secure(self, context: ssl.SSLContext) -> None:
        """Start TLS on the connection; whatever was sent before is forgotten."""
        loop = asyncio.get_running_loop()
        await self.writer.drain()
        reader = asyncio.StreamReader(limit=1 << 17, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport = await loop.start_tls(
            self.writer.transport, protocol, context, server_side=True, ssl_handshake_timeout=_HANDSHAKE_SECONDS
        )
        if transport is None:
            raise ConnectionError("connection lost during the handshake")
        protocol.connection_made(transport)
        self.reader = reader
        # Kept: a writer that nobody holds closes what is below it (Python 3.11.5 and later).
        self.below = self.writer
        self.writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        self.tls = True


Handler = Callable[[Connection], Awaitable[None]]


def _networks(members: JsonObject) -> list[IpNetwork]:
    return [ipaddress.ip_network(member, strict=False) for member in members]


def _plain_address(text: str) -> IpAddress:
    address = ipaddress.ip_address(text.split("%", 1)[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped if mapped is not None else address


async def _exactly(sock: socket.socket, count: int) -> bytes:
    """Read exactly ``count`` bytes and not one more: what follows belongs to TLS or to the protocol."""
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < count:
        more = await loop.sock_recv(sock, count - len(data))
        if not more:
            raise ProxyError("connection closed inside the PROXY header")
        data += more
    return data


async def read_proxy_header(sock: socket.socket) -> tuple[str, int] | None:
    """The source address of a PROXY v1 or v2 header; ``None`` for a LOCAL or UNKNOWN one. Raises ProxyError."""
    start = await _exactly(sock, 6)
    if start == b"PROXY ":
        return await _read_v1(sock)
    if start != _V2_SIGNATURE[:6] or await _exactly(sock, 6) != _V2_SIGNATURE[6:]:
        raise ProxyError("no PROXY header")
    version_command, family, length = struct.unpack("!BBH", await _exactly(sock, 4))
    body = await _exactly(sock, length)
    if version_command >> 4 != 2:
        raise ProxyError("unknown PROXY version")
    if version_command & 15 == 0 or family >> 4 not in {1, 2}:
        return None
    size = 4 if family >> 4 == 1 else 16
    if len(body) < 2 * size + 4:
        raise ProxyError("short PROXY header")
    return str(_plain_address(str(ipaddress.ip_address(body[:size])))), int.from_bytes(
        body[2 * size : 2 * size + 2], "big"
    )


async def _read_v1(sock: socket.socket) -> tuple[str, int] | None:
    line = b""
    while not line.endswith(b"\r\n"):
        line += await _exactly(sock, 1)
        if len(line) > _V1_LONGEST:
            raise ProxyError("PROXY line too long")
    fields = line.decode("ascii", "replace").split()
    if fields[:1] == ["UNKNOWN"]:
        return None
    try:
        return str(_plain_address(fields[1])), int(fields[3])
    except (IndexError, ValueError):
        raise ProxyError("malformed PROXY line") from None


class Listeners:
    """Everything that is bound, with the trust of the moment the process started."""

    def __init__(self, registry: Registry, certificates: Certificates, handlers: dict[str, Handler]) -> None:
        self.registry = registry
        self.certificates = certificates
        self.handlers = handlers
        self._sockets: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def bind(self) -> None:
        """Bind every listener of the registry. Protocols that are no part of the stand-in are left unbound."""
        system = _networks(self.registry.current("SystemSettings")["proxyTrustedNetworks"])
        for listener in self.registry.store.all("NetworkListener").values():
            if listener["protocol"] in _NOT_SERVED:
                log.info("network.listen: %s (%s) is no part of the stand-in", listener["name"], listener["protocol"])
                continue
            trusted = _networks(listener["overrideProxyTrustedNetworks"]) or system
            for address in listener["bind"]:
                self.serve(parse_socket_address(address), listener, trusted)

    def serve(self, address: tuple[str, int], listener: JsonObject, trusted: list[IpNetwork]) -> int:
        """Bind one address and accept on it; returns the port."""
        sock = _bound(address, listener["socketBacklog"] or 1024)
        self._sockets.append(sock)
        asyncio.get_running_loop().add_reader(sock, self._accept, sock, listener, trusted)
        log.info("network.listen-start: %s on %s", listener["name"], sock.getsockname())
        return int(sock.getsockname()[1])

    def _accept(self, server: socket.socket, listener: JsonObject, trusted: list[IpNetwork]) -> None:
        try:
            sock, address = server.accept()
        except OSError:
            return
        sock.setblocking(False)
        task = asyncio.get_running_loop().create_task(self._serve_one(sock, address, listener, trusted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve_one(
        self, sock: socket.socket, address: tuple[str, int], listener: JsonObject, trusted: list[IpNetwork]
    ) -> None:
        try:
            remote_ip = _plain_address(address[0])
            remote = (str(remote_ip), address[1])
            if any(remote_ip in network for network in trusted):
                remote = await read_proxy_header(sock) or remote
            if self._is_blocked(remote[0]):
                return
            local = sock.getsockname()
            connection = await self._open(sock, listener, (str(_plain_address(local[0])), int(local[1])), remote)
            try:
                await self.handlers[listener["protocol"]](connection)
            finally:
                connection.writer.close()
        except ProxyError as error:
            log.warning("network.proxy-error: %s from %s: %s", listener["name"], address[0], error)
        except (ConnectionError, ssl.SSLError, TimeoutError, asyncio.IncompleteReadError) as error:
            log.debug("network.closed: %s from %s: %s", listener["name"], address[0], error)
        except Exception:
            log.exception("unexpected error on %s", listener["name"])
        finally:
            sock.close()

    async def _open(
        self, sock: socket.socket, listener: JsonObject, local: tuple[str, int], remote: tuple[str, int]
    ) -> Connection:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=1 << 17, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        implicit = listener["useTls"] and listener["tlsImplicit"]
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol,
            sock.dup(),
            ssl=self.certificates.front if implicit else None,
            ssl_handshake_timeout=_HANDSHAKE_SECONDS if implicit else None,
        )
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        return Connection(
            reader, writer, listener["name"], local, remote, bool(implicit), listener["useTls"] and not implicit
        )

    def _is_blocked(self, remote_ip: str) -> bool:
        address = ipaddress.ip_address(remote_ip)
        blocked = self.registry.store.all("BlockedIp").values()
        return any(address in ipaddress.ip_network(entry["address"], strict=False) for entry in blocked)

    async def close(self) -> None:
        """Stop accepting and end what is open."""
        for sock in self._sockets:
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _bound(address: tuple[str, int], backlog: int) -> socket.socket:
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if family == socket.AF_INET6 and not socket.has_dualstack_ipv6():
        # A container without IPv6: [::] then means every IPv4 address.
        family, host = socket.AF_INET, {"::": "0.0.0.0", "::1": "127.0.0.1"}.get(host, host)
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.setblocking(False)
    sock.bind((host, port))
    sock.listen(backlog)
    return sock
