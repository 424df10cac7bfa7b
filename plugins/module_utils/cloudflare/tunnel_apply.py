# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Doing the steps of a plan, one request each, until nothing is left to do.

Ids that a step makes are known to the next ones. A request whose outcome is not known ends the round: everything is read again
and what is still missing is planned anew. Secrets come back exactly once, so they are kept from the answer on.
"""

from __future__ import annotations

import base64
import secrets as random_source
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Callable, Dict, List, Mapping, Optional

from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare import wire
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import (
    Client,
    RefusalError,
    UnclearError,
)
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_diff import APP, DECISION, Step, Task
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_live import explain, token_of
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_model import (
    LOCAL,
    Live,
    Wanted,
    access,
    content,
    duration_text,
    ingress,
    moment,
    stamp,
)
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.zones import ZoneInfo
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import AUTO_TTL, Change, Have

#: Times a run reads the state again after a request whose outcome is not known.
ROUNDS = 4


@dataclass(frozen=True)
class Secret:
    """A new secret of a service token. version: 0 where the API does not tell."""

    name: str
    client_id: str
    text: str = field(repr=False)
    version: int = 0
    rotated: bool = False


@dataclass
class Done:
    """What a run did. steps: in order; secrets and ends (None: for ever): by the service token's name."""

    steps: List[Step] = field(default_factory=list)
    secrets: Dict[str, Secret] = field(default_factory=dict)
    ends: Dict[str, Optional[datetime]] = field(default_factory=dict)


