// Copyright (c) mailstead contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
/**
 * Refuse, drop or forward a message by its sender, recipient, size or any header. The first rule that fits decides; a
 * message that none fits goes to "forward".
 *
 * CONFIG: {
 *   "forward": ["you@mailbox.example"],
 *   "rules": [
 *     {"from": ["*@spam.example"], "action": "reject", "reason": "not wanted here"},
 *     {"header": {"List-Id": "*<announce.example.net>"}, "action": "forward", "forward": ["lists@mailbox.example"]},
 *     {"header": {"Subject": "*lottery*"}, "action": "drop"}
 *   ],
 *   "max_bytes": 10485760
 * }
 * All conditions of a rule have to hold; of a list one is enough. "from" looks at the envelope and at the From header.
 * Patterns know one sign, * for anything; a header has to be there to fit even that. "headers" of a rule are added to what it forwards; their names begin with X-.
 */

import { address, configuration, listOf, mapOf, mistake, object, oneOf, optional, text, wholeNumber } from "./configuration.js";
import { LARGEST, decoded, fits, forwardTo, giveBack, headerAddress, refuseLarge } from "./mail.js";

const ADDED = (value, where, mistakes) => {
  const found = mapOf(text)(value, where, mistakes) ?? {};
  const wrong = Object.keys(found).filter((name) => !/^X-[A-Za-z0-9-]+$/.test(name));
  return wrong.length === 0 ? found : mistake(mistakes, where, `only names that begin with X-, not ${wrong.join(", ")}`);
};

const RULE = object({
  from: optional(listOf(text, 1)),
  to: optional(listOf(text, 1)),
  header: optional(mapOf(text), {}),
  larger_than: optional(wholeNumber(0, LARGEST), 0),
  action: oneOf("reject", "drop", "forward"),
  reason: optional(text, "The message is not wanted here"),
  forward: optional(listOf(address, 1)),
  headers: optional(ADDED, {}),
});

const SHAPE = {
  forward: listOf(address, 1),
  rules: optional(listOf(RULE), []),
  max_bytes: optional(wholeNumber(1, LARGEST), LARGEST),
};

function holds(rule, message) {
  const senders = [message.from, headerAddress(message.headers.get("From"))];
  return (
    (!rule.from || rule.from.some((pattern) => senders.some((sender) => fits(pattern, sender)))) &&
    (!rule.to || rule.to.some((pattern) => fits(pattern, message.to))) &&
    Object.entries(rule.header).every(
      ([name, pattern]) => message.headers.has(name) && fits(pattern, decoded(message.headers.get(name))),
    ) &&
    message.rawSize > rule.larger_than
  );
}

export default {
  async email(message, env) {
    const config = configuration(env, SHAPE);
    if (refuseLarge(message, config.max_bytes)) return;
    const rule = config.rules.find((one) => holds(one, message)) ?? { action: "forward", headers: {} };
    if (rule.action === "reject") {
      message.setReject(rule.reason);
    } else if (rule.action === "forward") {
      const sent = await forwardTo(message, rule.forward ?? config.forward, new Headers(rule.headers));
      if (sent.accepted.length === 0) giveBack(message, sent.failed);
    } else {
      console.log(`dropped by a rule: from ${message.from} to ${message.to}`);
    }
  },
};
