# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the options by which modules reach a name server; the arguments are in module_utils/rfc2136/module.py."""

from __future__ import annotations


class ModuleDocFragment:
    """Server and key."""

    DOCUMENTATION = r"""
options:
  server:
    description: Host name or address of the zones' primary name server.
    type: str
    required: true
  port:
    description: Its port, the same for UDP and TCP.
    type: int
    default: 53
  key_name:
    description: Name of the TSIG key. The server must let it transfer and update the zones.
    type: str
    required: true
  key_algorithm:
    description: Algorithm of the key.
    type: str
    choices: [hmac-sha256, hmac-sha384, hmac-sha512]
    default: hmac-sha256
  key_secret:
    description: Secret of the key, in base64.
    type: str
    required: true
  timeout:
    description: Seconds to wait for an answer; a whole transfer may take twelve times as long.
    type: int
    default: 10
requirements:
  - dnspython
"""
