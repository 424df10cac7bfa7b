# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Worker templates in the Workers runtime itself (tests/worker), and that what they need is pinned."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.mailstead.stack.plugins.plugin_utils import worker_code

ROOT = Path(__file__).parents[3]
TESTS = ROOT / "tests" / "worker"
TEMPLATES = ROOT / "templates" / "worker"
#: The runtime's own packages ask for 20.18.1.
NODE = 20


def why_not() -> str:
    """Why the runtime cannot be had here; empty when it can."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "node and npm are not installed"
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.lstrip("v").split(".")[0]) < NODE:
        return f"node is {version}; the Workers runtime needs {NODE} or later"
    return ""


@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_the_templates_in_the_workers_runtime() -> None:
    done = subprocess.run([str(TESTS / "run.sh")], capture_output=True, text=True, check=False, timeout=300)
    failed = re.findall(r"^\s*not ok .*?\.\.\.$", done.stdout, re.MULTILINE | re.DOTALL)
    assert done.returncode == 0, "\n".join(failed) or done.stderr[-3000:]
    written = sum(
        len(re.findall(r"^test\(", f.read_text(encoding="utf-8"), re.MULTILINE)) for f in TESTS.glob("*.test.js")
    )
    assert f"\n# pass {written}\n" in done.stdout and "\n# skipped 0\n" in done.stdout


def test_versions_are_exact_and_no_registry_is_named() -> None:
    lock = (TESTS / "package-lock.json").read_text(encoding="utf-8")
    assert not re.search(r"https?:|registry|resolved", lock)
    packages = json.loads(lock)["packages"]
    assert all(p.get("integrity", "").startswith("sha512-") for name, p in packages.items() if name)
    declared = json.loads((TESTS / "package.json").read_text(encoding="utf-8"))["devDependencies"]
    assert packages[""]["devDependencies"] == declared
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in declared.values())


def test_a_template_is_uploaded_with_all_that_it_imports() -> None:
    for path in TEMPLATES.glob("*.js"):
        collected = worker_code.modules(path)
        imported = {name for text in collected.values() for name in re.findall(r'from "\./([^"]+)"', text)}
        assert next(iter(collected)) == path.name and imported <= set(collected) <= imported | {path.name}


def test_templates_need_nothing_but_the_runtime_and_one_another() -> None:
    """Nothing is bundled: what a template imports is uploaded with it or is there."""
    for path in TEMPLATES.glob("*.js"):
        imported = re.findall(r'^import .* from "([^"]+)";$', path.read_text(encoding="utf-8"), re.MULTILINE)
        assert all(name == "cloudflare:email" or (TEMPLATES / name).is_file() for name in imported), path.name
