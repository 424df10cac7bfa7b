// Copyright (c) mailstead contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
/**
 * Forward a message, then answer it once with a fixed text: an absence notice, a receipt.
 *
 * CONFIG: {
 *   "forward": ["you@mailbox.example"],
 *   "text": "I am away until Monday.",
 *   "subject": "Away",
 *   "name": "Ann Example",
 *   "days": 7
 * }
 * Without "subject" the answer has the message's own behind "Auto:". With a KV namespace bound as ANSWERED a sender gets
 * one answer in "days" days; without one, every message that may be answered is.
 *
 * An answer goes out only where RFC 3834 §2 allows it, and only to mail that passes DMARC: anybody else's sender address
 * may be forged, and the answer would be somebody's spam. The service demands the latter as well.
 */

import { EmailMessage } from "cloudflare:email";
import { address, configuration, listOf, optional, text, wholeNumber } from "./configuration.js";
import { LARGEST, authentication, forwardTo, giveBack, refuseLarge } from "./mail.js";
import { answer, silence } from "./answer.js";

const SHAPE = {
  forward: listOf(address, 1),
  text,
  subject: optional(text, ""),
  name: optional(text, ""),
  days: optional(wholeNumber(1, 365), 7),
  max_bytes: optional(wholeNumber(1, LARGEST), LARGEST),
};

const DAY = 24 * 60 * 60;

/** Whether this sender had an answer lately. A store that fails is no reason to answer twice. */
async function answeredLately(env, message, days) {
  if (!env.ANSWERED) return false;
  const key = `${message.to} ${message.from}`.toLowerCase();
  try {
    if ((await env.ANSWERED.get(key)) !== null) return true;
    // Noted before it is sent: better no answer than two.
    await env.ANSWERED.put(key, new Date().toISOString(), { expirationTtl: days * DAY });
    return false;
  } catch (error) {
    console.error(`the list of answers cannot be used: ${error.message}`);
    return true;
  }
}

async function reply(message, env, config) {
  const reason = authentication(message, "dmarc") === "pass" ? silence(message) : "the message does not pass DMARC";
  if (reason) {
    console.log(`no answer: ${reason}`);
    return;
  }
  if (await answeredLately(env, message, config.days)) return;
  try {
    await message.reply(new EmailMessage(message.to, message.from, answer(message, config)));
  } catch (error) {
    // The message itself has arrived; that no answer could be sent is no failure of the sender.
    console.error(`no answer: ${error.message}`);
  }
}

export default {
  async email(message, env) {
    const config = configuration(env, SHAPE);
    if (refuseLarge(message, config.max_bytes)) return;
    const sent = await forwardTo(message, config.forward);
    if (sent.accepted.length === 0) giveBack(message, sent.failed);
    else await reply(message, env, config);
  },
};
