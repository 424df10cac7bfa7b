# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command lines in the manner of cloudflared: options anywhere before or after the words, many of them by environment too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: Options that stand alone; every other one takes a value.
SWITCHES = frozenset(
    [
        "no-autoupdate",
        "no-prechecks",
        "version",
        "help",
        "h",
        "v",
        "post-quantum",
        "is-fedramp",
        "no-tls-verify",
        "hello-world",
        "bastion",
    ]
)
#: Environment variables that the real one reads for its options.
VARIABLES = {
    "token": "TUNNEL_TOKEN",
    "token-file": "TUNNEL_TOKEN_FILE",
    "metrics": "TUNNEL_METRICS",
    "config": "TUNNEL_CONFIG",
    "edge": "TUNNEL_EDGE",
    "credentials-file": "TUNNEL_CRED_FILE",
    "hostname": "TUNNEL_SERVICE_HOSTNAME",
    "url": "TUNNEL_SERVICE_URL",
    "service-token-id": "TUNNEL_SERVICE_TOKEN_ID",
    "service-token-secret": "TUNNEL_SERVICE_TOKEN_SECRET",
}
ALIASES = {
    "tunnel-host": "hostname",
    "T": "hostname",
    "listener": "url",
    "L": "url",
    "id": "service-token-id",
    "secret": "service-token-secret",
    "cred-file": "credentials-file",
}


class UsageError(Exception):
    """text: as the real one prints it; status: that it ends with."""

    def __init__(self, text: str, status: int = 255) -> None:
        super().__init__(text)
        self.status = status


@dataclass
class Line:
    """A command line, taken apart: the words that are no options, and the options by their long names."""

    words: list[str] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, argv: list[str], environment: Mapping[str, str]) -> Line:
        """Raises UsageError for an option without its value."""
        found = cls(options={o: environment[v] for o, v in VARIABLES.items() if environment.get(v)})
        rest = iter(argv)
        for word in rest:
            if not word.startswith("-"):
                found.words.append(word)
                continue
            name, equals, value = word.lstrip("-").partition("=")
            name = ALIASES.get(name, name)
            if name in SWITCHES:
                value = value or "true"
            elif not equals:
                following = next(rest, None)
                if following is None:
                    raise UsageError(f"Incorrect Usage: flag needs an argument: -{name}", 1)
                value = following
            found.options[name] = value
        return found
