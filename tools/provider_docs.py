"""The table of providers in docs/providers.md, from the profiles; the rest of the page is written by hand.

.venv/bin/python -m tools.provider_docs [--check]
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tools import generated  # first: it makes the collection importable

from ansible_collections.mailstead.stack.plugins.module_utils.providers.model import Profile  # isort: skip
from ansible_collections.mailstead.stack.plugins.module_utils.providers.show import limit_words  # isort: skip
from ansible_collections.mailstead.stack.plugins.plugin_utils.profiles import profiles  # isort: skip

TARGET = generated.ROOT / "docs/providers.md"
BEGIN = "<!-- Made from templates/providers by tools/provider_docs.py: from here -->"
END = "<!-- to here. -->"


def section(known: Iterable[Profile]) -> str:
    lines = [
        "| provider | takes | sends | SPF at the domain | DMARC up to | needed inputs | limits | facts of |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *(row(profile) for profile in sorted(known, key=lambda p: p.id))])


def row(profile: Profile) -> str:
    spf = "none"
    if profile.spf.scope == "apex":
        spf = "on request" if profile.spf.optional else f"{profile.spf.cost_hint} of 10 look-ups"
    needed = [f"`{one.name}`" + (f" or `{one.unless}`" if one.unless else "") for one in profile.inputs if one.required]
    cells = [
        f"[{profile.title}](../templates/providers/{profile.id}.yml) `{profile.id}`",
        "yes" if profile.takes_mail else "",
        "yes" if profile.sends else "",
        spf,
        profile.dmarc.max_policy if profile.sends else "",
        ", ".join(needed),
        ", ".join(limit_words(name, value) for name, value in profile.limits),
        profile.verified_on,
    ]
    return "|" + "|".join(f" {cell} ".replace("  ", " ") for cell in cells) + "|"


def page(text: str, known: Iterable[Profile]) -> str:
    """The page with its table anew. Raises ValueError when the marks around the table are missing."""
    before, begin, rest = text.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{TARGET.name} has no '{BEGIN}' with '{END}' behind it")
    return f"{before}{BEGIN}\n\n{section(known)}\n\n{END}{after}"


def wanted() -> dict[Path, str]:
    return {TARGET: page(TARGET.read_text(encoding="utf-8"), profiles())}


if __name__ == "__main__":
    generated.main(wanted(), "`.venv/bin/python -m tools.provider_docs`")
