# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and identifiers of the mail products."""

from __future__ import annotations

import re
import secrets
import uuid

from . import errors

#: Of one mail address; the longest that matchers and actions take (description of the API).
ADDRESS_MAX = 90

_ADDRESS = re.compile(r"[^@\s]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,63}")


def new_id() -> str:
    """32 hexadecimal digits."""
    return secrets.token_hex(16)


def new_uuid() -> str:
    return str(uuid.uuid4())


def mail_address(given: object, pointer: str) -> str:
    """A mail address as it was written. Raises ApiError 2007."""
    if not isinstance(given, str) or len(given) > ADDRESS_MAX or not _ADDRESS.fullmatch(given):
        raise errors.invalid_input("an email address is expected", pointer)
    return given


def domain_of(address: str) -> str:
    return address.rpartition("@")[2].lower()
