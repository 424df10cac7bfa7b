# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run over all accounts: read and plan everything first, then do it, then say what there is."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare import tunnel_apply, tunnel_live
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client, UnclearError
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_apply import Done, Secret, Worker
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_diff import Step, Task, forgotten, plan
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_lint import lint_ingress
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_model import (
    Held,
    Life,
    Live,
    Options,
    Tunnel,
    Wanted,
    access,
    content,
    ingress,
    stamp,
)
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.zones import ZoneInfo
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem

#: Stands for what only a real run knows, as the controller's own secrets do it in a dry one.
PLACEHOLDER = "made-by-the-first-real-run"


@dataclass
class Account:
    """One account of a run. steps: as planned; problems: why there is no plan; done: what became of the steps; tunnels and
    audiences: ids and audience tags by the tunnel's name; due: tokens that need a new secret and have not got it; forget: tokens
    whose secrets nobody needs any more."""

    task: Task
    live: Live
    zones: Mapping[str, ZoneInfo]
    steps: List[Step]
    done: Done = field(default_factory=Done)
    tunnels: Mapping[str, str] = field(default_factory=dict)
    audiences: Mapping[str, str] = field(default_factory=dict)
    due: List[str] = field(default_factory=list)
    forget: List[str] = field(default_factory=list)
    problems: Tuple[Problem, ...] = ()


def survey(
    client: Client,
    wanted: Sequence[Wanted],
    lives: Mapping[str, Life],
    held: Mapping[str, Held],
    options: Options,
) -> Tuple[List[Account], List[Problem]]:
    """Everything read and planned, nothing written; and all that stands in the way.

    Raises MailsteadError where something cannot be read.
    """
    zones, accounts = tunnel_live.locate(client, wanted)
    out: List[Account] = []
    problems: List[Problem] = []
    for account, mine in accounts.items():
        task = Task(mine, lives, held, options)
        live = tunnel_live.read(client, account, mine, zones)
        steps, wrong = plan(task, live)
        problems += wrong
        tunnels = {t.name: t.id for t in live.tunnels}
        audiences = {a.name: a.audience for a in live.apps}
        gone, due = forgotten(task, live), rotations(steps)
        out.append(Account(task, live, zones, steps, Done(), tunnels, audiences, due, gone, tuple(wrong)))
    return out, problems


def prepare(
    client: Client,
    wanted: Sequence[Wanted],
    lives: Mapping[str, Life],
    held: Mapping[str, Held],
    options: Options,
) -> List[Account]:
    """As :func:`survey`; raises MailsteadError also for what stands in the way."""
    accounts, problems = survey(client, wanted, lives, held, options)
    if problems:
        raise MailsteadError(problems)
    return accounts


def apply(client: Client, account: Account, rotate: bool = True) -> None:
    """Do the steps; rotate: also those that make secrets anew.

    Raises MailsteadError; account.done then tells how far it came, and holds the secrets made so far.
    """
    steps, live, task, last = account.steps, account.live, account.task, ""
    for _round in range(tunnel_apply.ROUNDS):
        worker = Worker(client, task, live, account.zones, account.done)
        try:
            for step in steps:
                if rotate or not waits(step, steps):
                    worker.run(step)
        except UnclearError as unclear:
            last = client.clean(str(unclear))
            live = tunnel_live.read(client, live.account, task.wanted, account.zones)
            made = _made(account)
            asked = tuple(name for name in task.options.rotate_now if name not in made)
            options = dataclasses.replace(task.options, rotate_now=asked)
            task = dataclasses.replace(task, held={**task.held, **made}, options=options)
            steps, problems = plan(task, live)
            if problems:
                raise MailsteadError(problems) from unclear
            continue
        account.live, account.tunnels, account.audiences = live, worker.tunnels, worker.audiences
        account.due = [] if rotate else rotations(steps)
        deleted = {s.name for s in account.done.steps if s.kind == "token" and s.action == "delete"}
        account.forget = sorted({*forgotten(task, live), *deleted})
        return
    what = f"whether everything was changed is not known: {last}"
    where = f"account {live.account}"
    raise MailsteadError.one("MS-TUN-011", where, what, "Run again: the state is read first.")


