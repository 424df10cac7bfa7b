"""The examples of the interface, as raw inventory values."""

from __future__ import annotations

import copy
from typing import Any

from ansible_collections.mailstead.stack.plugins.module_utils.intent.model import Intent, RawIntent
from ansible_collections.mailstead.stack.plugins.module_utils.intent.read import read_intent
from ansible_collections.mailstead.stack.plugins.module_utils.plan.build import build_plan
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import MailPlan
from ansible_collections.mailstead.stack.plugins.plugin_utils.profiles import profiles

#: Example A of the interface: self-hosted, home server, public edge.
DOMAIN_A: dict[str, Any] = {
    "name": "example.com",
    "inbound": {"provider": "stalwart", "host": "home", "edge": "vps1"},
    "outbound": {"provider": "stalwart", "egress": "vps1"},
    "dkim": {"keys": ["rsa-2048", "ed25519"], "selector": "%Y%m", "rotate_after": "180d"},
    "dmarc": {"policy": "reject", "adkim": "s", "aspf": "r", "rua": "postmaster"},
    "mta_sts": "enforce",
    "accounts": [{"address": "rekord", "aliases": ["postmaster", "abuse"]}],
}

#: Example B: Email Routing in, Gmail out; nobody has a server.
DOMAIN_B: dict[str, Any] = {
    "name": "example.me",
    "inbound": {
        "provider": "cloudflare_email_routing",
        "subaddressing": True,
        "addresses": {"hi": "you@gmail.com", "alerts": {"worker": "alert-handler"}, "old": "drop"},
        "catch_all": "you@gmail.com",
    },
    "outbound": {"provider": "gmail_personal", "account": "you@gmail.com", "send_as": ["hi"]},
    "dmarc": {"policy": "auto"},
}

#: A public RSA key of 2048 bits as a DKIM record has it. Nobody holds its private half.
DKIM_VALUE = (
    "v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAl3dc7cte9vedn2KgQNClqzQJ5KmLm/wsBWgq"
    "GqoWsXFG/lE+4gDXSu+uC1QUz4g6rdnLPkL2JNuXPMwr37n/h2H3p+YaEOF3nnZDsNFtXR8/ZQTOhyqPDsQxIbVjUi435FQp/f"
    "qQlXhoSgQ4Q5F6N2aBL6zv0k/V0iEh/6ti25TvqedjJoE3vcUNU8CgXzVXX3TnUBRiyTj41U8do+6ma8HeG/XRAr8JQz+Ryai7"
    "DP2cX+WiOg9J8U7uWI1B9yFDjH6SlSjOU+vQY9vZbLAifA4ivh5F8yXnXoiv60QtGUkup10BK0yBVgLrZLwbH/MH5ao2/cQx2C"
    "qt+tqLus/PlQIDAQAB"
)

#: Example C: mailboxes at a provider, its records kept in DNS.
DOMAIN_C: dict[str, Any] = {
    "name": "example.cn",
    "provider": "tencent_exmail",
    "inputs": {"dkim_selector": "lokg123", "dkim_value": DKIM_VALUE},
    "also_send_via": ["cloudflare_email_sending"],
    "dmarc": {"policy": "quarantine", "rua": "dmarc"},
    "webmail": {"name": "mail"},
}

#: Email Routing in, our own server out.
DOMAIN_SENT: dict[str, Any] = {
    "name": "example.me",
    "inbound": {
        "provider": "cloudflare_email_routing",
        "addresses": {"hi": "you@gmail.com"},
        "catch_all": "you@gmail.com",
    },
    "outbound": {"provider": "stalwart"},
    "accounts": ["hi"],
}

#: Example D: applications send through one service, from the LAN and through a tunnel.
SERVICE_D: dict[str, Any] = {
    "name": "notify",
    "host": "lan-box",
    "senders": {"billing": ["noreply@example.com"], "ci": ["*@ci.example.com"]},
    "smarthosts": [
        {"provider": "cloudflare_email_sending", "secret": "{{ vault_cf_send }}"},
        {"provider": "smtp2go", "username": "notify", "secret": "{{ vault_smtp2go }}"},
    ],
    "expose": {"cloudflare_tunnel": {"hostname": "smtp.example.com", "access": {"service_tokens": ["app1"]}}},
    "limits": {"per_sender": "500/h", "max_size": "10MiB"},
    "clients": ["app1"],
}

#: The domains in whose names it sends; Email Routing takes their mail.
DOMAINS_D: list[dict[str, Any]] = [
    {"name": "example.com", "inbound": {"provider": "cloudflare_email_routing", "catch_all": "you@gmail.com"}},
    {
        "name": "ci.example.com",
        "zone": "example.com",
        "inbound": {"provider": "cloudflare_email_routing", "addresses": {"ops": "you@gmail.com"}},
    },
]

HOSTS_D: dict[str, Any] = {"lan-box": {"groups": ["mail_home"]}, "app1": {"groups": ["mail_client"]}}

OPERATOR: dict[str, Any] = {
    "email": "postmaster@example.com",
    "dns": {"provider": "cloudflare", "token": "t0ken"},
    "canaries": [
        {
            "address": "canary@strict.example.org",
            "imap": {"host": "mx.strict.example.org", "username": "c", "secret": "s"},
        }
    ],
}

HOSTS: dict[str, Any] = {
    "home": {"groups": ["mail_home"]},
    "vps1": {
        "groups": ["mail_edge"],
        "mail_host": {"name": "mail.example.com", "ipv4": "198.18.1.10", "ptr": {"provider": "manual"}},
    },
    "stranger": {"groups": ["mail_vantage"]},
}


def raw(domains: Any = None, operator: Any = None, hosts: Any = None, **more: Any) -> RawIntent:
    """A fresh copy of example A's inventory with parts replaced."""
    return RawIntent(
        mail_domains=copy.deepcopy([DOMAIN_A] if domains is None else domains),
        mail_operator=copy.deepcopy(OPERATOR if operator is None else operator),
        mail_intent=more.get("mail_intent"),
        mail_submission=more.get("mail_submission"),
        hosts=copy.deepcopy(HOSTS if hosts is None else hosts),
        variables=tuple(more.get("variables", ())),
    )


def intent_a() -> Intent:
    return read_intent(raw())


def plan_a() -> MailPlan:
    return build_plan(intent_a())


def intent_b(**changes: Any) -> Intent:
    """Example B, with some of the domain's words replaced; no host but those that look from outside."""
    return read_intent(raw([{**DOMAIN_B, **changes}], hosts={}), profiles=profiles())


def plan_b(**changes: Any) -> MailPlan:
    return build_plan(intent_b(**changes))


def intent_d(domains: Any = None, hosts: Any = None, **changes: Any) -> Intent:
    """Example D, with some of the service's words replaced."""
    service = copy.deepcopy({**SERVICE_D, **changes})
    inventory = raw(
        DOMAINS_D if domains is None else domains, hosts=HOSTS_D if hosts is None else hosts, mail_submission=[service]
    )
    return read_intent(inventory, profiles=profiles())


def plan_d(domains: Any = None, hosts: Any = None, **changes: Any) -> MailPlan:
    return build_plan(intent_d(domains, hosts, **changes))
