"""Filters for hosts that run a service for applications and for those of its clients."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.mailstead.stack.plugins.filter import service_hosts
from ansible_collections.mailstead.stack.plugins.plugin_utils.state import PLACEHOLDER

TOKEN = {"client_id": "88bf.access", "client_secret": "s3cret", "expires_at": "", "rotated": False}
RESULTS: list[dict[str, Any]] = [
    {
        "tunnels": [{"name": "mailstead-other", "token": "x"}],
        "service_tokens": {"app1": {**TOKEN, "client_id": "other"}},
    },
    {"tunnels": [{"name": "mailstead-notify", "token": "eyJ"}], "service_tokens": {"app1": TOKEN}},
]
CLIENT = {
    "service": "notify",
    "name": "notify",
    "hostname": "smtp.example.com",
    "listen": "127.0.0.1:2525",
    "server_name": "notify.example.com",
    "token": "app1",
    "tunnel": "mailstead-notify",
    "state": "present",
}


def test_a_tunnel_is_found_by_its_name_in_the_account_that_has_it() -> None:
    assert service_hosts.tunnel_known(RESULTS, "mailstead-notify")["token"] == "eyJ"
    assert service_hosts.tunnel_known(RESULTS, "mailstead-none") == {} == service_hosts.tunnel_known([], "x")


@pytest.mark.parametrize("tunnel", [{"name": "mailstead-notify", "token": PLACEHOLDER}, {"name": "mailstead-notify"}])
def test_a_tunnel_that_a_dry_run_predicts_or_that_is_to_go_is_not_known(tunnel: dict[str, Any]) -> None:
    assert service_hosts.tunnel_known([{"tunnels": [tunnel]}, {"skipped": True}], "mailstead-notify") == {}


def test_a_client_gets_the_token_of_its_own_name_from_its_tunnels_account() -> None:
    (service,) = service_hosts.client_services([CLIENT], RESULTS)
    wanted = {key: CLIENT[key] for key in ("name", "hostname", "listen", "server_name")}
    assert service == {**wanted, "client_id": "88bf.access", "client_secret": "s3cret"}


@pytest.mark.parametrize("token", [{}, {"app2": TOKEN}, {"app1": {**TOKEN, "client_secret": PLACEHOLDER}}])
def test_a_client_without_a_known_secret_is_left_out(token: dict[str, Any]) -> None:
    assert service_hosts.client_services([CLIENT], [{**RESULTS[1], "service_tokens": token}]) == []
    assert service_hosts.client_services([CLIENT], []) == []


@pytest.mark.parametrize(
    ("address", "wanted"),
    [("192.168.77.10", ["192.168.77.10:465:465", "192.168.77.10:587:587"]), ("", ["465:465", "587:587"])],
)
def test_public_listeners_are_published_on_the_lan_address_or_on_all(address: str, wanted: list[str]) -> None:
    listeners = [{"port": 465, "public": True}, {"port": 587, "public": True}, {"port": 8080, "public": False}]
    assert service_hosts.published_ports({"lan_address": address, "listeners": listeners}) == wanted


def rfc2136(server: str) -> dict[str, Any]:
    key = {"key_name": "mailstead.", "key_algorithm": "hmac-sha256", "secret": "vault_key"}
    return {"provider": "rfc2136", "server": server, "port": 53, "zones": ["example.com"], **key}


def test_certbot_is_told_what_its_plugins_ask_for() -> None:
    cloudflare = {"provider": "cloudflare", "secret": "vault_cf", "zones": ["example.com"]}
    assert service_hosts.certbot_credentials(cloudflare, {"vault_cf": "t0ken"}) == {"api_token": "t0ken"}
    assert service_hosts.certbot_credentials(rfc2136("192.0.2.1"), {"vault_key": "c2Vj"}) == {
        "server": "192.0.2.1",
        "port": "53",
        "name": "mailstead.",
        "algorithm": "HMAC-SHA256",
        "secret": "c2Vj",
    }


def test_certbot_is_given_the_address_of_a_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: [(2, 1, 6, "", ("192.0.2.7", 0))])
    assert service_hosts.certbot_credentials(rfc2136("ns1.example.com"), {"vault_key": "x"})["server"] == "192.0.2.7"

    def unknown(*_args: Any, **_kinds: Any) -> Any:
        raise OSError("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(AnsibleFilterError, match=r"MS-TLS-004\] ns1\.example\.com"):
        service_hosts.certbot_credentials(rfc2136("ns1.example.com"), {"vault_key": "x"})


def test_suppressed_recipients_are_facts_by_service_and_smarthost() -> None:
    rows: list[dict[str, Any]] = [
        {
            "id": "1-cloudflare",
            "suppressed": [{"email": "gone@example.net", "reason": "bounce"}],
            "suppressions_error": "",
        },
        {"id": "notify/2-smtp2go", "suppressed": [], "suppressions_error": "403"},
        {"id": "3-gmail"},
    ]
    assert service_hosts.smarthost_facts(rows, "notify") == {
        "notify": {
            "1-cloudflare": {"suppressed": ["gone@example.net"], "error": ""},
            "2-smtp2go": {"suppressed": [], "error": "403"},
        }
    }
    assert service_hosts.smarthost_facts(rows[2:], "notify") == {}
