# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Zones on a name server of one's own: read by transfer, written by dynamic update.

Exchanges for Z zones: Z transfers, and for each changed one an update and a transfer that shows what became of it (the
answer to an update holds a verdict and no records).
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import dns.rcode
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.dns.batches import batches
from ansible_collections.mailstead.stack.plugins.module_utils.dns.provider import (
    Limits,
    RefusedError,
    UnclearError,
    Written,
    Zone,
)
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Change, Have
from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.link import (
    KEY_RCODES,
    Connection,
    Key,
    NoAnswerError,
    Server,
)
from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.registry import LABEL
from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.sets import (
    Contents,
    GoneError,
    apply,
    impossible,
    locate,
    read_contents,
)
from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.update import (
    all_fit,
    build,
    changed_sets,
    fits,
    oversized,
)

#: Operations of one update; one that is too large in bytes is divided further.
BATCH = 200
#: A mark stands in a TXT record, so only sense limits it.
LIMITS = Limits(batch=BATCH, records=0, comment=160, tags=False)
#: A prerequisite does not hold (RFC 2136 §3.2): the zone is not as it was read.
STALE_RCODES = (dns.rcode.YXDOMAIN, dns.rcode.YXRRSET, dns.rcode.NXDOMAIN, dns.rcode.NXRRSET)


def connection_of(params: Mapping[str, Any]) -> Connection:
    """A connection from a module's arguments (see :func:`.module.server_spec`). Raises MailsteadError."""
    key = Key(params["key_name"], params["key_algorithm"], params["key_secret"])
    problems: List[Problem] = []
    try:
        key.tsig()
    except ValueError as error:
        problems.append(Problem("MS-DNS-075", f"key {key.name}", str(error), "Copy name and secret again, whole."))
    if not 1 <= params["port"] <= 65535:
        problems.append(Problem("MS-DNS-075", "port", f"there is no port {params['port']}", "DNS is at port 53."))
    if problems:
        raise MailsteadError(problems)
    return Connection(Server(params["server"], params["port"], key), float(params["timeout"]))


