// Copyright (c) mailstead contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
/** The storing and notifying Worker: the message comes first, whatever else fails. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Stage, on } from "./stage.js";

const YOU = "you@mailbox.example";
const CONFIG = { forward: [YOU], webhook: "https://tickets.example.net/mail" };
const KV = { kvNamespaces: ["MESSAGES_KV"] };
const R2 = { r2Buckets: ["MESSAGES_R2"] };

test("the mailbox has the message and the program knows", async () => {
  await on(new Stage("store_and_notify", CONFIG, { bindings: { WEBHOOK_TOKEN: "s3cret" } }), async (stage) => {
    const results = { "Authentication-Results": "mx.cloudflare.net; dmarc=pass", Date: "Fri, 20 Nov 2026 10:00:00 +0000", Subject: "=?utf-8?q?Fra=C3=A7ais?=" };
    assert.equal((await stage.mail(results)).accepted, true);
    assert.deepEqual(stage.forwarded, [YOU]);
    assert.equal(await stage.called(), true);
    const [{ url, headers, body }] = stage.calls;
    assert.deepEqual([url, headers.authorization, headers["content-type"]], [CONFIG.webhook, "Bearer s3cret", "application/json"]);
    const { id, size, ...event } = body;
    assert.match(id, /^[0-9a-f-]{36}$/);
    assert.ok(size > 100);
    assert.deepEqual(event, {
      from: "ann@sender.example",
      to: "hi@example.org",
      subject: "Fraçais",
      message_id: "<1@sender.example>",
      date: "Fri, 20 Nov 2026 10:00:00 +0000",
      dmarc: "pass",
      stored: null,
      forwarded: true,
    });
  });
});

test("a copy goes to KV for a time, or to R2, byte by byte", async () => {
  await on(new Stage("store_and_notify", { ...CONFIG, keep_days: 2 }, { more: KV }), async (stage) => {
    await stage.mail({}, { body: "Grüße\r\n" });
    assert.equal(await stage.called(), true);
    assert.equal(stage.calls[0].headers.authorization, undefined);
    const store = await stage.runtime.getKVNamespace("MESSAGES_KV");
    const { keys } = await store.list();
    assert.deepEqual(keys.map((k) => k.name), [stage.calls[0].body.stored]);
    assert.ok(Math.abs(keys[0].expiration - Date.now() / 1000 - 2 * 86400) < 60);
    assert.match(await store.get(keys[0].name), /^From: ann@sender\.example\r\n[\s\S]*\r\n\r\nGrüße\r\n$/);
  });
  await on(new Stage("store_and_notify", CONFIG, { more: { ...R2, ...KV } }), async (stage) => {
    await stage.mail();
    assert.equal(await stage.called(), true);
    const kept = await (await stage.runtime.getR2Bucket("MESSAGES_R2")).get(stage.calls[0].body.stored);
    assert.equal(kept.httpMetadata.contentType, "message/rfc822");
    assert.match(await kept.text(), /\r\n\r\nHello\r\n$/);
    assert.deepEqual(stage.forwarded, [YOU]);
  });
});

test("no copy is made of what is too large for it; the message arrives all the same", async () => {
  await on(new Stage("store_and_notify", { ...CONFIG, keep_max_bytes: 1000 }, { more: KV }), async (stage) => {
    assert.equal((await stage.mail({}, { body: "x".repeat(1000) })).accepted, true);
    assert.deepEqual(stage.forwarded, [YOU]);
    assert.equal(await stage.called(), true);
    assert.equal(stage.calls[0].body.stored, null);
  });
});

test("a store that fails does not keep the message from the mailbox", async () => {
  await on(new Stage("store_and_notify", CONFIG, { bindings: { MESSAGES_KV: { put: "no function" } } }), async (stage) => {
    assert.equal((await stage.mail()).accepted, true);
    assert.deepEqual(stage.forwarded, [YOU]);
    assert.equal(await stage.logged(/no copy: /), true);
  });
});

test("a program that is down, slow or points elsewhere does not matter to the sender", async () => {
  const troubles = [
    [() => new Response("broken", { status: 503 }), /the webhook answered 503/],
    [() => new Promise((resolve) => setTimeout(() => resolve(new Response("late")), 3000)), /was not told of .*(timeout|aborted)/i, 200],
    [() => new Response("", { status: 302, headers: { Location: "https://evil.example/" } }), /the webhook answered 302/],
    [() => { throw new Error("connection refused"); }, /the webhook (answered 500|was not told)/],
  ];
  for (const [webhook, told, timeout_ms = 5000] of troubles) {
    await on(new Stage("store_and_notify", { ...CONFIG, timeout_ms }, { webhook }), async (stage) => {
      assert.equal((await stage.mail()).accepted, true);
      assert.deepEqual(stage.forwarded, [YOU]);
      assert.equal(await stage.logged(told), true, String(told));
      assert.equal(stage.calls.length, 1);
    });
  }
});

test("the sender does not wait for the program", async () => {
  const webhook = () => new Promise((resolve) => setTimeout(() => resolve(new Response("late")), 6000));
  await on(new Stage("store_and_notify", { ...CONFIG, timeout_ms: 9000 }, { webhook }), async (stage) => {
    await stage.runtime.ready;
    const begun = Date.now();
    assert.equal((await stage.mail()).accepted, true);
    assert.ok(Date.now() - begun < 5000);
    assert.equal(await stage.called(), true);
  });
});

test("what no mailbox takes is told to the sender, unless there is a copy", async () => {
  const scene = { refuse: { "*": "DMARC policy of the sender" } };
  await on(new Stage("store_and_notify", CONFIG, { scene }), async (stage) => {
    assert.match((await stage.mail()).rejected, /neither SPF nor DKIM/);
    assert.deepEqual(stage.calls, []);
  });
  await on(new Stage("store_and_notify", CONFIG, { scene, more: KV }), async (stage) => {
    assert.equal((await stage.mail()).accepted, true);
    assert.equal(await stage.called(), true);
    assert.equal(stage.calls[0].body.forwarded, false);
    assert.match(stage.calls[0].body.stored, /\.eml$/);
  });
});
