/**
 * Fingerprints of records: they distinguish a record from another one at the same place of a log.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Payload } from "../contract.ts";

/** The number of bytes of a payload that are hashed. */
export const HEAD = 64;

/**
 * Hashes the length and the first 64 bytes of a payload. The result distinguishes it from another
 * payload at the same place of a recreated or rolled back log. A text is hashed as UTF-8.
 *
 * @param payload The published payload.
 * @param mark More data to hash, such as a timestamp, in ASCII.
 */
export function fingerprintOf(payload: Payload, mark = ""): string {
  if (typeof payload !== "string") return fingerprintOfHead(payload, payload.length, mark);
  const length = Buffer.byteLength(payload);
  const count = Math.min(HEAD, payload.length);
  let hash = Math.imul(0x811c9dc5 ^ length, 0x01000193);
  for (let index = 0; index < count; index++) {
    const unit = payload.charCodeAt(index);
    // One more character is included, since the last one may cross the end of the head.
    if (unit > 0x7f) {
      return fingerprintOfHead(Buffer.from(payload.slice(0, HEAD + 1)), length, mark);
    }
    hash = Math.imul(hash ^ unit, 0x01000193);
  }
  return marked(hash, mark);
}

/**
 * Computes the fingerprint of a payload from its head.
 *
 * @param head The first 64 bytes or more.
 * @param length The length of the payload in bytes.
 * @param mark More data to hash, in ASCII.
 * @param start The offset of the head.
 */
export function fingerprintOfHead(head: Uint8Array, length: number, mark = "", start = 0): string {
  const end = Math.min(start + Math.min(HEAD, length), head.length);
  let hash = Math.imul(0x811c9dc5 ^ length, 0x01000193);
  for (let index = start; index < end; index++) {
    hash = Math.imul(hash ^ head[index]!, 0x01000193);
  }
  return marked(hash, mark);
}

function marked(hash: number, mark: string): string {
  for (let index = 0; index < mark.length; index++) {
    hash = Math.imul(hash ^ mark.charCodeAt(index), 0x01000193);
  }
  return (hash >>> 0).toString(36);
}
