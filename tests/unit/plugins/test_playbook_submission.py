"""Playbooks of services that applications send through, run by ansible-playbook up to where a host would be needed."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.plugins.playbook import ROOT, ansible_playbook, output, write_inventory

DOMAINS_D = """\
---
mail_domains:
  - name: example.com
    inbound: {provider: cloudflare_email_routing, catch_all: you@gmail.com}
mail_submission:
  - name: notify
    host: lan-box
    senders: {billing: [noreply@example.com]}
    smarthosts: [{provider: smtp2go, username: notify, secret: "{{ vault_cloudflare }}", inputs: {return_path: em1, dkim_selector: s1}}]
    expose: {cloudflare_tunnel: {hostname: smtp.example.com, access: {service_tokens: [app1]}}}
    clients: [app1]
    bounces: postmaster@example.com
"""
HERE = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
#: Hosts that cannot be reached: a task on one of them ends the run.
NOWHERE = {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_ssh_common_args": "-o ConnectTimeout=1"}


def hosts(**groups: dict[str, Any]) -> dict[str, Any]:
    return {
        "all": {"hosts": {"localhost": HERE}, "children": {name: {"hosts": found} for name, found in groups.items()}}
    }


def plays(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("playbook", ["playbooks/submission.yml", "playbooks/submission_clients.yml"])
def test_an_inventory_without_services_costs_no_task_on_any_host(playbook: str, tmp_path: Path) -> None:
    inventory = write_inventory(tmp_path, hosts=hosts(mail_home={"home": NOWHERE}, mail_edge={"vps1": NOWHERE}))
    done = ansible_playbook(inventory, playbook)
    shown = output(done)
    assert done.returncode == 0, shown
    assert set(re.findall(r"^TASK \[(.*?)\] \*", shown, re.MULTILINE)) <= {
        "Make the plan",
        "Leave out hosts that run none",
        "Leave out hosts that run no service",
        "Make the tunnels",
    }


def test_hosts_that_are_no_home_are_left_out_before_anything_runs_once(tmp_path: Path) -> None:
    """A task that runs once is judged on the first host alone, so a condition on it would decide for all."""
    inventory = write_inventory(
        tmp_path, DOMAINS_D, hosts=hosts(mail_home={"lan-box": NOWHERE}, mail_client={"app1": NOWHERE})
    )
    done = ansible_playbook(inventory, "playbooks/server.yml")
    assert done.returncode == 0, output(done)
    assert "Keep the tunnel's credentials" not in output(done)


@pytest.mark.parametrize("tokens", ["app2", "app1,printer"])
def test_only_service_tokens_of_the_inventory_are_rotated(tokens: str, tmp_path: Path) -> None:
    inventory = write_inventory(
        tmp_path, DOMAINS_D, hosts=hosts(mail_home={"lan-box": NOWHERE}, mail_client={"app1": NOWHERE})
    )
    done = ansible_playbook(inventory, "playbooks/rotate_service_tokens.yml", "-e", f"tokens={tokens}")
    shown = output(done)
    assert (
        done.returncode != 0
        and f"has no service token {tokens.rsplit(',', maxsplit=1)[-1]}" in shown
        and "it has app1" in shown
    )


def test_service_tokens_of_a_service_that_goes_are_not_rotated(tmp_path: Path) -> None:
    going = DOMAINS_D.replace("    host: lan-box\n", "    host: lan-box\n    state: absent\n")
    inventory = write_inventory(
        tmp_path, going, hosts=hosts(mail_home={"lan-box": NOWHERE}, mail_client={"app1": NOWHERE})
    )
    done = ansible_playbook(inventory, "playbooks/rotate_service_tokens.yml")
    assert done.returncode != 0 and "it has none" in output(done)


def test_what_would_stop_a_run_is_looked_for_first_and_clients_come_last() -> None:
    order = [play["ansible.builtin.import_playbook"].rpartition("/")[2] for play in plays("site.yml")]
    assert order[0] == "preflight.yml" and order[-1] == "verify.yml"
    assert order.index("server.yml") < order.index("submission.yml") < order.index("submission_clients.yml")
    # The clients lead to a service whose signatures and senders the world already knows.
    assert order.index("submission_clients.yml") > max(n for n, name in enumerate(order) if name == "dns.yml")
    assert order.index("submission_clients.yml") > order.index("email_routing_sending.yml")


def test_a_dry_run_asks_no_smarthost_for_domains_that_it_has_not_published(tmp_path: Path) -> None:
    """Before the first run the answer would be no, and the run would end."""
    (task,) = [t for t in plays("playbooks/submission_clients.yml")[0]["tasks"] if t["name"] == "Try the smarthosts"]
    show = {"ansible.builtin.debug": {"msg": "{{ smarthosts_senders }}"}}
    play = {"hosts": "localhost", "gather_facts": False, "tasks": [{**show, "vars": task["vars"]}]}
    playbook = tmp_path / "dry.yml"
    playbook.write_text(yaml.safe_dump([play]), encoding="utf-8")
    inventory = write_inventory(tmp_path, DOMAINS_D, hosts=hosts())
    assert "msg: false" in output(ansible_playbook(inventory, playbook, "--check"))
    assert "msg: true" in output(ansible_playbook(inventory, playbook))


def test_a_service_is_there_before_its_tunnel_and_the_connector_comes_after_access() -> None:
    names = [play["name"] for play in plays("playbooks/submission.yml")]
    assert names == [
        "Run the services that applications send through",
        "Make the tunnels to them",
        "Connect them to their tunnels",
    ]
    service = [task["name"] for task in plays("playbooks/tasks/submission_service.yml")]
    assert service.index("Keep the certificate") < service.index("Run the mail server")
    # What it hands mail to is there when it starts to send.
    assert service.index("Open the way to the edge among the smarthosts") < service.index("Run the mail server")
    # And goes when nothing is handed to it any more.
    assert service.index("Run the mail server") < service.index(
        "Remove the way to an edge that is no smarthost any more"
    )
    assert service[-1] == "Have the tunnel's rules read by the program that will follow them"


def last_play(name: str, tmp_path: Path) -> Path:
    """The last play of a playbook by itself, with roles that only say their task's name."""
    play = plays(name)[-1]
    for task in play["tasks"]:
        if "ansible.builtin.include_role" in task:
            task.pop("vars", None)
            del task["ansible.builtin.include_role"]
            task["ansible.builtin.debug"] = {"msg": f"would {task['name']}"}
        elif "ansible.builtin.include_tasks" in task:
            task["ansible.builtin.include_tasks"] = str(ROOT / "playbooks" / task["ansible.builtin.include_tasks"])
    play["tasks"].insert(0, {"mailstead.stack.mail_plan": {}, "register": "mailstead"})
    path = tmp_path / "last.yml"
    path.write_text(yaml.safe_dump([play]), encoding="utf-8")
    return path


