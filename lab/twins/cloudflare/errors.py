# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API answers when it refuses: one constructor per refusal, with the code, the HTTP status and its evidence.

Evidence, most to least certain: *table* = the project's Cloudflare reference, §1.4; *seen* = quoted from a live answer in
a public thread; *chosen* = nothing public names it, so the twin picked a code of the right family. A client must not
depend on a *chosen* code; it is here so that the refusal itself can be tested.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Item:
    """One entry of ``errors``: ``{code, message, source?, error_chain?}``."""

    code: int
    message: str
    pointer: str = ""
    chain: tuple[tuple[int, str], ...] = ()

    def to_json(self, with_pointer: bool) -> dict[str, Any]:
        out: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.pointer and with_pointer:
            out["source"] = {"pointer": self.pointer}
        if self.chain:
            out["error_chain"] = [{"code": code, "message": message} for code, message in self.chain]
        return out


@dataclass
class ApiError(Exception):
    """A refusal: HTTP status, one or more items and extra headers (Retry-After). Raised anywhere below the router."""

    status: int
    items: list[Item]
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.status}: " + "; ".join(f"{i.message} ({i.code})" for i in self.items)

    @property
    def code(self) -> int:
        return self.items[0].code

    def at(self, pointer: str) -> ApiError:
        """The same refusal, its items placed under a JSON pointer (``/posts/3``)."""
        items = [Item(i.code, i.message, pointer + i.pointer, i.chain) for i in self.items]
        return ApiError(self.status, items, dict(self.headers))


def refuse(code: int, message: str, status: int = 400, pointer: str = "") -> ApiError:
    return ApiError(status, [Item(code, message, pointer)])


# -- authentication --------------------------------------------------------------------------------------------------


def missing_authorization() -> ApiError:
    """The answer of the verify endpoints (table: 1001; seen with this text)."""
    return refuse(1001, 'Missing "Authorization" header')


