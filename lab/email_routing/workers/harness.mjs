// Copyright (c) mailstead contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
//
// What stands around a Worker's email() handler: turns a request into its message and its actions into requests.
// It lives in the Worker's own isolate, because setReject() and the message's properties are synchronous.

const EXCHANGER = "MAILSTEAD_EXCHANGER";

/** The header fields of a message, unfolded (RFC 5322 section 2.2.3). */
function headersOf(raw) {
  const text = new TextDecoder().decode(raw);
  const end = text.indexOf("\r\n\r\n");
  const headers = new Headers();
  for (const line of text.slice(0, end < 0 ? undefined : end).replace(/\r\n[ \t]+/g, " ").split("\r\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) headers.append(line.slice(0, colon).trim(), line.slice(colon + 1).trim());
  }
  return headers;
}

async function act(exchanger, session, action, parameters, body) {
  const query = new URLSearchParams(parameters);
  const answer = await exchanger.fetch(`http://exchanger/${session}/${action}?${query}`, { method: "POST", body });
  if (!answer.ok) throw new Error(await answer.text());
}

/** The bindings as the Worker sees them: ours is not among them, send_email becomes an object that sends. */
function environment(env, session) {
  const exchanger = env[EXCHANGER];
  const seen = { ...env };
  delete seen[EXCHANGER];
  for (const name of JSON.parse(env.MAILSTEAD_SENDERS)) {
    seen[name] = {
      async send(message) {
        if (message?.raw === undefined) throw new Error("the lab's binding sends an EmailMessage only");
        const raw = await new Response(message.raw).arrayBuffer();
        await act(exchanger, session, "send", { binding: name, from: message.from, to: message.to }, raw);
      },
    };
  }
  delete seen.MAILSTEAD_SENDERS;
  return seen;
}

export function around(worker) {
  return {
    async fetch(request, env, context) {
      const url = new URL(request.url);
      const session = url.pathname.slice(1);
      const raw = await request.arrayBuffer();
      const exchanger = env[EXCHANGER];
      const result = { rejection: null, error: null };
      const message = {
        from: url.searchParams.get("from"),
        to: url.searchParams.get("to"),
        canBeForwarded: url.searchParams.get("forwardable") === "1",
        headers: headersOf(raw),
        raw: new Response(raw).body,
        rawSize: raw.byteLength,
        setReject(reason) {
          result.rejection = String(reason);
        },
        async forward(to, headers) {
          await act(exchanger, session, "forward", { to }, JSON.stringify([...(headers ?? new Headers())]));
        },
        async reply(reply) {
          const body = await new Response(reply.raw).arrayBuffer();
          await act(exchanger, session, "reply", { from: reply.from, to: reply.to }, body);
        },
      };
      try {
        const bindings = environment(env, session);
        const exported = worker.default;
        const handler = typeof exported === "function" ? new exported(context, bindings) : exported;
        if (typeof handler?.email !== "function") throw new Error("Handler does not export an email() function");
        await handler.email(message, bindings, context);
      } catch (error) {
        result.error = String(error);
      }
      return Response.json(result);
    },
  };
}
