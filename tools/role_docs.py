"""roles/<role>/README.md from roles/<role>/meta/argument_specs.yml, the single source of a role's variables.

.venv/bin/python -m tools.role_docs [--check]
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tools import generated

ROLES = generated.ROOT / "roles"


def specs(role: Path) -> dict[str, Any]:
    """The specifications of a role's entry points, the main one first."""
    data = yaml.safe_load((role / "meta/argument_specs.yml").read_text(encoding="utf-8"))
    found: dict[str, Any] = data["argument_specs"]
    return {"main": found.pop("main"), **found}


def text(value: Any) -> str:
    """Ansible's documentation markup, or a list of paragraphs, as Markdown."""
    paragraphs = value if isinstance(value, list) else [value]
    joined = " ".join(str(p) for p in paragraphs)
    return re.sub(r"\b[COV]\(([^)]*)\)", r"`\1`", joined)


def default(option: Mapping[str, Any]) -> str:
    if option.get("required"):
        return "**required**"
    value = option.get("default")
    return f"`{value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)}`"


def kind(option: Mapping[str, Any]) -> str:
    name = f"{option['type']} of {option['elements']}" if "elements" in option else str(option["type"])
    return f"{name}: {', '.join(str(c) for c in option['choices'])}" if "choices" in option else name


def rows(options: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """One table row per option, required ones first, each followed by the options inside it."""
    for name, option in sorted(options.items(), key=lambda item: (not item[1].get("required"), item[0])):
        cells = (f"`{prefix}{name}`", kind(option), default(option), text(option["description"]))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        yield from rows(option.get("options", {}), f"{prefix}{name}{'[]' if 'elements' in option else ''}.")


def section(entry: Mapping[str, Any]) -> Iterator[str]:
    """What an entry point does and takes."""
    yield from (f"{text(entry['short_description'])}.", "", *(f"- {text(p)}" for p in entry["description"]), "")
    yield from ("| variable | type | default | meaning |", "|---|---|---|---|", *rows(entry.get("options", {})), "")


def readme(role: Path) -> str:
    main, *others = specs(role).items()
    filled = "The playbooks fill the required variables from the plan; the others are yours to set in the inventory."
    lines = [f"# {role.name}", "", *section(main[1])]
    lines[lines.index("| variable | type | default | meaning |") : 0] = [filled, ""]
    for name, entry in others:
        lines += [f"## tasks_from: {name}", "", *section(entry)]
    lines.append("<!-- Made from meta/argument_specs.yml by tools/role_docs.py. -->")
    return "\n".join(lines) + "\n"


def wanted() -> dict[Path, str]:
    return {role / "README.md": readme(role) for role in sorted(ROLES.iterdir()) if (role / "meta").is_dir()}


if __name__ == "__main__":
    generated.main(wanted(), "`.venv/bin/python -m tools.role_docs`")
