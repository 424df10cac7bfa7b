# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An SMTP conversation that keeps every word, and the probes made of it."""

from __future__ import annotations

import base64
import socket
import ssl
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes import tls
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.context import Context, ProbeError, classify

MAX_REPLY = 64 * 1024
#: A user name of this form is the password once more.
NAMED_BY = "{secret}"
#: In a scripted command: the address of whoever runs the probe (``sender`` of the probe, else probe@<host name>).
OWN_ADDRESS = "{me}"


class Reply:
    """A reply: code (0: the connection ended or timed out before one came) and its text lines."""

    def __init__(self, code: int, lines: Sequence[str]) -> None:
        self.code = code
        self.lines = list(lines)

    @property
    def text(self) -> str:
        return " / ".join(self.lines)

    @property
    def ok(self) -> bool:
        return 200 <= self.code < 300


class Conversation:
    """One SMTP session on an open socket. transcript: (what we said, what came back), secrets left out."""

    def __init__(self, sock: socket.socket, left: Callable[[float], float]) -> None:
        self.sock = sock
        self._left = left
        self._buffer = b""
        self.transcript: List[Tuple[str, str]] = []

    def read(self, limit: float = 30.0) -> Reply:
        """The next reply (RFC 5321 §4.2). Raises ProbeError closed, timeout or protocol."""
        lines: List[str] = []
        while True:
            line = self._line(limit)
            if len(line) < 3 or not line[:3].isdigit():
                raise ProbeError("protocol", f"not an SMTP reply: {line[:120]!r}")
            lines.append(line)
            if line[3:4] != "-":
                return Reply(int(line[:3]), lines)

    def _line(self, limit: float) -> str:
        while b"\n" not in self._buffer:
            if len(self._buffer) > MAX_REPLY:
                raise ProbeError("protocol", "a reply line without an end")
            self.sock.settimeout(self._left(limit))
            try:
                chunk = self.sock.recv(4096)
            except (OSError, ValueError) as error:
                raise ProbeError(classify(error), f"{classify(error)} while waiting for a reply") from error
            if not chunk:
                raise ProbeError("closed", "the server closed the connection")
            self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line.rstrip(b"\r").decode("utf-8", "replace")

    def write(self, payload: bytes) -> None:
        self.sock.settimeout(self._left(30.0))
        try:
            self.sock.sendall(payload)
        except (OSError, ValueError) as error:
            raise ProbeError(classify(error), f"{classify(error)} while sending") from error

    def command(self, line: str, shown: Optional[str] = None, limit: float = 30.0) -> Reply:
        """One command and its reply; shown replaces the line in the transcript when it holds a secret."""
        said = line if shown is None else shown
        try:
            self.write(line.encode("utf-8") + b"\r\n")
            reply = self.read(limit)
        except ProbeError as error:
            self.transcript.append((said, f"<{error}>"))
            raise
        self.transcript.append((said, reply.text))
        return reply

    def banner(self, limit: float = 30.0) -> Reply:
        try:
            reply = self.read(limit)
        except ProbeError as error:
            self.transcript.append(("<connected>", f"<{error}>"))
            raise
        self.transcript.append(("<connected>", reply.text))
        return reply

    def starttls(self, name: str, verify: bool, legacy: bool = False) -> Reply:
        """STARTTLS; replies before the handshake that were sent ahead are dropped (CVE-2011-0411)."""
        reply = self.command("STARTTLS")
        if reply.code == 220:
            self._buffer = b""
            self.sock.settimeout(self._left(20.0))
            self.sock = tls.handshake(self.sock, name, verify, legacy)
            self.transcript.append(("<handshake>", str(getattr(self.sock, "version", lambda: "")() or "")))
        return reply

    def login(self, username: str, password: str) -> Reply:
        """AUTH PLAIN. Where the user name is the password too (``{secret}``), it is left out of the transcript as well."""
        shown = username
        username = username.replace(NAMED_BY, password)
        token = base64.b64encode(f"\0{username}\0{password}".encode()).decode("ascii")
        return self.command(f"AUTH PLAIN {token}", shown=f"AUTH PLAIN <{shown}>")

    def message(self, content: bytes) -> Reply:
        """DATA with dot stuffing; the reply is that to the end of data, or to DATA itself when refused."""
        reply = self.command("DATA")
        if reply.code != 354:
            return reply
        body = b"\r\n".join(
            b"." + ln if ln.startswith(b".") else ln for ln in content.replace(b"\r\n", b"\n").split(b"\n")
        )
        try:
            self.write(body + b"\r\n.\r\n")
            final = self.read(60.0)
        except ProbeError as error:
            self.transcript.append((f"<message, {len(content)} bytes>", f"<{error}>"))
            raise
        self.transcript.append((f"<message, {len(content)} bytes>", final.text))
        return final

    def close(self) -> None:
        """QUIT when the session still lives; never raises."""
        try:
            self.command("QUIT", limit=2.0)
        except (ProbeError, OSError, ValueError):
            pass
        finally:
            self.sock.close()


