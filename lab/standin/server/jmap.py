# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The management API: ``x:<Type>/get``, ``/set`` and ``/query`` over the registry (JMAP, RFC 8620)."""

from __future__ import annotations

import copy
import re
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from . import hooks
from .hooks import SetError, set_error
from .passwords import hash_password
from .patching import Patcher, PatchError, format_id, parse_id, validate
from .registry import UNIQUE, Registry
from .schema import Json, JsonObject
from .store import SINGLETON
from .tokens import Token, new_api_key

MAX_CALLS = 16
MAX_OBJECTS = 500
CAPABILITIES = ("urn:ietf:params:jmap:core", "urn:stalwart:jmap")
_FORBIDDEN = {"type": "forbidden", "description": "You are not authorized to perform this action"}
_UNAVAILABLE = "This server is temporarily unavailable. Attempting this same operation later may succeed."
_TELEMETRY = {"Log", "Metric", "Trace", "ClusterNode"}
# What a query may filter by beside the unique property: kind of comparison by property.
FILTERS: dict[str, dict[str, str]] = {
    "Account": {"text": "text", "@type": "equal", "domainId": "equal", "memberGroupIds": "member", "name": "equal"},
    "Certificate": {"subjectAlternativeNames": "words"},
    "DkimSignature": {"domainId": "equal"},
    "Domain": {"text": "text", "aliases": "member"},
    "MailingList": {"text": "text"},
    "MemoryLookupKey": {"namespace": "equal"},
    "MemoryLookupKeyValue": {"namespace": "equal"},
    "Role": {"description": "words"},
}


class MethodError(Exception):
    """A method that fails as a whole."""

    def __init__(self, kind: str, description: str | None = None) -> None:
        super().__init__(kind)
        self.body = set_error(kind, description)


class Actions(Protocol):
    """What the running server does for the API: actions, and the mail queue as objects."""

    def perform(self, action: JsonObject) -> SetError | None:
        """Carry out an action; the error, or ``None``."""

    def queued(self) -> dict[str, JsonObject]:
        """Queued messages by id."""

    def drop_queued(self, message_id: str) -> bool:
        """Remove a message from the queue; whether it was there."""

    def used_bytes(self, address: str) -> int:
        """Size of an account's mail in bytes."""


