# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done so that an account's tunnels are as wanted: steps as data, in an order that is safe to stop in. Pure.

A hostname is never reachable without Access by what we do: its record goes first and comes last; the application and its policy
stand before the rules that answer the hostname. New secrets come at the very end but one: a run that breaks before has not
invalidated any.

The order: records that have to go; tunnels that have to go, with their applications and policies; service tokens; for each tunnel
its policy, application, the tunnel, its rules, its record; new secrets; service tokens that nobody needs any more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_model import (
    REMOTE,
    RENEW_BEFORE,
    SOURCES,
    App,
    Held,
    Life,
    Live,
    Options,
    Policy,
    ServiceToken,
    Tunnel,
    Wanted,
    access,
    content,
    duration_text,
    ingress,
    stamp,
)
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Have, words_of

#: Settings of the application. Blocked requests get a 401, not the page to log in: applications cannot log in. Nothing is let
#: past Access, whatever its method.
APP: Mapping[str, Any] = {
    "type": "self_hosted",
    "session_duration": "24h",
    "app_launcher_visible": False,
    "service_auth_401_redirect": True,
    "options_preflight_bypass": False,
}
DECISION = "non_identity"
#: Types that cannot stand beside a CNAME at Cloudflare.
CLASHING = ("A", "AAAA", "CNAME", "NS")


@dataclass(frozen=True)
class Step:
    """One request. kind: record, tunnel, connections, app, policy, token or config; action: create, update, delete, rotate or
    refresh; name: the hostname of a record, the token's own name, the tunnel's for all else.

    id: of what is there; record and zone: for records; overlap: seconds that an old secret stays good. before and after: for
    people, ids and audiences by their names, so that a prediction and what was done read the same.
    """

    kind: str
    action: str
    name: str
    reasons: Tuple[str, ...]
    tunnel: str = ""
    id: str = ""
    zone: str = ""
    record: Optional[Have] = None
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    overlap: int = 0

    def to_data(self) -> Dict[str, Any]:
        """JSON types for a module's result."""
        texts = {key: str(getattr(self, key)) for key in ("kind", "action", "name", "tunnel")}
        return {**texts, "reasons": list(self.reasons)}


@dataclass(frozen=True)
class Task:
    """All that is wanted in one account, and what the controller holds."""

    wanted: Sequence[Wanted]
    lives: Mapping[str, Life]
    held: Mapping[str, Held]
    options: Options

    @property
    def present(self) -> List[Wanted]:
        return [w for w in self.wanted if w.present]

    @property
    def tokens(self) -> List[str]:
        """Names of the wanted service tokens, each once."""
        return list(dict.fromkeys(t for w in self.present for t in w.tokens))


def plan(task: Task, live: Live) -> Tuple[List[Step], List[Problem]]:
    """Steps in order, and why none of them may be done."""
    problems = refusals(task, live)
    if problems:
        return [], problems
    steps: List[Step] = []
    for want in task.wanted:
        steps += _stale_records(task, live, want)
    for want in task.wanted:
        if not want.present:
            steps += _removal(live, want)
    lives: List[Step] = []
    rotations: List[Step] = []
    for name in task.tokens:
        kept, rotated = _token(task, live, name)
        lives += kept
        rotations += rotated
    steps += lives
    # A hostname that one tunnel gives up can be another's in the same run.
    for want in sorted(task.present, key=lambda w: not _moves(live, w)):
        steps += _tunnel(task, live, want)
    return steps + rotations + _unused_tokens(task, live), []


# -- why not ---------------------------------------------------------------------------------------------------------


def refusals(task: Task, live: Live) -> List[Problem]:
    """What stands in the way. Nothing is written where there is anything."""
    out: List[Problem] = []
    if task.present and not live.team:
        what = "the account has no Zero Trust team (no auth_domain)"
        fix = "Open Zero Trust in the dashboard once and choose a team name; the free plan is enough."
        out.append(Problem("MS-TUN-008", f"account {live.account}", what, fix))
    for want in task.wanted:
        out += _twins(live, want)
        if want.present:
            out += [*_foreign_records(task, live, want), *_foreign_apps(task, live, want), *_managed(live, want)]
    for name in task.tokens:
        out += _token_refusals(task, live, name)
    return out


