# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Switching routing on and off over the API twin: every way of the service, every request a run can die at."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.dns import spf
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Want
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing import switching
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.codes import CODES
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.model import RequiredRecord
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.switch import Goal, way
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lab.twins.cloudflare.faults import Fault
from tests.unit.cloudflare.support import ZONE
from tests.unit.email_routing.world import FOREIGN, ICLOUD, SERVICE_SPF, KilledError, World, gaps, txt

ON, OFF = Goal(), Goal("disabled")
LEAVING = Goal(leaving=("*.mail.icloud.com",))
NEW_MX = Want(ZONE, "MX", "10 mail.example.com", 3600, "delivery", "mx")
NEW_SPF = Want(ZONE, "TXT", "v=spf1 mx -all", 3600, "policy", "spf")
HOME = Goal("disabled", own=(NEW_MX, NEW_SPF))
OLD_SPF = "v=spf1 include:icloud.com ip4:192.0.2.9 -all"


def code(caught: Any) -> str:
    (problem,) = caught.value.problems
    assert problem.code in CODES and problem.where and problem.what and problem.fix
    return str(problem.code)


def kinds(world: World, goal: Goal, domain: str = ZONE) -> list[str]:
    return [s.kind for s in world.switch((domain, goal))[0].done]


# -- on --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["list", "report"])
def test_a_fresh_domain_is_switched_on_with_the_services_own_preferences(shape: str) -> None:
    world = World(dns_shape=shape)
    (planned,) = world.switch((ZONE, ON), check=True)
    assert [s.kind for s in planned.way] == ["enable"] and not world.mx()
    (task,) = world.switch((ZONE, ON))
    assert task.done == list(planned.way) and task.written and world.routed()
    chosen = {r["priority"] for r in world.twin.email(ZONE).dns()["record"] if r["type"] == "MX"}
    assert {r["priority"] for r in world.records() if r["type"] == "MX"} == chosen
    assert world.spf() == [SERVICE_SPF] and world.twin.email(ZONE).deprecated == []
    assert {(r.key, r.ttl) for r in planned.after.records} == {(r.key, r.ttl) for r in world.have()}


def test_a_second_run_reads_three_times_and_writes_nothing() -> None:
    world = World()
    world.switch((ZONE, ON))
    (again,) = world.switch((ZONE, ON))
    assert again.way == () and not again.written
    assert [r.split("/")[-1] for r in world.requests] == ["routing", "dns_records", "dns"]


def test_another_providers_mx_are_refused_until_declared_as_leaving() -> None:
    world = World()
    world.seed(ICLOUD, FOREIGN)
    with pytest.raises(MailsteadError) as caught:
        world.switch((ZONE, ON))
    assert code(caught) == "MS-ER-011" and "mx01.mail.icloud.com" in str(caught.value)
    assert world.mx() == ["mx01.mail.icloud.com"]
    world.live()
    assert kinds(world, LEAVING) == ["enable"] and gaps(world.routable) == 1
    assert world.routed() and "mx01.mail.icloud.com" not in world.mx()
    # The request that removes and the one that enables follow each other at once.
    gap = world.routable.index(False)
    assert world.requests[gap].startswith("POST") and world.requests[gap + 1].endswith("email/routing/dns")
    assert any(r["name"] == f"www.{ZONE}" for r in world.records())


def test_our_own_mx_may_always_go() -> None:
    world = World()
    world.seed({**ICLOUD, "content": "mail.example.com", "comment": "mailstead:mailstead:mx"})
    assert kinds(world, ON) == ["enable"] and world.routed() and len(world.mx()) == 3


def test_an_mx_that_another_product_keeps_is_named() -> None:
    world = World()
    (made,) = world.seed(ICLOUD)
    world.twin.zone(ZONE).set_meta(made["id"], read_only=True)
    with pytest.raises(MailsteadError) as caught:
        world.switch((ZONE, LEAVING))
    assert code(caught) == "MS-ER-018"


def test_where_the_service_stands_beside_others_they_go_afterwards_and_mail_is_never_without() -> None:
    world = World(foreign_mx="beside")
    world.switch((ZONE, ON))
    world.twin.email(ZONE).unlock()
    world.seed(ICLOUD)
    with pytest.raises(MailsteadError):
        world.switch((ZONE, ON))
    assert kinds(world, LEAVING) == ["write"] and len(world.mx()) == 3


