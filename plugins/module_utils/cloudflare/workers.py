# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Worker scripts of an account: what is deployed, whether it is what is wanted, and the upload. Pure but for the last part.

Ownership is a tag of the script, ``mailstead:<instance>``: only scripts that carry ours are changed or removed. Code, bindings
and date are compared with what the service gives back. It never gives back secrets, so a digest over everything, the
secrets included, is bound as MAILSTEAD_HASH; it differs when a secret does.

Endpoints: documentation, "Multipart upload metadata"; reference of the API, Workers › Scripts.
"""

from __future__ import annotations

import email.parser
import email.policy
import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, TypeVar, cast

from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import (
    Client,
    RefusalError,
    UnclearError,
)
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.zones import all_zones, explain_refusal
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.api import (
    list_rules,
    read_catch_all,
)

#: The behaviour of the runtime that the templates were tested with.
COMPATIBILITY_DATE = "2026-04-01"
MARK = "mailstead"
HASH_NAME = "MAILSTEAD_HASH"
MODULE_TYPE = "application/javascript+module"
#: Rounds of the digest of a secret: whoever may read the bindings must not find a short one by trying.
ROUNDS = 200_000
WRITE_TRIES = 2
AT_ONCE = 8
PERMISSION = "Account › Workers Scripts"

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_BINDING = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")

T = TypeVar("T")
S = TypeVar("S")


@dataclass(frozen=True)
class Wanted:
    """A wanted script. modules: text by file name; main: which of them is entered; bindings: as the API has them, secrets
    included; keep: kinds of bindings that somebody else keeps there; present: False to have it removed."""

    name: str
    modules: Mapping[str, str] = field(default_factory=dict)
    main: str = ""
    bindings: Tuple[Mapping[str, Any], ...] = ()
    keep: Tuple[str, ...] = ()
    date: str = COMPATIBILITY_DATE
    present: bool = True


@dataclass(frozen=True)
class Deployed:
    """A script as the API tells it. bindings: secrets without their text; modules: None where they could not be read."""

    name: str
    tags: Tuple[str, ...] = ()
    bindings: Tuple[Mapping[str, Any], ...] = ()
    date: str = ""
    modules: Optional[Mapping[str, str]] = None

    def mine(self, instance: str) -> bool:
        return tag_of(instance) in self.tags


@dataclass
class Task:
    """One script of a run. action: create, update, delete or none; reasons: why; written: whether it was done."""

    wanted: Wanted
    before: Optional[Deployed]
    metadata: Mapping[str, Any]
    action: str
    reasons: Tuple[str, ...] = ()
    written: bool = False


# -- pure ------------------------------------------------------------------------------------------------------------


def tag_of(instance: str) -> str:
    return f"{MARK}:{instance}"


def check(wanted: Sequence[Wanted]) -> List[Problem]:
    """What is wrong with the wishes before anything is asked."""
    problems: List[Problem] = []

    def wrong(name: str, what: str, fix: str) -> None:
        problems.append(Problem("MS-CW-002", f"worker {name}", what, fix))

    names = [w.name for w in wanted]
    for name in sorted({n for n in names if names.count(n) > 1}):
        wrong(name, "it is listed twice", "List each Worker once.")
    for want in wanted:
        if not _NAME.fullmatch(want.name):
            wrong(want.name, "this is no name of a Worker", "Use lower-case letters, digits, - and _; at most 63.")
        if not want.present:
            continue
        if want.main not in want.modules:
            wrong(want.name, f"there is no module {want.main!r} to enter", "Give template, file, or modules with main.")
        if not _DATE.fullmatch(want.date):
            wrong(want.name, f"{want.date!r} is no date", f"Write it like {COMPATIBILITY_DATE}.")
        if not all(isinstance(b.get("type"), str) for b in want.bindings):
            wrong(want.name, "a binding has no type", "Give type and name, as the API has them.")
        bound = [str(b.get("name", "")) for b in want.bindings]
        for name in sorted({b for b in bound if bound.count(b) > 1 or b == HASH_NAME or not _BINDING.fullmatch(b)}):
            what = f"the binding {name!r} is there twice, is {HASH_NAME}, or is no identifier"
            wrong(want.name, what, "Give every var, secret, kv, r2, send_email and further binding a name of its own.")
    return problems


def digest(wanted: Wanted, account: str) -> str:
    """Of all that is uploaded, secrets as salted and stretched digests of themselves."""
    bindings = [_stretched(b, f"{account}/{wanted.name}") for b in wanted.bindings]
    material = [dict(wanted.modules), wanted.main, sorted(bindings, key=repr), sorted(wanted.keep), wanted.date]
    return hashlib.sha256(json.dumps(material, sort_keys=True).encode()).hexdigest()[:32]


def _stretched(binding: Mapping[str, Any], salt: str) -> Dict[str, Any]:
    if binding["type"] != "secret_text":
        return dict(binding)
    salted = f"{salt}/{binding['name']}".encode()
    text = hashlib.pbkdf2_hmac("sha256", str(binding["text"]).encode(), salted, ROUNDS).hex()
    return {**binding, "text": text}


def metadata(wanted: Wanted, instance: str, account: str) -> Dict[str, Any]:
    """The part ``metadata`` of the upload."""
    seal = {"type": "plain_text", "name": HASH_NAME, "text": digest(wanted, account)}
    return {
        "main_module": wanted.main,
        "compatibility_date": wanted.date,
        "bindings": [*(dict(b) for b in wanted.bindings), seal],
        "keep_bindings": list(wanted.keep),
        "tags": [tag_of(instance)],
    }


def reasons(wanted: Wanted, before: Optional[Deployed], upload: Mapping[str, Any]) -> Tuple[str, ...]:
    """Why a script has to be uploaded; nothing when it is there as wanted."""
    if before is None:
        return ("it is not there",)
    out: List[str] = [] if set(upload["tags"]) <= set(before.tags) else ["adopted"]
    if before.modules is not None:
        out += [f"module {name} differs" for name in _different(wanted.modules, before.modules)]
    if before.date != wanted.date:
        out.append(f"compatibility date was {before.date or 'not set'}")
    have = {str(b.get("name")): b for b in before.bindings}
    ours = {str(b["name"]): b for b in upload["bindings"]}
    seal = ours.pop(HASH_NAME)
    out += [
        f"binding {name} {'differs' if name in have else 'is missing'}" for name in ours if not _same(ours, have, name)
    ]
    strangers = [n for n, b in have.items() if n not in ours and n != HASH_NAME and b.get("type") not in wanted.keep]
    out += [f"binding {name} is not wanted" for name in strangers]
    if not out and have.get(HASH_NAME, {}).get("text") != seal["text"]:
        secret = any(b["type"] == "secret_text" for b in wanted.bindings)
        out.append(
            "a secret differs, or it was uploaded by another tool" if secret else "it was uploaded by another tool"
        )
    return tuple(out)


def _different(wanted: Mapping[str, str], have: Mapping[str, str]) -> List[str]:
    def plain(text: Optional[str]) -> Optional[str]:
        # A form may end a part with a line end of its own.
        return None if text is None else text.replace("\r\n", "\n").rstrip("\n")

    return [name for name in sorted({*wanted, *have}) if plain(wanted.get(name)) != plain(have.get(name))]


def _same(ours: Mapping[str, Mapping[str, Any]], have: Mapping[str, Mapping[str, Any]], name: str) -> bool:
    """Whether a binding is there as wanted; the service may know more of it than we say, and tells no secret."""
    found = have.get(name, {})
    return all(
        found.get(key) == value for key, value in ours[name].items() if not (_secret(ours[name]) and key == "text")
    )


def _secret(binding: Mapping[str, Any]) -> bool:
    return binding.get("type") == "secret_text"


def form(upload: Mapping[str, Any], modules: Mapping[str, str]) -> Tuple[str, bytes]:
    """Content type and body of the upload (RFC 7578)."""
    parts = [_part("metadata", "", "application/json", json.dumps(upload, sort_keys=True))]
    parts += [_part(name, name, MODULE_TYPE, text) for name, text in sorted(modules.items())]
    whole = b"".join(parts)
    boundary = "mailstead-" + hashlib.sha256(whole).hexdigest()[:40]
    lines = [b"--" + boundary.encode() + b"\r\n" + part for part in parts]
    return f"multipart/form-data; boundary={boundary}", b"".join(lines) + b"--" + boundary.encode() + b"--\r\n"


def _part(name: str, filename: str, kind: str, text: str) -> bytes:
    file = f'; filename="{filename}"' if filename else ""
    head = f'Content-Disposition: form-data; name="{name}"{file}\r\nContent-Type: {kind}\r\n\r\n'
    return head.encode() + text.encode() + b"\r\n"


def read_form(content_type: str, body: bytes) -> Optional[Dict[str, str]]:
    """The modules of a script as it is given back; None when that is no form."""
    if not content_type.lower().startswith("multipart/"):
        return None
    head = f"Content-Type: {content_type}\r\nMIME-Version: 1.0\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    if not message.is_multipart():
        return None
    out: Dict[str, str] = {}
    for part in message.iter_parts():
        name = part.get_filename() or part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes):
            out[name] = payload.decode("utf-8", "replace")
    return out or None


def shown(name: str, script: Optional[Deployed]) -> str:
    """A script for a difference: what it is made of, no code and no secrets."""
    if script is None:
        return ""
    lines = [f"name: {name}", f"compatibility_date: {script.date}", "modules:"]
    for module, text in sorted((script.modules or {}).items()):
        plain = text.replace("\r\n", "\n").rstrip("\n")
        lines.append(f"  {module}: {len(plain)} characters, sha256 {hashlib.sha256(plain.encode()).hexdigest()[:16]}")
    lines.append("bindings:")
    for binding in sorted(script.bindings, key=lambda b: str(b.get("name"))):
        value = {
            k: v
            for k, v in sorted(binding.items())
            if k not in ("name", "type") and not (_secret(binding) and k == "text")
        }
        lines.append(f"  {binding.get('name')}: {binding.get('type')} {json.dumps(value, sort_keys=True)}")
    return "\n".join([*lines, f"tags: {', '.join(script.tags)}", ""])


def predicted(task: Task) -> Optional[Deployed]:
    """The script after the task was done."""
    if task.action == "none" or not task.wanted.present:
        return None if task.action == "delete" else task.before
    names = {b["name"] for b in task.metadata["bindings"]}
    old = task.before.bindings if task.before else ()
    kept = [b for b in old if b.get("type") in task.wanted.keep and b.get("name") not in names]
    bindings = (*task.metadata["bindings"], *kept)
    return Deployed(task.wanted.name, tuple(task.metadata["tags"]), bindings, task.wanted.date, task.wanted.modules)


# -- with the API ----------------------------------------------------------------------------------------------------


def plan(
    client: Client, account: str, wanted: Sequence[Wanted], instance: str, adopt: bool = False
) -> Tuple[List[Task], List[Problem]]:
    """Read what is deployed and judge it: one listing, and two requests for each wanted script that is there.

    Raises MailsteadError where nothing can be read.
    """
    listed = list_scripts(client, account)
    found = each(wanted, lambda want: read_script(client, account, want.name) if want.name in listed else None)
    tasks: List[Task] = []
    problems: List[Problem] = []
    for want, before in zip(wanted, found):
        if before is not None and not before.mine(instance) and not adopt:
            problems.append(_foreign(want, before))
            continue
        tasks.append(_task(want, before, instance, account))
    return tasks, problems


def _task(want: Wanted, before: Optional[Deployed], instance: str, account: str) -> Task:
    if not want.present:
        return Task(want, before, {}, "delete" if before else "none", ("not wanted",) if before else ())
    upload = metadata(want, instance, account)
    why = reasons(want, before, upload)
    return Task(want, before, upload, ("update" if before else "create") if why else "none", why)


def _foreign(want: Wanted, before: Deployed) -> Problem:
    others = [t for t in before.tags if t.startswith(f"{MARK}:")]
    whose = f"it belongs to {', '.join(others)}" if others else "somebody else made it"
    verb = "changed" if want.present else "removed"
    fix = "Take another name, or set adopt: true to take it over with its routes."
    return Problem(
        "MS-CW-001", f"worker {want.name}", f"a Worker of this name is there and {whose}; it was not {verb}", fix
    )


def list_scripts(client: Client, account: str) -> Dict[str, Tuple[str, ...]]:
    """Tags of the account's scripts by name. Raises MailsteadError."""
    path = f"/accounts/{account}/workers/scripts"
    result = _read(client, path, "the account's Workers")
    if not isinstance(result, list) or not all(isinstance(s, dict) and isinstance(s.get("id"), str) for s in result):
        raise client.malformed(f"GET {path}", "a list of scripts with their names is missing")
    return {s["id"]: _texts(s.get("tags")) for s in result}


