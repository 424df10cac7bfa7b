# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of a service through which applications send."""

from __future__ import annotations

import re
from typing import Any, Dict, Optional, Sequence

from ansible_collections.mailstead.stack.plugins.module_utils.intent import model
from ansible_collections.mailstead.stack.plugins.module_utils.intent.names import (
    DomainName,
    IPAddress,
    PlainAddress,
    SenderPattern,
)
from ansible_collections.mailstead.stack.plugins.module_utils.intent.shapes import (
    DURATION_UNITS,
    ByProvider,
    Duration,
    Forever,
    Key,
    Many,
    Mapped,
    Named,
    Number,
    Shape,
    Size,
    Text,
)
from ansible_collections.mailstead.stack.plugins.module_utils.intent.words import DAY, HOST_NAME, Secret
from ansible_collections.mailstead.stack.plugins.module_utils.providers.model import Profile


class PerTime(Shape):
    """``500/h`` → so many in so many seconds."""

    fallback = None

    def read(self, raw: Any, path: str, reading: Any) -> Optional[model.Rate]:
        match = re.fullmatch(r"([1-9]\d{0,5}|1000000)/([smhd])", raw) if isinstance(raw, str) else None
        if not match:
            self._wrong(raw, path, reading, "a rate such as 500/h or 20/m")
            return None
        return model.Rate(int(match.group(1)), DURATION_UNITS[match.group(2)])

    def schema(self) -> Dict[str, Any]:
        return {"type": "string", "pattern": "^([1-9][0-9]{0,5}|1000000)/[smhd]$"}


class SmarthostProvider(Text):
    """A provider that mail can be handed to. elsewhere: those that have a profile and nothing of the kind."""

    def __init__(self, known: Sequence[str], elsewhere: Sequence[str]) -> None:
        self.elsewhere = elsewhere
        super().__init__(choices=known)

    def read(self, raw: Any, path: str, reading: Any) -> str:
        if raw in (*self.elsewhere, model.OWN):
            what = f"'{raw}' has no server that mail can be handed to"
            reading.note("MS-INT-042", path, raw, what, f"use one of {', '.join(self.choices)}")
            return self.fallback
        return super().read(raw, path, reading)


#: Messages an application may send, and how large they may be, where nothing is said.
RATE_DEFAULT = model.Rate(500, 3600)
SIZE_DEFAULT = 10 * 1024**2
TOKEN_DURATION, TOKEN_ROTATION, TOKEN_OVERLAP = 365 * DAY, 180 * DAY, 7 * DAY
#: Becomes a part of host names, of selectors and of user names.
WORD = r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?"

