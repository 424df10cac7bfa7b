# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry out a plan: level by level, few requests, stop at the first level with a failure, say what was done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.client import Call, Client
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.desired import replaced
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.state import State
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.steps import Plan, Step

#: SetError type → (code, fix); any other type is MS-SRV-024
_SET_ERRORS: Mapping[str, Tuple[str, str]] = {
    "invalidPatch": ("MS-SRV-020", "Correct the value the server names."),
    "invalidProperties": ("MS-SRV-020", "Correct the value the server names."),
    "validationFailed": ("MS-SRV-020", "Correct the value the server names."),
    "primaryKeyViolation": ("MS-SRV-021", "Match on the existing object's key, or remove that object."),
    "objectIsLinked": ("MS-SRV-022", "Declare the linked objects absent as well, or point them elsewhere."),
    "invalidForeignKey": ("MS-SRV-023", "Run the play again: an object was removed while it ran."),
    "notFound": ("MS-SRV-023", "Run the play again: the object was removed while it ran."),
    "forbidden": ("MS-SRV-003", "Use an account with the role Admin."),
    "overQuota": ("MS-SRV-024", "Remove objects of this type that are no longer needed."),
}


class ApplyError(MailsteadError):
    """Some changes failed. applied: labels of those that were made before, in order."""

    def __init__(self, problems: Sequence[Problem], applied: Sequence[str]) -> None:
        super().__init__(problems)
        self.applied = list(applied)


@dataclass
class Outcome:
    """What was done. ids: index of the wanted object → id it was created with."""

    applied: List[str] = field(default_factory=list)
    actions: List[str] = field(default_factory=list)
    ids: Dict[int, str] = field(default_factory=dict)


def set_error_problem(where: str, error: Any) -> Problem:
    """One SetError (RFC 8620 section 5.3, with Stalwart's additions) as a Problem in the server's own words."""
    if not isinstance(error, Mapping):
        return Problem("MS-SRV-006", where, f"the refusal is no object: {error!r}", "Report this with the version.")
    type_ = str(error.get("type", "error without a type"))
    words = [type_]
    if error.get("description"):
        words.append(str(error["description"]))
    for each in _items(error, "validationErrors"):
        if isinstance(each, Mapping):
            words.append(f"{each.get('property', '')}: {each.get('value', each.get('type', ''))}")
    other = error.get("objectId")
    if isinstance(other, Mapping):
        words.append(f"{other.get('object')} {other.get('id')}")
    linked = [f"{o.get('object')} {o.get('id')}" for o in _items(error, "linkedObjects") if isinstance(o, Mapping)]
    if linked:
        words.append("used by " + ", ".join(linked))
    properties = [str(p) for p in _items(error, "properties") if p]
    if properties:
        where = f"{where}/{','.join(properties)}"
    code, fix = _SET_ERRORS.get(type_, ("MS-SRV-024", "Correct what the server's words name."))
    return Problem(code, where, ": ".join(words), fix)


def _items(error: Mapping[str, Any], key: str) -> Sequence[Any]:
    value = error.get(key)
    return value if isinstance(value, list) else ()


def apply(client: Client, plan: Plan, state: State) -> Outcome:
    """Make the changes, then the reloads they need (and those an earlier run still owes).

    Raises :class:`ApplyError`; what was written is then live after the next successful run at the latest.
    """
    outcome = Outcome()
    if plan.steps:
        state.owe(plan.actions, plan.restart)
    for level in plan.levels:
        for batch in _batches(client, level):
            try:
                _send(client, plan, batch, state, outcome)
            except ApplyError:
                raise
            except MailsteadError as error:
                raise ApplyError([*error.problems, *_rest(plan, outcome)], outcome.applied) from error
    actions = [a for a in ("ReloadTlsCertificates", "ReloadSettings") if a in {*plan.actions, *state.actions}]
    if actions:
        _reload(client, actions, state, outcome)
    return outcome


