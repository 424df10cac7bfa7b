# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for Cloudflare's edge in front of tunnels: clients come as WebSockets, Access decides, connectors carry.

One client goes: TLS on 443 under the host name → the API twin decides by the account's Access applications and tokens →
a connector of the tunnel is told of it, with the assertion that Access issues → the connector finds the rule, judges the
assertion itself and connects back → 101, and bytes flow as binary frames. ``python3 -m lab.tunnel_edge --config FILE``.

What a client sees is held to the real client, which the lab builds (:mod:`lab.cloudflared.build`) and tests run against it.
What connector and edge say to each other is ours (:mod:`lab.cloudflared.standin.wire`). Not modelled: HTTP services behind a
tunnel, log-ins of people, WARP, several data centres.
"""
