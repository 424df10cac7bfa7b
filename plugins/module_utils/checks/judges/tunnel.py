# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""S15 to S21: the tunnel in front of a service: who gets in, where it leads, and that it stands."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks import ids
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import Finding
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.case import Case, certificate_evidence
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.senders import certificate_trouble
from ansible_collections.mailstead.stack.plugins.module_utils.checks.planning_senders import behind_tunnel
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import (
    ClientPlan,
    SubmissionPlan,
    TunnelPlan,
)

RUN = "run site.yml"
NOT_TOLD = "nothing was told about the tunnel: the account could not be asked"
CHECKS = ("S15", "S16", "S17", "S18", "S19", "S20", "S21")
DAY = 86400
#: Days that are left for a person to do something, if nothing renews a token by itself.
SOON = 30
#: How Access refuses (401 without credentials, 403 with wrong ones), or sends a person to the login page.
REFUSALS = (401, 403)
LOGIN_PAGE = ".cloudflareaccess.com/"
OPENED = 101


def judge(case: Case) -> Iterator[Finding]:
    for service in case.view.submissions:
        tunnel = service.tunnel
        if tunnel is None:
            for check in CHECKS:
                yield case.na(check, service.name, "the service has no tunnel")
            continue
        yield _shut(case, service, "S15", "none", "the upgrade is refused without a token")
        yield _shut(case, service, "S16", "wrong", "the upgrade is refused with a token that is nobody's")
        yield from _clients(case, service)
        facts = case.view.facts.tunnels.get(service.name)
        yield _healthy(case, service, facts)
        yield _access(case, service, tunnel, facts)
        yield from _tokens(case, service, tunnel, facts)
        yield _ingress(case, service, tunnel, facts)


def _shut(case: Case, service: SubmissionPlan, check: str, token: str, expected: str) -> Finding:
    """All who tried, from everywhere: one open door is enough to fail, one refusal by Access is needed to pass."""
    tried = case.obs.every(ids.tunnel_upgrade(service.name, token))
    seen = [o for o in tried if o.ok]
    opened = [o for o in seen if o.data["status"] == OPENED]
    refused = [o for o in seen if _refusal(o.data)]
    evidence = [f"from {o.vantage}: {_answer(o.data)}" for o in seen]
    verdict = "fail" if opened else "pass" if refused else "unknown"
    best = (opened or refused or seen)[:1]
    observed = _answer(best[0].data) if best else "nobody could try"
    return case.finding(
        check,
        service.name,
        verdict,
        observed,
        expected=expected,
        evidence=evidence,
        fix=f"put Access in front of the whole name, with the policy Service Auth alone ({RUN})",
        requires=(f"S19@{service.name}",),
    )


def _refusal(data: Mapping[str, Any]) -> bool:
    page = 300 <= data["status"] < 400 and LOGIN_PAGE in data["location"]
    return data["status"] in REFUSALS or page


def _answer(data: Mapping[str, Any]) -> str:
    heard = data["line"] or data["tls_error"] or data["connect"]
    return f"{data['hostname']}: {heard}" + (f", to {data['location']}" if data["location"] else "")


def _clients(case: Case, service: SubmissionPlan) -> Iterator[Finding]:
    if not behind_tunnel(service):
        yield case.unknown("S17", service.name, "no application host is declared (clients)", matters=False)
    for client in behind_tunnel(service):
        yield _client(case, service, client)


def _client(case: Case, service: SubmissionPlan, client: ClientPlan) -> Finding:
    scope = f"{service.name}/{client.host}"
    probe = ids.sender_tls(f"{service.name}/tunnel")
    seen = case.seen(probe, client.host)
    needs = (f"S2@{service.name}", f"S18@{service.name}", f"S20@{service.name}/{client.token}")
    expected = f"TLS of {service.server_name} on 127.0.0.1:{client.port}"
    if seen is None or not seen.ok:
        why = case.why_not(seen, probe, client.host)
        return case.unknown("S17", scope, why, expected=expected, requires=needs)
    data = seen.data
    if data["connect"] != "open":
        words = {"refused": "nothing listens", "closed": "opened, then closed: the tunnel does not let it through"}
        observed = words.get(str(data["connect"]), str(data["connect"]))
        evidence = [f"{client.host}: 127.0.0.1:{client.port} {data['connect']} {data.get('error', '')}".strip()]
        trouble = [observed]
    else:
        trouble = certificate_trouble(data, service)
        observed = "; ".join(trouble) or f"{data['version']}, {data['greeting']}"
        evidence = [certificate_evidence(dict(data))]
    return case.finding(
        "S17",
        scope,
        "fail" if trouble else "pass",
        observed,
        expected=expected,
        evidence=evidence,
        fix=f"see the log of the tunnel client on {client.host}: a bad handshake is the token, else the tunnel ({RUN})",
        requires=needs,
    )


