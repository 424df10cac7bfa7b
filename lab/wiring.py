# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks, addresses, routes and filters: everything below the machines' own software.

A docker network of ours is a bridge without an address of the host's; its gateway address belongs to a machine of the
lab, which gets it here. All of it is idempotent.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import docker.errors
import docker.types

from lab import render
from lab.console import LabError
from lab.engine import wait_until
from lab.topology import (
    CONTROLLER,
    EGRESS,
    EGRESS_MODES,
    GUARDED4,
    GUARDED6,
    LABEL,
    NETWORKS,
    PREFIX,
    SOURCES,
    Host,
    Network,
    network,
)

#: Marks the guarding routes as ours (a routing protocol number nobody has registered).
PROTOCOL = "213"
NETNS_ETC = Path("/etc/netns") / CONTROLLER.namespace


def run(argv: list[str], stdin: str = "") -> str:
    """Run a program of this machine. Raises LabError with what it said."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise LabError(f"{' '.join(argv)} failed ({done.returncode}): {said}")
    return done.stdout


def network_name(net: Network) -> str:
    return PREFIX + net.name


def ensure_network(client: Any, net: Network) -> None:
    """The bridge of one network, and no address of this machine on it."""
    try:
        client.networks.get(network_name(net))
    except docker.errors.NotFound:
        pools = [
            docker.types.IPAMPool(subnet=net.ipv4, gateway=net.gateway4),
            docker.types.IPAMPool(subnet=net.ipv6, gateway=net.gateway6),
        ]
        client.networks.create(
            network_name(net),
            driver="bridge",
            enable_ipv6=True,
            ipam=docker.types.IPAMConfig(pool_configs=pools),
            options={
                "com.docker.network.bridge.name": net.bridge,
                "com.docker.network.bridge.inhibit_ipv4": "true",
                "com.docker.network.bridge.enable_ip_masquerade": "false",
            },
            labels={LABEL: "1"},
        )
    # The engine puts the IPv6 gateway on the host's end all the same; it would take the gateway's packets, and give
    # this machine a way into the lab.
    for entry in json.loads(run(["ip", "-j", "-6", "addr", "show", "dev", net.bridge, "scope", "global"])):
        for address in (a for a in entry.get("addr_info", []) if "local" in a):
            run(["ip", "-6", "addr", "del", f"{address['local']}/{address['prefixlen']}", "dev", net.bridge])


def _routes(family: str, prefix: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run(["ip", "-j", family, "route", "show", prefix]) or "[]")
    return found


def guard() -> None:
    """Make this machine unable to send anything to the lab's ranges, or beyond, by its ordinary routes."""
    for family, prefix in (("-4", GUARDED4), ("-6", GUARDED6)):
        if any(r.get("protocol") != PROTOCOL for r in _routes(family, prefix)):
            raise LabError(f"this machine already has a route for {prefix}, which the lab needs.\n    Fix: remove it")
        if not _routes(family, prefix):
            run(["ip", family, "route", "add", "unreachable", prefix, "proto", PROTOCOL])


def unguard() -> None:
    """Take away the routes of guard()."""
    for family, prefix in (("-4", GUARDED4), ("-6", GUARDED6)):
        if any(r.get("protocol") == PROTOCOL for r in _routes(family, prefix)):
            run(["ip", family, "route", "del", "unreachable", prefix, "proto", PROTOCOL])


def _interfaces(pid: int) -> dict[str, str]:
    """Interface by each of its addresses, in the network of a process."""
    shown = json.loads(run(["nsenter", "-t", str(pid), "-n", "ip", "-j", "addr", "show"]))
    return {a["local"]: entry["ifname"] for entry in shown for a in entry.get("addr_info", []) if "local" in a}


def wire(machine: Host, pid: int) -> None:
    """Give a running machine the addresses and routes that the engine does not: further ones, gateways, filters."""
    interfaces = _interfaces(pid)
    commands: list[str] = []
    for link in machine.links:
        device = interfaces[link.ipv4]
        for address in link.extra:
            if ":" in address:
                # Deprecated at once, so that it is never chosen as a source by itself.
                commands.append(f"addr replace {address}/128 dev {device} preferred_lft 0 nodad")
            else:
                commands.append(f"addr replace {address}/32 dev {device}")
        net = network(link.network)
        if net.owner == machine.name:
            for gateway, range_ in ((net.gateway4, net.ipv4), (net.gateway6, net.ipv6)):
                length = ipaddress.ip_network(range_).prefixlen
                flags = " nodad" if ":" in gateway else ""
                commands.append(f"addr replace {gateway}/{length} dev {device}{flags}")
    if machine.gateway4:
        commands += [_default("-4", machine.gateway4), _default("-6", machine.gateway6)]
    if machine.name == "router":
        home = next(n for n in NETWORKS if n.name == "lan")
        commands.append(f"-6 route replace {home.ipv6} via 2001:2:0:3::7")
    for command in commands:
        run(["nsenter", "-t", str(pid), "-n", "ip", *command.split()])
    rules = {"router": router_rules, "cpe": cpe_rules}.get(machine.name)
    if rules:
        load_rules(pid, rules())


def wired(machine: Host, pid: int) -> bool:
    """Whether a machine has all the addresses that wire() gives it (a restart takes them away, with the filters)."""
    expected = {a for link in machine.links for a in link.extra}
    for link in machine.links:
        net = network(link.network)
        if net.owner == machine.name:
            expected |= {net.gateway4, net.gateway6}
    return expected <= set(_interfaces(pid)) if expected else True


