# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import datetime
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.dkim import material, store
from ansible_collections.mailstead.stack.plugins.modules import dkim_keys
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.unit.plugins.modules import Answer, run_module

RSA = {"domain": "example.com", "algorithm": "rsa-2048"}
ED = {"domain": "example.com", "algorithm": "ed25519"}
Run = Callable[..., Answer]
UTC = datetime.timezone.utc


@pytest.fixture
def keys(tmp_path: Path) -> Run:
    def run(*wanted: Any, check: bool = False, **more: Any) -> Answer:
        given = {
            "directory": str(tmp_path / "dkim"),
            "owner": os.getuid(),
            "state_file": str(tmp_path / "state/dkim.json"),
        }
        return run_module(dkim_keys.main, check=check, keys=list(wanted), **{**given, **more})

    return run


@pytest.fixture
def month(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Set the module's clock to the first of a month of 2026."""

    def at(number: int) -> None:
        class Clock(datetime.datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return datetime.datetime(2026, number, 1, 12, 0, 0, tzinfo=tz)

        fake = type(sys)("datetime")
        fake.__dict__.update(datetime.__dict__)
        fake.__dict__["datetime"] = Clock
        monkeypatch.setattr(dkim_keys, "datetime", fake)

    at(1)
    return at


def private_files(tmp_path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(tmp_path)): p.read_bytes() for p in sorted((tmp_path / "dkim").rglob("*.pem"))}


def test_missing_keys_are_made_once(keys: Run, tmp_path: Path, month: Callable[[int], None]) -> None:
    first = keys(RSA, ED)
    assert first.changed
    assert list(private_files(tmp_path)) == ["dkim/example.com/202601e.pem", "dkim/example.com/202601r.pem"]
    before = private_files(tmp_path)
    month(7)
    second = keys(RSA, ED)
    assert not second.changed
    assert private_files(tmp_path) == before
    assert [(k["selector"], k["age_days"]) for k in second.data["keys"]] == [("202601r", 181), ("202601e", 181)]
    assert [k["txt"] for k in first.data["keys"]] == [k["txt"] for k in second.data["keys"]]


def test_records_are_complete_and_fit_the_private_keys(keys: Run) -> None:
    rsa, ed = keys(RSA, ED, container_directory="/inside").data["keys"]
    assert rsa["txt"] == f"v=DKIM1; k=rsa; h=sha256; p={rsa['public_key']}"
    assert ed["txt"] == f"v=DKIM1; k=ed25519; h=sha256; p={ed['public_key']}"
    assert len(rsa["public_key"]) == 392
    assert len(ed["public_key"]) == 44
    assert rsa["container_path"] == f"/inside/example.com/{rsa['selector']}.pem"
    for key in (rsa, ed):
        assert material.describe(Path(key["path"]).read_bytes()) == (key["algorithm"], key["public_key"])


def test_a_mail_signed_with_the_key_verifies_against_the_record(keys: Run) -> None:
    dkim = pytest.importorskip("dkim")
    message = b"From: a@example.com\r\nTo: b@example.org\r\nSubject: x\r\n\r\nhi\r\n"
    for key in keys(RSA, ED).data["keys"]:
        kind = {"rsa-2048": b"rsa-sha256", "ed25519": b"ed25519-sha256"}[key["algorithm"]]
        pem = Path(key["path"]).read_bytes()
        if key["algorithm"] == "ed25519":
            # dkimpy wants the seed in base64.
            loaded = serialization.load_pem_private_key(pem, None)
            raw = loaded.private_bytes(
                serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
            )
            pem = base64.b64encode(raw)
        signature = dkim.sign(message, key["selector"].encode(), b"example.com", pem, signature_algorithm=kind)
        assert dkim.verify(signature + message, dnsfunc=lambda name, timeout=5, key=key: key["txt"].encode())


def test_private_halves_are_for_the_server_alone(keys: Run, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        answer = keys(RSA, ED, owner=2000, group=2001)
    finally:
        os.umask(old)
    for key in answer.data["keys"]:
        status = Path(key["path"]).stat()
        assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o600, 2000, 2001)
        assert "PRIVATE" not in answer.raw
    for directory in (tmp_path / "dkim", tmp_path / "dkim/example.com"):
        assert directory.stat().st_mode & 0o7777 == 0o711
    assert not [p for p in (tmp_path / "dkim").rglob("*") if p.name.startswith(".")]


def test_check_mode_predicts(keys: Run, tmp_path: Path) -> None:
    predicted = keys(RSA, ED, check=True)
    assert predicted.changed
    assert not (tmp_path / "dkim").exists()
    assert not (tmp_path / "state").exists()
    assert all(k["pending"] and "txt" not in k for k in predicted.data["keys"])
    made = keys(RSA, ED)
    for key in ("domain", "algorithm", "selector", "path", "container_path"):
        assert [k[key] for k in predicted.data["keys"]] == [k[key] for k in made.data["keys"]]
    assert predicted.data["diff"] == made.data["diff"]
    assert not keys(RSA, ED, check=True).changed


def test_a_second_key_of_the_same_month_gets_a_letter(keys: Run, tmp_path: Path, month: Callable[[int], None]) -> None:
    keys(RSA)
    larger = {**RSA, "algorithm": "rsa-4096"}
    made = keys(larger)
    assert [k["selector"] for k in made.data["keys"]] == ["202601br"]
    both = keys(RSA, larger)
    assert not both.changed
    assert [k["selector"] for k in both.data["keys"]] == ["202601r", "202601br"]
    fresh = keys({**RSA, "domain": "example.net"}, {**larger, "domain": "example.net"})
    assert [k["selector"] for k in fresh.data["keys"]] == ["202601r", "202601br"]


def test_a_name_is_never_used_twice(keys: Run, tmp_path: Path, month: Callable[[int], None]) -> None:
    """Not even when the key and its file are gone: somebody may still have the old record cached."""
    keys(ED)
    (tmp_path / "dkim/example.com/202601e.pem").unlink()
    assert [k["selector"] for k in keys(ED).data["keys"]] == ["202601be"]
    record = tmp_path / "state/dkim.json"
    data = json.loads(record.read_text())
    data["tombstones"] = [f"example.com/202601{letter}e" for letter in "cdefghijklmnopqrstuvwxy"]
    record.write_text(json.dumps(data))
    (tmp_path / "dkim/example.com/202601be.pem").unlink()
    assert [k["selector"] for k in keys(ED).data["keys"]] == ["202601ze"]
    (tmp_path / "dkim/example.com/202601ze.pem").unlink()
    answer = keys(ED)
    assert answer.data["problems"][0]["code"] == "MS-DKIM-005"


def test_a_retired_key_is_not_the_active_one(keys: Run, tmp_path: Path, month: Callable[[int], None]) -> None:
    keys(ED)
    record = tmp_path / "state/dkim.json"
    data = json.loads(record.read_text())
    data["keys"]["example.com/202601e"]["retired"] = "2026-03-01T00:00:00+00:00"
    record.write_text(json.dumps(data))
    month(3)
    assert [k["selector"] for k in keys(ED).data["keys"]] == ["202603e"]
    assert (tmp_path / "dkim/example.com/202601e.pem").exists()


def test_keys_that_were_there_before_us_are_taken_as_they_are(keys: Run, tmp_path: Path) -> None:
    place = tmp_path / "dkim/example.com"
    place.mkdir(parents=True, mode=0o711)
    for name, age in (("old", 90), ("mine", 10)):
        path = place / f"{name}.pem"
        path.write_bytes(material.generate("ed25519"))
        path.chmod(0o600)
        stamp = datetime.datetime.now(UTC).timestamp() - age * 86400
        os.utime(path, (stamp, stamp))
    answer = keys(ED)
    assert not answer.changed
    (key,) = answer.data["keys"]
    assert (key["selector"], key["age_days"]) == ("mine", 10)
    # Touching the file later does not make it younger.
    (place / "mine.pem").touch()
    assert keys(ED).data["keys"][0]["age_days"] == 10


def test_unsafe_keys_are_refused_with_the_command(keys: Run, tmp_path: Path) -> None:
    keys(RSA, ED)
    selector = keys(ED).data["keys"][0]["selector"]
    path = tmp_path / f"dkim/example.com/{selector}.pem"
    path.chmod(0o640)
    answer = keys(RSA, ED, {**ED, "domain": "example.net"})
    (problem,) = answer.data["problems"]
    assert (problem["code"], problem["where"]) == ("MS-DKIM-001", str(path))
    assert problem["fix"] == f"Run: chmod 600 {path}"
    assert path.stat().st_mode & 0o777 == 0o640
    assert not (tmp_path / "dkim/example.net").exists()
    path.chmod(0o600)
    os.chown(path, 12345, 12345)
    assert f"chown {os.getuid()} {path}" in keys(ED).data["problems"][0]["fix"]
    os.chown(path, os.getuid(), os.getgid())
    assert not keys(RSA, ED).failed


def test_files_that_are_no_keys_are_refused_all_at_once(keys: Run, tmp_path: Path) -> None:
    place = tmp_path / "dkim/example.com"
    place.mkdir(parents=True, mode=0o711)
    curve = ec.generate_private_key(ec.SECP256R1())
    encrypted = serialization.BestAvailableEncryption(b"x")
    contents = {
        "empty": b"",
        "text": b"not a key",
        "cut": material.generate("ed25519")[:60],
        "curve": curve.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        "locked": curve.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encrypted),
    }
    for name, data in contents.items():
        (place / f"{name}.pem").write_bytes(data)
        (place / f"{name}.pem").chmod(0o600)
    (place / "link.pem").symlink_to("/etc/hostname")
    answer = keys(ED)
    found = {Path(p["where"]).stem: p["code"] for p in answer.data["problems"]}
    assert found == {**dict.fromkeys(contents, "MS-DKIM-002"), "link": "MS-DKIM-001"}
    assert "PRIVATE" not in answer.raw