class Jmap:
    """Answers JMAP requests for an authenticated caller."""

    def __init__(self, registry: Registry, actions: Actions) -> None:
        self.registry = registry
        self.schema = registry.schema
        self.actions = actions

    # -- requests ---------------------------------------------------------------------------------------------------
    def handle(self, request: JsonObject, token: Token) -> JsonObject:
        """The response to one request with ``using`` and ``methodCalls`` (already checked for shape)."""
        responses: list[list[Json]] = []
        created: dict[str, str] = dict(request.get("createdIds") or {})
        for name, given, call_id in request["methodCalls"]:
            try:
                arguments = _resolve_results(given, responses)
                body = self._call(name, arguments, token, created)
                responses.append([name, body, call_id])
            except MethodError as error:
                responses.append(["error", error.body, call_id])
        response: JsonObject = {"methodResponses": responses, "sessionState": session_state(token)}
        if "createdIds" in request:
            response["createdIds"] = created
        return response

    def _call(self, name: str, arguments: JsonObject, token: Token, created: dict[str, str]) -> JsonObject:
        if name == "Core/echo":
            return arguments
        match = re.fullmatch(r"x:([A-Za-z0-9]+)/(get|set|query)", name)
        if match is None or not self.schema.is_object(match[1]):
            raise MethodError("unknownMethod", name)
        object_type, method = match[1], match[2]
        if method == "query" and self.schema.is_singleton(object_type):
            raise MethodError("unknownMethod", name)
        account_id = arguments.get("accountId") or token.account_id
        if account_id != token.account_id and not token.may("impersonate"):
            raise MethodError("forbidden", "You do not have access to account")
        if method == "get":
            self._demand(token, object_type, "Get")
            return self._get(object_type, arguments, account_id)
        if method == "query":
            self._demand(token, object_type, "Query")
            return self._query(object_type, arguments, account_id)
        for key, permission in (("create", "Create"), ("update", "Update"), ("destroy", "Destroy")):
            if arguments.get(key):
                # Singletons know two permissions only.
                singleton = self.schema.is_singleton(object_type)
                self._demand(token, object_type, "Update" if singleton else permission)
        return _Set(self, object_type, arguments, account_id, token, created).run()

    def _demand(self, token: Token, object_type: str, verb: str) -> None:
        if not token.may(self.schema.permission_prefix(object_type) + verb):
            raise MethodError(_FORBIDDEN["type"], _FORBIDDEN["description"])

    # -- get --------------------------------------------------------------------------------------------------------
    def objects(self, object_type: str, account_id: str) -> dict[str, JsonObject]:
        """Everything of a type as the API shows it, before properties are selected."""
        if object_type == "Log":
            # There is no log directory in the image, so the server cannot read its log either (recorded).
            raise MethodError("serverUnavailable", _UNAVAILABLE)
        if object_type == "QueuedMessage":
            return self.actions.queued()
        if object_type in _TELEMETRY or object_type == "Action":
            return {}
        if object_type in {"ApiKey", "AppPassword"}:
            return {
                credential["credentialId"]: {
                    **{k: v for k, v in credential.items() if k not in {"credentialId", "@type"}},
                    "secret": "****",
                    "id": credential["credentialId"],
                }
                for credential in self.credentials(account_id).values()
                if credential["@type"] == object_type
            }
        if self.schema.is_singleton(object_type):
            return {SINGLETON: self.registry.readable(object_type, SINGLETON, self.registry.current(object_type))}
        return {
            object_id: self.registry.readable(object_type, object_id, obj, self._used(object_type, obj))
            for object_id, obj in self.registry.store.all(object_type).items()
        }

    def _used(self, object_type: str, obj: JsonObject) -> int:
        return self.actions.used_bytes(self.registry.directory.address(obj)) if object_type == "Account" else 0

    def credentials(self, account_id: str) -> dict[str, JsonObject]:
        """The credentials of an account by list key; empty when it is no account of ours."""
        account = self.registry.store.get("Account", account_id)
        return {} if account is None else dict(account.get("credentials", {}))

    def _get(self, object_type: str, arguments: JsonObject, account_id: str) -> JsonObject:
        ids = arguments.get("ids")
        if ids is not None and len(ids) > MAX_OBJECTS:
            raise MethodError("requestTooLarge")
        objects = self.objects(object_type, account_id)
        if ids is None:
            wanted = list(objects)
            if object_type in {"ApiKey", "AppPassword"}:
                # The server lists every credential here; those of another kind end up as not found (recorded).
                wanted = [c["credentialId"] for c in self.credentials(account_id).values()]
            elif self.schema.is_singleton(object_type):
                wanted = []  # a singleton has to be asked for by its id
        else:
            wanted = list(dict.fromkeys(ids))
        properties = arguments.get("properties")
        result = []
        for object_id in wanted[:MAX_OBJECTS]:
            if object_id in objects:
                obj = objects[object_id]
                if properties:
                    obj = {key: value for key, value in obj.items() if key in properties or key == "id"}
                result.append(obj)
        missing = [object_id for object_id in wanted if object_id not in objects]
        return {"accountId": account_id, "list": result, "notFound": missing}

    # -- query ------------------------------------------------------------------------------------------------------
    def _query(self, object_type: str, arguments: JsonObject, account_id: str) -> JsonObject:
        if object_type == "Action":
            raise MethodError("invalidArguments", "Actions cannot be queried")
        tests = [self._filter(object_type, key, value) for key, value in _conditions(arguments.get("filter"))]
        found = [
            object_id
            for object_id, obj in self.objects(object_type, account_id).items()
            if all(test(obj) for test in tests)
        ]
        sort = (arguments.get("sort") or [{"property": "id", "isAscending": False}])[0]
        if sort.get("property") != "id":
            raise MethodError("unsupportedSort", f"Property {sort.get('property')} is not supported for sorting")
        found.sort(key=lambda object_id: parse_id(object_id) or 0, reverse=not sort.get("isAscending", True))
        position = max(int(arguments.get("position") or 0), 0)
        limit = arguments.get("limit")
        response: JsonObject = {
            "accountId": account_id,
            "queryState": "n",
            "canCalculateChanges": True,
            "position": position,
            "ids": found[position:] if limit is None else found[position : position + int(limit)],
        }
        if arguments.get("calculateTotal"):
            response["total"] = len(found)
        return response

    def _filter(self, object_type: str, prop: str, value: Json) -> Callable[[JsonObject], bool]:
        kinds = dict(FILTERS.get(object_type, {}))
        if object_type in UNIQUE:
            kinds[UNIQUE[object_type]] = "equal"
        kind = kinds.get(prop)
        if kind is None and prop not in self.schema.property_names:
            raise MethodError("unsupportedFilter", prop)
        if kind is None or not isinstance(value, str):
            raise MethodError("unsupportedFilter", f"Filter on property {prop} is not supported or invalid")
        if kind == "equal":
            return lambda obj: obj.get(prop) == value
        if kind == "member":
            return lambda obj: value in (obj.get(prop) or {})
        words = set(_words(value))
        if kind == "words":
            return lambda obj: words <= set(_words(" ".join(obj[prop]) if isinstance(obj[prop], dict) else obj[prop]))
        return lambda obj: words <= set(_words(" ".join(_searchable(obj))))


