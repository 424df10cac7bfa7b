# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of a report on Email Routing: figures, columns and bars, in a page as reports are."""

from __future__ import annotations

import datetime
import re
import xml.etree.ElementTree as ET
from typing import Any

import jinja2
import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.checks.report import WORDS
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.analytics import SHOWN, Row, Statistics, Window
from ansible_collections.mailstead.stack.plugins.plugin_utils.report_files import TEMPLATES

PAGE = """{% extends "base.html.j2" %}
{% from "email_routing.html.j2" import routing_style, routing_zone %}
{% block title %}Email Routing{% endblock %}
{% block style %}{{ routing_style() }}{% endblock %}
{% block overview %}<h2>Mail</h2>{% for one in report.mail %}{{ routing_zone(one.statistics, one.leaks) }}{% endfor %}{% endblock %}
"""
NAMES = {"r1": "hi@example.org", "r2": "a-very-long-address-that-somebody-chose-for-a-newsletter@sub.example.org"}


def counts(*numbers: int) -> dict[str, int]:
    return dict(zip(SHOWN, (*numbers, *[0] * (len(SHOWN) - len(numbers))), strict=True))


def example(days: int = 14) -> dict[str, Any]:
    window = Window.last(days, datetime.date(2026, 11, 21))
    mail = [counts(3 * n % 17, n % 3, n % 5, n % 4, 1 if n == 5 else 0) for n in range(days)]
    found = Statistics(
        zone="example.org",
        window=window,
        days=tuple(Row((date,), one) for date, one in zip(window.dates, mail, strict=True)),
        rules=(
            Row(("r1",), counts(80, 9)),
            Row(("r2",), counts(12)),
            Row(("old",), counts(0, 0, 20)),
            Row(("",), counts(0, 0, 0, 18, 1)),
        ),
        authentication=(
            Row(("pass", "pass", "pass"), counts(92, 9, 15)),
            Row(("fail", "none", "fail"), counts(0, 0, 5, 18, 1)),
        ),
        notes=("[MS-CF-042] example.org: <b>noted</b>",),
    )
    return found.to_data(NAMES)


def page(*mail: dict[str, Any]) -> str:
    files = jinja2.FileSystemLoader(str(TEMPLATES))
    loader = jinja2.ChoiceLoader([jinja2.DictLoader({"page.html.j2": PAGE}), files])
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    report = {
        "mail": mail,
        "exit_code": 0,
        "outcome": "all is well",
        "subjects": ["example.org"],
        "generated": "2026-11-21T10:00:00Z",
        "counts": dict.fromkeys(("fail", "warn", "unknown", "pass", "na"), 0),
        "error": "",
        "labels": [],
        "findings": [],
        "areas": [],
    }
    return environment.get_template("page.html.j2").render(report=report, words=WORDS)


def part(text: str) -> ET.Element:
    """The part on the zone; it is well-formed XML as well."""
    found = re.search(r'<section class="routing".*?</section>', text, re.DOTALL)
    assert found is not None
    return ET.fromstring(found.group())


def words(element: ET.Element) -> str:
    return "".join(element.itertext()).strip()


def columns(tree: ET.Element) -> list[list[float]]:
    """Heights of the rectangles of each day."""
    chart = next(s for s in tree.iter("svg") if s.get("role") == "img")
    return [[float(r.get("height", "")) for r in group.iter("rect")] for group in chart.iter("g")]


def test_the_columns_are_as_high_as_the_figures() -> None:
    statistics = example()
    largest = max(day["total"] for day in statistics["days"])
    heights = columns(part(page({"statistics": statistics, "leaks": []})))
    assert len(heights) == 14
    for day, column in zip(statistics["days"], heights, strict=True):
        expected = [day["counts"][name] * 110 / largest for name in SHOWN if day["counts"][name]]
        assert column == pytest.approx(expected, abs=0.06)


def test_every_figure_stands_in_a_table_and_strangers_words_are_only_words() -> None:
    text = page({"statistics": example(), "leaks": ["shop@example.org <script>alert(1)</script>"]})
    tree = part(text)
    days, rules, authentication = ([[words(cell) for cell in row] for row in t.iter("tr")] for t in tree.iter("table"))
    assert len(days) == 15 and days[1][0] == "2026-11-08"
    assert rules[1][0] == "hi@example.org" and rules[1][1:6] == ["80", "9", "0", "0", "0"]
    assert [r[0] for r in rules[3:]] == ["a rule that is gone", "no rule"]
    assert authentication[2][:3] == ["fail", "none", "fail"]
    assert "<script" not in text and "&lt;script&gt;" in text and "&lt;b&gt;noted" in text
    assert "http" not in text.replace("http-equiv", "")


def test_a_zone_without_mail_says_so() -> None:
    window = Window.last(3, datetime.date(2026, 11, 21))
    empty = Statistics("example.com", window, tuple(Row((d,), counts()) for d in window.dates), (), ())
    text = page({"statistics": empty.to_data({}), "leaks": []})
    assert "No mail in this time." in text and not list(part(text).iter("table"))


def test_many_rules_are_summed_up() -> None:
    statistics = example()
    statistics["rules"] = [
        {"id": str(n), "name": f"n{n}@example.org", "total": 2, "counts": counts(2)} for n in range(25)
    ]
    assert "and 5 more with 10 together" in page({"statistics": statistics, "leaks": []})
