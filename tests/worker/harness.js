// Copyright (c) mailstead contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
/**
 * Stands between the Workers runtime and the Worker under test: writes down what the Worker does with a message, and
 * makes forward() fail where the runtime, which knows no destinations, would not. Everything else is the runtime's own,
 * so an answer, for one, has to pass its checks.
 *
 * Binding SCENE: {refuse: {destination: words}, empty_sender?, can_be_forwarded?}. Service NOTES takes what was written down.
 */

import worker from "./under_test.js";

export default {
  async email(message, env, ctx) {
    const scene = env.SCENE ?? {};
    const pending = [];
    const note = (what) => env.NOTES.fetch("http://notes/", { method: "POST", body: JSON.stringify(what) });
    const seen = {
      from: scene.empty_sender ? "" : message.from,
      to: message.to,
      headers: message.headers,
      raw: message.raw,
      rawSize: message.rawSize,
      canBeForwarded: scene.can_be_forwarded ?? true,
      // In the service this takes effect at once; here it is a call into another process.
      setReject: (reason) => void pending.push(message.setReject(reason)),
      async forward(destination, headers) {
        const words = scene.refuse?.[destination] ?? scene.refuse?.["*"];
        await note({ did: words ? "refused" : "forward", to: destination, headers: Object.fromEntries(headers ?? []) });
        if (words) throw new Error(words);
        return message.forward(destination, headers);
      },
      async reply(reply) {
        await note({ did: "reply", from: reply.from, to: reply.to, raw: reply["EmailMessage::raw"] });
        return message.reply(reply);
      },
    };
    await worker.email(seen, env, ctx);
    await Promise.all(pending);
  },
};
