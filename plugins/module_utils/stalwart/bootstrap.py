# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a fresh server to a working API key, without a human and safe against a crash at any point.

The recovery administrator can do everything but own an API key, so there has to be a real account. Its password and
the key are made here, on the host, and never leave it. What decides is always what works now: the key, then the
account's password, then the recovery administrator.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.common.files import (
    private_directory,
    read_private,
    write_private,
)
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.apply import apply, set_error_problem
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.client import Call, Client, basic, bearer
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.engine import make_plan, needed_types
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.state import State

_REFUSED = ("MS-SRV-002", "MS-SRV-003")
_MANUAL = {"@type": "Manual"}
#: Something only an administrator may read, and cheap.
_READ: Call = ("x:SystemSettings/get", {"ids": ["singleton"]})


@dataclass(frozen=True)
class Wanted:
    """The account and key there should be. allowed_ips: addresses or networks the key works from; empty: all."""

    domain: str
    account: str
    description: str
    api_key_file: Path
    password_file: Path
    allowed_ips: Tuple[str, ...]
    recovery: Optional[Tuple[str, str]] = None

    @property
    def address(self) -> str:
        return f"{self.account}@{self.domain}" if self.domain else self.account


@dataclass
class Result:
    """needs_recovery: neither key nor password works, so the server must be started with a recovery administrator.

    reachable: None when nobody had to ask.
    """

    changed: bool = False
    needs_recovery: bool = False
    reachable: Optional[bool] = None
    actions: List[str] = field(default_factory=list)


Connect = Callable[[str], Client]


def _read(path: Path) -> Optional[str]:
    """The content of a secret file, None when there is none. Raises MS-SRV-027 when it is unsafe."""
    if not path.exists() and not path.is_symlink():
        return None
    return read_private(path, "MS-SRV-027").decode("utf-8", "replace").strip() or None


def _works(client: Client) -> bool:
    """Whether these credentials may read settings. Errors other than a refusal are raised."""
    try:
        client.call([_READ])
    except MailsteadError as error:
        if error.problems[0].code in _REFUSED:
            return False
        raise
    return True


def probe(connect: Connect, wanted: Wanted) -> Result:
    """What would be needed; changes nothing and copes with a server that is not running."""
    key, password = _read(wanted.api_key_file), _read(wanted.password_file)
    if key is None and password is None:
        return Result(changed=True, needs_recovery=True)
    try:
        if key is not None and _works(connect(bearer(key))):
            return Result(reachable=True)
        if password is not None and wanted.domain and _works(connect(basic(wanted.address, password))):
            return Result(changed=True, reachable=True)
    except MailsteadError as error:
        if error.problems[0].code != "MS-SRV-001":
            raise
        # Not running: with a key at hand a normal start is the right thing to try first.
        return Result(changed=key is None, needs_recovery=key is None, reachable=False)
    return Result(changed=True, needs_recovery=True, reachable=True)


def ensure(connect: Connect, wanted: Wanted, check: bool, state: Callable[[], State]) -> Result:
    """Make the API key work. check: only say what would change. Raises MailsteadError (MS-SRV-0xx)."""
    key, password = _read(wanted.api_key_file), _read(wanted.password_file)
    admin = connect(basic(wanted.address, password)) if password is not None else None
    if key is not None:
        client = connect(bearer(key))
        if _works(client):
            return _restrict(connect, client, admin, wanted, check)
    if admin is not None and _works(admin):
        return _new_key(connect, admin, wanted, check, ["made an API key with the account's password"])
    if wanted.recovery is None:
        raise MailsteadError.one(
            "MS-SRV-030",
            str(wanted.api_key_file),
            "no API key or password works, and no recovery administrator is given",
            "Start the container with STALWART_RECOVERY_ADMIN=<user>:<password> and hand both to this module "
            "(recovery_user, recovery_password).",
        )
    recovery = connect(basic(*wanted.recovery))
    _check_recovery(recovery)
    if check:
        return Result(changed=True, needs_recovery=True, reachable=True, actions=["would make account and API key"])
    actions = _account(recovery, wanted, state())
    password = _read(wanted.password_file)
    result = _new_key(connect, connect(basic(wanted.address, str(password))), wanted, False, actions)
    result.needs_recovery = True
    return result


def _check_recovery(client: Client) -> None:
    """Raises MS-SRV-030 when the server refuses the recovery administrator, MS-SRV-032 when it is not set up."""
    try:
        client.call([_READ])
    except MailsteadError as error:
        (problem,) = error.problems
        if problem.code == "MS-SRV-002":
            raise MailsteadError.one(
                "MS-SRV-030",
                "recovery_user",
                f"the server refuses the recovery administrator: {problem.what}",
                "Start the container with the very STALWART_RECOVERY_ADMIN=<user>:<password> that is given here.",
            ) from error
        if problem.code == "MS-SRV-003" and "bootstrap mode" in problem.what:
            raise MailsteadError.one(
                "MS-SRV-032",
                client.url,
                problem.what,
                "Put config.json where the container looks for it (/etc/stalwart), readable for uid 2000, and start again.",
            ) from error
        raise


