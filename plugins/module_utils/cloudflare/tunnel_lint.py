# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ingress rules of a tunnel, judged before a connector reads them. Pure.

The connector is forgiving: it takes a service without a port for one at the scheme's default port, counts a key that it does
not know as a mere warning, and lets everything through where the audience is missing. Here all of that is refused. The words are
those of cloudflared's own parser (its packages ``config`` and ``ingress``, release 2026.8).
"""

from __future__ import annotations

import re
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Tuple
from urllib.parse import SplitResult, urlsplit

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata

#: What a service may begin with; with a host behind it, whether it needs a port, and without.
WITH_PORT = ("tcp", "ssh", "rdp", "smb")
WITH_HOST = ("http", "https", "ws", "wss", *WITH_PORT)
WORDS = ("hello_world", "hello-world", "bastion", "socks-proxy")

#: Keys of a configuration file. cloudflared puts those it does not know into a drawer without a word.
TOP_KEYS = frozenset(
    {
        "tunnel",
        "credentials-file",
        "ingress",
        "originRequest",
        "warp-routing",
        "metrics",
        "loglevel",
        "transport-loglevel",
        "logfile",
        "log-directory",
        "protocol",
        "no-autoupdate",
        "autoupdate-freq",
        "grace-period",
        "retries",
        "edge-ip-version",
        "edge-bind-address",
        "region",
        "pidfile",
        "tag",
        "token-file",
        "management-diagnostics",
    }
)
RULE_KEYS = frozenset({"hostname", "path", "service", "originRequest"})
ACCESS_KEYS = frozenset({"required", "teamName", "audTag", "environment"})
IP_RULE_KEYS = frozenset({"prefix", "ports", "allow"})
WARP_KEYS = frozenset({"connectTimeout", "maxActiveFlows", "tcpKeepAlive"})
#: originRequest: the form of each value.
ORIGIN_KEYS: Dict[str, str] = {
    "connectTimeout": "time",
    "tlsTimeout": "time",
    "tcpKeepAlive": "time",
    "keepAliveTimeout": "time",
    "noHappyEyeballs": "bool",
    "matchSNItoHost": "bool",
    "noTLSVerify": "bool",
    "disableChunkedEncoding": "bool",
    "bastionMode": "bool",
    "http2Origin": "bool",
    "keepAliveConnections": "int",
    "proxyPort": "int",
    "httpHostHeader": "str",
    "originServerName": "str",
    "caPool": "str",
    "proxyAddress": "str",
    "proxyType": "str",
    "ipRules": "rules",
    "access": "access",
}
_DURATION = re.compile(r"(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+")
_TEAM = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?")
#: Whatever cloudflared calls what it does not like, and the mark of its log lines.
_WARNING = re.compile(r"\bwarn(ing)?\b|\bWRN\b|\bERR\b|unused key", re.IGNORECASE)

#: (place, what is wrong, what to do)
Found = Iterator[Tuple[str, str, str]]


def lint_ingress(config: Any, where: str = "ingress") -> List[Problem]:
    """What is wrong with a tunnel's configuration, remote or of a file, in order. where: how messages call it.

    config: as YAML or JSON gives it, ``{"ingress": [{"hostname", "service", "path", "originRequest"}], "originRequest": {},
    …}``.
    """
    return [Problem("MS-TUN-001", f"{where}{place}", what, fix) for place, what, fix in _config(config)]


def validate_output(text: str, code: int, where: str = "cloudflared tunnel ingress validate") -> List[Problem]:
    """Judge what ``cloudflared tunnel ingress validate`` said. text: both its outputs; code: its exit status.

    It ends with 0 after a warning too, so any word of a warning counts, as does an output that does not end in OK.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    shown = " / ".join(lines[-6:])[:500] or "no output"
    fix = "Correct the configuration: what is warned of has no effect, although it looks as if it had."
    if code != 0:
        return [Problem("MS-TUN-014", where, f"it ended with {code}: {shown}", fix)]
    if any(_WARNING.search(line) for line in lines):
        return [Problem("MS-TUN-014", where, f"it warned: {shown}", fix)]
    if not lines or lines[-1] != "OK":
        return [Problem("MS-TUN-014", where, f"it did not say OK: {shown}", "Look whether this is cloudflared.")]
    return []