class Worker:
    """Does steps in one account. live: as read before; zones: by name."""

    def __init__(self, client: Client, task: Task, live: Live, zones: Mapping[str, ZoneInfo], done: Done) -> None:
        self._client, self._task, self._live, self._zones, self._done = client, task, live, zones, done
        self._base = f"/accounts/{live.account}"
        self._wanted = {w.name: w for w in task.wanted}
        self._tokens = {t.name: t.id for t in live.tokens}
        self._policies = {p.name: p.id for p in live.policies}
        self._audiences = {a.name: a.audience for a in live.apps}
        self._tunnels = {t.name: t.id for t in live.tunnels}
        self._acts: Dict[str, Callable[[Step], None]] = {
            "token": self._token,
            "policy": self._policy,
            "app": self._app,
            "tunnel": self._tunnel,
            "connections": self._connections,
            "config": self._config,
            "record": self._record,
        }

    @property
    def tunnels(self) -> Mapping[str, str]:
        """Ids by name, those just made included."""
        return self._tunnels

    @property
    def audiences(self) -> Mapping[str, str]:
        """Of the applications by name, those just made included."""
        return self._audiences

    def run(self, step: Step) -> None:
        """Raises MailsteadError where it was refused, UnclearError where nobody knows."""
        where = f"{step.kind} {step.name}" if step.kind != "token" else f"service token {step.name}"
        try:
            self._acts[step.kind](step)
        except RefusalError as refusal:
            raise MailsteadError([explain(self._client, refusal, where)]) from refusal
        self._done.steps.append(step)

    # -- Access -------------------------------------------------------------------------------------------------------

    def _token(self, step: Step) -> None:
        path, options = f"{self._base}/access/service_tokens", self._task.options
        full = options.token(step.name)
        if step.action == "delete":
            self._client.remove(f"{path}/{step.id}")
            return
        life = self._task.lives[step.name]
        body: Dict[str, Any] = {"name": full, "duration": duration_text(life.duration)}
        if step.action == "update":
            answer = self._client.write(f"{path}/{step.id}", {**body, "enabled": True}, method="PUT")
        elif step.action == "refresh":
            answer = self._client.write(f"{path}/{step.id}/refresh", {})
        elif step.action == "create":
            answer = self._client.write(path, body)
        else:
            until = stamp(options.now + timedelta(seconds=step.overlap))
            answer = self._client.write(f"{path}/{step.id}/rotate", {"previous_client_secret_expires_at": until})
        found: Mapping[str, Any] = answer if isinstance(answer, dict) else {}
        if "expires_at" in found:
            self._done.ends[step.name] = moment(str(found["expires_at"] or ""))
        if step.action in ("create", "rotate"):
            self._secret(step, path, found)

    def _secret(self, step: Step, path: str, answer: Mapping[str, Any]) -> None:
        """Keep the secret of an answer; without one, it is as if the answer had been lost."""
        text = answer.get("client_secret")
        if not isinstance(text, str) or not text:
            raise UnclearError(f"POST {path}: the answer has no secret")
        full = self._task.options.token(step.name)
        known = self._live.token(full)
        told = {"id": step.id, "name": full, "client_id": known.client_id if known else "", **answer}
        token = token_of(self._client, path, told)
        self._tokens[full] = token.id
        rotated = step.action == "rotate"
        self._done.secrets[step.name] = Secret(step.name, token.client_id, text, token.version, rotated)

    def _policy(self, step: Step) -> None:
        path = f"{self._base}/access/policies"
        if step.action == "delete":
            self._client.remove(f"{path}/{step.id}")
            return
        want = self._wanted[step.tunnel]
        ids = [self._tokens[self._task.options.token(name)] for name in want.tokens]
        include = [{"service_token": {"token_id": identity}} for identity in ids]
        answer = self._keep(path, step, {"name": want.name, "decision": DECISION, "include": include})
        self._policies[want.name] = step.id or _text(answer, "id")

    def _app(self, step: Step) -> None:
        path = f"{self._base}/access/apps"
        if step.action == "delete":
            self._client.remove(f"{path}/{step.id}")
            return
        want = self._wanted[step.tunnel]
        body = {
            "name": want.name,
            "domain": want.hostname,
            "destinations": [{"type": "public", "uri": want.hostname}],
            **APP,
            "policies": [{"id": self._policies[want.name], "precedence": 1}],
        }
        answer = self._keep(path, step, body)
        self._audiences[want.name] = _text(answer, "aud")

    def _keep(self, path: str, step: Step, body: Mapping[str, Any]) -> Any:
        if step.action == "create":
            return self._client.write(path, body)
        return self._client.write(f"{path}/{step.id}", body, method="PUT")

    # -- the tunnel ---------------------------------------------------------------------------------------------------

    def _tunnel(self, step: Step) -> None:
        path = f"{self._base}/cfd_tunnel"
        if step.action == "delete":
            self._client.remove(f"{path}/{step.id}")
            return
        body = {"name": step.name, "config_src": step.after["config_src"]}
        if self._wanted[step.tunnel].management == LOCAL:
            # Kept nowhere: the API gives it back with the tunnel's token.
            body["tunnel_secret"] = base64.b64encode(random_source.token_bytes(32)).decode()
        self._tunnels[step.name] = _text(self._client.write(path, body), "id")

    def _connections(self, step: Step) -> None:
        self._client.remove(f"{self._base}/cfd_tunnel/{step.id}/connections")

    def _config(self, step: Step) -> None:
        want = self._wanted[step.tunnel]
        config = {"ingress": ingress(want, access(self._live.team, self._audiences[want.name]))}
        path = f"{self._base}/cfd_tunnel/{self._tunnels[want.name]}/configurations"
        self._client.write(path, {"config": config}, method="PUT")

    def _record(self, step: Step) -> None:
        zone = self._zones[step.zone]
        after = None if step.action == "delete" else self._wanted_record(step, self._wanted[step.tunnel])
        change = Change(step.action, step.record, after, "; ".join(step.reasons))
        self._client.write(f"/zones/{zone.id}/dns_records/batch", wire.batch_body([change]))

    def _wanted_record(self, step: Step, want: Wanted) -> Have:
        target, comment = content(self._tunnels[want.name]), str(step.after["comment"])
        tags = step.record.tags if step.record else ()
        identity = step.record.id if step.record else ""
        return Have(want.hostname, "CNAME", target, AUTO_TTL, identity, comment, tags, proxied=True)


def _text(answer: Any, key: str) -> str:
    """A field of an answer to a write that later steps need; without it, nobody knows what was made."""
    value: Optional[Any] = answer.get(key) if isinstance(answer, dict) else None
    if not isinstance(value, str) or not value:
        raise UnclearError(f"the answer has no {key}")
    return value
