#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which does all the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tunnel_pki
short_description: Keep the tunnel's private authority, certificates and token
version_added: 0.1.0
author: The mailstead maintainers
description:
  - frp's own default encrypts without checking who is at the other end. This keeps a private authority below the
    inventory in C(.mailstead/tunnel) and returns a certificate pair for every end, so that both sides verify.
  - Certificates are renewed when less than a third of their life is left, or when a name or address changes.
  - Use it with C(no_log).
attributes:
  check_mode:
    description: Nothing is made; a placeholder stands for what would be made or renewed, and changed is true then.
    support: full
  diff_mode:
    description: Shows no differences, for it deals in keys.
    support: none
  idempotent:
    description: Existing credentials are returned as they are.
    support: full
options:
  edges:
    description: The public hosts.
    type: list
    elements: dict
    required: true
    suboptions:
      host:
        description: Inventory name.
        type: str
        required: true
      name:
        description: Mail name, the one the tunnel client verifies.
        type: str
        required: true
      addresses:
        description: Public addresses.
        type: list
        elements: str
        required: true
  homes:
    description: Inventory names of the homes, and of the hosts of services that send through an edge.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Keep the tunnel's credentials
  mailstead.stack.tunnel_pki:
    edges: [{host: vps1, name: mail.example.com, addresses: [192.0.2.10]}]
    homes: [home]
  register: __tunnel
  no_log: true
"""

RETURN = r"""
ca:
  description: The authority's certificate, PEM.
  returned: success
  type: str
token:
  description: The shared token of frps and frpc.
  returned: success
  type: str
stcp_secret:
  description: The shared key of the outbound channel.
  returned: success
  type: str
pairs:
  description: C(server-<edge>), C(client-<edge>) and C(client-<home>), each with C(certificate) and C(key) in PEM.
  returned: success
  type: dict
"""
