# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the edge does with a request for a name: Access first, then the tunnel behind the name.

Access is documented (Cloudflare One, "Policies" and "Service tokens"): bypass and Service Auth (``non_identity``) policies are
looked at first, in their order, then the others; a service token counts while it is enabled and not expired, with its secret
or, during the overlap, with the previous one. A name that no application covers is open.
"""

from __future__ import annotations

import dataclasses
import hmac
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from .clock import duration, read_time
from .model import SUFFIX, App, Policy, ServiceToken
from .policies import matches
from .state import Trust

#: Error numbers of Cloudflare's pages, and the status they come with.
NO_SUCH_HOST, NO_TUNNEL, UNMATCHED, ERROR_STATUS = 1001, 1033, 1043, 530
#: How stale a token's last_seen_at may be on disk, in seconds: requests are many.
SEEN = 60


@dataclass(frozen=True)
class Question:
    """A request as far as it matters. client_id, client_secret: the headers Cf-Access-Client-Id and -Secret; ip: the client's
    address, empty when it is not known."""

    hostname: str
    path: str = "/"
    client_id: str = ""
    client_secret: str = ""
    ip: str = ""

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if not isinstance(value, str):
                raise TypeError(f"{name}: a text is expected")
        if self.ip:
            ipaddress.ip_address(self.ip)


@dataclass
class Answer:
    """What the edge answers. status: 200 when the request goes on to the tunnel; cf_error: number of the error page; jwt: value of
    Cf-Access-Jwt-Assertion, exp its end in unix seconds; redirect: the login page, for status 302."""

    allowed: bool
    status: int
    why: str
    team: str
    cf_error: int = 0
    tunnel_id: str = ""
    tunnel_status: str = ""
    app: dict[str, str] | None = None
    aud: str = ""
    token: dict[str, str] | None = None
    exp: int = 0
    jwt: str = ""
    redirect: str = ""

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def decide(trust: Trust, question: Question) -> Answer:
    """The answer to a request. Notes when the service token was seen."""
    hostname = question.hostname.lower().rstrip(".")
    target = _target(trust, hostname)
    with trust.lock:
        answer = _access(trust, dataclasses.replace(question, hostname=hostname))
        if target.endswith(SUFFIX):
            answer.tunnel_id = target.removesuffix(SUFFIX)
            tunnel = trust.tunnels.get(answer.tunnel_id)
            answer.tunnel_status = "unknown" if tunnel is None else "deleted" if tunnel.deleted_at else tunnel.status
        if answer.allowed and answer.tunnel_status not in ("healthy", "degraded"):
            answer.allowed, answer.status, answer.jwt = False, ERROR_STATUS, ""
            answer.cf_error = NO_TUNNEL if answer.tunnel_id else NO_SUCH_HOST
            answer.why = f"the tunnel is {answer.tunnel_status}" if answer.tunnel_id else "the name leads to no tunnel"
        return answer


def _target(trust: Trust, hostname: str) -> str:
    """What a proxied CNAME of the name leads to, empty without one; a wildcard stands for names without records."""
    parent = "*." + hostname.partition(".")[2]
    for wanted in (hostname, parent):
        for state in trust.zones.values():
            here = [record for record in state.snapshot().values() if record.name == wanted]
            for record in here:
                if record.type == "CNAME" and record.proxied:
                    return record.value.content.lower().rstrip(".")
            if here:
                return ""
    return ""


# -- Access ----------------------------------------------------------------------------------------------------------


def application(trust: Trust, hostname: str, path: str) -> App | None:
    """The application that covers a name and path: the most exact one."""
    found = [
        (len(uri), not uri.startswith("*"), app)
        for app in trust.apps.values()
        for uri in app.uris
        if _covers(uri, hostname, path)
    ]
    return max(found, key=lambda item: (item[1], item[0]))[2] if found else None


def _covers(uri: str, hostname: str, path: str) -> bool:
    host, _, below = uri.partition("/")
    if host.startswith("*."):
        label, _, rest = hostname.partition(".")
        same = bool(label) and rest == host[2:]
    else:
        same = host == hostname
    wanted = "/" + below.rstrip("*").rstrip("/")
    return same and (wanted in ("/", path) or path.startswith(f"{wanted}/"))


def _access(trust: Trust, question: Question) -> Answer:
    options = trust.options
    app = application(trust, question.hostname, question.path)
    if app is None or not options.enabled:
        if options.enabled and options.deny_unmatched_requests:
            return Answer(False, 403, "no application covers the name", options.team, cf_error=UNMATCHED)
        return Answer(True, 200, "no application covers the name", options.team)
    token, problem = _identify(trust, question)
    verdict, policy = _judge([trust.policies[known] for known in app.order()], token, question.ip)
    answer = Answer(False, 403, "", options.team, app={"id": app.id, "name": app.name}, aud=app.aud)
    if token is not None:
        answer.token = {"id": token.id, "name": token.name, "client_id": token.client_id}
    if verdict == "bypass":
        answer.allowed, answer.status, answer.why = True, 200, f"policy {policy.name if policy else ''} bypasses Access"
        return answer
    if verdict == "pass":
        answer.allowed, answer.status, answer.why = True, 200, f"policy {policy.name if policy else ''}"
        _admit(trust, answer, app, policy, token)
        return answer
    _refuse(trust, answer, app, question, problem or "no policy admits the service token")
    return answer


def _judge(policies: Iterable[Policy], token: ServiceToken | None, ip: str) -> tuple[str, Policy | None]:
    """``bypass``, ``pass`` or ``refuse``, and by which policy. ``allow`` needs somebody who logged in, who is never there."""
    ordered = list(policies)
    first = [policy for policy in ordered if policy.decision in ("bypass", "non_identity")]
    for policy in first:
        if matches(policy, token, ip):
            return ("bypass" if policy.decision == "bypass" else "pass"), policy
    for policy in ordered:
        if policy.decision == "deny" and matches(policy, token, ip):
            return "refuse", policy
    return "refuse", None


def _identify(trust: Trust, question: Question) -> tuple[ServiceToken | None, str]:
    """The service token of a request if it is good, else why not."""
    if not question.client_id and not question.client_secret:
        return None, "no service token"
    token = next((t for t in trust.tokens.values() if t.client_id == question.client_id), None)
    if token is None:
        return None, "the service token is not known"
    now = trust.clock.now()
    if hmac.compare_digest(question.client_secret.encode(), token.secret.encode()):
        pass
    elif token.previous_secret and hmac.compare_digest(question.client_secret.encode(), token.previous_secret.encode()):
        if token.previous_expires_at is None or read_time(token.previous_expires_at) <= now:
            return None, f"the previous secret of the service token {token.name} is no longer good"
    else:
        return None, f"the secret is not that of the service token {token.name}"
    if not token.enabled:
        return None, f"the service token {token.name} is disabled"
    if token.expires_at is not None and read_time(token.expires_at) <= now:
        return None, f"the service token {token.name} has expired"
    return token, ""


def _admit(trust: Trust, answer: Answer, app: App, policy: Policy | None, token: ServiceToken | None) -> None:
    """Sign the assertion; note that the token was seen. Claims as documented for service tokens ("Application token")."""
    now = trust.clock.now()
    text = (policy.more if policy else {}).get("session_duration") or app.more["session_duration"]
    life = duration(text)
    answer.exp = int((now + (life if life is not None else timedelta(days=1))).timestamp())
    claims = {
        "aud": [app.aud],
        "common_name": token.client_id if token else "",
        "exp": answer.exp,
        "iat": int(now.timestamp()),
        "iss": f"https://{trust.options.domain}",
        "sub": "",
        "type": "app",
    }
    answer.jwt = trust.signer.sign(claims)
    if token is not None:
        before, token.last_seen_at = token.last_seen_at, trust.clock.text()
        if before is None or (now - read_time(before)).total_seconds() >= SEEN:
            trust.save()


def _refuse(trust: Trust, answer: Answer, app: App, question: Question, why: str) -> None:
    """401 without credentials and 403 with bad ones (documented for strict_service_token_auth); else the login page, unless the
    application asks for 401 (documented for service_auth_401_redirect)."""
    answer.why = why
    if trust.options.strict_service_token_auth:
        answer.status = 403 if question.client_id or question.client_secret else 401
    elif app.more["service_auth_401_redirect"]:
        answer.status = 401
    else:
        answer.status = 302
        answer.redirect = (
            f"https://{trust.options.domain}/cdn-cgi/access/login/{question.hostname}?kid={app.aud}"
            f"&redirect_url={quote(question.path, safe='')}"
        )
