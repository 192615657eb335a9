/**
 * The errors that callers catch. Invalid arguments (a wrong type, a value out of range, an unknown
 * scheme) throw the built-in `TypeError` and `RangeError`. An aborted call rejects with its
 * signal's reason.
 *
 * @module
 */

import { isInstance } from "../util/realm.ts";
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
 * Messages without an `idempotencyKey` are never retried automatically. Messages with a key were
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

/**
 * The broker cannot serve a call for now, and has done nothing. For example, it is starting, is
 * read-only, has no leader, or has exhausted its memory or a quota. Only backends throw this error;
 * callers never see it.
 *
 * - From `publish()`: the message is not stored. The core holds back the message and all later
 *   messages of the channel, and retries for up to the option `timeout`. If a later message of the
 *   channel is stored already, the message is refused.
 * - From `tail()`, its reads and `read()`: the core retries. An open subscription is retried
 *   indefinitely, a first `subscribe()` and `history()` for up to the option `timeout`.
 *
 * A backend whose session must be renewed, such as one with a read-only server, closes its session
 * before it throws.
 */
export class TemporaryError extends Error {
  /** Always `"TemporaryError"`. */
  override name = "TemporaryError";
}

/**
 * The broker gave an answer that the backend does not know. The backend closes its session before
 * it throws. The core retries the call once, on a new session: if the answer is the same, only this
 * call or this subscription fails.
 */
export class UnknownReplyError extends TemporaryError {
  /** Always `"UnknownReplyError"`. */
  override name = "UnknownReplyError";
}

/** The broadcast was used after `disconnect()`. */
export class ClosedError extends Error {
  /** Always `"ClosedError"`. */
  override name = "ClosedError";
}

/**
 * Ends a subscription with `onGap: "error"` at its first gap. Also ends a subscription without an
 * `onGap` callback if its channel ends right after a gap, since no event can carry the gap.
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

/** `true` if a retry may help: the connection was lost, or the error is temporary. */
export function isPassing(error: unknown): boolean {
  return error instanceof ConnectionError || error instanceof TemporaryError;
}

/**
 * `true` if a call got the same unknown answer on two sessions, which means that the broker refuses
 * it.
 */
export function isSameReply(before: unknown, now: unknown): boolean {
  return now instanceof UnknownReplyError && before instanceof UnknownReplyError &&
    before.message === now.message;
}

/** `true` for a `TypeError` or a `RangeError` of any realm: an argument is invalid. */
export function isArgumentError(cause: unknown): cause is Error {
  return isInstance(cause, "TypeError") || isInstance(cause, "RangeError");
}

/** The message of an error, or any other thrown value as text. */
export function reasonOf(cause: unknown): string {
  // `instanceof` is not used, since each realm has its own `Error` class.
  const { message } = Object(cause) as { readonly message?: unknown };
  return typeof message === "string" && message !== "" ? message : String(cause);
}
