# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each vendor has of its own: asynchronous changes, families of addresses, words and rights."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.common.http import Answer
from ansible_collections.mailstead.stack.plugins.module_utils.ptr import account as accounts
from ansible_collections.mailstead.stack.plugins.module_utils.ptr import aws, client, linode
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.sigv4 import (
    Keys,
    Request,
    Scope,
    authorization,
    canonical_request,
    string_to_sign,
)

from lab.twins.aws import Credentials, Elastic
from lab.twins.aws.signature import verify
from lab.twins.hcloud import Ip
from lab.twins.http import Fault, Refused, serve
from lab.twins.http import Request as TwinRequest
from lab.twins.vultr import Instance, Reserved
from tests.unit.ptr.support import NAME, OLD, V6, VENDORS, TwinTransport, Vendor, v4, vendor, wanted


def told(there: Vendor, *records: Any, **credential: Any) -> tuple[str, str]:
    """Code and text of the one problem of a run."""
    with pytest.raises(MailsteadError) as caught:
        there.run(*(records or [wanted(v4(1))]), **credential)
    (found,) = caught.value.problems
    assert found.fix and there.secret not in str(caught.value)
    return found.code, f"{found.what} | {found.fix}"


# -- Hetzner Cloud -----------------------------------------------------------------------------------------------------


def test_hcloud_waits_for_its_actions_together() -> None:
    there = vendor("hcloud", looks=3)
    assert [r.status for r in there.run(wanted(v4(1)), wanted(V6))] == ["changed", "changed"]
    assert there.names() == {v4(1): NAME, V6: NAME}
    assert there.twin.log.count("GET", "/actions") == 3 and there.pauses == [0.5, 1.0]


def test_hcloud_tells_why_an_action_failed_and_sets_the_rest() -> None:
    there = vendor("hcloud", failing=[("action_failed", "Action failed")])
    code, text = told(there, wanted(v4(1)), wanted(V6))
    assert code == "MS-PTR-015" and "Action failed (action_failed)" in text
    assert there.names() == {v4(1): OLD, V6: NAME}


def test_hcloud_actions_that_do_not_end_are_given_up_and_found_done_later() -> None:
    there = vendor("hcloud", looks=20)
    code, text = told(there)
    assert code == "MS-PTR-015" and "not done with it after 60 s" in text
    there.twin.looks = 0
    assert there.run(wanted(v4(1)))[0].status == "changed"
    assert there.run(wanted(v4(1)))[0].status == "ok"


def test_hcloud_tries_again_while_the_object_is_locked() -> None:
    there = vendor("hcloud", busy=client.BUSY_TRIES - 1)
    there.run(wanted(v4(1)))
    assert there.names()[v4(1)] == NAME
    there.twin.busy = client.BUSY_TRIES
    code, text = told(there, wanted(v4(1), "other.example.com"))
    assert code == "MS-PTR-014" and "locked" in text


def test_hcloud_finds_addresses_of_every_kind() -> None:
    ips = [
        Ip("servers", 7, v4(7), "old-server", {v4(7): OLD}),
        Ip("servers", 8, "2001:db8:0:8::/64", "six", {"2001:db8:0:8::1": OLD}),
        Ip("floating_ips", 9, v4(9), "float", {v4(9): OLD}),
        Ip("primary_ips", 3, "2001:db8:0:2::/64", "v6"),
    ]
    there = vendor("hcloud", {}, ips=ips)
    planned = there.run(wanted(v4(7)), wanted(v4(9)), wanted("2001:db8:0:8::1"), wanted("2001:db8:0:8::2"), wanted(V6))
    assert [r.before for r in planned] == [(OLD,), (OLD,), (OLD,), (), ()]
    assert set(there.names().values()) == {NAME} and len(there.names()) == 5
    assert there.twin.log.count("POST", "/servers/8/") == 2


def test_hcloud_asks_no_further_than_needed() -> None:
    there = vendor("hcloud", {v4(1): NAME})
    there.run(wanted(v4(1)))
    assert [e.path for e in there.twin.log.entries] == ["/v1/primary_ips"]


