# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Saved states of zones: written whole, read strictly, never over one another."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import dns.name
import dns.rdatatype
import dns.zone
import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.dns import history
from ansible_collections.mailstead.stack.plugins.module_utils.dns.history import Snapshot
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Change, Have

from tests.unit.cloudflare.support import mail_set

TAKEN = "20261121T143000Z"
NOON = 1795264200.0  # 2026-11-21T12:30:00Z


def records() -> tuple[Have, ...]:
    ours = [
        Have(w.name, w.type, w.content, w.ttl, id=f"id{n}", comment=f"mailstead:mailstead:{w.role}")
        for n, w in enumerate(mail_set())
    ]
    others = [
        Have("example.com", "NS", "a.ns.example", 86400, id="ns"),
        Have("*.example.com", "TXT", 'wild "card" \\ \udcff\x00; ' + "x" * 600, 300, id="t", comment="two\nlines; ü"),
        Have("www.example.com", "A", "192.0.2.1", 300, id="w", tags=("team:web",), proxied=True),
        Have("example.com", "NAPTR", '10 100 "S" "SIP+D2U" "" _sip._udp.example.com', 300, id="n", read_only=True),
        Have("xn--bcher-kva.example.com", "HTTPS", "1 . alpn=h2", 300, id="h"),
    ]
    return (*ours, *others)


def snapshot(**more: Any) -> Snapshot:
    have = records()
    changes = (
        Change("create", None, Have("new.example.com", "A", "192.0.2.9", 300), "not there yet", "address", "host"),
        Change("update", have[0], have[1], "was different", "policy", "spf"),
        Change("delete", have[2], None, "no longer wanted"),
    )
    given = {"zone": "example.com", "provider": "cloudflare", "instance": "mailstead", "taken": TAKEN}
    return Snapshot(**{**given, "before": have, "changes": changes, "note": "first\nsecond", **more})


def codes(error: pytest.ExceptionInfo[MailsteadError]) -> list[str]:
    assert all(p.fix and p.where for p in error.value.problems)
    return [p.code for p in error.value.problems]


def rewritten(path: str, **changes: Any) -> None:
    """The file with some of its outer fields changed."""
    data = json.loads(Path(path).read_text())
    Path(path).write_text(json.dumps({**data, **changes}))


# -- round trip and files --------------------------------------------------------------------------------------------


def test_what_is_read_is_what_was_saved(tmp_path: Path) -> None:
    path = history.save(str(tmp_path / "dns"), snapshot())
    assert path == str(tmp_path / "dns/example.com" / f"{TAKEN}.json")
    assert history.load(path) == snapshot()


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path = Path(history.save(str(tmp_path / "dns"), snapshot()))
        history.moment(str(tmp_path / "dns"))
    finally:
        os.umask(before)
    files = [path, path.with_suffix(".zone"), tmp_path / "dns/.last"]
    assert [stat.S_IMODE(f.stat().st_mode) for f in files] == [0o600] * 3
    assert [stat.S_IMODE(d.stat().st_mode) for d in (path.parent, path.parent.parent)] == [0o700] * 2
    assert sorted(f.name for f in path.parent.iterdir()) == [f"{TAKEN}.json", f"{TAKEN}.zone"]


def test_the_zone_file_is_one(tmp_path: Path) -> None:
    path = Path(history.save(str(tmp_path), snapshot())).with_suffix(".zone")
    text = path.read_text()
    zone = dns.zone.from_text(text, origin="example.com", relativize=False, check_origin=False)
    found = {(n.to_text(omit_final_dot=True), dns.rdatatype.to_text(r.rdtype)) for n, _ttl, r in zone.iterate_rdatas()}
    assert found == {(r.name, r.type) for r in records()}
    assert sum(1 for _ in zone.iterate_rdatas()) == len(records())
    wild = zone.find_rdataset(dns.name.from_text("*.example.com"), "TXT")[0]
    assert b"".join(wild.strings) == b'wild "card" \\ \xff\x00; ' + b"x" * 600
    mx = zone.find_rdataset(dns.name.from_text("example.com"), "MX")[0]
    assert str(mx.exchange) == "mail.example.com."
    assert "; mailstead:mailstead:mx\n" in text and "; two lines; ü\n" in text and "; proxied | tags team:web\n" in text
    assert text.startswith(
        "; zone example.com at cloudflare as it was at 20261121T143000Z, before 1 additions, 1 changes, 1 deletions\n"
        "; first\n; second\n$ORIGIN .\n"
    )