# -- the whole -------------------------------------------------------------------------------------------------------


def _config(config: Any) -> Found:
    if not isinstance(config, Mapping):
        yield "", "it is no mapping", "Give a configuration with the key ingress."
        return
    yield from _keys("", config, TOP_KEYS)
    if config.get("originRequest") is not None:
        yield from _origin(".originRequest", config["originRequest"])
    warp = config.get("warp-routing")
    if warp is not None:
        # {"enabled": false} is how the API gives back that there is none.
        yield from _keys(".warp-routing", warp, WARP_KEYS | {"enabled"})
    rules = config.get("ingress")
    if not isinstance(rules, Sequence) or isinstance(rules, str) or not rules:
        yield ".ingress", "there are no rules", "List at least the catch-all: - service: http_status:404"
        return
    for number, rule in enumerate(rules):
        yield from _rule(f".ingress[{number}]", rule, number == len(rules) - 1)
    yield from _twice(rules)


def _keys(place: str, found: Any, known: frozenset[str]) -> Found:
    if not isinstance(found, Mapping):
        yield place, "it is no mapping", f"Use the keys {', '.join(sorted(known))}."
        return
    for key in found:
        if key not in known:
            near = [k for k in sorted(known) if k.lower() == str(key).lower().replace("_", "")]
            fix = f"It is written {near[0]}." if near else f"Known are {', '.join(sorted(known))}."
            yield f"{place}.{key}", "this key is unknown: cloudflared passes over it", fix


def _twice(rules: Sequence[Any]) -> Found:
    seen: Dict[Tuple[str, str], int] = {}
    for number, rule in enumerate(rules):
        if not isinstance(rule, Mapping) or not rule.get("hostname"):
            continue
        key = (str(rule["hostname"]).lower().rstrip("."), str(rule.get("path") or ""))
        if key in seen:
            what = f"{key[0]} is already answered by rule {seen[key]}: this one never is"
            yield f".ingress[{number}].hostname", what, "List each hostname once."
        seen.setdefault(key, number)


def _rule(place: str, rule: Any, last: bool) -> Found:
    if not isinstance(rule, Mapping):
        yield place, "it is no mapping", "Write hostname and service."
        return
    yield from _keys(place, rule, RULE_KEYS)
    hostname, path = rule.get("hostname") or "", rule.get("path") or ""
    for key, value in (("hostname", hostname), ("path", path)):
        if not isinstance(value, str):
            yield f"{place}.{key}", "it is no text", "Put it in quotation marks."
            return
    catches_all = hostname in ("", "*") and not path
    if last and not catches_all:
        fix = "Add a rule without hostname and path at the end: - service: http_status:404"
        yield place, "the last rule does not catch all: cloudflared refuses to run", fix
    if catches_all and not last:
        yield place, "it catches all before the last rule: those after it are never reached", "Move it to the end."
    if not catches_all and hostname:
        yield from _hostname(f"{place}.hostname", hostname)
    if path:
        yield from _path(f"{place}.path", path)
    yield from _service(f"{place}.service", rule.get("service"))
    if rule.get("originRequest") is not None:
        yield from _origin(f"{place}.originRequest", rule["originRequest"])


def _hostname(place: str, hostname: str) -> Found:
    if "://" in hostname or "/" in hostname or ":" in hostname:
        yield place, f"{hostname!r} is more than a name", "Write the name alone; the port goes into service."
        return
    plain = hostname[2:] if hostname.startswith("*.") else hostname
    try:
        rdata.name(plain)
    except rdata.RdataError as error:
        yield place, str(error), "Correct the name; one * may stand for its first label."
        return
    if "*" in plain:
        yield place, f"{hostname!r} has its * elsewhere than at the front", "One * may stand for the first label."


def _path(place: str, path: str) -> Found:
    try:
        re.compile(path)
    except re.error as error:
        yield place, f"{path!r} is no regular expression: {error}", "Correct it, or leave path out."


# -- services --------------------------------------------------------------------------------------------------------


