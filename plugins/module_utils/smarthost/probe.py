# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether mail can leave through a smarthost: everything up to MAIL FROM is done as the mail server would do it.

No recipient is ever named and no message handed over. The certificate is verified before a word of ours is said; log-ins
go over TLS only.
"""

from __future__ import annotations

import base64
import re
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, List, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.context import (
    Dialer,
    ProbeError,
    classify,
    dial,
)
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.smtp import Conversation, Reply, keywords
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import Problem
from ansible_collections.mailstead.stack.plugins.module_utils.smarthost.model import Found, Sender, Smarthost, tried

#: Name, port → addresses. Raises OSError.
Resolver = Callable[[str, int], Sequence[str]]

AT_ONCE = 16
#: Seconds for one of several addresses of a name: one family may lead nowhere.
CONNECT_SECONDS = 8.0
#: Log-ins that we speak, the best first. Both hand the password over, so only TLS keeps it.
MECHANISMS: Tuple[str, ...] = ("PLAIN", "LOGIN")
#: X509_V_ERR_* of OpenSSL (x509_vfy.h).
CERT_NOT_YET_VALID, CERT_HAS_EXPIRED, HOSTNAME_MISMATCH, IP_ADDRESS_MISMATCH = 9, 10, 62, 64
#: Permanent codes that pass all the same: RFC 3463 X.4.5 (congestion), with which Gmail tells that the day's limit is reached.
_USED_UP = re.compile(r"\b5\.4\.5\b|\bquota\b|\blimit (?:is )?(?:exceeded|reached)\b", re.IGNORECASE)
_SIZE = re.compile(r"SIZE (\d+)")


class StopError(Exception):
    """The end of a try, with what ended it."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))


class Talk(Conversation):
    """An SMTP session with one smarthost."""

    def secure(self, context: ssl.SSLContext, name: str) -> None:
        """TLS from here on; what was sent ahead of it is dropped (CVE-2011-0411). Raises OSError."""
        self._buffer = b""
        self.sock.settimeout(self._left(20.0))
        self.sock = context.wrap_socket(self.sock, server_hostname=name)
        self.transcript.append(("<handshake>", str(self.sock.version() or "")))


