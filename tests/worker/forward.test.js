// Copyright (c) mailstead contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
/** Forwarding Workers: filter and fan-out, and what both do when mail cannot be handed on. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Stage, on } from "./stage.js";

const YOU = "you@mailbox.example";
const TWO = [YOU, "bob@mailbox.example"];
const UNAUTHENTICATED = "message is not authenticated: SPF and DKIM failed";

test("a message that no rule fits is forwarded", async () => {
  const rules = [{ from: ["*@spam.example"], action: "reject" }];
  await on(new Stage("filter", { forward: [YOU], rules }), async (stage) => {
    assert.equal((await stage.mail()).accepted, true);
    assert.deepEqual(stage.forwarded, [YOU]);
    assert.equal(await stage.logged(new RegExp(`forwarded message with[\\s\\S]*${YOU}`)), true);
  });
});

test("senders are known by envelope and by From, whatever their case", async () => {
  const rules = [{ from: ["*@SPAM.example", "boss@*"], action: "reject", reason: "go away" }];
  await on(new Stage("filter", { forward: [YOU], rules }), async (stage) => {
    for (const [headers, from, reason] of [
      [{}, "x@spam.Example", "go away"],
      [{ From: '"ann@sender.example" <X@Spam.example>' }, "ann@sender.example", "go away"],
      [{ From: "boss@office.example" }, "bounce@list.example", "go away"],
      [{ From: '"x@spam.example" <ann@sender.example>' }, "ann@sender.example", null],
      [{}, "x@notspam.example.net", null],
    ]) {
      assert.equal((await stage.mail(headers, { from })).rejected, reason, JSON.stringify([headers, from]));
    }
    assert.deepEqual(stage.forwarded, [YOU, YOU]);
  });
});

test("the first rule that fits decides; all its conditions have to hold", async () => {
  const rules = [
    { header: { "List-Id": "*<announce.example.net>" }, to: ["news@*"], action: "forward", forward: ["lists@mailbox.example"] },
    { header: { "list-id": "*" , Subject: "*lottery*prize*"}, action: "drop" },
    { header: { Subject: "*lottery*" }, action: "reject" },
    { larger_than: 2000, action: "forward", forward: ["big@mailbox.example"], headers: { "X-Filter": "big" } },
  ];
  await on(new Stage("filter", { forward: [YOU], rules }), async (stage) => {
    const list = { "List-Id": "News <announce.example.net>" };
    await stage.mail(list, { to: "news@example.org" });
    assert.deepEqual(stage.forwarded, ["lists@mailbox.example"]);
    await stage.mail({ ...list, Subject: "Your LOTTERY prize!" });
    assert.deepEqual(stage.forwarded.length, 1);
    assert.equal(await stage.logged(/dropped by a rule/), true);
    assert.equal((await stage.mail({ Subject: "prize lottery" })).rejected, "The message is not wanted here");
    await stage.mail({}, { body: "x".repeat(2000) });
    assert.deepEqual(stage.notes.at(-1), { did: "forward", to: "big@mailbox.example", headers: { "x-filter": "big" } });
    await stage.mail(list);
    assert.equal(stage.forwarded.at(-1), YOU);
  });
});

test("headers are read as people read them, and have to be there", async () => {
  const rules = [
    { header: { "X-Campaign": "*" }, action: "reject", reason: "campaign" },
    { header: { Subject: "*größte lotterie*" }, action: "reject", reason: "lottery" },
  ];
  await on(new Stage("filter", { forward: [YOU], rules }), async (stage) => {
    for (const [headers, reason] of [
      [{}, null],
      [{ "X-Campaign": "7" }, "campaign"],
      [{ Subject: "=?UTF-8?B?RGllIGdyw7bDn3RlIA==?= =?utf-8*de?Q?Lotterie_heute!?=" }, "lottery"],
      [{ Subject: "=?iso-8859-1?q?gr=F6=DFte_Lotterie?=" }, "lottery"],
      [{ Subject: "=?x-unknown?q?gr=F6=DFte_Lotterie?=" }, null],
      [{ Subject: "=?utf-8?b?!?= größte" }, null],
    ]) {
      assert.equal((await stage.mail(headers)).rejected, reason, JSON.stringify(headers));
    }
  });
});

test("a message that is too large is refused with both sizes", async () => {
  for (const name of ["filter", "fan_out", "reply"]) {
    await on(new Stage(name, { forward: [YOU], max_bytes: 1000, ...(name === "reply" && { text: "x" }) }), async (stage) => {
      const { rejected } = await stage.mail({}, { body: "x".repeat(1000) });
      assert.match(rejected, /^The message has 1\d{3} bytes; this address takes 1000$/);
      assert.deepEqual(stage.notes, []);
    });
  }
});

test("every mailbox gets the message once", async () => {
  const recipients = { "Sales@example.org": ["carol@mailbox.example"] };
  await on(new Stage("fan_out", { forward: [...TWO, YOU], recipients }), async (stage) => {
    assert.equal((await stage.mail()).accepted, true);
    assert.deepEqual(stage.forwarded, TWO);
    await stage.mail({}, { to: "sales@Example.org" });
    assert.deepEqual(stage.forwarded, [...TWO, "carol@mailbox.example"]);
  });
});

test("one mailbox that fails does not keep the message from the others, nor bring it twice", async () => {
  await on(new Stage("fan_out", { forward: TWO }, { scene: { refuse: { [YOU]: "destination not verified" } } }), async (stage) => {
    assert.equal((await stage.mail()).accepted, true);
    assert.deepEqual(stage.forwarded, ["bob@mailbox.example"]);
    assert.equal(await stage.logged(/not forwarded to you@mailbox\.example: destination not verified/), true);
  });
});

test("unauthenticated mail is refused, with the reason and without the destination", async () => {
  for (const scene of [{ refuse: { "*": UNAUTHENTICATED } }, { refuse: { "*": "no" }, can_be_forwarded: false }]) {
    for (const name of ["filter", "fan_out"]) {
      await on(new Stage(name, { forward: TWO }, { scene }), async (stage) => {
        const { rejected } = await stage.mail();
        assert.match(rejected, /passed neither SPF nor DKIM/);
        assert.doesNotMatch(rejected, /mailbox\.example/);
        assert.deepEqual(stage.notes.map((n) => n.did), ["refused", "refused"]);
      });
    }
  }
});

test("a mailbox that is down makes the run fail, so that the message is tried again", async () => {
  await on(new Stage("filter", { forward: [YOU] }, { scene: { refuse: { "*": "451 try again later" } } }), async (stage) => {
    const { failed, rejected, words } = await stage.mail();
    assert.equal(failed, true);
    assert.equal(rejected, null);
    assert.match(words, /no destination took the message: you@mailbox\.example: 451 try again later/);
  });
});

test("a configuration that cannot be used fails every run, and says all that is wrong", async () => {
  const filter = { forward: ["nobody"], rules: [{ action: "explode", headers: { Subject: "x" } }, 7], max_bytes: 0, extra: 1 };
  for (const [name, config, ...mistakes] of [
    ["filter", filter, "CONFIG.forward[0]: a mail address", "CONFIG.rules[0].action: one of reject, drop, forward",
      "CONFIG.rules[0].headers: only names that begin with X-, not Subject", "CONFIG.rules[1]: an object",
      "CONFIG.max_bytes: a whole number from 1 to 26214400", "CONFIG.extra: unknown; known are"],
    ["fan_out", { forward: [] }, "CONFIG.forward: at least 1 expected"],
    ["fan_out", { forward: [YOU], recipients: [] }, "CONFIG.recipients: an object"],
    ["fan_out", "{broken", "CONFIG is not JSON"],
    ["fan_out", undefined, "CONFIG: an object is expected"],
    ["reply", { forward: [YOU], text: "", days: 1.5 }, "CONFIG.text: a text", "CONFIG.days: a whole number from 1 to 365"],
    ["store_and_notify", { forward: [YOU], webhook: "http://x.example/" }, "CONFIG.webhook: a URL that begins with https://"],
  ]) {
    await on(new Stage(name, config), async (stage) => {
      const { failed, words } = await stage.mail();
      assert.equal(failed, true, name);
      for (const mistake of mistakes) assert.ok(words.includes(mistake), `${mistake} in ${words}`);
      assert.deepEqual(stage.notes, []);
    });
  }
});

test("the configuration may be a text of JSON", async () => {
  await on(new Stage("fan_out", JSON.stringify({ forward: [YOU] })), async (stage) => {
    assert.equal((await stage.mail()).accepted, true);
    assert.deepEqual(stage.forwarded, [YOU]);
  });
});

test("the template runs as it is deployed, without anything in between", async () => {
  await on(new Stage("fan_out", { forward: TWO }, { plain: true }), async (stage) => {
    assert.equal((await stage.mail()).accepted, true);
    for (const one of TWO) assert.equal(await stage.logged(new RegExp(`forwarded message with[\\s\\S]*${one}`)), true);
  });
});
