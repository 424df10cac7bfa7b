// Copyright (c) mailstead contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
/**
 * The configuration of a Worker: the binding CONFIG, a JSON object. Nobody edits code to change what a Worker does.
 *
 * A shape maps each key to a check; a check takes the value (undefined when absent) and the place for its message, and
 * returns the value to use. A key that the shape does not know is a mistake, most likely a misspelt one.
 */

export class ConfigurationError extends Error {}

/**
 * The checked configuration. Throws ConfigurationError with every mistake in it.
 *
 * The exception is meant to leave the handler: nothing is known of where mail should go, and a failed run of the Worker
 * is reported to the sender, whereas guessing would lose the message.
 */
export function configuration(env, shape) {
  let given = env.CONFIG;
  if (typeof given === "string") {
    try {
      given = JSON.parse(given);
    } catch (error) {
      throw new ConfigurationError(`CONFIG is not JSON: ${error.message}`);
    }
  }
  const mistakes = [];
  const checked = object(shape)(given, "CONFIG", mistakes);
  if (mistakes.length > 0) throw new ConfigurationError(mistakes.join("; "));
  return checked;
}

/** An object of exactly this shape. */
export const object = (shape) => (value, where, mistakes) => {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    return mistake(mistakes, where, "an object is expected");
  }
  for (const key of Object.keys(value).filter((k) => !Object.hasOwn(shape, k))) {
    mistake(mistakes, `${where}.${key}`, `unknown; known are ${Object.keys(shape).join(", ")}`);
  }
  return Object.fromEntries(Object.entries(shape).map(([k, check]) => [k, check(value[k], `${where}.${k}`, mistakes)]));
};

/** An object with any keys, whose values all pass one check. */
export const mapOf = (check) => (value, where, mistakes) => {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    return mistake(mistakes, where, "an object is expected");
  }
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, check(v, `${where}.${k}`, mistakes)]));
};

export const listOf = (check, least = 0) => (value, where, mistakes) => {
  if (!Array.isArray(value)) return mistake(mistakes, where, "a list is expected");
  if (value.length < least) return mistake(mistakes, where, `at least ${least} expected`);
  return value.map((item, index) => check(item, `${where}[${index}]`, mistakes));
};

export const text = (value, where, mistakes) =>
  typeof value === "string" && value !== "" ? value : mistake(mistakes, where, "a text is expected");

export const address = (value, where, mistakes) =>
  typeof value === "string" && /^[^\s@<>,]+@[^\s@<>,]+$/.test(value)
    ? value
    : mistake(mistakes, where, "a mail address is expected");

export const wholeNumber = (least, most) => (value, where, mistakes) =>
  Number.isInteger(value) && value >= least && value <= most
    ? value
    : mistake(mistakes, where, `a whole number from ${least} to ${most} is expected`);

export const oneOf = (...choices) => (value, where, mistakes) =>
  choices.includes(value) ? value : mistake(mistakes, where, `one of ${choices.join(", ")} is expected`);

export const httpsUrl = (value, where, mistakes) =>
  typeof value === "string" && URL.canParse(value) && new URL(value).protocol === "https:"
    ? value
    : mistake(mistakes, where, "a URL that begins with https:// is expected");

export const optional = (check, fallback) => (value, where, mistakes) =>
  value === undefined || value === null ? fallback : check(value, where, mistakes);

/** Notes a mistake; checks return undefined for what is wrong. */
export function mistake(mistakes, where, what) {
  mistakes.push(`${where}: ${what}`);
  return undefined;
}
