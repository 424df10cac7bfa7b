# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tunnels and Access as we want them and as they are; wishes are checked here. Pure.

What is ours is known by its name: a tunnel by the wanted one, its Access application and policy by the same, a service token by
the instance before its own (``mailstead-app1``). The record carries a mark, as others of ours do, but under an instance of its
own: the reconciler of zones does not know of it and must not take it for surplus.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_lint import lint_ingress
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Have, Mark

REMOTE, LOCAL = "remote", "local"
#: management → the API's config_src.
SOURCES = {REMOTE: "cloudflare", LOCAL: "local"}
#: Where a tunnel's hostname leads.
SUFFIX = "cfargotunnel.com"
#: Domain of every team (auth_domain of an organization).
TEAM_DOMAIN = ".cloudflareaccess.com"
#: A token is renewed when less than this is left of it, and less than a third of its life.
RENEW_BEFORE = timedelta(days=30)
GUARDS = {
    "revoked": "enable a disabled service token again, or make a new one where it was deleted",
    "expired": "renew an expired service token; it gets a new secret",
}

_TUNNEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


# -- wanted ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """An ingress rule. origin: originRequest without access, which is ours."""

    hostname: str
    service: str
    origin: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """A wanted tunnel. zone and account may be empty for one that is to go; tokens: names without the instance; service: what
    facts about it are told under."""

    name: str
    present: bool = True
    management: str = REMOTE
    hostname: str = ""
    zone: str = ""
    rules: Tuple[Rule, ...] = ()
    tokens: Tuple[str, ...] = ()
    account: str = ""
    service: str = ""


@dataclass(frozen=True)
class Life:
    """How a service token lives; seconds. duration 0: for ever; rotate_after 0: not by itself."""

    duration: int = 0
    rotate_after: int = 0
    overlap: int = 0


@dataclass(frozen=True)
class Held:
    """What the controller knows of the secret it holds for a token.

    version: 0 where the API told none, as it mostly does; account: its id; pending: a new one was about to be made, and whether
    it was is not known.
    """

    client_id: str
    version: int = 0
    account: str = ""
    made: Optional[datetime] = None
    pending: bool = False


# -- live ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tunnel:
    """source: ``cloudflare`` or ``local``; config: of a remotely managed one that was asked for it; connections: as told."""

    id: str
    name: str
    source: str
    status: str = ""
    connections: Tuple[Mapping[str, Any], ...] = ()
    config: Optional[Mapping[str, Any]] = None


@dataclass(frozen=True)
class ServiceToken:
    """version: 0 where the API does not tell; expires: None for one that does not; duration: seconds, 0 for ever, None when
    not told."""

    id: str
    name: str
    client_id: str
    enabled: bool = True
    version: int = 0
    expires: Optional[datetime] = None
    duration: Optional[int] = None
    last_seen: str = ""


@dataclass(frozen=True)
class Policy:
    """A reusable policy. include: ids of service tokens; plain: whether it consists of nothing else."""

    id: str
    name: str
    decision: str
    include: Tuple[str, ...] = ()
    plain: bool = True


@dataclass(frozen=True)
class App:
    """An Access application. policies: ids of those attached; settings: as the API gives them."""

    id: str
    name: str
    domain: str
    audience: str
    type: str = "self_hosted"
    policies: Tuple[str, ...] = ()
    destinations: Tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def covers(self) -> Tuple[str, ...]:
        """All that it stands in front of, hostnames with or without a path."""
        return tuple(dict.fromkeys(d for d in (self.domain, *self.destinations) if d))


@dataclass(frozen=True)
class Live:
    """An account as read, and the records of the zones concerned by the zone's name. team: without its domain."""

    account: str
    team: str = ""
    tunnels: Tuple[Tunnel, ...] = ()
    apps: Tuple[App, ...] = ()
    policies: Tuple[Policy, ...] = ()
    tokens: Tuple[ServiceToken, ...] = ()
    records: Mapping[str, Tuple[Have, ...]] = field(default_factory=dict)

    def tunnel(self, name: str) -> Optional[Tunnel]:
        return next((t for t in self.tunnels if t.name == name), None)

    def app(self, name: str) -> Optional[App]:
        return next((a for a in self.apps if a.name == name), None)

    def policy(self, name: str) -> Optional[Policy]:
        return next((p for p in self.policies if p.name == name), None)

    def token(self, name: str) -> Optional[ServiceToken]:
        return next((t for t in self.tokens if t.name == name), None)


