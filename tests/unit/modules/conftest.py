# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No test of a module asks the real DNS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.dns import spf_lookup
from ansible_collections.mailstead.stack.plugins.module_utils.dns.spf_cost import Answer, Question


class NoAnswers:
    """A resolver that cannot be reached."""

    def __call__(self, questions: Sequence[Question]) -> Mapping[Question, Answer]:
        return dict.fromkeys(questions, ("error", ()))


@pytest.fixture(autouse=True)
def fixture_no_live_dns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spf_lookup, "LiveAnswers", NoAnswers)
