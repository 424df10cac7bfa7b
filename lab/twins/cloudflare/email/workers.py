# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripts: the upload form, its metadata, bindings and what is kept of the version before (reference, §1.6)."""

from __future__ import annotations

import email.parser
import email.policy
import hashlib
import json
import re
import secrets
from dataclasses import dataclass
from typing import Any

from . import errors
from .account import EmailAccount
from .ids import mail_address, new_id
from .model import Script

#: Documented types of modules; a part of another type is no module.
MODULE_TYPES = (
    "application/javascript+module",
    "text/javascript+module",
    "application/javascript",
    "application/json",
    "application/wasm",
    "text/plain",
    "application/octet-stream",
    "application/source-map",
)
#: Kinds of bindings that the twin knows, with the fields each needs beside type and name.
BINDINGS: dict[str, tuple[str, ...]] = {
    "send_email": (),
    "plain_text": ("text",),
    "secret_text": ("text",),
    "json": ("json",),
    "service": ("service",),
    "kv_namespace": ("namespace_id",),
    "r2_bucket": ("bucket_name",),
    "d1": ("id",),
    "queue": ("queue_name",),
    "analytics_engine": ("dataset",),
    "version_metadata": (),
}
#: Extra fields of send_email; destination_address and allowed_destination_addresses exclude each other.
SEND_EMAIL = ("destination_address", "allowed_destination_addresses", "allowed_sender_addresses")

_NAME = re.compile(r"[a-z0-9_][a-z0-9_-]{0,62}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")


@dataclass(frozen=True)
class Upload:
    """A form as read: metadata, and the text of each module by the name of its part."""

    metadata: dict[str, Any]
    modules: dict[str, str]


def read_upload(content_type: str, body: Any) -> Upload:
    """A ``multipart/form-data`` body (RFC 7578) with a part ``metadata``. Raises ApiError 10021."""
    parts = _parts(content_type, body)
    metadata = _json(parts.pop("metadata").payload) if "metadata" in parts else None
    if not isinstance(metadata, dict):
        raise errors.bad_script("The form has no metadata, or it is no object.")
    for name, part in parts.items():
        if part.kind not in MODULE_TYPES:
            raise errors.bad_script(f"{name} is of the unknown type {part.kind}.")
    return Upload(metadata, {name: part.payload.decode("utf-8", "replace") for name, part in parts.items()})


def read_settings(content_type: str, body: Any) -> dict[str, Any]:
    """The part ``settings`` of a form. Raises ApiError 10021."""
    parts = _parts(content_type, body)
    settings = _json(parts["settings"].payload) if "settings" in parts else None
    if not isinstance(settings, dict):
        raise errors.bad_script("The form has no settings, or they are no object.")
    return settings


@dataclass(frozen=True)
class _Part:
    kind: str
    payload: bytes


def _parts(content_type: str, body: Any) -> dict[str, _Part]:
    """The parts of a form by their file names, else by their names."""
    if not content_type.lower().startswith("multipart/form-data") or not isinstance(body, (bytes, bytearray)):
        raise errors.bad_script("A multipart form is expected.")
    head = f"Content-Type: {content_type}\r\nMIME-Version: 1.0\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + bytes(body))
    out: dict[str, _Part] = {}
    for part in message.iter_parts() if message.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes):
            key = name if name in ("metadata", "settings") else part.get_filename() or name
            out[key] = _Part(part.get_content_type(), payload)
    return out


