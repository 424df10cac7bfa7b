// Copyright (c) mailstead contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
/**
 * One address, several mailboxes: what a rule of Email Routing cannot do, for it has exactly one destination.
 *
 * CONFIG: {
 *   "forward": ["ann@mailbox.example", "bob@mailbox.example"],
 *   "recipients": {"sales@example.org": ["carol@mailbox.example"]},
 *   "max_bytes": 10485760
 * }
 * "recipients" is for a Worker that serves several addresses: those named there have mailboxes of their own.
 */

import { address, configuration, listOf, mapOf, optional, wholeNumber } from "./configuration.js";
import { LARGEST, forwardTo, giveBack, refuseLarge } from "./mail.js";

const SHAPE = {
  forward: listOf(address, 1),
  recipients: optional(mapOf(listOf(address, 1)), {}),
  max_bytes: optional(wholeNumber(1, LARGEST), LARGEST),
};

export default {
  async email(message, env) {
    const config = configuration(env, SHAPE);
    if (refuseLarge(message, config.max_bytes)) return;
    const own = Object.entries(config.recipients).find(([name]) => name.toLowerCase() === message.to.toLowerCase());
    const sent = await forwardTo(message, own?.[1] ?? config.forward);
    if (sent.accepted.length === 0) giveBack(message, sent.failed);
  },
};
