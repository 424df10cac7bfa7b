# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Zones as they were before each apply, kept on the controller: ``<directory>/<zone>/<taken>.json`` and ``.zone``.

The JSON file is what :mod:`.undo` works from; the master file beside it (RFC 1035 §5) is for people and other tools.
All that one run saves is one point, to which it can be undone: its zones carry the same ``taken``, and what it wrote to a
zone later on is a further part of the point (``.2``, ``.3``).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple
from urllib.parse import quote, unquote

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.common.files import (
    create_private,
    private_directory,
    read_private,
    write_private,
)
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Change, Have
from ansible_collections.mailstead.stack.plugins.module_utils.dns.render import line, sort_key
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import from_data, to_data

FORMAT = "mailstead-dns-history"
VERSION = 1
#: Second in UTC; a number where one second saw several runs; another for the parts of one run.
_TAKEN = re.compile(r"(\d{8}T\d{6}Z)(?:-([1-9]\d*))?(?:\.([1-9]\d*))?")
#: Holds the last name given, and after a blank the one it was given for.
_LAST = ".last"


@dataclass(frozen=True)
class Snapshot:
    """A zone before an apply.

    zone: canonical name. provider: its host in the plan's words. instance: whose marks are "ours". taken: name of the
    run's point, as :func:`moment` gives it, and the part of it. before: all records. changes: what the apply was about to
    do. note: free words.
    """

    zone: str
    provider: str
    instance: str
    taken: str
    before: Tuple[Have, ...]
    changes: Tuple[Change, ...]
    note: str = ""


@dataclass(frozen=True)
class Point:
    """A saved state: its zone, when it was taken and where it is kept. Nothing has been read yet."""

    zone: str
    taken: str
    path: str


def order(taken: str) -> Tuple[str, int, int]:
    """By what points are sorted: -10 comes after -2. ValueError for anything that is no point's name."""
    found = _TAKEN.fullmatch(taken)
    if found is None:
        raise ValueError(f"{taken!r} is no time like 20261121T143000Z")
    return found.group(1), int(found.group(2) or 1), int(found.group(3) or 1)


def run_of(taken: str) -> str:
    """The name of the point without that of the part."""
    return taken.partition(".")[0]


def moment(directory: str, now: Optional[float] = None, asked: str = "") -> str:
    """A name for this run's point that no other run gets, later than all before it (also when the clock went back).

    now: seconds since the epoch; the clock is read when left out. asked: a name that the tasks of one run agree on; they
    get it, or together the next that is later than all before. ValueError when that is no point's name. Raises
    MailsteadError (MS-DNS-080).
    """
    second = order(asked)[0] if asked else time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    try:
        _directory(Path(directory))
        handle = os.open(Path(directory) / _LAST, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "r+", encoding="ascii") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            last, _blank, before = stream.read().partition(" ")
            if asked and asked == before and _TAKEN.fullmatch(last):
                return last
            taken = run_of(asked) if asked and not _late(last, asked) else _after(last, second)
            stream.seek(0)
            stream.truncate()
            stream.write(f"{taken} {asked}" if asked else taken)
    except OSError as error:
        raise _unwritable(directory, error) from error
    return taken


def _late(last: str, asked: str) -> bool:
    """Whether a name does not come after the last one that was given; a damaged note of that is none."""
    return _TAKEN.fullmatch(last) is not None and order(asked) <= order(last)


def _after(last: str, second: str) -> str:
    try:
        stem, number, _part = order(last)
    except ValueError:
        return second
    return second if second > stem else f"{stem}-{number + 1}"


def save(directory: str, snapshot: Snapshot) -> str:
    """Keep a zone's state: on disk for good when this returns the JSON file's path. Files 0600, directories 0700.

    Nothing is ever overwritten: what a run saves of a zone once more becomes the next part of its point. Raises
    MailsteadError (MS-DNS-080): then nothing may be written to the zone, as it could not be undone.
    """
    run, part = run_of(snapshot.taken), order(snapshot.taken)[2]
    folder = Path(directory) / folder_of(snapshot.zone)
    try:
        _directory(Path(directory))
        _directory(folder)
        while True:
            taken = run if part == 1 else f"{run}.{part}"
            path = folder / f"{taken}.json"
            kept = Snapshot(**{**vars(snapshot), "taken": taken})
            try:
                create_private(path, _encode(kept))
                break
            except FileExistsError:
                part += 1
        write_private(path.with_suffix(".zone"), zone_file(kept).encode("utf-8", "replace"))
    except OSError as error:
        raise _unwritable(str(folder), error) from error
    return str(path)


def load(path: str) -> Snapshot:
    """Read a point back. Raises MailsteadError: MS-DNS-081 not readable or damaged, 082 another zone's, 083 newer."""
    raw = read_private(Path(path), "MS-DNS-081")
    try:
        data = json.loads(raw.decode("ascii"))
    except ValueError as error:
        raise _damaged(path, f"is no JSON of ours ({error})") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise _damaged(path, "is not a saved zone")
    version = data.get("version")
    if version != VERSION:
        what = f"has version {version!r} of the format, this release reads {VERSION}"
        raise MailsteadError.one(
            "MS-DNS-083", path, what, "Undo with the release that made it, or choose another point."
        )
    body = data.get("snapshot")
    if data.get("sha256") != _digest(body):
        raise _damaged(path, "does not have the content it was written with (cut off or edited)")
    try:
        snapshot = from_data(Snapshot, body)
    except (TypeError, ValueError) as error:
        raise _damaged(path, f"lacks something or has too much ({error})") from None
    if Path(path).parent.name != folder_of(snapshot.zone) or Path(path).stem != snapshot.taken:
        what = f"holds the zone {snapshot.zone} at {snapshot.taken}, which is not what its path says"
        fix = f"Put it back to {folder_of(snapshot.zone)}/{snapshot.taken}.json, or choose another point."
        raise MailsteadError.one("MS-DNS-082", path, what, fix)
    return snapshot