class UpdateProvider:
    """The zones of one primary name server, changed in the name of one key."""

    def __init__(self, link: Connection) -> None:
        self._link = link
        self._contents: Dict[str, Contents] = {}
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def requests(self) -> Mapping[str, int]:
        return self._counts

    def find(self, wanted: Sequence[Tuple[str, str]]) -> Tuple[Dict[str, Zone], List[Problem]]:
        """Every zone as asked for: whether the server holds it shows when it is read."""
        return {name: Zone(name, name, LIMITS) for name, _id in wanted}, []

    def identify(self, zone: Zone) -> Zone:
        contents = self._contents.get(zone.name) or self._transfer(zone.name)
        return Zone(zone.id, zone.name, LIMITS, "", contents.name_servers)

    def read(self, zone: Zone) -> List[Have]:
        return [r.have for r in self._transfer(zone.name).records.values()]

    def quota(self, zone: Zone) -> Optional[int]:
        return None

    def split(self, changes: Sequence[Change], zone: Zone) -> List[List[Change]]:
        """Parts that each fit one message. Raises MailsteadError when that cannot be."""
        contents = self._known(zone.name)
        cap = BATCH
        while True:
            parts = batches(changes, cap)
            try:
                if cap == 1 or all_fit(contents, parts):
                    return parts
            except (GoneError, rdata.RdataError):
                # Writing tells.
                return parts
            cap //= 2

    def write(self, zone: Zone, batch: Sequence[Change]) -> Written:
        before = self._known(zone.name)
        after = self._after(zone.name, before, batch)
        message = build(before, after)
        if not fits(message):
            what = f"the message that changes {batch[0].record.name} would have"
            raise RefusedError(self._too_large(zone.name, what))
        self._count(zone.name)
        try:
            rcode = self._link.send(message)
        except NoAnswerError as error:
            raise UnclearError(f"the update of {zone.name} got no answer: {error}") from error
        if rcode != dns.rcode.NOERROR:
            raise self._not_taken(zone.name, rcode)
        return self._seen(zone.name, before, after, batch)

    def close(self) -> None:
        """Nothing is kept open between exchanges."""

    # -- inside ------------------------------------------------------------------------------------------------------

    def _transfer(self, name: str) -> Contents:
        self._count(name)
        contents = read_contents(name, self._link.transfer(name))
        self._contents[name] = contents
        return contents

    def _known(self, name: str) -> Contents:
        return self._contents.get(name) or self._transfer(name)

    def _count(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1

    def _where(self, name: str) -> str:
        return f"zone {name} on {self._link.server.label}"

    def _after(self, name: str, before: Contents, batch: Sequence[Change]) -> Contents:
        try:
            after = apply(before, batch)
        except GoneError as error:
            fix = "Run again: the zone is read first."
            raise RefusedError(Problem("MS-DNS-072", self._where(name), str(error), fix), stale=True) from error
        except rdata.RdataError as error:
            fix = "Correct the record's content."
            raise RefusedError(Problem("MS-DNS-001", self._where(name), str(error), fix)) from error
        for place, why in impossible(after, [c.record.name for c in batch]):
            fix = "Want addresses there instead of the alias, or the alias alone under another name."
            raise RefusedError(Problem("MS-DNS-073", f"{self._where(name)}: CNAME {place}", why, fix))
        for owner in oversized(before, after):
            raise RefusedError(self._too_large(name, f"the {owner[1]} records of {owner[0]} together would have"))
        return after

    def _too_large(self, name: str, what: str) -> Problem:
        fix = (
            f"Take records of that name out; {LABEL}.{name} lists the records that are ours and shrinks as they become "
            "fewer."
        )
        return Problem("MS-DNS-074", self._where(name), f"{what} more than 64 KiB", fix)

    def _not_taken(self, name: str, rcode: dns.rcode.Rcode) -> Exception:
        text = dns.rcode.to_text(rcode)
        if rcode == dns.rcode.SERVFAIL:
            # What it had begun it takes back (RFC 2136 §3.4.2), but who fails may fail at that.
            return UnclearError(f"the update of {name} was answered SERVFAIL; the server's log says why")
        if rcode in KEY_RCODES:
            refused = self._link.key_refused(name, rcode).problems[0]
            return RefusedError(refused)
        stale = rcode in STALE_RCODES
        what = f"the update was answered {text}" + (": somebody else changed the zone meanwhile" if stale else "")
        fix = "Run again: the zone is read first." if stale else "Look at the server's log for the reason."
        return RefusedError(Problem("MS-DNS-072", self._where(name), what, fix), stale)

    def _seen(self, name: str, before: Contents, after: Contents, batch: Sequence[Change]) -> Written:
        """Compare what the server holds now with what was sent."""
        try:
            now = self._transfer(name)
        except MailsteadError as error:
            raise UnclearError(f"the update was accepted, but then: {error.problems[0].what}") from error
        notes: List[str] = []
        for owner in changed_sets(before, after):
            sent, stored = after.sets.get(owner), now.sets.get(owner)
            if (sent.items if sent else None) != (stored.items if stored else None):
                raise UnclearError(f"the update was accepted, but {owner[1]} {owner[0]} is not as it was sent")
            if sent and stored and sent.ttl != stored.ttl:
                notes.append(f"{owner[1]} {owner[0]}: the server made the time to live {stored.ttl} s of {sent.ttl} s")
        notes += _shared(after, batch)
        left = locate(before, batch)
        return Written(tuple(now.records[r.have.id].have if r else None for r in left), tuple(notes))


def _shared(after: Contents, batch: Sequence[Change]) -> List[str]:
    """What a person would wonder about: sets whose time to live is somebody else's (RFC 2181 §5.2)."""
    out: List[str] = []
    for change in batch:
        record = change.after
        rrset = after.sets.get((record.name, record.type)) if record else None
        if record and rrset and rrset.ttl != record.ttl:
            out.append(
                f"{record.type} {record.name}: the time to live is {rrset.ttl} s instead of {record.ttl} s, for the "
                "DNS knows one for all records of a name and type"
            )
    return list(dict.fromkeys(out))
