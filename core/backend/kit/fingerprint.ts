/**
 * Fingerprints of records: they distinguish a record from another one at the same place of a log.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Payload } from "../contract.ts";

/** The number of bytes of a payload that are hashed. */
const HEAD = 64;

/**
 * Hashes the length and the first 64 bytes of a payload. The result distinguishes it from the
 * payload that takes its place when a log is recreated or rolled back. A text is hashed as UTF-8.
 *
 * @param payload The published payload.
 * @param mark More data to hash, such as a timestamp, in ASCII.
 */
export function fingerprintOf(payload: Payload, mark = ""): string {
  const length = Buffer.byteLength(payload);
  // One more character: the last may begin within the head and end after it.
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

/** Returns `true` if the head of a text is ASCII: one byte for each code unit. */
function isPlain(text: string): boolean {
  for (let index = 0; index < Math.min(HEAD, text.length); index++) {
    if (text.charCodeAt(index) > 0x7f) return false;
  }
  return true;
}
