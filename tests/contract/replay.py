# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replaying recorded requests and comparing the answers with the recorded ones.

What is not compared literally, and why (everything else is):

* **Ids made from the time** (eleven characters or more, and the ids of actions): each recorded id is bound to the id
  the server under test gave at the same place; from then on both must stand for each other everywhere.
* **Moments** (``createdAt``, ``due``, ``notValidBefore``): must be written the same way; each recorded end of a
  certificate (``notValidAfter``) is bound like an id, so a renewal has to show and an expired file must not.
* **sessionState**: must be eight hexadecimal digits (upstream hashes the caller's internal token).
* **attemptNumber** of the spam rules' download: grows while the server runs.
* **Why a password is weak**: the advice after ``Password is too weak.``.
* **Why a host does not resolve**: the C library's words after ``failed to lookup address information:``.
* **Key material**: the recordings hold placeholders, so keys and certificates are made for the run; a ``publicKey`` must
  be the public half of that key, also inside ``dnsZoneFile``.
* **Paths**: ``/etc/stalwart`` is a directory of the test.
* **The linked objects of example.org**: recorded while the second of its two automatic keys was still being made; the
  interlude below brings about the same state with one key made by hand.
"""

from __future__ import annotations

import base64
import datetime
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

RECORDED = Path(__file__).parents[2] / "lab" / "standin" / "data" / "stalwart-0.16.18"
# The order in which the recordings were made (the ids of actions in them are seconds).
ORDER = (
    "defaults",
    "provision",
    "errors",
    "outbound",
    "tls-and-keys",
    "failover-and-binding",
    "from-binding-and-rates",
    "dkim-rotation",
    "edge-cases",
    "submission",
)
#: What had been recorded when the dialogues of a mail server of people were.
BEFORE_SUBMISSION = ORDER[:-1]
USING = ["urn:ietf:params:jmap:core", "urn:stalwart:jmap"]
_LONG_ID = re.compile(r"[a-z0-9]{11,13}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_MOMENTS = {"createdAt", "due", "notValidBefore"}
_LOOKUP = "Invalid address: failed to lookup address information: "
_WEAK = "Password is too weak. "
_PEM = "<PEM private key>"

Json = Any


@dataclass(frozen=True)
class Who:
    """Credentials of a request: a user name with a password, or an API key when there is no name."""

    name: str
    secret: str


class Client(Protocol):
    """A server under test."""

    etc: Path  # what the server sees as /etc/stalwart
    admin: Who

    def call(self, request: Json, who: Who) -> tuple[int, Json]:
        """Status and body of the answer to a JMAP request."""


@dataclass(frozen=True)
class Entry:
    """One recorded request with its answer."""

    file: str
    number: int
    label: str
    request: Json
    status: int
    response: Json

    def __str__(self) -> str:
        return f"{self.file}:{self.number}:{self.label}"


def entries(file: str) -> list[Entry]:
    """The recorded requests of one file."""
    data = json.loads((RECORDED / f"{file}.json").read_text())
    return [Entry(file, number, e["label"], e["request"], e["status"], e["response"]) for number, e in enumerate(data)]


class Material:
    """Keys and certificates for the placeholders of the recordings."""

    def __init__(self, etc: Path) -> None:
        self.etc = etc
        self.rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.ed25519 = ed25519.Ed25519PrivateKey.generate()
        self._tls = ec.generate_private_key(ec.SECP256R1())
        # One moment for all: a certificate that is put back has to end when it ended before.
        self._now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
        self._write("dkim_ed.pem", _pem(self.ed25519))
        self._write("tls.key", _pem(self._tls))
        self.certificate(days=30)

    def _write(self, name: str, text: str) -> None:
        path = self.etc / name
        path.write_text(text)
        path.chmod(0o644)  # the server under test may run as another user

    def certificate(self, days: int) -> None:
        """Write a self-signed certificate that is valid until ``days`` from now (or expired, when negative)."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example.com")])
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._tls.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - datetime.timedelta(days=10))
            .not_valid_after(self._now + datetime.timedelta(days=days))
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName("mail.example.com"), x509.DNSName("mta-sts.example.com")]),
                critical=False,
            )
        )
        certificate = builder.sign(self._tls, hashes.SHA256())
        self._write("tls.crt", certificate.public_bytes(serialization.Encoding.PEM).decode())

    def pem_for(self, variant: str) -> str:
        """The private key a DKIM variant needs."""
        return _pem(self.ed25519 if "Ed25519" in variant else self.rsa)

    def public_for(self, variant: str) -> str:
        """The public half as the server publishes it."""
        if "Ed25519" in variant:
            raw = self.ed25519.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        else:
            raw = self.rsa.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        return base64.b64encode(raw).decode()