@dataclass(frozen=True)
class Options:
    """instance: whose all this is; now: what times are judged by; allow: of GUARDS; rotate_now: tokens that get a new secret in
    this run, whatever their age."""

    instance: str
    now: datetime
    allow: Tuple[str, ...] = ()
    rotate_now: Tuple[str, ...] = ()

    def token(self, name: str) -> str:
        """What a service token is called at Cloudflare."""
        return f"{self.instance}-{name}"

    def mark(self, tunnel: str) -> Mark:
        return Mark(f"{self.instance}.tunnel", tunnel)

    def tunnel_of(self, record: Have) -> str:
        """The tunnel that a record of ours leads to; empty for everybody else's."""
        found = record.mark(f"{self.instance}.tunnel")
        return found.role if found is not None else ""


# -- reading the arguments -------------------------------------------------------------------------------------------


def wishes(rows: Sequence[Mapping[str, Any]]) -> Tuple[List[Wanted], Dict[str, Life]]:
    """The argument ``tunnels`` as wishes, and the lives of the tokens by name.

    Raises MailsteadError with everything that is wrong with it.
    """
    problems: List[Problem] = []
    out = [_wanted(row, problems) for row in rows]
    lives = _lives(rows, problems)
    for kind, names in (
        ("tunnel", [w.name for w in out]),
        ("hostname", [w.hostname for w in out if w.present and w.hostname]),
    ):
        for name in sorted({n for n in names if names.count(n) > 1}):
            fix = f"List each {kind} once."
            problems.append(Problem("MS-TUN-002", f"{kind} {name}", "it is listed twice", fix))
    if problems:
        raise MailsteadError(problems)
    return out, lives


def _wanted(row: Mapping[str, Any], problems: List[Problem]) -> Wanted:
    name, where = str(row["name"]), f"tunnel {row['name']}"

    def wrong(what: str, fix: str) -> None:
        problems.append(Problem("MS-TUN-002", where, what, fix))

    if not _TUNNEL.fullmatch(name):
        wrong("this is no name for a tunnel", "Use letters, digits, dots and hyphens, at most 100.")
    names = {}
    for key in ("hostname", "zone"):
        try:
            names[key] = rdata.name(str(row[key])) if row.get(key) else ""
        except rdata.RdataError as error:
            names[key] = ""
            wrong(f"{key}: {error}", "Correct the name.")
    present = row.get("state", "present") == "present"
    rules = tuple(
        Rule(str(r.get("hostname") or "").lower(), str(r.get("service") or ""), dict(r.get("origin") or {}))
        for r in row.get("ingress") or ()
    )
    tokens = tuple(dict.fromkeys(str(t) for t in row.get("service_tokens") or ()))
    want = Wanted(
        name,
        present,
        str(row.get("management") or REMOTE),
        names["hostname"],
        names["zone"],
        rules,
        tokens,
        str(row.get("account_id") or ""),
        str(row.get("service") or name),
    )
    if present:
        problems += _check(want, where)
    return want


def _check(want: Wanted, where: str) -> List[Problem]:
    out: List[Problem] = []

    def wrong(what: str, fix: str) -> None:
        out.append(Problem("MS-TUN-002", where, what, fix))

    if not want.hostname or not want.zone:
        wrong("hostname or zone is missing", "Give both: the name that clients reach it under, and the zone it is in.")
    elif not rdata.within(want.hostname, want.zone):
        wrong(f"{want.hostname} is not in the zone {want.zone}", "Take a hostname in the zone.")
    for rule in want.rules:
        if rule.hostname not in ("", want.hostname):
            what = f"a rule answers {rule.hostname}, which no Access application protects"
            wrong(what, f"Let its rules answer {want.hostname} only; another hostname takes a tunnel of its own.")
        if "access" in rule.origin:
            wrong("origin has access", "Leave it out: it is written from the application.")
    if want.hostname and not any(rule.hostname == want.hostname for rule in want.rules):
        wrong(f"no rule answers {want.hostname}", "Add the rule that leads to the service.")
    if not want.tokens:
        wrong("there is no service token: nobody could get through", "Name at least one in service_tokens.")
    for token in want.tokens:
        if not _TOKEN.fullmatch(token):
            wrong(f"{token!r} is no name for a service token", "Use letters, digits, dots and hyphens, at most 64.")
    return out + lint_ingress({"ingress": ingress(want)}, where)


