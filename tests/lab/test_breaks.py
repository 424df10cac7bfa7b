"""What breaks in the running lab turns exactly the matching checks to fail, each with evidence and a fix.

Every test breaks one thing, runs the product's own playbooks/verify.yml, and puts the thing back.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import engine, faults, paths
from lab.__main__ import controller_environment
from lab.topology import CONTROLLER, host

pytestmark = pytest.mark.lab

REPORT = paths.ROOT / "build" / "report-tests"
EDGE_REVERSE = "10.1.18.198.in-addr.arpa"
PLAYBOOK = Path(sys.executable).parent / "ansible-playbook"


def verify() -> dict[str, Any]:
    """Run verify.yml as the lab's controller and read its report."""
    command = [
        "ip",
        "netns",
        "exec",
        CONTROLLER.namespace,
        str(PLAYBOOK),
        "-i",
        "inventory/lab",
        "playbooks/verify.yml",
    ]
    ended = subprocess.run(
        [*command, "-e", f"verify_report_dir={REPORT}"],
        env=controller_environment(),
        cwd=paths.ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    report = REPORT / "report.json"
    assert report.exists(), ended.stdout[-3000:] + ended.stderr[-2000:]
    found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    report.unlink()
    # A failed check must fail the run, and nothing else may.
    assert (ended.returncode == 0) == (found["exit_code"] == 0), ended.stdout[-3000:]
    return found


def failed(report: dict[str, Any]) -> set[str]:
    for finding in report["findings"]:
        if finding["verdict"] == "fail":
            assert finding["evidence"] and finding["observed"] and finding["fix"], finding
    return {f["id"] for f in report["findings"] if f["verdict"] == "fail"}


def on(machine: str, *command: str) -> str:
    """Run a command on a machine of the lab; its output. The test fails when the command does."""
    container = engine.connect().containers.get(host(machine).container)
    code, output = container.exec_run(list(command))
    assert code == 0, output.decode(errors="replace")
    return str(output.decode(errors="replace"))


def jmap(*calls: Any) -> list[Any]:
    """Management calls to the mail server, as its own administrator would make them."""
    body = {"using": ["urn:ietf:params:jmap:core", "urn:stalwart:jmap"], "methodCalls": [[*c, "c"] for c in calls]}
    script = (
        "import json,sys,urllib.request as u;"
        "k=open('/etc/mailstead/stalwart/api-key').read().strip();"
        "r=u.Request('http://127.0.0.1:8080/jmap',sys.argv[1].encode(),"
        "{'Authorization':'Bearer '+k,'Content-Type':'application/json'});"
        "print(u.urlopen(r,timeout=30).read().decode())"
    )
    answers = json.loads(on("home", "python3", "-c", script, json.dumps(body)))["methodResponses"]
    for name, answer, _call in answers:
        assert name != "error" and not {"notUpdated", "notCreated"} & set(answer), answer
    return [answer for _name, answer, _call in answers]


RELOAD = ("x:Action/set", {"create": {"a": {"@type": "ReloadSettings"}}})


def test_the_lab_is_sound_to_begin_with() -> None:
    report = verify()
    assert failed(report) == set()
    assert report["exit_code"] == 0
    assert sum(1 for f in report["findings"] if f["verdict"] == "pass") >= 30


def test_ptr() -> None:
    with faults.record(EDGE_REVERSE, "PTR"):
        assert failed(verify()) == {"A1"}


def test_spf() -> None:
    with faults.record("example.com", "TXT", '"v=spf1 ip4:198.18.1.99 -all"'):
        assert failed(verify()) == {"F10"}


@pytest.mark.parametrize("letter", ["r", "e"])
def test_a_dkim_record(letter: str) -> None:
    names = on("home", "ls", "/etc/mailstead/dkim/example.com").split()
    selector = next(n.removesuffix(".pem") for n in names if n.endswith(f"{letter}.pem"))
    with faults.record(f"{selector}._domainkey.example.com", "TXT"):
        assert failed(verify()) == {"G1"}


@contextlib.contextmanager
def everybody_may_relay() -> Iterator[None]:
    own = jmap(("x:MtaStageRcpt/get", {"ids": ["singleton"]}))[0]["list"][0]["allowRelaying"]
    everybody = {"match": {}, "else": "true"}
    jmap(("x:MtaStageRcpt/set", {"update": {"singleton": {"allowRelaying": everybody}}}), RELOAD)
    try:
        yield
    finally:
        jmap(("x:MtaStageRcpt/set", {"update": {"singleton": {"allowRelaying": own}}}), RELOAD)


def test_the_open_relay_rule() -> None:
    with everybody_may_relay():
        assert failed(verify()) == {"L1"}


@contextlib.contextmanager
def tunnel_without_proxy_protocol() -> Iterator[None]:
    """The tunnel stops saying who connects, and the server believes the tunnel itself: everybody is the tunnel."""
    config = "/etc/mailstead/frpc/frpc.json"
    script = (
        "import json,sys;c=json.load(open(sys.argv[1]));"
        "[p.pop('transport',None) for p in c['proxies']];json.dump(c,open(sys.argv[1],'w'))"
    )
    listeners = jmap(("x:NetworkListener/get", {"ids": None}))[0]["list"]
    trusted = {item["id"]: item["overrideProxyTrustedNetworks"] for item in listeners}
    on("home", "cp", "-p", config, "/root/frpc.json.kept")

    def trust(networks: dict[str, Any]) -> None:
        changes = {key: {"overrideProxyTrustedNetworks": value} for key, value in networks.items()}
        jmap(("x:NetworkListener/set", {"update": changes}))
        on("home", "docker", "restart", "mailstead-stalwart", "mailstead-frpc")
        wait = "until curl -fsS http://127.0.0.1:8080/healthz/live >/dev/null 2>&1; do sleep 0.2; done"
        on("home", "timeout", "60", "sh", "-c", wait)

    on("home", "python3", "-c", script, config)
    trust({key: {} for key in trusted})
    try:
        yield
    finally:
        on("home", "cp", "-p", "/root/frpc.json.kept", config)
        on("home", "rm", "/root/frpc.json.kept")
        trust(trusted)


def test_proxy_trust() -> None:
    with tunnel_without_proxy_protocol():
        assert failed(verify()) == {"C2"}


def test_port_25_out_of_the_edge() -> None:
    with faults.egress("cloud", 4, "drop"):
        assert failed(verify()) == {"B1"}


def test_port_25_into_the_edge() -> None:
    rules = """table inet lab_break {
        chain i {
            type filter hook input priority -10
            tcp dport 25 drop
        }
    }"""
    on("vps1", "sh", "-c", f"nft -f - <<'END'\n{rules}\nEND")
    try:
        assert failed(verify()) == {"C1"}
    finally:
        on("vps1", "nft", "delete", "table", "inet", "lab_break")


def test_it_is_whole_again() -> None:
    """After all of the above the lab proves itself once more."""
    assert failed(verify()) == set()