def _pem(key: Any) -> str:
    text: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return text.decode()


@dataclass
class Replay:
    """Replays entries in order against one server; keeps what recorded ids stand for there."""

    client: Client
    material: Material
    ids: dict[str, str] = field(default_factory=dict)
    api_key: str = ""
    problems: list[str] = field(default_factory=list)

    # -- requests ---------------------------------------------------------------------------------------------------
    def request(self, value: Json, variant: str = "") -> Json:
        """A recorded request with ids, keys and paths of this run."""
        if isinstance(value, dict):
            variant = str(value.get("@type", variant))
            return {self.request(key): self.request(item, variant) for key, item in value.items()}
        if isinstance(value, list):
            return [self.request(item, variant) for item in value]
        if isinstance(value, str):
            if value == _PEM:
                return self.material.pem_for(self.variant)
            if value.startswith("/etc/stalwart/"):
                return str(self.client.etc / value.removeprefix("/etc/stalwart/"))
            return self.ids.get(value, value)
        return value

    def who(self, label: str) -> Who:
        """Whose request a recorded one was."""
        if label == "apikey/create":
            return Who("svc@example.com", "Another-horse-battery-7")
        if label.startswith("apikey/") and label != "apikey/create-as-recovery-admin":
            return Who("", self.api_key)
        if label.startswith("user/"):
            return Who("alice@example.com", "correct-horse-battery-9")
        return self.client.admin

    def run(self, entry: Entry) -> list[str]:
        """Replay one entry; the differences from the recording, as ``path: expected …, got …``."""
        self.variant = next(iter(_variants(entry.request)), "")
        self.prepare(entry.label)
        status, response = self.client.call(self.request(entry.request), self.who(entry.label))
        if entry.label == "apikey/create":
            self.api_key = _first(response, "secret") or ""
        self.problems = []
        if status != entry.status:
            self.problems.append(f"status: expected {entry.status}, got {status}: {response}")
        else:
            self.compare("", entry.response, response, _method(entry))
        return [f"{entry}{problem}" for problem in self.problems]

    def prepare(self, label: str) -> None:
        """Bring about what happened outside the API before a recorded request."""
        if label in {"system/default-cert", "action/reload-certs-expired"}:
            self.material.certificate(days=60 if label == "system/default-cert" else -1)
        if label == "certificate/get-after-expired":
            # The fixed file is back before the last reload of the series.
            self.material.certificate(days=60)

    # -- comparing --------------------------------------------------------------------------------------------------
    def differ(self, path: str, expected: Json, got: Json) -> None:
        self.problems.append(f"{path}: expected {expected!r}, got {got!r}")

    def compare(self, path: str, expected: Json, got: Json, method: str) -> None:
        """Compare an answer with the recorded one, place by place."""
        key = path.rpartition("/")[2]
        if isinstance(expected, dict) and isinstance(got, dict):
            self.compare_objects(path, expected, got, method)
        elif isinstance(expected, list) and isinstance(got, list):
            if len(expected) != len(got):
                self.differ(path, expected, got)
            for index, (one, other) in enumerate(zip(expected, got)):
                self.compare(f"{path}/{index}", one, other, method)
        elif key == "attemptNumber":
            if not (isinstance(got, int) and got >= 1):
                self.differ(path, "a count of attempts", got)
        elif not (isinstance(expected, str) and isinstance(got, str)):
            # No coercion: true is not 1, and a number is compared with its kind.
            if type(expected) is not type(got) or expected != got:
                self.differ(path, expected, got)
        elif not self.same_text(key, expected, got, method):
            self.differ(path, expected, got)

    def compare_objects(self, path: str, expected: Json, got: Json, method: str) -> None:
        bound = {self.ids.get(key, key): key for key in expected}
        for key in got:
            if key not in bound:
                self.differ(f"{path}/{key}", "nothing", got[key])
        for actual, key in bound.items():
            if actual not in got:
                self.differ(f"{path}/{key}", expected[key], "nothing")
                continue
            if key == "publicKey":
                if got[key] != self.material.public_for(got["@type"]):
                    self.differ(f"{path}/{key}", "the public half of the key", got[key])
                continue
            self.compare(f"{path}/{key}", expected[key], got[actual], method)

    def same_text(self, key: str, expected: str, got: str, method: str) -> bool:
        """Whether one text stands for the other under the rules above."""
        if key in _MOMENTS and _MOMENT.fullmatch(expected):
            return bool(_MOMENT.fullmatch(got))
        if key == "sessionState":
            return bool(re.fullmatch(r"[0-9a-f]{8}", got))
        if method == "x:Action/set" and key == "id" and re.fullmatch(r"b[a-z0-9]{6}", expected):
            return bool(re.fullmatch(r"[a-z0-9]{6,9}", got))
        if expected.startswith("API_"):
            return bool(re.fullmatch(r"API_[A-Za-z0-9_-]{30,}", got))
        if expected.startswith("/etc/stalwart/"):
            return got == str(self.client.etc / expected.removeprefix("/etc/stalwart/"))
        for beginning in (_LOOKUP, _WEAK):
            if expected.startswith(beginning):
                return got.startswith(beginning) and len(got) > len(beginning)
        if key == "dnsZoneFile":
            return _zone(expected) == _zone(got)
        if key == "notValidAfter":
            return self.bind(expected, got, _MOMENT)
        if _LONG_ID.fullmatch(expected) and expected not in {"p333333333333"}:
            return self.bind(expected, got)
        return expected == got

    def bind(self, expected: str, got: str, form: re.Pattern[str] = _LONG_ID) -> bool:
        """Let a recorded text stand for the one given now, once and for all, in both directions."""
        if expected not in self.ids:
            if not form.fullmatch(got) or got in self.ids.values():
                return False
            self.ids[expected] = got
        return self.ids[expected] == got


