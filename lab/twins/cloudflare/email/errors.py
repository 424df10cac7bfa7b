# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the mail products answer when they refuse: one constructor per refusal, with its evidence.

*documented* = Cloudflare's description of its API names the code; *seen* = quoted from a live answer in a public
repository; *chosen* = nothing public names it. A client must not depend on a chosen code.
"""

from __future__ import annotations

from ..errors import ApiError, refuse

# -- Email Routing ---------------------------------------------------------------------------------------------------


def invalid_input(why: str, pointer: str = "") -> ApiError:
    """Documented: 422 with 2007 for a forward without exactly one destination; seen with other texts for other input."""
    return refuse(2007, f"Invalid Input: {why}", 422, pointer)


def foreign_mx(hosts: list[str]) -> ApiError:
    """Documented with 409 for Email Sending's "fix"; chosen: the same when Email Routing is enabled."""
    return refuse(2008, f"Foreign MX records exist: {', '.join(sorted(hosts))}", 409)


def duplicated_rule() -> ApiError:
    """Seen (code and text); the status is chosen."""
    return refuse(2014, "Duplicated Zone rule", 409)


def unknown_worker(name: str) -> ApiError:
    """Seen in wrangler's source as "not propagated yet", retried for 30 s; the text is chosen."""
    return refuse(2016, f"Worker {name} not found", 404)


def invalid_rule_operation() -> ApiError:
    """Seen, as a conflict: touching the catch-all through the ordinary rules."""
    return refuse(2020, "Invalid rule operation", 409)


def too_many_rules(limit: int) -> ApiError:
    """The limit is documented, the code is chosen."""
    return refuse(2021, f"A domain may have at most {limit} rules", 409)


def rule_not_found() -> ApiError:
    """Chosen."""
    return refuse(2022, "Rule not found", 404)


def address_not_found() -> ApiError:
    """Chosen."""
    return refuse(2023, "Destination address not found", 404)


def too_many_addresses(limit: int) -> ApiError:
    """The limit is documented, the code is chosen."""
    return refuse(2024, f"An account may have at most {limit} destination addresses", 409)


def too_many_domains(limit: int) -> ApiError:
    """The limit (routing and sending together, apex included) is documented, the code is chosen."""
    return refuse(2025, f"A zone may have at most {limit} mail domains", 409)


def multiple_spf() -> ApiError:
    """Documented."""
    return refuse(2026, "Multiple SPF records exist", 409)


def multiple_dmarc() -> ApiError:
    """Documented."""
    return refuse(2027, "Multiple DMARC records exist", 409)


def domain_not_enabled(name: str) -> ApiError:
    """Chosen: nothing to unlock or disable."""
    return refuse(2034, f"Email Routing is not enabled on {name}", 404)


def destination_not_verified() -> ApiError:
    """Documented and seen, with this text."""
    return refuse(2054, "Destination address is not verified", 400)


def unknown_domain(name: str) -> ApiError:
    """Documented for ``rules/plan``; chosen: the same for a single rule whose address is not of the zone."""
    return refuse(2062, f"Unknown Email Routing domain {name}", 400)


# -- Email Sending ---------------------------------------------------------------------------------------------------


def sending_not_found() -> ApiError:
    """Documented."""
    return refuse(2033, "Sending subdomain not found", 404)


def not_entitled() -> ApiError:
    """Documented: sending needs Workers Paid. The code is chosen."""
    return refuse(2056, "Email Sending is not available on this plan", 403)


def suppression_not_found() -> ApiError:
    """404 is documented, the code is chosen."""
    return refuse(10105, "Suppression not found", 404)


# -- Workers ---------------------------------------------------------------------------------------------------------


def script_not_found() -> ApiError:
    """Seen (code and text)."""
    return refuse(10007, "This Worker does not exist on your account.", 404)


def bad_script_name(name: str) -> ApiError:
    """Seen (code); the text is chosen."""
    return refuse(10016, f"Invalid Worker name {name!r}", 400)


def bad_script(why: str) -> ApiError:
    """Seen: 10021 is the answer to scripts and settings that do not validate; the texts differ."""
    return refuse(10021, why, 400)
