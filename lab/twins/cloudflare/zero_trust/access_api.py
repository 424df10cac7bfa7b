# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``/accounts/{id}/access``: the organization, applications and policies."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import Any

from ..access import Request, Table
from ..response import Response, envelope
from . import errors, policies
from .base import UUID, TrustAccess, fields, with_status
from .clock import duration
from .model import App, Policy
from .state import new_uuid

APPS = "Access: Apps and Policies"
ORGANIZATIONS = "Access: Organizations, Identity Providers, and Groups"
_ACCESS = "/accounts/{id}/access"
#: What an application is when nobody says otherwise (description of the API).
DEFAULTS: dict[str, Any] = {
    "allow_iframe": False,
    "allowed_idps": [],
    "app_launcher_visible": True,
    "auto_redirect_to_identity": False,
    "enable_binding_cookie": False,
    "http_only_cookie_attribute": True,
    "options_preflight_bypass": False,
    "path_cookie_attribute": False,
    "service_auth_401_redirect": False,
    "session_duration": "24h",
    "skip_interstitial": False,
    "tags": [],
}
#: Further fields that are kept as given.
PLAIN = (
    *("allow_authenticate_via_warp", "cors_headers", "custom_deny_message", "custom_deny_url"),
    *("custom_non_identity_deny_url", "custom_pages", "logo_url", "read_service_tokens_from_header"),
    *("same_site_cookie_attribute", "scim_config"),
)
FIELDS = ("name", "domain", "type", "destinations", "self_hosted_domains", "policies", *DEFAULTS, *PLAIN)
#: A host name, perhaps with a wildcard, and a path.
_URI = re.compile(r"(\*\.)?([a-z0-9_*-]+\.)+[a-z0-9-]+(/[^\s?#]*)?")


class OrganizationApi(TrustAccess):
    """The organization, which the dashboard makes. Its permission is one of its own."""

    def table(self) -> Table:
        return {f"{_ACCESS}/organizations": {"GET": self._get}}

    def _get(self, request: Request, account: str) -> Response:
        self._enabled(request, account, f"{ORGANIZATIONS}:Read")
        options = self.trust.options
        return envelope(
            {
                "allow_authenticate_via_warp": False,
                "auth_domain": options.domain,
                "auto_redirect_to_identity": False,
                "deny_unmatched_requests": options.deny_unmatched_requests,
                "is_ui_read_only": False,
                "login_design": {},
                "name": options.team,
                "session_duration": "24h",
                "strict_service_token_auth": options.strict_service_token_auth,
            }
        )


class PoliciesApi(TrustAccess):
    """Reusable policies; those of single applications are in the applications."""

    def table(self) -> Table:
        path = f"{_ACCESS}/policies"
        return {
            path: {"GET": self._list, "POST": self._create},
            f"{path}/{UUID}": {"GET": self._get, "PUT": self._change, "DELETE": self._delete},
        }

    def _list(self, request: Request, account: str) -> Response:
        self._enabled(request, account, f"{APPS}:Read")
        self._known(request, ("page", "per_page"))
        with self.trust.lock:
            found = [self._json(policy, account) for policy in self.trust.policies.values() if policy.reusable]
        return self._page(request, found)

    def _create(self, request: Request, account: str) -> Response:
        self._enabled(request, account, f"{APPS}:Edit")
        body = fields(request.body, policies.FIELDS, self.config.strict)
        with self.trust.lock:
            now = self.trust.clock.text()
            content = policies.read(body, self.trust.tokens)
            made = Policy(id=new_uuid(), reusable=True, created_at=now, updated_at=now, **content)
            self.trust.policies[made.id] = made
            answer = self._json(made, account)
        self._record(request, "create", "policy", made.id)
        return with_status(envelope(answer), 201)

    def _get(self, request: Request, account: str, wanted: str) -> Response:
        self._enabled(request, account, f"{APPS}:Read")
        with self.trust.lock:
            return envelope(self._json(self._find(wanted), account))

    def _change(self, request: Request, account: str, wanted: str) -> Response:
        self._enabled(request, account, f"{APPS}:Edit")
        body = fields(request.body, policies.FIELDS, self.config.strict)
        with self.trust.lock:
            policy = self._find(wanted)
            for name, value in policies.read(body, self.trust.tokens).items():
                setattr(policy, name, value)
            policy.updated_at = self.trust.clock.text()
            answer = self._json(policy, account)
        self._record(request, "update", "policy", wanted)
        return envelope(answer)

    def _delete(self, request: Request, account: str, wanted: str) -> Response:
        self._enabled(request, account, f"{APPS}:Edit")
        with self.trust.lock:
            self._find(wanted)
            if self.trust.apps_of(wanted):
                raise errors.policy_in_use()
            del self.trust.policies[wanted]
        self._record(request, "delete", "policy", wanted)
        return with_status(envelope({"id": wanted}), 202)

    def _find(self, wanted: str) -> Policy:
        found = self.trust.policies.get(wanted)
        if found is None or not found.reusable:
            raise errors.unknown_policy()
        return found

    def _json(self, policy: Policy, account: str) -> dict[str, Any]:
        count = len(self.trust.apps_of(policy.id))
        return {**policy.to_json(), "account_id": account, "app_count": count, "reusable": True}


