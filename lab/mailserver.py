# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which mail server the lab's registry holds under the upstream name: the real image, or the labelled stand-in."""

from __future__ import annotations

import concurrent.futures
import os
from dataclasses import dataclass
from typing import Any

import docker.errors

from lab.console import CONSOLE, LabError
from lab.topology import LABEL

UPSTREAM = "stalwartlabs/stalwart:v0.16.18"
STANDIN = "stalwart-standin"
#: LAB_MAIL_SERVER: real, stand-in, or auto (the default): present locally, else pullable, else the stand-in.
CHOICES = ("auto", "real", "stand-in")
PULL_SECONDS = 120


@dataclass(frozen=True)
class MailServer:
    """kind: real or stand-in; image: name in the engine ("" for a stand-in that has yet to be built); origin: why."""

    kind: str
    image: str
    origin: str


def choose(client: Any) -> MailServer:
    """Decide by LAB_MAIL_SERVER and by what can be had. Raises LabError when the real one is asked for in vain."""
    wanted = os.environ.get("LAB_MAIL_SERVER", "auto") or "auto"
    if wanted not in CHOICES:
        raise LabError(f"LAB_MAIL_SERVER is {wanted!r}.\n    Fix: use one of {', '.join(CHOICES)}")
    if wanted == "stand-in":
        return MailServer("stand-in", "", "asked for by LAB_MAIL_SERVER")
    if _is_upstreams(client):
        return MailServer("real", UPSTREAM, "present in the engine")
    refusal = _pull(client)
    if not refusal:
        return MailServer("real", UPSTREAM, "pulled")
    if wanted == "real":
        raise LabError(
            f"LAB_MAIL_SERVER=real, but {UPSTREAM} is neither in the engine nor pullable: {refusal}\n"
            f"    Fix: docker load the image, or unset LAB_MAIL_SERVER to use the stand-in"
        )
    CONSOLE.say(f"mail server: it cannot be pulled here, its stand-in takes its place ({_short(refusal)})")
    return MailServer("stand-in", "", f"{UPSTREAM} cannot be pulled here")


def _short(refusal: str) -> str:
    """The end of an engine's chain of causes, which says most."""
    causes = " ".join(refusal.split()).split(": ")
    while len(causes) > 1 and len(": ".join(causes)) > 100:
        del causes[0]
    return ": ".join(causes)


def _is_upstreams(client: Any) -> bool:
    """Whether the engine has an image under the upstream name that is not one of ours."""
    try:
        labels = client.images.get(UPSTREAM).labels
    except docker.errors.ImageNotFound:
        return False
    return LABEL not in labels


def _pull(client: Any) -> str:
    """Try to pull the real image; "" when it worked, else why not. Gives up on a network that swallows packets."""

    def attempt() -> None:
        repository, tag = UPSTREAM.rsplit(":", 1)
        client.images.pull(repository, tag=tag)

    workers = concurrent.futures.ThreadPoolExecutor(1)
    CONSOLE.say(f"mail server: {UPSTREAM} is not in the engine, trying to pull it ...")
    job = workers.submit(attempt)
    workers.shutdown(wait=False)
    try:
        with CONSOLE.watched("mail server: pulling"):
            job.result(PULL_SECONDS)
    except docker.errors.APIError as error:
        return str(error.explanation or error)
    except concurrent.futures.TimeoutError:
        return f"no answer for {PULL_SECONDS} s"
    return ""
