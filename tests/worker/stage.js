// Copyright (c) mailstead contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
/** Runs a Worker template in the Workers runtime (workerd) and hands mail to it. */

import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
const TEMPLATES = join(HERE, "..", "..", "templates", "worker");
// Installed outside of the sources: run.sh says where.
const require = createRequire(join(process.env.WORKER_TESTS_HOME ?? HERE, "package.json"));
const { Miniflare, Log, LogLevel } = require("miniflare");

/** The date the module deploys with, read from where it is written. */
export const COMPATIBILITY_DATE = /COMPATIBILITY_DATE = "([0-9-]+)"/.exec(
  readFileSync(join(HERE, "..", "..", "plugins", "module_utils", "cloudflare", "workers.py"), "utf8"),
)[1];

class Lines extends Log {
  constructor() {
    super(LogLevel.VERBOSE);
    this.lines = [];
  }
  log(line) {
    this.lines.push(line);
  }
}

const module = (path, contents) => ({ type: "ESModule", path: join("/worker", path), contents });
const template = (name) => readFileSync(join(TEMPLATES, `${name}.js`), "utf8");

/** One run of a template. Its result: status and words of the SMTP side, notes of the harness, calls of the webhook. */
export class Stage {
  /**
   * scene: for harness.js; bindings: beside CONFIG; more: options of Miniflare; webhook: answers its requests; plain: run
   * the template itself, without the harness.
   */
  constructor(name, config, { scene, bindings, more, webhook, plain = false } = {}) {
    this.notes = [];
    this.calls = [];
    this.log = new Lines();
    const shared = readdirSync(TEMPLATES).filter((f) => f !== `${name}.js`);
    this.runtime = new Miniflare({
      log: this.log,
      cf: false, // else it asks the Internet where it is
      unsafeTriggerHandlers: true, // take mail at /cdn-cgi/handler/email
      handleRuntimeStdio: (stdout, stderr) => {
        for (const stream of [stdout, stderr]) stream.on("data", (data) => this.log.lines.push(String(data)));
      },
      compatibilityDate: COMPATIBILITY_DATE,
      modulesRoot: "/worker",
      modules: [
        ...(plain ? [] : [module("harness.js", readFileSync(join(HERE, "harness.js"), "utf8"))]),
        module("under_test.js", template(name)),
        ...shared.map((file) => module(file, template(file.replace(/\.js$/, "")))),
      ],
      bindings: { ...(config !== undefined && { CONFIG: config }), SCENE: scene ?? {}, ...bindings },
      // Only there so that the runtime has its module cloudflare:email.
      email: { send_email: [{ name: "UNUSED" }] },
      serviceBindings: {
        NOTES: async (request) => {
          this.notes.push(await request.json());
          return new Response("");
        },
      },
      // Everything a Worker asks of the Internet ends here: no test leaves this machine.
      outboundService: async (request) => {
        const call = { url: request.url, headers: Object.fromEntries(request.headers), body: await request.json() };
        this.calls.push(call);
        return (await webhook?.(call)) ?? new Response("taken");
      },
      ...more,
    });
  }

  /** Hand a message over by SMTP as far as the Worker sees it. */
  async mail(headers = {}, { from = "ann@sender.example", to = "hi@example.org", body = "Hello\r\n" } = {}) {
    const all = { From: from, To: to, Subject: "Question", "Message-ID": "<1@sender.example>", ...headers };
    const lines = Object.entries(all).filter(([, value]) => value !== null);
    const raw = lines.map(([name, value]) => `${name}: ${value}\r\n`).join("") + `\r\n${body}`;
    const query = new URLSearchParams({ from, to });
    const answer = await this.runtime.dispatchFetch(`http://localhost/cdn-cgi/handler/email?${query}`, {
      method: "POST",
      body: raw,
    });
    const words = await answer.text();
    return {
      accepted: answer.status === 200,
      rejected: /rejected email with the following reason: (.*)/s.exec(words)?.[1] ?? null,
      failed: answer.status >= 500,
      words,
    };
  }

  get forwarded() {
    return this.notes.filter((n) => n.did === "forward").map((n) => n.to);
  }

  get replies() {
    return this.notes.filter((n) => n.did === "reply");
  }

  async logged(pattern, patience = 15000) {
    return within(() => this.log.lines.some((line) => pattern.test(line)), patience);
  }

  async called(count = 1, patience = 15000) {
    return within(() => this.calls.length >= count, patience);
  }

  close() {
    return this.runtime.dispose();
  }
}

async function within(holds, patience) {
  const end = Date.now() + patience;
  while (!holds()) {
    if (Date.now() > end) return false;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return true;
}

/** A stage for the length of one test. */
export async function on(stage, act) {
  try {
    await act(stage);
  } finally {
    await stage.close();
  }
}