def _twins(live: Live, want: Wanted) -> Iterator[Problem]:
    kinds: Dict[str, Sequence[Union[Tunnel, App, Policy]]] = {
        "tunnels": live.tunnels,
        "Access applications": live.apps,
        "Access policies": live.policies,
    }
    for kind, found in kinds.items():
        ids = [thing.id for thing in found if thing.name == want.name]
        if len(ids) > 1:
            what = f"the account has {len(ids)} {kind} of this name: {', '.join(ids)}"
            yield Problem("MS-TUN-005", f"tunnel {want.name}", what, "Remove all but the one in use in the dashboard.")


def _foreign_records(task: Task, live: Live, want: Wanted) -> Iterator[Problem]:
    going = {w.name for w in task.wanted if not w.present or w.hostname != want.hostname}
    tunnel = live.tunnel(want.name)
    for record in live.records.get(want.zone, ()):
        owner = task.options.tunnel_of(record)
        if record.name != want.hostname or record.type not in CLASHING or owner == want.name or owner in going:
            continue
        if tunnel is not None and record.content == content(tunnel.id) and not record.read_only:
            # The dashboard writes such records: it leads to this very tunnel.
            continue
        whose = f"of the tunnel {owner}" if owner else f"of mailstead ({record.owner})" if record.owner else "not ours"
        what = f"{record.type} {record.content} stands there and is {whose}"
        fix = "Remove that record, or give the tunnel another hostname."
        yield Problem("MS-TUN-003", f"hostname {want.hostname}", what, fix)


def _foreign_apps(task: Task, live: Live, want: Wanted) -> Iterator[Problem]:
    ours = {w.name for w in task.wanted if not w.present or w.hostname != want.hostname} | {want.name}
    for app in live.apps:
        covered = [c for c in app.covers if c == want.hostname or c.startswith(f"{want.hostname}/")]
        if covered and app.name not in ours:
            what = f"the Access application {app.name!r} stands in front of {', '.join(covered)}"
            fix = "Remove that application, or give the tunnel another hostname."
            yield Problem("MS-TUN-004", f"hostname {want.hostname}", what, fix)


def _managed(live: Live, want: Wanted) -> Iterator[Problem]:
    tunnel = live.tunnel(want.name)
    if tunnel is not None and tunnel.source not in ("", SOURCES[want.management]):
        there = next((m for m, source in SOURCES.items() if source == tunnel.source), tunnel.source)
        what = f"it is managed {there}, not {want.management}"
        fix = f"Set management: {there}; or remove it (state: absent), run, and set state: present again."
        yield Problem("MS-TUN-009", f"tunnel {want.name}", what, fix)


def _token_refusals(task: Task, live: Live, name: str) -> Iterator[Problem]:
    options, held, where = task.options, task.held.get(name), f"service token {name}"
    same = [t for t in live.tokens if t.name == options.token(name)]
    if len(same) > 1:
        what = f"the account has {len(same)} of the name {options.token(name)}: {', '.join(t.client_id for t in same)}"
        yield Problem("MS-TUN-005", where, what, "Remove all but the one in use in the dashboard.")
        return
    if held is not None and held.account not in ("", live.account):
        what = f"the controller holds a token of this name for the account {held.account}"
        yield Problem("MS-TUN-002", where, what, "Give the tokens of different accounts different names.")
        return
    allow = "; or let this run do it: allow: [{}]"
    if not same:
        if held is not None and "revoked" not in options.allow:
            what = f"it was deleted at Cloudflare ({held.client_id}), while its secret is still in use here"
            fix = (
                "Take it out of service_tokens, if that was meant"
                + allow.format("revoked")
                + ", which makes a new one."
            )
            yield Problem("MS-TUN-006", where, what, fix)
        return
    token = same[0]
    if not token.enabled and "revoked" not in options.allow:
        fix = "Enable it in the dashboard (Access, Service credentials)" + allow.format("revoked") + "."
        yield Problem("MS-TUN-006", where, f"it is disabled ({token.client_id})", fix)
    if token.expires is not None and token.expires <= options.now and "expired" not in options.allow:
        fix = "Renew it in the dashboard (Access, Service credentials)" + allow.format("expired") + "."
        yield Problem("MS-TUN-007", where, f"it expired on {stamp(token.expires)} ({token.client_id})", fix)