def _zone(text: str) -> list[str]:
    """A zone file without the key material (compared with the keys themselves where they are read)."""
    joined = re.sub(r'\(\n((?:    "[^"]*"\n)+)\)', lambda m: '"' + "".join(re.findall(r'"([^"]*)"', m[1])) + '"', text)
    return re.sub(r"p=[A-Za-z0-9+/=]+", "p=<key>", joined).splitlines()


def _variants(request: Json) -> Iterator[str]:
    if isinstance(request, dict):
        if str(request.get("@type", "")).startswith("Dkim"):
            yield request["@type"]
        request = list(request.values())
    if isinstance(request, list):
        for item in request:
            yield from _variants(item)


def _method(entry: Entry) -> str:
    return str(entry.request["methodCalls"][0][0])


def _first(value: Json, key: str) -> str | None:
    if isinstance(value, dict):
        if isinstance(value.get(key), str):
            return str(value[key])
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            found = _first(item, key)
            if found is not None:
                return found
    return None


def interlude(replay: Replay) -> None:
    """What happened between ``provision`` and ``errors`` without being recorded: domains c to m.

    ``errors`` destroys them by id, and the first still has a key: the state is made here with requests of our own.
    """
    manual = {"@type": "Manual"}
    names = ["example.org", *(f"d{number}.example.org" for number in range(10))]
    for name in names:
        body = {"name": name, "dkimManagement": manual, "dnsManagement": manual, "certificateManagement": manual}
        _expect(replay, "x:Domain/set", {"create": {"d": body}})
    key = {
        "@type": "Dkim1Ed25519Sha256",
        "domainId": "c",
        "selector": "v1-ed25519-20261121",
        "privateKey": {"@type": "Text", "secret": replay.material.pem_for("Dkim1Ed25519Sha256")},
    }
    _expect(replay, "x:DkimSignature/set", {"create": {"d": key}})


def _expect(replay: Replay, method: str, arguments: Json) -> Json:
    request = {"using": USING, "methodCalls": [[method, arguments, "c0"]]}
    status, response = replay.client.call(request, replay.client.admin)
    if status != 200 or "created" not in response["methodResponses"][0][1]:
        raise AssertionError(f"{method}: {status} {response}")
    return response


def run_all(client: Client, report: Callable[[Entry, list[str]], None], files: tuple[str, ...] = ORDER) -> Replay:
    """Replay every file in the recorded order; ``report`` gets each entry with its differences."""
    replay = Replay(client, Material(client.etc))
    for file in files:
        if file == "errors":
            interlude(replay)
        for entry in entries(file):
            report(entry, replay.run(entry))
    return replay
