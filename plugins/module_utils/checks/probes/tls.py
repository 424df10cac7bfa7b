# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS handshakes and what a certificate says, without judging it."""

from __future__ import annotations

import socket
import ssl
import warnings
from typing import Any, Dict, Optional, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.context import Context, ProbeError, classify
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.keys import certificate_facts


def client_context(verify: bool, legacy: bool = False) -> ssl.SSLContext:
    """A context that verifies the chain against the host's trust store (names are matched by :func:`name_matches`)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    if verify:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if legacy:
        with warnings.catch_warnings():
            # Offering the forbidden versions is the point: the peer has to refuse them (RFC 8996).
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
    else:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def name_matches(pattern: str, name: str) -> bool:
    """DNS-ID match (RFC 6125 §6.4): a wildcard stands for exactly one leftmost label."""
    pattern, name = pattern.lower().rstrip("."), name.lower().rstrip(".")
    if pattern.startswith("*."):
        return "." in name and name.split(".", 1)[1] == pattern[2:]
    return pattern == name


def handshake(sock: socket.socket, name: str, verify: bool, legacy: bool = False, named: bool = False) -> ssl.SSLSocket:
    """TLS on a connected socket; the socket is closed when it fails. Raises ssl.SSLError, OSError.

    named: a certificate for another name fails too, as it must before a password is sent.
    """
    context = client_context(verify, legacy)
    context.check_hostname = verify and named
    try:
        return context.wrap_socket(sock, server_hostname=name)
    except (OSError, ValueError):
        sock.close()
        raise


def describe(sock: ssl.SSLSocket, name: str) -> Dict[str, Any]:
    """Version, cipher and certificate of a finished handshake."""
    der = sock.getpeercert(binary_form=True) or b""
    facts = certificate_facts(der)
    cipher = sock.cipher()
    facts["version"] = sock.version() or ""
    facts["cipher"] = cipher[0] if cipher else ""
    facts["name_ok"] = any(name_matches(n, name) for n in facts["names"])
    return facts


def first_line(sock: socket.socket, timeout: float) -> str:
    """The greeting of a protocol in which the server speaks first; empty when it says nothing."""
    sock.settimeout(timeout)
    received = b""
    try:
        while b"\n" not in received and len(received) < 2000:
            chunk = sock.recv(500)
            if not chunk:
                break
            received += chunk
    except (OSError, ValueError):
        return received.decode("utf-8", "replace").strip()
    return received.split(b"\n", 1)[0].decode("utf-8", "replace").strip()


def probe_tls(args: Dict[str, Any], ctx: Context) -> Dict[str, Any]:
    """Implicit TLS on a port. args: address, port, name, greeting (bool), legacy (bool: try TLS 1.0 and 1.1 too)."""
    address, port, name = str(args["address"]), int(args["port"]), str(args["name"])
    data: Dict[str, Any] = {"address": address, "port": port, "name": name, "connect": "", "greeting": ""}
    try:
        sock, error = verified_or_plain(lambda: ctx.connect(address, port), name)
    except (OSError, ProbeError) as problem:
        if isinstance(problem, ProbeError) and problem.klass == "budget":
            raise
        data.update(connect=classify(problem), error=str(problem))
        return data
    with sock:
        data.update(describe(sock, name), connect="open", chain_ok=error is None, chain_error=error or "")
        if args.get("greeting"):
            data["greeting"] = first_line(sock, ctx.left(15))
    if args.get("legacy"):
        data["legacy"] = offers_legacy(lambda: ctx.connect(address, port), name)
    return data


def verified_or_plain(connect: Any, name: str) -> Tuple[ssl.SSLSocket, Optional[str]]:
    """A TLS connection and the chain's error, if any: a certificate that does not verify is read all the same."""
    try:
        return handshake(connect(), name, verify=True), None
    except ssl.SSLCertVerificationError as problem:
        return handshake(connect(), name, verify=False), problem.verify_message


def offers_legacy(connect: Any, name: str) -> Optional[bool]:
    """Whether the peer accepts TLS 1.0 or 1.1; nothing when that could not be told."""
    try:
        with handshake(connect(), name, verify=False, legacy=True):
            return True
    except ssl.SSLError:
        return False
    except ConnectionResetError:
        return False
    except (OSError, ValueError):
        return None
