"""Role stalwart: whose data it takes."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.unit.roles.rendering import templar, trusted
from tools import role_docs

TASKS: list[dict[str, Any]] = yaml.safe_load(
    (role_docs.ROLES / "stalwart/tasks/install.yml").read_text(encoding="utf-8")
)


@pytest.mark.parametrize(("kind", "other"), [("home", "service"), ("service", "home")])
def test_data_of_another_kind_of_server_ends_the_run_before_anything_is_written(kind: str, other: str) -> None:
    look, stop, write = TASKS[:3]
    found = {"stat": {"exists": True, "path": f"/var/lib/mailstead/server/.{other}"}}
    made = templar("stalwart", stalwart_kind=kind, inventory_hostname="box", **{look["register"]: found})
    assert made.template(trusted(look["ansible.builtin.stat"]["path"])) == found["stat"]["path"]
    assert made.evaluate_conditional(trusted(stop["when"])) is True
    said = made.template(trusted(stop["ansible.builtin.fail"]["msg"]))
    assert said.startswith("[MS-HOST-016] box: ") and "/var/lib/mailstead/server.old" in said
    marks = {made.template(trusted(f["path"])) for f in write["mailstead.stack.host_setup"]["files"]}
    assert f"/var/lib/mailstead/server/.{kind}" in marks and found["stat"]["path"] not in marks


def test_a_service_says_that_it_is_one() -> None:
    path = role_docs.ROLES.parent / "playbooks/tasks/submission_service.yml"
    (task,) = [t for t in yaml.safe_load(path.read_text(encoding="utf-8")) if t["name"] == "Run the mail server"]
    assert (
        task["vars"]["stalwart_kind"] == "service"
        and templar("stalwart").template(trusted("{{ __stalwart_mark }}")) == ".home"
    )
