"""Templates and variables of a role as Ansible renders them, without a host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from tools import role_docs


def variables(role: str) -> dict[str, Any]:
    """The role's defaults, then its vars, as templates."""
    found: dict[str, Any] = {}
    for folder in ("defaults", "vars"):
        path = role_docs.ROLES / role / folder / "main.yml"
        if path.exists():
            found.update(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    return {name: trusted(value) for name, value in found.items()}


def trusted(value: Any) -> Any:
    """What stands in the repository is a template, wherever a text is."""
    if isinstance(value, str):
        return trust_as_template(value)
    if isinstance(value, list):
        return [trusted(v) for v in value]
    if isinstance(value, dict):
        return {k: trusted(v) for k, v in value.items()}
    return value


def templar(role: str, **given: Any) -> Templar:
    """What templates of a role are rendered with; given: variables that a playbook hands over."""
    return Templar(DataLoader(), variables={**variables(role), **given})


def template(role: str, name: str, **given: Any) -> str:
    """A template of a role, rendered as the lookup does."""
    text = (role_docs.ROLES / role / "templates" / name).read_text(encoding="utf-8")
    made = templar(role, **given)
    return str(made.copy_with_new_env().template(trust_as_template(text), escape_backslashes=False))


def unit_files() -> list[Path]:
    """Every unit of ours: templates of roles, and those that users copy."""
    return sorted(
        [
            *role_docs.ROLES.glob("*/templates/*.service.j2"),
            *(role_docs.ROLES.parent / "templates/systemd").glob("*.service"),
        ]
    )
