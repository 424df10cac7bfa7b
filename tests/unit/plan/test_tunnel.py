"""The three frp configurations: what must hold for every plan, so that a listener is neither lost nor killed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.intent.read import read_intent
from ansible_collections.mailstead.stack.plugins.module_utils.plan.build import build_plan
from ansible_collections.mailstead.stack.plugins.module_utils.plan.tunnel import (
    edge_config,
    home_config,
    server_config,
)
from hypothesis import given, settings

from tests.unit.examples import plan_a
from tests.unit.plan.test_build import inventories

SECRET = "the shared key"


def keys(value: Any) -> Iterator[str]:
    """Every key of a configuration, at every depth."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)


def test_example_a() -> None:
    plan = plan_a()
    server = server_config(plan, "vps1", "/etc/mailstead/frps")
    assert server["bindPort"] == 7000
    assert server["allowPorts"] == [{"single": p} for p in (25, 80, 443, 465, 993)]
    assert server["transport"]["tls"]["force"] is True
    assert server["transport"]["tls"]["trustedCaFile"] == "/etc/mailstead/frps/ca.crt"
    home = home_config(plan, "home", "vps1", "/etc/mailstead/frpc", SECRET)
    assert (home["user"], home["serverAddr"], home["serverPort"]) == ("home", "198.18.1.10", 7000)
    assert home["transport"]["tls"]["serverName"] == "mail.example.com"
    proxied = {p["remotePort"]: p["localIP"] for p in home["proxies"] if "transport" in p}
    assert proxied == dict.fromkeys((25, 465, 993, 443), plan.homes[0].server_address)
    plain = [p for p in home["proxies"] if "transport" not in p]
    assert [(p["remotePort"], p["localIP"]) for p in plain] == [(80, plan.homes[0].gateway)]
    edge = edge_config(plan, "vps1", "/etc/mailstead/relay", SECRET)
    assert (edge["user"], edge["serverAddr"]) == ("vps1", "127.0.0.1")


def test_the_outbound_channel_meets_in_the_middle() -> None:
    plan = plan_a()
    visitor = home_config(plan, "home", "vps1", "/d", SECRET)["visitors"][0]
    edge = edge_config(plan, "vps1", "/d", SECRET)
    offered = edge["proxies"][0]
    assert visitor["serverName"] == offered["name"] and visitor["serverUser"] == edge["user"]
    assert visitor["secretKey"] == offered["secretKey"] == SECRET
    # The visitor's user must be let in by name: the default lets in the offering user alone.
    assert offered["allowUsers"] == [home_config(plan, "home", "vps1", "/d", SECRET)["user"]]
    assert (visitor["bindAddr"], visitor["bindPort"]) == (plan.homes[0].tunnel_address, plan.homes[0].relay_port)
    assert (offered["localIP"], offered["localPort"]) == ("127.0.0.1", plan.edges[0].relay_port)


@settings(max_examples=60, deadline=None)
@given(inventories())
def test_what_holds_for_every_tunnel(inventory: Any) -> None:
    plan = build_plan(read_intent(inventory))
    for edge in plan.edges:
        server = server_config(plan, edge.host, "/s")
        allowed = {p["single"] for p in server["allowPorts"]}
        configs = [server, edge_config(plan, edge.host, "/r", SECRET)]
        claimed: list[int] = []
        for home in plan.homes:
            config = home_config(plan, home.host, edge.host, "/c", SECRET)
            configs.append(config)
            claimed += [p["remotePort"] for p in config["proxies"]]
            names = [p["name"] for p in config["proxies"]]
            assert len(names) == len(set(names))
            proxied = {p["localPort"] for p in config["proxies"] if "proxyProtocolVersion" in p.get("transport", {})}
            assert proxied == {li.port for li in home.listeners if li.proxied and li.public}
        # A port that two proxies claim goes to whichever is faster; one that is not allowed to nobody.
        assert len(claimed) == len(set(claimed)) and set(claimed) == allowed == set(edge.ports)
        assert server["maxPortsPerClient"] >= len(claimed)
        assert edge.bind_port not in allowed and edge.relay_port not in allowed
        for config in configs:
            assert json.loads(json.dumps(config)) == config
            found = set(keys(config))
            assert not {k for k in found if "heartbeat" in k.lower()}
            assert not found & {"useEncryption", "useCompression"}
            for proxy in config.get("proxies", ()):
                assert "healthCheck" not in proxy
            tls = config["transport"]["tls"]
            assert tls["trustedCaFile"] and tls["certFile"] and tls["keyFile"]
            # The token is in a file of its own; the configuration names it and no more.
            assert config["auth"]["tokenSource"]["type"] == "file" and "token" not in config["auth"]


def test_strangers_to_the_plan_are_refused() -> None:
    builds: list[Callable[[], object]] = [
        lambda: server_config(plan_a(), "vps9", "/d"),
        lambda: home_config(plan_a(), "vps1", "vps1", "/d", SECRET),
        lambda: edge_config(plan_a(), "home", "/d", SECRET),
    ]
    for build in builds:
        with pytest.raises(MailsteadError) as caught:
            build()
        assert caught.value.problems[0].code == "MS-PLAN-003"