def _default(family: str, gateway: str) -> str:
    where = "unreachable default" if gateway == "unreachable" else f"default via {gateway}"
    return f"{family} route replace {where}"


def load_rules(pid: int, rules: str) -> None:
    """Load nftables rules with a machine's own nft into its own network."""
    run(["nsenter", "-t", str(pid), "-n", "-m", "nft", "-f", "-"], rules)


#: What happens to a connection to port 25, by mode; {icmp} depends on the family.
_VERDICTS = {
    "open": "",
    "drop": "counter drop",
    "reject": "counter reject with tcp reset",
    "prohibit": "counter reject with {icmp} type admin-prohibited",
}


def egress_chain(network_name_: str, family: int) -> str:
    return f"{network_name_}_ip{family}"


def egress_rule(family: int, mode: str) -> str:
    """The one rule of an egress chain, "" for none. Raises KeyError for an unknown mode."""
    return _VERDICTS[mode].format(icmp="icmp" if family == 4 else "icmpv6")


def router_rules() -> str:
    """The router's policy for port 25, one chain for each network and family, so that one can be changed alone."""
    jumps, chains = [], []
    for policy in EGRESS:
        if policy.mode not in EGRESS_MODES:
            raise LabError(f"unknown egress mode {policy.mode}")
        chain = egress_chain(policy.network, policy.family)
        word = "ip" if policy.family == 4 else "ip6"
        sources = ", ".join(SOURCES[policy.network, policy.family])
        jumps.append(f"    {word} saddr {{ {sources} }} tcp dport 25 jump {chain}")
        rule = egress_rule(policy.family, policy.mode)
        chains.append(f"  chain {chain} {{\n    {rule}\n  }}")
    body = "\n".join(chains)
    return f"""table inet mailstead_router
delete table inet mailstead_router
table inet mailstead_router {{
{body}
  chain forward {{
    type filter hook forward priority filter; policy accept;
{chr(10).join(jumps)}
  }}
}}
"""


def cpe_rules() -> str:
    """A home router: masquerades IPv4, forwards both families statefully, lets nothing in by itself."""
    lan = network("lan")
    return f"""table inet mailstead_cpe
delete table inet mailstead_cpe
table inet mailstead_cpe {{
  chain forward {{
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    ip saddr {lan.ipv4} accept
    ip6 saddr {lan.ipv6} ip6 daddr != {lan.ipv6} accept
    meta l4proto ipv6-icmp accept
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {lan.ipv4} ip daddr != {lan.ipv4} masquerade
  }}
}}
"""


def controller_exists() -> bool:
    return (Path("/run/netns") / CONTROLLER.namespace).exists() and (NETNS_ETC / "resolv.conf").exists()


def ensure_controller() -> None:
    """The namespace that Ansible runs in, on the home network."""
    name, device = CONTROLLER.namespace, CONTROLLER.interface
    net = network(CONTROLLER.network)
    NETNS_ETC.mkdir(parents=True, exist_ok=True)
    (NETNS_ETC / "resolv.conf").write_text(render.RESOLV_CONF)
    switch = Path("/etc/nsswitch.conf")
    if switch.is_file():
        # A machine may resolve through a daemon that knows nothing of namespaces.
        (NETNS_ETC / "nsswitch.conf").write_text(re.sub(r"(?m)^hosts:.*$", "hosts: files dns", switch.read_text()))
    if (Path("/run/netns") / name).exists():
        return
    run(["ip", "netns", "add", name])
    run(["ip", "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", name])
    run(["ip", "link", "set", device, "master", net.bridge, "up"])
    inside = ["ip", "-n", name]
    for words in (
        "link set lo up",
        "link set eth0 up",
        f"addr add {CONTROLLER.ipv4}/{ipaddress.ip_network(net.ipv4).prefixlen} dev eth0",
        f"addr add {CONTROLLER.ipv6}/{ipaddress.ip_network(net.ipv6).prefixlen} dev eth0 nodad",
        f"route add default via {net.gateway4}",
        f"-6 route add default via {net.gateway6}",
    ):
        run([*inside, *words.split()])


def remove_controller() -> None:
    """End what still runs in the namespace (multiplexed ssh connections, mostly) and remove it."""
    if (Path("/run/netns") / CONTROLLER.namespace).exists():
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in _inside():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            if wait_until(lambda: not _inside(), 3):
                break
    # Before the namespace: the kernel takes an interface away with its namespace, but in its own time.
    if Path(f"/sys/class/net/{CONTROLLER.interface}").exists():
        run(["ip", "link", "del", CONTROLLER.interface])
    if (Path("/run/netns") / CONTROLLER.namespace).exists():
        run(["ip", "netns", "del", CONTROLLER.namespace])
    shutil.rmtree(NETNS_ETC, ignore_errors=True)
    with contextlib.suppress(OSError):
        NETNS_ETC.parent.rmdir()


def busy() -> list[str]:
    """Programs that run in the namespace, as "pid name"; ssh is left out, whose shared connections outlive their use."""
    if not (Path("/run/netns") / CONTROLLER.namespace).exists():
        return []
    found = []
    for pid in _inside():
        with contextlib.suppress(OSError):
            name = (Path("/proc") / str(pid) / "comm").read_text().strip()
            if name != "ssh":
                found.append(f"{pid} {name}")
    return found


def _inside() -> list[int]:
    return [int(p) for p in run(["ip", "netns", "pids", CONTROLLER.namespace]).split() if int(p) != os.getpid()]
