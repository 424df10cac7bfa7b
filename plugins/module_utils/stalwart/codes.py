# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The MS-SRV codes: what went wrong between us and the mail server's management API, and what to do about it.

docs/errors.md is made from this table; the text a user sees names the object and repeats the server's own words.
"""

from __future__ import annotations

from typing import Dict

CODES: Dict[str, str] = {
    "MS-SRV-001": (
        "The management API does not answer. Start the server and look at its log: `docker logs "
        "mailstead-stalwart --tail 50`"
    ),
    "MS-SRV-002": (
        "The server refuses the credentials. Run the play with the bootstrap step; it makes a new API key "
        "when the old one no longer works."
    ),
    "MS-SRV-003": (
        "The account behind the credentials may not do this. Give the account the role Admin, or remove the "
        "API key file and run the play again."
    ),
    "MS-SRV-004": "The server limits our requests. Wait a minute and run the play again.",
    "MS-SRV-005": "The server answered with an HTTP error. Look at the server's log for the same minute.",
    "MS-SRV-006": (
        "The answer is not what the management API promises. Check that url leads to the mail server itself "
        "and not to a proxy or another program."
    ),
    "MS-SRV-007": (
        "The server has no object schema: it is older than 0.16 or something else. Use Stalwart 0.16.18 or newer."
    ),
    "MS-SRV-008": "The server refused a method call as a whole. Correct what the server's words name.",
    "MS-SRV-010": "The server's schema has no such object type. Correct the type's spelling.",
    "MS-SRV-011": "The object has no such property. Correct the property's name.",
    "MS-SRV-012": "The value does not fit the property. Give a value of the kind that is named.",
    "MS-SRV-013": (
        "The property cannot be set or changed. Remove the property, or declare the object absent and again "
        "under another key."
    ),
    "MS-SRV-014": "A secret stands among the properties. Move it to `secrets` under its JSON pointer.",
    "MS-SRV-015": (
        "The match does not single out one object. Add keys to `match`, or remove the duplicate from the server."
    ),
    "MS-SRV-016": "A reference leads to no object. Declare the object in the same list or correct the reference.",
    "MS-SRV-017": "Objects refer to each other in a circle. Break the circle.",
    "MS-SRV-018": (
        "An expression names an object that does not exist: the server would accept it and deliver nothing. "
        "Declare the object or correct the name in quotes."
    ),
    "MS-SRV-019": "Two entries of the list mean the same object. Merge them.",
    "MS-SRV-020": "The server finds the object invalid. Correct what the server's words name.",
    "MS-SRV-021": "The server already has another object with this key. Match on that object's key, or remove it.",
    "MS-SRV-022": "Other objects still use this one. Declare those absent as well, or point them elsewhere.",
    "MS-SRV-023": ("The object refers to one that does not exist. Run the play again; the list has changed below us."),
    "MS-SRV-024": "The server refused the change. Correct what the server's words name.",
    "MS-SRV-025": "An earlier change failed, so later ones were not made. Mend the cause and run the play again.",
    "MS-SRV-026": (
        "The settings are stored, but the server cannot load them; the old ones stay live. Correct the "
        "object the server names; the next run loads the settings again."
    ),
    "MS-SRV-027": "A file with secrets is unsafe or unreadable. Run the command that is shown.",
    "MS-SRV-028": (
        "A relay on a loopback address: the server refuses to deliver there, for good. Use the tunnel "
        "client's address on the container network."
    ),
    "MS-SRV-029": "A purge of accounts or domains would delete mail. Declare the single objects absent instead.",
    "MS-SRV-030": (
        "There is no working API key, and the recovery administrator is not available to make one. Start the "
        "container with STALWART_RECOVERY_ADMIN and hand the same credentials to the module."
    ),
    "MS-SRV-031": (
        "The new API key does not work from this host. Add the address the server sees to allowed_ips: the "
        "container network's gateway and loopback."
    ),
    "MS-SRV-032": (
        "The server is not in its normal mode. Give it a config.json and start it without STALWART_RECOVERY_MODE."
    ),
}
