/**
 * Checks the type and the size of payloads.
 *
 * @module
 */

import type { Payload } from "../backend/contract.ts";
import { byteLength } from "../backend/headers.ts";
import { nameOf } from "../backend/name.ts";
import { kindOf } from "../util/kind.ts";
import { isBytes } from "../util/realm.ts";

/**
 * Checks what a codec has returned for a message.
 *
 * @throws {TypeError} If the payload is neither a string nor bytes.
 * @throws {RangeError} If the payload is larger than the limit, in bytes.
 */
export function checkEncoded(
  channel: string,
  payload: unknown,
  codec: string,
  limit: number,
): asserts payload is Payload {
  if (typeof payload !== "string" && !isBytes(payload)) {
    throw new TypeError(
      `Cannot publish to ${nameOf(channel)}: codec ${codec} has returned ${
        kindOf(payload)
      }, not a string or a Uint8Array`,
    );
  }
  if (isSmall(payload, limit)) return;
  checkSize(`publish to ${nameOf(channel)}`, payload, limit);
}

/**
 * Checks the size of a payload before it is decoded. A few bytes of JSON or MessagePack can take a
 * hundred times as many in memory.
 *
 * @param what The failed action, as shown in the message.
 * @param limit The maximum size in bytes.
 * @throws {RangeError} If the payload is larger.
 */
export function checkSize(what: string, payload: Payload, limit: number): void {
  if (isSmall(payload, limit)) return;
  // The bytes of a text are counted only if its length does not decide.
  const { length } = payload;
  const isCounted = typeof payload === "string" && length <= limit;
  const size = isCounted ? byteLength(payload) : length;
  if (size <= limit) return;
  const least = typeof payload === "string" && !isCounted ? "at least " : "";
  throw new RangeError(
    `Cannot ${what}: the payload has ${least}${size} bytes, the limit is ${limit}, ` +
      "see the option maxMessage",
  );
}

/** Returns `true` if a payload is certainly within the limit. A character has up to three bytes. */
function isSmall(payload: Payload, limit: number): boolean {
  return (typeof payload === "string" ? payload.length * 3 : payload.length) <= limit;
}