def test_directories_that_others_can_write_are_refused(keys: Run, tmp_path: Path) -> None:
    keys(ED)
    for place in (tmp_path / "dkim", tmp_path / "dkim/example.com"):
        place.chmod(0o777)
        answer = keys(ED)
        assert answer.data["problems"][0]["code"] == "MS-DKIM-003"
        assert answer.data["problems"][0]["fix"] == f"Run: chmod 0711 {place}"
        place.chmod(0o711)


@pytest.mark.parametrize(
    "wrong",
    [
        {"domain": "../etc"},
        {"domain": "example.com/x"},
        {"domain": ""},
        {"domain": "bücher.example.org"},
        {"selector": "../%Y"},
        {"selector": "%Y/%m"},
        {"selector": "a" * 64},
        {"selector": "-%Y"},
        {"selector": "%Y %m"},
    ],
)
def test_names_that_cannot_stand_in_dns_or_in_a_path_are_refused(keys: Run, tmp_path: Path, wrong: Any) -> None:
    answer = keys({**ED, **wrong})
    assert [p["code"] for p in answer.data["problems"]] == ["MS-DKIM-004"]
    assert not (tmp_path / "dkim").exists()


def test_the_same_key_twice_is_refused(keys: Run) -> None:
    assert keys(ED, ED).data["problems"][0]["code"] == "MS-DKIM-004"


