# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verification of AWS Signature Version 4, written from the receiver's side and independent of the product's signer.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from calendar import timegm
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from lab.twins.http import Refused, Request

#: Seconds that a request may be old or early.
SKEW = 300
HEADER = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<day>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request, "
    r"SignedHeaders=(?P<names>[a-z0-9;-]+), Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(frozen=True)
class Credentials:
    """actions: those the key may call; None for all. session: the token that has to come with the key."""

    access: str
    secret: str
    session: str = ""
    actions: tuple[str, ...] | None = None


def verify(
    request: Request, known: Sequence[Credentials], region: str, service: str, clock: Callable[[], float] | None = None
) -> Credentials:
    """Whose request it is. Raises Refused with the codes of EC2."""
    match = HEADER.fullmatch(request.headers.get("authorization", ""))
    if match is None:
        raise Refused(403, "Request is missing Authentication Token", "MissingAuthenticationToken")
    caller = next((c for c in known if c.access == match["key"]), None)
    if caller is None or request.headers.get("x-amz-security-token", "") != caller.session:
        raise Refused(401, "AWS was not able to validate the provided access credentials", "AuthFailure")
    moment = request.headers.get("x-amz-date", "")
    if not re.fullmatch(r"\d{8}T\d{6}Z", moment) or not moment.startswith(match["day"]):
        raise Refused(400, "Date in Credential scope does not match X-Amz-Date", "SignatureDoesNotMatch")
    if abs(timegm(time.strptime(moment, "%Y%m%dT%H%M%SZ")) - (clock or time.time)()) > SKEW:
        raise Refused(400, "Request has expired.", "RequestExpired")
    if (match["region"], match["service"]) != (region, service):
        raise Refused(401, "AWS was not able to validate the provided access credentials", "AuthFailure")
    names = match["names"].split(";")
    if not {"host", "x-amz-date"} <= set(names) or names != sorted(names):
        raise Refused(403, "The signature does not cover what it has to", "SignatureDoesNotMatch")
    expected = _signature(request, names, moment, match, caller.secret)
    if not hmac.compare_digest(expected, match["signature"]):
        raise Refused(403, "The request signature we calculated does not match", "SignatureDoesNotMatch")
    return caller


def _signature(request: Request, names: Sequence[str], moment: str, match: re.Match[str], secret: str) -> str:
    pairs = sorted(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in request.query)
    headers = "".join(f"{name}:{request.headers.get(name, '').strip()}\n" for name in names)
    payload = hashlib.sha256(request.body).hexdigest()
    canonical = f"{request.method}\n{request.full_path}\n{'&'.join(pairs)}\n{headers}\n{';'.join(names)}\n{payload}"
    scope = f"{match['day']}/{match['region']}/{match['service']}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()