@pytest.mark.parametrize("mode", ["replace", "beside", "keep"])
@pytest.mark.parametrize("comment", ["by hand", "mailstead:mailstead:spf"])
def test_the_spf_record_keeps_every_sender_however_the_service_behaves(mode: str, comment: str) -> None:
    world = World(spf=mode)
    world.seed(txt(OLD_SPF, comment=comment), txt("google-site-verification=abc"))
    (planned,) = world.switch((ZONE, ON), check=True)
    (task,) = world.switch((ZONE, ON))
    assert task.done[0].kind == "enable" and task.done[-1].kind == "write"
    (text,) = world.spf()
    terms = {t.key for t in spf.parse(text).mechanisms}
    assert terms == {"include:_spf.mx.cloudflare.net", "include:icloud.com", "ip4:192.0.2.9"}
    assert text.endswith(" ~all") and world.aside() == []
    (record,) = [r for r in world.texts(ZONE) if "spf1" in r["content"]]
    assert record["comment"] == comment
    assert [r.content for r in planned.after.records if spf.is_spf(r.content)] == [text]
    assert len(world.texts(ZONE)) == 2
    assert kinds(world, ON) == []


def test_an_spf_record_that_says_no_more_than_the_services_is_not_kept() -> None:
    world = World()
    world.seed(txt("v=spf1 ~all"))
    assert kinds(world, ON) == ["enable"] and world.spf() == [SERVICE_SPF]


def test_an_spf_record_nobody_can_read_stops_it() -> None:
    world = World()
    world.seed(txt("v=spf1 nonsense:x -all"))
    with pytest.raises(MailsteadError) as caught:
        world.switch((ZONE, ON))
    assert code(caught) == "MS-ER-017" and not world.routed()


def test_an_spf_record_that_would_break_stops_it() -> None:
    world = World()
    world.seed(txt("v=spf1 " + " ".join(f"include:s{n}.example.net" for n in range(10)) + " -all"))
    with pytest.raises(MailsteadError) as caught:
        world.switch((ZONE, ON))
    assert code(caught) == "MS-ER-019" and not world.routed()


def test_unlocked_and_subaddressing() -> None:
    world = World()
    assert kinds(world, Goal("unlocked", subaddressing=True)) == ["enable", "unlock", "settings"]
    email = world.twin.email(ZONE)
    assert email.settings["status"] == "unlocked" and email.settings["support_subaddress"]
    # Enabled is satisfied with unlocked: locking again could replace the SPF record once more.
    assert kinds(world, Goal(subaddressing=True)) == []
    (planned,) = world.switch((ZONE, Goal(subaddressing=False)), check=True)
    assert planned.way[0].reason == "sub-addressing off" and not planned.after.settings.subaddressing


def test_what_is_missing_is_repaired() -> None:
    world = World(dns_shape="report")
    world.switch((ZONE, ON))
    world.twin.email(ZONE).unlock()
    state = world.twin.zone(ZONE)
    for record in list(state.snapshot().values()):
        if record.type == "MX" or record.name.startswith("cf2024"):
            state.delete(record.id)
            assert kinds(world, ON)[0] == "enable"
            world.twin.email(ZONE).unlock()
    assert len(world.mx()) == 3 and world.spf() == [SERVICE_SPF]


def test_a_sub_domain_is_switched_by_its_name() -> None:
    world = World()
    world.seed(ICLOUD)
    sub = f"lists.{ZONE}"
    assert kinds(world, ON, sub) == ["enable"] and world.routed(sub) and world.mx() == ["mx01.mail.icloud.com"]
    assert kinds(world, ON, sub) == []
    assert kinds(world, Goal("unlocked"), sub) == ["unlock"] and kinds(world, Goal("unlocked"), sub) == []
    assert kinds(world, Goal("disabled", allow=("no_mx",)), sub) == ["disable"] and not world.routed(sub)
    # Routing of a sub-domain is not routing of the zone.
    world.switch((sub, ON))
    assert kinds(world, OFF) == []


def test_an_spf_record_that_somebody_removed_comes_back() -> None:
    world = World()
    world.switch((ZONE, ON))
    world.twin.email(ZONE).unlock()
    (record,) = world.texts(ZONE)
    world.twin.zone(ZONE).delete(record["id"])
    assert kinds(world, ON) == ["enable"] and world.spf() == [SERVICE_SPF]


