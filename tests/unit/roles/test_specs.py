"""Roles are what they say: specification, defaults, names, handlers and README tell the same story."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools import generated, role_docs

ROLES = sorted(p for p in role_docs.ROLES.iterdir() if p.is_dir())
IDS = [r.name for r in ROLES]
#: What the playbooks hand to every role, and the one switch that unmasks secrets.
SHARED = {"mailstead_no_log"}
each_role = pytest.mark.parametrize("role", ROLES, ids=IDS)


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None


def options(role: Path) -> dict[str, dict[str, Any]]:
    """Those of all entry points."""
    found = [entry.get("options", {}) for entry in role_docs.specs(role).values()]
    return {name: option for options in found for name, option in options.items()}


def defaults(role: Path) -> dict[str, Any]:
    return load(role / "defaults/main.yml") or {}


def tasks(role: Path) -> list[dict[str, Any]]:
    """Every task and handler of a role, blocks unfolded."""

    def unfold(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        inner = [t for task in found for key in ("block", "rescue", "always") for t in unfold(task.get(key, []))]
        return [t for t in found if "block" not in t] + inner

    files = [*(role / "tasks").glob("*.yml"), *(role / "handlers").glob("*.yml")]
    return [task for path in files for task in unfold(load(path) or [])]


def test_there_are_roles() -> None:
    assert {"stalwart", "frp_server", "frp_client", "dns", "verify"} <= set(IDS)


@each_role
def test_every_role_has_its_parts(role: Path) -> None:
    for part in ("meta/argument_specs.yml", "tasks/main.yml", "README.md"):
        assert (role / part).is_file(), f"{role.name} lacks {part}"
    for point, entry in role_docs.specs(role).items():
        assert entry["short_description"] and entry["description"]
        assert (role / "tasks" / f"{point}.yml").is_file(), point
    for name, option in options(role).items():
        assert option.get("description") and option.get("type"), name
        assert option["type"] != "list" or "elements" in option, name


@each_role
def test_specification_and_defaults_agree_both_ways(role: Path) -> None:
    optional = {name: option for name, option in options(role).items() if not option.get("required")}
    public = {name: value for name, value in defaults(role).items() if not name.startswith("__")}
    assert set(public) == set(optional), "a default without an option, or an option without a default"
    for name, option in optional.items():
        assert "default" in option, f"{name} is neither required nor has a default in the specification"
        assert option["default"] == public[name] and type(option["default"]) is type(public[name]), name


@each_role
def test_every_default_says_what_it_is_for(role: Path) -> None:
    path = role / "defaults/main.yml"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for number, line in enumerate(lines):
        if re.match(r"[a-z_]", line):
            above = lines[number - 1]
            # Internals that belong together may share a comment.
            assert above.startswith("#") or line.startswith("__"), f"{path}:{number + 1} has no comment above it"
        if re.match(r"\w+_(version|image):", line):
            assert lines[number - 1].startswith("# renovate: datasource="), f"{path}:{number + 1} is not watched"


@each_role
def test_names_carry_the_role(role: Path) -> None:
    prefix, internal = f"{role.name}_", f"__{role.name}_"
    for name in options(role):
        assert name.startswith(prefix), name
    for folder in ("defaults", "vars"):
        for name in load(role / folder / "main.yml") or {}:
            assert name.startswith(internal if folder == "vars" else (prefix, internal)), name
    for task in tasks(role):
        given = [task.get("register"), *task.get("vars", {}), *task.get("ansible.builtin.set_fact", {})]
        loop = task.get("loop_control", {}).get("loop_var")
        for name in [*(n for n in given if n), *([loop] if loop else [])]:
            # A registered result that the playbooks hand on is public, and carries the plain prefix.
            assert name.startswith((internal, prefix)) or "include_role" in str(task), f"{name} in {task['name']}"


@each_role
def test_no_variable_of_another_role_is_read(role: Path) -> None:
    """Roles are fed by the playbooks alone, so that each can be read and tested by itself."""
    foreign = {name for other in ROLES if other != role for name in [*options(other), *defaults(other)]}
    foreign -= {*options(role), *SHARED}
    for folder in ("tasks", "templates", "handlers", "vars", "defaults"):
        for path in (role / folder).rglob("*"):
            if path.is_file():
                words = set(re.findall(r"\b[a-z_][a-z0-9_]*\b", path.read_text(encoding="utf-8")))
                handed = handed_to_other_roles(path)
                assert not (words & foreign) - handed, path


def handed_to_other_roles(path: Path) -> set[str]:
    """Variables that a task file passes to a role it includes."""
    if path.suffix != ".yml" or path.parent.name != "tasks":
        return set()
    return {n for t in load(path) or [] if "ansible.builtin.include_role" in t for n in t.get("vars", {})}


@each_role
def test_every_notified_handler_exists_and_every_handler_is_notified(role: Path) -> None:
    handlers = {h["name"] for h in load(role / "handlers/main.yml") or []}
    notified: set[str] = set()
    for task in tasks(role):
        wanted = task.get("notify", [])
        notified |= {wanted} if isinstance(wanted, str) else set(wanted)
    assert notified == handlers


@each_role
def test_task_names_are_sentences(role: Path) -> None:
    for task in tasks(role):
        name = task.get("name", "")
        assert re.match(r"[A-Z][a-z]", name) and not name.endswith(".") and "{{" not in name, task


@each_role
def test_secrets_stay_out_of_the_output(role: Path) -> None:
    """A task that is handed what the specification calls a secret is masked, or keeps the content out of its diff."""
    secret = {n for n, o in options(role).items() if re.search(r"\bSecret\b|[Hh]olds? .*secret", str(o["description"]))}
    for task in tasks(role):
        used = set(re.findall(r"\b[a-z_][a-z0-9_]*\b", str(task))) & secret
        if used and not any("include_" in key for key in task):
            masked = "no_log" in task and "default(false)" not in str(task["no_log"])
            assert masked or masks_itself(task), f"{task['name']} uses {used}"


@each_role
def test_host_setup_is_handed_secrets_as_secrets(role: Path) -> None:
    """host_setup masks what is in its option secrets; of a credential only the certificates may stand elsewhere."""
    secret = [n for n, o in options(role).items() if re.search(r"\bSecret\b", str(o["description"]))]
    for task in tasks(role):
        shown = {k: v for k, v in task.get("mailstead.stack.host_setup", {}).items() if k != "secrets"}
        for name in secret:
            for attribute in re.findall(rf"\b{name}\b(\.\w+)?", str(shown)):
                assert attribute in (".ca", ".certificate"), f"{task['name']}: {name}{attribute}"


def masks_itself(task: dict[str, Any]) -> bool:
    """Whether the task's module marks its secret options no_log, so that ansible-core masks their values."""
    name = next((key for key in task if key.startswith("mailstead.stack.")), "").rpartition(".")[2]
    path = role_docs.ROLES.parent / "plugins/modules" / f"{name}.py"
    if not path.is_file():
        return False
    module = importlib.import_module(f"ansible_collections.mailstead.stack.plugins.modules.{name}")
    if hasattr(module, "argument_spec"):
        return hides(module.argument_spec())
    return '"no_log": True' in path.read_text(encoding="utf-8")


def hides(options: Any) -> bool:
    """Whether any option, however deep, is no_log."""
    return any(o.get("no_log") is True or hides(o.get("options") or {}) for o in options.values())


def test_readmes_are_up_to_date() -> None:
    assert "".join(generated.stale(role_docs.wanted())) == ""
