"""Every test begins as a fresh process would: what a module leaves behind in its own process is nobody else's."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from ansible.module_utils import _internal
from ansible.module_utils.common import warnings


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Modules set the umask and collect warnings. Beside imported controller code they would hand warnings to its display
    instead of returning them, as they do on a host."""
    monkeypatch.setattr(_internal, "is_controller", False)
    warnings._global_warnings.clear()
    warnings._global_deprecations.clear()
    umask = os.umask(0o022)
    yield
    os.umask(umask)


@pytest.fixture(autouse=True)
def _this_process_lives_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules are run in the process of the tests, which must go on looking for reference cycles."""
    monkeypatch.setattr("gc.disable", lambda: None)
