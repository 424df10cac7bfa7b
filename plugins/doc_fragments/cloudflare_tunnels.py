# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the options by which the modules of Cloudflare Tunnels say what is wanted."""

from __future__ import annotations


class ModuleDocFragment:
    """The modules add what they do with it."""

    DOCUMENTATION = r"""
options:
  tunnels:
    description:
      - "The tunnels. The token needs Account › Cloudflare Tunnel › Edit, Account › Access: Apps and Policies › Edit,
        Account › Access: Service Tokens › Edit, Account › Access: Organizations, Identity Providers, and Groups › Read,
        Zone › Zone › Read and Zone › DNS › Edit."
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Its name, also that of its application and policy.
        type: str
        required: true
      state:
        description: Whether it is to be there. One that goes takes its record, application and policy with it.
        type: str
        choices: [present, absent]
        default: present
      management:
        description: Where its rules are kept, V(remote) with Cloudflare or V(local) in a file of the connector's host.
        type: str
        choices: [remote, local]
        default: remote
      hostname:
        description: The name that clients reach it under.
        type: str
      zone:
        description: The zone in which that name is.
        type: str
      ingress:
        description: The rules, the last without a hostname. Hostnames other than O(tunnels[].hostname) are refused.
        type: list
        elements: dict
        default: []
        suboptions:
          hostname:
            description: The name it answers; empty for the last rule.
            type: str
            default: ""
          service:
            description: Where it leads, like V(tcp://172.29.1.2:465) or V(http_status:404).
            type: str
            required: true
          origin:
            description: C(originRequest) of the rule, without C(access), which is written by this module.
            type: dict
            default: {}
      service_tokens:
        description: Names of the tokens that may pass; one that several tunnels name is the same token.
        type: list
        elements: str
        default: []
      duration:
        description: Seconds a token lives; V(0) for ever. It is renewed in time, as long as the playbook runs.
        type: int
        default: 0
      rotate_after:
        description: Seconds after which a token gets a new secret; V(0) never by itself.
        type: int
        default: 0
      overlap:
        description: Seconds that the old secret stays good beside a new one.
        type: int
        default: 0
      account_id:
        description: Id of the account; that of the zone when not given.
        type: str
      service:
        description: Name of the service behind it, by which facts are returned; that of the tunnel when not given.
        type: str
      host:
        description: The host that runs it. Passed over, so that an entry of the plan can be given as it is.
        type: str
      token:
        description: Reference to the API token of the tunnel's account. Passed over; O(api_token) counts.
        type: str
  instance:
    description: What begins the names of service tokens and stands in the marks of records.
    type: str
    default: mailstead
  held:
    description: What the controller knows of the secrets it holds, without them; filled in by the action plugin.
    type: dict
    default: {}
"""
