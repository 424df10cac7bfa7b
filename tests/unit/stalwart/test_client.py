# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.apply import set_error_problem
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.client import Client, MethodError, basic, bearer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.stalwart.server import AFTER, CLOSE, RECOVERY, Reply, Server, recordings


def code(error: pytest.ExceptionInfo[MailsteadError]) -> str:
    return error.value.problems[0].code


def answering(server: Server, body: Any, status: int = 200, **headers: str) -> None:
    """Let the server answer every JMAP request like this."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    server.fault = lambda _n, _m, path, _b: Reply(status, data, headers) if path == "/jmap" else None


@pytest.mark.parametrize(("label", "entry"), recordings(), ids=[label for label, _ in recordings()])
def test_it_copes_with_every_recorded_answer(
    label: str, entry: dict[str, Any], scripted: Server, scripted_client: Client
) -> None:
    """Replay: each recorded answer gives results or one MailsteadError, and refusals keep the server's words."""
    request, response = entry["request"], entry["response"]
    if not isinstance(request, dict) or "methodCalls" not in request:
        pytest.skip("not a JMAP request")
    answering(scripted, response, entry["status"])
    calls = [(name, arguments) for name, arguments, _id in request["methodCalls"]]
    try:
        answers = scripted_client.call(calls)
    except MailsteadError as error:
        refused = entry["status"] != 200 or any(r[0] == "error" for r in response["methodResponses"])
        assert refused, label
        if entry["status"] == 200:
            words = next(r[1] for r in response["methodResponses"] if r[0] == "error")
            assert words["type"] in str(error)
            assert str(words.get("description", "")) in str(error)
        return
    assert answers == [r[1] for r in response["methodResponses"]]
    for answer in answers:
        for key in ("notCreated", "notUpdated", "notDestroyed"):
            for refusal in (answer.get(key) or {}).values():
                problem = set_error_problem("here", refusal)
                assert problem.code.startswith("MS-SRV-0")
                assert refusal["type"] in problem.what
                assert str(refusal.get("description", "")) in problem.what
                for each in refusal.get("validationErrors", []):
                    assert str(each["property"]) in problem.what


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, b'{"title": "Unauthorized", "detail": "You have to authenticate first."}', "MS-SRV-002"),
        (403, b"{}", "MS-SRV-003"),
        (429, b"{}", "MS-SRV-004"),
        (503, b"busy", "MS-SRV-004"),
        (400, b'{"title": "Invalid parameters"}', "MS-SRV-005"),
        (404, b"<html>", "MS-SRV-005"),
        (500, b"", "MS-SRV-005"),
        (200, b"<html>a proxy's page</html>", "MS-SRV-006"),
        (200, b"", "MS-SRV-006"),
        (200, b"\x1f\x8bnot gzip", "MS-SRV-006"),
        (200, b"[]", "MS-SRV-006"),
        (200, b"{}", "MS-SRV-006"),
        (200, b'{"methodResponses": {}}', "MS-SRV-006"),
        (200, b'{"methodResponses": []}', "MS-SRV-006"),
        (200, b'{"methodResponses": [["x:Domain/get", [], "c0"]]}', "MS-SRV-006"),
        (200, b'{"methodResponses": [["x:Domain/get", {}]]}', "MS-SRV-006"),
        (200, b'{"methodResponses": [["x:Domain/get", {}, "c7"]]}', "MS-SRV-006"),
        (200, b'{"methodResponses": [["x:Account/get", {}, "c0"]]}', "MS-SRV-006"),
        (200, b'{"methodResponses": [["error", {"type": "forbidden"}, "c0"]]}', "MS-SRV-003"),
        (200, b'{"methodResponses": [["error", {"type": "unknownMethod"}, "c0"]]}', "MS-SRV-010"),
        (200, b'{"methodResponses": [["error", {}, "c0"]]}', "MS-SRV-008"),
        (302, b"", "MS-SRV-006"),
    ],
)
def test_each_kind_of_wrong_answer_has_its_code(
    status: int, body: bytes, expected: str, scripted: Server, scripted_client: Client
) -> None:
    answering(scripted, body, status)
    with pytest.raises(MailsteadError) as caught:
        scripted_client.call([("x:Domain/get", {"ids": None})])
    assert code(caught) == expected
    assert caught.value.problems[0].fix


