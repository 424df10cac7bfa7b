# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reverse records of Elastic IP addresses at AWS.

API reference: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/ (DescribeAddresses, DescribeAddressesAttribute,
ModifyAddressAttribute; version 2016-11-15, the Query API). What is behind it: "Use reverse DNS for email applications" in
the EC2 User Guide: the address record (A) of the name has to exist first, and the update takes minutes. In GovCloud it is
AWS that sets the record, on request. Outgoing port 25 is a matter of its own.
"""

from __future__ import annotations

import re
import time
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.common.http import BASE_HEADERS, Answer
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.account import Holding, Progress, address, bare
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.client import Api, Client, Refusal, check_secret
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.sigv4 import Keys, Request, Scope, authorization

VERSION = "2016-11-15"
FORM = "application/x-www-form-urlencoded; charset=utf-8"
#: The API cannot tell who asks ("Common client error codes").
CREDENTIAL_CODES = frozenset(
    {
        "AuthFailure",
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "RequestExpired",
        "ExpiredToken",
        "MissingAuthenticationToken",
    }
)
SCOPE_CODES = frozenset({"UnauthorizedOperation", "OptInRequired", "Blocked"})
THROTTLE_CODES = frozenset({"RequestLimitExceeded", "Throttling", "ThrottlingException"})


def endpoint(region: str) -> str:
    """The URL of EC2 in a region ("Amazon EC2 service endpoints"). Raises MailsteadError for what is no region."""
    if not re.fullmatch(r"[a-z]{2,4}(-[a-z]+)+-\d{1,2}", region):
        fix = "Write the region that the Elastic IP address is in, such as eu-central-1."
        raise MailsteadError.one("MS-PTR-002", "option region", f"{region!r} is not the code of a region", fix)
    return f"https://ec2.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")


class Ec2Api(Api):
    """XML in answer to signed forms. url: the endpoint; now: seconds since the epoch, for the signature."""

    title = "AWS EC2"
    status_page = "https://health.aws.amazon.com/health/status"
    credential_fix = (
        "Compare access_key and secret_key with IAM, give session_token with temporary ones, and set this host's clock."
    )
    scope_fix = "Allow the key ec2:DescribeAddresses, ec2:DescribeAddressesAttribute and ec2:ModifyAddressAttribute in the region."

    def __init__(self, keys: Keys, region: str, url: str, now: Callable[[], float] = time.time) -> None:
        super().__init__(keys.secret)
        access = check_secret(keys.access, "access_key", self.credential_fix)
        self.keys, self.region, self._now = Keys(access, self.token, keys.session.strip()), region, now
        self.host = urlsplit(url).netloc
        self.base = urlsplit(url).path

    @property
    def secrets(self) -> Tuple[str, ...]:
        return tuple(s for s in (self.keys.secret, self.keys.session) if s)

    def headers(self, method: str, path: str, body: Optional[bytes]) -> Dict[str, str]:
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._now()))
        signed = {"Content-Type": FORM, "Host": self.host, "X-Amz-Date": moment}
        if self.keys.session:
            signed["X-Amz-Security-Token"] = self.keys.session
        request = Request(method, self.base + path, (), signed, body or b"")
        proof = authorization(request, self.keys, Scope(moment, self.region, "ec2"))
        return {**BASE_HEADERS, **signed, "Accept": "text/xml", "Authorization": proof}

    def parse(self, answer: Answer) -> Any:
        if b"<!DOCTYPE" in answer.body:
            # Entities are what makes XML from others dangerous, and the API's answers define none.
            raise ValueError("a document type is none of the API's")
        try:
            return ElementTree.fromstring(answer.body)  # noqa: S314
        except ElementTree.ParseError as error:
            raise ValueError(str(error)) from error

    def refusal(self, status: int, body: Any) -> Optional[Refusal]:
        """``<Response><Errors><Error><Code/><Message/></Error></Errors></Response>``."""
        error = _first(body, "Error")
        if error is None:
            return None
        code = _text(error, "Code")
        return Refusal(status, code, f"{_text(error, 'Message')} ({code})")

    def limited(self, answer: Answer) -> bool:
        """Throttled requests are refused with 503 and a code of their own."""
        if answer.status not in (400, 429, 503):
            return False
        try:
            refusal = self.refusal(answer.status, self.parse(answer))
        except ValueError:
            return answer.status == 429
        return answer.status == 429 or (refusal is not None and refusal.code in THROTTLE_CODES)

    def problem(self, refusal: Refusal, where: str) -> Problem:
        said = f"{self.title} says: {refusal.words}"
        if refusal.code in SCOPE_CODES:
            return Problem("MS-PTR-011", where, said, self.scope_fix)
        if refusal.code in CREDENTIAL_CODES:
            return Problem("MS-PTR-010", where, said, self.credential_fix)
        return Problem(
            "MS-PTR-014", where, said, "Mend what it says, or set the record in the EC2 console, and run again."
        )


class AwsAccount:
    """The Elastic IP addresses of one region. See account.Account."""

    provider = "aws"
    note = (
        "Port 25 of EC2 stays closed towards the Internet until AWS opens it on request: "
        "https://console.aws.amazon.com/support/contacts?#/rdns-limits"
    )

    def __init__(self, client: Client) -> None:
        self.client = client
        self._seen: List[str] = []

    def find(self, addresses: Sequence[str]) -> Dict[str, Holding]:
        """All Elastic IP addresses, in one answer; then the names of the wanted ones (others have no entry)."""
        allocations: Dict[str, str] = {}
        self._seen = []
        for item in _items(self._call("DescribeAddresses", ()), "addressesSet"):
            one, allocation = address(_text(item, "publicIp")), _text(item, "allocationId")
            self._seen.append(f"{one} ({_text(item, 'instanceId') or allocation})")
            allocations[one] = allocation
        found = {
            one: Holding(
                one, "an IPv6 address", "", barred="AWS sets reverse records of Elastic IP (IPv4) addresses only"
            )
            for one in addresses
            if ":" in one
        }
        wanted = {allocations[one]: one for one in addresses if one in allocations}
        found.update({one: Holding(one, f"Elastic IP {key}", "", key) for key, one in wanted.items()})
        for key, item in self._attributes(sorted(wanted)) if wanted else ():
            value, failure = _update(item)
            pending = value if not failure else ""
            label = f"Elastic IP {key}"
            found[wanted[key]] = Holding(wanted[key], label, bare(_text(item, "ptrRecord")), key, "", pending, key)
        return found

    def seen(self) -> List[str]:
        return self._seen

    def set(self, holding: Holding, name: str) -> Any:
        form = _form("ModifyAddressAttribute", (("AllocationId", holding.key), ("DomainName", name)))
        self.client.write("POST", "/", form)
        return holding.key

    def progress(self, tickets: Mapping[str, Any]) -> Dict[str, Progress]:
        """tickets: allocation ids. Done once no update is on its way any more."""
        items = dict(self._attributes(sorted(set(tickets.values()))))
        out: Dict[str, Progress] = {}
        for one, key in tickets.items():
            value, failure = _update(items[key]) if key in items else ("", "it has no reverse record")
            out[one] = Progress(bool(failure) or not value, failure)
        return out

    def _attributes(self, allocations: Sequence[str]) -> Iterator[Tuple[str, ElementTree.Element]]:
        """The reverse records of addresses, by allocation id; those without any are not among them."""
        ids = [(f"AllocationId.{number}", key) for number, key in enumerate(allocations, start=1)]
        more = ""
        while True:
            page = [("Attribute", "domain-name"), *ids]
            body = self._call("DescribeAddressesAttribute", page + ([("NextToken", more)] if more else []))
            yield from ((_text(item, "allocationId"), item) for item in _items(body, "addressSet"))
            more = _text(body, "nextToken")
            if not more:
                return

    def _call(self, action: str, parameters: Sequence[Tuple[str, str]]) -> ElementTree.Element:
        body = self.client.read("/", method="POST", body=_form(action, parameters))
        if not isinstance(body, ElementTree.Element) or _local(body) != f"{action}Response":
            raise self.client.malformed(action, "the answer is not the API's")
        return body


def _form(action: str, parameters: Sequence[Tuple[str, str]]) -> bytes:
    return urlencode([("Action", action), ("Version", VERSION), *parameters]).encode()


def _update(item: ElementTree.Element) -> Tuple[str, str]:
    """The name an update brings, and why it failed; two empty texts when none is on its way.

    ptrRecordUpdate stays after the update, then without a status (PtrUpdateStatus; so terraform-provider-aws waits).
    """
    update = _first(item, "ptrRecordUpdate")
    if update is None or not _text(update, "status"):
        return "", ""
    value, status = bare(_text(update, "value")), _text(update, "status")
    return value, "" if status.upper() == "PENDING" else f"{status}: {_text(update, 'reason') or 'no reason given'}"


def _local(element: ElementTree.Element) -> str:
    """The name without its namespace."""
    return element.tag.rpartition("}")[2]


def _first(element: Optional[ElementTree.Element], name: str) -> Optional[ElementTree.Element]:
    return None if element is None else next((e for e in element.iter() if _local(e) == name), None)


def _text(element: ElementTree.Element, name: str) -> str:
    found = next((e for e in element if _local(e) == name), None)
    return (found.text or "").strip() if found is not None else ""


def _items(element: ElementTree.Element, name: str) -> List[ElementTree.Element]:
    found = _first(element, name)
    return [e for e in found if _local(e) == "item"] if found is not None else []
