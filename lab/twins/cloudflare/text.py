# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TXT content as the API takes it and gives it back, and DNS names in the API's form.

Two spellings of TXT content exist side by side (reference, §1.3): *unquoted*, kept as given; and *quoted*, parsed as
RFC 1035 §5.1 character-strings. What no single string can hold is given back quoted, in chunks of at most 255 bytes with
``\\DDD`` for bytes outside printable ASCII. A client has to compare decoded bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import errors

CHUNK = 255  #: bytes in one character-string (RFC 1035 §3.3)


@dataclass(frozen=True)
class Txt:
    """Parsed TXT content. strings: what DNS serves; content: what the API gives back."""

    strings: tuple[bytes, ...]
    content: str


def parse_txt(content: str) -> Txt:
    """Read TXT content in either spelling. Raises ApiError for a broken quoted form."""
    if not content.startswith('"'):
        raw = content.encode("utf-8")
        if len(raw) <= CHUNK:
            return Txt((raw,), content)
        strings = _chunks(raw)
        return Txt(strings, format_strings(strings))
    strings = tuple(part for string in _parse_quoted(content) for part in (_chunks(string) or (b"",)))
    return Txt(strings, format_strings(strings))


def format_strings(strings: tuple[bytes, ...]) -> str:
    """Presentation format: quoted, separated by one blank."""
    return " ".join(f'"{_escape(string)}"' for string in strings)


def _chunks(raw: bytes) -> tuple[bytes, ...]:
    return tuple(raw[i : i + CHUNK] for i in range(0, len(raw), CHUNK))


def _escape(raw: bytes) -> str:
    out: list[str] = []
    for byte in raw:
        if byte in b'"\\':
            out.append("\\" + chr(byte))
        elif 0x20 <= byte < 0x7F:
            out.append(chr(byte))
        else:
            out.append(f"\\{byte:03d}")
    return "".join(out)


def _parse_quoted(content: str) -> list[bytes]:
    strings: list[bytes] = []
    position = 0
    while position < len(content):
        if content[position] in " \t":
            position += 1
            continue
        if content[position] != '"':
            raise errors.invalid_content("TXT", "Text outside quotation marks.")
        string, position = _parse_one(content, position + 1)
        strings.append(string)
    return strings


def _parse_one(content: str, position: int) -> tuple[bytes, int]:
    out = bytearray()
    while position < len(content):
        char = content[position]
        if char == '"':
            return bytes(out), position + 1
        if char != "\\":
            out += char.encode("utf-8")
            position += 1
            continue
        digits = content[position + 1 : position + 4]
        if len(digits) == 3 and digits.isascii() and digits.isdigit():
            if int(digits) > 255:
                raise errors.invalid_content("TXT", "An escape is above 255.")
            out.append(int(digits))
            position += 4
        elif digits:
            out += digits[0].encode("utf-8")
            position += 2
        else:
            break
    raise errors.invalid_content("TXT", "A quotation mark is missing.")


# -- names -----------------------------------------------------------------------------------------------------------


def absolute_name(given: str, zone: str) -> str:
    """The full Punycode name without trailing dot, lower case (reference, §1.3).

    ``@`` and the empty name are the apex; a name that does not end in the zone's is taken as relative to it, as the
    examples of the documentation do (``"name": "www"``). Raises ApiError 9000.
    """
    name = given.strip()
    if name in ("@", ""):
        return zone
    name = to_ascii(name)
    if name != zone and not name.endswith("." + zone):
        name = f"{name}.{zone}"
    check_labels(name)
    return name


def to_ascii(name: str) -> str:
    """Lower case, Punycode, no trailing dot. Raises ApiError 9000 for what has no ASCII form."""
    name = name.rstrip(".") if name != "." else name
    try:
        labels = [
            label.lower() if label.isascii() else label.encode("idna").decode("ascii").lower()
            for label in name.replace("\u3002", ".").split(".")
        ]
    except UnicodeError:
        raise errors.bad_name() from None
    return ".".join(labels)


def check_labels(name: str) -> None:
    """RFC 1035 §2.3.4 lengths, printable ASCII, ``*`` only as the whole first label. Raises ApiError 9000."""
    labels = name.split(".")
    if len(name) > 253 or any(not 0 < len(label) <= 63 for label in labels):
        raise errors.bad_name()
    if any(not label.isascii() or not label.isprintable() or set(label) & set(' "\\()/;,@') for label in labels):
        raise errors.bad_name()
    if any("*" in label for label in labels[1:]) or ("*" in labels[0] and labels[0] != "*"):
        raise errors.bad_name()


def hostname(given: str, record_type: str) -> str:
    """A target host: lower case, dot-less. Raises ApiError 9009 for an address, a blank or a bad label."""
    failure = errors.bad_hostname(record_type)
    try:
        name = to_ascii(given.strip())
        check_labels(name)
    except errors.ApiError:
        raise failure from None
    labels = name.split(".")
    # An address is made of four numbers or of colons; no top level of the DNS is all digits (RFC 3696 §2).
    if ":" in name or labels[-1].isdigit() or "*" in labels or not name:
        raise failure
    return name
