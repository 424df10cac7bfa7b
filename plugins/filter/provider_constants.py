# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters that hand modules what the profiles of providers say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.providers.mixing import Party, known
from ansible_collections.mailstead.stack.plugins.module_utils.providers.model import PLACEHOLDER, Profile, by_id
from ansible_collections.mailstead.stack.plugins.plugin_utils.profiles import known_profiles


def provider_constants(names: list[str], sources: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Constants of the named profiles, of all without a name. What is made for each customer is left out.

    sources: the inventories of the run, beside which the user's own profiles are.
    """
    return [_constants(profile) for profile in _named(names, sources)]


def spf_senders(names: list[str], sources: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Which SPF includes are asked for by whom. names, sources: as above."""
    parties = [Party(p, takes_mail="forwarder" in p.roles) for p in _named(names, sources)]
    return [
        {"include": k.term.partition(":")[2], "who": k.who, "needed": k.needed, "stays": k.stays}
        for k in known(parties)
    ]


def _named(names: list[str], sources: Sequence[str]) -> list[Profile]:
    try:
        every = by_id(known_profiles({"ansible_inventory_sources": list(sources)}).profiles)
    except MailsteadError as error:
        raise AnsibleFilterError(str(error)) from None
    strange = sorted({str(n) for n in names} - set(every))
    if strange:
        raise AnsibleFilterError(f"no provider is called {', '.join(strange)}; known are {', '.join(sorted(every))}")
    return [every[name] for name in (list(dict.fromkeys(map(str, names))) or sorted(every))]


def _constants(profile: Profile) -> dict[str, Any]:
    servers = [profile.submission.host] if profile.submission else []
    hosts = [mx.host for mx in profile.mx] + servers + ([profile.webmail] if profile.webmail else [])
    return {
        "id": profile.id,
        "title": profile.title,
        "verified_on": profile.verified_on,
        "hosts": [host for host in dict.fromkeys(hosts) if not PLACEHOLDER.search(host)],
        "includes": [name for name in profile.spf.include if not PLACEHOLDER.search(name)],
        "cost_hint": profile.spf.cost_hint,
    }


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"provider_constants": provider_constants, "spf_senders": spf_senders}
