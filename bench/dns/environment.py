# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other tools, pinned by hash, in the bench's own folder; and what has to be changed in them to reach the twin."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tools import vendor_collections

from .account import ROOT

BUILD = ROOT / "build" / "bench"
VENV = BUILD / "venv"
PRISTINE = BUILD / "collections"
PINNED = Path(__file__).resolve().parent / "requirements.txt"
COMMUNITY = "community/general/"
MODULE = "plugins/modules/cloudflare_dns.py"

#: What is replaced in the copy of cloudflare_dns: its only endpoint is a constant; and it searches SRV and TLSA records by
#: values joined with tabs, which find nothing where the API gives them back with spaces.
ENDPOINT = "'https://api.cloudflare.com/client/v4'"
TOLERANCE = ("join_str('\\t',", "join_str(' ',")


def prepare() -> None:
    """Make what is missing. Takes about half a minute the first time."""
    BUILD.mkdir(parents=True, exist_ok=True)
    stamp = VENV / "pinned.txt"
    if not stamp.exists() or stamp.read_bytes() != PINNED.read_bytes():
        started = time.monotonic()
        print("bench: installing the other tools", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
        command = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*command, "--require-hashes", "--requirement", str(PINNED)], check=True)
        shutil.copyfile(PINNED, stamp)
        print(f"bench: installed in {time.monotonic() - started:.0f} s", flush=True)
    vendor_collections.vendor((COMMUNITY + MODULE, COMMUNITY + "MANIFEST.json"), PRISTINE)


def patched(source: str, url: str) -> str:
    """The module's text with another endpoint and the tolerance. Raises ValueError where either does not fit."""
    for expected in (ENDPOINT, TOLERANCE[0]):
        if expected not in source:
            raise ValueError(f"cloudflare_dns holds no {expected}")
    return source.replace(ENDPOINT, repr(url)).replace(*TOLERANCE)


def install_community(url: str, directory: Path) -> None:
    """A copy of community.general, of which there is only the one module, that talks to url."""
    general = Path("ansible_collections") / "community" / "general"
    target = directory / "collections" / general
    (target / MODULE).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(PRISTINE / general / "MANIFEST.json", target / "MANIFEST.json")
    source = (PRISTINE / general / MODULE).read_text(encoding="utf-8")
    (target / MODULE).write_text(patched(source, url), encoding="utf-8")


def versions() -> dict[str, str]:
    """What is measured, by name."""
    manifest = PRISTINE / "ansible_collections" / COMMUNITY / "MANIFEST.json"
    pins = dict(
        line.split(" ")[0].split("==") for line in PINNED.read_text().splitlines() if "==" in line.split(" ")[0]
    )
    return {
        **{name: pins[name] for name in ("octodns", "octodns-cloudflare", "cloudflare")},
        "community.general": json.loads(manifest.read_text())["collection_info"]["version"],
        "ansible-core": _ansible_version(),
        "python": sys.version.split()[0],
    }


def _ansible_version() -> str:
    from ansible.release import __version__  # noqa: PLC0415  only here

    return str(__version__)
