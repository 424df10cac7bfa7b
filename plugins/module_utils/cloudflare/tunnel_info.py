# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How tunnels are, beside how they are wanted: for preflight, and for the checks of what runs. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare import tunnel_run
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_diff import Step
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_live import policy_of
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_model import (
    App,
    Held,
    Life,
    Live,
    Options,
    Policy,
    Wanted,
    content,
    days_left,
    stamp,
)
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_run import Account
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import Problem

#: What comes of age by itself is no difference: the next run of the playbook sees to it.
_AGE = ("rotate", "refresh")


@dataclass
class Report:
    """tunnels: in the order given; tokens: by name; facts: what the checks read, by the service's name; warnings: what a person
    should know, in words."""

    tunnels: List[Dict[str, Any]] = field(default_factory=list)
    tokens: Dict[str, Dict[str, Any]] = field(default_factory=dict)
    facts: Dict[str, Dict[str, Any]] = field(default_factory=dict)
    problems: List[Problem] = field(default_factory=list)
    warnings: List[str] = field(default_factory=list)


def report(
    client: Client,
    wanted: Sequence[Wanted],
    lives: Mapping[str, Life],
    held: Mapping[str, Held],
    options: Options,
    warn_days: int = 30,
    complete: bool = False,
) -> Report:
    """complete: what is not as wanted, or not connected, is a problem too.

    Raises MailsteadError where something cannot be read.
    """
    accounts, problems = tunnel_run.survey(client, wanted, lives, held, options)
    out = Report(problems=problems)
    rows = {want.name: _tunnel(account, want) for account in accounts for want in account.task.wanted}
    out.tunnels = [rows[want.name] for want in wanted]
    for account in accounts:
        out.facts.update((want.service, facts(account, want)) for want in account.task.present)
        for name in account.task.tokens:
            out.tokens[name] = _token(account, name)
            out.warnings += _ends(name, out.tokens[name], warn_days)
    if complete:
        for account in accounts:
            out.problems += _missing(account, out)
    return out


def _tunnel(account: Account, want: Wanted) -> Dict[str, Any]:
    tunnel, app = account.live.tunnel(want.name), account.live.app(want.name)
    steps = differences(account, want)
    alive = [c for c in tunnel.connections if not c.get("is_pending_reconnect")] if tunnel is not None else []
    return {
        "name": want.name,
        "state": "present" if want.present else "absent",
        "hostname": want.hostname,
        "account_id": account.live.account,
        "team": account.live.team,
        "id": tunnel.id if tunnel is not None else "",
        "status": tunnel.status if tunnel is not None else "missing",
        "connections": len(alive),
        "audience": app.audience if app is not None else "",
        "config_as_wanted": not any(s.kind == "config" for s in steps),
        "as_wanted": not steps and not account.problems,
        "differences": [s.to_data() for s in steps],
    }


def facts(account: Account, want: Wanted) -> Dict[str, Any]:
    """What stands there, whatever is wanted: for checks that judge by themselves. Never a secret."""
    live, tunnel, app = account.live, account.live.tunnel(want.name), account.live.app(want.name)
    row = _tunnel(account, want)
    target = content(tunnel.id) if tunnel is not None else ""
    records = live.records.get(want.zone, ())
    at_name = next((r for r in records if r.name == want.hostname and r.type == "CNAME"), None)
    app_facts = {"id": app.id, "aud": app.audience, "domain": app.domain, "type": app.type} if app is not None else None
    attached = {i for p in _attached(live, app) for i in p.include}
    wanted = {account.task.options.token(name) for name in want.tokens}
    tokens = [t for t in live.tokens if t.id in attached or t.name in wanted]
    return {
        **{key: row[key] for key in ("name", "id", "status", "connections")},
        "config_source": tunnel.source if tunnel is not None else "",
        "ingress": list((tunnel.config or {}).get("ingress") or ()) if tunnel is not None and tunnel.config else None,
        "dns": {"name": at_name.name, "content": at_name.content, "proxied": at_name.proxied} if at_name else None,
        "hostnames": sorted(r.name for r in records if target and r.type == "CNAME" and r.content == target),
        "access": {"app": app_facts, "policies": [_policy(account, p) for p in _attached(live, app)]},
        "tokens": [
            {
                "name": _own(account, t.name),
                "client_id": t.client_id,
                "expires_at": stamp(t.expires) if t.expires is not None else "",
            }
            for t in tokens
            if t.enabled
        ],
    }


def _attached(live: Live, app: Optional[App]) -> List[Policy]:
    """The policies of an application in their order, its own ones too."""
    if app is None:
        return []
    known = {p.id: p for p in live.policies}
    own = {p.id: p for p in (policy_of(raw) for raw in app.settings.get("policies") or () if isinstance(raw, dict))}
    return [known.get(i) or own[i] for i in app.policies if i in known or i in own]


def _policy(account: Account, policy: Policy) -> Dict[str, Any]:
    names = {t.id: _own(account, t.name) for t in account.live.tokens}
    tokens = [names.get(i, i) for i in policy.include]
    # What else it lets in has no name here, and must not look like nobody.
    others = [] if policy.plain else ["others than service tokens"]
    return {"name": policy.name, "decision": policy.decision, "tokens": tokens + others}


def _own(account: Account, name: str) -> str:
    """The name of a service token in the inventory; somebody else's as it is."""
    prefix = account.task.options.token("")
    return name[len(prefix) :] if name.startswith(prefix) else name


def differences(account: Account, want: Wanted) -> List[Step]:
    """What a run would change of a tunnel and the tokens it names, beside what comes of age."""
    return [
        step
        for step in account.steps
        if step.action not in _AGE and (step.tunnel == want.name or (step.kind == "token" and step.name in want.tokens))
    ]


def _token(account: Account, name: str) -> Dict[str, Any]:
    now = account.task.options.now
    token, held = account.live.token(account.task.options.token(name)), account.task.held.get(name)
    if token is None:
        status = "revoked" if held is not None else "missing"
    elif not token.enabled:
        status = "revoked"
    else:
        status = "expired" if token.expires is not None and token.expires <= now else "valid"
    return {
        "status": status,
        "client_id": token.client_id if token is not None else "",
        "enabled": token is not None and token.enabled,
        "expires_at": stamp(token.expires) if token is not None and token.expires is not None else "",
        "days_left": days_left(token, now) if token is not None else None,
        "last_seen_at": token.last_seen if token is not None else "",
        "held": held is not None and token is not None and held.client_id == token.client_id and not held.pending,
    }


def _ends(name: str, row: Mapping[str, Any], warn_days: int) -> List[str]:
    if row["status"] != "valid" or row["days_left"] is None or row["days_left"] >= warn_days:
        return []
    when = f"in {row['days_left']} days" if row["days_left"] > 1 else "within two days"
    return [f"the service token {name} expires {when} ({row['expires_at']}): run the playbook, it renews it"]


def _missing(account: Account, found: Report) -> List[Problem]:
    out: List[Problem] = []
    rows = {row["name"]: row for row in found.tunnels}
    for want in account.task.wanted:
        row, where = rows[want.name], f"tunnel {want.name}"
        for step in differences(account, want):
            what = f"{step.kind} {step.name} would be {step.action}d: {'; '.join(step.reasons)}"
            out.append(Problem("MS-TUN-015", where, what, "Run the playbook again."))
        if want.present and not row["connections"]:
            fix = "Look at the connector: is its container running, and does it reach Cloudflare (port 7844)?"
            out.append(Problem("MS-TUN-016", where, f"its status is {row['status']}: nothing is connected", fix))
    return out