def test_a_copy_learns_what_was_added_before_the_run_went_on() -> None:
    world = World()
    world.seed(txt(OLD_SPF))
    world.kill(4, after=False)
    with contextlib.suppress(KilledError):
        world.switch((ZONE, ON))
    world.live()
    (aside,) = world.aside()
    (record,) = world.texts(ZONE)
    world.twin.zone(ZONE).change(record["id"], {"content": '"v=spf1 ip4:192.0.2.77 -all"'}, overwrite=False)
    (task,) = world.switch((ZONE, ON))
    assert [c.action for c in task.done[0].changes] == ["update"] and task.done[0].changes[0].before is not None
    assert task.done[0].changes[0].before.id == aside["id"]
    (text,) = world.spf()
    found = {t.key for t in spf.parse(text).mechanisms}
    assert found == {"include:_spf.mx.cloudflare.net", "include:icloud.com", "ip4:192.0.2.9", "ip4:192.0.2.77"}


def test_a_long_comment_is_not_cut_into_half_a_mark() -> None:
    world = World()
    world.seed(txt(OLD_SPF, comment="x" * 98))
    world.switch((ZONE, ON))
    (record,) = world.texts(ZONE)
    assert record["comment"] in (None, "") and len(world.spf()) == 1


def test_email_sending_is_no_domain_that_is_routed() -> None:
    world = World()
    world.switch((ZONE, ON))
    for host in world.mx():
        world.seed({"type": "MX", "name": f"cf-bounce.{ZONE}", "content": host, "priority": 1, "ttl": 1})
    assert kinds(world, HOME)[-2:] == ["disable", "write"] and world.mx() == ["mail.example.com"]


def test_a_zone_has_so_many_mail_domains() -> None:
    world = World()
    for n in range(30):
        world.seed({"type": "MX", "name": f"d{n}", "content": "route1.mx.cloudflare.net", "priority": 1, "ttl": 1})
    with pytest.raises(MailsteadError) as caught:
        world.switch((ZONE, ON))
    assert code(caught) == "MS-ER-008"


def test_a_service_that_never_does_it_is_given_up() -> None:
    world = World()
    world.twin.faults.add(Fault("status", 99, method="POST", path="/email/routing/dns", status=502))
    with pytest.raises(MailsteadError) as caught:
        world.switch((ZONE, ON))
    assert code(caught) == "MS-ER-013" and "502" in str(caught.value)
    assert isinstance(caught.value, switching.SwitchError) and not caught.value.tasks[0].written


def test_a_way_that_does_not_end_is_given_up() -> None:
    (task,) = World().switch((ZONE, ON), check=True)
    elsewhere = RequiredRecord("MX", f"x.{ZONE}", "route9.mx.cloudflare.net", 1)
    # The service wants a host of the domain that it never puts there.
    odd = dataclasses.replace(task.before, required=(*task.before.required, elsewhere))
    with pytest.raises(MailsteadError) as caught:
        way(odd, ON)
    assert code(caught) == "MS-ER-013"


def test_what_was_in_the_way_meanwhile_is_read_again() -> None:
    world = World()
    (made,) = world.seed(ICLOUD)

    def remove_it(*_: Any) -> None:
        world.twin.zone(ZONE).delete(made["id"])

    (task,) = world.switch((ZONE, LEAVING), before_write=remove_it)
    assert [s.kind for s in task.done] == ["enable", "enable"] and world.routed()


def test_a_refused_batch_names_the_record() -> None:
    world = World()
    world.seed(txt(OLD_SPF))
    world.twin.faults.fail_operation(0)
    with pytest.raises(MailsteadError) as caught:
        world.switch((ZONE, ON))
    assert "_mailstead-spf" in str(caught.value) and not world.routed()


def test_mx_that_cannot_be_put_back_are_told() -> None:
    world = World()
    world.seed(ICLOUD)

    def after(method: str, path: str) -> None:
        if (method, path.rpartition("/")[2]) == ("POST", "dns"):
            world.twin.faults.add(Fault("status", 1, method="POST", path="/dns_records/batch", status=502))

    world.after = after
    with pytest.raises(MailsteadError) as caught:
        world.switch((ZONE, LEAVING), before_write=lambda *_: world.twin.reconfigure_email(dns_for_tokens=False))
    assert code(caught) == "MS-ER-020" and "mx01.mail.icloud.com could not be put back" in str(caught.value)
    # The next run, with the right permission, goes on from there.
    world.twin.reconfigure_email(dns_for_tokens=True)
    world.live()
    assert kinds(world, LEAVING) == ["enable"] and world.routed()


