"""The published JSON Schema accepts what the reader accepts, and refuses what users get wrong most."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.intent.schema import VARIABLES, json_schema
from hypothesis import given, settings

from tests.unit.examples import DOMAIN_A, DOMAINS_D, HOSTS, OPERATOR, SERVICE_D
from tests.unit.plan.test_build import inventories
from tools import generated, schema_docs

VALIDATOR = jsonschema.Draft202012Validator(json.loads(schema_docs.TARGET.read_text(encoding="utf-8")))
INTENT_A = {"mail_domains": [DOMAIN_A], "mail_operator": OPERATOR, "mail_host": HOSTS["vps1"]["mail_host"]}


def errors(intent: dict[str, Any]) -> list[str]:
    return [e.json_path for e in VALIDATOR.iter_errors(intent)]


def test_the_file_is_up_to_date_and_a_schema() -> None:
    assert "".join(generated.stale(schema_docs.wanted())) == ""
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert set(json_schema()["properties"]) == set(VARIABLES)


def test_example_a_is_valid() -> None:
    assert errors(INTENT_A) == []


@pytest.mark.parametrize(
    "domain",
    ["example.com", {"name": "example.com", "provider": "stalwart"}, {**DOMAIN_A, "mta_sts": False, "dmarc": "auto"}],
)
def test_short_forms_are_valid(domain: Any) -> None:
    assert errors({"mail_domains": [domain]}) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"mta_sts": "enforced"},
        {"mta_stss": "enforce"},
        {"dkim": {"keys": ["rsa-1024"]}},
        {"dkim": {"rotate_after": 180}},
        {"accounts": [{"aliases": ["abuse"]}]},
        {"inbound": {"provider": "stalwart", "hots": "home"}},
        {"name": None},
    ],
)
def test_mistakes_are_not(changes: dict[str, Any]) -> None:
    assert errors({"mail_domains": [{**DOMAIN_A, **changes}]})


def test_example_d_is_valid() -> None:
    assert errors({"mail_domains": DOMAINS_D, "mail_submission": [SERVICE_D]}) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Notify"},
        {"senders": {"ci": {"adresses": ["*@ci.example.com"]}}},
        {"smarthosts": [{"provider": "smtp3go"}]},
        {"limits": {"per_sender": "500"}},
        {"expose": {"cloudflare_tunnel": {"hostname": "smtp.example.com"}}},
        {"bounces": {"webhook": "http://hooks.example.org"}},
    ],
)
def test_mistakes_in_a_service_are_not(changes: dict[str, Any]) -> None:
    assert errors({"mail_submission": [{**SERVICE_D, **changes}]})


@settings(max_examples=50, deadline=None)
@given(inventories())
def test_what_the_reader_accepts_is_valid(inventory: Any) -> None:
    intent = {"mail_domains": inventory.mail_domains, "mail_operator": inventory.mail_operator}
    assert errors(intent) == []
    for host in inventory.hosts.values():
        assert errors({"mail_host": host.get("mail_host", HOSTS["vps1"]["mail_host"])}) == []
