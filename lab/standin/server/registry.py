# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry: what is stored, what is live, and the rules between objects.

Settings become live by :meth:`Registry.reload`; accounts, domains, DKIM keys, lists and roles are live at once, and
listeners with their proxy trust only when the process starts. Stored objects are always what the API reads back.
"""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import expressions, keys, zone
from .directory import Directory
from .expression_functions import ExpressionError, Value, to_bool
from .hooks import SetError, now_text, set_error
from .patching import parse_id
from .schema import EPOCH, JsonObject, Schema
from .store import SINGLETON, Store

log = logging.getLogger("standin.registry")

DATA = Path(__file__).parent.parent / "data"
RECORDED = DATA / "stalwart-0.16.18"

# Properties that must be unique, by type; accounts and lists share one space of addresses, see below.
UNIQUE: dict[str, str] = {
    **dict.fromkeys(
        (
            "ClusterRole", "Domain", "MtaConnectionStrategy", "MtaDeliverySchedule", "MtaRoute", "MtaTlsStrategy",
            "MtaVirtualQueue", "NetworkListener", "SieveSystemScript", "SieveUserScript", "SpamDnsblServer", "SpamRule",
        ),
        "name",
    ),
    "AllowedIp": "address",
    "BlockedIp": "address",
    "OAuthClient": "clientId",
    "SpamFileExtension": "extension",
    "SpamTag": "tag",
}  # fmt: skip

# Singletons that the first normal start writes beyond their defaults (role ids, download addresses).
_FIRST_START = {"Authentication", "Asn"}


def resolve_host(host: str, port: int) -> None:
    """Look a host up the way the server does. Raises :class:`OSError` with the C library's words."""
    socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)


@dataclass
class Settings:
    """The environment the process was started with."""

    hostname: str = "localhost"
    data_store: JsonObject = field(default_factory=lambda: {"@type": "Sqlite", "path": "/var/lib/stalwart/db.sqlite"})
    public_url: str | None = None
    recovery_mode: bool = False


