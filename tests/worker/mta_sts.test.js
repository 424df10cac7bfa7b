// Copyright (c) mailstead contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
/** The MTA-STS policy over HTTP (RFC 8461 §3.2, §3.3). */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Stage, on } from "./stage.js";

const POLICY = "http://mta-sts.example.org/.well-known/mta-sts.txt";

async function ask(stage, url = POLICY, method = "GET") {
  const answer = await stage.runtime.dispatchFetch(url, { method });
  return { status: answer.status, type: answer.headers.get("content-type"), allow: answer.headers.get("allow"), text: await answer.text() };
}

test("the policy of Email Routing is what holds without a configuration", async () => {
  await on(new Stage("mta_sts", undefined, { plain: true }), async (stage) => {
    const { status, type, text } = await ask(stage);
    assert.deepEqual([status, type], [200, "text/plain; charset=utf-8"]);
    assert.equal(text, "version: STSv1\r\nmode: enforce\r\nmx: *.mx.cloudflare.net\r\nmax_age: 86400\r\n");
    assert.deepEqual(await ask(stage, POLICY, "HEAD"), { status: 200, type, allow: null, text: "" });
    assert.equal((await ask(stage, "http://mta-sts.example.org/")).status, 404);
    const posted = await ask(stage, POLICY, "POST");
    assert.deepEqual([posted.status, posted.allow], [405, "GET, HEAD"]);
  });
});

test("another policy comes from the configuration", async () => {
  const config = { mode: "testing", mx: ["mx1.example.org", "*.example.net"], max_age: 604800 };
  await on(new Stage("mta_sts", config, { plain: true }), async (stage) => {
    assert.equal((await ask(stage)).text, "version: STSv1\r\nmode: testing\r\nmx: mx1.example.org\r\nmx: *.example.net\r\nmax_age: 604800\r\n");
  });
});

test("no policy is served from a configuration that cannot be used", async () => {
  for (const config of [{ mode: "strict" }, { mx: ["bad host"] }, { mx: ["a.*.example"] }, { max_age: -1 }, "x"]) {
    await on(new Stage("mta_sts", config, { plain: true }), async (stage) => {
      const { status, text } = await ask(stage);
      assert.equal(status, 500);
      assert.doesNotMatch(text, /STSv1/);
      assert.equal(await stage.logged(/CONFIG/), true);
    });
  }
});