def test_a_refusal_after_the_old_mx_had_gone_brings_them_back() -> None:
    world = World()
    world.seed(ICLOUD)

    with pytest.raises(MailsteadError) as caught:
        world.switch((ZONE, LEAVING), before_write=lambda *_: world.twin.reconfigure_email(dns_for_tokens=False))
    assert code(caught) == "MS-ER-020"
    assert "are back" in str(caught.value) and world.mx() == ["mx01.mail.icloud.com"]


# -- off -------------------------------------------------------------------------------------------------------------


def test_off_needs_another_mx() -> None:
    world = World()
    world.switch((ZONE, ON))
    with pytest.raises(MailsteadError) as caught:
        world.switch((ZONE, OFF))
    assert code(caught) == "MS-ER-012" and world.routed()
    assert kinds(world, dataclasses.replace(OFF, allow=("no_mx",))) == ["disable"]
    assert world.mx() == [] and world.spf() == []


@pytest.mark.parametrize("mode", ["replace", "beside", "keep"])
def test_leaving_puts_the_new_records_beside_the_services_first(mode: str) -> None:
    world = World(spf=mode)
    world.seed(txt(OLD_SPF), FOREIGN)
    world.switch((ZONE, ON))
    world.live()
    (planned,) = world.switch((ZONE, HOME), check=True)
    found = kinds(world, HOME)
    assert [k for k in found if k != "unlock"] == ["write", "disable", "write"] and gaps(world.routable) == 0
    assert world.mx() == ["mail.example.com"] and not world.twin.email(ZONE).settings["enabled"]
    (text,) = world.spf()
    assert {t.key for t in spf.parse(text).mechanisms} == {"mx", "include:icloud.com", "ip4:192.0.2.9"}
    assert world.aside() == [] and any(r["name"] == f"www.{ZONE}" for r in world.records())
    assert {(r.type, r.name, r.content) for r in planned.after.records} == {
        (r.type, r.name, r.content) for r in world.have()
    }
    assert kinds(world, HOME) == []


def test_back_and_forth_ends_where_it_began() -> None:
    world = World()
    world.seed(txt(OLD_SPF, comment="mine"), FOREIGN, ICLOUD)
    before = world.spf()
    world.switch((ZONE, LEAVING))
    back = Goal("disabled", own=(Want(ZONE, "MX", "10 mx01.mail.icloud.com", 3600, "delivery", "mx"),))
    world.switch((ZONE, back))
    assert {t.key for t in spf.parse(world.spf()[0]).mechanisms} == {t.key for t in spf.parse(before[0]).mechanisms}
    assert world.mx() == ["mx01.mail.icloud.com"]


def test_keep_ends_unlocked_with_both() -> None:
    world = World()
    world.switch((ZONE, ON))
    keep = dataclasses.replace(HOME, keep=True)
    assert kinds(world, keep) == ["unlock", "write"] and len(world.mx()) == 4
    assert world.twin.email(ZONE).settings["enabled"] and kinds(world, keep) == []
    assert kinds(world, HOME) == ["disable", "write"] and world.mx() == ["mail.example.com"]


def test_a_domain_that_is_off_only_gets_its_records() -> None:
    world = World()
    world.seed(txt(SERVICE_SPF, comment="somebody's"))
    assert kinds(world, OFF) == [] and world.spf() == [SERVICE_SPF]
    assert kinds(world, Goal("disabled", own=(NEW_MX,))) == ["write"]


def test_mistakes_in_the_own_records_are_told_before_anything_is_written() -> None:
    world = World()
    world.switch((ZONE, ON))
    bad = dataclasses.replace(NEW_MX, content="10 not a host")
    with pytest.raises(MailsteadError) as caught:
        world.switch((ZONE, Goal("disabled", own=(bad,))))
    assert caught.value.problems[0].code == "MS-DNS-001" and world.routed()
    world.seed({**FOREIGN, "name": "x", "type": "CNAME", "content": "y.example.net"})
    clash = Want(f"x.{ZONE}", "CNAME", "z.example.net", 300, "address", "alias")
    with pytest.raises(MailsteadError):
        world.switch((ZONE, Goal("disabled", own=(NEW_MX, clash))))


