/**
 * The limits of a channel's name and of a payload.
 *
 * @module
 */

import type { Payload } from "../../../core/backend/contract.ts";
import { nameOf } from "../../../core/backend/name.ts";
import { NAME_LIMIT, PAYLOAD_LIMIT } from "./parts.ts";

/**
 * Checks that a row can have a name.
 *
 * @throws {RangeError} If the name is too long.
 * @throws {TypeError} If the name has a NUL character.
 */
export function checkName(channel: string): void {
  const name = new TextEncoder().encode(channel).length;
  if (name > NAME_LIMIT) {
    throw new RangeError(
      `Cannot use channel ${
        nameOf(channel)
      } on postgres-stream: its name has ${name} bytes, the limit is ${NAME_LIMIT}`,
    );
  }
  if (channel.includes("\0")) {
    throw new TypeError(
      `Cannot use channel ${nameOf(channel)} on postgres-stream: its name has a NUL character`,
    );
  }
}

/**
 * Checks that a row can have a payload.
 *
 * @throws {RangeError} If the payload is too long.
 */
export function checkPayload(channel: string, payload: Payload): void {
  const bytes = lengthOf(payload);
  if (bytes <= PAYLOAD_LIMIT) return;
  throw new RangeError(
    `Cannot publish to ${
      nameOf(channel)
    }: the payload has ${bytes} bytes, the limit of postgres-stream is ${PAYLOAD_LIMIT}`,
  );
}

/** The length in UTF-8. If a text cannot be too long, its number of UTF-16 units is enough. */
function lengthOf(payload: Payload): number {
  if (typeof payload !== "string" || payload.length * 3 <= PAYLOAD_LIMIT) return payload.length;
  return new TextEncoder().encode(payload).length;
}
