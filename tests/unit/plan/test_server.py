# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.plan.build import LISTENERS
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import (
    AccountPlan,
    DkimPlan,
    DmarcPlan,
    DomainPlan,
    HomePlan,
    MtaStsPlan,
)
from ansible_collections.mailstead.stack.plugins.module_utils.plan.server import server_objects
from ansible_collections.mailstead.stack.plugins.module_utils.plan.server_parts import (
    ServerOptions,
    fill_secrets,
    secret_references,
)
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.apply import apply
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.client import Client, basic
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.desired import read_objects
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.engine import make_plan, needed_types
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.schema import Schema
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.state import State
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.stalwart.server import RECOVERY, SCHEMA, Server

PARSED = Schema(SCHEMA)
HOME = HomePlan(
    host="homebox",
    server_name="mail.example.com",
    domains=("example.com", "example.net"),
    edges=("vps1",),
    subnet="172.29.25.0/28",
    gateway="172.29.25.1",
    tunnel_address="172.29.25.10",
    server_address="172.29.25.12",
    relay_port=2525,
    listeners=LISTENERS,
    certificate_names=("mail.example.com",),
    mta_sts=MtaStsPlan("testing", ("mail.example.com",), 604800, "x"),
    acme_directory="https://acme.example.org/dir",
    acme_email="postmaster@example.com",
    acme_challenge="http-01",
)


def domain(name: str, *accounts: AccountPlan, **more: Any) -> DomainPlan:
    values: dict[str, Any] = {
        "name": name,
        "unicode_name": name,
        "zone": name,
        "home": "homebox",
        "edges": ("vps1",),
        "mail_hosts": ("mail.example.com",),
        "egress": "vps1",
        "dkim": DkimPlan(("rsa-2048", "ed25519"), "%Y%m", 180),
        "dmarc": DmarcPlan("reject", "reject", "s", "r", (f"mailto:reports@{name}",)),
        "mta_sts": "testing",
        "mta_sts_id": "x",
        "tls_rpt": (f"postmaster@{name}",),
        "dane": True,
        "accounts": accounts,
    }
    return DomainPlan(**{**values, **more})


DOMAINS = (
    domain(
        "example.com",
        AccountPlan(
            "alice@example.com", ("postmaster@example.com", "info@example.net"), "vault.alice", "Alice", 1 << 30
        ),
        AccountPlan("bob@example.com", (), "generated:bob@example.com"),
        catch_all="alice@example.com",
    ),
    domain("example.net", subaddressing=False),
    domain("elsewhere.example.org", home="other"),
)
KEYS = [
    {"domain": d, "algorithm": a, "selector": s, "container_path": f"/keys/{d}/{s}.pem", "txt": "v=DKIM1"}
    for d in ("example.com", "example.net", "elsewhere.example.org")
    for a, s in (("rsa-2048", "202601r"), ("ed25519", "202601e"))
]
SECRETS = {"vault.alice": "correct-horse-battery-9", "generated:bob@example.com": "another-horse-battery-8"}
EVERYTHING = ServerOptions(
    allowed_ips=("198.18.0.40", "2001:2:0:1::40"),
    resolvers=("172.29.25.1",),
    web_ui=True,
    asn=True,
    pyzor=True,
    aggregate_reports=False,
)
DEFAULTS = ServerOptions()
VARIANTS = [ServerOptions(), ServerOptions(certificate=""), EVERYTHING]


def objects(options: ServerOptions = DEFAULTS) -> list[dict[str, Any]]:
    return server_objects(HOME, DOMAINS, KEYS, options)


def only(type_: str, options: ServerOptions = DEFAULTS, **match: Any) -> dict[str, Any]:
    found = [o for o in objects(options) if o["type"] == type_ and match.items() <= o.get("match", {}).items()]
    assert len(found) == 1, found
    return found[0]


# -- against the schema ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", VARIANTS)
def test_every_field_exists_and_may_be_written(options: ServerOptions) -> None:
    """Checked on the recorded schema itself, not through the product's reading of it."""
    for one in objects(options):
        name = "x:" + one["type"]
        kind = SCHEMA["objects"][name]["type"]
        assert kind in ("object", "singleton"), one
        assert ("match" in one) == (kind == "object"), one
        given_values = {**one.get("match", {}), **one.get("properties", {})}
        check_object(name, given_values, one.get("state") == "absent", f"{one['type']}")


