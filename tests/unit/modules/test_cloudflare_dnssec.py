# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module cloudflare_dnssec as Ansible runs it, against the API twin on a socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import dns.dnssec
import dns.rdata
import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.mailstead.stack.plugins.doc_fragments.cloudflare import ModuleDocFragment
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.dnssec import ParentUnknownError
from ansible_collections.mailstead.stack.plugins.modules import cloudflare_dnssec

from lab.twins.cloudflare import Twin, TwinConfig
from lab.twins.cloudflare.server import Running
from tests.unit.cloudflare.support import TOKEN

DS = "2371 13 2 " + "ab" * 32


class Run:
    """Runs the module; parent: the DS records that the parents publish, or the error of asking."""

    def __init__(self, twin: Twin, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.twin, self.url, self.capsys = twin, url, capsys
        self.parent: tuple[str, ...] | ParentUnknownError = ()

    def parent_ds(self, _zone: str) -> tuple[str, ...]:
        if isinstance(self.parent, ParentUnknownError):
            raise self.parent
        return self.parent

    def __call__(self, *zones: dict[str, Any], check: bool = False, **params: Any) -> dict[str, Any]:
        given = {"api_token": TOKEN, "base_url": self.url, "zones": list(zones), **params}
        hidden = {"_ansible_check_mode": check, "_ansible_diff": True}
        with patch_module_args({**given, **hidden}), pytest.raises(SystemExit) as caught:
            cloudflare_dnssec.main()
        out = self.capsys.readouterr().out
        assert TOKEN not in out
        result: dict[str, Any] = json.loads(out)
        assert caught.value.code == (1 if result.get("failed") else 0)
        return result


@pytest.fixture(name="run")
def fixture_run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    twin = Twin(
        TwinConfig.from_data(
            {
                "zones": [{"name": "example.com"}, {"name": "example.org", "dnssec": "active"}],
                "tokens": [{"token": TOKEN}],
            }
        )
    )
    with Running(twin, ["127.0.0.1:0"]) as server:
        run = Run(twin, server.urls[0] + "/client/v4", capsys)
        monkeypatch.setattr(cloudflare_dnssec, "parent_ds", run.parent_ds)
        yield run


def codes(result: dict[str, Any]) -> list[str]:
    assert all(p["where"] and p["what"] and p["fix"] for p in result["problems"])
    return [p["code"] for p in result["problems"]]


def test_check_then_enable_then_nothing(run: Run) -> None:
    zones = [{"name": "Example.COM."}, {"name": "example.org"}]
    planned = run(*zones, check=True)
    assert planned["changed"] and planned["requests"] == 3 and planned["instructions"] == []
    assert run.twin.zone("example.com").dnssec.status == "disabled"
    assert [(z["status"], z["changed"], z["written"]) for z in planned["zones"]] == [
        ("pending", True, False),
        ("active", False, False),
    ]
    assert planned["zones"][0]["ds"] is None
    done = run(*zones)
    assert done["changed"] and done["requests"] == 4 and done["diff"] == planned["diff"]
    assert done["diff"] == [
        {
            "before_header": "DNSSEC of example.com",
            "after_header": "DNSSEC of example.com",
            "before": "dnssec: disabled\n",
            "after": "dnssec: enabled\n",
        }
    ]
    again = run(*zones)
    assert not again["changed"] and again["diff"] == [] and again["zones"][0]["status"] == "pending"
    assert again["instructions"] == done["instructions"]


def test_the_ds_for_the_registrar(run: Run) -> None:
    zone = run({"name": "example.com"})
    (shown,) = zone["zones"]
    key = dns.rdata.from_text("IN", "DNSKEY", shown["dnskey"]["record"].split(" DNSKEY ")[1])
    made = dns.dnssec.make_ds("example.com.", key, "SHA256")
    assert shown["ds"] == {
        "key_tag": made.key_tag,
        "algorithm": 13,
        "digest_type": 2,
        "digest": made.digest.hex().upper(),
        "record": f"example.com. 3600 IN DS {made.key_tag} 13 2 {made.digest.hex().upper()}",
    }
    assert (shown["dnskey"]["flags"], shown["dnskey"]["protocol"]) == (257, 3) and shown["parent_ds"] is None
    (text,) = zone["instructions"]
    words = [f"key tag {made.key_tag}", "algorithm 13", "digest type 2", f"digest {made.digest.hex().upper()}"]
    positions = [text.index(word) for word in words]
    assert positions == sorted(positions) and shown["dnskey"]["public_key"] in text


def test_flags_show_in_the_difference(run: Run) -> None:
    result = run({"name": "example.org", "multi_signer": True, "nsec3": False})
    assert result["zones"][0]["multi_signer"] is True and not result["zones"][0]["presigned"]
    assert result["diff"][0]["before"] == "dnssec: enabled\nmulti_signer: false\nnsec3: false\n"
    assert result["diff"][0]["after"] == "dnssec: enabled\nmulti_signer: true\nnsec3: false\n"


def test_disabling_is_guarded(run: Run) -> None:
    off = {"name": "example.org", "state": "disabled"}
    run.parent = (DS,)
    refused = run(off)
    assert codes(refused) == ["MS-CF-020"] and DS in refused["msg"] and "changed" not in refused
    assert run.twin.zone("example.org").dnssec.status == "active"
    run.parent = ParentUnknownError("no server of org answers")
    assert codes(run(off, check=True)) == ["MS-CF-021"]
    allowed = run(off, allow=["unknown_ds"])
    assert allowed["changed"] and "unknown_ds is allowed" in str(allowed["warnings"])
    assert allowed["zones"][0]["status"] == "pending-disabled" and allowed["instructions"] == []
    run.parent = ()
    assert not run(off)["changed"]


def test_the_error_state_fails_after_the_other_zones_were_done(run: Run) -> None:
    run.twin.zone("example.org").set_dnssec("error")
    run.parent = (DS,)
    result = run({"name": "example.com"}, {"name": "example.org"})
    assert codes(result) == ["MS-CF-022"] and result["changed"]
    assert result["zones"][1]["parent_ds"] == [DS] and len(result["instructions"]) == 2
    assert run.twin.zone("example.com").dnssec.status == "pending"


def test_waiting(run: Run) -> None:
    late = run({"name": "example.com"}, wait=True, wait_deadline=0)
    assert codes(late) == ["MS-CF-023"] and late["changed"] and late["zones"][0]["ds"]["digest"] in late["msg"]
    run.twin.zone("example.com").activate_dnssec()
    assert not run({"name": "example.com"}, wait=True, wait_deadline=0).get("failed")
    assert not run({"name": "example.com"}, wait=True, wait_deadline=0, check=True).get("failed")


def test_mistakes_in_the_list(run: Run) -> None:
    result = run({"name": "example.com"}, {"name": "EXAMPLE.com"}, {"name": "not a name"})
    assert codes(result) == ["MS-DNS-007", "MS-DNS-001"] and result["requests"] == 0
    assert codes(run({"name": "example.com"}, base_url="http://192.0.2.1/client/v4")) == ["MS-CF-013"]


def test_documentation_and_argument_spec_agree() -> None:
    documented = yaml.safe_load(cloudflare_dnssec.DOCUMENTATION)["options"]
    documented.update(yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"])
    spec = cloudflare_dnssec.argument_spec()

    def same(docs: dict[str, Any], given: dict[str, Any]) -> None:
        assert set(docs) == set(given)
        for name, option in docs.items():
            for field in ("type", "required", "default", "elements", "choices"):
                assert option.get(field) == given[name].get(field), (name, field)
            if "options" in given[name]:
                same(option["suboptions"], given[name]["options"])

    same(documented, spec)
