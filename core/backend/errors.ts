/**
 * The errors that callers catch. Caller mistakes (a wrong type, a value out of
 * range, an unknown scheme) are the platform's own `TypeError` and
 * `RangeError`; an aborted call rejects with its signal's reason.
 *
 * @module
 */

import type { Gap } from "./event.ts";

/**
 * The broker cannot be reached, or the connection to it was lost.
 *
 * The reason that the client library gave is the `cause`. Trying again later
 * is reasonable.
 */
export class ConnectionError extends Error {
  /** Always `"ConnectionError"`. */
  override name = "ConnectionError";
}

/**
 * The connection broke after a message was sent and before the broker
 * answered, so whether it was published is not known. Without a key it is never
 * sent again by itself, since that could deliver it twice; with one it was, for as
 * long as that was safe.
 */
export class OutcomeUnknownError extends ConnectionError {
  /** Always `"OutcomeUnknownError"`. */
  override name = "OutcomeUnknownError";
}

/**
 * The broker answered, and refused: a wrong password, a missing right, a
 * payload that the client cannot read. Trying again does not help.
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
 * Ends a subscription that asked for `onGap: "error"` and met a gap; and one that gave
 * no callback, if its channel was ended right behind one, which no event can carry.
 */
export class GapError extends Error {
  /** Always `"GapError"`. */
  override name = "GapError";
  /** The gap that was met. */
  readonly gap: Gap;

  /**
   * An error that tells of a gap.
   *
   * @param name What was subscribed to, as it appears in the message.
   * @param gap The gap that was met.
   */
  constructor(name: string, gap: Gap) {
    super(`Cannot continue ${name}: events may be missing (${gap.cause})`);
    this.gap = gap;
  }
}

/** What an error says, or what else was thrown. */
export function reasonOf(cause: unknown): string {
  return cause instanceof Error && cause.message ? cause.message : String(cause);
}