def check_object(name: str, value: Mapping[str, Any], partial: bool, where: str) -> None:
    entry = SCHEMA["schemas"][name]
    if entry["type"] == "single":
        candidates = [entry["schemaName"]]
    else:
        variants = {v["name"]: v.get("schemaName") for v in entry["variants"]}
        if "@type" not in value:
            assert partial, f"{where} needs a variant"
            candidates = [v for v in variants.values() if v]
        else:
            assert value["@type"] in variants, f"{where}: {value['@type']}"
            candidates = [variants[value["@type"]]]
    for key, item in value.items():
        if key == "@type":
            continue
        fields = [
            SCHEMA["fields"][c]["properties"][key] for c in candidates if c and key in SCHEMA["fields"][c]["properties"]
        ]
        assert fields, f"{where} has no {key}"
        assert fields[0]["update"] != "serverSet", f"{where}/{key}"
        check_value(fields[0]["type"], item, f"{where}/{key}")


def check_value(kind: Mapping[str, Any], value: Any, where: str) -> None:
    if value is None:
        assert kind.get("nullable"), where
    elif kind["type"] == "object":
        check_object(kind["objectName"], value, False, where)
    elif kind["type"] == "objectList":
        for item in value:
            check_object(kind["objectName"], item, False, where)
    elif kind["type"] == "enum":
        assert value in {e["name"] for e in SCHEMA["enums"][kind["enumName"]]}, where
    elif kind["type"] == "boolean":
        assert isinstance(value, bool), where
    elif kind["type"] == "set":
        assert isinstance(value, list), where


@pytest.mark.parametrize("options", VARIANTS)
def test_the_engine_finds_no_mistake(options: ServerOptions) -> None:
    problems: list[Problem] = []
    raw = fill_secrets(objects(options), SECRETS)
    assert len(read_objects(PARSED, raw, problems)) == len(raw)
    assert problems == []


# -- what it says ----------------------------------------------------------------------------------------------


def test_tunnelled_listeners_believe_the_tunnel_client_and_nobody_else() -> None:
    for name, port in (("smtp", 25), ("submissions", 465), ("imaps", 993), ("https", 443)):
        listener = only("NetworkListener", name=name)["properties"]
        assert listener["overrideProxyTrustedNetworks"] == ["172.29.25.10/32"]
        assert listener["bind"] == [f"[::]:{port}"]
        assert listener["tlsImplicit"] == (name != "smtp")
    admin = only("NetworkListener", name="http")["properties"]
    assert (admin["overrideProxyTrustedNetworks"], admin["useTls"]) == ([], False)


def test_listeners_that_nobody_declared_are_closed() -> None:
    gone = {o["match"]["name"] for o in objects() if o["type"] == "NetworkListener" and o.get("state") == "absent"}
    assert gone == {"pop3s", "sieve"}


def test_the_relay_is_the_tunnel_client_without_tls() -> None:
    route = only("MtaRoute", name="edge")["properties"]
    assert (route["address"], route["port"], route["implicitTls"]) == ("172.29.25.10", 2525, False)
    strategy = only("MtaOutboundStrategy")["properties"]
    assert strategy["route"]["else"] == "'edge'"
    assert strategy["tls"]["match"][0] == {"if": "mx == '172.29.25.10'", "then": "'edge-tunnel'"}
    assert strategy["tls"]["else"] == "'default'"
    assert set(strategy) == {"route", "tls"}


def test_domains_are_managed_by_hand_and_other_homes_are_left_out() -> None:
    names = [o["match"]["name"] for o in objects() if o["type"] == "Domain"]
    assert names == ["example.com", "example.net"]
    first, second = (only("Domain", name=n)["properties"] for n in names)
    for key in ("dkimManagement", "dnsManagement", "certificateManagement"):
        assert first[key] == second[key] == {"@type": "Manual"}
    assert first["subAddressing"] == {"@type": "Enabled"}
    assert second["subAddressing"] == {"@type": "Disabled"}
    assert (first["catchAllAddress"], second["catchAllAddress"]) == ("alice@example.com", None)
    assert first["reportAddressUri"] == "mailto:reports@example.com"