# -- service tokens --------------------------------------------------------------------------------------------------


def _token(task: Task, live: Live, name: str) -> Tuple[List[Step], List[Step]]:
    """Steps for a token's life, and those for its secret."""
    life, options = task.lives[name], task.options
    full = options.token(name)
    after = {"name": full, "duration": duration_text(life.duration), "enabled": True}
    token = live.token(full)
    if token is None:
        return [Step("token", "create", name, ("it is not there",), after=after)], []
    steps: List[Step] = []
    why = [] if token.enabled else ["it is disabled"]
    if token.duration not in (None, life.duration):
        why.append(f"its life was {duration_text(token.duration or 0)}")
    before = {"name": full, "duration": _told_duration(token, after["duration"]), "enabled": token.enabled}
    if why:
        steps.append(Step("token", "update", name, tuple(why), id=token.id, before=before, after=after))
    old = _old(token, life, options)
    if old or token.duration not in (None, life.duration):
        reason = old or "its life differs"
        times = ({"expires": stamp(token.expires) if token.expires else "never"}, {"expires": _end(life)})
        steps.append(Step("token", "refresh", name, (reason,), id=token.id, before=times[0], after=times[1]))
    secret = _secret(task, token, name)
    if not secret:
        return steps, []
    dead = not token.enabled or (token.expires is not None and token.expires <= options.now)
    overlap = 0 if dead else life.overlap
    new = {"secret": "a new one", "old secret": f"good for {overlap} s more" if overlap else "gone at once"}
    rotation = Step(
        "token", "rotate", name, secret, id=token.id, before={"secret": "the old one"}, after=new, overlap=overlap
    )
    # Somebody may have had a reason to end it: it does not come back to life with the old secret.
    return ([], [rotation, *steps]) if dead else (steps, [rotation])


def _told_duration(token: ServiceToken, default: Any) -> Any:
    return default if token.duration is None else duration_text(token.duration)


def _end(life: Life) -> str:
    return f"{life.duration} s from now" if life.duration else "never"


def _old(token: ServiceToken, life: Life, options: Options) -> str:
    """Why a token needs a longer life; empty when it does not."""
    if token.expires is None:
        return ""
    left = token.expires - options.now
    if left <= timedelta(0):
        return f"it expired on {stamp(token.expires)}"
    if not life.duration or left < min(RENEW_BEFORE, timedelta(seconds=life.duration) / 3):
        return f"it expires on {stamp(token.expires)}"
    return ""


def _secret(task: Task, token: ServiceToken, name: str) -> Tuple[str, ...]:
    """Why a token needs a new secret; nothing when the one that the controller holds will do."""
    held, life, now = task.held.get(name), task.lives[name], task.options.now
    if held is None:
        return ("the controller does not hold its secret",)
    if held.client_id != token.client_id:
        return ("the controller holds the secret of another token",)
    out: List[str] = ["a new secret was about to be made, and it may be the one that counts"] if held.pending else []
    if name in task.options.rotate_now:
        out.append("it was asked for")
    if held.version and token.version and held.version != token.version:
        out.append("it got another secret from somebody else")
    if not token.enabled:
        out.append("it was disabled")
    if token.expires is not None and token.expires <= now:
        out.append("it had expired")
    if life.rotate_after and (held.made is None or held.made + timedelta(seconds=life.rotate_after) <= now):
        made = f"was made on {stamp(held.made)}" if held.made else "is of unknown age"
        out.append(f"its secret {made}")
    return tuple(out)


def _unused_tokens(task: Task, live: Live) -> List[Step]:
    """Those that the controller holds, that nobody wants and that no policy of another tunnel names."""
    ours = {w.name for w in task.wanted}
    used = {i for p in live.policies if p.name not in ours for i in p.include}
    out: List[Step] = []
    for name in sorted(task.held):
        token = live.token(task.options.token(name))
        if name in task.tokens or token is None or task.held[name].client_id != token.client_id or token.id in used:
            continue
        before = {"name": token.name, "enabled": token.enabled}
        out.append(Step("token", "delete", name, ("no tunnel wants it",), id=token.id, before=before))
    return out


