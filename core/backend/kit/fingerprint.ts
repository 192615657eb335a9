/**
 * The fingerprint of a record: tells it from another one at the same place of a log.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Payload } from "../contract.ts";

/** How much of a payload makes its fingerprint. */
const HEAD = 64;

/**
 * Tells a payload from another one that has its place in a log that was begun
 * anew, or set back: a hash of its length and its first bytes, of a text as of
 * its UTF-8.
 *
 * @param payload What was published.
 * @param mark What else is known of it, in ASCII.
 */
export function fingerprintOf(payload: Payload, mark = ""): string {
  const length = Buffer.byteLength(payload);
  // A character that ends behind the head may begin within it.
  const head = typeof payload === "string" && !isPlain(payload)
    ? Buffer.from(payload.slice(0, HEAD + 1))
    : payload;
  let hash = Math.imul(0x811c9dc5 ^ length, 0x01000193);
  for (let index = 0; index < Math.min(HEAD, head.length); index++) {
    const byte = typeof head === "string" ? head.charCodeAt(index) : head[index]!;
    hash = Math.imul(hash ^ byte, 0x01000193);
  }
  for (let index = 0; index < mark.length; index++) {
    hash = Math.imul(hash ^ mark.charCodeAt(index), 0x01000193);
  }
  return (hash >>> 0).toString(36);
}

/** Whether the head of a text is ASCII: each unit one byte. */
function isPlain(text: string): boolean {
  for (let index = 0; index < Math.min(HEAD, text.length); index++) {
    if (text.charCodeAt(index) > 0x7f) return false;
  }
  return true;
}