def points(directory: str, zone: str) -> List[Point]:
    """The saved states of a zone, the oldest first; empty when there are none."""
    folder = Path(directory) / folder_of(zone)
    found = [p for p in folder.glob("*.json") if _TAKEN.fullmatch(p.stem)]
    return [Point(zone, p.stem, str(p)) for p in sorted(found, key=lambda p: order(p.stem))]


def zones(directory: str) -> List[str]:
    """Names of the zones something is saved of, sorted."""
    folders = Path(directory).glob("*/") if Path(directory).is_dir() else ()
    names = [unquote(f.name) for f in folders if f.is_dir() and not f.name.startswith(".")]
    return sorted(n for n in names if points(directory, n))


def since(directory: str, zone: str, taken: str) -> List[Snapshot]:
    """A zone's state at a point and all later ones, the oldest first: what :func:`.undo.undo` needs.

    taken: the point's name, which stands for its first part. Raises MailsteadError: what :func:`load` raises, MS-DNS-084
    when there is no such point, MS-DNS-085 when none at all.
    """
    known = points(directory, zone)
    where = f"zone {zone}"
    if not known:
        fix = "Points are saved by every run that changes records; dns_history says where they are kept."
        raise MailsteadError.one("MS-DNS-085", where, f"nothing is saved below {directory}", fix)
    runs = list(dict.fromkeys(run_of(p.taken) for p in known))
    if taken not in runs:
        names = ", ".join(runs[-5:])
        raise MailsteadError.one(
            "MS-DNS-084", where, f"{taken!r} is no point of this zone", f"The latest are: {names}."
        )
    return [load(p.path) for p in known if order(p.taken) >= order(taken)]


def prune(directory: str, zone: str, keep: int, dry: bool = False) -> List[Point]:
    """Remove all but the last keep (at least one) points of a zone, whole ones; dry: only return what would be removed.

    The oldest go first, so what remains can still be undone completely. Raises MailsteadError (MS-DNS-080).
    """
    known = points(directory, zone)
    kept = list(dict.fromkeys(run_of(p.taken) for p in known))[-max(1, keep) :]
    surplus = [p for p in known if run_of(p.taken) not in kept]
    for point in () if dry else surplus:
        try:
            Path(point.path).unlink()
            with contextlib.suppress(FileNotFoundError):
                Path(point.path).with_suffix(".zone").unlink()
        except OSError as error:
            raise _unwritable(point.path, error) from error
    return surplus


def folder_of(zone: str) -> str:
    """The directory's name for a zone: A-labels, lower case, everything unusual as ``%XX`` (RFC 2317 names have a /)."""
    try:
        name = rdata.name(zone)
    except rdata.RdataError:
        name = zone.lower().rstrip(".")
    safe = quote(name, safe="")
    return f"%2E{safe[1:]}" if safe.startswith(".") or not safe else safe


def zone_file(snapshot: Snapshot) -> str:
    """The state as a master file; comments carry marks. What no zone may hold (a flattened CNAME) is a comment itself."""
    types: Dict[str, Set[str]] = defaultdict(set)
    for record in snapshot.before:
        types[record.name].add(record.type)
    head = [
        f"; zone {snapshot.zone} at {snapshot.provider} as it was at {snapshot.taken}, before {_counts(snapshot.changes)}",
        *(f"; {text}" for text in snapshot.note.splitlines()),
        "$ORIGIN .",
    ]
    lines = []
    for record in sorted(snapshot.before, key=sort_key):
        beside = record.type == "CNAME" and len(types[record.name]) > 1
        lines.append(f"; flattened by the provider: {line(record)}" if beside else line(record))
    return "\n".join([*head, *lines]) + "\n"


def _counts(changes: Sequence[Change]) -> str:
    number = {a: sum(1 for c in changes if c.action == a) for a in ("create", "update", "delete")}
    return f"{number['create']} additions, {number['update']} changes, {number['delete']} deletions"


def _encode(snapshot: Snapshot) -> bytes:
    body = to_data(snapshot)
    data = {"format": FORMAT, "version": VERSION, "sha256": _digest(body), "snapshot": body}
    return (json.dumps(data, indent=1) + "\n").encode("ascii")


def _digest(body: Any) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode("ascii")).hexdigest()


def _directory(path: Path) -> None:
    # Another worker of the run may have been quicker.
    with contextlib.suppress(FileExistsError):
        private_directory(path)


def _damaged(path: str, what: str) -> MailsteadError:
    fix = "Restore the file from a backup, or choose a point after it."
    return MailsteadError.one("MS-DNS-081", path, what, fix)


def _unwritable(path: str, error: OSError) -> MailsteadError:
    what = f"the state of the zone cannot be kept: {error.strerror or error}"
    fix = "Make room or mend the permissions; dns_history names another directory. No record was changed for this."
    return MailsteadError.one("MS-DNS-080", path, what, fix)