def forgotten(task: Task, live: Live) -> List[str]:
    """Tokens whose secrets the controller need not hold any more: nobody wants them, and they are gone."""
    return [
        name
        for name, held in sorted(task.held.items())
        if name not in task.tokens and held.account == live.account and live.token(task.options.token(name)) is None
    ]


# -- records ---------------------------------------------------------------------------------------------------------


def _stale_records(task: Task, live: Live, want: Wanted) -> Iterator[Step]:
    """Ours for this tunnel at any other name than its hostname, or all of them when it goes."""
    for zone, records in sorted(live.records.items()):
        for record in records:
            if task.options.tunnel_of(record) != want.name or (want.present and record.name == want.hostname):
                continue
            reason = "the tunnel goes" if not want.present else f"the hostname is {want.hostname} now"
            before = shown_record(record, live)
            yield Step("record", "delete", record.name, (reason,), want.name, record.id, zone, record, before=before)


def _record(task: Task, live: Live, want: Wanted) -> Iterator[Step]:
    tunnel = live.tunnel(want.name)
    mark = task.options.mark(want.name)
    after = {
        "type": "CNAME",
        "content": f"<id of {want.name}>.cfargotunnel.com",
        "proxied": True,
        "comment": mark.write(100),
    }
    found = next(
        (r for r in live.records.get(want.zone, ()) if r.name == want.hostname and _is_for(task, live, want, r)), None
    )
    if found is None:
        yield Step("record", "create", want.hostname, ("it is not there",), want.name, "", want.zone, after=after)
        return
    why = []
    if found.type != "CNAME" or tunnel is None or found.content != content(tunnel.id):
        why.append(f"it led to {found.content}")
    if not found.proxied:
        why.append("it was not proxied")
    if task.options.tunnel_of(found) != want.name:
        why.append("it was not marked as ours")
    if why:
        comment = words_of(found.comment)
        kept = {**after, "comment": f"{after['comment']} {comment}".strip()}
        yield Step(
            "record",
            "update",
            want.hostname,
            tuple(why),
            want.name,
            found.id,
            want.zone,
            found,
            shown_record(found, live),
            kept,
        )


def _is_for(task: Task, live: Live, want: Wanted, record: Have) -> bool:
    tunnel = live.tunnel(want.name)
    leads = tunnel is not None and record.type == "CNAME" and record.content == content(tunnel.id)
    return record.type in CLASHING and (task.options.tunnel_of(record) == want.name or leads)


def shown_record(record: Have, live: Live) -> Dict[str, Any]:
    """A record for people; the id of a tunnel of the account by its name."""
    names = {content(t.id): f"<id of {t.name}>.cfargotunnel.com" for t in live.tunnels}
    return {
        "type": record.type,
        "content": names.get(record.content, record.content),
        "proxied": record.proxied,
        "comment": record.comment,
    }


# -- tunnels ---------------------------------------------------------------------------------------------------------


def _moves(live: Live, want: Wanted) -> bool:
    app = live.app(want.name)
    return app is not None and want.hostname not in app.covers


def _tunnel(task: Task, live: Live, want: Wanted) -> List[Step]:
    steps = [*_policy(task, live, want), *_app(live, want)]
    if live.tunnel(want.name) is None:
        after = {"name": want.name, "config_src": SOURCES[want.management]}
        steps.append(Step("tunnel", "create", want.name, ("it is not there",), want.name, after=after))
    if want.management == REMOTE:
        steps += _config(live, want)
    return steps + list(_record(task, live, want))


def _policy(task: Task, live: Live, want: Wanted) -> Iterator[Step]:
    names = sorted(task.options.token(t) for t in want.tokens)
    after = {"name": want.name, "decision": DECISION, "include": names}
    policy = live.policy(want.name)
    if policy is None:
        yield Step("policy", "create", want.name, ("it is not there",), want.name, after=after)
        return
    known = {t.id: t.name for t in live.tokens}
    have = sorted(known.get(i, i) for i in policy.include)
    why = [] if policy.decision == DECISION else [f"its decision was {policy.decision}"]
    if have != names:
        why.append(f"it let in {', '.join(have) or 'nobody'}")
    if not policy.plain:
        why.append("it had other rules beside the service tokens")
    if why:
        before = {"name": want.name, "decision": policy.decision, "include": have}
        yield Step("policy", "update", want.name, tuple(why), want.name, policy.id, before=before, after=after)


