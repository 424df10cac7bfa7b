"""The controller's state: private from the first byte, encrypted where a vault password is at hand."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from ansible.constants import DEFAULT_VAULT_IDENTITY
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.plugin_utils import state
from ansible_collections.mailstead.stack.plugins.plugin_utils.state import SecretStore, state_directory


def vault(password: bytes = b"correct horse") -> VaultLib:
    return VaultLib([(DEFAULT_VAULT_IDENTITY, VaultSecret(password))])


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def code_of(caught: pytest.ExceptionInfo[MailsteadError]) -> str:
    assert caught.value.problems[0].fix
    return caught.value.problems[0].code


def test_nothing_is_made_before_it_is_needed(tmp_path: Path) -> None:
    store = SecretStore(state_directory({"ansible_inventory_sources": [str(tmp_path)]}), None)
    assert store.get("me@example.com") is None
    assert list(tmp_path.iterdir()) == []


def test_made_once_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = SecretStore(state_directory({"ansible_inventory_sources": [str(tmp_path)]}), None)
        value, path = store.make("me@example.com")
    finally:
        os.umask(before)
    assert path == tmp_path / ".mailstead/secrets/me@example.com"
    assert [mode_of(p) for p in (path, path.parent, path.parent.parent)] == [0o600, 0o700, 0o700]
    assert len(value) >= 32 and store.get("me@example.com") == value
    assert store.make("you@example.com")[0] != value
    assert [p.name for p in sorted(path.parent.iterdir())] == ["me@example.com", "you@example.com"]


def test_encrypted_when_the_run_has_a_vault_password(tmp_path: Path) -> None:
    store = SecretStore(tmp_path, vault())
    value, path = store.make("token")
    text = path.read_text()
    assert text.startswith("$ANSIBLE_VAULT;") and value not in text and mode_of(path) == 0o600
    assert store.get("token") == value


def test_a_secret_from_before_the_vault_is_still_read(tmp_path: Path) -> None:
    value, _path = SecretStore(tmp_path, VaultLib([])).make("token")
    assert SecretStore(tmp_path, vault()).get("token") == value


@pytest.mark.parametrize("reader", [None, vault(b"another")])
def test_an_unreadable_secret_says_what_is_needed(tmp_path: Path, reader: VaultLib | None) -> None:
    SecretStore(tmp_path, vault()).make("token")
    with pytest.raises(MailsteadError) as caught:
        SecretStore(tmp_path, reader).get("token")
    assert code_of(caught) == "MS-STATE-002" and "vault password" in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_secret_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    store = SecretStore(tmp_path, None)
    value, path = store.make("token")
    path.chmod(mode)
    with pytest.raises(MailsteadError) as caught:
        store.get("token")
    assert code_of(caught) == "MS-STATE-004" and value not in str(caught.value)


@pytest.mark.parametrize("name", ["../ca.key", "a/b", ".hidden", "", "nul\0"])
def test_a_name_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    with pytest.raises(MailsteadError) as caught:
        SecretStore(tmp_path, None).make(name)
    assert code_of(caught) == "MS-STATE-003" and list(tmp_path.iterdir()) == []


def test_the_state_is_beside_the_inventory(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("all:\n")
    for source in (tmp_path, tmp_path / "hosts.yml"):
        found = state_directory({"ansible_inventory_sources": ["home,vps1,", str(source)]})
        assert found == tmp_path / ".mailstead"


@pytest.mark.parametrize("variables", [{}, {"ansible_inventory_sources": ["home,vps1,"]}])
def test_an_inventory_that_is_not_on_disk(variables: dict[str, list[str]]) -> None:
    with pytest.raises(MailsteadError) as caught:
        state_directory(variables)
    assert code_of(caught) == "MS-STATE-001"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ca.key"
    state.write_private(path, "old")

    def no_space(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        state.write_private(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