def read_script(client: Client, account: str, name: str) -> Deployed:
    """Raises MailsteadError."""
    path, where = f"/accounts/{account}/workers/scripts/{name}", f"worker {name}"
    settings = _read(client, f"{path}/settings", where)
    bindings = settings.get("bindings") if isinstance(settings, dict) else None
    if not isinstance(bindings, list) or not all(isinstance(b, dict) for b in bindings):
        raise client.malformed(f"GET {path}/settings", "the bindings are missing")
    try:
        answer = client.document(path)
    except RefusalError as refusal:
        raise MailsteadError([explain(client, refusal, where)]) from refusal
    modules = read_form(answer.headers.get("content-type", ""), answer.body)
    date = str(settings.get("compatibility_date") or "")
    return Deployed(name, _texts(settings.get("tags")), tuple(bindings), date, modules)


def _texts(value: Any) -> Tuple[str, ...]:
    return tuple(str(v) for v in value) if isinstance(value, list) else ()


def _read(client: Client, path: str, where: str) -> Any:
    try:
        return client.read(path).result
    except RefusalError as refusal:
        raise MailsteadError([explain(client, refusal, where)]) from refusal


def still_used(client: Client, account: str, tasks: Iterable[Task]) -> List[Problem]:
    """A problem for each Worker that is to go although a rule hands mail to it. Asks only when one is to go.

    Raises MailsteadError.
    """
    going = {task.wanted.name for task in tasks if task.action == "delete"}
    if not going:
        return []
    zones = {zone.name: zone.id for zone in all_zones(client)}
    rules = list(list_rules(client, account, zones)[0])
    listed = {rule.zone for rule in rules if not rule.address}
    rules += each([z for z in zones if z not in listed], lambda zone: read_catch_all(client, zones[zone], zone))
    users: Dict[str, List[str]] = {}
    for rule in rules:
        if rule.action == "worker" and rule.target in going:
            users.setdefault(rule.target, []).append(rule.address or f"the catch-all of {rule.zone}")
    fix = "Point those rules elsewhere first. To remove it regardless: allow: [used]."
    return [
        Problem("MS-CW-003", f"worker {name}", f"it gets the mail of {', '.join(sorted(found)[:5])}", fix)
        for name, found in sorted(users.items())
    ]


