# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the id of a policy is in the DNS, asked of the zone's own servers: no cache gets to remember that it is not."""

from __future__ import annotations

from ansible_collections.mailstead.stack.plugins.module_utils.dns.gate import (
    SilentError,
    ask_server,
    name_servers,
    system_addresses,
)
from ansible_collections.mailstead.stack.plugins.module_utils.mta_sts.gate import Expected


def announced(expected: Expected) -> bool:
    """Whether any server of the zone publishes the id; False when none can be asked."""
    wanted = f"v=STSv1; id={expected.id}"
    for server in name_servers(expected.zone):
        try:
            addresses = system_addresses(server)
        except OSError:
            continue
        for address in addresses:
            try:
                seen = ask_server(address, (f"_mta-sts.{expected.domain}", "TXT"))
            except SilentError:
                continue
            return wanted in seen.values
    return False