def test_a_flattened_cname_keeps_the_zone_file_valid() -> None:
    apex = (Have("example.com", "CNAME", "cdn.example.net", 300), Have("example.com", "MX", "0 .", 300))
    text = history.zone_file(snapshot(before=apex, note=""))
    zone = dns.zone.from_text(text, origin="example.com", relativize=False, check_origin=False)
    assert sum(1 for _ in zone.iterate_rdatas()) == 1
    assert "; flattened by the provider: example.com. 300 IN CNAME cdn.example.net.\n" in text


@pytest.mark.parametrize(
    ("zone", "folder"),
    [
        ("Example.COM.", "example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("0/25.2.0.192.in-addr.arpa", "0%2F25.2.0.192.in-addr.arpa"),
        ("../../etc", "%2E.%2F..%2Fetc"),
        ("..", "%2E"),
        (".", "%2E"),
        ("", "%2E"),
        ("a\0b", "a%00b"),
    ],
)
def test_a_zone_cannot_lead_out_of_the_directory(tmp_path: Path, zone: str, folder: str) -> None:
    assert history.folder_of(zone) == folder
    path = Path(history.save(str(tmp_path), snapshot(zone=zone)))
    assert path.parent == tmp_path / folder
    assert history.load(str(path)).zone == zone
    assert history.zones(str(tmp_path)) == [unquote(folder)]
    assert [p.path for p in history.points(str(tmp_path), zone)] == [str(path)]


# -- names of points -------------------------------------------------------------------------------------------------


def test_what_one_run_saves_of_a_zone_again_is_a_further_part(tmp_path: Path) -> None:
    paths = [history.save(str(tmp_path), snapshot(note=str(n))) for n in range(12)]
    found = history.points(str(tmp_path), "example.com")
    assert [p.path for p in found] == paths
    assert [p.taken for p in found][:2] == [TAKEN, f"{TAKEN}.2"] and found[-1].taken == f"{TAKEN}.12"
    assert [history.load(p).note for p in paths] == [str(n) for n in range(12)]
    assert [history.load(p.path).taken for p in found] == [p.taken for p in found]


def test_a_run_gets_a_moment_of_its_own(tmp_path: Path) -> None:
    directory = str(tmp_path / "dns")
    given = [history.moment(directory, t) for t in (NOON, NOON, NOON + 0.5, NOON + 1, NOON - 86400, NOON + 2)]
    assert given == [
        "20261121T123000Z",
        "20261121T123000Z-2",
        "20261121T123000Z-3",
        "20261121T123001Z",
        "20261121T123001Z-2",  # the clock went back, the order of points does not
        "20261121T123002Z",
    ]
    assert sorted(given, key=history.order) == given
    (tmp_path / "dns/.last").write_text("nonsense")
    assert history.moment(directory, NOON) == "20261121T123000Z"
    assert history.order(history.moment(directory)) > history.order("20250101T000000Z")


def test_tasks_of_a_run_share_the_name_they_agree_on(tmp_path: Path) -> None:
    directory = str(tmp_path / "dns")

    def named(*asked: str) -> list[str]:
        return [history.moment(directory, NOON, name) for name in asked]

    assert named("20261121T140000Z", "20261121T140000Z") == ["20261121T140000Z"] * 2
    # The clock went back, or two runs take turns: the names stay in the order of what was saved.
    assert named("20261121T130000Z", "20261121T130000Z") == ["20261121T140000Z-2"] * 2
    assert named("20261121T140000Z") == ["20261121T140000Z-3"]
    assert named("20261121T150000Z", "20261121T150000Z-4") == ["20261121T150000Z", "20261121T150000Z-4"]
    # What another run calls itself by the clock is not this run's.
    assert history.moment(directory, NOON + 3 * 3600) == "20261121T153000Z"
    assert named("20261121T153000Z") == ["20261121T153000Z-2"]
    (tmp_path / "dns/.last").write_text("nonsense 20261121T170000Z")
    assert named("20261121T170000Z", "20261121T170000Z") == ["20261121T170000Z"] * 2
    with pytest.raises(ValueError, match="no time"):
        named("today")


def _moments(directory: str, count: int) -> list[str]:
    return [history.moment(directory, NOON) for _ in range(count)]


def test_moments_differ_across_processes(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        given = pool.starmap(_moments, [(str(tmp_path / "dns"), 25)] * 4)
    assert len({m for part in given for m in part}) == 100


def test_zones_saved_at_once(tmp_path: Path) -> None:
    names = [f"z{n}.example" for n in range(16)]
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda z: history.save(str(tmp_path / "a/b"), snapshot(zone=z)), names))
    assert {Path(p).name for p in paths} == {f"{TAKEN}.json"}
    assert history.zones(str(tmp_path / "a/b")) == sorted(names)