def test_accounts_carry_references_and_aliases_of_any_domain_of_the_home() -> None:
    alice = only("Account", name="alice")
    assert alice["secrets"] == {"/credentials/0/secret": "vault.alice"}
    assert alice["properties"]["aliases"] == [
        {"name": "info", "domainId": "ref:Domain/name=example.net"},
        {"name": "postmaster", "domainId": "ref:Domain/name=example.com"},
    ]
    assert alice["properties"]["quotas"] == {"maxDiskQuota": 1 << 30}
    assert only("Account", name="bob")["properties"]["quotas"] == {}


def test_secrets_are_filled_in_and_missing_ones_named() -> None:
    assert secret_references(objects()) == ("generated:bob@example.com", "vault.alice")
    filled = fill_secrets(objects(), SECRETS)
    assert [o["secrets"] for o in filled if "secrets" in o] == [
        {"/credentials/0/secret": "correct-horse-battery-9"},
        {"/credentials/0/secret": "another-horse-battery-8"},
    ]
    with pytest.raises(MailsteadError) as caught:
        fill_secrets(objects(), {"vault.alice": ""})
    assert [p.code for p in caught.value.problems] == ["MS-PLAN-004"] * 2


def test_both_keys_of_each_domain_sign() -> None:
    found = [o for o in objects() if o["type"] == "DkimSignature"]
    assert [(o["match"]["@type"], o["match"]["selector"]) for o in found] == [
        ("Dkim1RsaSha256", "202601r"),
        ("Dkim1Ed25519Sha256", "202601e"),
    ] * 2
    assert found[0]["properties"] == {
        "privateKey": {"@type": "File", "filePath": "/keys/example.com/202601r.pem"},
        "stage": "active",
        "report": False,
    }
    retiring = server_objects(HOME, DOMAINS, [{**KEYS[0], "stage": "retiring", "container_path": None}])
    (one,) = [o for o in retiring if o["type"] == "DkimSignature"]
    assert one["properties"]["stage"] == "retiring"
    assert one["properties"]["privateKey"]["filePath"] == "/etc/mailstead/dkim/example.com/202601r.pem"


def test_without_a_certificate_nothing_points_to_one() -> None:
    system = only("SystemSettings", ServerOptions(certificate=""))
    assert "defaultCertificateId" not in system["properties"]
    assert "Certificate" not in {o["type"] for o in objects(ServerOptions(certificate=""))}
    reference = only("SystemSettings")["properties"]["defaultCertificateId"]
    assert reference == "ref:Certificate/certificate.filePath=/etc/mailstead/tls/fullchain.pem"


@pytest.mark.parametrize(("mode", "server"), [("off", "disable"), ("testing", "testing"), ("enforce", "enforce")])
def test_mta_sts_follows_the_plan(mode: str, server: str) -> None:
    home = dataclasses.replace(HOME, mta_sts=dataclasses.replace(HOME.mta_sts, mode=mode))
    (one,) = [o for o in server_objects(home, DOMAINS) if o["type"] == "MtaSts"]
    assert one["properties"] == {"mode": server, "maxAge": "604800s", "mxHosts": ["mail.example.com"]}


def test_a_mailbox_user_cannot_forge_another_from() -> None:
    script = only("SieveSystemScript", name="from-binding")["properties"]["contents"]
    assert 'not address :is :all "from" "${envelope.from}"' in script
    assert 'address :count "ne"' in script
    stage = only("MtaStageData")["properties"]["script"]
    assert stage["match"] == [{"if": "!is_empty(authenticated_as)", "then": "'from-binding'"}]
    assert only("MtaStageAuth")["properties"]["mustMatchSender"]["else"] == "true"