def _account(client: Client, wanted: Wanted, state: State) -> List[str]:
    """Domain and account, the latter with a new password, which is on disk before the server has it."""
    schema = client.schema(state.directory if state.directory.is_dir() else None)
    objects: List[Dict[str, Any]] = [
        {
            "type": "Domain",
            "match": {"name": wanted.domain},
            # Automatic management would make keys of its own at once and block the domain's removal.
            "properties": {"dnsManagement": _MANUAL, "dkimManagement": _MANUAL, "certificateManagement": _MANUAL},
        },
        {
            "type": "Account",
            "match": {"@type": "User", "name": wanted.account, "domainId": f"ref:Domain/name={wanted.domain}"},
            "properties": {
                "roles": {"@type": "Admin"},
                "credentials": [{"@type": "Password"}],
                "description": "mailstead: owns the management API key",
            },
        },
    ]
    types, singletons = needed_types(schema, objects)
    observed = client.get_all(sorted({*types, "Role", "NetworkListener"}), singletons)
    if not observed["Role"] or not observed["NetworkListener"]:
        raise MailsteadError.one(
            "MS-SRV-032",
            client.url,
            "the server has no roles or no listeners: it has never made a normal start",
            "Give it a config.json and start it without STALWART_RECOVERY_MODE; that start inserts the defaults.",
        )
    password = secrets.token_urlsafe(32)
    objects[1]["secrets"] = {"/credentials/0/secret": password}
    plan = make_plan(schema, objects, observed)
    private_directory(wanted.password_file.parent, 0o755)
    write_private(wanted.password_file, (password + "\n").encode())
    outcome = apply(client, plan, state)
    return outcome.applied


def _keys(client: Client, wanted: Wanted) -> List[Mapping[str, Any]]:
    return [k for k in client.get_all(["ApiKey"])["ApiKey"] if k.get("description") == wanted.description]


def _new_key(connect: Connect, admin: Client, wanted: Wanted, check: bool, actions: Sequence[str]) -> Result:
    result = Result(changed=True, reachable=True, actions=list(actions))
    if check:
        return result
    body: Dict[str, Any] = {"description": wanted.description, "permissions": {"@type": "Inherit"}}
    if wanted.allowed_ips:
        body["allowedIps"] = dict.fromkeys(wanted.allowed_ips, True)
    # Keys with our mark that nobody can use any more; an account has room for five only.
    stale = [str(k["id"]) for k in _keys(admin, wanted)]
    calls: List[Tuple[str, Mapping[str, Any]]] = []
    if stale:
        calls.append(("x:ApiKey/set", {"destroy": stale}))
    calls.append(("x:ApiKey/set", {"create": {"k": body}}))
    answer = admin.call(calls, changes=True)[-1]
    refused = (answer.get("notCreated") or {}).get("k")
    if refused is not None:
        raise MailsteadError([set_error_problem(f"ApiKey {wanted.description}", refused)])
    made = (answer.get("created") or {}).get("k")
    key = made.get("secret") if isinstance(made, Mapping) else None
    if not isinstance(key, str) or not key:
        raise MailsteadError.one(
            "MS-SRV-006", "x:ApiKey/set", "the answer has no secret", "Run the play again; it makes another key."
        )
    private_directory(wanted.api_key_file.parent, 0o755)
    write_private(wanted.api_key_file, (key + "\n").encode())
    result.actions.append(f"wrote {wanted.api_key_file}")
    if stale:
        result.actions.append(f"removed {len(stale)} unusable API key{'s' * (len(stale) > 1)}")
    if not _works(connect(bearer(key))):
        raise _locked_out(wanted)
    return result


def _locked_out(wanted: Wanted) -> MailsteadError:
    return MailsteadError.one(
        "MS-SRV-031",
        str(wanted.api_key_file),
        f"the server refuses the API key from here; it is limited to {', '.join(wanted.allowed_ips) or 'no address'}",
        "Add the address the server sees to allowed_ips: the container network's gateway and 127.0.0.0/8.",
    )


def _restrict(connect: Connect, client: Client, admin: Optional[Client], wanted: Wanted, check: bool) -> Result:
    """Keep the working key, but make it work from the declared addresses only."""
    allowed = {_network(ip) for ip in wanted.allowed_ips}
    wrong = [k for k in _keys(client, wanted) if {_network(ip) for ip in k.get("allowedIps") or {}} != allowed]
    result = Result(changed=bool(wrong), reachable=True)
    if not wrong:
        return result
    result.actions.append("limit the API key to " + (", ".join(wanted.allowed_ips) or "no addresses in particular"))
    if check:
        return result
    value = dict.fromkeys(wanted.allowed_ips, True)
    update = {str(k["id"]): {"allowedIps": value} for k in wrong}
    answer = client.call([("x:ApiKey/set", {"update": update})], changes=True)[0]
    refused = answer.get("notUpdated") or {}
    if refused and admin is not None and _works(admin):
        # A server that does not let keys change gets another one.
        return _new_key(connect, admin, wanted, False, result.actions)
    if refused:
        raise MailsteadError([set_error_problem(f"ApiKey {wanted.description}", e) for e in refused.values()])
    if not _works(client):
        raise _locked_out(wanted)
    return result


def _network(text: str) -> str:
    """Host routes without their prefix length, as the server shows them."""
    for suffix in ("/32", "/128"):
        if text.endswith(suffix):
            return text[: -len(suffix)]
    return text
