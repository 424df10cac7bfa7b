# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A labelled stand-in for cloudflared, for what cannot run without Cloudflare, or cannot be built here.

Same command line for what the product uses: ``tunnel run`` (the connector; in the lab always this one), ``access tcp``,
``tunnel ingress validate``, ``tunnel ready`` and ``version`` (these only where the real program could not be built). One
file when packed (:mod:`lab.cloudflared.build`), nothing but Python's library needed on a machine that runs ``access tcp``;
the connector needs cryptography, and reading YAML needs PyYAML: the lab's image has both.

Texts are those that the real one (2026.8.2) was seen to print. What goes over the wire between connector and edge is ours
(:mod:`.wire`): the real protocol is QUIC or HTTP/2 with Cap'n Proto.
"""

VERSION = "2026.8.2"
LABEL = "mailstead lab stand-in"
