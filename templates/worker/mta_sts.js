// Copyright (c) mailstead contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
/**
 * The MTA-STS policy of domains whose mail Email Routing takes (RFC 8461 §3.2), served at mta-sts.<domain>.
 *
 * CONFIG: {"mode": "enforce", "mx": ["*.mx.cloudflare.net"], "max_age": 86400}
 * That is also what holds without a CONFIG. A configuration that cannot be used is answered with an error instead of a
 * policy: senders then go on with the one they know.
 */

import { ConfigurationError, configuration, listOf, mistake, oneOf, optional, wholeNumber } from "./configuration.js";

const PATTERN = /^(\*\.)?([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9-]+$/;

const mx = (value, where, mistakes) =>
  typeof value === "string" && PATTERN.test(value) ? value : mistake(mistakes, where, "a host name is expected");

const SHAPE = {
  mode: optional(oneOf("enforce", "testing", "none"), "enforce"),
  mx: optional(listOf(mx, 1), ["*.mx.cloudflare.net"]),
  max_age: optional(wholeNumber(0, 31557600), 86400), // seconds; the most is RFC 8461's
};

function policy(config) {
  const lines = ["version: STSv1", `mode: ${config.mode}`];
  lines.push(...config.mx.map((name) => `mx: ${name}`), `max_age: ${config.max_age}`);
  return lines.map((line) => `${line}\r\n`).join("");
}

export default {
  async fetch(request, env) {
    const plain = { "Content-Type": "text/plain; charset=utf-8" };
    if (new URL(request.url).pathname !== "/.well-known/mta-sts.txt") {
      return new Response("Not found\n", { status: 404, headers: plain });
    }
    if (request.method !== "GET" && request.method !== "HEAD") {
      return new Response("Method not allowed\n", { status: 405, headers: { ...plain, Allow: "GET, HEAD" } });
    }
    try {
      const body = policy(configuration({ CONFIG: env.CONFIG ?? {} }, SHAPE));
      return new Response(request.method === "HEAD" ? null : body, { headers: plain });
    } catch (error) {
      if (!(error instanceof ConfigurationError)) throw error;
      console.error(error.message);
      return new Response("The policy is not configured\n", { status: 500, headers: plain });
    }
  },
};
