# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reverse records at Vultr.

API reference: https://www.vultr.com/api/ ("Instances": ipv4, ipv4/reverse, ipv6/reverse; "Reserved IPs"). The key
(Account > API) opens the whole account, only from the addresses on its access list. A reverse record belongs to an
instance, so that a Reserved IP has none until it is attached.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Set

from ansible_collections.mailstead.stack.plugins.module_utils.ptr.account import (
    Holding,
    Progress,
    address,
    bare,
    holds,
    mappings,
)
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.client import Api, Client, Refusal, RefusedError

URL = "https://api.vultr.com/v2"
#: Most entries of one page ("Meta and Pagination").
PER_PAGE = 500


class VultrApi(Api):
    """Errors: ``{"error": "words", "status": 400}``."""

    title = "Vultr"
    status_page = "https://status.vultr.com"
    credential_fix = (
        "Put the API key (Customer Portal > Account > API) into `token`, and add the public address of the host that runs "
        "this module to the key's access control list there."
    )
    scope_fix = "Give the user of the key the right to manage servers (Account > Users), or use the owner's key."

    def refusal(self, status: int, body: Any) -> Optional[Refusal]:
        if not isinstance(body, dict) or not isinstance(body.get("error"), str):
            return None
        return Refusal(status, "", body["error"])


class VultrAccount:
    """One account. See account.Account."""

    provider = "vultr"
    note = "Vultr's name servers may take 6 to 12 hours to show it."

    def __init__(self, client: Client) -> None:
        self.client = client
        self._seen: Dict[str, str] = {}

    def find(self, addresses: Sequence[str]) -> Dict[str, Holding]:
        """Instances by their main addresses and networks; then Reserved IPs; then every instance's further addresses."""
        instances = list(self._list("instances"))
        self._seen = {str(i.get("main_ip")): f"{i.get('main_ip')} ({_label(i)})" for i in instances}
        found: Dict[str, Holding] = {}
        asked: Set[str] = set()
        for instance in instances:
            if address(instance.get("main_ip")) in addresses:
                asked.add(instance["id"])
                found.update(self._ipv4(instance, addresses))
            network, bits = instance.get("v6_network"), instance.get("v6_network_size")
            if network:
                self._seen[f"{network}/{bits}"] = f"{network}/{bits} ({_label(instance)})"
                inside = [one for one in addresses if holds(network, one, bits)]
                found.update(self._ipv6(instance, inside))
        if len(found) < len(addresses):
            self._reserved(addresses, {i["id"]: i for i in instances}, found)
        for instance in instances:
            if len(found) == len(addresses):
                break
            if instance["id"] not in asked:
                found.update({a: h for a, h in self._ipv4(instance, addresses).items() if a not in found})
        return found

    def seen(self) -> List[str]:
        return list(self._seen.values())

    def set(self, holding: Holding, name: str) -> Any:
        """An IPv6 entry is created; one that stands in the way of that is removed first."""
        family = "ipv6" if ":" in holding.address else "ipv4"
        path = f"/instances/{holding.key}/{family}/reverse"
        body = {"ip": holding.address, "reverse": name}
        try:
            self.client.write_json("POST", path, body)
        except RefusedError as error:
            if family == "ipv4" or not holding.name or error.refusal.status not in (400, 409):
                raise
            self.client.write("DELETE", f"{path}/{holding.address}", None)
            self.client.write_json("POST", path, body)

    def progress(self, tickets: Mapping[str, Any]) -> Dict[str, Progress]:
        """Nothing takes its time here that the API would tell of."""
        return {one: Progress(True) for one in tickets}

    # -- reading ------------------------------------------------------------------------------------------------------

    def _ipv4(self, instance: Mapping[str, Any], addresses: Sequence[str]) -> Dict[str, Holding]:
        """The wanted ones among an instance's IPv4 addresses, with their reverse names."""
        found: Dict[str, Holding] = {}
        for item in self._list("ipv4s", f"/instances/{instance['id']}/ipv4"):
            one = address(item.get("ip"))
            self._seen[one] = f"{one} ({_label(instance)})"
            if one in addresses:
                found[one] = Holding(one, _label(instance), bare(item.get("reverse")), instance["id"])
        return found

    def _ipv6(self, instance: Mapping[str, Any], addresses: Sequence[str]) -> Dict[str, Holding]:
        """Addresses inside an instance's networks; those with a reverse entry are listed, in any spelling."""
        if not addresses:
            return {}
        entries = self._list("reverse_ipv6s", f"/instances/{instance['id']}/ipv6/reverse", paged=False)
        names = {address(e.get("ip")): bare(e.get("reverse")) for e in entries}
        return {one: Holding(one, _label(instance), names.get(one, ""), instance["id"]) for one in addresses}

    def _reserved(
        self, addresses: Sequence[str], instances: Mapping[str, Mapping[str, Any]], found: Dict[str, Holding]
    ) -> None:
        for item in self._list("reserved_ips", "/reserved-ips"):
            network, bits = item.get("subnet"), item.get("subnet_size")
            label = f"Reserved IP {item.get('label') or item['id']}"
            self._seen[f"{network}/{bits}"] = f"{network} ({label})"
            inside = [one for one in addresses if one not in found and holds(network, one, bits)]
            instance = instances.get(str(item.get("instance_id") or ""))
            if instance is None:
                barred = "it is not attached to an instance, which a reverse record needs; attach it"
                found.update({one: Holding(one, label, "", barred=barred) for one in inside})
            else:
                found.update(self._ipv6(instance, [one for one in inside if ":" in one]))
                found.update(self._ipv4(instance, inside) if any("." in one for one in inside) else {})

    def _list(self, name: str, path: str = "", paged: bool = True) -> Iterator[Dict[str, Any]]:
        path, cursor = path or f"/{name}", ""
        while True:
            query = {"per_page": PER_PAGE, **({"cursor": cursor} if cursor else {})} if paged else {}
            body = self.client.read(path, query)
            if not isinstance(body, dict) or not isinstance(body.get(name), list):
                raise self.client.malformed(f"GET {path}", f"a list of {name} is missing")
            yield from (
                item for item in mappings(body[name]) if name not in ("instances", "reserved_ips") or item.get("id")
            )
            cursor = ((body.get("meta") or {}).get("links") or {}).get("next") or ""
            if not cursor:
                return


def _label(instance: Mapping[str, Any]) -> str:
    return f"instance {instance.get('label') or instance.get('hostname') or instance['id']}"
