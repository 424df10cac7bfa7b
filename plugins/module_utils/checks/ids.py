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
