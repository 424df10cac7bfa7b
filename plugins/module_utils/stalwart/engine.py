# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From wanted and found objects to the smallest set of changes: a pure function, no server in sight.

The server lists an unchanged update as updated, so only get + diff can tell whether anything changes. A reference to
an object that this very plan creates stays text in the step and is filled in when the id is known.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart import expressions, secretpaths
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.desired import (
    PRECIOUS,
    Desired,
    label,
    parse_reference,
    read_objects,
    references,
    replaced,
)
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.schema import Schema
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.steps import Observed, Plan, Remembered, Step

#: Changes of these are live at once; everything else waits for ReloadSettings, Certificate for its own action.
LIVE = frozenset(
    ("Account", "Domain", "DkimSignature", "MailingList", "Role", "ApiKey", "AppPassword", "Tenant", "PublicKey")
)


def needed_types(schema: Schema, raw: Sequence[Any], purge: Sequence[str] = ()) -> Tuple[List[str], List[str]]:
    """The types to read before planning: (types with many objects, singletons)."""
    types: Set[str] = {str(e.get("type")) for e in raw if isinstance(e, Mapping)} | set(purge)
    for text in references([e for e in raw if isinstance(e, Mapping)]):
        _add_reference(text, types)
    types |= expressions.needed(types)
    known = sorted(t for t in types if schema.has_type(t))
    return [t for t in known if not schema.is_singleton(t)], [t for t in known if schema.is_singleton(t)]


def _add_reference(text: str, types: Set[str]) -> None:
    try:
        type_, match = parse_reference(text)
    except ValueError:
        return
    types.add(type_)
    for inner in references(match):
        _add_reference(inner, types)


def make_plan(
    schema: Schema,
    raw: Sequence[Any],
    observed: Observed,
    remembered: Remembered = lambda *_: False,
    purge: Sequence[str] = (),
) -> Plan:
    """The plan that makes the server's objects what raw asks for.

    Raises :class:`MailsteadError` with every mistake that can be seen without writing (MS-SRV-010 to 019, 028, 029).
    """
    problems: List[Problem] = []
    for type_ in purge:
        if type_ in PRECIOUS or not schema.has_type(type_) or schema.is_singleton(type_):
            problems.append(
                Problem("MS-SRV-029", f"purge {type_}", "cannot be purged", "List the objects with state absent.")
            )
    wanted = read_objects(schema, raw, problems)
    planner = _Planner(schema, wanted, observed, remembered, problems)
    steps = planner.steps(purge)
    problems += expressions.check(observed, wanted, steps)
    if problems:
        raise MailsteadError(problems)
    levels = _levels(schema, steps, wanted, problems)
    if problems:
        raise MailsteadError(problems)
    changed = {s.type for s in steps}
    actions = []
    if "Certificate" in changed:
        actions.append("ReloadTlsCertificates")
    if changed - LIVE - {"Certificate"}:
        actions.append("ReloadSettings")
    return Plan(levels, dict(planner.ids), dict(planner.pending), tuple(actions), "NetworkListener" in changed)


