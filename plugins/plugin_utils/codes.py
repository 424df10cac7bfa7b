# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Codes of the controller's own state, of hosts and of certificates; docs/errors.md is made from these."""

from __future__ import annotations

CODES: dict[str, str] = {
    "MS-STATE-001": "The inventory is not on disk (a list of hosts on the command line, for example), so there is no "
    "place for generated secrets. Use `-i inventory/<name>`.",
    "MS-STATE-002": "A generated secret is encrypted, and this run has no vault password or another one. Add "
    "`--ask-vault-pass` or `--vault-password-file`.",
    "MS-STATE-003": "A name cannot be used for a file that keeps a secret.",
    "MS-STATE-004": "A file with a secret is missing, open to others, or belongs to somebody else. The message has the "
    "command that mends it; if others could read it, consider the secret known and make a new one.",
    "MS-HOST-001": "A program refused its new configuration before anything was replaced. The message ends in the "
    "program's own words.",
    "MS-HOST-002": "A host cannot be reached over SSH. Nothing was changed.",
    "MS-HOST-003": "A host can be reached but not administered: not root, another distribution, or too old a Python.",
    "MS-HOST-004": "A file is to belong to a user or group that the host does not have.",
    "MS-HOST-005": "Something stands where a file, link or directory has to go, and it is not ours to remove.",
    "MS-HOST-006": "A system account could not be made. The message ends in useradd's own words.",
    "MS-HOST-007": "systemd does not answer: the host was not booted with it, or is shutting down.",
    "MS-HOST-008": "A service does not come up. The message ends in its last words.",
    "MS-HOST-009": "A file is to be written and nobody said what is in it.",
    "MS-HOST-010": "The connector of a Cloudflare Tunnel runs, but has no connection to Cloudflare: outgoing port 7844 is "
    "closed, or the tunnel or its token is gone. The message ends in the connector's own words.",
    "MS-HOST-011": "cloudflared would be downloaded to an application's host, and nobody said which digest it must have.",
    "MS-HOST-012": "The program that the inventory names for the tunnel's client is not on the host.",
    "MS-HOST-013": "The tunnel's client runs on an application's host, but nothing answers where it should listen.",
    "MS-HOST-014": "The tunnel's client is to run in a container on an application's host, and no container engine answers.",
    "MS-HOST-015": "A run was limited to hosts without `localhost`, which asks Cloudflare for tunnels and keeps their tokens. "
    "Add it: `--limit localhost,<host>`.",
    "MS-HOST-016": "A host has the data of another kind of mail server: a service for applications cannot become a home of mail "
    "domains by itself, nor the other way round, for the settings of the one would stay and refuse mail to the other.",
    "MS-TLS-001": "The certificate authority gave no certificate. Most often a name does not resolve to the edge yet, "
    "or port 80 does not reach the home through the tunnel; with dns-01, the zone's credentials may not write there.",
    "MS-TLS-002": "The certificate exists, but the mail server could not be given its files.",
    "MS-TLS-003": "certbot is not installed on the home host.",
    "MS-TLS-004": "certbot's plugin for name servers of one's own needs an address, and the name that was given has none.",
}
