# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a runner is: it writes a tool's input files and names the commands that a user of that tool would run."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ..records import Record

#: Seconds one command may take.
DEADLINE = 180.0

#: Most characters of a failure that are shown.
WORDS = 120


@dataclass(frozen=True)
class Command:
    """A process to run to its end. env: beside the cleaned environment."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: str = ""


@dataclass(frozen=True)
class Job:
    """Where the API is, what opens it, and what is wanted by zone."""

    url: str
    token: str
    wanted: Mapping[str, Sequence[Record]]
    foreign: bool = False


class Runner(Protocol):
    """name: as in the table. note: what is special about its setting."""

    name: str

    def commands(self, job: Job, directory: Path) -> list[Command]:
        """The commands of one run, one after the other; writes what they read into directory."""
        ...

    def note(self, job: Job) -> str: ...


@dataclass(frozen=True)
class Outcome:
    """seconds: of all commands together, from start to exit; failure: the last words of the first that failed."""

    seconds: float
    failure: str = ""


def clean_environment() -> dict[str, str]:
    """Ours, without anything that would change what a tool does or where it connects."""
    drop = ("ANSIBLE_", "CLOUDFLARE_", "PYTHON")
    env = {k: v for k, v in os.environ.items() if not k.startswith(drop) and not k.lower().endswith("_proxy")}
    return {**env, "NO_PROXY": "127.0.0.1", "LC_ALL": "C.UTF-8"}


def run(commands: Sequence[Command], directory: Path) -> Outcome:
    """Run them in order; a failure does not stop the rest, as in a loop of tasks."""
    failure, base = "", clean_environment()
    started = time.monotonic()
    for command in commands:
        try:
            done = subprocess.run(
                command.argv,
                input=command.stdin,
                env={**base, **command.env},
                cwd=directory,
                capture_output=True,
                text=True,
                timeout=DEADLINE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Outcome(time.monotonic() - started, f"not finished within {DEADLINE:.0f} s")
        if done.returncode and not failure:
            failure = last_words(done.stdout, done.stderr)
    return Outcome(time.monotonic() - started, failure)


#: What tells why, best first: the API's refusal as cloudflare_dns hands it on, a module's message, an error of Ansible.
TELLING = (r'Error details: ([^"\n]+)', r'"msg": "((?:[^"\\]|\\.)+)', r"\[ERROR\]: (.+)", r"(.+)\s*\Z")


def last_words(out: str, err: str) -> str:
    """One line of why a command failed; the last line it printed where nothing in it is telling."""
    found = next((m for pattern in TELLING if (m := re.search(pattern, f"{out}\n{err}"))), None)
    words = found[1].replace('\\"', '"') if found else "no output"
    return words.strip().rstrip("; ")[:WORDS]