class _Planner:
    def __init__(
        self,
        schema: Schema,
        wanted: Sequence[Desired],
        observed: Observed,
        remembered: Remembered,
        problems: List[Problem],
    ) -> None:
        self.schema = schema
        self.wanted = wanted
        self.observed = observed
        self.remembered = remembered
        self.problems = problems
        self.ids: Dict[str, str] = {}
        self.pending: Dict[str, int] = {}
        self._broken: Dict[str, str] = {}
        self._resolving: Set[str] = set()
        self._index: Dict[Tuple[str, str], Dict[Any, List[Mapping[str, Any]]]] = {}

    # -- references --------------------------------------------------------------------------------------------

    def _resolve(self, text: str) -> None:
        """Put the reference into ids, pending or _broken."""
        if text in self.ids or text in self.pending or text in self._broken or text in self._resolving:
            return
        self._resolving.add(text)
        try:
            self._resolve_new(text)
        finally:
            self._resolving.discard(text)

    def _resolve_new(self, text: str) -> None:
        try:
            type_, match = parse_reference(text)
        except ValueError as error:
            self._broken[text] = str(error)
            return
        if not self.schema.has_type(type_) or self.schema.is_singleton(type_):
            self._broken[text] = f"the server has no objects of type {type_!r}"
            return
        for inner in references(match):
            self._resolve(inner)
            if inner in self._broken:
                self._broken[text] = f"{inner}: {self._broken[inner]}"
                return
        wrong: List[Problem] = []
        wire = self.schema.object_wire("x:" + type_, match, text, wrong, partial=True)
        if wrong:
            self._broken[text] = wrong[0].what
            return
        wire = replaced(wire, self.ids)
        found = self._found(type_, wire)
        if len(found) == 1:
            self.ids[text] = str(found[0]["id"])
        elif found:
            self._broken[text] = f"{len(found)} objects fit: {', '.join(str(o['id']) for o in found)}"
        else:
            new = [d for d in self.wanted if d.type == type_ and d.present and d.create and self._fits(wire, d)]
            if len(new) == 1:
                self.pending[text] = new[0].index
            else:
                self._broken[text] = "no such object exists or is declared" if not new else "several entries fit"

    def _fits(self, wire: Mapping[str, Any], one: Desired) -> bool:
        for text in references(one.match):
            self._resolve(text)
        return self.schema.matches("x:" + one.type, wire, replaced(one.body, self.ids))

    def _needs(self, value: Any) -> Set[int]:
        """Indexes of the objects that must be created before the value can be sent; resolves its references."""
        needs: Set[int] = set()
        for text in references(value):
            self._resolve(text)
            if text in self.pending:
                needs.add(self.pending[text])
        return needs

    def _lost(self, one: Desired, value: Any) -> bool:
        """Report references that lead nowhere; True when there were any."""
        lost = [t for t in references(value) if t in self._broken]
        for text in sorted(set(lost)):
            self.problems.append(
                Problem(
                    "MS-SRV-016",
                    f"objects[{one.index}] {one.label}",
                    f"{text}: {self._broken[text]}",
                    "Declare the object in the same list or correct the reference.",
                )
            )
        return bool(lost)

    # -- objects -----------------------------------------------------------------------------------------------

    def steps(self, purge: Sequence[str]) -> List[Step]:
        steps: List[Step] = []
        claimed: Dict[Tuple[str, str], Desired] = {}
        gone: Set[str] = set()
        for one in self.wanted:
            if not one.present:
                for found in self._destroyed(one):
                    if (one.type, found["id"]) not in claimed:
                        claimed[(one.type, found["id"])] = one
                        gone.add(found["id"])
                        steps.append(self._destroy(one.type, one.label, one.index, found))
                continue
            needs = self._needs(one.match) | self._needs(one.properties)
            if self._lost(one, [one.match, one.properties]):
                continue
            target = self._target(one)
            if target is _AMBIGUOUS:
                continue
            if target is None:
                if one.create:
                    steps.append(self._create(one, needs))
                continue
            key = (one.type, str(target["id"]))
            if key in claimed:
                self.problems.append(
                    Problem(
                        "MS-SRV-019",
                        f"objects[{one.index}] {one.label}",
                        f"is the same object as {claimed[key].label}",
                        "Merge the two entries.",
                    )
                )
                continue
            claimed[key] = one
            step = self._update(one, target, needs)
            if step is not None:
                steps.append(step)
        for type_ in purge:
            for found in self.observed.get(type_, ()):
                if (type_, found["id"]) not in claimed:
                    gone.add(str(found["id"]))
                    steps.append(self._destroy(type_, self._name(type_, found), -1, found))
        self._check_gone(gone)
        return steps

    def _check_gone(self, gone: Set[str]) -> None:
        used = set(references([[d.match, d.properties] for d in self.wanted if d.present]))
        for text, id_ in self.ids.items():
            if id_ in gone and text in used:
                type_ = parse_reference(text)[0]
                if any(o["id"] == id_ for o in self.observed.get(type_, ())):
                    self.problems.append(
                        Problem(
                            "MS-SRV-016", text, "leads to an object that is to be removed", "Remove one of the two."
                        )
                    )

    def _target(self, one: Desired) -> Any:
        """The server's object, None when there is none, _AMBIGUOUS (and a problem) when there are several."""
        have = self.observed.get(one.type, ())
        if one.singleton:
            return have[0] if have else {"id": "singleton"}
        found = self._found(one.type, replaced(one.match, self.ids))
        if len(found) > 1:
            self.problems.append(
                Problem(
                    "MS-SRV-015",
                    f"objects[{one.index}] {one.label}",
                    f"{len(found)} objects on the server match: {', '.join(str(o['id']) for o in found)}",
                    "Add keys to match, or remove the duplicate from the server.",
                )
            )
            return _AMBIGUOUS
        return found[0] if found else None

    def _destroyed(self, one: Desired) -> List[Mapping[str, Any]]:
        self._needs(one.match)
        if any(t in self._broken or t in self.pending for t in references(one.match)):
            # What it would belong to does not exist, so neither does it.
            return []
        return self._found(one.type, replaced(one.match, self.ids))

    def _found(self, type_: str, wire: Mapping[str, Any]) -> List[Mapping[str, Any]]:
        """The server's objects that match; an index keeps thousands of objects from being compared with each other."""
        candidates: Sequence[Mapping[str, Any]] = self.observed.get(type_, ())
        for key, value in wire.items():
            wanted = None if key == "@type" else self.schema.comparable("x:" + type_, key, value)
            if wanted is None:
                continue
            if (type_, key) not in self._index:
                index: Dict[Any, List[Mapping[str, Any]]] = {}
                for one in candidates:
                    index.setdefault(self.schema.comparable("x:" + type_, key, one.get(key)), []).append(one)
                self._index[(type_, key)] = index
            candidates = self._index[(type_, key)].get(wanted, ())
            break
        return [o for o in candidates if self.schema.matches("x:" + type_, wire, o)]

    def _name(self, type_: str, found: Mapping[str, Any]) -> str:
        for key in ("name", "selector", "emailAddress", "address", "description"):
            if isinstance(found.get(key), str):
                return label(type_, {key: found[key]})
        return label(type_, {"id": found["id"]})

    def _destroy(self, type_: str, name: str, index: int, found: Mapping[str, Any]) -> Step:
        shown = {k: v for k, v in found.items() if k != "id"}
        fields = self.schema.fields("x:" + type_, found.get("@type"))
        shown = {
            k: v for k, v in shown.items() if fields.get(k, {}).get("update") != "serverSet" and v not in (None, {})
        }
        return Step("destroy", type_, name, index, str(found["id"]), {}, (), shown, {})

    def _create(self, one: Desired, needs: Set[int]) -> Step:
        body = secretpaths.inserted(one.body, one.secrets)
        after = secretpaths.inserted(one.body, dict.fromkeys(one.secrets, "(secret)"))
        return Step(
            "create",
            one.type,
            one.label,
            one.index,
            "",
            replaced(body, self.ids),
            tuple(sorted(needs)),
            {},
            after,
            dict(one.secrets),
        )

    def _update(self, one: Desired, have: Mapping[str, Any], needs: Set[int]) -> Optional[Step]:
        name = "x:" + one.type
        want = replaced(one.properties, self.ids)
        variant = want.get("@type", have.get("@type"))
        place = f"objects[{one.index}] {one.label}"
        fields = self.schema.fields(name, variant)
        switched = variant != have.get("@type") and self.schema.variants(name) is not None
        body: Dict[str, Any] = {}
        after: Dict[str, Any] = {}
        secret_bearing = {p.split("/")[1] for p in one.secrets}
        for key, value in want.items():
            if key == "@type":
                continue
            if key not in fields:
                self.problems.append(
                    Problem("MS-SRV-011", f"{place}/{key}", f"{one.type} {variant} has no property {key}", "Remove it.")
                )
                continue
            if key in secret_bearing and not switched:
                continue
            if switched or not self.schema.same(fields[key]["type"], value, have.get(key)):
                if fields[key]["update"] == "immutable" and not switched:
                    self.problems.append(
                        Problem(
                            "MS-SRV-013",
                            f"{place}/{key}",
                            f"the server does not allow a change from {have.get(key)!r}",
                            "Declare the object absent and again under another key.",
                        )
                    )
                    continue
                body[key] = value
                after[key] = one.properties[key]
        if switched:
            # Another variant is another object: the server wants it complete.
            body = {"@type": variant, **body}
            after = {"@type": variant, **after}
            body, written = secretpaths.inserted(body, one.secrets), dict(one.secrets)
            after = secretpaths.inserted(after, dict.fromkeys(one.secrets, "(secret)"))
        else:
            written = self._secret_patches(one, want, have, fields, body, after)
        if not body:
            return None
        before = {k: "(secret)" if after[k] == _NEW_SECRET else secretpaths.value_at(have, k) for k in after}
        return Step(
            "update",
            one.type,
            one.label,
            one.index,
            str(have["id"]),
            body,
            tuple(sorted(needs)),
            before,
            after,
            written,
        )

    def _secret_patches(
        self,
        one: Desired,
        want: Mapping[str, Any],
        have: Mapping[str, Any],
        fields: Mapping[str, Any],
        body: Dict[str, Any],
        after: Dict[str, Any],
    ) -> Dict[str, str]:
        """Add to body what the properties with secrets in them need; returns pointer → secret that is written."""
        written: Dict[str, str] = {}
        for pointer, value in one.secrets.items():
            key = pointer.split("/")[1]
            if key not in fields:
                self.problems.append(
                    Problem(
                        "MS-SRV-011",
                        f"objects[{one.index}] {one.label} secrets[{pointer}]",
                        f"{one.type} has no property {key}",
                        "Correct the pointer.",
                    )
                )
                continue
            found = secretpaths.locate(self.schema, fields[key]["type"], pointer, want.get(key), have.get(key))
            for path, leaf in found.differing:
                body[path] = leaf
                after[path] = leaf
            known = found.exists and self.remembered(one.label, pointer, str(have["id"]), value)
            if known:
                continue
            if found.exists:
                body[found.path] = value
                after[found.path] = _NEW_SECRET
            else:
                # There is nothing to patch yet: send the complete item with its secret inside.
                body[found.path] = secretpaths.inserted(found.item, {found.rest: value})
                after[found.path] = secretpaths.inserted(found.item, {found.rest: "(secret)"})
            written[pointer] = value
        return written