class Registry:
    """Objects by type with the schema's rules. Thread-safe as far as the store is."""

    def __init__(
        self,
        store: Store,
        settings: Settings | None = None,
        lookup_host: Callable[[str, int], None] = resolve_host,
        recorded: Path = RECORDED,
    ) -> None:
        self.store = store
        self.settings = settings or Settings()
        self.schema = Schema(recorded / "schema.json.gz")
        self.language = expressions.Language(
            frozenset(self.schema.enums["ExpressionVariable"]), frozenset(self.schema.enums["ExpressionConstant"])
        )
        self.directory = Directory(store)
        self._lookup_host = lookup_host
        self._recorded = recorded
        self._live: dict[str, dict[str, JsonObject]] = {}
        self._compiled: dict[tuple[str, str, str], expressions.IfBlock] = {}
        self.on_reload: list[Callable[[], None]] = []

    # -- reading ----------------------------------------------------------------------------------------------------
    def all_permissions(self) -> frozenset[str]:
        """Everything anybody may be allowed to do."""
        return frozenset(self.schema.enums["Permission"])

    def current(self, object_type: str) -> JsonObject:
        """A singleton as stored, or its default."""
        if object_type == "DataStore":
            return {**self.schema.default("x:DataStore", self.settings.data_store["@type"]), **self.settings.data_store}
        return self.store.get(object_type, SINGLETON) or self.schema.default(f"x:{object_type}")

    def live_setting(self, object_type: str) -> JsonObject:
        """A singleton as of the last reload."""
        return self._live.get(object_type, {}).get(SINGLETON) or self.schema.default(f"x:{object_type}")

    def live_objects(self, object_type: str) -> dict[str, JsonObject]:
        """The objects of a settings type as of the last reload."""
        return self._live.get(object_type, {})

    def live_named(self, object_type: str, name: str) -> JsonObject | None:
        """A settings object by its name as of the last reload."""
        return next((obj for obj in self.live_objects(object_type).values() if obj.get("name") == name), None)

    @property
    def hostname(self) -> str:
        """The name the server goes by."""
        return str(self.live_setting("SystemSettings")["defaultHostname"] or self.settings.hostname)

    # -- liveness ---------------------------------------------------------------------------------------------------
    def start(self) -> None:
        """Take everything stored as live, as a process that starts does."""
        self._take_live()

    def _take_live(self) -> None:
        live: dict[str, dict[str, JsonObject]] = {}
        for object_type, object_id, obj in self.store.everything():
            live.setdefault(object_type, {})[object_id] = obj
        self._live = live
        self._compiled = {}
        for callback in self.on_reload:
            callback()

    def reload(self) -> SetError | None:
        """Make settings live; nothing changes when one of them is unusable, and the error is returned."""
        pyzor = self.current("SpamPyzor")
        if pyzor["enable"]:
            try:
                self._lookup_host(pyzor["host"], pyzor["port"])
            except OSError as failure:
                return {
                    **set_error(
                        "validationFailed", f"Invalid address: failed to lookup address information: {failure.strerror}"
                    ),
                    "objectId": {"object": "SpamPyzor", "id": SINGLETON},
                }
        consoles = [key for key, obj in self.store.all("Tracer").items() if obj["@type"] == "Stdout" and obj["enable"]]
        if len(consoles) > 1:
            error = set_error("validationFailed", "Only one console tracer is allowed")
            return {**error, "objectId": {"object": "Tracer", "id": consoles[1]}}
        self._take_live()
        return None

    def refresh_certificates(self) -> None:
        """Read certificate files again; one that has expired or cannot be read leaves the object as it is."""
        for object_id, certificate in self.store.all("Certificate").items():
            try:
                described = keys.describe_certificate(keys.read_text(certificate["certificate"]))
            except (keys.KeyTextError, ValueError) as error:
                log.warning("certificate %s: %s", object_id, error)
                continue
            if described["notValidAfter"] > now_text():
                self.store.put("Certificate", object_id, {**certificate, **described})

    def insert_defaults(self) -> None:
        """What the first normal start writes: each type only while it has no object, as recorded."""
        entries = json.loads((self._recorded / "defaults.json").read_text())
        for entry in entries:
            kind, _, object_type = entry["label"].partition("/")
            objects = entry["response"]["methodResponses"][0][1]["list"]
            if kind == "defaults" and not self.store.all(object_type):
                for obj in objects:
                    object_id = obj.pop("id")
                    _renew_dates(obj)
                    # Long ids carry the time of the recording; short ones (roles, schedules, queues) are fixed.
                    self.store.insert(object_type, obj, object_id if len(object_id) < 4 else None)
            elif object_type in _FIRST_START and self.store.get(object_type, SINGLETON) is None:
                self.store.put(object_type, SINGLETON, {k: v for k, v in objects[0].items() if k != "id"})

    # -- expressions ------------------------------------------------------------------------------------------------
    def evaluate(
        self,
        object_type: str,
        prop: str,
        variables: Mapping[str, Value],
        object_id: str = SINGLETON,
    ) -> Value | None:
        """The value of a live expression; a failing one counts as its default, like upstream, and is logged."""
        key = (object_type, object_id, prop)
        obj = self._live.get(object_type, {}).get(object_id) or self.schema.default(f"x:{object_type}")
        try:
            if key not in self._compiled:
                expression = obj[prop]
                if not expression["else"]:
                    expression = self.schema.default(f"x:{object_type}")[prop]
                self._compiled[key] = expressions.IfBlock(expression, self.language)
            return self._compiled[key].evaluate(lambda name: variables.get(name, ""), self._call)
        except ExpressionError as error:
            log.warning("expression %s.%s: %s", object_type, prop, error)
            return None

    def truth(self, object_type: str, prop: str, variables: Mapping[str, Value], default: bool = False) -> bool:
        """A live expression as yes or no."""
        value = self.evaluate(object_type, prop, variables)
        return default if value is None else to_bool(value)

    def evaluate_rule(self, expression: JsonObject, variables: Mapping[str, Value]) -> Value | None:
        """Evaluate an expression that is part of a directory-like object (live at once)."""
        try:
            block = expressions.IfBlock(expression, self.language)
            return block.evaluate(lambda name: variables.get(name, ""), self._call)
        except ExpressionError as error:
            log.warning("expression: %s", error)
            return None

    def variables_in(self, expression: JsonObject) -> set[str]:
        """The names of the variables an expression uses."""
        texts = [expression["else"], *(text for match in expression["match"].values() for text in match.values())]
        return {word for text in texts for word in expressions.words(text)} & self.language.variables

    def _call(self, name: str, values: list[Value]) -> Value:
        texts = [str(value) for value in values]
        if name == "is_local_domain":
            return int(self.directory.is_local_domain(texts[0]))
        if name == "is_local_address":
            return int(self.directory.is_local_address(texts[0]))
        if name == "key_exists":
            return int(
                any(
                    obj["namespace"] == texts[0] and obj["key"].lower() == texts[1].lower()
                    for kind in ("MemoryLookupKey", "MemoryLookupKeyValue")
                    for obj in self.live_objects(kind).values()
                )
            )
        if name == "key_get":
            for obj in self.live_objects("MemoryLookupKeyValue").values():
                if obj["namespace"] == texts[0] and obj["key"].lower() == texts[1].lower():
                    return str(obj["value"])
            return ""
        if name == "system":
            return {"hostname": self.hostname, "domain": self._default_domain(), "node_hostname": self.hostname}.get(
                texts[0], ""
            )
        raise ExpressionError(f"Function {name} is not part of the stand-in")

    def login(self, name: str, password: str, remote_ip: str) -> tuple[str, JsonObject] | None:
        """``(id, account)`` of a user whose password matches; a bare name is one of the default domain."""
        domain = self._default_domain()
        whole = name if "@" in name or not domain else f"{name.strip()}@{domain}"
        return self.directory.login(whole, password, remote_ip)

    def _default_domain(self) -> str:
        return self.directory.domain_name(self.live_setting("SystemSettings")["defaultDomainId"])

    def check_expressions(self, object_type: str, obj: JsonObject) -> SetError | None:
        """The first expression of an object that does not parse, as the API reports it."""
        for prop, expression in self.schema.expressions(f"x:{object_type}", obj):
            allowed = expressions.allowed_variables(object_type, prop)
            message = expressions.check(expression, self.language, allowed)
            if message is not None:
                invalid = {"type": "Invalid", "property": prop, "value": message}
                return {**set_error("validationFailed", None, prop), "validationErrors": [invalid]}
        return None

    # -- rules between objects --------------------------------------------------------------------------------------
    def missing_reference(self, object_type: str, obj: JsonObject) -> SetError | None:
        """The first reference to an object that does not exist."""
        for reference in self.schema.references(f"x:{object_type}", obj):
            if self.store.get(reference.target, reference.id) is None:
                return {
                    "type": "invalidForeignKey",
                    "objectId": {"object": reference.target, "id": reference.id},
                }
        return None

    def linked_to(self, object_type: str, object_id: str) -> list[JsonObject]:
        """Everything that refers to an object, ordered by type and id."""
        return [
            {"object": other_type, "id": other_id}
            for other_type, other_id, obj in self.store.everything()
            if (other_type, other_id) != (object_type, object_id)
            and any(
                reference.target == object_type and reference.id == object_id
                for reference in self.schema.references(f"x:{other_type}", obj)
            )
        ]

    def key_conflict(self, object_type: str, obj: JsonObject, own_id: str | None) -> SetError | None:
        """Another object that already has the same unique value."""
        if object_type in {"Account", "MailingList"}:
            return self._address_conflict(object_type, obj, own_id)
        prop = UNIQUE.get(object_type)
        if prop is None:
            return None
        for other_id, other in self.store.all(object_type).items():
            if other_id != own_id and other.get(prop) == obj.get(prop):
                return _conflict(prop, object_type, other_id)
        return None

    def _address_conflict(self, object_type: str, obj: JsonObject, own_id: str | None) -> SetError | None:
        wanted = set(_addresses(obj))
        for other_type in ("Account", "MailingList"):
            for other_id, other in self.store.all(other_type).items():
                if (other_type, other_id) != (object_type, own_id) and wanted & set(_addresses(other)):
                    return _conflict("email", other_type, other_id)
        return None

    # -- computed properties ----------------------------------------------------------------------------------------
    def readable(self, object_type: str, object_id: str, obj: JsonObject, used_bytes: int = 0) -> JsonObject:
        """An object as the API shows it: secrets masked, computed properties added, id last."""
        result = self.schema.masked(f"x:{object_type}", obj)
        if object_type == "Account":
            result["usedDiskQuota"] = used_bytes
            result["emailAddress"] = self.directory.address(obj)
        elif object_type == "MailingList":
            result["emailAddress"] = self.directory.address(obj)
        elif object_type == "DkimSignature":
            public = zone.public_key(obj)
            if public is not None:
                result["publicKey"] = public
        elif object_type == "Domain":
            result["dnsZoneFile"] = zone.zone_file(self, object_id, obj)
        return {**result, "id": object_id}

    def stamp(self, object_type: str, obj: JsonObject) -> None:
        """Fill in what the server sets when an object is created."""
        _, properties = self.schema.fields_of(f"x:{object_type}", obj)
        spec = properties.get("createdAt")
        if spec is not None and obj.get("createdAt", EPOCH) == EPOCH:
            obj["createdAt"] = now_text()


def _conflict(prop: str, object_type: str, object_id: str) -> SetError:
    return {
        **set_error("primaryKeyViolation", None, prop),
        "objectId": {"object": object_type, "id": object_id},
    }


def _addresses(obj: JsonObject) -> list[tuple[str, int | None]]:
    entries = [obj, *obj.get("aliases", {}).values()]
    return [(entry["name"], parse_id(entry["domainId"])) for entry in entries]


def _renew_dates(obj: Any) -> None:
    """Replace recorded dates by the present, at any depth."""
    if isinstance(obj, dict):
        for key, value in obj.items():
            if key in {"createdAt", "due"} and isinstance(value, str):
                obj[key] = now_text()
            else:
                _renew_dates(value)