def _service(place: str, service: Any) -> Found:
    if not isinstance(service, str) or not service:
        yield place, "there is no service", "Write one like tcp://172.29.1.2:465 or http_status:404."
        return
    if service in WORDS:
        return
    if service.startswith("http_status:"):
        if not re.fullmatch(r"[1-9]\d\d", service[len("http_status:") :]):
            yield place, f"{service!r} has no status of three digits", "Write http_status:404."
        return
    if service.startswith(("unix:", "unix+tls:")):
        if not service.split(":", 1)[1].startswith("/"):
            yield place, f"{service!r} has no absolute path", "Write unix:/run/application.sock."
        return
    yield from _url(place, service)


def _url(place: str, service: str) -> Found:
    try:
        url = urlsplit(service)
        port = url.port
    except ValueError as error:
        yield place, f"{service!r} cannot be read: {error}", "Write scheme://address:port."
        return
    if url.scheme not in WITH_HOST:
        what = f"{service!r} begins with no scheme that cloudflared knows"
        yield place, what, f"Use one of {', '.join(f'{s}://' for s in WITH_HOST)}, unix:, http_status:."
    elif not url.hostname:
        yield place, f"{service!r} has no host", "Write scheme://address:port."
    elif url.path or url.query or url.fragment or url.username is not None:
        yield place, f"{service!r} is more than scheme, host and port", "Leave out the rest: cloudflared refuses it."
    elif port is None or port == 0:
        yield from _no_port(place, service, url)


def _no_port(place: str, service: str, url: SplitResult) -> Found:
    if url.scheme in WITH_PORT:
        # Left out, cloudflared takes a default of its own, which is none of the mail ports.
        yield place, f"{service!r} has no port", f"Write it: {url.scheme}://{url.hostname}:465."
    else:
        yield place, f"{service!r} has no port", f"Write it: {url.scheme}://{url.hostname}:8080."


# -- originRequest ---------------------------------------------------------------------------------------------------


def _origin(place: str, origin: Any) -> Found:
    yield from _keys(place, origin, frozenset(ORIGIN_KEYS))
    if not isinstance(origin, Mapping):
        return
    for key, value in origin.items():
        form = ORIGIN_KEYS.get(key)
        if form == "access":
            yield from _access(f"{place}.access", value)
        elif form == "rules":
            yield from _ip_rules(f"{place}.ipRules", value)
        elif form is not None and not _fits(form, value):
            words = {"time": "a time like 30s, or whole seconds", "bool": "true or false", "int": "a whole number"}
            yield f"{place}.{key}", f"{value!r} is not {words.get(form, 'a text')}", "Correct it, or leave it out."


def _fits(form: str, value: Any) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if form == "time":
        return whole or (isinstance(value, str) and _DURATION.fullmatch(value) is not None)
    if form == "int":
        return whole
    return isinstance(value, bool if form == "bool" else str)


def _ip_rules(place: str, rules: Any) -> Found:
    if not isinstance(rules, list):
        yield place, "it is no list", "List rules of prefix, ports and allow."
        return
    for number, rule in enumerate(rules):
        yield from _keys(f"{place}[{number}]", rule, IP_RULE_KEYS)


def _access(place: str, access: Any) -> Found:
    yield from _keys(place, access, ACCESS_KEYS)
    if not isinstance(access, Mapping):
        return
    tags, team, required = access.get("audTag"), access.get("teamName"), access.get("required", False)
    if not isinstance(required, bool):
        yield f"{place}.required", f"{required!r} is not true or false", "Write true."
    listed = isinstance(tags, list) and all(isinstance(t, str) and t for t in tags)
    if tags is not None and not listed:
        yield f"{place}.audTag", "it is no list of texts", "List the audience tags of the Access applications."
    if team is not None and not (isinstance(team, str) and (team == "" or _TEAM.fullmatch(team))):
        yield f"{place}.teamName", f"{team!r} is no name of a team", "Write what stands before .cloudflareaccess.com."
    if tags and not team:
        what = "there are audience tags and no team whose keys could prove them"
        yield f"{place}.teamName", what, "Write what stands before .cloudflareaccess.com."
    if required is True and not tags:
        what = "Access is required and no audience given: whatever the team lets through elsewhere passes here too"
        yield f"{place}.audTag", what, "List the audience tag of the application."
    if tags and required is False:
        what = "an audience is given and not required: what comes without a token passes"
        yield f"{place}.required", what, "Write required: true."