def test_hcloud_refuses_a_token_that_only_reads() -> None:
    there = vendor("hcloud")
    code, text = told(there, token=there.twin.reader)
    assert code == "MS-PTR-011" and "token_readonly" in text and "Read & Write" in text


def test_hcloud_shows_which_field_it_did_not_take() -> None:
    there = vendor("hcloud")
    code, text = told(there, wanted(v4(1), "nodots"))
    assert code == "MS-PTR-014" and "dns_ptr: must be a fully qualified domain name" in text


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b'{"primary_ips": 3}',
        b'{"primary_ips": [{"id": "x"}, 5]}',
        b'{"primary_ips": [{"id": 1, "ip": "nonsense"}]}',
    ],
)
def test_hcloud_nonsense_is_no_reason_to_crash(body: bytes) -> None:
    account = vendor("hcloud").account(vendor("hcloud").client(Canned(body)))
    with pytest.raises(MailsteadError):
        accounts.AccountPtr(account).plan([wanted(v4(1))])


def test_hcloud_answers_to_changes_have_to_name_an_action() -> None:
    there = vendor("hcloud")
    holding = accounts.Holding(v4(1), "x", "", ("primary_ips", 1))
    with pytest.raises(client.UnclearError):
        there.account(there.client(Canned(b"{}"))).set(holding, NAME)
    with pytest.raises(MailsteadError, match="the action 5 is missing"):
        there.account(there.client(Canned(b'{"actions": []}'))).progress({v4(1): 5})


# -- Linode ------------------------------------------------------------------------------------------------------------


def test_linode_wants_the_forward_record_first() -> None:
    there = vendor("linode", forward={})
    code, text = told(there)
    assert code == "MS-PTR-013" and "Forward first" in text and "unable to perform a lookup" in text
    assert there.names() == {v4(1): OLD}


def test_linode_one_missing_forward_record_does_not_hold_up_the_other_family() -> None:
    there = vendor("linode", forward={NAME: [V6]})
    assert told(there, wanted(v4(1)), wanted(V6))[0] == "MS-PTR-013"
    assert there.names() == {v4(1): OLD, V6: NAME}


def test_linode_finds_addresses_of_routed_ranges() -> None:
    inside = "2001:db8:0:77::25"
    there = vendor("linode", {v4(1): NAME}, ranges=["2001:db8:0:77::/64"], forward={NAME: [inside]})
    assert there.run(wanted(v4(1)), wanted(inside))[1].before == ()
    assert there.names()[inside] == NAME
    assert there.run(wanted(inside))[0].status == "ok"
    assert told(there, wanted("2001:db8:0:78::25"))[0] == "MS-PTR-012"


def test_linode_tells_a_wrong_token_from_a_missing_scope() -> None:
    there = vendor("linode")
    assert told(there, token="z" * 64)[0] == "MS-PTR-010"
    code, text = told(there, token=there.twin.reader)
    assert code == "MS-PTR-011" and "ips:read_write" in text


def test_linode_waits_until_the_window_of_its_limit_is_over() -> None:
    there = vendor("linode", window=40)
    there.twin.faults.add(Fault("status", status=429, retry_after=0))
    there.run(wanted(v4(1)))
    assert 38 <= there.pauses[0] <= 41


def test_linode_reset_in_the_past_means_now() -> None:
    api = linode.LinodeApi("t" * 64)
    assert api.wait(Answer(429, {"x-ratelimit-reset": "1000"})) == 1.0
    assert api.wait(Answer(429, {"x-ratelimit-reset": "soon"})) is None


@pytest.mark.parametrize("body", [b"null", b'{"data": {}}', b'{"data": [7, {"address": 5}]}'])
def test_linode_nonsense_is_no_reason_to_crash(body: bytes) -> None:
    there = vendor("linode")
    with pytest.raises(MailsteadError):
        accounts.AccountPtr(there.account(there.client(Canned(body)))).plan([wanted(v4(1))])


# -- Vultr -------------------------------------------------------------------------------------------------------------


