# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of probes: the planner hands them out and the judges look them up."""

from __future__ import annotations

CLOCK = "clock"
ADDRESSES = "host.addresses"
TUNNEL_PEERS = "host.tunnel_peers"
RESOLVER = "dns.resolver"


def zone(name: str) -> str:
    return f"dns.zone/{name}"


def reverse(address: str) -> str:
    return f"dns.reverse/{address}"


def spf(identity: str, address: str) -> str:
    return f"spf/{identity}/{address}"


def egress(family: str) -> str:
    return f"egress25/{family}"


def session(address: str) -> str:
    return f"smtp.session/{address}"


def tls(address: str, port: int) -> str:
    return f"tls/{address}/{port}"


def relay(address: str, variant: str) -> str:
    return f"smtp.relay/{address}/{variant}"


def recipients(domain: str) -> str:
    return f"smtp.recipients/{domain}"


def elsewhere(domain: str) -> str:
    return f"smtp.elsewhere/{domain}"


def forged_proxy(target: str, version: str) -> str:
    return f"proxy.forged/{target}/{version}"


def stranger(domain: str) -> str:
    return f"mail.stranger/{domain}"


def routed(domain: str) -> str:
    return f"mail.routed/{domain}"


def routed_mailbox(domain: str) -> str:
    return f"mail.routed.mailbox/{domain}"


def spf_cost(domain: str) -> str:
    return f"spf.cost/{domain}"


def exchanger(domain: str) -> str:
    return f"smtp.exchanger/{domain}"


def hosted(domain: str) -> str:
    return f"mail.hosted/{domain}"


def hosted_mailbox(domain: str) -> str:
    return f"mail.hosted.mailbox/{domain}"


def mailbox(domain: str) -> str:
    return f"mail.mailbox/{domain}"


def canary(domain: str, witness: str) -> str:
    return f"mail.canary/{domain}/{witness}"


def forged_sender(domain: str) -> str:
    return f"submission.forged/{domain}"


def policy(domain: str) -> str:
    return f"https.mta-sts/{domain}"


def autoconfig(domain: str) -> str:
    return f"https.autoconfig/{domain}"


def dkim_file(domain: str, selector: str) -> str:
    return f"file.dkim/{domain}/{selector}"


def sender_tls(service: str) -> str:
    return f"sender.tls/{service}"


def sender_stranger(service: str) -> str:
    return f"sender.stranger/{service}"


def sender_forged(service: str) -> str:
    return f"sender.forged/{service}"


def sender_password(service: str) -> str:
    return f"sender.password/{service}"


def sender_starttls(service: str) -> str:
    return f"sender.starttls/{service}"


def sender_port25(service: str, address: str) -> str:
    return f"sender.port25/{service}/{address}"


def sender_message(service: str, vantage: str, witness: str) -> str:
    return f"sender.message/{service}/{vantage}/{witness}"


def sender_witness(service: str, witness: str) -> str:
    return f"sender.witness/{service}/{witness}"


def tunnel_upgrade(service: str, token: str) -> str:
    """token: ``none`` or ``wrong``."""
    return f"tunnel.upgrade/{service}/{token}"


def smarthost(service: str, name: str) -> str:
    return f"smarthost.login/{service}/{name}"