def test_the_servers_words_are_repeated(scripted: Server, scripted_client: Client) -> None:
    answering(scripted, {"title": "Unauthorized", "detail": "You have to authenticate first."}, 401)
    with pytest.raises(MailsteadError, match="You have to authenticate first"):
        scripted_client.call([("x:Domain/get", {"ids": None})])


def test_a_limit_names_the_time_to_wait(scripted: Server, scripted_client: Client) -> None:
    answering(scripted, b"{}", 429, **{"Retry-After": "7"})
    with pytest.raises(MailsteadError, match="after 7 s"):
        scripted_client.call([("x:Domain/get", {"ids": None})])


NO_LISTS: list[Any] = [None, {}, [1], [{}]]


@pytest.mark.parametrize("listed", NO_LISTS)
def test_lists_of_objects_must_be_lists_of_objects(listed: Any, scripted: Server, scripted_client: Client) -> None:
    answering(scripted, {"methodResponses": [["x:Domain/get", {"list": listed}, "c0"]]})
    with pytest.raises(MailsteadError) as caught:
        scripted_client.get_all(["Domain"])
    assert code(caught) == "MS-SRV-006"


def test_nobody_there_is_a_clear_message(server: Server) -> None:
    url = server.url
    server.close()
    with pytest.raises(MailsteadError, match="cannot connect") as caught:
        Client(url, basic(*RECOVERY), 1).call([("x:Domain/get", {"ids": None})])
    assert code(caught) == "MS-SRV-001"


def test_a_wrong_url_is_a_clear_message() -> None:
    for url in ("127.0.0.1:8080", "ftp://x", ""):
        with pytest.raises(MailsteadError, match="MS-SRV-001"):
            Client(url, "")


def test_credentials_appear_in_no_message(server: Server) -> None:
    for authorization in (basic("admin", "hush-hush-hush"), bearer("API_hush-hush-hush")):
        client = Client(server.url, authorization, 5)
        with pytest.raises(MailsteadError) as caught:
            client.call([("x:Domain/get", {"ids": None})])
        assert code(caught) == "MS-SRV-002"
        assert "hush" not in str(caught.value)
        client.close()


def test_a_dropped_idle_connection_is_opened_again_for_reading(server: Server, client: Client) -> None:
    client.limits()
    dropped: list[int] = []

    def fault(number: int, _method: str, path: str, _body: Any) -> str | None:
        if path == "/jmap" and not dropped:
            dropped.append(number)
            return CLOSE
        return None

    server.fault = fault
    assert client.get_all(["Domain"]) == {"Domain": []}
    assert len(dropped) == 1


def test_a_write_is_never_sent_twice(server: Server, client: Client) -> None:
    client.limits()
    server.fault = lambda _n, _m, path, _b: AFTER if path == "/jmap" else None
    before = server.requests
    with pytest.raises(MailsteadError, match="broke off"):
        client.call([("x:Domain/set", {"create": {"d": {"name": "example.com"}}})], changes=True)
    assert server.requests == before + 1


def test_requests_keep_to_the_servers_number_of_calls(start: Callable[..., Server]) -> None:
    server = start({"maxCallsInRequest": 3})
    client = Client(server.url, basic(*RECOVERY), 5)
    types = ["Domain", "Account", "Role", "Tracer", "MtaRoute", "MtaTlsStrategy", "NetworkListener"]
    found = client.get_all(types, ["MtaSts", "Asn"])
    client.close()
    assert set(found) == {*types, "MtaSts", "Asn"}
    assert len(found["NetworkListener"]) == 7
    # The session, and nine calls in threes.
    assert server.requests == 4


