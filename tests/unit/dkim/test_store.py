# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime
import re
from pathlib import Path

from ansible_collections.mailstead.stack.plugins.module_utils.dkim import material, store
from hypothesis import given
from hypothesis import strategies as st

UTC = datetime.timezone.utc
TIMES = st.datetimes(datetime.datetime(2020, 1, 1), datetime.datetime(2090, 1, 1), timezones=st.just(UTC))


@given(TIMES, st.sampled_from(["%Y%m", "%Y%m%d", "s%y", "Mail%j"]), st.sampled_from(material.ALGORITHMS))
def test_selectors_are_dns_labels_and_differ_at_each_repetition(
    now: datetime.datetime, pattern: str, algorithm: str
) -> None:
    wanted = store.Wanted("example.com", algorithm, pattern)
    names = [store.selector_name(wanted, now, i) for i in range(26)]
    assert len(set(names)) == 26
    assert all(re.fullmatch(r"[a-z0-9]{1,63}", n) for n in names)
    assert all(n.endswith("e" if algorithm == "ed25519" else "r") for n in names)


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), TIMES), min_size=1, max_size=5))
def test_the_newest_key_is_the_active_one(made: list[tuple[str, datetime.datetime]]) -> None:
    record = store.Record(Path("/nonexistent"))
    keys = [store.Key("example.com", "ed25519", f"{n}{i}", Path("/x"), "", t) for i, (n, t) in enumerate(made)]
    active = store.active(keys, record, store.Wanted("example.com", "ed25519", "%Y"))
    assert active is not None
    assert active.created == max(t for _n, t in made)
    assert store.active(keys, record, store.Wanted("example.net", "ed25519", "%Y")) is None


def test_records_of_both_kinds() -> None:
    for algorithm, kind, length in (("rsa-2048", "rsa", 392), ("rsa-4096", "rsa", 736), ("ed25519", "ed25519", 44)):
        found, public = material.describe(material.generate(algorithm))
        assert found == algorithm
        assert len(public) == length
        assert material.record(algorithm, public) == f"v=DKIM1; k={kind}; h=sha256; p={public}"
