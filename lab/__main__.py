# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m lab up|down|clean|status|site|exec``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

import docker.errors

from lab import engine, lifecycle, paths, site, wiring
from lab.console import LabError
from lab.topology import CONTROLLER, HOSTS

#: Where programs look for the authorities they trust.
TRUST = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "AWS_CA_BUNDLE")


def controller_environment() -> dict[str, str]:
    """The environment of a program that runs as the lab's controller: its authorities, no way around through a proxy."""
    env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy") and k != "SSL_CERT_DIR"}
    env |= dict.fromkeys(TRUST, str(paths.CA_BUNDLE))
    env["PATH"] = f"{Path(sys.executable).parent}:{env.get('PATH', os.defpath)}"
    return env


def run_in_lab(command: list[str]) -> None:
    """Become a program in the controller's namespace. Raises LabError when the lab is not up."""
    engine.require_root()
    if not wiring.controller_exists():
        raise LabError("the lab is not up.\n    Fix: make lab-up")
    if not command:
        raise LabError("no command given.\n    Fix: python -m lab exec -- COMMAND [ARGUMENT ...]")
    env = controller_environment()
    os.execvpe("ip", ["ip", "netns", "exec", CONTROLLER.namespace, *command], env)


def _names(known: list[str]) -> Callable[[str], list[str]]:
    """Reads names separated by commas, each of which has to be known."""

    def read(text: str) -> list[str]:
        found = [name for name in text.split(",") if name]
        unknown = [name for name in found if name not in known]
        if unknown or not found:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown) or 'nothing'} is not one of {', '.join(known)}")
        return found

    return read


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m lab", description="The lab: an internet in a box.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    starting = verbs.add_parser("up", help="start the lab; changes nothing on one that runs as described")
    starting.add_argument("machine", nargs="*", help="only these", choices=[[], *(h.name for h in HOSTS)])
    extra = [h.name for h in HOSTS if h.on_demand]
    starting.add_argument(
        "--with", dest="also", action="extend", type=_names(extra), default=[], metavar="NAME[,NAME]",
        help=f"and these, on demand: {', '.join(extra)}",
    )  # fmt: skip
    verbs.add_parser("down", help="remove everything but the images")
    verbs.add_parser("clean", help="remove the images and build/lab too")
    verbs.add_parser("status", help="what is up and how to log in")
    verbs.add_parser("site", help="start the lab, build the mail system in it with site.yml, and judge it")
    inside = verbs.add_parser("exec", help="run a program as a machine of the home network")
    inside.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args(argv)
    try:
        if options.verb == "up":
            lifecycle.up(tuple(options.machine), tuple(options.also))
        elif options.verb == "down":
            lifecycle.down()
        elif options.verb == "clean":
            lifecycle.clean()
        elif options.verb == "site":
            return site.site(controller_environment())
        elif options.verb == "exec":
            run_in_lab(options.command[1:] if options.command[:1] == ["--"] else options.command)
        else:
            return lifecycle.status()
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except docker.errors.DockerException as error:
        print(f"lab: the container engine refused: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted; what was started stays (make lab-down removes it)", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
