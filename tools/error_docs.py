"""docs/errors.md from every CODES table below plugins/.

.venv/bin/python -m tools.error_docs [--check]
"""

from __future__ import annotations

import importlib
import re
from collections import Counter
from pathlib import Path

from tools import generated

PREFIX = "ansible_collections.mailstead.stack."
TARGET = generated.ROOT / "docs/errors.md"
CODE = re.compile(r"\bMS-([A-Z]+)-\d{3}\b")
AREAS = {
    "INT": "The inventory",
    "PLAN": "The plan",
    "STATE": "The controller's state",
    "HOST": "Hosts",
    "TLS": "Certificates",
    "DKIM": "Signing keys",
    "SRV": "The mail server",
    "CF": "The Cloudflare API",
    "DNS": "DNS records",
    "DEL": "Delegation of zones",
    "PTR": "Reverse records",
    "STS": "MTA-STS policies",
    "ER": "Email Routing",
    "PRO": "Provider profiles",
    "CW": "Workers",
    "ES": "Email Sending",
    "SMH": "Smarthosts",
    "TUN": "Cloudflare Tunnels",
    "CHK": "The verification",
}


def tables() -> dict[str, dict[str, str]]:
    """File → its table, for every module below plugins/ that has one."""
    found = {}
    for path in sorted((generated.ROOT / "plugins").rglob("*.py")):
        if re.search(r"^CODES\b.*=", path.read_text(encoding="utf-8"), re.MULTILINE):
            name = str(path.relative_to(generated.ROOT).with_suffix("")).replace("/", ".")
            found[name] = dict(importlib.import_module(PREFIX + name).CODES)
    return found


def codes() -> dict[str, str]:
    """Code → meaning. Raises ValueError when two tables explain the same code."""
    out: dict[str, str] = {}
    for name, table in tables().items():
        twice = sorted(set(out) & set(table))
        if twice:
            raise ValueError(f"{name} explains {', '.join(twice)} again")
        out.update(table)
    return out


def used() -> dict[str, set[str]]:
    """Code → files below plugins/, roles/ and playbooks/ that name it, beside its entry in a table."""
    found: dict[str, set[str]] = {}
    explained = tables()
    for folder in ("plugins", "roles", "playbooks"):
        for path in sorted((generated.ROOT / folder).rglob("*")):
            if path.suffix not in (".py", ".yml", ".j2"):
                continue
            name = str(path.relative_to(generated.ROOT).with_suffix("")).replace("/", ".")
            mentions = Counter(match.group() for match in CODE.finditer(path.read_text(encoding="utf-8")))
            for code in mentions - Counter(explained.get(name, {}).keys()):
                found.setdefault(code, set()).add(str(path.relative_to(generated.ROOT)))
    return found


def page() -> str:
    areas: dict[str, list[str]] = {}
    for code, meaning in sorted(codes().items()):
        match = CODE.fullmatch(code)
        if match is None:
            raise ValueError(f"{code} is not of the form MS-AREA-000")
        areas.setdefault(match.group(1), []).append(f"| <a id='{code.lower()}'></a>`{code}` | {meaning} |")
    lines = [
        "# Error codes",
        "",
        "Every failure names its code, the place, what is wrong and the fix. Mistakes of an inventory are reported all at",
        "once, before anything is contacted. This page says what each code means.",
        "",
        "Output of tasks that handle secrets is hidden. To see it on your own terminal: `-e mailstead_no_log=false`.",
        "",
    ]
    for area, rows in sorted(areas.items(), key=lambda item: list(AREAS).index(item[0])):
        lines += [f"## {AREAS[area]}", "", "| code | meaning |", "|---|---|", *rows, ""]
    lines.append("<!-- Made from the CODES tables below plugins/ by tools/error_docs.py. -->")
    return "\n".join(lines) + "\n"


def wanted() -> dict[Path, str]:
    return {TARGET: page()}


if __name__ == "__main__":
    generated.main(wanted(), "`.venv/bin/python -m tools.error_docs`")
