# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fresh server for each test that asks for one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.client import Client, basic
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.schema import Schema

from tests.unit.stalwart.server import RECOVERY, SCHEMA, Server


@pytest.fixture(scope="session")
def schema() -> Schema:
    return Schema(SCHEMA)


@pytest.fixture
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def make(limits: dict[str, int] | None = None) -> Server:
        servers.append(Server(tmp_path_factory.mktemp("etc"), limits))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that only want it to say something particular: they set its fault."""
    server = Server(tmp_path_factory.mktemp("etc"))
    yield server
    server.close()


@pytest.fixture
def scripted_client(scripted: Server) -> Iterator[Client]:
    client = Client(scripted.url, basic(*RECOVERY), 5)
    scripted.fault = lambda *_: None
    yield client
    client.close()


@pytest.fixture
def server(start: Callable[..., Server]) -> Server:
    return start()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    client = Client(server.url, basic(*RECOVERY), 5)
    yield client
    client.close()


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"