def vultr(**more: Any) -> Vendor:
    instances = [
        Instance("i-1", "mail", {v4(1): OLD, v4(2): OLD}, "2001:db8:0:2::/64", {"2001:db8:0:2::1": OLD}),
        Instance("i-2", "web", {v4(3): OLD, v4(4): OLD, v4(5): OLD}),
    ]
    reserved = [
        Reserved("r-1", v4(4), 32, "i-2", "mail-ip"),
        Reserved("r-2", v4(9), 32),
        Reserved("r-3", "2001:db8:0:9::", 64, "i-2"),
        Reserved("r-4", "2001:db8:0:a::", 64),
    ]
    return vendor("vultr", {}, instances=instances, reserved=reserved, **more)


def test_vultr_sets_main_secondary_and_reserved_addresses_of_both_families() -> None:
    there = vultr()
    records = [wanted(a) for a in (v4(1), v4(2), v4(4), v4(5), "2001:db8:0:2::25", "2001:db8:0:9::25")]
    planned = there.run(*records)
    assert [r.before for r in planned] == [(OLD,)] * 4 + [(), ()]
    assert {a for a, n in there.names().items() if n == NAME} == {r.address for r in records}
    assert "6 to 12 hours" in planned[0].note
    assert {r.status for r in there.run(*records)} == {"ok"}


def test_vultr_asks_only_the_instances_that_matter() -> None:
    there = vultr()
    there.run(wanted(v4(1)))
    assert there.twin.log.count("GET", "/i-2/") == 0 and there.twin.log.count("GET", "/reserved-ips") == 0


def test_vultr_a_reserved_address_has_to_be_attached_first() -> None:
    for address in (v4(9), "2001:db8:0:a::25"):
        code, text = told(vultr(), wanted(address))
        assert code == "MS-PTR-021" and "attach it" in text


@pytest.mark.parametrize("one_entry", [False, True])
def test_vultr_an_ipv6_entry_is_replaced_whether_or_not_the_api_does_it(one_entry: bool) -> None:
    there = vultr(one_entry=one_entry)
    assert there.run(wanted("2001:db8:0:2::1"))[0].before == (OLD,)
    assert there.names()["2001:db8:0:2::1"] == NAME
    assert there.writes() == (3 if one_entry else 1)


def test_vultr_refusals_that_are_none_of_that_stay() -> None:
    there = vultr()
    assert told(there, wanted(v4(1), "nodots"))[0] == "MS-PTR-014"
    assert told(there, wanted("2001:db8:0:2::7", "nodots"))[0] == "MS-PTR-014"
    assert there.twin.log.count("DELETE") == 0


def test_vultr_says_when_the_key_is_used_from_elsewhere() -> None:
    there = vultr()
    code, text = told(there, token=there.twin.foreign)
    assert code == "MS-PTR-010" and "Unauthorized IP address" in text and "access control" in text


@pytest.mark.parametrize("body", [b"{}", b'{"instances": 1}', b'{"instances": [{}]}'])
def test_vultr_nonsense_is_no_reason_to_crash(body: bytes) -> None:
    there = vultr()
    with pytest.raises(MailsteadError):
        accounts.AccountPtr(there.account(there.client(Canned(body)))).plan([wanted(v4(1))])


# -- AWS ---------------------------------------------------------------------------------------------------------------


def test_aws_waits_for_its_updates() -> None:
    there = vendor("aws", looks=3, forward={NAME: [v4(1)]})
    (planned,) = there.run(wanted(v4(1)))
    assert planned.status == "changed" and "Port 25" in planned.note
    assert there.names() == {v4(1): NAME} and there.pauses == [0.5, 1.0, 2.0]


def test_aws_an_update_under_way_is_waited_for_and_not_written_again() -> None:
    there = vendor("aws", looks=1000)
    code, text = told(there)
    assert code == "MS-PTR-015" and "not done with it" in text
    there.twin.addresses[0].looks = 2
    assert there.run(wanted(v4(1)))[0].status == "pending" and there.writes() == 1
    assert there.names() == {v4(1): NAME}
    assert there.run(wanted(v4(1)))[0].status == "ok"


def test_aws_an_update_to_another_name_is_written_over() -> None:
    there = vendor("aws", looks=1000)
    assert told(there, wanted(v4(1), "other.example.com"))[0] == "MS-PTR-015"
    there.twin.looks = 0
    assert there.run(wanted(v4(1)))[0].status == "changed"
    assert there.names() == {v4(1): NAME}