def _healthy(case: Case, service: SubmissionPlan, facts: Optional[Mapping[str, Any]]) -> Finding:
    status = str((facts or {}).get("status") or "")
    if facts is None or not status:
        return case.unknown("S18", service.name, NOT_TOLD, expected="healthy")
    known = {"healthy": "pass", "degraded": "warn", "inactive": "fail", "down": "fail", "missing": "fail"}
    count = facts.get("connections")
    return case.finding(
        "S18",
        service.name,
        known.get(status, "unknown"),
        status + ("" if count is None else f", {count} connections"),
        expected="healthy",
        evidence=[f"tunnel {facts.get('name', '')} {facts.get('id', '')}".strip()],
        fix=f"on {service.host}: see the log of the tunnel's container; it needs port 7844 outwards (UDP, or TCP)",
    )


def _access(case: Case, service: SubmissionPlan, tunnel: TunnelPlan, facts: Optional[Mapping[str, Any]]) -> Finding:
    expected = f"an application for {tunnel.hostname}, Service Auth for {', '.join(tunnel.service_tokens)} alone"
    access: Optional[Mapping[str, Any]] = (facts or {}).get("access")
    if access is None:
        return case.unknown("S19", service.name, NOT_TOLD, expected=expected)
    app: Mapping[str, Any] = access.get("app") or {}
    policies: List[Mapping[str, Any]] = list(access.get("policies") or ())
    trouble = [] if app else ["no application"]
    if app and app.get("domain") != tunnel.hostname:
        trouble.append(f"the application is for {app.get('domain')}")
    passing = {str(t) for p in policies if p.get("decision") == "non_identity" for t in p.get("tokens") or ()}
    if app:
        trouble += [f"policy {p.get('name')}: {p.get('decision')}" for p in policies if not _harmless(p)]
        trouble += [f"{t} may pass, and is not declared" for t in sorted(passing - set(tunnel.service_tokens))]
        trouble += [f"{t} may not pass" for t in sorted(set(tunnel.service_tokens) - passing)]
    return case.finding(
        "S19",
        service.name,
        "fail" if trouble else "pass",
        "; ".join(trouble) or f"Service Auth for {', '.join(sorted(passing))}",
        expected=expected,
        evidence=[f"policy {p.get('name')}: {p.get('decision')} {', '.join(p.get('tokens') or ())}" for p in policies],
        fix=f"{RUN}: it writes application and policies; remove what others have added",
    )


def _harmless(policy: Mapping[str, Any]) -> bool:
    """Lets only service tokens through, or nobody. An empty one would let everybody's token through."""
    return policy.get("decision") == "deny" or (policy.get("decision") == "non_identity" and bool(policy.get("tokens")))


def _tokens(
    case: Case, service: SubmissionPlan, tunnel: TunnelPlan, facts: Optional[Mapping[str, Any]]
) -> Iterator[Finding]:
    told: Optional[List[Mapping[str, Any]]] = (facts or {}).get("tokens")
    for name in tunnel.service_tokens:
        scope = f"{service.name}/{name}"
        if told is None:
            yield case.unknown("S20", scope, NOT_TOLD)
            continue
        found = next((t for t in told if t.get("name") == name), None)
        verdict, observed = ("fail", "there is no such token") if found is None else _left(found, tunnel, case.now)
        yield case.finding(
            "S20",
            scope,
            verdict,
            observed,
            expected=f"{_soon(tunnel):.0f} days or more left",
            fix=f"{RUN} with a rotation of {name}: the old secret stays good for the overlap",
            # Tokens are known by what lets them pass: without that, none is.
            requires=() if found is not None else (f"S19@{service.name}",),
        )