class AppsApi(TrustAccess):
    """Self-hosted applications."""

    def table(self) -> Table:
        path = f"{_ACCESS}/apps"
        return {
            path: {"GET": self._list, "POST": self._create},
            f"{path}/{UUID}": {"GET": self._get, "PUT": self._change, "DELETE": self._delete},
        }

    def _list(self, request: Request, account: str) -> Response:
        """``name`` and ``domain`` look for a part unless ``exact=true`` (documented as the meaning of ``exact``)."""
        self._enabled(request, account, f"{APPS}:Read")
        self._known(request, ("page", "per_page", "name", "domain", "aud", "exact", "search", "target_attributes"))
        query, exact = request.query, request.query.get("exact") == "true"
        tests: dict[str, Callable[[App, str], bool]] = {
            "name": lambda app, text: text == app.name if exact else text in app.name,
            "domain": lambda app, text: text in app.uris if exact else any(text in uri for uri in app.uris),
            "aud": lambda app, text: text == app.aud,
            "search": lambda app, text: any(text in word for word in (app.name, app.aud, *app.uris)),
            "target_attributes": lambda _app, _text: False,
        }
        with self.trust.lock:
            found = [
                self._json(app)
                for app in self.trust.apps.values()
                if all(test(app, query[name]) for name, test in tests.items() if name in query)
            ]
        return self._page(request, found)

    def _create(self, request: Request, account: str) -> Response:
        self._enabled(request, account, f"{APPS}:Edit")
        body = fields(request.body, FIELDS, self.config.strict)
        with self.trust.lock:
            content = self._content(body, None)
            now = self.trust.clock.text()
            made = App(id=new_uuid(), aud=secrets.token_hex(32), created_at=now, updated_at=now, **content)
            made.policies = self._links(body["policies"], made) if body.get("policies") is not None else []
            self.trust.apps[made.id] = made
            answer = self._json(made)
        self._record(request, "create", "application", made.id)
        return with_status(envelope(answer), 201)

    def _get(self, request: Request, account: str, wanted: str) -> Response:
        self._enabled(request, account, f"{APPS}:Read")
        with self.trust.lock:
            return envelope(self._json(self._find(wanted)))

    def _change(self, request: Request, account: str, wanted: str) -> Response:
        """Fields that are left out return to their defaults; policies stay when they are left out (chosen)."""
        self._enabled(request, account, f"{APPS}:Edit")
        body = fields(request.body, FIELDS, self.config.strict)
        with self.trust.lock:
            app = self._find(wanted)
            content = self._content(body, app)
            if body.get("policies") is not None:
                app.policies = self._links(body["policies"], app)
            for name, value in content.items():
                setattr(app, name, value)
            app.updated_at = self.trust.clock.text()
            self._forget_orphans()
            answer = self._json(app)
        self._record(request, "update", "application", wanted)
        return envelope(answer)

    def _delete(self, request: Request, account: str, wanted: str) -> Response:
        """Its own policies go with it, reusable ones stay."""
        self._enabled(request, account, f"{APPS}:Edit")
        with self.trust.lock:
            self._find(wanted)
            del self.trust.apps[wanted]
            self._forget_orphans()
        self._record(request, "delete", "application", wanted)
        return with_status(envelope({"id": wanted}), 202)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _find(self, wanted: str) -> App:
        found = self.trust.apps.get(wanted)
        if found is None:
            raise errors.unknown_application()
        return found

    def _content(self, body: dict[str, Any], own: App | None) -> dict[str, Any]:
        """name, domain, uris and more, checked. own: the application that is changed. Raises ApiError."""
        if body.get("type") != "self_hosted":
            raise errors.invalid_request("only self_hosted applications are known here", "/type")
        name = body.get("name")
        if not isinstance(name, str) or not name.strip():
            raise errors.invalid_request("application name is required", "/name")
        uris = self._uris(body)
        domain = body.get("domain") or uris[0]
        if str(domain).lower() not in uris:
            raise errors.invalid_request("domain must be one of the destinations", "/domain")
        self._check_free(str(domain).lower(), uris, own)
        more = {**DEFAULTS, **{n: body[n] for n in (*DEFAULTS, *PLAIN) if body.get(n) is not None}}
        try:
            duration(more["session_duration"])
        except ValueError:
            raise errors.invalid_request("invalid session_duration", "/session_duration") from None
        return {"name": name, "domain": str(domain).lower(), "uris": uris, "more": more}

    def _uris(self, body: dict[str, Any]) -> list[str]:
        """What it covers: destinations, else the older ``self_hosted_domains``, else the domain (documented order)."""
        if body.get("destinations"):
            found = [self._destination(item) for item in _listed(body["destinations"], "/destinations")]
        elif body.get("self_hosted_domains"):
            found = _listed(body["self_hosted_domains"], "/self_hosted_domains")
        else:
            found = [body.get("domain")]
        for uri in found:
            if not isinstance(uri, str) or not _URI.fullmatch(uri.lower()):
                raise errors.invalid_request(
                    "domain is required and must be a host name, with a path or without", "/domain"
                )
            host = uri.lower().partition("/")[0]
            zones = [state.zone.name for state in self.zones.values()]
            if not any(host == zone or host.endswith(f".{zone}") for zone in zones):
                raise errors.invalid_request("domain does not belong to zone", "/domain")
        return [str(uri).lower() for uri in found]

    @staticmethod
    def _destination(item: Any) -> Any:
        if not isinstance(item, dict) or item.get("type", "public") != "public":
            raise errors.invalid_request("only public destinations are known here", "/destinations")
        return item.get("uri")

    def _check_free(self, domain: str, uris: list[str], own: App | None) -> None:
        others = [app for app in self.trust.apps.values() if app is not own]
        if any(domain == app.domain for app in others):
            raise errors.application_exists()
        if len(set(uris)) != len(uris) or any(set(uris) & set(app.uris) for app in others):
            raise errors.destination_taken()

    def _links(self, given: Any, app: App) -> list[tuple[str, int]]:
        """Policies of an application: by id, as ``{id, precedence}``, or whole; the last kind is the application's own.

        All are read before the first is kept. Raises ApiError.
        """
        links: list[tuple[str, int]] = []
        made: list[Policy] = []
        for index, item in enumerate(_listed(given, "/policies")):
            entry = {"id": item} if isinstance(item, str) else item
            if not isinstance(entry, dict):
                raise errors.invalid_request("a policy is an id or an object", f"/policies/{index}")
            precedence = entry.get("precedence", index + 1)
            if isinstance(precedence, bool) or not isinstance(precedence, int) or precedence < 1:
                raise errors.invalid_request("invalid precedence", f"/policies/{index}")
            if "decision" in entry:
                policy = self._own_policy(entry, app)
                made.append(policy)
                links.append((policy.id, precedence))
                continue
            known = self.trust.policies.get(str(entry.get("id")))
            if known is None or not (known.reusable or known.id in app.order()):
                raise errors.unknown_policy()
            links.append((known.id, precedence))
        if len({precedence for _, precedence in links}) != len(links):
            raise errors.invalid_request("policy precedences must be unique", "/policies")
        self.trust.policies.update({policy.id: policy for policy in made})
        return links

    def _own_policy(self, entry: dict[str, Any], app: App) -> Policy:
        """A policy written into the application: a new one, or one it has, changed."""
        given = {name: value for name, value in entry.items() if name not in ("id", "precedence")}
        content = policies.read(fields(given, policies.FIELDS, self.config.strict), self.trust.tokens)
        now = self.trust.clock.text()
        old = self.trust.policies.get(str(entry.get("id")))
        if "id" in entry and (old is None or old.reusable or old.id not in app.order()):
            raise errors.unknown_policy()
        made, since = (old.id, old.created_at) if old else (new_uuid(), now)
        return Policy(id=made, reusable=False, created_at=since, updated_at=now, **content)

    def _forget_orphans(self) -> None:
        """Policies of single applications that no application has any more."""
        for policy in [p for p in self.trust.policies.values() if not p.reusable and not self.trust.apps_of(p.id)]:
            del self.trust.policies[policy.id]

    def _json(self, app: App) -> dict[str, Any]:
        links = sorted(app.policies, key=lambda link: link[1])
        return {
            **app.more,
            "id": app.id,
            "aud": app.aud,
            "created_at": app.created_at,
            "destinations": [{"type": "public", "uri": uri} for uri in app.uris],
            "domain": app.domain,
            "name": app.name,
            "policies": [{**self.trust.policies[policy].to_json(), "precedence": at} for policy, at in links],
            "self_hosted_domains": list(app.uris),
            "type": "self_hosted",
            "updated_at": app.updated_at,
        }


def _listed(given: Any, pointer: str) -> list[Any]:
    if not isinstance(given, list):
        raise errors.invalid_request("a list is expected", pointer)
    return given
