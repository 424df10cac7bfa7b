# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Example B run by ansible-playbook against the API twin: taken in, waiting for a click, in force, unchanged."""

from __future__ import annotations

import json
import re
import socketserver
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.twins.cloudflare import Twin, TwinConfig
from lab.twins.cloudflare.server import Running, tls_context
from tests.unit.examples import DOMAIN_B
from tests.unit.lab.twins.test_twin_server import certificate
from tests.unit.plugins.playbook import ROOT, ansible_playbook, output, write_inventory
from tests.unit.plugins.test_preflight_zones import Tunnel

ME, YOU = "example.me", "you@gmail.com"
TOKEN, NARROW = "t" * 40, "n" * 40
OPERATOR = {
    "mail_operator": {"email": YOU, "dns": {"provider": "cloudflare", "token": "{{ vault_cloudflare }}"}},
}
HOSTS = {"all": {"hosts": {"localhost": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}}}}
SCOPES = [
    "Zone:Read",
    "DNS:Edit",
    "Zone Settings:Edit",
    "Email Routing Rules:Edit",
    "Email Routing Addresses:Edit",
    "Workers Scripts:Edit",
    "Email Sending:Edit",
]


@pytest.fixture(name="api")
def fixture_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Twin]:
    tokens = [{"token": TOKEN, "scopes": SCOPES}, {"token": NARROW, "scopes": SCOPES[:3]}]
    config = {"zones": [{"name": ME}], "tokens": tokens}
    twin = Twin(TwinConfig.from_data(config))
    files = certificate(tmp_path)
    with (
        Running(twin, ["127.0.0.1:0"], tls_context(*files)) as running,
        socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tunnel) as proxy,
    ):
        proxy.daemon_threads = True
        proxy.twin_port = running.servers[0].port  # type: ignore[attr-defined]
        threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True).start()
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.server_address[1]}")
        monkeypatch.setenv("SSL_CERT_FILE", files[0])
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield twin
        proxy.shutdown()


def domains(outbound: Any = None, **inbound: Any) -> str:
    domain = {**DOMAIN_B, "inbound": {**DOMAIN_B["inbound"], **inbound}}
    domain["outbound"] = outbound or domain["outbound"]
    return yaml.safe_dump({"mail_domains": [domain]}, explicit_start=True, sort_keys=False)


#: The records and the facts of email_routing.yml, without waiting for name servers that no test can have.
REST = """\
- name: Publish and read back
  hosts: localhost
  gather_facts: false
  tasks:
    - mailstead.stack.mail_plan:
      register: mailstead
    - ansible.builtin.include_tasks: {root}/playbooks/tasks/email_routing_facts.yml
    - mailstead.stack.cloudflare_zone:
        api_token: "{{{{ __routing_secrets.secrets['mail_operator.dns.token'] }}}}"
        zones: "{{{{ mailstead.plan | mailstead.stack.routing_part | mailstead.stack.zones_wanted({{}}, 'delivery') }}}}"
    - ansible.builtin.include_tasks: {root}/playbooks/tasks/email_sending.yml
    - ansible.builtin.copy:
        content: "{{{{ mailstead.plan | mailstead.stack.dns_facts(hostvars) | to_json }}}}"
        dest: {out}
        mode: "0600"
"""

WORKERS = {"alert-handler": {"template": "filter", "settings": {"forward": [YOU]}}}


def run(root: Path, playbook: str, text: str, *args: str) -> tuple[int, str]:
    inventory = write_inventory(root, text, operator=OPERATOR, vault={"vault_cloudflare": TOKEN}, hosts=HOSTS)
    # The name servers of the real world are not asked from a test.
    skipped = ("-e", json.dumps({"__delegation_zones": {"results": []}, "dns_history": str(root / "dns")}))
    done = ansible_playbook(inventory, playbook, *skipped, *args)
    shown = output(done)
    assert TOKEN not in shown
    return done.returncode, shown


def changed(shown: str) -> int:
    return sum(int(n) for n in re.findall(r"changed=(\d+)", shown))


def effect(api: Twin, local: str) -> tuple[str, str]:
    found = api.email(ME).effective(f"{local}@{ME}")
    assert found is not None
    return found["action"], found["target"]


def test_example_b_from_nothing_over_the_click_to_no_change(api: Twin, tmp_path: Path) -> None:
    service = "playbooks/email_routing_service.yml"
    code, shown = run(tmp_path, service, domains(workers=WORKERS))
    assert code == 0, shown
    mail = api.email(ME)
    assert mail.settings["enabled"] and mail.settings["support_subaddress"]
    assert YOU in shown and not api.destinations[YOU].verified
    # Nothing is forwarded to a mailbox whose owner has not agreed; the rest is in force.
    assert effect(api, "old") == ("drop", "") and effect(api, "alerts") == ("worker", "alert-handler")
    assert effect(api, "hi")[0] == "reject"
    api.click(YOU)
    code, shown = run(tmp_path, service, domains(workers=WORKERS))
    assert code == 0 and changed(shown) > 0, shown
    assert effect(api, "hi+list") == effect(api, "anything") == ("forward", YOU)
    before = len(api.log.entries)
    code, shown = run(tmp_path, service, domains(workers=WORKERS))
    assert code == 0 and changed(shown) == 0, shown
    assert {entry.method for entry in api.log.entries[before:]} == {"GET"}
    code, shown = run(tmp_path, service, domains(workers=WORKERS), "--check", "--diff")
    assert code == 0 and changed(shown) == 0, shown


