"""Put the collections that the roles use into build/collections, without Galaxy.

They come out of the `ansible` package, pinned by hash; only what is needed is unpacked (about 5 MB of 470).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINNED = ROOT / "requirements" / "collections.txt"
TARGET = ROOT / "build" / "collections"
WANTED = ("community/docker/", "community/library_inventory_filtering_v1/")


def up_to_date(target: Path) -> bool:
    stamp = target / "pinned.txt"
    return stamp.exists() and stamp.read_bytes() == PINNED.read_bytes()


def vendor(wanted: tuple[str, ...] = WANTED, target: Path = TARGET) -> None:
    """Unpack what lies below these paths of ansible_collections into target, unless it is there already."""
    if up_to_date(target):
        return
    started = time.monotonic()
    print("setup: fetching the collections", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*command, "--require-hashes", "--dest", directory, "--requirement", str(PINNED)], check=True)
        wheel = next(Path(directory).glob("ansible-*.whl"))
        shutil.rmtree(target, ignore_errors=True)
        prefixes = tuple(f"ansible_collections/{name}" for name in wanted)
        with zipfile.ZipFile(wheel) as archive:
            members = [n for n in archive.namelist() if n.startswith(prefixes) and "/tests/" not in n]
            if not members:
                sys.exit(f"setup: {wheel.name} holds none of {', '.join(wanted)}")
            archive.extractall(target, members)
    shutil.copyfile(PINNED, target / "pinned.txt")
    print(f"setup: collections fetched in {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    vendor()