def keywords(reply: Reply) -> List[str]:
    """The extensions that an EHLO reply lists, upper case, with their parameters."""
    return [line[4:].strip().upper() for line in reply.lines[1:]]


def open_conversation(args: Dict[str, Any], ctx: Context, data: Dict[str, Any], verify: bool) -> Conversation:
    """Connects, and for ``tls: implicit`` does the handshake. Raises OSError, ProbeError."""
    sock = ctx.connect(str(args["address"]), int(args["port"]), float(args.get("connect_timeout", 10.0)))
    data["connect"] = "open"
    if args.get("tls") == "implicit":
        sock = tls.handshake(sock, str(args["name"]), verify)
    return Conversation(sock, ctx.left)


def probe_smtp(args: Dict[str, Any], ctx: Context) -> Dict[str, Any]:
    """A session with the given steps.

    args: address, port, name (certificate name), tls (none, starttls, implicit), ehlo, before_tls (commands), auth
    ({username, secret or made_up (a password that is none), strict (only over TLS whose chain and name are verified)}),
    steps ({label, send} or {label, message, after}), sender, legacy (bool).
    data: connect, banner, banner_ms, ehlo, ehlo_tls, tls (certificate), replies {label: {code, text}}, transcript,
    ended (class of what cut the session short).
    """
    data: Dict[str, Any] = {
        "address": str(args["address"]),
        "port": int(args["port"]),
        "connect": "",
        "banner": "",
        "ehlo": [],
        "ehlo_tls": [],
        "replies": {},
        "ended": "",
        "transcript": [],
    }
    for attempt in (1, 2):
        data.update(ended="", replies={})
        again = _session(args, ctx, data, verify=bool(args.get("verify", True)))
        # A connection cut before the banner may be the server's rate limit, shared by everybody behind one address.
        if not again or attempt == 2:
            break
        ctx.clock.wait(min(1.2, ctx.left(1.2)))
    if args.get("legacy") and data.get("tls"):
        data["legacy"] = _legacy(args, ctx)
    return data


def _session(args: Dict[str, Any], ctx: Context, data: Dict[str, Any], verify: bool) -> bool:
    """Runs one session into data; true when it is worth another attempt."""
    talk: Optional[Conversation] = None
    untrusted = False
    try:
        talk = open_conversation(args, ctx, data, verify)
        _speak(args, ctx, talk, data, verify)
    except ssl.SSLCertVerificationError as error:
        data["chain_error"] = error.verify_message
        untrusted = True
    except (OSError, ProbeError) as error:
        if isinstance(error, ProbeError) and error.klass in ("budget", "secret", "library"):
            raise
        data["ended"] = classify(error)
        data["connect"] = data["connect"] or data["ended"]
    finally:
        if talk is not None:
            talk.close()
            data["transcript"] = [list(t) for t in talk.transcript]
    if untrusted:
        # A certificate that does not verify is a finding, not the end: everything else is asked without trust.
        return _session(args, ctx, data, verify=False)
    return data["ended"] == "closed" and data["connect"] == "open" and not data["banner"]


def _speak(args: Dict[str, Any], ctx: Context, talk: Conversation, data: Dict[str, Any], verify: bool) -> None:
    start = ctx.clock.monotonic()
    banner = talk.banner(float(args.get("banner_timeout", 20.0)))
    data["banner"] = banner.text
    data["banner_ms"] = int((ctx.clock.monotonic() - start) * 1000)
    ehlo = str(args.get("ehlo") or ctx.fqdn())
    own_address = str(args.get("sender") or f"probe@{ehlo}")
    reply = talk.command(f"EHLO {ehlo}")
    data["ehlo_code"] = reply.code
    data["ehlo"] = keywords(reply) if reply.ok else []
    data["ehlo_host"] = reply.lines[0][4:].split(" ")[0].lower() if reply.ok else ""
    for step in args.get("before_tls") or ():
        _step(step, talk, data, own_address)
    if args.get("tls") == "starttls" and "STARTTLS" in data["ehlo"]:
        answer = talk.starttls(str(args["name"]), verify)
        data["starttls_code"] = answer.code
        if answer.code == 220:
            data["tls"] = tls.describe(talk.sock, str(args["name"]))  # type: ignore[arg-type]
            after = talk.command(f"EHLO {ehlo}")
            data["ehlo_tls"] = keywords(after) if after.ok else []
    elif args.get("tls") == "implicit":
        data["tls"] = tls.describe(talk.sock, str(args["name"]))  # type: ignore[arg-type]
    if "tls" in data:
        data["tls"].update(chain_ok=verify and "chain_error" not in data, chain_error=data.get("chain_error", ""))
    if args.get("auth"):
        auth = dict(args["auth"])
        if auth.get("strict") and not (data.get("tls", {}).get("chain_ok") and data["tls"].get("name_ok")):
            data["ended"] = "tls"
            return
        password = str(auth.get("made_up") or "") or ctx.secret(str(auth["secret"]))
        login = talk.login(str(auth["username"]), password)
        data["replies"]["auth"] = {"code": login.code, "text": login.text}
        if not login.ok:
            data["ended"] = "auth"
            return
    for step in args.get("steps") or ():
        _step(step, talk, data, own_address)


