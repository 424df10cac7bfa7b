# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The harness's parts that need neither root nor an engine: files, authority, packages, fingerprints, the registry."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import hashlib
import io
import json
import os
import tarfile
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker.errors
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from lab import (
    console,
    engine,
    hosts,
    images,
    lifecycle,
    mailserver,
    packages,
    paths,
    pki,
    registry,
    render,
    secrets,
    trust,
)
from lab.console import LabError
from lab.topology import HOSTS, LABEL, host


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """build/lab somewhere else."""
    for name in ("PKI", "SSH", "POOL", "REGISTRY", "APT_CACHE"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    monkeypatch.setattr(paths, "BUILD", tmp_path)
    monkeypatch.setattr(paths, "SECRETS", tmp_path / "secrets.json")
    monkeypatch.setattr(paths, "DNS_KEYS", tmp_path / "dns-keys.json")
    monkeypatch.setattr(registry, "ROOT", tmp_path / "registry")
    return tmp_path


def test_a_file_is_written_only_when_it_changes_and_is_never_readable_by_others(tmp_path: Path) -> None:
    file = tmp_path / "a" / "secret"
    assert paths.write_if_changed(file, "one")
    assert not paths.write_if_changed(file, "one")
    assert paths.write_if_changed(file, "two")
    assert file.read_text() == "two"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_certificates_verify_and_are_kept_until_their_names_change(
    build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = x509.load_pem_x509_certificate(pki.ensure())
    receiver = host("receiver")
    before = {c.name: (paths.PKI / f"{c.name}.crt").read_bytes() for c in receiver.certificates}
    for pem in before.values():
        leaf = x509.load_pem_x509_certificate(pem)
        leaf.verify_directly_issued_by(authority)
        key = authority.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
    pki.ensure()
    assert before == {c.name: (paths.PKI / f"{c.name}.crt").read_bytes() for c in receiver.certificates}
    first = receiver.certificates[0]
    other = dataclasses.replace(first, names=("other.example.org",))
    monkeypatch.setattr(pki, "HOSTS", (dataclasses.replace(receiver, certificates=(other,)),))
    pki.ensure()
    leaf = x509.load_pem_x509_certificate((paths.PKI / f"{first.name}.crt").read_bytes())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["other.example.org"]


def test_private_keys_and_secrets_are_the_owners_alone(build: Path) -> None:
    pki.ensure()
    secrets.load()
    render.files(host("vps1"), render.world(secrets.load()))
    private = [*paths.PKI.glob("*.key"), paths.SSH / "id_ed25519", paths.SSH / "host_vps1", paths.SECRETS]
    assert len(private) > 8
    assert {f.stat().st_mode & 0o777 for f in private} == {0o600}


def test_secrets_stay_and_a_new_one_is_added(build: Path) -> None:
    first = secrets.load()
    kept = json.loads(paths.SECRETS.read_text())
    del kept["tsig_ptr"]
    paths.SECRETS.write_text(json.dumps(kept))
    second = secrets.load()
    assert second.tsig_ptr != first.tsig_ptr
    assert second == dataclasses.replace(first, tsig_ptr=second.tsig_ptr)


def test_the_world_is_the_same_in_every_run(build: Path) -> None:
    one, two = render.world(secrets.load()), render.world(secrets.load())
    for machine in HOSTS:
        assert render.files(machine, one) == render.files(machine, two)


def test_only_the_machine_that_needs_a_secret_gets_it(build: Path) -> None:
    facts = render.world(secrets.load())
    owners = {
        facts.secrets.cloudflare_token: {"cloudflare"},
        facts.secrets.cloudflare_hosted_token: {"cloudflare"},
        facts.secrets.tsig_twin: {"cloudflare", "dns"},
        facts.secrets.tsig_ptr: {"dns"},
        facts.secrets.tsig_own: {"dns"},
        facts.secrets.canary_password: {"receiver"},
        facts.stranger_dkim.decode().splitlines()[1]: {"stranger"},
        (paths.PKI / "hosted.dkim.key").read_text().splitlines()[1]: set(),
    }
    for secret, expected in owners.items():
        holders = set()
        for machine in HOSTS:
            for path, file in render.files(machine, facts).items():
                if secret.encode() in file.content:
                    holders.add(machine.name)
                    assert file.mode == 0o600, path
        assert holders == expected


def test_a_machine_is_recognised_until_anything_about_it_changes(build: Path) -> None:
    machine = host("vps1")
    files = render.files(machine, render.world(secrets.load()))
    spec = hosts.fingerprint(machine, "sha256:1", files)
    assert spec == hosts.fingerprint(machine, "sha256:1", dict(reversed(files.items())))
    path, file = next(iter(files.items()))
    changed = [
        hosts.fingerprint(machine, "sha256:2", files),
        hosts.fingerprint(machine, "sha256:1", files, inside="another mail server"),
        hosts.fingerprint(dataclasses.replace(machine, hostname="other"), "sha256:1", files),
        hosts.fingerprint(machine, "sha256:1", {**files, path: render.File(file.content + b"x", file.mode)}),
        hosts.fingerprint(machine, "sha256:1", {**files, path: render.File(file.content, 0o640)}),
    ]
    assert len({spec, *changed}) == len(changed) + 1


def test_low_ports_are_roots_where_roles_run() -> None:
    for machine in HOSTS:
        start = hosts.options(machine)["sysctls"]["net.ipv4.ip_unprivileged_port_start"]
        assert start == ("1024" if machine.systemd else "0")


def test_no_machine_is_privileged() -> None:
    for machine in HOSTS:
        assert "privileged" not in hosts.options(machine)
        assert "SYS_RESOURCE" not in hosts.options(machine)["cap_add"]


def test_the_archive_holds_what_was_asked_for_with_its_modes() -> None:
    files = {"/root/.ssh/authorized_keys": render.File(b"k", 0o600), "/etc/x": render.File(b"y")}
    with tarfile.open(fileobj=io.BytesIO(hosts.archive(files))) as tar:
        modes = {m.name: (m.mode, m.uid, m.isdir()) for m in tar}
    assert modes == {
        "root/.ssh": (0o700, 0, True),
        "root/.ssh/authorized_keys": (0o600, 0, False),
        "etc/x": (0o644, 0, False),
    }


def test_packages_are_read_from_a_dockerfile(tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text(
        "FROM x\n# RUN apt-get install not-this\n"
        "RUN apt-get update -o A=b && apt-get install -y --no-install-recommends \\\n"
        "      one two \\\n      three \\\n && rm -rf /x; echo done\n"
        "RUN apt-get -qq update\nRUN apt-get install -y one four && true\n"
    )
    assert packages.installed_by(file) == ("one", "two", "three", "four")


def test_the_edge_brings_nothing_that_roles_install() -> None:
    base = set(packages.installed_by(paths.IMAGES / "base" / "Dockerfile"))
    roles = set(packages.listed(paths.IMAGES / "pool.txt"))
    assert {"postfix", "unbound", "certbot", "python3-dnspython"} <= roles
    assert not base & {"postfix", "unbound", "certbot", "python3-dnspython", "python3-requests", "docker.io"}


def test_the_pools_proxy_gives_nothing_but_the_pool(build: Path) -> None:
    paths.POOL.mkdir()
    (paths.POOL / "a_1%2b.deb").write_text("no")
    (paths.POOL / "a_1+b~2.deb").write_text("yes")
    (build / "outside").write_text("secret")
    handler = packages._Proxy.__new__(packages._Proxy)
    good = handler.translate_path("http://packages.example.org/debian/./a_1%2bb%7e2.deb")
    assert Path(good).read_text() == "yes"
    for bad in (
        "http://packages.example.org/debian/../outside",
        "http://packages.example.org/debian/%2e%2e/outside",
        "http://packages.example.org/debian//etc/passwd",
        "http://elsewhere.example.org/debian/a_1+b~2.deb",
        "/debian/a_1+b~2.deb",
    ):
        assert not Path(handler.translate_path(bad)).exists(), bad


def test_an_image_is_built_again_when_a_file_its_mode_or_its_base_changes(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM x\n")
    script = tmp_path / "run"
    script.write_text("1")
    image = images.Image("x", tmp_path)
    seen = [images.fingerprint(image)]
    script.chmod(0o755)
    seen.append(images.fingerprint(image))
    script.write_text("2")
    seen.append(images.fingerprint(image))
    seen.append(images.fingerprint(image, "other base"))
    assert len(set(seen)) == 4
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "x.pyc").write_text("")
    assert images.fingerprint(image, "other base") == seen[-1]


def test_every_image_of_the_topology_has_a_recipe_on_our_base() -> None:
    for name in images.used() - {"base"}:
        recipe = images.declared()[name].dockerfile.read_text()
        assert "FROM mailstead-lab/base\n" in recipe


class _Image:
    """What the SDK shows of an image, saved in the layout that both old and new engines write."""

    def __init__(self, config: bytes, layers: list[bytes]) -> None:
        self.id = f"sha256:{hashlib.sha256(config).hexdigest()}"
        self.saves = 0
        self._config, self._layers = config, layers

    def save(self, chunk_size: int) -> Iterator[bytes]:
        self.saves += 1
        buffer = io.BytesIO()
        listing = [{"Config": "config.json", "Layers": [f"{i}/layer.tar" for i in range(len(self._layers))]}]
        files = {"manifest.json": json.dumps(listing).encode(), "config.json": self._config}
        files |= {f"{i}/layer.tar": data for i, data in enumerate(self._layers)}
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, data in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        data = buffer.getvalue()
        return iter(data[i : i + chunk_size] for i in range(0, len(data), chunk_size))


class _Client:
    def __init__(self, image: _Image) -> None:
        self._image = image
        self.images = self

    def get(self, name: str) -> _Image:
        return self._image


def test_the_registry_holds_an_image_as_its_own_driver_would(build: Path) -> None:
    layers = [b"layer one" * 1000, b"layer two"]
    image = _Image(b'{"rootfs": {}}', layers)
    digest = registry.publish(_Client(image), "any", "group/name:1.0")
    base = registry.ROOT / "repositories" / "group" / "name"
    assert (base / "_manifests" / "tags" / "1.0" / "current" / "link").read_text() == digest
    assert (base / "_manifests" / "revisions" / "sha256" / digest[7:] / "link").read_text() == digest

    def blob(name: str) -> bytes:
        data = (registry.ROOT / "blobs" / "sha256" / name[7:9] / name[7:] / "data").read_bytes()
        assert f"sha256:{hashlib.sha256(data).hexdigest()}" == name
        return data

    manifest: dict[str, Any] = json.loads(blob(digest))
    assert manifest["config"]["digest"] == image.id
    for entry, content in zip(manifest["layers"], layers, strict=True):
        packed = blob(entry["digest"])
        assert len(packed) == entry["size"]
        assert gzip.decompress(packed) == content
        assert (base / "_layers" / "sha256" / entry["digest"][7:] / "link").read_text() == entry["digest"]


def test_an_unchanged_image_is_not_written_again_and_a_changed_one_moves_the_tag(build: Path) -> None:
    image = _Image(b"{}", [b"x"])
    first = registry.publish(_Client(image), "any", "a:1")
    assert registry.publish(_Client(image), "any", "a:1") == first
    assert image.saves == 1
    second = registry.publish(_Client(_Image(b'{"new": 1}', [b"x"])), "any", "a:1")
    assert second != first
    assert (
        registry.ROOT / "repositories" / "a" / "_manifests" / "tags" / "1" / "current" / "link"
    ).read_text() == second


class _NoImages:
    def __init__(self, present: bool, labels: tuple[str, ...] = ()) -> None:
        self.images = self
        self._present = present
        self._labels = dict.fromkeys(labels, "1")

    def get(self, name: str) -> Any:
        if not self._present:
            raise docker.errors.ImageNotFound("none")
        return type("Image", (), {"id": "sha256:1", "labels": self._labels})()

    def pull(self, repository: str, tag: str) -> None:
        raise docker.errors.APIError("no such host")


@pytest.mark.parametrize(
    ("wanted", "present", "kind"),
    [("auto", True, "real"), ("auto", False, "stand-in"), ("real", True, "real"), ("stand-in", True, "stand-in")],
)
def test_the_mail_server_is_real_where_it_can_be(
    monkeypatch: pytest.MonkeyPatch, wanted: str, present: bool, kind: str
) -> None:
    monkeypatch.setenv("LAB_MAIL_SERVER", wanted)
    assert mailserver.choose(_NoImages(present)).kind == kind


def test_a_stand_in_under_the_upstream_name_is_not_taken_for_the_real_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_MAIL_SERVER", raising=False)
    assert mailserver.choose(_NoImages(present=True, labels=(LABEL,))).kind == "stand-in"


@pytest.mark.parametrize(("wanted", "said"), [("real", "neither in the engine nor pullable"), ("fake", "use one of")])
def test_a_mail_server_that_cannot_be_had_is_an_error(monkeypatch: pytest.MonkeyPatch, wanted: str, said: str) -> None:
    monkeypatch.setenv("LAB_MAIL_SERVER", wanted)
    with pytest.raises(LabError, match=said):
        mailserver.choose(_NoImages(present=False))


def test_a_long_step_says_that_it_still_runs_and_a_short_one_does_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    talk = console.Console()
    monkeypatch.setattr(console, "REMIND", 0.01)
    with talk.watched("digging"):
        assert engine.wait_until(lambda: "digging: 0 s so far" in capsys.readouterr().out, 5)
    capsys.readouterr()
    monkeypatch.setattr(console, "REMIND", 60)
    with talk.step("blinking"):
        pass
    begun, ended = capsys.readouterr().out.splitlines()
    assert begun.endswith("blinking ...") and ended.endswith("blinking: 0.0 s")


@pytest.mark.parametrize("failing", [False, True])
def test_nothing_reminds_of_a_step_that_is_over(monkeypatch: pytest.MonkeyPatch, failing: bool) -> None:
    monkeypatch.setattr(console, "REMIND", 60)
    before = set(threading.enumerate())
    with contextlib.suppress(LabError), console.Console().watched("digging"):
        assert set(threading.enumerate()) - before
        if failing:
            raise LabError("the spade broke")
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize(
    # Named, for the process's own number is another one in every worker.
    "content",
    [None, "", "x\n", "999999999\n", f"{os.getpid()}\n"],
    ids=["no file", "empty", "no number", "nobody", "another program"],
)
def test_only_an_engine_that_was_started_here_is_taken_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    pidfile = tmp_path / "dockerd.pid"
    if content is not None:
        pidfile.write_text(content)
    monkeypatch.setattr(engine, "PIDFILE", pidfile)
    assert engine.own() == 0
    engine.stop_own(None)


def test_of_a_refused_pull_the_last_causes_are_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LAB_MAIL_SERVER", raising=False)

    class Refusing(_NoImages):
        def pull(self, repository: str, tag: str) -> None:
            raise docker.errors.APIError(
                f'Get "https://registry.example.net/{"v" * 90}": dial tcp: lookup x: no such host'
            )

    assert mailserver.choose(Refusing(present=False)).kind == "stand-in"
    assert "stand-in takes its place (dial tcp: lookup x: no such host)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("status", "bundle", "lost"),
    [
        ("running", b"static\nacme\n", False),
        ("running", b"static\nanother\n", True),
        ("running", None, False),
        ("exited", b"static\nacme\n", True),
    ],
    ids=["as it was", "restarted", "never trusted", "stopped"],
)
def test_a_restarted_acme_server_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str, bundle: bytes | None, lost: bool
) -> None:
    monkeypatch.setattr(paths, "CA_BUNDLE", tmp_path / "bundle.crt")
    if bundle is not None:
        paths.CA_BUNDLE.write_bytes(bundle)
    monkeypatch.setattr(trust, "acme_root", lambda client: b"acme\n")
    machine = types.SimpleNamespace(status=status)
    assert lifecycle._authority_lost(None, {host("acme").container: machine}) is lost


def _source(suite: str, uri: str = "http://mirror.example.net/debian/") -> packages.Source:
    return packages.Source(uri, suite, "main", "")


def test_the_machines_own_entries_of_the_suite_are_taken_and_no_others() -> None:
    own = [_source("bookworm"), _source("bookworm-updates"), _source("bookworm-backports")]
    assert packages.for_suite([*own, _source("trixie"), own[0]]) == own


def test_on_another_release_the_same_mirrors_serve_the_suite() -> None:
    security = "http://mirror.example.net/debian-security/"
    newer = [_source("trixie"), _source("trixie-updates"), _source("trixie-security", security)]
    assert packages.for_suite([*newer, _source("trixie-backports"), _source("sid")]) == [
        _source("bookworm"),
        _source("bookworm-updates"),
        _source("bookworm-security", security),
    ]
    assert packages.for_suite([]) == []


def test_without_root_there_is_one_clear_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(LabError, match="sudo"):
        engine.require_root()


def test_waiting_ends_when_the_condition_holds_or_the_time_is_over() -> None:
    answers = iter([False, False, True])
    assert engine.wait_until(lambda: next(answers), 5, every=0.001)
    assert not engine.wait_until(lambda: False, 0.01, every=0.001)
