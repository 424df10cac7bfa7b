# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module's documentation as ansible-doc puts it together, compared with its arguments."""

from __future__ import annotations

import importlib
from typing import Any

import yaml

FRAGMENTS = "ansible_collections.mailstead.stack.plugins.doc_fragments"
COMPARED = ("type", "required", "default", "choices", "elements")


def options_of(module: Any) -> dict[str, Any]:
    """The documented options of a module, those of its fragments included; its own win, option by option."""
    documented = yaml.safe_load(module.DOCUMENTATION)
    out: dict[str, Any] = {}
    for name in documented.get("extends_documentation_fragment", []):
        file, _dot, part = name.removeprefix("mailstead.stack.").partition(".")
        fragment = importlib.import_module(f"{FRAGMENTS}.{file}")
        text = getattr(fragment.ModuleDocFragment, part.upper() or "DOCUMENTATION")
        out.update(yaml.safe_load(text)["options"])
    return {**out, **documented.get("options", {})}


def assert_documented(module: Any, **more: dict[str, Any]) -> None:
    """Options and argument_spec() are the same in all that ansible-doc shows; more: arguments of its action plugin."""
    _compare(options_of(module), {**module.argument_spec(), **more}, "")


def _compare(options: dict[str, Any], spec: dict[str, Any], where: str) -> None:
    assert set(options) == set(spec), where
    for name, option in options.items():
        place = f"{where}.{name}"
        for key in COMPARED:
            # Choices may be explained one by one.
            documented = (
                list(option[key]) if isinstance(option.get(key), dict) and key == "choices" else option.get(key)
            )
            assert documented == spec[name].get(key), (place, key)
        _compare(option.get("suboptions", {}), spec[name].get("options", {}), place)