def session_state(token: Token) -> str:
    """A state that changes with what the caller may do."""
    return f"{zlib.crc32(','.join([token.account_id, *sorted(token.permissions)]).encode()):08x}"


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"\W+", text.lower()) if word]


def _searchable(obj: JsonObject) -> Iterator[str]:
    for key in ("name", "description"):
        yield str(obj.get(key) or "")
    aliases = obj.get("aliases") or {}
    for key, alias in aliases.items():
        yield alias["name"] if isinstance(alias, dict) else key


def _conditions(condition: Json) -> Iterator[tuple[str, Json]]:
    if not condition:
        return
    if "operator" in condition:
        if condition["operator"] != "AND":
            raise MethodError("unsupportedFilter", "Only AND is supported in filters")
        for inner in condition["conditions"]:
            yield from _conditions(inner)
        return
    yield from condition.items()


def _resolve_results(arguments: JsonObject, responses: list[list[Json]]) -> JsonObject:
    """Replace ``#name`` arguments by results of earlier calls (RFC 8620 §3.7)."""
    result: JsonObject = {}
    for key, value in arguments.items():
        if not (key.startswith("#") and isinstance(value, dict) and "resultOf" in value):
            result[key] = value
            continue
        source = next((r for r in responses if r[2] == value["resultOf"] and r[0] == value["name"]), None)
        if source is None:
            raise MethodError("invalidResultReference", f"Failed to evaluate {key} result reference.")
        result[key[1:]] = _pointer(source[1], value["path"].strip("/").split("/"))
    return result


def _pointer(value: Json, parts: list[str]) -> Json:
    for index, part in enumerate(parts):
        if part == "*":
            found: list[Json] = []
            for item in value:
                inner = _pointer(item, parts[index + 1 :])
                found += inner if isinstance(inner, list) else [inner]
            return found
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, ValueError, TypeError):
            raise MethodError("invalidResultReference", f"Failed to evaluate path {'/'.join(parts)}.") from None
    return value