def test_what_a_point_and_its_parts_lead_to(tmp_path: Path) -> None:
    for taken in ("20261121T120000Z", TAKEN, TAKEN, "20261121T150000Z"):
        history.save(str(tmp_path), snapshot(taken=taken))
    found = history.since(str(tmp_path), "example.com", TAKEN)
    assert [s.taken for s in found] == [TAKEN, f"{TAKEN}.2", "20261121T150000Z"]
    for wrong in (f"{TAKEN}.2", "20261121T143001Z"):
        with pytest.raises(MailsteadError, match=r"20261121T120000Z, 20261121T143000Z, 20261121T150000Z\.") as error:
            history.since(str(tmp_path), "example.com", wrong)
        assert codes(error) == ["MS-DNS-084"]


def test_a_time_is_one() -> None:
    for wrong in ("", "yesterday", TAKEN + "-0", TAKEN + "-x", "2026-11-21T14:30:00Z"):
        with pytest.raises(ValueError, match="20261121T143000Z"):
            history.order(wrong)


def test_nothing_saved_yet(tmp_path: Path) -> None:
    assert history.zones(str(tmp_path / "none")) == []
    assert history.points(str(tmp_path / "none"), "example.com") == []
    (tmp_path / "empty.example").mkdir()
    (tmp_path / "empty.example/readme.json").write_text("{}")
    assert history.zones(str(tmp_path)) == []


# -- strict reading --------------------------------------------------------------------------------------------------


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = Path(history.save(str(tmp_path), snapshot()))
    whole = path.read_bytes()
    for cut in range(0, len(whole) - 2, 97):
        path.write_bytes(whole[:cut])
        with pytest.raises(MailsteadError, match=r"JSON|saved zone|content") as error:
            history.load(str(path))
        assert codes(error) == ["MS-DNS-081"]
    edited = whole.replace(b"198.18.1.10", b"198.18.1.11")
    for wrong in (
        edited,
        b"[]",
        b'{"format": "other"}',
        b"\xff",
        whole.replace(b'"proxied": true', b'"proxied": false'),
    ):
        path.write_bytes(wrong)
        with pytest.raises(MailsteadError) as error:
            history.load(str(path))
        assert codes(error) == ["MS-DNS-081"]
    path.write_bytes(whole)
    assert history.load(str(path)) == snapshot()


