# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page on mailboxes at a provider: its inventory plans as it stands, its checks exist, what the lab proves is what it says."""

from __future__ import annotations

import re
from typing import Any

import yaml
from ansible_collections.mailstead.stack.plugins.module_utils.checks.catalogue import CHECKS
from ansible_collections.mailstead.stack.plugins.module_utils.intent.read import read_intent
from ansible_collections.mailstead.stack.plugins.plugin_utils.profiles import profiles

from tests.lab.test_hosted import POLICIES
from tests.unit.examples import DKIM_VALUE, DOMAIN_A, raw
from tests.unit.plugins.playbook import ROOT

PAGE = (ROOT / "docs" / "hosted.md").read_text(encoding="utf-8")


def blocks() -> list[Any]:
    """What the page would have people write into the inventory."""
    return [yaml.safe_load(text) for text in re.findall(r"^ *```yaml\n(.*?)^ *```", PAGE, re.MULTILINE | re.DOTALL)]


def test_its_domain_can_be_written_as_it_stands_and_with_more_senders() -> None:
    (domain,), more = blocks()[0]["mail_domains"], blocks()[2]
    domain["inputs"]["dkim_value"] = more["also_send_via"][1]["inputs"]["dkim_value"] = DKIM_VALUE
    alone = read_intent(raw([domain], hosts={}), profiles=profiles()).domains[0]
    assert alone.hosted and (alone.webmail, alone.dmarc.policy) == ("mail", "quarantine")
    beside = read_intent(raw([DOMAIN_A, {**domain, **more}]), profiles=profiles()).domains[1]
    assert beside.submission is not None and [s.provider for s in beside.also] == ["stalwart", "postmark"]


def test_the_lab_takes_a_domain_over_with_the_policies_of_the_page() -> None:
    (policies,) = blocks()[1]["dns_foreign"].values()
    assert policies == POLICIES


def test_every_check_it_names_exists() -> None:
    named = set(re.findall(r"\b([A-Z]\d+)\b", PAGE))
    assert {"N3", "F1", "G1"} <= named <= {c.id for c in CHECKS}
