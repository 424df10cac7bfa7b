# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every vendor's twin with accounts to try, and the providers plugged into them: in this process or over loopback HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.mailstead.stack.plugins.module_utils.common.http import (
    Answer,
    HttpTransport,
    Transport,
    TransportError,
)
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.account import Account, AccountPtr
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.aws import AwsAccount, Ec2Api
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.client import Api, Client
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.hcloud import HcloudAccount, HcloudApi
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.linode import LinodeAccount, LinodeApi
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.model import PtrResult, PtrWanted
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.sigv4 import Keys
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.vultr import VultrAccount, VultrApi

from lab.twins.aws import AwsTwin, Elastic
from lab.twins.hcloud import HcloudTwin, Ip
from lab.twins.http import ApiTwin, ConnectionDroppedError, serve
from lab.twins.linode import LinodeTwin
from lab.twins.vultr import Instance, VultrTwin

NAME = "mail.example.com"
OLD = "old.provider.example"
VENDORS = ("hcloud", "linode", "vultr", "aws")
V6 = "2001:db8:0:2::10"


def v4(number: int) -> str:
    """One of 65,536 addresses for tests."""
    return f"198.18.{number // 256}.{number % 256}"


class TwinTransport:
    """A Transport whose requests the twin answers in this process."""

    def __init__(self, twin: ApiTwin) -> None:
        self.twin = twin

    def request(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        try:
            response = self.twin.handle(method, self.twin.base + path, dict(query), dict(headers), body)
        except ConnectionDroppedError as error:
            raise TransportError(str(error), sent=True) from error
        return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, response.body)

    def close(self) -> None:
        return None


@dataclass
class Vendor:
    """A twin and how to get at it. names: address → present name there; requests of changes go by writes()."""

    word: str
    twin: Any
    api: Callable[..., Api]
    account: Callable[[Client], Account]
    secret: str
    names: Callable[[], dict[str, str]]
    write: str
    pauses: list[float] = field(default_factory=list)

    def client(self, transport: Transport | None = None, **credential: Any) -> Client:
        transport = transport or TwinTransport(self.twin)
        return Client(self.api(**credential), transport, pause=self.pauses.append, jitter=lambda: 0.5)

    def provider(self, transport: Transport | None = None, deadline: float = 60.0, **credential: Any) -> AccountPtr:
        """Time passes only in pauses."""
        account = self.account(self.client(transport, **credential))
        return AccountPtr(account, deadline, self.pauses.append, lambda: sum(self.pauses))

    @contextmanager
    def over_http(self, **credential: Any) -> Iterator[AccountPtr]:
        with serve(self.twin) as running:
            url = running.urls[0]
            if self.word == "aws":
                credential["url"] = url
            transport = HttpTransport(url + self.twin.base, 5.0)
            try:
                yield self.provider(transport, **credential)
            finally:
                transport.close()

    def writes(self) -> int:
        """Changes that the twin was asked for."""
        if self.word == "aws":
            return sum(1 for body in self.twin.bodies if b"Action=Modify" in body)
        return sum(1 for e in self.twin.log.entries if e.method in ("POST", "PUT", "DELETE"))

    def run(self, *wanted: PtrWanted, **more: Any) -> list[PtrResult]:
        provider = self.provider(**more)
        planned = provider.plan(wanted)
        provider.apply(planned)
        return planned


class RecordingAws(AwsTwin):
    """Keeps the bodies, for the Query API tells its calls apart by them alone."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.bodies: list[bytes] = []

    def handle(self, *args: Any, **more: Any) -> Any:
        body = args[4] if len(args) > 4 else more.get("body")
        self.bodies.append(body or b"")
        return super().handle(*args, **more)


def wanted(address: str, name: str = NAME, host: str = "vps1") -> PtrWanted:
    return PtrWanted(address, name, host)


def vendor(word: str, addresses: Mapping[str, str] | None = None, **twin: Any) -> Vendor:
    """An account with addresses and their present names; IPv6 addresses lie in a /64 of their own."""
    given = dict({v4(1): OLD, V6: ""} if addresses is None else addresses)
    return {"hcloud": _hcloud, "linode": _linode, "vultr": _vultr, "aws": _aws}[word](given, twin)


def _net(address: str) -> str:
    return ":".join(address.split(":")[:4]).replace("::", ":0:") + "::/64" if ":" in address else address


def _hcloud(given: dict[str, str], more: dict[str, Any]) -> Vendor:
    ips = [
        Ip("primary_ips", number, "2001:db8:0:2::/64" if ":" in a else a, f"ip-{number}", {a: n} if n else {})
        for number, (a, n) in enumerate(given.items(), start=1)
    ]
    twin = HcloudTwin(**{"ips": ips, **more})

    def api(token: str = twin.token) -> Api:
        return HcloudApi(token)

    def names() -> dict[str, str]:
        return {a: n for ip in twin.ips for a, n in ip.names.items()}

    return Vendor("hcloud", twin, api, HcloudAccount, twin.token, names, "change_dns_ptr")


def _linode(given: dict[str, str], more: dict[str, Any]) -> Vendor:
    twin = LinodeTwin(**{"rdns": {a: n or None for a, n in given.items()}, "forward": {NAME: list(given)}, **more})

    def api(token: str = twin.token) -> Api:
        return LinodeApi(token)

    def names() -> dict[str, str]:
        return {a: n for a, n in twin.rdns.items() if n}

    return Vendor("linode", twin, api, LinodeAccount, twin.token, names, "/networking/ips/")


def _vultr(given: dict[str, str], more: dict[str, Any]) -> Vendor:
    instances = [
        Instance(f"i-{number}", f"vm{number}", {} if ":" in a else {a: n})
        for number, (a, n) in enumerate(given.items(), start=1)
    ]
    for instance, (a, n) in zip(instances, given.items(), strict=True):
        if ":" in a:
            instance.v6, instance.reverse6 = "2001:db8:0:2::/64", {a: n} if n else {}
    twin = VultrTwin(**{"instances": instances, **more})

    def api(token: str = twin.key) -> Api:
        return VultrApi(token)

    def names() -> dict[str, str]:
        return {a: n for i in twin.instances for a, n in (*i.ipv4.items(), *i.reverse6.items()) if n}

    return Vendor("vultr", twin, api, VultrAccount, twin.key, names, "/reverse")


def _aws(given: dict[str, str], more: dict[str, Any]) -> Vendor:
    """Elastic IP addresses are IPv4 only."""
    addresses = [
        Elastic(a, f"eipalloc-{number:017x}", "i-0abc", n and f"{n}.")
        for number, (a, n) in enumerate(given.items(), start=1)
        if ":" not in a
    ]
    twin = RecordingAws(**{"addresses": addresses, **more})
    known = twin.credentials[0]

    def api(token: str = known.secret, access: str = known.access, session: str = "", url: str = "") -> Api:
        return Ec2Api(Keys(access, token, session), twin.region, url or "https://ec2.eu-central-1.amazonaws.com")

    def names() -> dict[str, str]:
        return {a.ip: a.ptr.rstrip(".") for a in twin.addresses if a.ptr}

    return Vendor("aws", twin, api, AwsAccount, known.secret, names, "/")