def test_more_objects_than_the_server_shows_are_fetched_in_pages(start: Callable[..., Server]) -> None:
    server = start({"maxObjectsInGet": 4})
    for i in range(11):
        server.change("AllowedIp", create={"a": {"address": f"198.18.0.{i + 1}"}})
    client = Client(server.url, basic(*RECOVERY), 5)
    found = client.get_all(["AllowedIp"])["AllowedIp"]
    client.close()
    assert len({o["id"] for o in found}) == 11


def test_the_schema_is_fetched_once_and_kept(server: Server, client: Client, tmp_path: Path) -> None:
    assert client.schema(tmp_path).has_type("Domain")
    kept = list(tmp_path.iterdir())
    assert len(kept) == 1
    assert kept[0].stat().st_mode & 0o777 == 0o600
    server.forget()
    assert client.schema(tmp_path).has_type("Domain")
    assert server.requests == 1


def test_a_damaged_copy_of_the_schema_is_replaced(server: Server, client: Client, tmp_path: Path) -> None:
    client.schema(tmp_path)
    kept = next(tmp_path.iterdir())
    for damage in (b"", b"\x1f\x8b", kept.read_bytes()[:500]):
        kept.write_bytes(damage)
        assert client.schema(tmp_path).has_type("Domain")


def test_a_server_without_a_schema_is_too_old(server: Server, client: Client) -> None:
    server.fault = lambda _n, _m, path, _b: Reply(404, b"{}") if path.startswith("/api") else None
    with pytest.raises(MailsteadError, match=r"0\.16\.18") as caught:
        client.schema(None)
    assert code(caught) == "MS-SRV-007"


@pytest.mark.parametrize("target", ["", "http://elsewhere/x", "/api/schema/../../etc", "/login"])
def test_a_schema_redirect_elsewhere_is_refused(target: str, server: Server, client: Client, tmp_path: Path) -> None:
    server.fault = lambda _n, _m, path, _b: Reply(302, b"", {"Location": target}) if path == "/api/schema" else None
    with pytest.raises(MailsteadError, match="redirects"):
        client.schema(tmp_path)
    assert not list(tmp_path.iterdir())


def test_wait_ends_when_the_server_answers(server: Server, client: Client) -> None:
    server.fault = lambda number, _m, _p, _b: CLOSE if number < 3 else None
    client.wait(10)
    assert server.requests == 4


def test_wait_gives_up_at_its_deadline(server: Server, client: Client) -> None:
    server.fault = lambda *_: CLOSE
    with pytest.raises(MailsteadError, match="no answer within 0"):
        client.wait(0.3)


def test_a_method_error_keeps_its_type(scripted: Server, scripted_client: Client) -> None:
    with pytest.raises(MethodError) as caught:
        scripted_client.call([("x:Nonsense/get", {"ids": None})])
    assert caught.value.type == "unknownMethod"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.text(max_size=5)
    | st.sampled_from(["c0", "x:Domain/get", "error"]),
    lambda c: (
        st.lists(c, max_size=4)
        | st.dictionaries(st.sampled_from(["methodResponses", "list", "id", "type", "x"]), c, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(JSON)
def test_no_answer_makes_it_stumble(scripted: Server, scripted_client: Client, body: Any) -> None:
    """Malformed answers end in a MailsteadError, never in another exception."""
    for document in (body, {"methodResponses": body}, {"methodResponses": [["x:Domain/get", body, "c0"]]}):
        answering(scripted, document)
        try:
            found = scripted_client.get_all(["Domain"])
        except MailsteadError:
            continue
        assert all(isinstance(o["id"], str) for o in found["Domain"])


@given(
    JSON
    | st.dictionaries(
        st.sampled_from(["type", "description", "properties", "validationErrors", "objectId", "linkedObjects"]), JSON
    )
)
def test_no_refusal_makes_it_stumble(refusal: Any) -> None:
    assert set_error_problem("here", refusal).code.startswith("MS-SRV-")
