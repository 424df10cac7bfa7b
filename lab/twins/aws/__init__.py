# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for the part of the EC2 Query API that reverse records need; it verifies every signature.

Held to https://docs.aws.amazon.com/AWSEC2/latest/APIReference/ (DescribeAddresses, DescribeAddressesAttribute,
ModifyAddressAttribute, error codes), the EC2 User Guide ("Use reverse DNS for email applications") and, for the life of an
update, to how terraform-provider-aws waits for it. Marked *chosen* is what none of these tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from lab.twins.aws.signature import Credentials, verify
from lab.twins.http import ApiTwin, Handler, Refused, Request, Response

__all__ = ["AwsTwin", "Credentials", "Elastic"]

NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"
VERSION = "2016-11-15"


@dataclass
class Elastic:
    """An Elastic IP address. update: name, status, reason of the last update; looks: how often it is still pending."""

    ip: str
    allocation: str
    instance: str = ""
    ptr: str = ""
    update: tuple[str, str, str] | None = None
    looks: int = 0

    def to_xml(self) -> str:
        update = ""
        if self.update is not None:
            fields = zip(("value", "status", "reason"), self.update, strict=True)
            update = f"<ptrRecordUpdate>{''.join(_tag(n, v) for n, v in fields if v)}</ptrRecordUpdate>"
        return _tag("publicIp", self.ip) + _tag("allocationId", self.allocation) + _tag("ptrRecord", self.ptr) + update


@dataclass
class AwsTwin(ApiTwin):
    """credentials: keys and the actions that they may call, all of them by default. looks: how long an update is pending.

    forward: addresses by name, as AWS finds them in DNS; None takes any name. page: entries of an answer; throttled: how
    many requests are refused first. clock: seconds since the epoch.
    """

    label = "aws-twin"

    region: str = "eu-central-1"
    credentials: list[Credentials] = field(default_factory=lambda: [Credentials("AKIDEXAMPLE", "s" * 40)])
    addresses: list[Elastic] = field(default_factory=list)
    forward: dict[str, list[str]] | None = None
    looks: int = 0
    page: int = 1000
    throttled: int = 0
    clock: Callable[[], float] | None = None

    def routes(self) -> dict[str, dict[str, Handler]]:
        return {"/": {"POST": self._call}}

    def authenticate(self, request: Request) -> None:
        caller = verify(request, self.credentials, self.region, "ec2", self.clock)
        action = dict(_form(request)).get("Action", "")
        if caller.actions is not None and action not in caller.actions:
            raise Refused(403, "You are not authorized to perform this operation.", "UnauthorizedOperation")
        if self.throttled:
            self.throttled -= 1
            raise Refused(503, "Request limit exceeded.", "RequestLimitExceeded")

    def refusal(self, refused: Refused) -> Response:
        code = "RequestLimitExceeded" if refused.status == 429 else refused.code
        error = f"<Errors><Error>{_tag('Code', code)}{_tag('Message', refused.words)}</Error></Errors>"
        text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Response>{error}<RequestID>ea966190</RequestID></Response>'
        return Response(refused.status, {"Content-Type": "text/xml;charset=UTF-8"}, None, text)

    def _call(self, request: Request) -> Response:
        form = dict(_form(request))
        if form.get("Version") != VERSION:
            raise Refused(400, "The version is not known to this stand-in.", "InvalidParameterValue")
        calls = {
            "DescribeAddresses": self._describe,
            "DescribeAddressesAttribute": self._attributes,
            "ModifyAddressAttribute": self._modify,
        }
        action = form.get("Action", "")
        if action not in calls:
            raise Refused(400, f"The action {action} is not valid for this web service.", "InvalidAction")
        body = calls[action](form)
        text = f'<{action}Response xmlns="{NAMESPACE}"><requestId>59dbff89</requestId>{body}</{action}Response>'
        return Response(200, {"Content-Type": "text/xml;charset=UTF-8"}, None, text)

    def _describe(self, form: dict[str, str]) -> str:
        items = (
            _tag("publicIp", a.ip)
            + _tag("allocationId", a.allocation)
            + _tag("domain", "vpc")
            + _tag("instanceId", a.instance)
            for a in self.addresses
        )
        return f"<addressesSet>{_items(items)}</addressesSet>"

    def _attributes(self, form: dict[str, str]) -> str:
        """An address without a reverse record, and without an update to one, is not in the answer."""
        if form.get("Attribute") != "domain-name":
            raise Refused(400, "Value for parameter attribute is invalid.", "InvalidParameterValue")
        ids = [value for key, value in form.items() if key.startswith("AllocationId.")]
        chosen = [self._allocated(i) for i in ids] if ids else self.addresses
        for address in chosen:
            self._work(address)
        named = [a for a in chosen if a.ptr or a.update]
        start = int(form.get("NextToken", "0"))
        more = _tag("nextToken", str(start + self.page)) if start + self.page < len(named) else ""
        return f"<addressSet>{_items(a.to_xml() for a in named[start : start + self.page])}</addressSet>{more}"

    def _modify(self, form: dict[str, str]) -> str:
        address = self._allocated(form.get("AllocationId", ""))
        name = form.get("DomainName", "").rstrip(".")
        if "." not in name:
            raise Refused(400, "Invalid value for parameter domainName.", "InvalidParameterValue")
        address.update, address.looks = (f"{name}.", "PENDING", ""), self.looks
        return f"<address>{address.to_xml()}</address>"

    def _work(self, address: Elastic) -> None:
        """Carry an update one step further. Chosen: what a failed one looks like."""
        if address.update is None or address.update[1] != "PENDING":
            return
        if address.looks > 0:
            address.looks -= 1
            return
        name = address.update[0]
        if self.forward is not None and address.ip not in self.forward.get(name.rstrip("."), []):
            address.update = (name, "FAILED", "The forward DNS record does not resolve to the Elastic IP address.")
            return
        address.ptr, address.update = name, ("", "", "")

    def _allocated(self, allocation: str) -> Elastic:
        found = next((a for a in self.addresses if a.allocation == allocation), None)
        if found is None:
            words = f"The allocation ID '{allocation}' does not exist"
            raise Refused(400, words, "InvalidAllocationID.NotFound")
        return found


def _form(request: Request) -> list[tuple[str, str]]:
    return parse_qsl(request.body.decode(), keep_blank_values=True)


def _tag(name: str, value: str) -> str:
    return f"<{name}>{escape(value)}</{name}>" if value else ""


def _items(items: Iterable[str]) -> str:
    return "".join(f"<item>{item}</item>" for item in items)