def test_aws_an_update_that_was_accepted_without_an_answer_is_recognised() -> None:
    there = vendor("aws", looks=3)
    there.twin.faults.add(Fault("drop_after", skip=2))
    assert there.run(wanted(v4(1)))[0].status == "changed"
    assert there.writes() == 1 and there.names() == {v4(1): NAME}


def test_aws_tells_why_an_update_failed_and_tries_again_later() -> None:
    there = vendor("aws", forward={})
    code, text = told(there)
    assert code == "MS-PTR-015" and "forward DNS record" in text and "address record" in text
    there.twin.forward = {NAME: [v4(1)]}
    assert there.run(wanted(v4(1)))[0].status == "changed"
    assert there.names() == {v4(1): NAME}


def test_aws_a_record_that_is_gone_while_waiting_is_told() -> None:
    there = vendor("aws")
    account = there.account(there.client())
    there.twin.addresses[0].ptr = ""
    assert account.progress({v4(1): there.twin.addresses[0].allocation})[v4(1)].failure


def test_aws_has_no_reverse_records_for_ipv6() -> None:
    code, text = told(vendor("aws"), wanted(V6))
    assert code == "MS-PTR-021" and "IPv4" in text


def test_aws_reads_page_by_page() -> None:
    there = vendor("aws", {v4(n): NAME for n in range(1, 31)}, page=7)
    assert {r.status for r in there.run(*(wanted(v4(n)) for n in range(1, 31)))} == {"ok"}
    assert len(there.twin.log.entries) == 1 + 5


def test_aws_throttling_is_waited_out() -> None:
    there = vendor("aws", throttled=3)
    there.run(wanted(v4(1)))
    assert there.pauses[:3] == [2.5, 4.5, 8.5] and there.names() == {v4(1): NAME}


@pytest.mark.parametrize(
    ("credential", "code"),
    [
        ({"access": "AKIDOTHER"}, "MS-PTR-010"),
        ({"token": "w" * 40}, "MS-PTR-010"),
        ({"session": "left-over"}, "MS-PTR-010"),
    ],
)
def test_aws_verifies_who_asks(credential: dict[str, str], code: str) -> None:
    assert told(vendor("aws"), **credential)[0] == code


def test_aws_temporary_keys_come_with_a_session() -> None:
    there = vendor("aws", credentials=[Credentials("ASIA1", "s" * 40, "session-token")])
    there.run(wanted(v4(1)), session="session-token")
    assert there.names() == {v4(1): NAME}
    assert told(there)[0] == "MS-PTR-010"
    assert "session-token" not in repr(Keys("a", "b", "session-token")) and "'b'" not in repr(Keys("a", "b"))


def test_aws_names_the_rights_that_are_missing() -> None:
    known = Credentials("AKID", "s" * 40, actions=("DescribeAddresses", "DescribeAddressesAttribute"))
    code, text = told(vendor("aws", credentials=[known]))
    assert code == "MS-PTR-011" and "ec2:ModifyAddressAttribute" in text


def test_aws_a_wrong_clock_is_told() -> None:
    there = vendor("aws", clock=lambda: 1_000_000_000.0)
    code, text = told(there)
    assert code == "MS-PTR-010" and "clock" in text


def test_aws_an_allocation_that_went_away_is_told() -> None:
    there = vendor("aws")
    provider = there.provider()
    planned = provider.plan([wanted(v4(1))])
    there.twin.addresses[:] = [Elastic(v4(1), "eipalloc-00000000000000009")]
    with pytest.raises(MailsteadError, match=r"MS-PTR-014.*InvalidAllocationID") as caught:
        provider.apply(planned)
    assert provider.written == [] and caught.value.problems[0].fix


