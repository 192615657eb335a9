/**
 * What streams can do, on one server and in a cluster.
 *
 * @module
 */

import type { BackendFeatures, PayloadOptions } from "../../backend.ts";
import { FIELD } from "./entry.ts";
import type { KeyName } from "./keyed.ts";

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
 * @throws {TypeError} If a header has the name of the payload, or the cluster has no
 * place for a key beside the stream.
 */
export function checkOptions(
  channel: string,
  { headers, once }: PayloadOptions,
  keyName: KeyName,
): void {
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