def app_after(want: Wanted) -> Dict[str, Any]:
    """The wanted application; its policy by name."""
    return {"name": want.name, "domain": want.hostname, **APP, "policies": [want.name]}


def _app(live: Live, want: Wanted) -> Iterator[Step]:
    after = app_after(want)
    app = live.app(want.name)
    if app is None:
        yield Step("app", "create", want.name, ("it is not there",), want.name, after=after)
        return
    before = _shown_app(live, app)
    why = [f"{key} was {before[key]}" for key in sorted(after) if before[key] != after[key]]
    if app.covers != (want.hostname,) and app.domain == want.hostname:
        why.append(f"it covered {', '.join(app.covers)}")
        before["destinations"] = list(app.covers)
    if why:
        yield Step("app", "update", want.name, tuple(why), want.name, app.id, before=before, after=after)


def _shown_app(live: Live, app: App) -> Dict[str, Any]:
    """An application as far as it is ours to say; what the API does not tell of it counts as it is wanted."""
    names = {p.id: p.name for p in live.policies}
    told: Dict[str, Any] = {}
    for key, value in APP.items():
        found = app.settings.get(key)
        told[key] = bool(found) if isinstance(value, bool) else value if found is None else found
    told["type"] = app.type
    return {"name": app.name, "domain": app.domain, **told, "policies": [names.get(i, i) for i in app.policies]}


def _config(live: Live, want: Wanted) -> Iterator[Step]:
    app, tunnel = live.app(want.name), live.tunnel(want.name)
    symbol = f"<audience of {want.name}>"
    after = {"ingress": ingress(want, access(live.team, symbol))}
    have = plain_config(tunnel.config if tunnel else None)
    before = _with_symbol(have, app.audience, symbol) if app is not None else have
    if before != after:
        reason = "it differs" if have else "there is none"
        identity = tunnel.id if tunnel else ""
        yield Step("config", "update", want.name, (reason,), want.name, identity, before=before, after=after)


def plain_config(config: Optional[Mapping[str, Any]]) -> Dict[str, Any]:
    """A configuration as given back, without what says nothing: empty values, ids of rules, routing that is off."""
    out: Dict[str, Any] = {}
    for key, value in (config or {}).items():
        if key == "ingress" and isinstance(value, list):
            rules = [
                {k: v for k, v in r.items() if k != "id" and v not in ("", None, {})}
                for r in value
                if isinstance(r, dict)
            ]
            if rules:
                out[key] = rules
        elif value not in ({}, None, [], {"enabled": False}):
            out[key] = value
    return out


def _with_symbol(config: Mapping[str, Any], audience: str, symbol: str) -> Dict[str, Any]:
    """The configuration with the application's audience by a name that does not change when it is made anew."""

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: walk(v) for k, v in value.items()}
        if isinstance(value, list):
            return [walk(v) for v in value]
        return symbol if audience and value == audience else value

    return {k: walk(v) for k, v in config.items()}


def _removal(live: Live, want: Wanted) -> Iterator[Step]:
    """The record is gone by then; nothing stays behind that could let anybody in."""
    tunnel, app, policy = live.tunnel(want.name), live.app(want.name), live.policy(want.name)
    why = ("it is not wanted",)
    if tunnel is not None:
        yield from _disconnect(tunnel, why)
        before: Dict[str, Any] = {"name": want.name, "config_src": tunnel.source}
        yield Step("tunnel", "delete", want.name, why, want.name, tunnel.id, before=before)
    if app is not None:
        yield Step("app", "delete", want.name, why, want.name, app.id, before=_shown_app(live, app))
    if policy is not None:
        before = {"name": want.name, "decision": policy.decision}
        yield Step("policy", "delete", want.name, why, want.name, policy.id, before=before)


def _disconnect(tunnel: Tunnel, why: Tuple[str, ...]) -> Iterator[Step]:
    if tunnel.connections:
        # A tunnel with connections, also with those of a connector that has just ended, cannot be deleted.
        count = {"connections": len(tunnel.connections)}
        yield Step("connections", "delete", tunnel.name, why, tunnel.name, tunnel.id, before=count)
