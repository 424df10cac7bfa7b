# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A filter that shows the profiles of providers to people; a thin shell over the pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.providers.show import find, show_list, show_provider
from ansible_collections.mailstead.stack.plugins.plugin_utils.profiles import known_profiles


def provider_text(
    show: str,
    domain: str = "example.org",
    inputs: Mapping[str, Any] | None = None,
    inventory_sources: Sequence[str] = (),
) -> str:
    """A profile, or ``list`` for all of them. inventory_sources: what was given with -i; profiles beside it count."""
    try:
        known = known_profiles({"ansible_inventory_sources": inventory_sources})
        if show == "list":
            return show_list(known.profiles, known.own, known.replaced)
        profile = find(known.profiles, show)
        given = {str(name): str(value) for name, value in (inputs or {}).items()}
        return show_provider(profile, rdata.name(str(domain)), given, own=profile.id in known.own)
    except MailsteadError as error:
        raise AnsibleFilterError(str(error)) from None
    except rdata.RdataError as error:
        raise AnsibleFilterError(f"domain: {error}") from None


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"provider_text": provider_text}
