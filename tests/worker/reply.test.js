// Copyright (c) mailstead contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
/** The answering Worker: to whom, once, and in a form that the runtime's own checks of answers take. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Stage, on } from "./stage.js";

const YOU = "you@mailbox.example";
const CONFIG = { forward: [YOU], text: "I am away.\nBack on Monday, größtenteils." };
const PASS = { "Authentication-Results": "mx.cloudflare.net; dkim=pass header.d=sender.example; dmarc=pass header.from=sender.example; spf=pass" };
const FORWARDED_ONLY = [{ did: "forward", to: YOU, headers: {} }];
const HEARD = { ...PASS, To: "hi@example.org" };

const header = (raw, name) => new RegExp(`^${name}: ((?:.*\r\n(?=[ \t]))*.*)\r\n`, "im").exec(raw)?.[1].replace(/\r\n/g, "") ?? null;
const body = (raw) => Buffer.from(raw.split("\r\n\r\n")[1], "base64").toString();
const decoded = (value) =>
  value.replace(/\?=\s+=\?/g, "?==?").replace(/=\?utf-8\?B\?([^?]*)\?=/g, (_, code) => Buffer.from(code, "base64").toString());

test("mail is forwarded and answered; the answer refers to it and says what it is", async () => {
  await on(new Stage("reply", CONFIG), async (stage) => {
    assert.equal((await stage.mail({ ...HEARD, Subject: "Question" })).accepted, true);
    assert.deepEqual(stage.notes.map((n) => n.did), ["forward", "reply"]);
    const [{ from, to, raw }] = stage.replies;
    assert.deepEqual([from, to], ["hi@example.org", "ann@sender.example"]);
    assert.equal(header(raw, "Auto-Submitted"), "auto-replied");
    assert.equal(header(raw, "In-Reply-To"), "<1@sender.example>");
    assert.equal(header(raw, "References"), "<1@sender.example>");
    assert.equal(header(raw, "Subject"), "Auto: Question");
    assert.match(header(raw, "Message-ID"), /^<[0-9a-f-]{36}@example\.org>$/);
    assert.ok(Math.abs(new Date(header(raw, "Date")) - Date.now()) < 60_000);
    assert.equal(body(raw), CONFIG.text.replace("\n", "\r\n"));
    assert.equal(await stage.logged(/Email handler replied to sender/), true);
  });
});

test("a thread goes on; long and foreign words are encoded; nothing is smuggled in", async () => {
  const config = { ...CONFIG, subject: "Abwesend bis Montag – Näheres im Kalender ✉ und anderswo", name: 'Ann "A." Müller' };
  await on(new Stage("reply", config), async (stage) => {
    await stage.mail({ ...HEARD, "In-Reply-To": "<0@example.org>", References: "<00@example.org>\r\n <0@example.org>" });
    const [{ raw }] = stage.replies;
    assert.equal(header(raw, "References"), "<00@example.org> <0@example.org> <1@sender.example>");
    assert.equal(decoded(header(raw, "Subject")), config.subject);
    assert.equal(decoded(header(raw, "From")), `${config.name} <hi@example.org>`);
    assert.ok(raw.split("\r\n").every((line) => line.length <= 78));
    // eslint-disable-next-line no-control-regex
    assert.match(raw, /^[\x00-\x7f]*$/);
    assert.equal(await stage.logged(/Email handler replied to sender/), true);
  });
  await on(new Stage("reply", { ...CONFIG, name: 'Ann "A."', subject: "x\r\nBcc: victim@example.net" }), async (stage) => {
    await stage.mail(HEARD);
    const [{ raw }] = stage.replies;
    assert.equal(header(raw, "Bcc"), null);
    assert.equal(header(raw, "Subject"), "x Bcc: victim@example.net");
    assert.equal(header(raw, "From"), '"Ann \\"A.\\"" <hi@example.org>');
  });
});

test("no answer goes where it could loop or hit somebody innocent", async () => {
  const silent = [
    ["no DMARC result", { "Authentication-Results": null }],
    ["DMARC failed", { "Authentication-Results": "mx.cloudflare.net; dmarc=fail" }],
    ["another's word for it", { "Authentication-Results": "evil.example; dmarc=pass" }],
    ["another's word below", { "Authentication-Results": "mx.cloudflare.net; spf=pass, evil.example; dmarc=pass" }],
    ["an automatic message", { "Auto-Submitted": "auto-generated" }],
    ["an automatic answer", { "Auto-Submitted": "auto-replied; owner-email=x@y.example" }],
    ["a mailing list", { "List-Id": "<l.example>" }],
    ["a newsletter", { "List-Unsubscribe": "<mailto:u@l.example>" }],
    ["bulk mail", { Precedence: "Bulk" }],
    ["a wish for none", { "X-Auto-Response-Suppress": "OOF" }],
    ["blind copy", { To: "somebody@example.net" }],
    ["own From", { From: "Me <HI@example.org>" }],
    ["a long thread", { "In-Reply-To": "<9@x>", References: Array.from({ length: 100 }, (_, i) => `<${i}@x>`).join(" ") }],
  ];
  await on(new Stage("reply", CONFIG), async (stage) => {
    for (const [why, headers] of silent) {
      stage.notes.length = 0;
      assert.equal((await stage.mail({ ...HEARD, ...headers })).accepted, true, why);
      assert.deepEqual(stage.notes, FORWARDED_ONLY, why);
    }
    for (const from of ["MAILER-DAEMON@sender.example", "no-reply@s.example", "list-request@s.example", "bounces+1@s.example", "hi@example.org"]) {
      stage.notes.length = 0;
      await stage.mail(HEARD, { from });
      assert.deepEqual(stage.notes, FORWARDED_ONLY, from);
    }
    stage.notes.length = 0;
    await stage.mail({ ...HEARD, "Auto-Submitted": "no", Cc: "HI@example.org", To: "x@example.net" });
    assert.equal(stage.replies.length, 1);
  });
  await on(new Stage("reply", CONFIG, { scene: { empty_sender: true } }), async (stage) => {
    await stage.mail(HEARD);
    assert.deepEqual(stage.notes, FORWARDED_ONLY);
  });
});

test("a sender has one answer until the time is over", async () => {
  await on(new Stage("reply", CONFIG, { more: { kvNamespaces: ["ANSWERED"] } }), async (stage) => {
    await stage.mail(HEARD);
    await stage.mail({ ...HEARD, "Message-ID": "<2@sender.example>" });
    await stage.mail(HEARD, { from: "bob@sender.example" });
    assert.deepEqual(stage.replies.map((r) => r.to), ["ann@sender.example", "bob@sender.example"]);
    assert.equal(stage.forwarded.length, 3);
    const { keys } = await (await stage.runtime.getKVNamespace("ANSWERED")).list();
    assert.equal(keys.length, 2);
    assert.ok(keys.every((k) => Math.abs(k.expiration - Date.now() / 1000 - 7 * 86400) < 60));
  });
});

test("a list of answers that fails means no answer, and the message arrives", async () => {
  await on(new Stage("reply", CONFIG, { bindings: { ANSWERED: { get: "no function" } } }), async (stage) => {
    assert.equal((await stage.mail(HEARD)).accepted, true);
    assert.deepEqual(stage.notes, FORWARDED_ONLY);
    assert.equal(await stage.logged(/the list of answers cannot be used/), true);
  });
});

test("an answer that the service refuses is no failure of the message", async () => {
  await on(new Stage("reply", CONFIG), async (stage) => {
    // Without References but with In-Reply-To the runtime takes no answer.
    assert.equal((await stage.mail({ ...HEARD, "In-Reply-To": "<0@example.org>" })).accepted, true);
    assert.equal(await stage.logged(/no answer: Original email is not replyable/), true);
  });
});

test("what nobody took is not answered", async () => {
  await on(new Stage("reply", CONFIG, { scene: { refuse: { "*": "SPF check failed" } } }), async (stage) => {
    assert.match((await stage.mail(HEARD)).rejected, /neither SPF nor DKIM/);
    assert.equal(stage.replies.length, 0);
  });
});