def test_what_needs_the_outside_is_off_and_can_be_switched_on() -> None:
    assert only("Asn")["properties"] == {"@type": "Disabled"}
    assert only("SpamPyzor")["properties"] == {"enable": False}
    web = only("Application")
    assert (web["properties"], web["create"]) == ({"enabled": False}, False)
    assert "Asn" not in {o["type"] for o in objects(EVERYTHING)}
    assert only("SpamPyzor", EVERYTHING)["properties"] == {"enable": True}
    assert only("Application", EVERYTHING)["properties"] == {"enabled": True}


def test_bans_end_and_our_own_way_in_is_never_banned() -> None:
    assert set(only("Security")["properties"].values()) == {"1d"}
    allowed = {o["match"]["address"] for o in objects(EVERYTHING) if o["type"] == "AllowedIp"}
    assert allowed == {"172.29.25.1", "198.18.0.40", "2001:2:0:1::40"}
    # The tunnel client stands for the whole Internet when a header is missing: it must stay bannable.
    assert "172.29.25.10" not in allowed


def test_a_proof_may_be_repeated_at_will() -> None:
    """25 messages an hour to one recipient would be a dozen runs."""
    limit = only("MtaInboundThrottle", EVERYTHING)
    assert limit["match"] == {"description": "Sender address to recipient throttle"} and limit["create"] is False
    counted = "remote_ip != '198.18.0.40' && remote_ip != '2001:2:0:1::40'"
    assert limit["properties"]["match"] == {"match": [], "else": counted}
    assert only("MtaInboundThrottle")["properties"]["match"] == {"match": [], "else": "true"}


def test_reports_are_read_where_they_are_asked_for() -> None:
    addresses = only("ReportSettings")["properties"]["inboundReportAddresses"]
    assert addresses == ["postmaster@*", "reports@example.com", "reports@example.net"]
    assert only("DmarcReportSettings")["properties"]["aggregateSendFrequency"]["else"] == "daily"
    assert only("DmarcReportSettings")["properties"]["failureSendFrequency"]["else"] == "false"
    assert only("TlsReportSettings", EVERYTHING)["properties"]["sendFrequency"]["else"] == "disable"


# -- on a server -----------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.close()


def test_a_fresh_server_takes_it_all_and_then_needs_nothing(server: Server, tmp_path: Path) -> None:
    client = Client(server.url, basic(*RECOVERY), 10)
    directory = tmp_path / "state"
    directory.mkdir(mode=0o700)
    # Keys and certificates are files of the server's host; this one has none.
    raw = fill_secrets(server_objects(HOME, DOMAINS, (), ServerOptions(certificate="")), SECRETS)
    for expected in (True, False):
        state = State(directory)
        server.forget()
        observed = client.get_all(*needed_types(PARSED, raw))
        plan = make_plan(PARSED, raw, observed, state.remembered)
        outcome = apply(client, plan, state)
        assert bool(plan.steps) == expected
        assert bool(server.sets) == expected
        assert outcome.actions == (["ReloadSettings"] if expected else [])
    client.close()
    shown = {o["name"]: o["overrideProxyTrustedNetworks"] for o in server.objects("NetworkListener")}
    assert shown == {**{n: {"172.29.25.10": True} for n in ("smtp", "submissions", "imaps", "https")}, "http": {}}


@given(
    st.lists(st.sampled_from(["a@example.com", "b@example.net", "c@example.com"]), unique=True),
    st.booleans(),
    st.sampled_from(["", "a@example.com"]),
    st.sampled_from(VARIANTS),
)
def test_the_same_plan_always_gives_the_same_objects(
    addresses: list[str], subaddressing: bool, catch_all: str, options: ServerOptions
) -> None:
    """Pure, no object twice, and nothing in it but JSON types."""
    accounts = tuple(AccountPlan(a, (), "x") for a in addresses)
    domains = [
        domain(n, *[a for a in accounts if a.address.endswith(n)], subaddressing=subaddressing, catch_all=catch_all)
        for n in ("example.com", "example.net")
    ]
    first = server_objects(HOME, domains, KEYS, options)
    assert first == server_objects(HOME, domains, KEYS, options)
    identities = [repr((o["type"], o.get("match"))) for o in first]
    assert len(set(identities)) == len(identities)
    singles = [o["type"] for o in first if "match" not in o]
    assert len(set(singles)) == len(singles)
