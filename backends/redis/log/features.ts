/**
 * The features and limits of Redis Streams.
 *
 * @module
 */

import type { BackendFeatures, PayloadOptions } from "../../../core/backend/contract.ts";
import { nameOf } from "../../../core/backend/name.ts";
import { INFIX, type KeyName } from "./keys.ts";
import { FIELD } from "./record.ts";

/** The features. */
export const FEATURES: BackendFeatures = {
  crossProcess: true,
  binary: true,
  headers: true,
  keys: true,
};

/**
 * Checks a channel, and the options of a message.
 *
 * @throws {TypeError} If the channel is named like an idempotency key, if a header is named like
 * the field of the payload, or if the cluster has no name for a key in the slot of the stream.
 */
export function checkStream(
  channel: string,
  { headers, once }: PayloadOptions = {},
  keyName: KeyName,
): void {
  if (channel.includes(INFIX)) {
    throw new TypeError(
      `Cannot use channel ${
        nameOf(channel)
      } on redis-stream: "${INFIX}" is reserved for idempotency keys`,
    );
  }
  if (headers && Object.hasOwn(headers, FIELD)) {
    throw refusal(channel, `header "${FIELD}" is reserved for the message itself`);
  }
  if (once && keyName(channel, once) === undefined) {
    throw refusal(
      channel,
      'a channel with an unmatched "}" cannot have idempotency keys in a cluster',
    );
  }
}

function refusal(channel: string, reason: string): TypeError {
  return new TypeError(`Cannot publish to ${nameOf(channel)} on redis-stream: ${reason}`);
}