def test_the_records_around_it_and_what_the_checks_are_told(api: Twin, tmp_path: Path) -> None:
    send = {**DOMAIN_B["outbound"], "spf_authorize": True}
    text = domains(send, workers=WORKERS)
    rest, out = tmp_path / "rest.yml", tmp_path / "facts.json"
    rest.write_text(REST.format(root=ROOT, out=out), encoding="utf-8")
    for attempt in range(2):
        for playbook in ("playbooks/email_routing_service.yml", str(rest)):
            code, shown = run(tmp_path, playbook, text)
            assert code == 0, shown
            assert attempt < 1 or changed(shown) == 0, shown
    facts = json.loads(out.read_text(encoding="utf-8"))["routing"][ME]
    assert facts["enabled"] and facts["destinations"] == {YOU: ""}
    assert {(r["address"], r["enabled"]) for r in facts["rules"]} == {
        (f"alerts@{ME}", True), (f"hi@{ME}", False), (f"old@{ME}", True), ("", False),
    }  # fmt: skip
    assert [r[2].split(" ")[1] for r in facts["records"] if r[1] == "MX"] == [
        f"route{n}.mx.cloudflare.net" for n in (1, 2, 3)
    ]


def test_coming_from_another_provider_and_leaving_again(api: Twin, tmp_path: Path) -> None:
    rest = tmp_path / "rest.yml"
    rest.write_text(REST.format(root=ROOT, out=tmp_path / "facts.json"), encoding="utf-8")
    send = {"provider": "cloudflare_email_sending", "send_as": ["hi"]}
    data = yaml.safe_load(domains(send, workers=WORKERS, leaving="*.mail.icloud.com"))
    data["mail_domains"][0]["mta_sts"] = "enforce"
    api.zone(ME).create({"type": "MX", "name": ME, "content": "mx01.mail.icloud.com", "priority": 10, "ttl": 300})
    for state in ("present", "absent"):
        data["mail_domains"][0]["state"] = state
        for playbook in ("playbooks/email_routing_service.yml", str(rest)):
            code, shown = run(tmp_path, playbook, yaml.safe_dump(data))
            assert code == 0, shown
        mail = api.email(ME)
        assert mail.settings["enabled"] is (state == "present") and bool(mail.rules) is (state == "present")
        assert [d["name"] for d in mail.sending] == [ME] * (state == "present")
    assert "mx01.mail.icloud.com" not in str([vars(r) for r in api.zone(ME).records])


def test_an_account_made_by_hand_is_imported_and_applies_without_a_change(api: Twin, tmp_path: Path) -> None:
    mail = api.email(ME)
    mail.enable()
    for address in (YOU, "other@gmail.com"):
        api.add_destination(address, verified=True)
    mail.add_rule(f"hi@{ME}", "forward", YOU, name="by hand", enabled=True)
    mail.add_rule(f"shop@{ME}", "forward", "other@gmail.com", name="a shop", enabled=False)
    mail.add_rule(f"old@{ME}", "drop", "", enabled=True)
    target = tmp_path / "imported.yml"
    before = [dict(rule) for rule in mail.rules]
    code, shown = run(tmp_path, "playbooks/email_routing_import.yml", "---\n", "-e", f"mailstead_import_to={target}")
    assert code == 0, shown
    text = target.read_text(encoding="utf-8")
    (domain,) = yaml.safe_load(text)["mail_domains"]
    assert domain["inbound"]["addresses"]["hi"] == YOU and domain["inbound"]["addresses"]["shop"]["enabled"] is False
    code, shown = run(tmp_path, "playbooks/email_routing_service.yml", text)
    assert code == 0 and changed(shown) == 0, shown
    assert [dict(rule) for rule in mail.rules] == before


def test_a_token_without_the_scopes_is_told_before_anything_is_written(api: Twin, tmp_path: Path) -> None:
    service = ROOT / "playbooks/email_routing_service.yml"
    inventory = write_inventory(tmp_path, domains(), operator=OPERATOR, vault={"vault_cloudflare": NARROW}, hosts=HOSTS)
    done = ansible_playbook(inventory, service)
    shown = output(done)
    assert done.returncode != 0 and "MS-CF-025" in shown, shown
    assert "Email Routing Rules" in shown and "Email Routing Addresses" in shown and NARROW not in shown
    assert {entry.method for entry in api.log.entries} == {"GET"}