def addresses(name: str, port: int) -> Sequence[str]:
    """As the host's own resolver tells them, the preferred one first (RFC 6724). Raises OSError."""
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def strict_context() -> ssl.SSLContext:
    """Chain against the host's trust store, and the name: as the mail server itself will ask for."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def introduced(name: str, address: str) -> str:
    """What a host calls itself: its full name, or the address it connects from where it has none (RFC 5321 §4.1.3)."""
    if "." in name and not name.startswith("localhost."):
        return name
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


class Attempt:
    """One smarthost tried once, within a deadline in seconds."""

    def __init__(
        self, wanted: Smarthost, deadline: float, helo: str = "", resolver: Resolver = addresses, dialer: Dialer = dial
    ) -> None:
        self.wanted = wanted
        self.helo = helo
        self.found = Found(wanted)
        self._resolver, self._dialer = resolver, dialer
        self._end = time.monotonic() + deadline

    def run(self) -> Found:
        """Everything, with every problem that was met; never raises for what the smarthost does."""
        talk: Optional[Talk] = None
        try:
            talk = Talk(self._connect(), self._left)
            self._converse(talk)
        except StopError as stop:
            self.found.problems.append(stop.problem)
        except ssl.SSLCertVerificationError as error:
            self.found.problems.append(self._certificate(error))
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            self.found.problems.append(self._broken("closed"))
        except ssl.SSLError as error:
            self.found.problems.append(self._no_tls(f"the TLS handshake failed: {error.reason or error}"))
        except ProbeError as error:
            self.found.problems.append(self._broken(error.klass, str(error)))
        except OSError as error:
            self.found.problems.append(self._broken(classify(error)))
        finally:
            if talk is not None:
                talk.close()
                self.found.transcript = talk.transcript
        return self.found

    # -- connecting ----------------------------------------------------------------------------------------------------

    def _left(self, at_most: float) -> float:
        """Seconds that may be waited now. Raises ProbeError."""
        rest = self._end - time.monotonic()
        if rest <= 0:
            raise ProbeError("timeout", "the time for this smarthost is used up")
        return min(rest, at_most)

    def _resolve(self) -> Sequence[str]:
        """The system's resolver takes no deadline, so it is left behind when it does not answer."""
        found: List[Sequence[str]] = []
        failed: List[OSError] = []

        def ask() -> None:
            try:
                found.append(self._resolver(self.wanted.host, self.wanted.port))
            except (OSError, UnicodeError) as error:
                failed.append(error if isinstance(error, OSError) else OSError(str(error)))

        thread = threading.Thread(target=ask, name=f"resolve {self.wanted.host}", daemon=True)
        thread.start()
        thread.join(self._left(float("inf")))
        if found and found[0]:
            return found[0]
        why = (failed[0].strerror or str(failed[0])) if failed else "the resolver does not answer"
        raise self._stop(
            "MS-SMH-001", f"{self.wanted.host} has no address: {why}", "Correct the name, or the host's resolver."
        )

    def _connect(self) -> socket.socket:
        """A connection to the first address that takes one."""
        why: List[str] = []
        for address in self._resolve():
            try:
                sock = self._dialer(address, self.wanted.port, self._left(CONNECT_SECONDS))
            except (OSError, ProbeError) as error:
                why.append(f"{address}: {classify(error)}")
                continue
            self.found.address = address
            return sock
        fix = (
            "Look whether the network of this host lets the port out, and at the provider's status. Many providers answer on "
            "another port too: set port."
        )
        raise self._stop("MS-SMH-002", f"no connection to {self.wanted.target} ({', '.join(why)})", fix)

    # -- the conversation ----------------------------------------------------------------------------------------------

    def _converse(self, talk: Talk) -> None:
        if self.wanted.tls == "implicit":
            talk.secure(strict_context(), self.wanted.host)
        greeting = talk.banner(20.0)
        if not greeting.ok:
            fix = "Its words say why; an address on a block list is refused like this too."
            raise self._refused(greeting, "MS-SMH-002", "it greets with", fix)
        extensions = self._hello(talk)
        if self.wanted.tls == "starttls":
            extensions = self._starttls(talk, extensions)
        self.found.tls = (talk.sock.version() or "") if isinstance(talk.sock, ssl.SSLSocket) else ""
        if self.wanted.username:
            self._login(talk, extensions)
            # What is announced may depend on who asks (RFC 4954 §4), but most servers do not expect another EHLO here.
        self._measure(extensions)
        for sender in tried(self.wanted.senders):
            self._sender(talk, sender)

    def _hello(self, talk: Talk) -> List[str]:
        own = self.helo or introduced(socket.getfqdn(), str(talk.sock.getsockname()[0]))
        reply = talk.command(f"EHLO {own}")
        if not reply.ok:
            raise self._refused(
                reply, "MS-SMH-012", "it answers EHLO with", "Set helo to a name that leads to this host."
            )
        return keywords(reply)

    def _starttls(self, talk: Talk, extensions: Sequence[str]) -> List[str]:
        if "STARTTLS" not in extensions:
            raise self._stop_no_tls("it does not offer STARTTLS: a device between here and there may have taken it out")
        reply = talk.command("STARTTLS")
        if reply.code != 220:
            raise self._stop_no_tls(f"it answers STARTTLS with {reply.text}")
        talk.secure(strict_context(), self.wanted.host)
        return self._hello(talk)

    def _login(self, talk: Talk, extensions: Sequence[str]) -> None:
        # "AUTH=PLAIN" is what servers said to mail programs older than RFC 2554; some still do, beside the other.
        words = {w for e in extensions if e.startswith(("AUTH ", "AUTH=")) for w in e[5:].split()}
        offered = [m for m in MECHANISMS if m in words]
        if not offered:
            what = f"{self.wanted.target} offers {', '.join(sorted(words))}" if words else "no log-in is offered"
            fix = "Use the provider's submission port, and an account that may log in with a password."
            raise self._stop("MS-SMH-007", f"{what}, so there is no way to log in with a password", fix)
        for mechanism in offered:
            self.found.mechanism = mechanism
            reply = self._authenticate(talk, mechanism)
            # 504: announced and not taken all the same (RFC 4954 §4).
            if reply.code != 504:
                break
        if reply.code != 235:
            fix = f"Correct user name and secret{f': {self.wanted.hint}' if self.wanted.hint else ''}."
            raise self._refused(reply, "MS-SMH-008", f"it refuses the log-in as {self.wanted.username} with", fix)
        self.found.authenticated = True

    def _authenticate(self, talk: Talk, mechanism: str) -> Reply:
        name, password = self.wanted.username, self.wanted.password
        if mechanism == "PLAIN":
            return talk.login(name, password)
        reply = talk.command("AUTH LOGIN")
        for word, shown in ((name, f"<{name}>"), (password, "<password>")):
            if reply.code != 334:
                return reply
            reply = talk.command(base64.b64encode(word.encode()).decode("ascii"), shown)
        return reply

    def _measure(self, extensions: Sequence[str]) -> None:
        sizes = [match.group(1) for match in map(_SIZE.fullmatch, extensions) if match]
        self.found.size = int(sizes[0]) if sizes else 0
        if 0 < self.found.size < self.wanted.max_size:
            what = (
                f"{self.wanted.called} takes messages of {self.found.size} bytes, and senders may hand in "
                f"{self.wanted.max_size}: larger ones would be taken and come back as bounces"
            )
            fix = f"Set limits.max_size to {self.found.size} or less, for the service or for the senders that use it."
            self.found.problems.append(Problem("MS-SMH-011", self.wanted.where, what, fix))

    def _sender(self, talk: Talk, address: str) -> None:
        """MAIL FROM and RSET: many providers say only here whether an account may send for a domain."""
        reply = talk.command(f"MAIL FROM:<{address}>")
        self.found.senders.append(Sender(address, reply.code, reply.text))
        if reply.code == 421 or self._passes(reply):
            raise self._refused(reply, "MS-SMH-010", f"it answers the sender {address} with", "")
        if not reply.ok:
            what = f"{self.wanted.target} does not let {self.wanted.username or 'us'} send as {address}: {reply.text}"
            fix = (
                f"Set {address.rsplit('@', 1)[1]} up with {self.wanted.called} as a domain to send from, and wait until it is "
                "verified there; or take another smarthost for this sender."
            )
            self.found.problems.append(Problem("MS-SMH-010", self.wanted.where, what, fix))
        talk.command("RSET")

    # -- what went wrong -----------------------------------------------------------------------------------------------

    @staticmethod
    def _passes(reply: Reply) -> bool:
        return 400 <= reply.code < 500 or (reply.code >= 500 and bool(_USED_UP.search(reply.text)))

    def _refused(self, reply: Reply, code: str, said: str, fix: str) -> StopError:
        """The end of the try: with the code, or with a warning where the refusal is for the time being."""
        what = f"{self.wanted.target}: {said} {reply.text}"
        if self._passes(reply):
            code, fix = "MS-SMH-009", "Nothing, unless it stays: then ask the provider for a higher quota or rate."
        return self._stop(code, what, fix)

    def _stop(self, code: str, what: str, fix: str) -> StopError:
        return StopError(Problem(code, self.wanted.where, what, fix))

    def _stop_no_tls(self, what: str) -> StopError:
        return StopError(self._no_tls(what))

    def _no_tls(self, what: str) -> Problem:
        fix = (
            "Take the port and kind of TLS that the provider names: 465 is customarily implicit, 587 and 2525 STARTTLS. "
            "Credentials are not sent without TLS."
        )
        return Problem("MS-SMH-006", self.wanted.where, f"{self.wanted.target}: {what}", fix)

    def _certificate(self, error: ssl.SSLCertVerificationError) -> Problem:
        what = f"{self.wanted.target}: {error.verify_message}"
        if error.verify_code in (HOSTNAME_MISMATCH, IP_ADDRESS_MISMATCH):
            fix = "Write the host as its certificate has it. If it is right, somebody else answers: mail must not go there."
            return Problem("MS-SMH-003", self.wanted.where, what, fix)
        if error.verify_code in (CERT_NOT_YET_VALID, CERT_HAS_EXPIRED):
            fix = "Look at this host's clock first. Otherwise only the provider can mend it; take another smarthost."
            return Problem("MS-SMH-005", self.wanted.where, what, fix)
        fix = "Install ca-certificates. A device on the way that opens TLS has to let this host through."
        return Problem("MS-SMH-004", self.wanted.where, what, fix)

    def _broken(self, klass: str, said: str = "") -> Problem:
        known = {"timeout": "went silent", "closed": "closed the connection"}
        said = known.get(klass) or f"ended the session ({said or klass})"
        what = f"{self.wanted.target} {said}"
        fix = "Look at the provider's status, and run again. A port that speaks other TLS than configured does this as well."
        return Problem("MS-SMH-012", self.wanted.where, what, fix)


def try_all(wanted: Sequence[Smarthost], deadline: float, helo: str = "") -> List[Found]:
    """Every smarthost at once, in the order given. Never raises for what they do."""
    if not wanted:
        return []
    with ThreadPoolExecutor(max_workers=min(AT_ONCE, len(wanted))) as pool:
        return list(pool.map(lambda want: Attempt(want, deadline, helo).run(), wanted))