class _Set:
    """One ``/set`` call: creations, updates and destructions, each on its own."""

    def __init__(
        self,
        jmap: Jmap,
        object_type: str,
        arguments: JsonObject,
        account_id: str,
        token: Token,
        created: dict[str, str],
    ) -> None:
        self.jmap, self.registry, self.schema = jmap, jmap.registry, jmap.schema
        self.type, self.arguments, self.account_id, self.token = object_type, arguments, account_id, token
        self.created_ids = created
        self.results: dict[str, Any] = {key: {} for key in ("created", "updated", "notCreated", "notUpdated")}
        self.results.update(destroyed=[], notDestroyed={})

    def run(self) -> JsonObject:
        create = self.arguments.get("create") or {}
        update = self.arguments.get("update") or {}
        destroy = self.arguments.get("destroy") or []
        if len(create) + len(update) + len(destroy) > MAX_OBJECTS:
            raise MethodError("requestTooLarge")
        for client_id, value in create.items():
            self._outcome("Created", client_id, self._guard(self._create_one, client_id, value))
        for object_id, value in update.items():
            error: SetError | None
            if object_id in destroy:
                error = set_error("willDestroy", "ID will be destroyed.")
            else:
                error = self._guard(self._update_one, object_id, value)
            self._outcome("Updated", object_id, error)
        for object_id in destroy:
            error = self._destroy_one(object_id)
            if error is None:
                self.results["destroyed"].append(object_id)
            else:
                self.results["notDestroyed"][object_id] = error
        order = ("created", "updated", "destroyed", "notCreated", "notUpdated", "notDestroyed")
        return {"accountId": self.account_id, **{key: self.results[key] for key in order if self.results[key]}}

    def _outcome(self, verb: str, key: str, error: SetError | None) -> None:
        if error is not None:
            self.results[f"not{verb}"][key] = error

    def _guard(self, step: Callable[[str, JsonObject], SetError | None], key: str, value: Json) -> SetError | None:
        try:
            return step(key, self._own_references(value))
        except PatchError as error:
            return set_error("invalidPatch", error.message, error.path)

    def _own_references(self, value: Json) -> Json:
        """Replace ``#clientId`` by the id created for it in this request."""
        if isinstance(value, str) and value.startswith("#") and value[1:] in self.created_ids:
            return self.created_ids[value[1:]]
        if isinstance(value, dict):
            return {self._own_references(key): self._own_references(item) for key, item in value.items()}
        return value

    # -- create -----------------------------------------------------------------------------------------------------
    def _create_one(self, client_id: str, value: JsonObject) -> SetError | None:
        if self.type == "Action":
            return self._act(client_id, value)
        if self.type == "ApiKey":
            return self._create_api_key(client_id, value)
        if self.type in hooks.NOT_SUPPORTED:
            return set_error("forbidden", hooks.NOT_SUPPORTED[self.type])
        if self.type in _TELEMETRY or self.type == "QueuedMessage":
            return set_error("forbidden", "Telemetry objects cannot be created")
        obj = Patcher(self.schema, create=True).replace(f"x:{self.type}", value)
        if self.schema.is_singleton(self.type):
            # Accepted, and everything that is not mentioned goes back to its default (recorded).
            error = self._check(obj, None, SINGLETON)
            if error is None:
                self.registry.store.put(self.type, SINGLETON, obj)
                self._created(client_id, {"id": SINGLETON})
            return error
        self.registry.stamp(self.type, obj)
        error = self._check(obj, None, None)
        if error is None:
            object_id = self.registry.store.insert(self.type, obj)
            hooks.after_create(self.registry, self.type, object_id, obj)
            self._created(client_id, {"id": object_id})
        return error

    def _created(self, client_id: str, result: JsonObject) -> None:
        self.results["created"][client_id] = result
        self.created_ids[client_id] = result["id"]

    def _check(self, obj: JsonObject, old: JsonObject | None, own_id: str | None) -> SetError | None:
        hook = hooks.HOOKS.get(self.type)
        error = hook(self.registry, obj, old) if hook is not None else None
        error = error or self.registry.check_expressions(self.type, obj)
        if error is not None:
            return error
        errors = validate(self.schema, f"x:{self.type}", obj)
        if errors:
            return {**set_error("validationFailed"), "validationErrors": errors}
        return self.registry.missing_reference(self.type, obj) or self.registry.key_conflict(self.type, obj, own_id)

    def _act(self, client_id: str, value: JsonObject) -> SetError | None:
        action = Patcher(self.schema, create=True).replace("x:Action", value)
        kind = str(action["@type"])
        if not self.token.may(f"action{kind}"):
            return set_error("forbidden", f"Insufficient permissions to perform action of type {kind}")
        error = self.jmap.actions.perform(action)
        if error is None:
            self._created(client_id, {"id": format_id(int(time.time()))})
        return error

    def _create_api_key(self, client_id: str, value: JsonObject) -> SetError | None:
        account = self.registry.store.get("Account", self.account_id)
        if account is None or account["@type"] != "User":
            return set_error("notFound")
        key = Patcher(self.schema, create=True).replace("x:ApiKey", value)
        credentials = account["credentials"]
        quota = self.registry.live_setting("Authentication")["maxApiKeys"]
        if sum(c["@type"] == "ApiKey" for c in credentials.values()) >= quota:
            return set_error("overQuota", f"You have exceeded your quota of {quota} API keys.")
        number = max((parse_id(c["credentialId"]) or 0 for c in credentials.values()), default=0) + 1
        shown, secret = new_api_key(parse_id(self.account_id) or 0, number)
        key.update(
            {"@type": "ApiKey", "credentialId": format_id(number), "secret": hash_password(secret)},
            createdAt=hooks.now_text(),
        )
        position = str(max((int(index) for index in credentials), default=-1) + 1)
        account["credentials"] = {**credentials, position: key}
        self.registry.store.put("Account", self.account_id, account)
        self._created(client_id, {"id": format_id(number), "secret": shown})
        return None

    # -- update and destroy -----------------------------------------------------------------------------------------
    def _update_one(self, object_id: str, value: JsonObject) -> SetError | None:
        if self.type == "Action":
            return set_error("forbidden", "Actions cannot be updated")
        if self.type in _TELEMETRY or self.type in {"QueuedMessage", "ApiKey", "AppPassword"}:
            return set_error("forbidden", f"{self.type} objects cannot be modified")
        singleton = self.schema.is_singleton(self.type)
        if singleton:
            old = self.registry.current(self.type) if object_id == SINGLETON else None
        else:
            old = self.registry.store.get(self.type, object_id)
        if old is None:
            return set_error("notFound")
        new = Patcher(self.schema, create=False).update(f"x:{self.type}", copy.deepcopy(old), value)
        error = self._check(new, old, object_id)
        if error is None:
            if new != old:
                self.registry.store.put(self.type, object_id, new)
            self.results["updated"][object_id] = None
        return error

    def _destroy_one(self, object_id: str) -> SetError | None:
        if self.type == "Action":
            return set_error("forbidden", "Actions cannot be destroyed")
        if self.schema.is_singleton(self.type):
            return set_error("singleton", "Singletons cannot be created or destroyed.")
        if self.type == "QueuedMessage":
            return None if self.jmap.actions.drop_queued(object_id) else set_error("notFound")
        if self.type in {"ApiKey", "AppPassword"}:
            return self._destroy_credential(object_id)
        if self.registry.store.get(self.type, object_id) is None:
            return set_error("notFound")
        linked = self.registry.linked_to(self.type, object_id)
        if linked:
            return {
                "type": "objectIsLinked",
                "objectId": {"object": self.type, "id": object_id},
                "linkedObjects": linked,
            }
        self.registry.store.delete(self.type, object_id)
        return None

    def _destroy_credential(self, credential_id: str) -> SetError | None:
        account = self.registry.store.get("Account", self.account_id)
        for position, credential in (account or {}).get("credentials", {}).items():
            if credential["credentialId"] == credential_id and account is not None:
                if credential["@type"] != self.type:
                    return set_error("forbidden", "Users are not allowed to destroy their own credentials.")
                del account["credentials"][position]
                self.registry.store.put("Account", self.account_id, account)
                return None
        return set_error("notFound")