def test_a_file_of_another_shape_is_refused(tmp_path: Path) -> None:
    path = history.save(str(tmp_path), snapshot())
    body = json.loads(Path(path).read_text())["snapshot"]
    shapes: list[Any] = [
        {**body, "future": 1},
        {k: v for k, v in body.items() if k != "before"},
        [],
        {**body, "before": [3]},
    ]
    for wrong in shapes:
        rewritten(path, snapshot=wrong, sha256=history._digest(wrong))
        with pytest.raises(MailsteadError) as error:
            history.load(path)
        assert codes(error) == ["MS-DNS-081"]


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    path = history.save(str(tmp_path), snapshot())
    rewritten(path, version=2)
    with pytest.raises(MailsteadError, match="has version 2") as error:
        history.load(path)
    assert codes(error) == ["MS-DNS-083"]


def test_a_file_of_another_zone_or_time_is_refused(tmp_path: Path) -> None:
    path = Path(history.save(str(tmp_path), snapshot()))
    other = tmp_path / "example.org"
    other.mkdir()
    moved = [other / path.name, path.with_name("20261121T143001Z.json")]
    for target in moved:
        target.touch(0o600)
        target.write_bytes(path.read_bytes())
        with pytest.raises(MailsteadError, match=r"holds the zone example\.com at 20261121T143000Z") as error:
            history.load(str(target))
        assert codes(error) == ["MS-DNS-082"]


def test_a_file_open_to_others_is_refused(tmp_path: Path) -> None:
    path = Path(history.save(str(tmp_path), snapshot()))
    path.chmod(0o644)
    with pytest.raises(MailsteadError, match="chmod 600") as error:
        history.load(str(path))
    assert codes(error) == ["MS-DNS-081"]
    with pytest.raises(MailsteadError) as error:
        history.load(str(tmp_path / "missing.json"))
    assert codes(error) == ["MS-DNS-081"]


# -- failures and retention ------------------------------------------------------------------------------------------


def test_no_room_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    history.save(str(tmp_path), snapshot())
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MailsteadError, match="No space left on device") as error:
        history.save(str(tmp_path), snapshot(taken="20261121T150000Z"))
        assert codes(error) == ["MS-DNS-080"]
    assert [p.taken for p in history.points(str(tmp_path), "example.com")] == [TAKEN]
    assert not list(tmp_path.glob("*/.*"))


def test_a_directory_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MailsteadError) as error:
        history.save(str(tmp_path / "file"), snapshot())
    assert codes(error) == ["MS-DNS-080"]
    with pytest.raises(MailsteadError) as error:
        history.moment(str(tmp_path / "file"))
    assert codes(error) == ["MS-DNS-080"]


def test_the_oldest_go_first_and_by_name(tmp_path: Path) -> None:
    for _ in range(4):
        history.save(str(tmp_path), snapshot(taken=history.moment(str(tmp_path), NOON)))
    history.save(str(tmp_path), snapshot(taken="20261121T123000Z"))  # a second part
    every = history.points(str(tmp_path), "example.com")
    assert [p.taken[16:] for p in every] == ["", ".2", "-2", "-3", "-4"]
    assert history.prune(str(tmp_path), "example.com", 3, dry=True) == every[:2]
    assert history.points(str(tmp_path), "example.com") == every
    assert history.prune(str(tmp_path), "example.com", 3) == every[:2]
    assert history.points(str(tmp_path), "example.com") == every[2:]
    Path(every[2].path).with_suffix(".zone").unlink()
    # The last one stays whatever is asked for.
    assert history.prune(str(tmp_path), "example.com", 0) == every[2:4]
    assert sorted(p.name for p in (tmp_path / "example.com").iterdir()) == [
        "20261121T123000Z-4.json",
        "20261121T123000Z-4.zone",
    ]
    assert history.prune(str(tmp_path), "example.com", 5) == []


def test_what_cannot_be_removed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        history.save(str(tmp_path), snapshot(taken=history.moment(str(tmp_path), NOON)))

    def refuse(_path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(MailsteadError, match="Permission denied") as error:
        history.prune(str(tmp_path), "example.com", 1)
    assert codes(error) == ["MS-DNS-080"]