def _lives(rows: Sequence[Mapping[str, Any]], problems: List[Problem]) -> Dict[str, Life]:
    lives: Dict[str, Life] = {}
    for row in rows:
        if row.get("state", "present") != "present":
            continue
        life = Life(*(int(row.get(key) or 0) for key in ("duration", "rotate_after", "overlap")))
        where = f"tunnel {row['name']}"
        out: List[Tuple[str, str]] = []
        if min(life.duration, life.rotate_after, life.overlap) < 0:
            out.append(("a time is negative", "Give seconds, 0 for never."))
        if life.rotate_after and life.overlap >= life.rotate_after:
            what = "the old secret would outlive the next rotation"
            out.append((what, "Make overlap shorter than rotate_after."))
        if life.duration and life.rotate_after >= life.duration:
            out.append(("a token would expire before it is rotated", "Make rotate_after shorter than duration."))
        for name in row.get("service_tokens") or ():
            if lives.setdefault(str(name), life) != life:
                what = f"the service token {name} has other times with another tunnel"
                out.append((what, "Give both tunnels the same duration, rotate_after and overlap."))
        problems += [Problem("MS-TUN-002", where, what, fix) for what, fix in out]
    return lives


def held_of(rows: Mapping[str, Mapping[str, Any]]) -> Dict[str, Held]:
    """The argument ``held``."""
    return {
        str(name): Held(
            str(row.get("client_id") or ""),
            int(row.get("version") or 0),
            str(row.get("account") or ""),
            moment(str(row.get("made") or "")),
            bool(row.get("pending")),
        )
        for name, row in rows.items()
    }


# -- forms -----------------------------------------------------------------------------------------------------------


def ingress(want: Wanted, access: Optional[Mapping[str, Any]] = None) -> List[Dict[str, Any]]:
    """The rules as the API and the configuration file have them; access: what the rule of the hostname demands."""
    out: List[Dict[str, Any]] = []
    for rule in want.rules:
        origin: Dict[str, Any] = dict(rule.origin)
        if rule.hostname and access is not None:
            origin["access"] = dict(access)
        entry: Dict[str, Any] = {"hostname": rule.hostname} if rule.hostname else {}
        entry["service"] = rule.service
        if origin:
            entry["originRequest"] = origin
        out.append(entry)
    return out


def access(team: str, audience: str) -> Dict[str, Any]:
    """What the connector demands of every request: a token of Access, made for this very application."""
    return {"required": True, "teamName": team, "audTag": [audience]}


def moment(text: str) -> Optional[datetime]:
    """An RFC 3339 time; None for what is none."""
    # Python 3.9 reads neither a Z nor fractions of other than three or six digits.
    plain = re.sub(r"\.\d+", "", text.strip().replace("Z", "+00:00"))
    try:
        found = datetime.fromisoformat(plain)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)


def stamp(when: datetime) -> str:
    """RFC 3339 in UTC, whole seconds."""
    return when.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def duration_text(seconds: int) -> str:
    """As the API wants it: ``8760h``, or ``forever`` for 0."""
    if not seconds:
        return "forever"
    return f"{seconds // 3600}h" if seconds % 3600 == 0 else f"{seconds}s"


def duration_seconds(text: str) -> Optional[int]:
    """What the API tells as a duration; 0 for ever, None for what is none."""
    if text == "forever":
        return 0
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s)", text)
    if not parts or "".join(n + u for n, u in parts) != text:
        return None
    return round(sum(float(number) * _UNITS[unit] for number, unit in parts))


def days_left(token: ServiceToken, now: datetime) -> Optional[int]:
    """Whole days until it expires; None for one that does not."""
    return None if token.expires is None else (token.expires - now).days


def content(tunnel_id: str) -> str:
    """What the CNAME of a tunnel's hostname leads to."""
    return f"{tunnel_id}.{SUFFIX}"
