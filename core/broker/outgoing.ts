/**
 * A message on its way to the broker, and the errors that it may end with.
 *
 * @module
 */

import type { Backend, Payload, PayloadOptions } from "../backend/contract.ts";
import {
  ClosedError,
  ConnectionError,
  OutcomeUnknownError,
  reasonOf,
  RefusedError,
} from "../backend/errors.ts";
import { lifetimeOf } from "../backend/idempotency_key.ts";
import { onAbort } from "../util/abort.ts";

/** What is to be published. */
export interface OutgoingMessage {
  /** Where. */
  readonly channel: string;
  /** What. */
  readonly payload: Payload;
  /** What is asked for besides. */
  readonly options?: PayloadOptions | undefined;
}

/** A payload on its way, and who waits for it. */
export class Outgoing {
  /** What. */
  readonly message: OutgoingMessage;
  /** Tells what was given to be published first. */
  readonly number: number;
  readonly #resolve: (id: string | undefined) => void;
  readonly #reject: (reason: unknown) => void;
  /** Whether the backend has been asked about it. */
  checked = false;
  /** Whether it was given to the backend. */
  sent = false;
  /** Why it was not answered, if it was sent and is to be sent again. */
  lost: ConnectionError | undefined;
  /** Whether what was given later was accepted before it. */
  overtaken = false;
  /** Whether its outcome has been told. */
  settled = false;
  /** Ends its waiting. */
  timer: ReturnType<typeof setTimeout> | undefined;
  #sentAt = 0;
  readonly #onSettled: (entry: Outgoing) => void;
  #unheed: (() => void) | undefined;

  /**
   * @param message What.
   * @param number Tells what was given to be published first.
   * @param resolve Told of its id, where that is known.
   * @param reject Told why it was not published, or may not have been.
   * @param onSettled Told once its outcome has been told.
   */
  constructor(
    message: OutgoingMessage,
    number: number,
    resolve: (id: string | undefined) => void,
    reject: (reason: unknown) => void,
    onSettled: (entry: Outgoing) => void,
  ) {
    this.message = message;
    this.number = number;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#onSettled = onSettled;
  }

  /** It waits no longer; sent again, it still has only the time that it had. */
  send(): void {
    if (this.sent) return;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.sent = true;
    if (this.message.options?.once) this.#sentAt = performance.now();
  }

  /**
   * For how many milliseconds it may yet be sent again: half as long as its key is
   * known, since it must arrive while it still is; and not once it was overtaken.
   *
   * @param window How long the backend knows keys at most.
   */
  timeLeft(window: number | undefined): number {
    const { once } = this.message.options ?? {};
    if (!once || this.overtaken) return 0;
    return this.#sentAt + lifetimeOf(once, window) / 2 - performance.now();
  }

  /** Aborted, it fails at once; if it still waits, it is never sent. */
  heed(signal: AbortSignal | undefined): void {
    if (signal) this.#unheed = onAbort(signal, () => this.fail(signal.reason));
  }

  /** It is published. */
  succeed(id: string | undefined): void {
    if (this.#settle()) this.#resolve(id);
  }

  /** It is not published, or may not be. */
  fail(reason: unknown): void {
    if (this.#settle()) this.#reject(reason);
  }

  /** Returns whether it is settled now, and was not before. */
  #settle(): boolean {
    if (this.settled) return false;
    this.settled = true;
    if (this.timer !== undefined) clearTimeout(this.timer);
    this.#unheed?.();
    this.#onSettled(this);
    return true;
  }
}

/** Why a payload waits no longer. */
export function lateError(
  { message, sent }: Outgoing,
  address: string,
  limit: number,
  cause: unknown,
) {
  const { channel } = message;
  const time = `${Math.round(limit) / 1000} s`;
  return sent
    ? new OutcomeUnknownError(
      `Cannot confirm message to "${channel}": ${address} did not answer for ${time}, it may or may not be published`,
      { cause },
    )
    : new ConnectionError(
      `Cannot publish to "${channel}": not connected to ${address} for ${time}, the message was not sent`,
      { cause },
    );
}

/** Why it is not known what has become of a payload that was sent, and could not be sent again. */
export function doubtError({ message }: Outgoing, cause: unknown): Error {
  const reason = cause instanceof ClosedError
    ? "the broadcast was disconnected before it was answered"
    : `it was not answered, and sending it again has failed, ${reasonOf(cause)}`;
  return new OutcomeUnknownError(
    `Cannot confirm message to "${message.channel}": ${reason}, it may or may not be published`,
    { cause },
  );
}

/** Wraps, once, what a backend threw while it published. */
export function publishError(backend: Backend, entry: Outgoing, cause: unknown): Error {
  const { channel } = entry.message;
  if (cause instanceof ConnectionError) {
    return new OutcomeUnknownError(
      `Cannot confirm message to "${channel}": the connection to ${backend.address} was lost before it answered, it may or may not be published`,
      { cause },
    );
  }
  // That it is refused now does not tell what became of it before, nor does a backend that closes.
  if (entry.lost || cause instanceof ClosedError) return doubtError(entry, cause);
  if (cause instanceof TypeError || cause instanceof RangeError) return cause;
  return new RefusedError(`Cannot publish to "${channel}": ${reasonOf(cause)}`, { cause });
}
