/**
 * The headers of a message: their validation, and their size.
 *
 * @module
 */

import { kindOf } from "../util/kind.ts";

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

/** What headers may take together, in bytes, each with so many more: as HTTP/2 counts them. */
const LIMIT = 8 * 1024;
const OVERHEAD = 32;
/** A token, as HTTP has it: NATS takes no other name. */
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** What the core and its backends themselves write. */
const OWN = /^broadcaster-/i;
const CONTROL = /\p{Cc}/u;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

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
  if (!isPlain(given)) {
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
    length += name.length + byteLength(value) + OVERHEAD;
  }
  if (length > LIMIT) {
    throw new RangeError(
      `Cannot publish to "${channel}": the headers have ${length} bytes, with ${OVERHEAD} more for each, the limit is ${LIMIT}`,
    );
  }
  return entries.length === 0 ? undefined : Object.freeze(Object.fromEntries(entries));
}

/** Whether it is an object of whatever realm, and of no class. */
function isPlain(given: unknown): given is object {
  if (typeof given !== "object" || given === null || Array.isArray(given)) return false;
  const prototype: unknown = Object.getPrototypeOf(given);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/**
 * Headers as a broker has them, without our own; nothing if there are none. What
 * other programs write is taken as text where it is one: numbers and truth values
 * too, bytes if they are UTF-8. Of a name that is repeated the last value counts.
 */
export function headersOf(
  entries: Iterable<readonly [name: string | Uint8Array, value: unknown]>,
): MessageHeaders | undefined {
  const found: [string, string][] = [];
  for (const [rawName, rawValue] of entries) {
    const [name, value] = [textOf(rawName), textOf(rawValue)];
    if (name !== undefined && value !== undefined && !OWN.test(name)) found.push([name, value]);
  }
  return found.length === 0 ? undefined : Object.freeze(Object.fromEntries(found));
}

function textOf(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (!(value instanceof Uint8Array)) return undefined;
  try {
    return decoder.decode(value);
  } catch {
    return undefined;
  }
}

/** How long headers are, in bytes, with so many more for each of them. */
export function lengthOfHeaders(headers: MessageHeaders | undefined, each = 0): number {
  let length = 0;
  for (const name in headers) length += name.length + byteLength(headers[name]!) + each;
  return length;
}

/** The length of a text in UTF-8. */
export function byteLength(text: string): number {
  return encoder.encode(text).length;
}