def _step(step: Dict[str, Any], talk: Conversation, data: Dict[str, Any], own_address: str) -> None:
    """One scripted step; a message is only sent when every RCPT of this script was accepted."""
    replies = data["replies"]
    if "message" in step:
        needs = [replies.get(label, {}).get("code", 0) for label in step.get("after", ())]
        if not all(200 <= code < 300 for code in needs):
            return
        reply = talk.message(str(step["message"]).encode("utf-8"))
    else:
        reply = talk.command(str(step["send"]).replace(OWN_ADDRESS, own_address))
        if reply.code == 334:
            # A challenge would wait for credentials: cancel it (RFC 4954 §4).
            replies[str(step["label"])] = {"code": 334, "text": reply.text}
            talk.command("*")
            return
    replies[str(step["label"])] = {"code": reply.code, "text": reply.text}


def _legacy(args: Dict[str, Any], ctx: Context) -> Optional[bool]:
    """Whether STARTTLS on this port accepts TLS 1.0 or 1.1."""
    try:
        talk = Conversation(ctx.connect(str(args["address"]), int(args["port"])), ctx.left)
    except OSError:
        return None
    try:
        talk.banner()
        talk.command(f"EHLO {args.get('ehlo') or ctx.fqdn()}")
        return talk.starttls(str(args["name"]), verify=False, legacy=True).code == 220
    except ssl.SSLError:
        return False
    except ConnectionResetError:
        return False
    except (OSError, ProbeError):
        return None
    finally:
        talk.close()


def probe_forged_proxy(args: Dict[str, Any], ctx: Context) -> Dict[str, Any]:
    """Speaks a PROXY header that nobody asked for, then EHLO.

    args: address, port, version (1 or 2), claim (address pretended). data.outcome: ``accepted`` (the session goes on
    as if nothing had been said), ``rejected`` (an error reply), ``closed``, ``silent``, or the class of a failed
    connection; replies: the lines.
    """
    address, port = str(args["address"]), int(args["port"])
    claim = str(args.get("claim") or "203.0.113.77")
    data: Dict[str, Any] = {"address": address, "port": port, "claim": claim, "outcome": "", "replies": []}
    try:
        sock = ctx.connect(address, port)
    except OSError as error:
        data["outcome"] = classify(error)
        return data
    talk = Conversation(sock, ctx.left)
    try:
        talk.write(proxy_header(int(args["version"]), claim))
        banner = talk.read(float(args.get("timeout", 10.0)))
        data["replies"].append(banner.text)
        talk.write(f"EHLO {ctx.fqdn()}\r\n".encode())
        reply = talk.read(10.0)
        data["replies"].append(reply.text)
        data["outcome"] = "accepted" if reply.code == 250 else "rejected"
    except ProbeError as error:
        if error.klass == "budget":
            raise
        data["outcome"] = "silent" if error.klass == "timeout" else "closed"
    finally:
        talk.close()
    return data


def proxy_header(version: int, claim: str) -> bytes:
    """A PROXY protocol header for a TCP/IPv4 connection from claim (the specification's §2.1 and §2.2)."""
    if version == 1:
        return f"PROXY TCP4 {claim} 203.0.113.25 40000 25\r\n".encode()
    payload = socket.inet_aton(claim) + socket.inet_aton("203.0.113.25") + (40000).to_bytes(2, "big") + b"\x00\x19"
    return b"\r\n\r\n\x00\r\nQUIT\n" + b"\x21\x11" + len(payload).to_bytes(2, "big") + payload
