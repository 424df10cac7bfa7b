# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for the Cloudflare API: zones, DNS records, batches, DNSSEC, tokens.

It is held to what is documented or was seen (the project's Cloudflare reference, §1.1-1.5, §1.9 and §5.3) and says in every
answer that it is a stand-in. Use it without sockets::

    twin = Twin(TwinConfig.from_data({"zones": [{"name": "example.com"}], "tokens": [{"token": TOKEN}]}))
    response = twin.handle("GET", "/client/v4/zones", "name=example.com", {"Authorization": f"Bearer {TOKEN}"})

or over HTTPS with ``python3 -m lab.twins.cloudflare --config FILE``.
"""

from __future__ import annotations

from .config import ConfigError, Fault, TwinConfig
from .faults import ConnectionDroppedError
from .response import Response
from .twin import Twin

__all__ = ["ConfigError", "ConnectionDroppedError", "Fault", "Response", "Twin", "TwinConfig"]
