# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every provider that takes mail beside every other that sends: planned with one SPF record, or refused for a good reason."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.dns import spf
from ansible_collections.mailstead.stack.plugins.module_utils.intent.parties import parties_of
from ansible_collections.mailstead.stack.plugins.module_utils.intent.read import read_intent
from ansible_collections.mailstead.stack.plugins.module_utils.plan.build import build_plan
from ansible_collections.mailstead.stack.plugins.module_utils.providers import mixing
from ansible_collections.mailstead.stack.plugins.module_utils.providers.model import Profile
from ansible_collections.mailstead.stack.plugins.plugin_utils.profiles import profiles

from tests.unit.dns.samples import codes, diff, want
from tests.unit.examples import raw
from tests.unit.providers.test_content import likely_inputs

NAME = "example.com"
TAKERS = [p for p in profiles() if p.takes_mail and not p.coexist.managed_by_api]
SENDERS = [p for p in profiles() if p.sends]
#: A selector or another name that both ask for (the sample inputs are alike), and a policy under which mail is refused.
REFUSED = {"MS-PRO-022", "MS-PRO-024", "MS-INT-041"}


def sender_of(profile: Profile) -> dict[str, Any]:
    known = {"inputs": likely_inputs(profile), "account": "me@example.net"}
    takes = (*profile.outbound.required, *profile.outbound.optional)
    return {"provider": profile.id, **{k: v for k, v in known.items() if k in takes and v}}


def domain_of(taker: Profile, sender: Profile) -> dict[str, Any]:
    """A provider that has mailboxes sends as well; one that only forwards does not."""
    inputs = {"inputs": likely_inputs(taker)} if taker.inputs else {}
    if "outbound" in taker.roles:
        return {"name": NAME, "provider": taker.id, **inputs, "also_send_via": [sender_of(sender)]}
    return {"name": NAME, "inbound": {"provider": taker.id, **inputs}, "outbound": sender_of(sender)}


@pytest.mark.parametrize("taker", TAKERS, ids=lambda p: p.id)
def test_a_taker_beside_every_sender(taker: Profile) -> None:
    planned = 0
    for sender in (p for p in SENDERS if p is not taker):
        try:
            intent = read_intent(raw([domain_of(taker, sender)], hosts={}), profiles=profiles())
        except MailsteadError as error:
            assert {p.code for p in error.problems} <= REFUSED, (sender.id, str(error))
            continue
        records = [r for z in build_plan(intent).zones for r in z.records]
        (text,) = [r.content for r in records if r.name == NAME and r.type == "TXT" and spf.is_spf(r.content)]
        parties = parties_of(intent, intent.domains[0])
        assert text == mixing.spf([], parties).text
        own = [(r.name, r.type, r.content) for r in records if r.role in ("spf", "dmarc")]
        assert mixing.clashes(NAME, parties, own) == ()
        # Nor does anything stand in the way of publishing them.
        assert codes(diff([want(r.name, r.type, r.content, phase=r.phase) for r in records], [])) == []
        planned += 1
    assert planned >= len(SENDERS) - 4