def waits(step: Step, steps: Sequence[Step]) -> bool:
    """Whether a step makes a new secret, or stands behind such a one of the same token."""
    if step.kind != "token" or step.action not in ("rotate", "update", "refresh"):
        return False
    mine = [s for s in steps if s.kind == "token" and s.name == step.name]
    return any(s.action == "rotate" for s in mine[: mine.index(step) + 1])


def rotations(steps: Sequence[Step]) -> List[str]:
    """Tokens that get a new secret by these steps."""
    return [s.name for s in steps if s.kind == "token" and s.action == "rotate"]


def _made(account: Account) -> Dict[str, Held]:
    """The secrets of this run as those that the controller holds."""
    now = account.task.options.now
    return {name: Held(s.client_id, s.version, account.live.account, now) for name, s in account.done.secrets.items()}


# -- what a module returns -------------------------------------------------------------------------------------------


def rows(client: Client, account: Account, credentials_file: str) -> List[Dict[str, Any]]:
    """The wanted tunnels as they are, secrets included; placeholders for what a dry run cannot know.

    Raises MailsteadError.
    """
    return [_row(client, account, want, credentials_file) for want in account.task.wanted]


def _row(client: Client, account: Account, want: Wanted, credentials_file: str) -> Dict[str, Any]:
    out: Dict[str, Any] = {
        "name": want.name,
        "state": "present" if want.present else "absent",
        "management": want.management,
        "hostname": want.hostname,
        "account_id": account.live.account,
        "team": account.live.team,
    }
    if not want.present:
        return out
    identity = account.tunnels.get(want.name, "")
    audience = account.audiences.get(want.name, "") or PLACEHOLDER
    token, credentials = PLACEHOLDER, dict.fromkeys(("AccountTag", "TunnelID", "TunnelSecret"), PLACEHOLDER)
    if identity:
        tunnel = Tunnel(identity, want.name, "")
        token, credentials = tunnel_live.read_connector_token(client, account.live.account, tunnel)
    config = {
        "tunnel": identity or PLACEHOLDER,
        "credentials-file": credentials_file,
        "ingress": ingress(want, access(account.live.team, audience)),
    }
    problems = lint_ingress(config, f"tunnel {want.name}")
    if problems:
        raise MailsteadError(problems)
    out.update(
        id=identity or PLACEHOLDER,
        cname=content(identity) if identity else PLACEHOLDER,
        audience=audience,
        token=token,
        credentials=credentials,
        config=config,
    )
    return out


def secret_rows(accounts: Sequence[Account]) -> Dict[str, Dict[str, Any]]:
    """New secrets by the token's name, as the controller keeps them."""
    return {name: _secret_row(account, secret) for account in accounts for name, secret in account.done.secrets.items()}


def _secret_row(account: Account, secret: Secret) -> Dict[str, Any]:
    return {
        "client_id": secret.client_id,
        "client_secret": secret.text,
        "version": secret.version,
        "account": account.live.account,
        "made": stamp(account.task.options.now),
    }


def token_rows(accounts: Sequence[Account]) -> Dict[str, Dict[str, Any]]:
    """The wanted service tokens by name, without their secrets."""
    out: Dict[str, Dict[str, Any]] = {}
    for account in accounts:
        for name in account.task.tokens:
            token = account.live.token(account.task.options.token(name))
            secret: Optional[Secret] = account.done.secrets.get(name)
            end = account.done.ends.get(name, token.expires if token is not None else None)
            planned = any(s.kind == "token" and s.name == name and s.action == "rotate" for s in account.steps)
            out[name] = {
                "client_id": secret.client_id if secret else token.client_id if token else PLACEHOLDER,
                "expires_at": stamp(end) if end is not None else "",
                "rotated": planned or bool(secret and secret.rotated),
            }
    return out
