# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tunnels and Access answer when they refuse: one constructor per refusal, with its evidence.

*documented* = Cloudflare's description of its API or the source of cloudflared says so; *seen* = quoted from a live answer in
a public repository; *chosen* = nothing public names it. A client must not depend on a chosen code.
"""

from __future__ import annotations

from ..errors import ApiError, refuse

# -- tunnels ---------------------------------------------------------------------------------------------------------


def tunnel_not_found() -> ApiError:
    """Chosen (code and text, as several clients' own stand-ins have them)."""
    return refuse(1003, "Tunnel not found", 404)


def tunnel_name_taken() -> ApiError:
    """Documented: 409 (cloudflared reads it). Seen: code and text."""
    text = "You already have a tunnel with this name. Delete the existing tunnel, or choose a different name for your new tunnel"
    return refuse(1013, text, 409)


def bad_tunnel(why: str, pointer: str = "") -> ApiError:
    """Chosen: a body that does not describe a tunnel."""
    return refuse(1002, f"Bad Request: {why}", 400, pointer)


def tunnel_is_active() -> ApiError:
    """Seen (code and text); the status is as clients expect it."""
    return refuse(1022, "Cannot delete tunnel because it has active connections", 400)


def bad_configuration(why: str) -> ApiError:
    """Chosen: the rules are those of cloudflared's own reading of its configuration."""
    return refuse(1056, f"Bad Configuration: {why}", 400)


def locally_managed() -> ApiError:
    """Chosen: a tunnel whose configuration is a file on its host takes none over the API."""
    return refuse(1056, "Bad Configuration: this tunnel is managed locally", 400)


# -- Access ----------------------------------------------------------------------------------------------------------


def not_enabled() -> ApiError:
    """Seen (code and text, for every call below ``/access``); the status is chosen."""
    text = (
        "access.api.error.not_enabled: Access is not enabled. Visit the Access dashboard at https://dash.cloudflare.com/ "
        "and click the 'Enable Access' button."
    )
    return refuse(9999, text, 400)


def invalid_request(why: str, pointer: str = "") -> ApiError:
    """Seen: 12130 with this prefix and different reasons."""
    return refuse(12130, f"access.api.error.invalid_request: {why}", 400, pointer)


def unknown_application() -> ApiError:
    """Seen (code and text)."""
    return refuse(11021, "access.api.error.unknown_application", 404)


def application_exists() -> ApiError:
    """Seen (code, text and status): an application for this domain."""
    return refuse(11010, "access.api.error.application_already_exists", 409)


def destination_taken() -> ApiError:
    """Seen (text); 12132 was seen for other conflicts, the status for them too."""
    return refuse(12132, "access.api.error.conflict: destination belongs to another application", 409)


def unknown_policy() -> ApiError:
    """Seen in client sources with several codes; this one is chosen."""
    return refuse(12083, "access.api.error.policy_not_found", 404)


def policy_in_use() -> ApiError:
    """Seen: 409 for a policy that an application has; code and text are chosen."""
    return refuse(12132, "access.api.error.conflict: policy is used by an application", 409)


def service_token_not_found() -> ApiError:
    """Documented (text, under DNS over HTTPS); the code is chosen."""
    return refuse(12002, "access.api.error.service_token_not_found", 404)


def service_token_in_use() -> ApiError:
    """Seen (code and text); the status is chosen."""
    text = (
        "access.api.error.service_token_in_use: cannot delete service token because it is used by a policy, group, or app "
        "SCIM configuration."
    )
    return refuse(12139, text, 400)