def test_a_damaged_record_is_not_overwritten(keys: Run, tmp_path: Path) -> None:
    keys(ED)
    record = tmp_path / "state/dkim.json"
    for damage in ("", "{", "[]", '{"keys": [], "tombstones": []}'):
        record.write_text(damage)
        assert keys(ED).data["problems"][0]["code"] == "MS-DKIM-007"
        assert record.read_text() == damage


def test_a_crash_between_key_and_record_loses_nothing(
    keys: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, month: Callable[[int], None]
) -> None:
    def crash(*_: Any) -> None:
        raise OSError(28, "No space left on device", "dkim.json")

    with monkeypatch.context() as patched:
        patched.setattr(store.Record, "note", crash)
        answer = keys(ED)
        assert answer.data["problems"][0]["code"] == "MS-DKIM-006"
        assert "No space left" in answer.message
    before = private_files(tmp_path)
    assert len(before) == 1
    again = keys(ED)
    assert not again.changed
    assert private_files(tmp_path) == before
    assert json.loads((tmp_path / "state/dkim.json").read_text())["keys"]


def test_a_directory_that_cannot_be_made_is_named(keys: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    answer = keys(ED, directory=str(tmp_path / "file/dkim"))
    assert answer.data["problems"][0]["code"] in ("MS-DKIM-006", "MS-DKIM-003")


def test_without_the_library_the_package_is_named(keys: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dkim_keys, "CRYPTOGRAPHY_ERROR", "ImportError: no module named cryptography")
    answer = keys(ED)
    assert answer.failed
    assert "python3-cryptography" in answer.message
