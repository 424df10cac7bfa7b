# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian packages: the machine's own apt sources feed one pool, and everything in the lab is installed from that.

The pool is a flat repository. While images are built a proxy on loopback serves it under the name that the machines use
later (packages.example.org), so images need neither the outside nor a second set of sources.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import os
import re
import shutil
import subprocess
import tempfile
import threading
import urllib.parse
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from lab import paths
from lab.console import CONSOLE, LabError

SUITE = "bookworm"
#: What every release of Debian has beside itself.
POCKETS = ("", "updates", "security")
#: Bumped when the way of making the pool changes what is in it.
POOL_RECIPE = "3"
POOL_HOST = "packages.example.org"
#: What debootstrap's smallest variant holds; its newer versions have to be in the pool as well.
MINIMAL = ("?essential", "?priority(required)", "apt")


@dataclass(frozen=True)
class Source:
    """One line of the machine's apt configuration that leads to Debian itself."""

    uri: str
    suite: str
    component: str
    signed_by: str


def _indexes() -> list[Source]:
    form = "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)"
    out = subprocess.run(
        ["apt-get", "indextargets", "--format", form, "Created-By: Packages"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = []
    for line in out.splitlines():
        origin, uri, suite, component, signed_by = line.split("|")
        # A field without a value is printed as its own name.
        if origin == "Debian":
            found.append(Source(uri, suite, component, "" if signed_by.startswith("$(") else signed_by))
    return for_suite(found)


def for_suite(found: list[Source]) -> list[Source]:
    """Those of Debian's entries that are for the lab's suite. A machine with another release of Debian has none: then
    the same mirror's, whose keys every release knows."""
    own = [s for s in found if s.suite.partition("-")[0] == SUITE]
    if not own:
        for source in found:
            _, _, pocket = source.suite.partition("-")
            if pocket in POCKETS:
                own.append(replace(source, suite=f"{SUITE}-{pocket}".rstrip("-")))
    return list(dict.fromkeys(own))


def sources() -> list[Source]:
    """Debian's entries among the machine's apt sources, read by apt itself. Raises LabError when there are none."""
    if not shutil.which("apt-get"):
        raise LabError(
            "the lab builds its machines from this machine's apt source, and there is no apt here.\n"
            f"    Fix: run it on Debian ({SUITE}) or in a container of it"
        )
    found = _indexes()
    if not found:
        # The origin is known only after the indexes were read once.
        apt_update()
        found = _indexes()
    if not found:
        raise LabError(
            f"no apt source of this machine offers Debian {SUITE}, from which the lab's machines are built.\n"
            f"    Fix: add one to /etc/apt/sources.list.d and run apt-get update"
        )
    return found


def apt_update() -> None:
    """Read the machine's own indexes. apt's exit status is 0 even when every index failed, unless told otherwise."""
    _run(["apt-get", "update", "-q", "-o", "APT::Update::Error-Mode=any", "-o", "Acquire::Retries=3"], "apt-get update")


def _run(argv: list[str], what: str, directory: str | None = None) -> str:
    env = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(argv, check=False, capture_output=True, text=True, env=env, cwd=directory)
    if done.returncode:
        tail = "\n    ".join((done.stdout + done.stderr).strip().splitlines()[-12:])
        raise LabError(f"{what} failed ({done.returncode}):\n    {tail}")
    return done.stdout


def _apt(*words: str) -> list[str]:
    """apt with the machine's configuration (proxy, credentials) but directories of our own and nothing installed."""
    base = paths.APT_CACHE
    options = {
        "Dir::Etc::sourcelist": base / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "Dir::State": base / "state",
        "Dir::State::status": base / "status",
        "Dir::Cache": base,
        "Dir::Cache::archives": base / "none",
        # Said outright, because machines that are images themselves often switch these off: it costs 1 s a call.
        "Dir::Cache::pkgcache": base / "pkgcache.bin",
        "Dir::Cache::srcpkgcache": base / "srcpkgcache.bin",
        "APT::Update::Error-Mode": "any",
        "Acquire::Retries": "3",
        "Acquire::Languages": "none",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
        "Debug::NoLocking": "true",
    }
    return [words[0], "-q", *(w for k, v in options.items() for w in ("-o", f"{k}={v}")), *words[1:]]


def prepare_apt() -> None:
    """Our own apt directories, with the indexes read once."""
    base = paths.APT_CACHE
    for directory in (base / "archives", base / "none" / "partial", base / "state" / "lists" / "partial"):
        directory.mkdir(parents=True, exist_ok=True)
    if not (base / "status").exists():
        (base / "status").touch()
    lines = [
        f"deb {'[signed-by=' + s.signed_by + '] ' if s.signed_by else ''}{s.uri} {s.suite} {s.component}"
        for s in sources()
    ]
    paths.write_if_changed(base / "sources.list", "\n".join(lines) + "\n", 0o644)
    with CONSOLE.step("packages: reading the indexes"):
        _run(_apt("apt-get", "update"), "reading the package indexes")


def installed_by(dockerfile: Path) -> tuple[str, ...]:
    """The packages that a Dockerfile installs with apt-get. Pure but for reading the file."""
    text = re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*\n", "", dockerfile.read_text(encoding="utf-8")))
    names: list[str] = []
    for command in re.findall(r"apt-get\s+install\s+([^&|;\n]*)", text):
        names += [w for w in command.split() if not w.startswith("-")]
    return tuple(dict.fromkeys(names))


def listed(file: Path) -> tuple[str, ...]:
    """The words of a file with one package a line and comments."""
    lines = (line.split("#", 1)[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    return tuple(line for line in lines if line)


def _closure(packages: Iterable[str]) -> list[str]:
    """File names of these packages and all they depend on, from nothing installed and nothing downloaded."""
    out = _run(_apt("apt-get", "install", "--print-uris", "-y", *MINIMAL, *packages), f"resolving {' '.join(packages)}")
    return re.findall(r"(?m)^'[^']+' (\S+) \d+", out)


def _resolve(sets: Collection[tuple[str, ...]]) -> set[str]:
    """Every set's closure: by one question, or by one for each set where packages of different machines exclude
    one another. (A system that holds all sets at once proves that each of them can be installed from its packages.)"""
    try:
        return set(_closure(sorted({package for packages in sets for package in packages})))
    except LabError:
        return {file for packages in sets for file in _closure(packages)}


def _selector(file: str) -> str:
    """name:arch=version, as apt's programs take it, from a package's file name."""
    name, version, arch = urllib.parse.unquote(file).removesuffix(".deb").split("_")
    return f"{name}={version}" if arch == "all" else f"{name}:{arch}={version}"


def _download(files: set[str]) -> None:
    """Into the cache, whatever is not there yet. apt checks signatures and hashes."""
    missing = sorted(f for f in files if not (paths.APT_CACHE / "archives" / f).is_file())
    if not missing:
        return
    with tempfile.TemporaryDirectory(dir=paths.APT_CACHE) as scratch:
        _run(_apt("apt-get", "download", *map(_selector, missing)), f"downloading {len(missing)} packages", scratch)
        for file in Path(scratch).glob("*.deb"):
            file.rename(paths.APT_CACHE / "archives" / file.name)


def _stanzas(files: set[str]) -> str:
    """The pool's Packages index, from apt's own records, so that nothing has to be read or hashed again."""
    out = _run(_apt("apt-cache", "show", *map(_selector, sorted(files))), "describing the packages")
    stanzas: dict[str, str] = {}
    for stanza in out.split("\n\n"):
        fields = dict(re.findall(r"(?m)^(\S+): (.*)$", stanza))
        if "Filename" not in fields:
            continue
        file = f"{fields['Package']}_{urllib.parse.quote(fields['Version'], safe='+~.-')}_{fields['Architecture']}.deb"
        file = file.replace("%3A", "%3a")
        if file in files:
            stanzas[file] = re.sub(r"(?m)^Filename: .*$", f"Filename: ./{served_as(file)}", stanza.strip())
    missing = sorted(files - set(stanzas))
    if missing:
        raise LabError(f"apt has no record of {', '.join(missing[:5])}: remove {paths.APT_CACHE} and try again")
    return "\n\n".join(stanzas[f] for f in sorted(stanzas)) + "\n"


def served_as(file: str) -> str:
    """A package's file name in the pool: without the quoted colon of an epoch, which every web server reads differently."""
    return file.replace("%3a", ".")


def pool_key(sets: Iterable[tuple[str, ...]]) -> str:
    """Identifies a pool's content by what was asked for."""
    return hashlib.sha256(repr((POOL_RECIPE, SUITE, sorted(sets))).encode()).hexdigest()[:16]


def build_pool(sets: dict[str, tuple[str, ...]]) -> None:
    """Fill the pool with every set's packages and dependencies, unless it already holds them. sets: by name of the user."""
    stamp, wanted = paths.POOL / ".complete", pool_key(sets.values())
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    prepare_apt()
    with CONSOLE.step(f"packages: resolving for {len(sets)} kinds of machines"):
        files = _resolve(sets.values())
    with CONSOLE.step(f"packages: downloading {len(files)}"):
        _download(files)
    draft = paths.POOL.with_name("pool.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for file in files:
        (draft / served_as(file)).hardlink_to(paths.APT_CACHE / "archives" / file)
    index = _stanzas(files).encode()
    (draft / "Packages").write_bytes(index)
    # Unsigned (the lab's sources say so), but with it apt asks for the one index there is instead of every variant.
    digest = hashlib.sha256(index).hexdigest()
    (draft / "Release").write_text(
        f"Origin: Debian\nLabel: mailstead lab\nCodename: {SUITE}\nSHA256:\n {digest} {len(index)} Packages\n"
    )
    (draft / ".complete").write_text(wanted)
    # The directory itself stays: a running package host has it mounted.
    paths.POOL.mkdir(parents=True, exist_ok=True)
    for old in paths.POOL.iterdir():
        old.unlink()
    for new in draft.iterdir():
        new.rename(paths.POOL / new.name)
    draft.rmdir()
    size = sum((paths.POOL / served_as(f)).stat().st_size for f in files)
    CONSOLE.say(f"packages: {len(files)} files, {size / 1e6:.0f} MB in the pool")


class _Proxy(http.server.SimpleHTTPRequestHandler):
    """Answers http://packages.example.org/debian/… from the pool and nothing else."""

    protocol_version = "HTTP/1.1"

    def translate_path(self, path: str) -> str:
        url = urllib.parse.urlsplit(path)
        name = urllib.parse.unquote(url.path).removeprefix("/debian/").removeprefix("./")
        safe = bool(re.fullmatch(r"[A-Za-z0-9%+~._-]+", name)) and not name.startswith(".")
        return str(paths.POOL / name) if url.hostname == POOL_HOST and safe else str(paths.POOL / "absent")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: apt says what it could not get."""


@contextlib.contextmanager
def pool_proxy() -> Iterator[str]:
    """Serve the pool on loopback while the block runs; yields the proxy's URL."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Proxy, directory=str(paths.POOL)))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def debootstrap(target: Path) -> None:
    """The smallest Debian into a directory, from the machine's own source."""
    if not shutil.which("debootstrap"):
        with CONSOLE.step("installing debootstrap"):
            install("debootstrap")
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    (paths.APT_CACHE / "debootstrap").mkdir(parents=True, exist_ok=True)
    uri = next((s.uri for s in sources() if s.suite == SUITE), "")
    if not uri:
        raise LabError(f"no apt source of this machine has the suite {SUITE} itself (only updates)")
    cache = f"--cache-dir={paths.APT_CACHE / 'debootstrap'}"
    _run(["debootstrap", "--variant=minbase", cache, SUITE, str(target), uri], "debootstrap")


def known(*packages: str) -> list[str]:
    """Those of these packages that this machine's release of Debian has."""
    asked = {p: subprocess.run(["apt-cache", "show", p], check=False, capture_output=True) for p in packages}
    return [p for p, answer in asked.items() if answer.returncode == 0]


def install(*packages: str) -> None:
    """Install packages on this machine. Raises LabError."""
    argv = [
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "install",
        "-q",
        "-y",
        "--no-install-recommends",
        *packages,
    ]
    try:
        _run(argv, f"installing {' '.join(packages)}")
    except LabError:
        apt_update()
        _run(argv, f"installing {' '.join(packages)}")