def _soon(tunnel: TunnelPlan) -> float:
    """Days; a token that is short-lived on purpose is not soon to end all its life."""
    return min(SOON, tunnel.duration / DAY / 3) if tunnel.duration else SOON


def _left(token: Mapping[str, Any], tunnel: TunnelPlan, now: float) -> Tuple[str, str]:
    text = str(token.get("expires_at") or "")
    if not text:
        return "pass", "lives for ever"
    end = moment(text)
    if end is None:
        return "unknown", f"ends at {text!r}, which is no time"
    days = (end - now) / DAY
    if days <= 0:
        return "fail", f"expired on {text}"
    return "warn" if days < _soon(tunnel) else "pass", f"{days:.0f} days left, until {text}"


def moment(text: str) -> Optional[float]:
    """Seconds since the epoch of a time as APIs write it (RFC 3339); nothing for what is none."""
    for pattern in ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f"):
        try:
            found = datetime.strptime(text.rstrip("Zz").split("+00:00")[0][:26], pattern)
        except ValueError:
            continue
        return found.replace(tzinfo=timezone.utc).timestamp()
    return None


def _ingress(case: Case, service: SubmissionPlan, tunnel: TunnelPlan, facts: Optional[Mapping[str, Any]]) -> Finding:
    wanted = [(rule.hostname, rule.service) for rule in tunnel.ingress]
    expected = "; ".join(f"{hostname or 'the rest'} → {target}" for hostname, target in wanted)
    rules: Optional[List[Mapping[str, Any]]] = (facts or {}).get("ingress")
    names = [str(n) for n in (facts or {}).get("hostnames") or ()]
    trouble = [f"{n} leads to the tunnel too" for n in sorted(names) if n != tunnel.hostname]
    record: Mapping[str, Any] = (facts or {}).get("dns") or {}
    if record and not record.get("proxied"):
        trouble.append(f"{record.get('name')} is not proxied: it leads nowhere")
    if rules is None and not trouble:
        # What a file on the host says is what the role wrote there.
        local = tunnel.management == "local"
        why = f"its rules are in a file on {service.host}" if local else NOT_TOLD
        return case.unknown("S21", service.name, why, expected=expected, matters=not local)
    found = [(str(r.get("hostname") or ""), str(r.get("service") or "")) for r in rules or ()]
    trouble += [f"{h or 'the rest'} → {s} is not declared" for h, s in found if rules and (h, s) not in wanted]
    trouble += [f"{h or 'the rest'} → {s} is missing" for h, s in wanted if rules is not None and (h, s) not in found]
    if rules is not None and not trouble:
        trouble += _unchecked(rules, tunnel, facts or {})
    return case.finding(
        "S21",
        service.name,
        "fail" if trouble else "pass",
        "; ".join(trouble) or f"{expected}; the token is checked again at the origin",
        expected=f"{expected}, with originRequest.access",
        evidence=[f"{h or 'the rest'} → {s}" for h, s in found] + [f"name: {n}" for n in names],
        fix=f"{RUN}: it writes the rules; remove names and rules that others have added",
    )


def _unchecked(rules: List[Mapping[str, Any]], tunnel: TunnelPlan, facts: Mapping[str, Any]) -> List[str]:
    """What is missing of the check of Access's assertion at the origin: without it, whoever gets past the edge is in."""
    rule = next((r for r in rules if r.get("hostname") == tunnel.hostname), {})
    request: Dict[str, Any] = dict(rule.get("originRequest") or {})
    check: Mapping[str, Any] = request.get("access") or {}
    if not check.get("required"):
        return [f"{tunnel.hostname}: the origin does not check the token (originRequest.access.required)"]
    app: Mapping[str, Any] = (facts.get("access") or {}).get("app") or {}
    audiences = [str(a) for a in check.get("audTag") or ()]
    if app.get("aud") and app["aud"] not in audiences:
        return [f"{tunnel.hostname}: the origin checks for another application (audTag)"]
    return []
