# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ptr_record as Ansible runs it, against a name server on loopback."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.link import Key
from ansible_collections.mailstead.stack.plugins.modules import ptr_record

from lab.twins.http import Fault, serve
from tests.unit.dns.authority import Authority
from tests.unit.ptr.support import NAME, OLD, VENDORS, Vendor, v4, vendor
from tests.unit.ptr.support import V6 as RENTED6

SECRET = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
V4 = "1.18.198.in-addr.arpa"
V6 = "0.0.0.0.2.0.0.0.1.0.0.2.ip6.arpa"
NAME4 = f"10.{V4}"


@pytest.fixture(name="ptr")
def fixture_ptr(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(records: list[dict[str, Any]], check: bool = False, **more: Any) -> dict[str, Any]:
        given = {"records": records, "_ansible_check_mode": check, "_ansible_diff": True, **more}
        with patch_module_args(given), pytest.raises(SystemExit) as caught:
            ptr_record.main()
        out = capsys.readouterr().out
        assert SECRET not in out
        result: dict[str, Any] = json.loads(out)
        assert caught.value.code == (1 if result.get("failed") else 0)
        return result

    return run


def update(address: str, at: Authority, **options: Any) -> dict[str, Any]:
    given = {"server": "127.0.0.1", "port": at.port, "zone": V4, "key_name": "mailstead-ptr", **options}
    return {
        "address": address,
        "name": "mail.example.com",
        "host": "vps1",
        "provider": "rfc2136",
        "options": {k: v for k, v in given.items() if v is not None},
        "secret": SECRET,
    }


def authority() -> Authority:
    keys = Key("mailstead-ptr", "hmac-sha256", SECRET).ring()
    return Authority({V4: {(NAME4, "PTR"): ["vps1.provider.example."]}, V6: {}}, keys)


def test_check_then_apply_then_nothing(ptr: Any) -> None:
    with authority() as server:
        records = [update("198.18.1.10", server), update("2001:2:0:2::10", server)]
        planned = ptr(records, check=True)
        assert planned["changed"] and server.updates == 0
        assert planned["diff"]["before"] == f"{NAME4}. IN PTR vps1.provider.example. ; 198.18.1.10\n"
        assert len(planned["diff"]["after"].splitlines()) == 2
        done = ptr(records)
        assert done["records"] == planned["records"] and done["diff"] == planned["diff"]
        assert [(r["status"], r["zone"]) for r in done["records"]] == [("changed", V4), ("changed", V6)]
        assert server.zones[V4] == {(NAME4, "PTR"): ["mail.example.com."]}
        again = ptr(records)
        assert not again["changed"] and "diff" not in again
        assert [r["status"] for r in again["records"]] == ["ok", "ok"]


def test_manual_tells_and_changes_nothing(ptr: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, tuple[str, ...] | None] = {
        "198.18.1.10": ("mail.example.com",),
        "198.18.1.11": (),
        "198.18.1.12": None,
    }
    monkeypatch.setattr(ptr_record, "names_of", names.__getitem__)
    records = [{"address": a, "name": "mail.example.com", "host": "vps1"} for a in names]
    result = ptr(records)
    assert not result["changed"]
    assert [r["status"] for r in result["records"]] == ["ok", "manual", "manual"]
    told = [w for w in result["warnings"] if "Set the reverse DNS" in str(w)]
    assert len(result["instructions"]) == 2 == len(told)
    assert "Enter exactly: mail.example.com" in result["instructions"][0]
    # Without dnspython the present name is not known, and that is said.
    monkeypatch.setattr(ptr_record, "DNS_ERROR", "Traceback")
    assert "could not be looked up" in ptr(records[:1])["instructions"][0]
    assert "dnspython" in ptr([{**records[0], "provider": "rfc2136"}])["msg"]


def test_all_mistakes_are_told_at_once_and_nothing_is_written(ptr: Any) -> None:
    with authority() as server:
        records = [
            update("198.18.1.10", server),
            update("not an address", server),
            update("198.18.1.11", server, server=None),
            update("198.18.1.12", server, port=0),
            {**update("198.18.1.13", server), "secret": None},
            {**update("198.18.1.14", server), "secret": "not base64!"},
        ]
        result = ptr(records)
        assert [p["code"] for p in result["problems"]] == ["MS-PTR-001"] + ["MS-PTR-002"] * 4
        assert server.updates == 0
        two = [update("198.18.1.10", server), {**update("198.18.1.10", server), "name": "other.example.com"}]
        assert ptr(two)["problems"][0]["code"] == "MS-PTR-001"


def test_a_server_that_does_not_serve_the_address_stops_all(ptr: Any) -> None:
    with authority() as server:
        result = ptr([update("198.18.1.10", server), update("203.0.113.1", server)])
        assert [p["code"] for p in result["problems"]] == ["MS-DNS-052"] and server.updates == 0


def test_one_refused_key_does_not_hide_what_was_written(ptr: Any) -> None:
    with authority() as good, authority() as bad:
        other = base64.b64encode(b"x" * 32).decode()
        result = ptr([update("198.18.1.10", good), {**update("198.18.1.11", bad), "secret": other}])
        assert result["failed"] and result["changed"]
        assert [p["code"] for p in result["problems"]] == ["MS-DNS-053"]
        assert (good.updates, bad.updates) == (1, 0)


# -- accounts, over HTTP -----------------------------------------------------------------------------------------------


def rented(there: Vendor, url: str, address: str, **more: Any) -> dict[str, Any]:
    """A record of an account as the module takes it."""
    options = {"base_url": url + there.twin.base}
    credential = {"token": there.secret}
    if there.word == "aws":
        credential = {"secret_key": there.secret}
        options.update(region="eu-central-1", access_key="AKIDEXAMPLE")
    record = {"address": address, "name": NAME, "host": "vps1", "provider": there.word, "options": options}
    return {**record, **credential, **more}


@pytest.mark.parametrize("word", VENDORS)
def test_an_account_is_checked_then_set_then_left_alone(ptr: Any, word: str) -> None:
    there = vendor(word)
    addresses = [v4(1)] if word == "aws" else [v4(1), RENTED6]
    with serve(there.twin) as running:
        records = [rented(there, running.urls[0], a) for a in addresses]
        planned = ptr(records, check=True)
        assert planned["changed"] and there.writes() == 0
        assert f"IN PTR {OLD}. ; {v4(1)}" in planned["diff"]["before"]
        done = ptr(records)
        assert done["diff"] == planned["diff"] and done["records"] == planned["records"]
        assert there.names() == dict.fromkeys(addresses, NAME) and there.writes() == len(addresses)
        again = ptr(records)
        assert not again["changed"] and "diff" not in again and {r["status"] for r in again["records"]} == {"ok"}
        # One provider object, so one connection, for all records of an account.
        assert there.twin.log.connections == 3
    assert there.secret not in str([planned, done, again])
    notes = {"vultr": "6 to 12 hours", "aws": "rdns-limits"}
    assert notes.get(word, "") in str(done.get("warnings", "")) and bool(done["records"][0]["note"]) == (word in notes)


def test_what_one_account_has_written_is_told_when_the_other_fails(ptr: Any) -> None:
    good, bad = vendor("hcloud"), vendor("linode", {v4(7): OLD}, forward={})
    with serve(good.twin) as first, serve(bad.twin) as second:
        result = ptr([rented(good, first.urls[0], v4(1)), rented(bad, second.urls[0], v4(7))])
    assert result["failed"] and result["changed"]
    assert [p["code"] for p in result["problems"]] == ["MS-PTR-013"]
    assert good.names()[v4(1)] == NAME
    assert good.secret not in str(result) and bad.secret not in str(result)


def test_nothing_is_written_when_one_address_cannot_be_read(ptr: Any) -> None:
    there, lost = vendor("hcloud"), vendor("vultr")
    lost.twin.faults.add(Fault("status", 9, status=401))
    with serve(there.twin) as first, serve(lost.twin) as second:
        result = ptr([rented(there, first.urls[0], v4(1)), rented(lost, second.urls[0], v4(3))])
    assert [p["code"] for p in result["problems"]] == ["MS-PTR-010"] and not result["changed"]
    assert there.writes() == 0


def test_settings_that_are_missing_or_of_no_use_are_told(ptr: Any) -> None:
    base = {"name": NAME, "host": "vps1"}
    result = ptr(
        [
            {**base, "address": v4(1), "provider": "hcloud"},
            {**base, "address": v4(2), "provider": "aws", "options": {"region": "mars"}, "secret_key": "s" * 40},
            {**base, "address": v4(3), "provider": "linode", "token": "t" * 64, "options": {"server": "ns1"}},
            {**base, "address": v4(4), "provider": "manual", "secret": SECRET},
            {
                **base,
                "address": v4(5),
                "provider": "aws",
                "options": {"region": "mars", "access_key": "AKID"},
                "secret_key": "s" * 40,
            },
            {
                **base,
                "address": v4(6),
                "provider": "vultr",
                "token": "T" * 36,
                "options": {"base_url": "http://x.example"},
            },
        ]
    )
    codes = ["MS-PTR-002"] * 5 + ["MS-PTR-003"]
    assert [p["code"] for p in result["problems"]] == codes
    shown = " ".join(p["what"] for p in result["problems"])
    for words in ("needs token", "needs access_key", "has no use for server", "has no use for secret", "'mars'"):
        assert words in shown


def test_it_waits_for_the_world_where_asked(ptr: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    there = vendor("hcloud")
    asked: list[Any] = []
    monkeypatch.setattr(ptr_record, "wait_confirmed", lambda wanted, deadline: asked.append((wanted, deadline)))
    monkeypatch.setattr(ptr_record, "names_of", lambda address: ())
    with serve(there.twin) as running:
        records = [rented(there, running.urls[0], v4(1))]
        assert ptr(records, check=True, wait_confirmed=True)["confirmed"] is False and not asked
        assert ptr(records, wait_confirmed=True, wait_deadline=7)["confirmed"] is True
        assert [(w.address, deadline) for (w,), deadline in asked] == [(v4(1), 7)]
        by_hand = {"address": v4(9), "name": NAME}
        assert ptr([*records, by_hand], wait_confirmed=True)["confirmed"] is False and len(asked) == 2
        assert ptr([by_hand], wait_confirmed=True)["confirmed"] is False and len(asked) == 2

        def never(wanted: Any, deadline: float) -> None:
            raise MailsteadError.one("MS-PTR-030", "reverse record", "not seen", "wait")

        monkeypatch.setattr(ptr_record, "wait_confirmed", never)
        there.twin.ips[0].names[v4(1)] = OLD
        result = ptr(records, wait_confirmed=True)
        assert result["changed"] and [p["code"] for p in result["problems"]] == ["MS-PTR-030"]
    monkeypatch.setattr(ptr_record, "DNS_ERROR", "Traceback")
    assert "dnspython" in ptr([by_hand], wait_confirmed=True)["msg"]


def test_documentation_and_argument_spec_agree() -> None:
    documented = yaml.safe_load(ptr_record.DOCUMENTATION)["options"]

    def compare(options: dict[str, Any], spec: dict[str, Any], where: str) -> None:
        assert set(options) == set(spec), where
        for name, option in options.items():
            place = f"{where}.{name}"
            for key in ("type", "required", "default", "choices", "elements"):
                assert option.get(key) == spec[name].get(key), (place, key)
            compare(option.get("suboptions", {}), spec[name].get("options", {}), place)

    compare(documented, ptr_record.argument_spec(), "")
