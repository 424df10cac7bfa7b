# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges: pure functions from plan and observations to findings. No I/O, no clock of their own."""

from __future__ import annotations

from typing import Callable, Iterable, Iterator, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import Finding, settle
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges import (
    dkim,
    dmarc,
    dns,
    egress,
    hosted,
    identity,
    inbound,
    path,
    policy,
    routing,
    senders,
    sending,
    smtp,
    spf,
    tls,
    tunnel,
)
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.case import Case
from ansible_collections.mailstead.stack.plugins.module_utils.checks.observation import Observation, Observations
from ansible_collections.mailstead.stack.plugins.module_utils.checks.view import View
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import MailPlan
from ansible_collections.mailstead.stack.plugins.module_utils.plan.resolve import Facts

JUDGES: Tuple[Callable[[Case], Iterator[Finding]], ...] = (
    identity.judge,
    egress.judge,
    inbound.judge,
    dns.judge,
    spf.judge,
    dkim.judge,
    dmarc.judge,
    policy.judge,
    tls.judge,
    smtp.judge,
    path.judge,
    routing.judge,
    hosted.judge,
    senders.judge,
    tunnel.judge,
    sending.judge,
)


def judge(plan: MailPlan, observations: Iterable[Observation], facts: Facts, now: float) -> Tuple[Finding, ...]:
    """All findings, settled and sorted by verdict. now: seconds since the epoch, for the age of certificates."""
    case = Case(View(plan, facts), Observations(observations), now)
    return settle(finding for one in JUDGES for finding in one(case))