def test_a_service_without_a_tunnel_has_no_connector(tmp_path: Path) -> None:
    """A condition that ends in nothing instead of in yes or no ends the run."""
    without = "".join(line for line in DOMAINS_D.splitlines(True) if "expose" not in line and "clients" not in line)
    inventory = write_inventory(tmp_path, without, hosts=hosts(mail_home={"lan-box": HERE}))
    done = ansible_playbook(inventory, last_play("playbooks/submission.yml", tmp_path))
    shown = output(done)
    assert done.returncode == 0, shown
    assert "would Remove a connector that nothing leads to any more" in shown and "would Run the connector" not in shown


@pytest.mark.parametrize("playbook", ["playbooks/submission.yml", "playbooks/submission_clients.yml"])
def test_a_run_without_the_controller_says_so_instead_of_leaving_tunnels_out(playbook: str, tmp_path: Path) -> None:
    """Nothing would be done, and nobody would notice."""
    here = hosts(mail_home={"lan-box": HERE}, mail_client={"app1": HERE})
    inventory = write_inventory(tmp_path, DOMAINS_D, hosts=here)
    done = ansible_playbook(inventory, last_play(playbook, tmp_path))
    shown = output(done)
    assert done.returncode != 0 and "MS-HOST-015" in shown and "--limit localhost," in shown, shown


@pytest.mark.parametrize("path", sorted((ROOT / "playbooks").rglob("*.yml")), ids=lambda p: p.name)
def test_no_task_shows_what_a_tunnel_is_made_with(path: Path) -> None:
    def unfold(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [t for task in found for t in [task, *unfold(task.get("block", []))]]

    read = yaml.safe_load(path.read_text(encoding="utf-8"))
    tasks = unfold([task for play in read for task in play.get("tasks", [])] if "hosts" in read[0] else read)
    for task in tasks:
        secret = ("mail_secrets", "cloudflare_tunnel", "tunnel_pki")
        if {f"mailstead.stack.{name}" for name in secret} & set(task):
            assert task.get("no_log") is True, task["name"]


def test_every_end_of_a_tunnel_gets_its_certificate_whichever_playbook_runs() -> None:
    """One that is made on the way would be another for those who ran before."""
    asked = []
    for path in sorted((ROOT / "playbooks").rglob("*.yml")):
        text = path.read_text(encoding="utf-8")
        asked += [line.strip() for line in text.splitlines() if line.strip().startswith("homes:")]
    assert len(asked) == 4 and set(asked) == {'homes: "{{ mailstead.plan | mailstead.stack.tunnel_clients }}"'}
