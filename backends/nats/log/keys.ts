/**
 * Idempotency keys as JetStream message ids.
 *
 * @module
 */

import type { PayloadOptions } from "../../../core/backend/contract.ts";
import type { MessageHeaders } from "../../../core/backend/headers.ts";
import { type Once, TTL } from "../../../core/backend/idempotency_key.ts";
import { nameOf } from "../../../core/backend/name.ts";
import { subjectOf } from "../subject.ts";

/** The header with which the server recognizes duplicates. */
const ID_HEADER = "Nats-Msg-Id";

/** The duplicate window of a new stream, in nanoseconds. It cannot be longer than the retention. */
export function windowOf(maxAge: number): number {
  const window = TTL * 1_000_000;
  return maxAge > 0 ? Math.min(maxAge, window) : window;
}

/** The headers of a message, including its key, if any. */
export function metadataOf(
  channel: string,
  { headers, once }: PayloadOptions,
): MessageHeaders | undefined {
  return once ? { ...headers, [ID_HEADER]: idOf(channel, once) } : headers;
}

/** A space separates them, since neither a subject nor an encoded key has one. */
function idOf(channel: string, { key }: Once): string {
  return `${subjectOf(channel)} ${encodeURIComponent(key)}`;
}

/**
 * Rejects a key whose lifetime is longer than the stream's duplicate window.
 *
 * @param window The window, in milliseconds.
 * @throws {RangeError} If the lifetime is longer.
 */
export function checkOnce(channel: string, { ttl = 0 }: Once, window: number): void {
  if (ttl <= window) return;
  throw new RangeError(
    `Cannot publish to ${
      nameOf(channel)
    } on nats-stream: idempotencyTtl is ${ttl} ms, and the stream knows keys for ${window} ms, its duplicate window`,
  );
}
