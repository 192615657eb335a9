/**
 * What a message carries besides its payload.
 *
 * @module
 */

import { kindOf } from "./codec.ts";

/** Headers by their names, which are case-sensitive. */
export type MessageHeaders = Readonly<Record<string, string>>;

/** The backends whose brokers have headers. */
export const HEADERS = [
  "memory",
  "redis-stream",
  "postgres-stream",
  "kafka",
  "amqp",
  "amqp-stream",
  "mqtt",
  "nats",
  "nats-stream",
] as const;

/** What all names and values may take together, in bytes: what web servers take, too. */
const LIMIT = 8 * 1024;
/** A token, as HTTP has it: NATS takes no other name. */
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** What the core and its backends themselves write. */
const OWN = /^broadcaster-/i;
const CONTROL = /\p{Cc}/u;

/**
 * The headers of a message, copied: what every broker that has headers carries
 * unchanged. Their values never appear in an error.
 *
 * @throws {TypeError} If a name or a value cannot be used.
 * @throws {RangeError} If they are too long.
 */
export function readHeaders(channel: string, given: unknown): MessageHeaders | undefined {
  if (given === undefined) return undefined;
  const refuse = (reason: string) => new TypeError(`Cannot publish to "${channel}": ${reason}`);
  if (typeof given !== "object" || given === null || Symbol.iterator in given) {
    throw refuse(`headers must be an object of strings by their names, it is ${kindOf(given)}`);
  }
  const entries = Object.entries(given);
  let length = 0;
  for (const [name, value] of entries) {
    if (!NAME.test(name)) {
      throw refuse(
        `header name ${
          JSON.stringify(name)
        } must be of letters, digits and any of !#$%&'*+-.^_\`|~`,
      );
    }
    if (OWN.test(name)) throw refuse(`header name "${name}" is reserved`);
    if (typeof value !== "string") {
      throw refuse(`header "${name}" must be a string, it is ${kindOf(value)}`);
    }
    if (!value.isWellFormed()) throw refuse(`header "${name}" has a lone surrogate`);
    if (CONTROL.test(value)) throw refuse(`header "${name}" has a control character`);
    if (value.trim() !== value) throw refuse(`header "${name}" has spaces at an end`);
    length += name.length + lengthOf(value);
  }
  if (length > LIMIT) {
    throw new RangeError(
      `Cannot publish to "${channel}": the headers have ${length} bytes, the limit is ${LIMIT}`,
    );
  }
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

/** Headers as a broker has them, without our own: nothing if there are none. */
export function headersOf(
  entries: Iterable<readonly [name: string, value: string]>,
): MessageHeaders | undefined {
  const others = [...entries].filter(([name]) => !OWN.test(name));
  return others.length === 0 ? undefined : Object.fromEntries(others);
}

/** How long headers are, in bytes, with so many more for each of them. */
export function lengthOfHeaders(headers: MessageHeaders | undefined, each = 0): number {
  let length = 0;
  for (const name in headers) length += name.length + lengthOf(headers[name]!) + each;
  return length;
}

/**
 * The text of a header that another program has written: of a number or a boolean its own, of
 * bytes their UTF-8. Of everything else there is none.
 */
export function textOf(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (!(value instanceof Uint8Array)) return undefined;
  try {
    return decoder.decode(value);
  } catch {
    return undefined;
  }
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function lengthOf(value: string): number {
  return encoder.encode(value).length;
}
