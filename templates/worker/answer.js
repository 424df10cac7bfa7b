// Copyright (c) mailstead contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
/** Automatic answers: when to stay silent, and the message itself (RFC 3834). */

import { headerAddress } from "./mail.js";

/** Local parts behind which nobody reads, or programs answer (RFC 3834 §2, RFC 2142). */
const ROBOTS = /^(mailer-daemon|postmaster|(no|do-?not)[-_.]?reply.*|.*-(request|owner|bounces?)|owner-.*|bounces?([-+].*)?)$/;

/** More of them the service does not take (documentation, reply to emails). */
const MOST_REFERENCES = 100;

/** Why a message must not be answered automatically, or nothing. */
export function silence(message) {
  const header = (name) => (message.headers.get(name) ?? "").trim().toLowerCase();
  const sender = message.from.toLowerCase();
  const has = (name) => message.headers.has(name);
  if (sender === "" || sender === "<>") return "it has no sender: it is itself a report";
  if (sender === message.to.toLowerCase() || headerAddress(header("from")) === message.to.toLowerCase()) {
    return "it comes from this very address";
  }
  if (ROBOTS.test(sender.split("@")[0])) return "its sender is a program";
  if (has("Auto-Submitted") && !header("auto-submitted").startsWith("no")) return "it was sent automatically";
  if (["List-Id", "List-Unsubscribe", "List-Post", "List-Help"].some(has)) return "it comes from a mailing list";
  if (["bulk", "list", "junk", "auto_reply"].includes(header("precedence"))) return "it is bulk mail";
  if (has("X-Auto-Response-Suppress") && header("x-auto-response-suppress") !== "none") return "it asks for no answer";
  if (!`${header("to")}, ${header("cc")}`.includes(message.to.toLowerCase())) return "this address is not in To or Cc";
  if (!/^<[^<>\s]+>$/.test(header("message-id"))) return "it has no Message-ID to refer to";
  if (references(message).length > MOST_REFERENCES - 1) return "its thread is too long";
  return "";
}

function references(message) {
  return (message.headers.get("References") ?? "").match(/<[^<>\s]+>/g) ?? [];
}

/** The answer as it travels. config: text, subject and name (both may be empty). */
export function answer(message, config) {
  const id = message.headers.get("Message-ID").trim();
  const domain = message.to.split("@")[1];
  const subject = config.subject || `Auto: ${message.headers.get("Subject") ?? ""}`.trim();
  return [
    `From: ${config.name ? `${word(config.name, true)} ` : ""}<${message.to}>`,
    `To: <${message.from}>`,
    `Subject: ${word(subject, false)}`,
    `Date: ${new Date().toUTCString().replace("GMT", "+0000")}`,
    `Message-ID: <${crypto.randomUUID()}@${domain}>`,
    `In-Reply-To: ${id}`,
    `References: ${[...references(message), id].join("\r\n ")}`,
    "Auto-Submitted: auto-replied",
    "X-Auto-Response-Suppress: All",
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=utf-8",
    "Content-Transfer-Encoding: base64",
    "",
    ...base64(config.text.replace(/\r?\n/g, "\r\n")).match(/.{1,76}/g),
    "",
  ].join("\r\n");
}

/** A text as part of a header: on one line, encoded where it is not plain ASCII (RFC 2047), quoted as a name. */
function word(value, asName) {
  const line = value.replace(/[\r\n\t\0]+/g, " ");
  if (/^[\x20-\x7e]{1,900}$/.test(line)) return asName ? `"${line.replace(/["\\]/g, "\\$&")}"` : line;
  // An encoded word has at most 75 characters, and none ends within a character: 10 characters are at most 40 bytes.
  return line.match(/.{1,10}/gu).map((part) => `=?utf-8?B?${base64(part)}?=`).join("\r\n ");
}

function base64(value) {
  let bytes = "";
  for (const byte of new TextEncoder().encode(value)) bytes += String.fromCharCode(byte);
  return btoa(bytes);
}