LIMITS = Mapped(
    name="limits",
    build=model.Limits,
    fallback=model.Limits(),
    keys={
        "per_sender": Key(PerTime(), default=None, doc="messages of one application in a time, 500/h by default"),
        "max_size": Key(Size(), default=0, doc="size of a message, 10MiB by default"),
    },
)
APPLICATION = Mapped(
    name="a sender",
    shorthand="addresses",
    build=lambda **given: model.Application("", **given),
    fallback=model.Application(""),
    keys={
        "addresses": Key(
            Many(SenderPattern(), or_one=True),
            required=True,
            doc="addresses it may send as, in the envelope and in From; *@domain is every address of a domain",
        ),
        "smarthosts": Key(
            Many(Text(), or_one=True),
            default=(),
            doc="providers out of the service's, in the order of trying; all by default",
        ),
        "limits": Key(LIMITS, default=model.Limits(), doc="of this application; the service's by default"),
        "bounces": Key(PlainAddress(), default="", doc="where its bounces go; to the service's address by default"),
        "secret": Key(Secret(), default="", doc="password; generated once where absent"),
    },
)
BOUNCES = Mapped(
    name="bounces",
    shorthand="address",
    build=model.Bounces,
    fallback=model.Bounces(),
    keys={
        "address": Key(
            PlainAddress(), default="", doc="a mailbox that somebody reads; the envelope sender of all mail"
        ),
        "webhook": Key(
            Text(pattern=r"https://[^\s/]+\S*", wanted="an https URL"),
            default="",
            doc="is called for each failed delivery",
        ),
        "secret": Key(Secret(), default="", doc="with which calls are signed (HMAC)"),
    },
)
LAN = Mapped(
    name="lan",
    shorthand="name",
    build=lambda name, address: (name, address),
    fallback=("", ""),
    keys={
        "name": Key(
            DomainName(), default="", doc="the name in the certificate; <service>.<zone of the first sender> by default"
        ),
        "address": Key(IPAddress(4), default="", doc="published for that name; without it, name it in your own DNS"),
    },
)
ACCESS = Mapped(
    name="access",
    build=model.Access,
    fallback=model.Access(),
    keys={
        "service_tokens": Key(
            Many(Text(pattern=r"[A-Za-z0-9][A-Za-z0-9_.-]*", wanted="a name for a token"), or_one=True),
            required=True,
            doc="names of the tokens that may pass; they are made here",
        ),
        "duration": Key(
            Forever("forever"), default=TOKEN_DURATION, doc="how long a token lives, 365d by default, or forever"
        ),
        "rotate_after": Key(
            Forever("never"), default=TOKEN_ROTATION, doc="age of a token's secret at which it is renewed, or never"
        ),
        "overlap": Key(Duration(), default=TOKEN_OVERLAP, doc="how long the old secret stays good"),
    },
)
CLOUDFLARE_TUNNEL = Mapped(
    name="cloudflare_tunnel",
    build=model.Tunnel,
    keys={
        "hostname": Key(DomainName(), required=True, doc="name under which clients find the tunnel; made here"),
        "management": Key(
            Text(choices=("remote", "local"), fallback="remote"),
            default="remote",
            doc="remote: configured over the API; local: by a file on the host",
        ),
        "access": Key(ACCESS, required=True, doc="who may pass; a tunnel without is open to the world"),
        "account_id": Key(
            Text(pattern=r"[0-9a-f]{32}", wanted="an account id"), default="", doc="that of the zone by default"
        ),
        "token": Key(Secret(), default="", doc="API token for tunnels and Access; that of the zone by default"),
    },
)
EXPOSE = Mapped(
    name="expose",
    build=lambda cloudflare_tunnel: cloudflare_tunnel,
    keys={
        "cloudflare_tunnel": Key(CLOUDFLARE_TUNNEL, required=True, doc="a way in from outside, without an open port")
    },
)


def smarthost(profiles: Sequence[Profile]) -> Mapped:
    known = tuple(p.id for p in profiles if p.sends and p.submission)
    elsewhere = [p.id for p in profiles if p.id not in known]
    return ByProvider(
        words={model.EDGE: ((), ("edge",)), **dict.fromkeys(known, (("secret",), ("username", "inputs", "port")))},
        name="a smarthost",
        shorthand="provider",
        build=model.Smarthost,
        fallback=model.Smarthost(""),
        keys={
            "provider": Key(
                SmarthostProvider((*known, model.EDGE), elsewhere), required=True, doc="who takes our mail"
            ),
            "username": Key(Text(), default="", doc="of the login there; some providers have one for everybody"),
            "secret": Key(Secret(), default="", doc="password of the login there"),
            "inputs": Key(Named(Text()), default=(), doc="what the provider gave you, such as its DKIM key"),
            "port": Key(Number(low=1, high=65535), default=0, doc="another of the provider's ports"),
            "edge": Key(HOST_NAME, default="", doc="edge: which one; the only one of group mail_edge by default"),
        },
    )


def service_keys(profiles: Sequence[Profile] = ()) -> Dict[str, Key]:
    """The words of a service through which applications send."""
    return {
        "name": Key(Text(pattern=WORD, wanted="a word such as notify"), required=True, doc="of the service"),
        "state": Key(Text(choices=("present", "absent"), fallback="present"), default="present"),
        "host": Key(
            HOST_NAME, default="", doc="of group mail_home, and no home of a mail domain; implied when there is one"
        ),
        "lan": Key(LAN, default=("", "")),
        "senders": Key(
            Named(APPLICATION, Text(pattern=WORD, wanted="a word")), default=(), doc="applications, by name"
        ),
        "smarthosts": Key(
            Many(smarthost(profiles), or_one=True), default=(), doc="who delivers, in the order of trying"
        ),
        "expose": Key(EXPOSE, default=None),
        "limits": Key(LIMITS, default=model.Limits()),
        "clients": Key(
            Many(HOST_NAME, or_one=True), default=(), doc="hosts of group mail_client that come through the tunnel"
        ),
        "bounces": Key(BOUNCES, default=model.Bounces(), doc="where it goes that a message came back"),
    }
