# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripts of Workers: the upload form, bindings that are kept, what is secret."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lab.twins.cloudflare import Response
from tests.unit.lab.twins.conftest import BASE, TOKEN, codes
from tests.unit.lab.twins.mail import MailApi, form, mail

SOURCE = "export default { async email(message, env, ctx) { await message.forward(env.TO) } }"
MODULE = "application/javascript+module"
SEND = {"type": "send_email", "name": "MAIL", "allowed_destination_addresses": ["hi@gmail.example"]}
SCRIPT = "{a}/workers/scripts/filter"


def upload(api: MailApi, metadata: Any = None, name: str = "filter", **modules: tuple[str, str]) -> Response:
    full = {"main_module": "index.mjs", "compatibility_date": "2026-11-01", **(metadata or {})}
    parts = {"metadata": ("application/json", json.dumps(full)), "index.mjs": (MODULE, SOURCE), **modules}
    return send(api, "PUT", f"/workers/scripts/{name}", parts)


def send(api: MailApi, method: str, path: str, parts: dict[str, tuple[str, str]]) -> Response:
    kind, body = form(parts)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind}
    return api.twin.handle(method, f"{BASE}{api.account}{path}", "", headers, body)


def test_a_script_with_its_bindings() -> None:
    api = mail()
    made = upload(api, {"bindings": [SEND], "compatibility_flags": ["nodejs_compat"]}).json["result"]
    assert (made["id"], made["handlers"], made["compatibility_date"]) == ("filter", ["email"], "2026-11-01")
    (listed,) = api.ok("GET", "{a}/workers/scripts")
    assert {**listed, "startup_time_ms": 1} == made
    script = api.twin.worker("filter")
    assert script is not None and script.modules == {"index.mjs": SOURCE} and script.bindings == [SEND]
    assert api.ok("GET", f"{SCRIPT}/settings")["bindings"] == [SEND]
    content = api.at("GET", SCRIPT)
    assert SOURCE in str(content.text) and content.headers["Content-Type"].startswith("multipart/form-data")


def test_uploading_again_keeps_the_tag_and_the_kinds_asked_for() -> None:
    api = mail()
    secret, text = (
        {"type": "secret_text", "name": "KEY", "text": "s"},
        {"type": "plain_text", "name": "TO", "text": "a"},
    )
    first = upload(api, {"bindings": [secret, text]}).json["result"]
    second = upload(api, {"bindings": [{**text, "text": "b"}, SEND], "keep_bindings": ["secret_text", "plain_text"]})
    assert second.json["result"]["tag"] == first["tag"] and second.json["result"]["etag"] != first["etag"]
    found = api.ok("GET", f"{SCRIPT}/settings")["bindings"]
    assert found == [{**text, "text": "b"}, SEND, {"type": "secret_text", "name": "KEY"}]
    upload(api)
    assert api.ok("GET", f"{SCRIPT}/settings")["bindings"] == []
    assert upload(api).json["result"]["etag"] == upload(api).json["result"]["etag"]


def test_settings_change_without_the_code() -> None:
    api = mail()
    upload(api)
    settings = json.dumps({"bindings": [SEND], "tags": ["mail"]})
    answer = send(api, "PATCH", "/workers/scripts/filter/settings", {"settings": ("application/json", settings)})
    assert (answer.json["result"]["bindings"], answer.json["result"]["tags"]) == ([SEND], ["mail"])
    assert codes(send(api, "PATCH", "/workers/scripts/filter/settings", {})) == [10021]
    assert codes(send(api, "PATCH", "/workers/scripts/none/settings", {"settings": ("application/json", "{}")})) == [
        10007
    ]


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"main_module": "other.mjs"}, "No such module 'other.mjs'"),
        ({"compatibility_date": "today"}, "compatibility_date"),
        ({"bindings": [{"type": "mail", "name": "X"}]}, "Unknown binding type 'mail'"),
        ({"bindings": [{"type": "send_email", "name": "NOT-A-NAME"}]}, "identifier"),
        ({"bindings": [{"type": "plain_text", "name": "X"}]}, "needs text"),
        ({"bindings": [{**SEND, "destination_address": "a@b.example"}]}, "exclude each other"),
        ({"bindings": [{**SEND, "to": "a@b.example"}]}, "send_email has no to"),
        ({"bindings": [SEND, SEND]}, "one name"),
        ({"bindings": {}}, "lists"),
    ],
)
def test_metadata_that_is_refused(metadata: Any, says: str) -> None:
    api = mail()
    answer = upload(api, metadata)
    assert codes(answer) == [10021] and says in answer.json["errors"][0]["message"]
    assert api.twin.worker("filter") is None


def test_forms_that_are_refused() -> None:
    api = mail()
    assert codes(upload(api, name="Not-A-Name")) == [10016]
    assert codes(upload(api, page=("text/html", "x"))) == [10021]
    assert codes(send(api, "PUT", "/workers/scripts/filter", {"index.mjs": (MODULE, SOURCE)})) == [10021]
    broken = {"metadata": ("application/json", "{"), "index.mjs": (MODULE, SOURCE)}
    assert codes(send(api, "PUT", "/workers/scripts/filter", broken)) == [10021]
    assert codes(api.at("PUT", SCRIPT, {"main_module": "x"})) == [10021]
    wrong = {"bindings": [{**SEND, "allowed_destination_addresses": ["nobody"]}]}
    assert codes(upload(api, wrong)) == [2007]


def test_a_script_that_is_gone() -> None:
    api = mail()
    upload(api)
    assert api.ok("DELETE", SCRIPT) is None and api.ok("GET", "{a}/workers/scripts") == []
    for method, path in (("GET", SCRIPT), ("DELETE", SCRIPT), ("GET", f"{SCRIPT}/settings")):
        answer = api.at(method, path)
        assert (answer.status, codes(answer)) == (404, [10007])


def test_a_hostname_leads_to_a_script_until_it_is_taken_away() -> None:
    api = mail()
    upload(api)
    wanted = {"hostname": "mta-sts.example.com", "service": "filter", "zone_id": "", "environment": "production"}
    made = api.ok("PUT", "{a}/workers/domains", wanted)
    assert (made["hostname"], made["service"], made["zone_name"]) == ("mta-sts.example.com", "filter", "example.com")
    assert api.ok("GET", "{a}/workers/domains") == [made]
    assert codes(api.at("PUT", "{a}/workers/domains", {**wanted, "hostname": "mta-sts.example.invalid"})) == [100116]
    assert codes(api.at("PUT", "{a}/workers/domains", {**wanted, "service": "nobody"})) == [10007]
    api.ok("DELETE", f"{{a}}/workers/domains/{made['id']}")
    assert api.ok("GET", "{a}/workers/domains") == []
    assert codes(api.at("DELETE", f"{{a}}/workers/domains/{made['id']}")) == [100114]