def _batches(client: Client, level: Sequence[Step]) -> Iterator[List[List[Step]]]:
    """The level as requests of calls of steps: each call one type, within the server's limits."""
    limits = client.limits()
    kinds: Dict[Tuple[str, bool], List[Step]] = {}
    for step in level:
        kinds.setdefault((step.type, step.action == "destroy"), []).append(step)
    calls = [steps[i : i + limits.set] for steps in kinds.values() for i in range(0, len(steps), limits.set)]
    for start in range(0, len(calls), limits.calls):
        yield calls[start : start + limits.calls]


def _client_id(step: Step) -> str:
    return f"n{step.index}"


def _send(client: Client, plan: Plan, batch: Sequence[Sequence[Step]], state: State, outcome: Outcome) -> None:
    ids = {text: outcome.ids[index] for text, index in plan.pending.items() if index in outcome.ids}
    calls: List[Call] = []
    for steps in batch:
        arguments: Dict[str, Any] = {}
        for step in steps:
            if step.action == "create":
                arguments.setdefault("create", {})[_client_id(step)] = replaced(step.body, ids)
            elif step.action == "update":
                arguments.setdefault("update", {})[step.id] = replaced(step.body, ids)
            else:
                arguments.setdefault("destroy", []).append(step.id)
        calls.append((f"x:{steps[0].type}/set", arguments))
    answers = client.call(calls, changes=True)
    problems: List[Problem] = []
    for steps, answer in zip(batch, answers):
        for step in steps:
            problem, id_ = _result(step, answer)
            if problem is not None:
                problems.append(problem)
                continue
            outcome.applied.append(f"{step.action} {step.label}")
            if step.action == "create":
                outcome.ids[step.index] = id_
            if step.secrets:
                state.remember(step.label, id_, step.secrets)
    state.save()
    if problems:
        raise ApplyError([*problems, *_rest(plan, outcome, len(problems))], outcome.applied)


def _result(step: Step, answer: Mapping[str, Any]) -> Tuple[Any, str]:
    """(Problem or None, id) of one step from the answer to its call."""
    made, failed, key = {
        "create": ("created", "notCreated", _client_id(step)),
        "update": ("updated", "notUpdated", step.id),
        "destroy": ("destroyed", "notDestroyed", step.id),
    }[step.action]
    refused = answer.get(failed) or {}
    if isinstance(refused, Mapping) and key in refused:
        return set_error_problem(step.label, refused[key]), ""
    done = answer.get(made) or {}
    if key in done:
        if step.action != "create":
            return None, step.id
        new = done[key]
        if isinstance(new, Mapping) and isinstance(new.get("id"), str):
            return None, str(new["id"])
    return (
        Problem(
            "MS-SRV-006",
            step.label,
            f"the server's answer to {step.action} mentions the object neither as done nor as refused",
            "Run the play again; it reads the state anew.",
        ),
        "",
    )


def _rest(plan: Plan, outcome: Outcome, failed: int = 0) -> List[Problem]:
    left = len(plan.steps) - len(outcome.applied) - failed
    if left <= 0:
        return []
    done = ", ".join(outcome.applied) or "nothing"
    return [
        Problem(
            "MS-SRV-025",
            "objects",
            f"{left} further changes were not tried; done so far: {done}",
            "Mend the cause and run the play again: it continues where this run stopped.",
        )
    ]


def _reload(client: Client, actions: Sequence[str], state: State, outcome: Outcome) -> None:
    state.owe(actions, False)
    answers = client.call([("x:Action/set", {"create": {"a": {"@type": a}}}) for a in actions], changes=True)
    problems: List[Problem] = []
    for action, answer in zip(actions, answers):
        refused = (answer.get("notCreated") or {}).get("a")
        if refused is not None:
            problem = set_error_problem(f"Action {action}", refused)
            fix = "Correct the object the server names; the next run loads the settings again."
            if "SpamPyzor" in problem.what:
                fix = "Set SpamPyzor enable to false, or make its host resolvable from the server."
            problems.append(Problem("MS-SRV-026", problem.where, problem.what, fix))
        elif "a" in (answer.get("created") or {}):
            outcome.actions.append(action)
        else:
            problems.append(
                Problem(
                    "MS-SRV-006", f"Action {action}", "the server does not say whether it was done", "Run it again."
                )
            )
    state.done(outcome.actions)
    if problems:
        raise ApplyError(problems, outcome.applied)