def test_the_zone_does_not_take_its_sub_domains_with_it() -> None:
    world = World()
    sub = f"lists.{ZONE}"
    world.switch((ZONE, ON), (sub, ON))
    with pytest.raises(MailsteadError) as caught:
        world.switch((ZONE, HOME))
    assert code(caught) == "MS-ER-021" and world.routed()
    both = dataclasses.replace(HOME, also_off=frozenset({sub}))
    world.switch((sub, Goal("disabled", allow=("no_mx",))), (ZONE, both))
    assert not world.routed() and not world.routed(sub)


# -- at any request ----------------------------------------------------------------------------------------------------


GOALS = {
    "on": LEAVING,
    "unlocked": dataclasses.replace(LEAVING, state="unlocked", subaddressing=True),
    "off": HOME,
    "off without records of its own for SPF": Goal("disabled", own=(NEW_MX,)),
}
TEXTS = ["", OLD_SPF, "v=spf1 -all", SERVICE_SPF, "v=spf1 mx redirect=_spf.example.net"]


@dataclasses.dataclass(frozen=True)
class Start:
    """How the service behaves, and where a run begins. mx: whose the domain's MX are; ours: whether SPF bears our mark."""

    mode: str = "replace"
    shape: str = "list"
    foreign_mx: str = "refuse"
    spf: str = OLD_SPF
    mx: str = "icloud"
    ours: bool = False

    def world(self) -> World:
        world = World(spf=self.mode, dns_shape=self.shape, foreign_mx=self.foreign_mx)
        comment = {"comment": "mailstead:mailstead:spf"} if self.ours else {}
        world.seed(FOREIGN, txt("some-verification=1"), *([txt(self.spf, **comment)] if self.spf else []))
        if self.mx == "service":
            world.switch((ZONE, ON))
        elif self.mx == "icloud":
            world.seed(ICLOUD)
        return world

    def keeps_senders(self, world: World, name: str) -> bool:
        """Whether whoever was authorised still is, and the service exactly while it is on."""
        (text,) = world.spf() or [""]
        there = {t.key for t in spf.parse(text).mechanisms} if text else set()
        before = {t.key for t in spf.parse(self.spf).mechanisms} if self.spf else set()
        # What was ours gives way to what is wanted now.
        kept = before if name != "off" or not self.ours else set()
        service = "include:_spf.mx.cloudflare.net"
        return there >= kept - {service} and (name.startswith("off") or service in there)


STARTS = st.builds(
    Start,
    st.sampled_from(["replace", "beside", "keep"]),
    st.sampled_from(["list", "report"]),
    st.sampled_from(["refuse", "beside"]),
    st.sampled_from(TEXTS),
    st.sampled_from(["nobody", "icloud", "service"]),
    st.booleans(),
)


def sensible(start: Start, name: str) -> bool:
    """Another provider's MX at a domain that gets its own are the zone modules' question, not the switch's."""
    return not (name.startswith("off") and start.mx == "icloud")


@pytest.mark.parametrize("name", sorted(GOALS))
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(Start())
@example(Start(mode="keep", foreign_mx="beside", ours=True))
@example(Start(mode="beside", mx="service"))
@given(STARTS)
def test_a_run_that_dies_at_any_request_is_finished_by_the_next(name: str, start: Start) -> None:
    if not sensible(start, name):
        return
    goal, whole = GOALS[name], start.world()
    routable = bool(whole.mx())
    whole.live()
    whole.switch((ZONE, goal))
    end, length = whole.outcome(), len(whole.requests)
    assert not routable or gaps(whole.routable) <= 1
    assert start.keeps_senders(whole, name) and ("A", f"www.{ZONE}") in [fact[:2] for fact in end]
    assert whole.switch((ZONE, goal))[0].way == () and whole.aside() == []
    for number in range(length):
        for after in (False, True):
            world = start.world()
            world.kill(number, after)
            with contextlib.suppress(KilledError):
                world.switch((ZONE, goal))
            assert not routable or gaps(world.routable) <= 1
            world.live()
            (task,) = world.switch((ZONE, goal))
            assert world.outcome() == end, (number, after, task.done)
            assert world.switch((ZONE, goal))[0].way == ()


@pytest.mark.parametrize("name", sorted(GOALS))
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(Start())
@example(Start(mx="service"))
@given(STARTS)
def test_a_run_whose_request_loses_its_answer_arrives_all_the_same(name: str, start: Start) -> None:
    if not sensible(start, name):
        return
    goal, whole = GOALS[name], start.world()
    whole.switch((ZONE, goal))
    for number in range(len(whole.requests)):
        world = start.world()
        world.lose(number)
        world.switch((ZONE, goal))
        assert world.outcome() == whole.outcome(), number
