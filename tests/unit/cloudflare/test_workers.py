# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Workers: lost answers, odd answers, the form and the digest."""

from __future__ import annotations

import email
import email.policy
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare import worker_hostnames, workers
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.workers import Deployed, Task, Wanted
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.common.http import Answer
from hypothesis import given
from hypothesis import strategies as st

from lab.twins.cloudflare import Fault
from tests.unit.cloudflare import support
from tests.unit.cloudflare.support import TOKEN

SECRET = {"type": "secret_text", "name": "KEY", "text": "short"}
WANTED = Wanted("tickets", {"main.js": "export default {};\n"}, "main.js", ({"type": "json", "name": "C", "json": {}},))


class Bench(support.Bench):
    def __init__(self) -> None:
        super().__init__(tokens=[{"token": TOKEN, "scopes": ["Workers Scripts:Edit"]}])


def account(bench: Bench) -> str:
    return bench.twin.config.account.id


def planned(bench: Bench, wanted: Wanted = WANTED) -> list[Task]:
    tasks, problems = workers.plan(bench.client(), account(bench), [wanted], "mailstead")
    assert problems == []
    return tasks


def codes(problems: Any) -> list[str]:
    return [p.code for p in problems]


def test_an_upload_whose_answer_is_lost_is_looked_for_and_not_made_twice() -> None:
    bench = Bench()
    tasks = planned(bench)
    bench.requests.clear()
    bench.twin.faults.drop_after_write(method="PUT", path="/scripts")
    assert workers.apply(bench.client(), account(bench), tasks) == [] and tasks[0].written
    assert [r.split()[0] for r in bench.requests] == ["PUT", "GET", "GET", "GET"]
    assert planned(bench)[0].action == "none"


def test_an_upload_that_never_arrived_is_made_again() -> None:
    bench = Bench()
    tasks = planned(bench)
    bench.twin.faults.drop_unread(1, "PUT", "/scripts")
    assert workers.apply(bench.client(), account(bench), tasks) == []
    assert sum(r.startswith("PUT") for r in bench.requests) == 2 and planned(bench)[0].action == "none"


def test_an_upload_that_stays_unclear_is_told() -> None:
    bench = Bench()
    tasks = planned(bench)
    bench.twin.faults.add(Fault("status", 9, method="PUT", status=502))
    assert codes(workers.apply(bench.client(), account(bench), tasks)) == ["MS-CW-005"] and not tasks[0].written


def test_a_removal_whose_answer_is_lost() -> None:
    bench = Bench()
    workers.apply(bench.client(), account(bench), planned(bench))
    tasks = planned(bench, Wanted("tickets", present=False))
    bench.twin.faults.drop_after_write(method="DELETE", path="/scripts")
    assert workers.apply(bench.client(), account(bench), tasks) == []
    assert sum(r.startswith("DELETE") for r in bench.requests) == 1 and bench.twin.worker("tickets") is None
    assert planned(bench, Wanted("tickets", present=False))[0].action == "none"


def test_a_removal_that_did_not_happen_is_made_again() -> None:
    bench = Bench()
    workers.apply(bench.client(), account(bench), planned(bench))
    tasks = planned(bench, Wanted("tickets", present=False))
    bench.twin.faults.add(Fault("status", method="DELETE", status=502))
    assert workers.apply(bench.client(), account(bench), tasks) == [] and bench.twin.worker("tickets") is None


class Fixed:
    """Answers by the end of the path; what is not given is the shape of an empty account."""

    def __init__(self, **answers: Answer) -> None:
        self.answers = answers

    def request(self, _method: str, path: str, *_rest: Any) -> Answer:
        end = path.rsplit("/", 1)[-1]
        return self.answers.get(end, Answer(200, {}, b'{"success": true, "result": []}'))

    def close(self) -> None:
        return None


def answer(body: bytes, kind: str = "application/json", status: int = 200) -> Answer:
    return Answer(status, {"content-type": kind}, body)


def client(**answers: Answer) -> Client:
    return Client(TOKEN, lambda: Fixed(**answers), pause=lambda _s: None)


SETTINGS = answer(b'{"success": true, "result": {"bindings": [], "tags": null, "compatibility_date": null}}')
REFUSED = answer(b'{"success": false, "errors": [{"code": 10021, "message": "no"}]}', status=400)


def test_code_that_comes_back_in_an_unknown_form_is_left_out_of_the_comparison() -> None:
    for odd in (
        answer(b"export default {}", "application/javascript"),
        answer(b"no parts", "multipart/form-data; boundary=x"),
        answer(b"no parts", "multipart/mixed"),
        answer(b"--x\r\nContent-Type: text/plain\r\n\r\nnameless\r\n--x--\r\n", "multipart/form-data; boundary=x"),
    ):
        script = workers.read_script(client(settings=SETTINGS, tickets=odd), "a", "tickets")
        assert script == Deployed("tickets", (), (), "", None)
    assert "main.js differs" not in str(workers.reasons(WANTED, script, workers.metadata(WANTED, "m", "a")))
    assert "modules:\nbindings:" in workers.shown("tickets", script)