def _json(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        raise errors.bad_script("A part is not JSON.") from None


def put(account: EmailAccount, name: str, upload: Upload) -> Script:
    """Create or replace a script. Raises ApiError."""
    if not _NAME.fullmatch(name):
        raise errors.bad_script_name(name)
    metadata = upload.metadata
    if metadata.get("main_module") not in upload.modules:
        raise errors.bad_script(f"No such module {metadata.get('main_module')!r}.")
    if not _DATE.fullmatch(str(metadata.get("compatibility_date", ""))):
        raise errors.bad_script("compatibility_date is a date like 2026-11-01.")
    with account.lock:
        old = account.scripts.get(name)
        now = account.clock()
        digest = hashlib.sha256(json.dumps([upload.modules, metadata], sort_keys=True).encode()).hexdigest()
        script = Script(
            name=name,
            tag=old.tag if old else new_id(),
            modules=dict(upload.modules),
            metadata={key: value for key, value in metadata.items() if key not in ("bindings", "keep_bindings")},
            bindings=merged(metadata, old.bindings if old else []),
            created_on=old.created_on if old else now,
            modified_on=now,
            etag=digest,
        )
        account.scripts[name] = script
        account.save()
        return script


def merged(metadata: dict[str, Any], old: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Bindings in force after an upload: those given, and old ones of the kinds in ``keep_bindings``. Raises ApiError."""
    given, kept = metadata.get("bindings", []), metadata.get("keep_bindings", [])
    if not isinstance(given, list) or not isinstance(kept, list):
        raise errors.bad_script("bindings and keep_bindings are lists.")
    for binding in given:
        check_binding(binding)
    names = [binding["name"] for binding in given]
    if len(set(names)) != len(names):
        raise errors.bad_script("Two bindings have one name.")
    return [*given, *(b for b in old if b["type"] in kept and b["name"] not in names)]


def check_binding(binding: Any) -> None:
    """Raises ApiError 10021."""
    if not isinstance(binding, dict) or binding.get("type") not in BINDINGS:
        kind = binding.get("type") if isinstance(binding, dict) else binding
        raise errors.bad_script(f"Unknown binding type {kind!r}.")
    kind, name = binding["type"], binding.get("name")
    if not isinstance(name, str) or not _IDENTIFIER.fullmatch(name):
        raise errors.bad_script(f"A binding needs a name that is an identifier, not {name!r}.")
    for field in BINDINGS[kind]:
        if field not in binding:
            raise errors.bad_script(f"The binding {name} needs {field}.")
    if kind == "send_email":
        _check_send_email(binding)


def _check_send_email(binding: dict[str, Any]) -> None:
    unknown = set(binding) - {"type", "name", *SEND_EMAIL}
    if unknown:
        raise errors.bad_script(f"send_email has no {sorted(unknown)[0]}.")
    if "destination_address" in binding and "allowed_destination_addresses" in binding:
        raise errors.bad_script("destination_address and allowed_destination_addresses exclude each other.")
    single = [binding["destination_address"]] if "destination_address" in binding else []
    lists = [binding.get(field, []) for field in SEND_EMAIL[1:]]
    for address in [*single, *(item for many in lists if isinstance(many, list) for item in many)]:
        mail_address(address, "/bindings")


def change_settings(account: EmailAccount, name: str, changes: dict[str, Any]) -> Script:
    """PATCH of a script's settings: bindings and compatibility, without its code. Raises ApiError."""
    with account.lock:
        script = account.script(name)
        if "bindings" in changes:
            script.bindings = merged(changes, script.bindings)
        for field in ("compatibility_date", "compatibility_flags", "tags"):
            if field in changes:
                script.metadata[field] = changes[field]
        script.modified_on = account.clock()
        account.save()
        return script


def settings_json(script: Script) -> dict[str, Any]:
    """``…/settings``: bindings without what is secret."""
    return {
        "bindings": [
            {key: value for key, value in binding.items() if binding["type"] != "secret_text" or key != "text"}
            for binding in script.bindings
        ],
        "compatibility_date": script.metadata.get("compatibility_date", ""),
        "compatibility_flags": list(script.metadata.get("compatibility_flags", [])),
        "logpush": False,
        "placement": {},
        "tags": list(script.metadata.get("tags", [])),
        "tail_consumers": None,
        "usage_model": "standard",
    }


def download(script: Script) -> tuple[str, str]:
    """The modules as a form, as GET gives them back: content type and text."""
    boundary = secrets.token_hex(16)
    lines: list[str] = []
    for name, text in script.modules.items():
        head = f'Content-Disposition: form-data; name="{name}"; filename="{name}"'
        lines += [f"--{boundary}", head, "Content-Type: application/javascript+module", "", text]
    return f'multipart/form-data; boundary="{boundary}"', "\r\n".join([*lines, f"--{boundary}--", ""])