def apply(client: Client, account: str, tasks: Iterable[Task]) -> List[Problem]:
    """Do what has to be done. Tasks tell afterwards what was written; returns what went wrong, script by script."""
    problems: List[Problem] = []
    for task in tasks:
        if task.action == "none":
            continue
        try:
            _write(client, account, task)
            task.written = True
        except MailsteadError as error:
            problems += error.problems
    return problems


def _write(client: Client, account: str, task: Task) -> None:
    """Raises MailsteadError. A write whose outcome is not known is followed by a look, and made again when it was lost."""
    name = task.wanted.name
    path, last = f"/accounts/{account}/workers/scripts/{name}", ""
    for _attempt in range(WRITE_TRIES):
        try:
            if task.action == "delete":
                client.remove(path)
            else:
                kind, body = form(task.metadata, task.wanted.modules)
                client.upload(path, body, kind)
            return
        except RefusalError as refusal:
            raise MailsteadError([explain(client, refusal, f"worker {name}")]) from refusal
        except UnclearError as unclear:
            last = client.clean(str(unclear))
            there = name in list_scripts(client, account)
            if task.action == "delete" and not there:
                return
            if task.action != "delete" and there:
                now = read_script(client, account, name)
                if not reasons(task.wanted, now, task.metadata):
                    return
    fix = "Run again: what is deployed is read first."
    raise MailsteadError.one("MS-CW-005", f"worker {name}", f"whether it was written is not known: {last}", fix)


def explain(client: Client, refusal: RefusalError, where: str) -> Problem:
    problem = explain_refusal(client, refusal, where)
    if problem.code == "MS-CF-001":
        verb = "Read" if refusal.request.startswith("GET ") else "Edit"
        return Problem("MS-CW-006", where, problem.what, f"Edit the token in the dashboard: add {PERMISSION} › {verb}.")
    if problem.code == "MS-CF-007":
        fix = "Read Cloudflare's words: they name the binding, or the line of the code. Nothing was deployed."
        return Problem("MS-CW-004", where, problem.what, fix)
    return problem


def each(items: Sequence[S], act: Callable[[S], T]) -> List[T]:
    """act on every item, some at once; results in order. Raises MailsteadError with all that went wrong."""
    problems: List[Problem] = []

    def one(item: S) -> Optional[T]:
        try:
            return act(item)
        except MailsteadError as error:
            problems.extend(error.problems)
            return None

    if not items:
        return []
    with ThreadPoolExecutor(max_workers=min(AT_ONCE, len(items))) as pool:
        found = list(pool.map(one, items))
    if problems:
        raise MailsteadError(problems)
    return cast(List[T], found)
