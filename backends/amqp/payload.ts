/**
 * Payloads as AMQP message bodies.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Payload } from "../../core/backend/contract.ts";
import { nameOf } from "../../core/backend/name.ts";

/** The default limit of a server, in bytes. A server closes the channel for a longer message. */
const LARGEST = 128 * 1024 * 1024;

/**
 * Rejects a payload that the server would not accept.
 *
 * @throws {RangeError} If the payload is too long.
 */
export function checkPayload(name: string, channel: string, payload: Payload): void {
  const length = Buffer.byteLength(payload);
  if (length <= LARGEST) return;
  throw new RangeError(
    `Cannot publish to ${
      nameOf(channel)
    } on ${name}: the payload has ${length} bytes, the limit is ${LARGEST}`,
  );
}

/** The body of a payload. Bytes are not copied. */
export function contentOf(payload: Payload): Buffer {
  return typeof payload === "string"
    ? Buffer.from(payload)
    : Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
}
