# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains whose mailboxes are at a provider: its profile says what has to be published. Pure."""

from __future__ import annotations

from typing import List, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.intent import model as intent_model
from ansible_collections.mailstead.stack.plugins.module_utils.intent.parties import parties_of, taker_of
from ansible_collections.mailstead.stack.plugins.module_utils.plan import records, routing
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import EdgePlan, HostedPlan, Record
from ansible_collections.mailstead.stack.plugins.module_utils.plan.records import TTL
from ansible_collections.mailstead.stack.plugins.module_utils.providers.model import Profile


def hosted_plan(intent: intent_model.Intent, domain: intent_model.Domain) -> HostedPlan:
    """The plan of a domain whose mailboxes are at a provider. Raises MailsteadError without the provider's profile."""
    profile = profile_of(intent, domain)
    (party,) = taker_of(intent, domain)
    keys = [(party.fill(key.selector), party.fill(key.value)) for key in profile.dkim if key.kind != "managed"]
    return HostedPlan(
        name=domain.name,
        unicode_name=domain.unicode_name,
        zone=domain.zone,
        provider=profile.id,
        title=profile.title,
        state=domain.state,
        mx=tuple(f"{mx.preference or 0} {party.fill(mx.host)}" for mx in profile.mx),
        selectors=tuple(
            f"{selector}._domainkey.{domain.name}".lower() for selector, value in keys if selector and value
        ),
        senders=routing.sender_plans(intent, domain),
        dmarc=routing.dmarc_plan(intent, domain),
        policy_why=routing.policy_why(intent, domain),
        mta_sts=domain.mta_sts,
        tls_rpt=domain.tls_rpt,
        webmail=f"{domain.webmail}.{domain.name}".lower() if domain.webmail else "",
    )


def profile_of(intent: intent_model.Intent, domain: intent_model.Domain) -> Profile:
    assert domain.inbound is not None
    profile = intent.profile(domain.inbound.provider)
    if profile is None:
        what = f"the provider {domain.inbound.provider} has no profile"
        fix = "read the intent with the profiles of templates/providers"
        raise MailsteadError.one("MS-PLAN-005", domain.name, what, fix)
    return profile


def of_hosted(intent: intent_model.Intent, plan: HostedPlan, through: Sequence[EdgePlan] = ()) -> Tuple[Record, ...]:
    """The records of a hosted domain: exchangers, keys, verification, web mail, SPF, DMARC, TLS-RPT.

    through: the edges from which our own servers send for it.
    """
    if plan.state != "present":
        return ()
    domain = next(d for d in intent.domains if d.name == plan.name)
    profile = profile_of(intent, domain)
    why = f"mail for {plan.name} is delivered to {plan.title}"
    out: List[Record] = [Record(plan.zone, plan.name, "MX", mx, TTL, "delivery", "mx", why) for mx in plan.mx]
    # Its keys and names are the mailboxes' too: they are published whoever sends.
    out += routing.provider_records(domain, parties_of(intent, domain))
    composed = routing.spf(intent, domain, through)
    out.append(Record(plan.zone, plan.name, "TXT", composed.text, TTL, "policy", "spf", routing.spf_why(composed)))
    why = f"policy {plan.dmarc.policy}: senders are {', '.join(s.title for s in plan.senders) or 'none'} (RFC 9989)"
    out += records.reports(plan.zone, plan.name, plan.dmarc, plan.tls_rpt, why)
    if plan.webmail:
        why = f"web mail of {plan.title}; never proxied, or its certificate would not match"
        out.append(Record(plan.zone, plan.webmail, "CNAME", profile.webmail, TTL, "delivery", "webmail", why))
    return tuple(out)
