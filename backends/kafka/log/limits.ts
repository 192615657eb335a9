/**
 * The limits of a channel's name, a payload and its headers.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Payload, PayloadOptions } from "../../../core/backend/contract.ts";
import { nameOf } from "../../../core/backend/name.ts";
import { excess, weightOf } from "../headers.ts";

/** The longest request that brokers accept, minus its overhead around a payload. */
const MAX_PAYLOAD = 100 * 1024 * 1024 - 1024;

/**
 * Checks that a record fits into a request.
 *
 * @throws {RangeError} If the record does not fit.
 */
export function checkRecord(
  channel: string,
  payload: Payload,
  { headers }: PayloadOptions,
): void {
  if (Buffer.byteLength(payload) + weightOf(headers) <= MAX_PAYLOAD) return;
  throw new RangeError(`Cannot publish to ${nameOf(channel)} on kafka: ${excess(headers)} 100 MiB`);
}
