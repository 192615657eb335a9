/**
 * Message headers: validation and size.
 *
 * @module
 */

import { kindOf } from "../util/kind.ts";
import { quote } from "../util/quote.ts";
import { isBytes, isPlain } from "../util/realm.ts";
import { nameOf } from "./name.ts";

/** Message headers by name. Names are case-sensitive. */
export type MessageHeaders = Readonly<Record<string, string>>;

/**
 * The maximum size of a message's headers in bytes, and the overhead of each header, as in HTTP/2.
 */
const LIMIT = 8 * 1024;
const OVERHEAD = 32;
/** An HTTP token: NATS accepts no other names. */
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Names that are reserved for the core and its backends. */
const OWN = /^broadcaster-/i;
const CONTROL = /\p{Cc}/u;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Validates and copies the headers of a message. Accepts only headers that every broker with
 * headers delivers unchanged. Errors never show header values.
 *
 * @throws {TypeError} If a name or a value is invalid.
 * @throws {RangeError} If the headers together are too long.
 */
export function readHeaders(channel: string, given: unknown): MessageHeaders | undefined {
  if (given === undefined) return undefined;
  const refuse = (reason: string) =>
    new TypeError(`Cannot publish to ${nameOf(channel)}: ${reason}`);
  if (!isPlain(given)) {
    throw refuse(`headers must be an object of strings by their names, it is ${kindOf(given)}`);
  }
  const entries = Object.entries(given);
  let length = 0;
  for (const [name, value] of entries) {
    if (!NAME.test(name)) {
      throw refuse(
        `header name ${quote(name)} must be of letters, digits and any of !#$%&'*+-.^_\`|~`,
      );
    }
    if (OWN.test(name)) throw refuse(`header name ${quote(name)} is reserved`);
    if (typeof value !== "string") {
      throw refuse(`header ${quote(name)} must be a string, it is ${kindOf(value)}`);
    }
    if (!value.isWellFormed()) throw refuse(`header ${quote(name)} has a lone surrogate`);
    if (CONTROL.test(value)) throw refuse(`header ${quote(name)} has a control character`);
    if (value.trim() !== value) {
      throw refuse(`header ${quote(name)} has leading or trailing spaces`);
    }
    length += name.length + byteLength(value) + OVERHEAD;
  }
  if (length > LIMIT) {
    throw new RangeError(
      `Cannot publish to ${
        nameOf(channel)
      }: the headers have ${length} bytes, with ${OVERHEAD} more for each, the limit is ${LIMIT}`,
    );
  }
  return entries.length === 0 ? undefined : Object.freeze(Object.fromEntries(entries));
}

/** Adds optional headers. Added headers are dropped if they are invalid or too long. */
export function joinHeaders(
  channel: string,
  headers: MessageHeaders | undefined,
  added: MessageHeaders,
): MessageHeaders | undefined {
  try {
    return readHeaders(channel, { ...added, ...headers });
  } catch {
    return headers;
  }
}

/**
 * The headers of a received message without the reserved headers, or `undefined` if there are none.
 * Values of other programs are converted to text: strings, numbers, booleans, and bytes that are
 * UTF-8. If a name is repeated, the last value counts.
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
  if (!isBytes(value)) return undefined;
  try {
    return decoder.decode(value);
  } catch {
    return undefined;
  }
}

/** The length of headers in bytes, plus `each` for every header. */
export function lengthOfHeaders(headers: MessageHeaders | undefined, each = 0): number {
  let length = 0;
  for (const name in headers) length += name.length + byteLength(headers[name]!) + each;
  return length;
}

/** The length of a text in UTF-8, in bytes. */
export function byteLength(text: string): number {
  return encoder.encode(text).length;
}