_AMBIGUOUS: Any = object()
_NEW_SECRET = "(another secret)"  # noqa: S105 - what a diff shows instead of one


def _levels(
    schema: Schema, steps: Sequence[Step], wanted: Sequence[Desired], problems: List[Problem]
) -> Tuple[Tuple[Step, ...], ...]:
    """Creates and updates by what they need, then the destroys, what links before what is linked."""
    creating = {s.index for s in steps if s.action == "create"}
    named = expressions.named_steps(steps)
    left = [s for s in steps if s.action != "destroy"]
    done: Set[int] = set()
    levels: List[Tuple[Step, ...]] = []
    while left:
        ready = [s for s in left if all(n in done or n not in creating for n in (*s.needs, *named.get(s.index, ())))]
        if not ready:
            names = ", ".join(s.label for s in left)
            problems.append(Problem("MS-SRV-017", names, "these objects refer to each other in a circle", "Break it."))
            return ()
        levels.append(tuple(ready))
        done |= {s.index for s in ready}
        left = [s for s in left if s not in ready]
    destroys = [s for s in steps if s.action == "destroy"]
    while destroys:
        linked = {i for s in destroys for i in _linked(schema, s) if i != (s.type, s.id)}
        first = [s for s in destroys if (s.type, s.id) not in linked] or destroys
        levels.append(tuple(first))
        destroys = [s for s in destroys if s not in first]
    return tuple(levels)


def _linked(schema: Schema, step: Step) -> Set[Tuple[str, str]]:
    """(type, id) of everything the object points to."""
    found: Set[Tuple[str, str]] = set()

    def walk(kind: Mapping[str, Any], value: Any) -> None:
        what = kind["type"]
        if value is None:
            return
        if what == "objectId":
            found.add((kind["objectName"][2:].split("/")[0], str(value)))
        elif what == "set" and isinstance(value, Mapping):
            for each in value:
                walk(kind["class"], each)
        elif what == "objectList" and isinstance(value, Mapping):
            for each in value.values():
                walk({"type": "object", "objectName": kind["objectName"]}, each)
        elif what == "object" and isinstance(value, Mapping):
            for key, inner in schema.fields(kind["objectName"], value.get("@type")).items():
                walk(inner["type"], value.get(key))

    walk({"type": "object", "objectName": "x:" + step.type}, step.before)
    return found