def missing_credentials() -> ApiError:
    """The answer of every other endpoint (seen, HTTP 400)."""
    return refuse(9106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers")


def malformed_authorization() -> ApiError:
    """Table and seen: 400 with 6111 (6103 for X-Auth-Key) in the chain."""
    chain = ((6111, "Invalid format for Authorization header"),)
    return ApiError(400, [Item(6003, "Invalid request headers", chain=chain)])


def malformed_auth_key() -> ApiError:
    chain = ((6103, "Invalid format for X-Auth-Key header"),)
    return ApiError(400, [Item(6003, "Invalid request headers", chain=chain)])


def invalid_token_at_verify() -> ApiError:
    """Seen; an account-owned token at the user's endpoint gets the same answer."""
    return refuse(1000, "Invalid API Token", 401)


def invalid_token_at_zones() -> ApiError:
    """Seen at ``/zones`` with a token nobody issued."""
    return refuse(9109, "Invalid access token", 403)


def authentication_error() -> ApiError:
    """Table: usually a missing scope, and also a zone the token does not cover."""
    return refuse(10000, "Authentication error", 403)


def unauthorized_resource() -> ApiError:
    """Seen when a single zone or account is not the token's."""
    return refuse(9109, "Unauthorized to access requested resource", 403)


# -- routing and request form ----------------------------------------------------------------------------------------


def no_route(path: str) -> ApiError:
    """Table and seen; today with HTTP 404."""
    return refuse(7003, f"Could not route to {path}, perhaps your object identifier is invalid?", 404)


def method_not_allowed() -> ApiError:
    """Seen (text says authentication scheme even when that is not the point)."""
    return refuse(10405, "Method not allowed for this authentication scheme", 405)


def invalid_body(why: str = "", pointer: str = "") -> ApiError:
    """Seen as ``9207 Request body is invalid.``; the reason behind it is the twin's own help."""
    return refuse(9207, f"Request body is invalid. {why}".strip(), pointer=pointer)


def invalid_query(why: str) -> ApiError:
    """Chosen: out-of-range paging and misspelt filters are refused so that a client's slip cannot pass for "no match"."""
    return refuse(9208, f"Query parameters are invalid. {why}")


def rate_limited(retry_after: float) -> ApiError:
    """Table: 429 with Retry-After in seconds."""
    error = refuse(10100, "Rate limited. Please wait and consider throttling your request speed", 429)
    error.headers["Retry-After"] = str(max(1, round(retry_after)))
    return error


def server_error(status: int) -> ApiError:
    """Chosen body for injected 5xx; real ones are often not JSON at all (see Faults)."""
    return refuse(10001, "Internal server error", status)


def bad_zone_file(why: str) -> ApiError:
    """Chosen."""
    return refuse(9203, f"The zone file cannot be read: {why}", pointer="/file")


# -- records ---------------------------------------------------------------------------------------------------------


def record_not_found() -> ApiError:
    return refuse(81044, "Record does not exist.", 404)


def identical_record(code: int = 81058) -> ApiError:
    """Table: 81057 in the past, 81058 today; configurable so that clients are tested with both."""
    text = "An identical record already exists." if code == 81058 else "The record already exists."
    return refuse(code, text)


def host_exists() -> ApiError:
    return refuse(81053, "An A, AAAA, or CNAME record with that host already exists.")


def ns_conflict() -> ApiError:
    """The rule is documented, the code is chosen."""
    return refuse(81056, "NS records with that host already exist.")


def quota_exceeded() -> ApiError:
    return refuse(81045, "Record quota exceeded.")


def batch_too_large(limit: int) -> ApiError:
    """The cap is documented, the code is chosen."""
    return refuse(9207, f"Request body is invalid. A batch may hold at most {limit} operations on this plan.")


def bad_name() -> ApiError:
    return refuse(9000, "DNS name is invalid.", pointer="/name")


def bad_a() -> ApiError:
    return refuse(9005, "Content for A record must be a valid IPv4 address.", pointer="/content")


def bad_aaaa() -> ApiError:
    """Seen with 9006."""
    return refuse(9006, "Content for AAAA record must be a valid IPv6 address.", pointer="/content")


def bad_hostname(record_type: str) -> ApiError:
    """Table: 9009 for MX; chosen: the same code for the other types that name a host."""
    return refuse(9009, f"Content for {record_type} record must be a hostname.", pointer="/content")


def self_reference() -> ApiError:
    return refuse(9039, "CNAME content cannot reference itself.", pointer="/content")


def bad_ttl() -> ApiError:
    """Code seen (with other limits in older texts)."""
    return refuse(9021, "Invalid TTL. Must be between 60 and 86400 seconds, or 1 for Automatic.", pointer="/ttl")


def not_proxiable() -> ApiError:
    """Code seen in client sources."""
    return refuse(9041, "This DNS record cannot be proxied.", pointer="/proxied")


def content_too_long(limit: int) -> ApiError:
    """Seen for 4,096 wire bytes; chosen: the same code for the documented 2,048 characters of TXT content."""
    return refuse(9015, f"Record content exceeds the allowed length of {limit}.", pointer="/content")


def combined_content_too_long(limit: int) -> ApiError:
    """Seen (83011) for the documented sum over one name."""
    return refuse(83011, f"Combined content length of records with this name exceeds {limit}.", pointer="/content")


def invalid_content(record_type: str, why: str = "") -> ApiError:
    """Chosen: the general validation error (table: 1004) for rdata that does not parse."""
    return refuse(1004, f"DNS Validation Error: content for {record_type} record is invalid. {why}".strip())


def missing_data(fields: list[str]) -> ApiError:
    """Texts seen (all missing fields at once); the code 9101 is from memory of such answers, so chosen."""
    return ApiError(400, [Item(9101, f"{name} is a required data field.", f"/data/{name}") for name in fields])


def invalid_data(field_name: str, why: str) -> ApiError:
    """Chosen."""
    return refuse(9102, f"{field_name} is not a valid data field: {why}", pointer=f"/data/{field_name}")


def comment_too_long(limit: int) -> ApiError:
    """Seen."""
    return refuse(9313, f"DNS record comment exceeds the maximum length of {limit} characters.", pointer="/comment")


def bad_comment() -> ApiError:
    """The rule (no CR or LF) is documented, the code is chosen."""
    return refuse(9314, "DNS record comment must not contain line breaks.", pointer="/comment")


def too_many_tags(count: int, quota: int) -> ApiError:
    """Seen."""
    return refuse(9300, f"DNS record has {count} tags, exceeding the quota of {quota}.", pointer="/tags")


def bad_tag(tag: str) -> ApiError:
    """The form is documented, the code is chosen."""
    return refuse(9301, f"DNS record tag {tag!r} is invalid.", pointer="/tags")


def mx_managed(code: int = 890190) -> ApiError:
    """Table and seen with this text under 890190; 1046 is the other code in use."""
    return refuse(code, "This zone is managed by Email Routing. Disable Email Routing to add/modify MX records.")


def read_only_record() -> ApiError:
    """``meta.read_only`` is documented; chosen: 1046 for a write to such a record that is not an MX."""
    return refuse(1046, "This record is managed by Email Routing and is read-only.")


def plan_feature(what: str) -> ApiError:
    """The plan limit is documented, the code is chosen."""
    return refuse(9320, f"{what} is not available on this plan.")


def plan_of_zone(what: str) -> ApiError:
    """Documented: comments and tags exist on full and partial zones only. The code is chosen."""
    return refuse(9321, f"{what} are available on full and partial zones only.")
