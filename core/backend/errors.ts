/**
 * The errors that callers catch. Invalid arguments (a wrong type, a value out of range, an unknown
 * scheme) throw the built-in `TypeError` and `RangeError`. An aborted call rejects with its
 * signal's reason.
 *
 * @module
 */

import type { Gap } from "./event.ts";

/**
 * The broker cannot be reached, or the connection to it was lost. A publish that rejects with it
 * did not publish the message and is safe to retry.
 *
 * `cause` is the error of the client library.
 */
export class ConnectionError extends Error {
  /** Always `"ConnectionError"`. */
  override name = "ConnectionError";
}

/**
 * A message was sent, but the connection was lost before the broker acknowledged it. The message
 * may have been published, so publishing it again could deliver it twice. This is not a
 * `ConnectionError`, which means that the message was not published.
 *
 * Messages without an `idempotencyKey` are never retried automatically. Those with one were
 * retried for as long as that was safe. They are safe to publish again while the broker remembers
 * the key.
 */
export class OutcomeUnknownError extends Error {
  /** Always `"OutcomeUnknownError"`. */
  override name = "OutcomeUnknownError";
}

/**
 * The broker answered and refused: a wrong password, a missing permission, a payload that the
 * client cannot read. Retrying does not help.
 */
export class RefusedError extends Error {
  /** Always `"RefusedError"`. */
  override name = "RefusedError";
}

/** The broadcast was used after `disconnect()`. */
export class ClosedError extends Error {
  /** Always `"ClosedError"`. */
  override name = "ClosedError";
}

/**
 * Ends a subscription with `onGap: "error"` at its first gap. Also ends a subscription without an
 * `onGap` callback if its channel ends right after a gap: no event follows that could carry it.
 */
export class GapError extends Error {
  /** Always `"GapError"`. */
  override name = "GapError";
  /** The gap. */
  readonly gap: Gap;

  /**
   * Creates an error for a gap.
   *
   * @param name The name of the subscription, as shown in the message.
   * @param gap The gap.
   */
  constructor(name: string, gap: Gap) {
    super(`Cannot continue ${name}: events may be missing (${gap.cause})`);
    this.gap = gap;
  }
}

/** The message of an error, or any other thrown value as text. */
export function reasonOf(cause: unknown): string {
  return cause instanceof Error && cause.message ? cause.message : String(cause);
}