def test_aws_endpoints_follow_the_region() -> None:
    assert aws.endpoint("eu-central-1") == "https://ec2.eu-central-1.amazonaws.com"
    assert aws.endpoint("us-gov-west-1") == "https://ec2.us-gov-west-1.amazonaws.com"
    assert aws.endpoint("cn-north-1") == "https://ec2.cn-north-1.amazonaws.com.cn"
    for text in ("", "Frankfurt", "eu-central-1/x", "eu-central-1.evil.example"):
        with pytest.raises(MailsteadError) as caught:
            aws.endpoint(text)
        assert caught.value.problems[0].code == "MS-PTR-002"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"<Other/>",
        b'<!DOCTYPE x [<!ENTITY a "b">]><DescribeAddressesResponse/>',
        b"<DescribeAddressesResponse><addressesSet/></DescribeAddressesResponse>",
    ],
)
def test_aws_nonsense_is_no_reason_to_crash(body: bytes) -> None:
    there = vendor("aws")
    with pytest.raises(MailsteadError):
        accounts.AccountPtr(there.account(there.client(Canned(body)))).plan([wanted(v4(1))])
    with pytest.raises(MailsteadError):
        accounts.AccountPtr(there.account(there.client(Canned(body, 400)))).plan([wanted(v4(1))])


# -- AWS Signature Version 4: the published examples --------------------------------------------------------------------

EXAMPLE = Keys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
BASIC = {"Host": "example.amazonaws.com", "X-Amz-Date": "20150830T123600Z"}
SUITE = Scope("20150830T123600Z", "us-east-1", "service")


