/**
 * The features and limits of Redis Streams.
 *
 * @module
 */

import type { BackendFeatures, PayloadOptions } from "../../../core/backend/contract.ts";
import { INFIX, type KeyName } from "./keys.ts";
import { FIELD } from "./record.ts";

/** What they can do. */
export const FEATURES: BackendFeatures = {
  crossProcess: true,
  binary: true,
  log: true,
  headers: true,
  keys: true,
};

/**
 * Refuses what a stream cannot have.
 *
 * @throws {TypeError} If the channel has the name of a key, a header that of the payload,
 * or the cluster has no place for a key beside the stream.
 */
export function checkStream(
  channel: string,
  { headers, once }: PayloadOptions = {},
  keyName: KeyName,
): void {
  if (channel.includes(INFIX)) {
    throw new TypeError(
      `Cannot use channel "${channel}" on redis-stream: "${INFIX}" is reserved, for the keys of messages`,
    );
  }
  const start = `Cannot publish to "${channel}" on redis-stream:`;
  if (headers && Object.hasOwn(headers, FIELD)) {
    throw new TypeError(`${start} header "${FIELD}" is reserved, it is the field of the message`);
  }
  if (once && keyName(channel, once) === undefined) {
    throw new TypeError(
      `${start} a channel with a brace that closes nothing has no place for keys in a cluster`,
    );
  }
}
