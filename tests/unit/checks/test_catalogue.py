# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue, its document and its graph of causes."""

from __future__ import annotations

from ansible_collections.mailstead.stack.plugins.module_utils.checks.catalogue import BY_ID, CHECKS, markdown
from ansible_collections.mailstead.stack.plugins.module_utils.checks.check import AREAS
from ansible_collections.mailstead.stack.plugins.module_utils.checks.report import (
    FROM_PROVIDER,
    INBOUND,
    OUTBOUND,
    TO_PROVIDER,
)

from tests.unit.checks.regenerate import TARGET


def test_the_document_is_the_catalogue() -> None:
    assert TARGET.read_text(encoding="utf-8") == markdown()


def test_ids_and_names_are_unique_and_in_an_area() -> None:
    assert len(BY_ID) == len(CHECKS) >= 30
    assert len({c.slug for c in CHECKS}) == len(CHECKS)
    assert {c.id[0] for c in CHECKS} == set(AREAS)


def test_needs_name_checks_and_never_lead_back() -> None:
    def reach(check: str, seen: frozenset[str]) -> None:
        for need in BY_ID[check].needs:
            assert need not in seen, f"{need} explains itself through {check}"
            reach(need, seen | {need})

    for check in CHECKS:
        reach(check.id, frozenset({check.id}))


def test_the_drawing_names_checks_that_exist() -> None:
    assert {c for _n, ids in (*INBOUND, *OUTBOUND, *TO_PROVIDER, *FROM_PROVIDER) for c in ids} <= set(BY_ID)
