# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module of Email Routing as Ansible does, against the API twin on a socket."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import patch

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client

from lab.twins.cloudflare import Twin
from tests.unit.cloudflare.support import TOKEN


class Run:
    """One module; requests: method and path of what the last run sent."""

    def __init__(self, module: Any, twin: Twin, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.module, self.twin, self.url, self.capsys = module, twin, url, capsys

    def __call__(self, check: bool = False, token: str = TOKEN, **params: Any) -> dict[str, Any]:
        given = {"api_token": token, "base_url": self.url, **params}
        hidden = {"_ansible_check_mode": check, "_ansible_diff": True}
        with (
            patch_module_args({**given, **hidden}),
            # Nobody waits for a twin to recover.
            patch.object(Client, "_pause_before", lambda _client, _attempt: None),
            pytest.raises(SystemExit) as caught,
        ):
            self.module.main()
        out = self.capsys.readouterr().out
        assert TOKEN not in out
        result: dict[str, Any] = json.loads(out)
        assert caught.value.code == (1 if result.get("failed") else 0)
        return result


def codes(result: dict[str, Any]) -> list[str]:
    assert all(p["where"] and p["what"] and p["fix"] for p in result["problems"])
    return [p["code"] for p in result["problems"]]