def test_answers_without_the_documented_shape() -> None:
    with pytest.raises(MailsteadError, match="MS-CF-004"):
        workers.list_scripts(client(scripts=answer(b'{"success": true, "result": [{"tag": "x"}]}')), "a")
    for bad in (b'{"success": true, "result": {"bindings": ["x"]}}', b'{"success": true, "result": null}'):
        with pytest.raises(MailsteadError, match="MS-CF-004"):
            workers.read_script(client(settings=answer(bad)), "a", "tickets")
    with pytest.raises(MailsteadError, match="MS-CW-004"):
        workers.read_script(client(settings=SETTINGS, tickets=REFUSED), "a", "tickets")


def test_all_scripts_that_cannot_be_read_are_told() -> None:
    listed = answer(b'{"success": true, "result": [{"id": "a"}, {"id": "b"}]}')
    both = [Wanted("a", {"m": ""}, "m"), Wanted("b", {"m": ""}, "m")]
    with pytest.raises(MailsteadError) as caught:
        workers.plan(client(scripts=listed, settings=REFUSED), "x", both, "mailstead")
    assert [p.where for p in caught.value.problems] == ["worker a", "worker b"]


def test_a_rate_limit_is_passed_on_as_it_is() -> None:
    refusal = answer(
        b'{"success": false, "errors": [{"code": 6003, "message": "Invalid request headers"}]}', status=400
    )
    with pytest.raises(MailsteadError, match="MS-CF-002"):
        workers.list_scripts(client(scripts=refusal), "a")


def test_a_delete_without_a_body_and_text_that_is_no_json() -> None:
    empty = client(gone=Answer(200, {}, b""))
    assert empty.remove("/gone") is None
    with pytest.raises(MailsteadError, match="MS-CF-004"):
        client(graphql=answer(b"<html>")).ask("/graphql", {})
    with pytest.raises(MailsteadError, match="MS-CF-004"):
        client(graphql=answer(b"<html>", status=403)).ask("/graphql", {})


def test_uploaded_by_another_tool() -> None:
    have = Deployed("tickets", ("mailstead:m",), WANTED.bindings, WANTED.date, WANTED.modules)
    assert workers.reasons(WANTED, have, workers.metadata(WANTED, "m", "a")) == ("it was uploaded by another tool",)


def test_the_digest_hides_a_secret_and_tells_it_from_another() -> None:
    one = Wanted("w", {"m": "x"}, "m", (SECRET,))
    two = Wanted("w", {"m": "x"}, "m", ({**SECRET, "text": "other"},))
    assert workers.digest(one, "a") == workers.digest(one, "a") != workers.digest(two, "a")
    # The same secret elsewhere has another digest: they cannot be compared.
    assert workers.digest(one, "b") != workers.digest(one, "a")
    shown = workers.shown("w", Deployed("w", ("mailstead:m",), (SECRET,), "2026-01-01", {"m": "x"}))
    assert "short" not in shown and "KEY: secret_text {}" in shown


@given(
    st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9_]{0,8}\.js", fullmatch=True),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\x00")),
        min_size=1,
        max_size=4,
    )
)
def test_any_code_comes_back_from_the_form_as_it_went_in(modules: dict[str, str]) -> None:
    kind, body = workers.form({"main_module": "x"}, modules)
    parsed = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body, policy=email.policy.HTTP)
    assert parsed.is_multipart() and not parsed.defects
    found = workers.read_form(kind, body)
    assert found is not None and found.pop("metadata") == '{"main_module": "x"}'
    assert not workers.reasons(
        Wanted("w", modules, "x"),
        Deployed(
            "w",
            ("mailstead:m",),
            tuple(workers.metadata(Wanted("w", modules, "x"), "m", "a")["bindings"]),
            WANTED.date,
            found,
        ),
        workers.metadata(Wanted("w", modules, "x"), "m", "a"),
    )


@pytest.mark.parametrize(("method", "change"), [("PUT", "attach"), ("DELETE", "detach")])
def test_a_hostname_whose_answer_is_lost(method: str, change: str) -> None:
    bench = Bench()
    workers.apply(bench.client(), account(bench), planned(bench))
    attach = worker_hostnames.Change("www.example.com", "tickets")
    if change == "detach":
        worker_hostnames.apply(bench.client(), account(bench), [attach])
    found = worker_hostnames.list_attached(bench.client(), account(bench))
    one = attach if change == "attach" else worker_hostnames.Change("www.example.com", "", found[0])
    bench.requests.clear()
    bench.twin.faults.drop_after_write(method=method, path="/domains")
    assert worker_hostnames.apply(bench.client(), account(bench), [one]) == (1, [])
    assert sum(r.startswith(method) for r in bench.requests) == 1
    again = worker_hostnames.list_attached(bench.client(), account(bench))
    assert [a.hostname for a in again] == (["www.example.com"] if change == "attach" else [])
    bench.twin.faults.add(Fault("status", 9, method="PUT", path="/domains", status=502))
    other = worker_hostnames.Change("b.example.com", "tickets")
    made, problems = worker_hostnames.apply(bench.client(), account(bench), [other])
    assert made == 0 and codes(problems) == ["MS-CW-005"]


def test_hostnames_without_the_documented_shape() -> None:
    for bad in (b'{"success": true, "result": null}', b'{"success": true, "result": [{"hostname": "x"}]}'):
        with pytest.raises(MailsteadError, match="MS-CF-004"):
            worker_hostnames.list_attached(client(domains=answer(bad)), "a")
    with pytest.raises(MailsteadError, match="MS-CW-004"):
        worker_hostnames.list_attached(client(domains=REFUSED), "a")
