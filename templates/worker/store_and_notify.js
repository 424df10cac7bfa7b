// Copyright (c) mailstead contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
/**
 * Forward a message, keep a copy, and tell a program about it: tickets, alerts, archives.
 *
 * CONFIG: {
 *   "forward": ["you@mailbox.example"],
 *   "webhook": "https://tickets.example.net/mail",
 *   "timeout_ms": 5000,
 *   "keep_days": 30,
 *   "keep_max_bytes": 5242880
 * }
 * The copy goes to the R2 bucket bound as MESSAGES_R2 or the KV namespace bound as MESSAGES_KV, when there is one; KV
 * forgets it after "keep_days", R2 keeps it until a rule of the bucket removes it. The secret bound as WEBHOOK_TOKEN is
 * sent as a bearer token. The program gets JSON: id, from, to, subject, message_id, date, size, dmarc, stored (name of
 * the copy, or null), forwarded (whether a mailbox has the message).
 *
 * The message comes first: neither a copy that fails nor a program that is down keeps it from the mailbox. Where no
 * mailbox takes it and there is no copy either, the sender is told and the program is not.
 */

import { address, configuration, httpsUrl, listOf, optional, wholeNumber } from "./configuration.js";
import { LARGEST, authentication, decoded, forwardTo, giveBack } from "./mail.js";

const DAY = 24 * 60 * 60;

const SHAPE = {
  forward: listOf(address, 1),
  webhook: httpsUrl,
  timeout_ms: optional(wholeNumber(100, 25_000), 5000),
  keep_days: optional(wholeNumber(1, 3650), 30),
  keep_max_bytes: optional(wholeNumber(1, LARGEST), LARGEST),
};

/** Keep a copy; returns its name, or null when there is none. */
async function keep(message, env, config, id) {
  if (!(env.MESSAGES_R2 || env.MESSAGES_KV)) return null;
  if (message.rawSize > config.keep_max_bytes) {
    console.log(`no copy: ${message.rawSize} bytes are more than ${config.keep_max_bytes}`);
    return null;
  }
  const name = `${new Date().toISOString().slice(0, 10)}/${id}.eml`;
  try {
    const content = await new Response(message.raw).arrayBuffer();
    if (env.MESSAGES_R2) await env.MESSAGES_R2.put(name, content, { httpMetadata: { contentType: "message/rfc822" } });
    else await env.MESSAGES_KV.put(name, content, { expirationTtl: config.keep_days * DAY });
    return name;
  } catch (error) {
    console.error(`no copy: ${error.message}`);
    return null;
  }
}

async function notify(env, config, event) {
  const headers = { "Content-Type": "application/json" };
  if (env.WEBHOOK_TOKEN) headers.Authorization = `Bearer ${env.WEBHOOK_TOKEN}`;
  try {
    const answer = await fetch(config.webhook, {
      method: "POST",
      headers,
      body: JSON.stringify(event),
      redirect: "manual", // the token is for this program only
      signal: AbortSignal.timeout(config.timeout_ms),
    });
    if (!answer.ok) console.error(`the webhook answered ${answer.status} to ${event.id}`);
    await answer.body?.cancel();
  } catch (error) {
    console.error(`the webhook was not told of ${event.id}: ${error.message}`);
  }
}

export default {
  async email(message, env, ctx) {
    const config = configuration(env, SHAPE);
    const id = crypto.randomUUID();
    const stored = await keep(message, env, config, id);
    const sent = await forwardTo(message, config.forward);
    if (sent.accepted.length === 0 && stored === null) {
      giveBack(message, sent.failed);
      return;
    }
    const event = {
      id,
      from: message.from,
      to: message.to,
      subject: decoded(message.headers.get("Subject") ?? ""),
      message_id: message.headers.get("Message-ID"),
      date: message.headers.get("Date"),
      size: message.rawSize,
      dmarc: authentication(message, "dmarc"),
      stored,
      forwarded: sent.accepted.length > 0,
    };
    // The sender does not wait for the program.
    ctx.waitUntil(notify(env, config, event));
  },
};
