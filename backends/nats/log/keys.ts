/**
 * Idempotency keys as JetStream message ids.
 *
 * @module
 */

import type { PayloadOptions } from "../../../core/backend/contract.ts";
import type { MessageHeaders } from "../../../core/backend/headers.ts";
import { EXPIRES, type Once } from "../../../core/backend/idempotency_key.ts";
import { subjectOf } from "../subject.ts";

/** The header by which the server tells that a message is one that it has, in the whole stream. */
const ID_HEADER = "Nats-Msg-Id";

/** How long the server of a new stream knows keys, in nanoseconds: it must keep what it knows. */
export function windowOf(maxAge: number): number {
  const window = EXPIRES * 1_000_000;
  return maxAge > 0 ? Math.min(maxAge, window) : window;
}

/** What a message says besides its payload, if it says something. */
export function besidesOf(
  channel: string,
  { headers, once }: PayloadOptions,
): MessageHeaders | undefined {
  return once ? { ...headers, [ID_HEADER]: idOf(channel, once) } : headers;
}

/** No subject has a space in it, and no key has one when it is written so. */
function idOf(channel: string, { key }: Once): string {
  return `${subjectOf(channel)} ${encodeURIComponent(key)}`;
}

/**
 * Refuses a key that is to be known longer than the stream's window.
 *
 * @param window In milliseconds.
 * @throws {RangeError} If it is.
 */
export function checkOnce(channel: string, { expires = 0 }: Once, window: number): void {
  if (expires <= window) return;
  throw new RangeError(
    `Cannot publish to "${channel}" on nats-stream: expires is ${expires} ms, and the stream knows keys for ${window} ms, its duplicate window`,
  );
}
