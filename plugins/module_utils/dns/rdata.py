# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and record data compared by meaning: one canonical spelling for each of the ways a value may be written.

The canonical content is that of the plan's ``Record``: master-file presentation with host names absolute, lower case
and without the trailing dot; for TXT the text itself, unquoted and undivided. Bytes of a TXT that are no UTF-8 travel
as surrogate escapes, so every value survives the round trip.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Callable, Dict, List, Tuple

#: Types whose data is one host name.
HOST_TYPES = ("CNAME", "DNAME", "NS", "PTR")
#: A character-string holds at most this many bytes (RFC 1035 §3.3).
CHUNK = 255

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_TOKEN = re.compile(r'((?:[^\s"\\]|\\.)*"(?:[^"\\]|\\.)*"|(?:[^\s"\\]|\\.)+)\s*', re.DOTALL)
_DEVIATIONS = "\u00df\u03c2\u200c\u200d"
#: The types of the MX 0 . kind of data: how many numbers stand before the rest.
_NUMBERS_HEX = {"TLSA": 3, "SMIMEA": 3, "SSHFP": 2, "DS": 3}


class RdataError(ValueError):
    """A value that is no valid data of its type; the text says why."""


def name(text: str) -> str:
    """An owner name in canonical form: lower case, A-labels, no trailing dot; ``*`` may be the first label.

    Raises RdataError.
    """
    out = _ascii(text)
    labels = out.split(".")
    if labels[0] == "*":
        labels = labels[1:]
    _check_labels(labels, text, len(out))
    return out


def host(text: str) -> str:
    """A host name in data, in canonical form; the root stays ``.``. Raises RdataError, also for an address."""
    if text.strip() == ".":
        return "."
    out = _ascii(text)
    labels = out.split(".")
    if labels[-1].isdigit() or ":" in out:
        raise RdataError(f"{text!r} is an address where a host name is needed")
    _check_labels(labels, text, len(out))
    return out


def _ascii(text: str) -> str:
    out = text.strip()
    if out.endswith("."):
        out = out[:-1]
    if not out.isascii():
        # Read one way by IDNA 2003 and another by IDNA 2008: they name two different domains (UTS 46 §5).
        if any(char in _DEVIATIONS for char in out):
            raise RdataError(f"{text!r} has two ASCII forms (write the A-labels of the one you mean)")
        try:
            out = out.encode("idna").decode("ascii")
        except UnicodeError:
            raise RdataError(f"{text!r} has no ASCII form (write the A-labels)") from None
    return out.lower()


def _check_labels(labels: List[str], text: str, length: int) -> None:
    if length > 253 or not labels or any(not _LABEL.fullmatch(label) for label in labels):
        raise RdataError(f"{text!r} is not a valid domain name")


def within(child: str, zone: str) -> bool:
    """Whether a canonical name is the zone's or below it (whole labels: ``badexample.com`` is not in ``example.com``)."""
    return child == zone or child.endswith("." + zone)


def canonical(rtype: str, content: str) -> str:
    """The canonical content of a record.

    rtype: upper case. content: the same presentation in any spelling: host case and dots, IPv6 forms, hex case and
    blanks; a TXT value is taken as it stands (see :func:`txt_decode` for quoted forms). A type without rules of its own
    only has its white space collapsed. Raises RdataError.
    """
    if rtype == "TXT":
        return content
    reader = _READERS.get(rtype)
    return reader(content) if reader else " ".join(content.split())


def told(rtype: str, text: str) -> str:
    """The canonical content of data that a server tells, whatever that is.

    The DNS takes names and values that nobody would want on purpose (a blank in a host name, say); those keep the server's
    words, without the last dot of a host name, and equal nothing that can be wanted.
    """
    try:
        return canonical(rtype, text)
    except RdataError:
        return text[:-1] if rtype in (*HOST_TYPES, "MX", "SRV") and text.endswith(".") else text


def tokens(content: str) -> List[str]:
    """Split at white space outside of quotation marks, quotation marks kept. Raises RdataError."""
    out: List[str] = []
    position, text = 0, content.strip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.end() == position:
            raise RdataError(f"{content!r} has an unfinished quotation")
        out.append(match.group(1))
        position = match.end()
    return out


def _numbers(parts: List[str], sizes: Tuple[int, ...], what: str) -> List[str]:
    out: List[str] = []
    for part, top in zip(parts, sizes):
        if not (part.isascii() and part.isdigit()) or int(part) > top:
            raise RdataError(f"{what}: {part!r} is not a number from 0 to {top}")
        out.append(str(int(part)))
    return out


def _split(content: str, rtype: str, count: int) -> List[str]:
    parts = tokens(content)
    if len(parts) != count:
        raise RdataError(f"{rtype} needs {count} fields, {content!r} has {len(parts)}")
    return parts


def _a(content: str) -> str:
    try:
        return str(ipaddress.IPv4Address(content.strip()))
    except ValueError:
        raise RdataError(f"{content!r} is not an IPv4 address") from None


def _aaaa(content: str) -> str:
    try:
        # Without a scope: it means something on one host only.
        return str(ipaddress.IPv6Address(content.strip().replace("%", "%%")))
    except ValueError:
        raise RdataError(f"{content!r} is not an IPv6 address") from None


def _mx(content: str) -> str:
    preference, target = _split(content, "MX", 2)
    return " ".join([*_numbers([preference], (65535,), "MX preference"), host(target)])


def _srv(content: str) -> str:
    parts = _split(content, "SRV", 4)
    return " ".join([*_numbers(parts[:3], (65535,) * 3, "SRV"), host(parts[3])])


