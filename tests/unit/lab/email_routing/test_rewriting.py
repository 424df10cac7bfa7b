# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Return paths of forwarded mail: made, recognised, and not to be forged."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.email_routing import rewriting

NOW = 1_795_000_000.0
LOCAL = st.from_regex(r"[a-z0-9.+=_-]{1,40}", fullmatch=True)


def test_the_form_is_the_one_seen_on_forwarded_mail() -> None:
    made = rewriting.forward("noreply@github.com", "example.me", "s", NOW)
    assert re.fullmatch(r"SRS0=[A-Za-z0-9_-]{4}=[a-z2-7]{2}=github\.com=noreply@example\.me", made)


def test_a_bounce_keeps_its_null_return_path() -> None:
    assert rewriting.forward("", "example.me", "s", NOW) == ""


@given(local=LOCAL, now=st.floats(0, 4e9))
def test_every_sender_comes_back(local: str, now: float) -> None:
    sender = f"{local}@sender.example.org"
    made = rewriting.forward(sender, "example.me", "secret", now)
    assert rewriting.reverse(made, "secret") == sender


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.replace("noreply", "somebody"),
        lambda a: a.replace("github.com", "example.org"),
        lambda a: a.replace("SRS0", "SRS1"),
        lambda a: "noreply@example.me",
    ],
    ids=["other local part", "other domain", "other scheme", "no such address"],
)
def test_what_somebody_made_up_stands_for_nobody(change: object) -> None:
    made = rewriting.forward("noreply@github.com", "example.me", "secret", NOW)
    assert callable(change)
    assert rewriting.reverse(change(made), "secret") == ""


def test_the_secret_decides() -> None:
    made = rewriting.forward("noreply@github.com", "example.me", "one", NOW)
    assert rewriting.reverse(made, "another") == ""


def test_days_differ_and_come_round() -> None:
    day = 86400
    assert rewriting.day(NOW) != rewriting.day(NOW + day)
    assert rewriting.day(NOW) == rewriting.day(NOW + 1024 * day)
