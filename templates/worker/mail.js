// Copyright (c) mailstead contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
/** Handing a message on without losing it, and what a Worker can know about it. */

/** Email Routing takes no larger message (documentation, limits). */
export const LARGEST = 25 * 1024 * 1024;

/** Who writes the Authentication-Results that a Worker sees. */
const AUTHORITY = "mx.cloudflare.net";

/**
 * Forward to every destination, one after the other: each has to be verified in the account, and forward() throws for
 * one that is not, for a mailbox that refuses, and for mail that passes neither SPF nor DKIM.
 *
 * Once somebody has the message it counts as delivered: a failure told to the sender would bring it a second time to
 * those who have it. When nobody has it, the sender is told, see giveBack(). Returns who has it and who has not.
 */
export async function forwardTo(message, destinations, headers) {
  const accepted = [];
  const failed = [];
  for (const destination of new Set(destinations)) {
    try {
      await message.forward(destination, headers);
      accepted.push(destination);
    } catch (error) {
      failed.push({ destination, why: String(error?.message ?? error) });
      console.error(`not forwarded to ${destination}: ${failed.at(-1).why}`);
    }
  }
  return { accepted, failed };
}

/**
 * Tell the sender that nobody got the message. Trying again does not help unauthenticated mail, so that is refused for
 * good; anything else may be mended (a mailbox that is down, a destination not verified yet), so it leaves as an
 * exception, which makes the service try again before it tells the sender. No destination is named to strangers.
 */
export function giveBack(message, failed) {
  if (unauthenticated(message, failed)) {
    message.setReject("The message passed neither SPF nor DKIM and cannot be forwarded; see RFC 7208 and RFC 6376");
    return;
  }
  throw new Error(`no destination took the message: ${failed.map((f) => `${f.destination}: ${f.why}`).join("; ")}`);
}

function unauthenticated(message, failed) {
  return message.canBeForwarded === false || failed.some((f) => /authenticat|\b(spf|dkim|dmarc)\b/i.test(f.why));
}

/** Refuse a message over a size; whether it was. */
export function refuseLarge(message, largest) {
  if (message.rawSize <= largest) return false;
  message.setReject(`The message has ${message.rawSize} bytes; this address takes ${largest}`);
  return true;
}

/**
 * The result of a method (spf, dkim, dmarc) as the service itself found it, empty when it did not say. Only the topmost
 * Authentication-Results counts, and only in the service's name: a sender can write what it likes below (RFC 8601 §5).
 */
export function authentication(message, method) {
  const all = message.headers.get("Authentication-Results") ?? "";
  if (!all.trimStart().startsWith(`${AUTHORITY};`)) return "";
  // Several headers come joined by commas: the next one begins where a name and a semicolon follow a comma.
  const topmost = all.split(/,\s*[^\s;,=()]+(?:\s+\d+)?\s*;/, 1)[0];
  return new RegExp(`;\\s*${method}=(\\w+)`, "i").exec(topmost)?.[1].toLowerCase() ?? "";
}

/** The address in a From header, or nothing. */
export function headerAddress(value) {
  const text = value ?? "";
  const inAngles = /<([^<>\s]+@[^<>\s]+)>\s*$/.exec(text);
  return (inAngles?.[1] ?? /[^\s<>"(),;:]+@[^\s<>"(),;:]+/.exec(text)?.[0] ?? "").toLowerCase();
}

/** A header as people read it: its encoded words (RFC 2047) in plain text; one that cannot be read stays as it is. */
export function decoded(value) {
  const words = /=\?([^?*\s]+)(?:\*[^?\s]*)?\?([bq])\?([^?\s]*)\?=/gi;
  return value.replace(/\?=\s+=\?/g, "?==?").replace(words, (whole, charset, kind, text) => {
    try {
      const bytes = kind.toLowerCase() === "b" ? atob(text) : unquoted(text);
      return new TextDecoder(charset).decode(Uint8Array.from(bytes, (sign) => sign.charCodeAt(0)));
    } catch {
      return whole;
    }
  });
}

function unquoted(text) {
  const spaced = text.replaceAll("_", " ");
  return spaced.replace(/=([0-9a-f]{2})/gi, (_, code) => String.fromCharCode(Number.parseInt(code, 16)));
}

/** Whether a text fits a pattern in which * stands for anything; upper and lower case are the same. */
export function fits(pattern, text) {
  const parts = pattern.toLowerCase().split("*");
  const rest = text.toLowerCase();
  if (parts.length === 1) return rest === parts[0];
  const [first, last] = [parts.shift(), parts.pop()];
  if (!rest.startsWith(first) || !rest.endsWith(last) || rest.length < first.length + last.length) return false;
  let at = first.length;
  const end = rest.length - last.length;
  for (const part of parts) {
    const found = rest.indexOf(part, at);
    if (found < 0 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}