def _hex_after(rtype: str, count: int) -> Callable[[str], str]:
    def read(content: str) -> str:
        parts = tokens(content)
        if len(parts) <= count:
            raise RdataError(f"{rtype} needs {count + 1} fields, {content!r} has {len(parts)}")
        digits = "".join(parts[count:]).lower()
        try:
            bytes.fromhex(digits)
        except ValueError:
            raise RdataError(f"{rtype}: {digits[:40]!r} is not hexadecimal") from None
        top = (65535, 255, 255) if rtype == "DS" else (255, 255, 255)
        return " ".join([*_numbers(parts[:count], top[:count], rtype), digits])

    return read


def _caa(content: str) -> str:
    flags, tag, value = _split(content, "CAA", 3)
    tag = tag.lower()
    if not tag.isalnum():
        raise RdataError(f"CAA tag {tag!r} is not made of letters and digits (RFC 8659 §4.1)")
    return " ".join([*_numbers([flags], (255,), "CAA flags"), tag, quote(unquote(value))])


def _uri(content: str) -> str:
    priority, weight, target = _split(content, "URI", 3)
    return " ".join([*_numbers([priority, weight], (65535, 65535), "URI"), quote(unquote(target))])


def _svcb(content: str) -> str:
    parts = tokens(content)
    if len(parts) < 2:
        raise RdataError(f"{content!r}: a priority and a target are needed")
    # Parameters form a set (RFC 9460 §2.1): their order and needless quotation marks mean nothing.
    params = sorted(_param(p) for p in parts[2:])
    return " ".join([*_numbers(parts[:1], (65535,), "priority"), host(parts[1]), *params])


def _param(text: str) -> str:
    key, sign, value = text.partition("=")
    return key.lower() + sign + (unquote(value) if value.startswith('"') and " " not in value else value)


_READERS: Dict[str, Callable[[str], str]] = {
    "A": _a,
    "AAAA": _aaaa,
    "MX": _mx,
    "SRV": _srv,
    "CAA": _caa,
    "URI": _uri,
    "HTTPS": _svcb,
    "SVCB": _svcb,
}
_READERS.update(dict.fromkeys(HOST_TYPES, host))
_READERS.update({rtype: _hex_after(rtype, count) for rtype, count in _NUMBERS_HEX.items()})


# -- character-strings -----------------------------------------------------------------------------------------------


def to_bytes(text: str) -> bytes:
    """The bytes of a canonical TXT value."""
    return text.encode("utf-8", "surrogateescape")


def from_bytes(raw: bytes) -> str:
    """The canonical TXT value of the joined character-strings."""
    return raw.decode("utf-8", "surrogateescape")


def txt_decode(content: str) -> str:
    """The text behind any spelling of a TXT value: plain, ``"quoted"``, divided ``"a" "b"``, with ``\\DDD``.

    Text that does not begin with a quotation mark, or whose quotation is broken, stands for itself.
    """
    text = content.strip()
    if not text.startswith('"'):
        return content
    out = bytearray()
    position = 0
    while position < len(text):
        if text[position] in " \t\r\n":
            position += 1
            continue
        if text[position] != '"':
            return content
        string, position = _one_string(text, position + 1)
        if position < 0:
            return content
        out += string
    return from_bytes(bytes(out))


def _one_string(text: str, position: int) -> Tuple[bytes, int]:
    """Read up to the closing mark (RFC 1035 §5.1); the position is -1 when there is none."""
    out = bytearray()
    while position < len(text):
        char = text[position]
        if char == '"':
            return bytes(out), position + 1
        if char != "\\":
            out += to_bytes(char)
            position += 1
            continue
        digits = text[position + 1 : position + 4]
        if len(digits) == 3 and digits.isascii() and digits.isdigit() and int(digits) < 256:
            out.append(int(digits))
            position += 4
        else:
            out += to_bytes(digits[:1])
            position += 2
    return b"", -1


def txt_quote(text: str) -> str:
    """A TXT value in presentation form: quoted, divided into strings of at most 255 bytes, ``\\DDD`` where needed."""
    raw = to_bytes(text)
    chunks = [raw[i : i + CHUNK] for i in range(0, len(raw), CHUNK)] or [b""]
    return " ".join(f'"{_escape(chunk)}"' for chunk in chunks)


def quote(text: str) -> str:
    """One quoted string of any length."""
    return f'"{_escape(to_bytes(text))}"'


def unquote(text: str) -> str:
    return txt_decode(text) if text.startswith('"') else text


def _escape(raw: bytes) -> str:
    out: List[str] = []
    for byte in raw:
        if byte in b'"\\':
            out.append("\\" + chr(byte))
        elif 0x20 <= byte < 0x7F:
            out.append(chr(byte))
        else:
            out.append(f"\\{byte:03d}")
    return "".join(out)


# -- targets and presentation ----------------------------------------------------------------------------------------


def target(rtype: str, content: str) -> str:
    """The host a canonical record points to, or nothing (also for the root)."""
    if rtype in HOST_TYPES:
        found = content
    elif rtype in ("MX", "SRV", "HTTPS", "SVCB"):
        index = {"MX": 1, "SRV": 3}.get(rtype, 1)
        parts = content.split()
        found = parts[index] if len(parts) > index else ""
    else:
        found = ""
    return "" if found == "." else found


def presentation(rtype: str, content: str) -> str:
    """Canonical content as it stands in a zone file: absolute names dotted, TXT quoted and divided."""
    if rtype == "TXT":
        return txt_quote(content)
    pointed = target(rtype, content)
    if not pointed:
        return content
    parts = content.split(" ")
    parts[parts.index(pointed)] = pointed + "."
    return " ".join(parts)
