"""The last line of `make test`: what ran, out of the test runners' own result files."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree


def counts(path: Path) -> tuple[int, int, int]:
    """(passed, failed, skipped) of a JUnit result file that our own pytest wrote."""
    suites = ElementTree.parse(path).getroot().iter("testsuite")  # noqa: S314 - our own file
    passed = failed = skipped = 0
    for suite in suites:
        bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        left_out = int(suite.get("skipped", 0))
        passed += int(suite.get("tests", 0)) - bad - left_out
        failed += bad
        skipped += left_out
    return passed, failed, skipped


def main(paths: list[str]) -> int:
    total = [sum(column) for column in zip(*(counts(Path(p)) for p in paths), strict=True)]
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped")
    return int(total[1] > 0 or total[0] == 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