@pytest.mark.parametrize(
    ("request_", "signed", "signature"),
    [
        # get-vanilla
        (
            Request("GET", "/", (), BASIC),
            "host;x-amz-date",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        # get-vanilla-query-order-key-case
        (
            Request("GET", "/", (("Param2", "value2"), ("Param1", "value1")), BASIC),
            "host;x-amz-date",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        # post-x-www-form-urlencoded
        (
            Request("POST", "/", (), {"Content-Type": "application/x-www-form-urlencoded", **BASIC}, b"Param1=value1"),
            "content-type;host;x-amz-date",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ],
)
def test_sigv4_test_suite(request_: Request, signed: str, signature: str) -> None:
    """The Signature Version 4 test suite of the AWS General Reference."""
    assert authorization(request_, EXAMPLE, SUITE) == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders={signed}, Signature={signature}"
    )


def test_sigv4_example_of_the_documentation() -> None:
    """The worked example of the signing process: IAM ListUsers, every intermediate result."""
    request = Request(
        "GET",
        "/",
        (("Version", "2010-05-08"), ("Action", "ListUsers")),
        {
            "Host": "iam.amazonaws.com",
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
            "X-Amz-Date": "20150830T123600Z",
        },
    )
    scope = Scope("20150830T123600Z", "us-east-1", "iam")
    canonical = canonical_request(request)
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    assert digest == "f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59"
    assert string_to_sign(canonical, scope) == (
        f"AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/iam/aws4_request\n{digest}"
    )
    assert authorization(request, EXAMPLE, scope).endswith(
        "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    )


def test_sigv4_encodes_what_is_not_unreserved() -> None:
    canonical = canonical_request(Request("GET", "/a b/", (("k", "x/y z~"),), {"Host": " h   h "}))
    assert canonical.split("\n")[:4] == ["GET", "/a%20b/", "k=x%2Fy%20z~", "host:h h"]


# -- the twins themselves ----------------------------------------------------------------------------------------------


def test_the_aws_twin_refuses_what_is_signed_otherwise() -> None:
    now = 1440938160.0
    known = [Credentials("AKIDEXAMPLE", EXAMPLE.secret)]

    def request(body: bytes = b"Param1=value1", **changed: str) -> TwinRequest:
        """A well-signed request with something changed on its way."""
        headers = {"host": "example.amazonaws.com", "x-amz-date": "20150830T123600Z"}
        headers["authorization"] = authorization(Request("POST", "/", (), headers, b"Param1=value1"), EXAMPLE, SUITE)
        headers.update({name.replace("_", "-"): value for name, value in changed.items()})
        return TwinRequest("POST", "/", [], headers, body, "/")

    def verdict(request: TwinRequest, late: float = 0.0) -> str:
        with pytest.raises(Refused) as caught:
            verify(request, known, "us-east-1", "service", lambda: now + late)
        return caught.value.code

    assert verify(request(), known, "us-east-1", "service", lambda: now).access == "AKIDEXAMPLE"
    good = request().headers["authorization"]
    assert verdict(request(authorization="Bearer x")) == "MissingAuthenticationToken"
    assert verdict(request(authorization=good.replace("AKIDEXAMPLE", "AKIDOTHER"))) == "AuthFailure"
    assert verdict(request(authorization=good.replace("us-east-1", "us-east-2"))) == "AuthFailure"
    assert verdict(request(authorization=good.replace("host;x-amz-date", "x-amz-date"))) == "SignatureDoesNotMatch"
    assert verdict(request(x_amz_date="yesterday")) == "SignatureDoesNotMatch"
    assert verdict(request(host="elsewhere.example")) == "SignatureDoesNotMatch"
    assert verdict(request(b"Param1=value2")) == "SignatureDoesNotMatch"
    assert verdict(request(), late=301) == "RequestExpired"


@pytest.mark.parametrize("word", VENDORS)
def test_the_twins_refuse_unknown_paths_methods_and_bodies(word: str) -> None:
    there = vendor(word)
    base = there.twin.base
    headers = there.client().api.headers("POST", "/", b"")
    paths = {"hcloud": "/primary_ips", "linode": "/networking/ips", "vultr": "/instances", "aws": "/"}
    ask = there.twin.handle
    if word == "aws":
        for form in (b"", b"Action=X&Version=2016-11-15", b"Action=DescribeAddressesAttribute&Version=2016-11-15"):
            signed = there.client().api.headers("POST", "/", form)
            assert ask("POST", "/", None, signed, form).status == 400
        form = b"Action=ModifyAddressAttribute&Version=2016-11-15&AllocationId=eipalloc-00000000000000001&DomainName=x"
        assert ask("POST", "/", None, there.client().api.headers("POST", "/", form), form).status == 400
        assert ask("GET", "/", None, there.client().api.headers("GET", "/", b""), b"").status == 405
        return
    assert ask("GET", base + "/nowhere", None, headers).status == 404
    assert ask("PATCH", base + paths[word], None, headers).status == 405
    bodies = {
        "hcloud": ("POST", "/primary_ips/1/actions/change_dns_ptr"),
        "linode": ("PUT", f"/networking/ips/{v4(1)}"),
        "vultr": ("POST", "/instances/i-1/ipv4/reverse"),
    }
    method, path = bodies[word]
    for body in (b"", b"[]", b"{", b"{}", json.dumps({"ip": "x", "dns_ptr": "a.b", "reverse": "a.b"}).encode()):
        assert ask(method, base + path, None, headers, body).status in (400, 422), body
    too_many = {"hcloud": "per_page=51", "linode": "page_size=501", "vultr": "per_page=501"}[word]
    assert ask("GET", base + paths[word], too_many, headers).status == 400


def test_the_twins_know_what_they_do_not_have() -> None:
    there = vendor("hcloud")
    headers = there.client().api.headers("POST", "/", b"")
    path = "/v1/primary_ips/99/actions/change_dns_ptr"
    assert there.twin.handle("POST", path, None, headers, b'{"ip": "198.18.0.1", "dns_ptr": "a.b"}').status == 404
    path = "/v1/primary_ips/1/actions/change_dns_ptr"
    assert there.twin.handle("POST", path, None, headers, b'{"ip": "198.18.0.2", "dns_ptr": "a.b"}').status == 422
    assert there.twin.handle("GET", "/v1/actions", None, headers).status == 400
    for address, name in ((v4(1), "static.1.0.18.198.clients.your-server.de"), (V6, None)):
        number = 1 if address == v4(1) else 2
        body = json.dumps({"ip": address, "dns_ptr": None}).encode()
        there.twin.handle("POST", f"/v1/primary_ips/{number}/actions/change_dns_ptr", None, headers, body)
        assert there.names().get(address) == name
    there = vendor("linode")
    headers = there.client().api.headers("PUT", "/", b"")
    assert there.twin.handle("PUT", "/v4/networking/ips/192.0.2.1", None, headers, b'{"rdns": null}').status == 404
    there.twin.handle("PUT", f"/v4/networking/ips/{v4(1)}", None, headers, b'{"rdns": null}')
    assert there.names()[v4(1)] == "198-18-0-1.ip.linodeusercontent.com"
    assert there.twin.handle("GET", "/v4/networking/ips", "page=9", headers).status == 404
    there = vultr()
    headers = there.client().api.headers("POST", "/", b"")
    entry = b'{"ip": "192.0.2.1", "reverse": "a.b"}'
    assert there.twin.handle("POST", "/v2/instances/i-9/ipv4/reverse", None, headers, entry).status == 404
    assert there.twin.handle("POST", "/v2/instances/i-1/ipv4/reverse", None, headers, entry).status == 404
    assert there.twin.handle("POST", "/v2/instances/i-1/ipv6/reverse", None, headers, entry).status == 400
    assert there.twin.handle("DELETE", "/v2/instances/i-1/ipv6/reverse/2001:db8::9", None, headers).status == 404


def test_a_twin_over_http_is_delayed_and_dropped_like_in_process() -> None:
    there = vendor("hcloud")
    there.twin.faults.add(Fault("delay", seconds=0.05))
    there.twin.faults.add(Fault("drop_after"))
    with there.over_http() as provider:
        assert provider.plan([wanted(v4(1))])[0].status == "changed"
    assert there.twin.log.connections == 2
    with serve(there.twin, "127.0.0.1:0") as running:
        assert running.urls[0].startswith("http://127.0.0.1:")


class Canned(TwinTransport):
    """Answers everything with the same body."""

    def __init__(self, body: bytes, status: int = 200) -> None:
        self.answer = Answer(status, {}, body)

    def request(self, *_args: Any) -> Answer:
        return self.answer


# -- helpers -----------------------------------------------------------------------------------------------------------


def test_values_from_vendors_are_taken_as_they_come() -> None:
    assert accounts.bare(" Mail.Example.COM. ") == "mail.example.com" and accounts.bare(None) == ""
    assert accounts.address("2001:DB8::0010") == "2001:db8::10"
    assert accounts.address("x") == accounts.address(7) == accounts.address("") == ""
    assert accounts.holds("198.18.0.0", "198.18.0.5", 24) and not accounts.holds("x", "198.18.0.5")
    assert not accounts.holds(None, "198.18.0.5") and not accounts.holds("2001:db8::/64", "198.18.0.5")
    assert accounts.mappings({"a": 1}) == [] and accounts.mappings([{"a": 1}, 2]) == [{"a": 1}]


def test_a_vendor_that_repeats_the_credential_does_not_make_it_known() -> None:
    bodies = {
        "hcloud": '{"error": {"code": "x", "message": "bad %s"}}',
        "linode": '{"errors": [{"reason": "bad %s"}]}',
        "vultr": '{"error": "bad %s", "status": 400}',
        "aws": "<Response><Errors><Error><Code>X</Code><Message>bad %s</Message></Error></Errors></Response>",
    }
    for word in VENDORS:
        there = vendor(word)
        account = there.account(there.client(Canned((bodies[word] % there.secret).encode(), 400)))
        with pytest.raises(MailsteadError, match="bad <secret>") as caught:
            accounts.AccountPtr(account).plan([wanted(v4(1))])
        assert there.secret not in str(caught.value)


def test_vultr_asks_no_instance_twice_for_its_addresses() -> None:
    there = vultr()
    there.run(wanted(v4(1)), wanted(v4(3)), wanted(v4(5)))
    assert [there.twin.log.count("GET", f"/{i}/ipv4") for i in ("i-1", "i-2")] == [1, 1]
    there = vultr()
    assert told(there, wanted(v4(1)), wanted("203.0.113.9"))[0] == "MS-PTR-012"
    assert [there.twin.log.count("GET", f"/{i}/ipv4") for i in ("i-1", "i-2")] == [1, 1]


def test_aws_takes_no_document_with_entities() -> None:
    good = "<DescribeAddressesResponse><addressesSet/></DescribeAddressesResponse>"
    there = vendor("aws")
    for body, code in ((good, "MS-PTR-012"), (f'<!DOCTYPE x [<!ENTITY a "b">]>{good}', "MS-PTR-019")):
        with pytest.raises(MailsteadError) as caught:
            accounts.AccountPtr(there.account(there.client(Canned(body.encode())))).plan([wanted(v4(1))])
        assert caught.value.problems[0].code == code
