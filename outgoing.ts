/**
 * A payload on its way to its backend, and how that may end.
 *
 * @module
 */

import { onAbort } from "./abort.ts";
import type { Backend, Payload, PayloadOptions } from "./backend.ts";
import { ConnectionError, OutcomeUnknownError, reasonOf, RefusedError } from "./errors.ts";
import type { Position } from "./position.ts";

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
  readonly #resolve: (position: Position | undefined) => void;
  readonly #reject: (reason: unknown) => void;
  /** Whether the backend has been asked about it. */
  checked = false;
  /** Whether it was given to the backend. */
  sent = false;
  /** Whether its outcome has been told. */
  settled = false;
  /** Ends its waiting. */
  timer: ReturnType<typeof setTimeout> | undefined;
  /** Called once its outcome has been told. */
  onSettled: () => void = () => {};
  #unheed: () => void = () => {};

  /**
   * @param message What.
   * @param number Tells what was given to be published first.
   * @param resolve Told of its position, where that is known.
   * @param reject Told why it was not published, or may not have been.
   */
  constructor(
    message: OutgoingMessage,
    number: number,
    resolve: (position: Position | undefined) => void,
    reject: (reason: unknown) => void,
  ) {
    this.message = message;
    this.number = number;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** It waits no longer; sent again, it still has only the time that it had. */
  send(): void {
    if (!this.sent) clearTimeout(this.timer);
    if (!this.sent) this.timer = undefined;
    this.sent = true;
  }

  /** Aborted, it fails at once; if it still waits, it is never sent. */
  heed(signal: AbortSignal | undefined): void {
    if (signal) this.#unheed = onAbort(signal, () => this.fail(signal.reason));
  }

  /** It is published. */
  succeed(position: Position | undefined): void {
    this.#settle(() => this.#resolve(position));
  }

  /** It is not published, or may not be. */
  fail(reason: unknown): void {
    this.#settle(() => this.#reject(reason));
  }

  #settle(tell: () => void): void {
    if (this.settled) return;
    this.settled = true;
    clearTimeout(this.timer);
    this.#unheed();
    tell();
    this.onSettled();
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
  const time = `${limit / 1000} s`;
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

/** Why it is not known what has become of a payload that was to be sent again. */
export function doubtError({ message }: Outgoing, cause: unknown): Error {
  return new OutcomeUnknownError(
    `Cannot confirm message to "${message.channel}": ${
      reasonOf(cause)
    }, it may or may not be published`,
    { cause },
  );
}

/** Wraps, once, what a backend threw while it published. */
export function publishError(backend: Backend, channel: string, cause: unknown): Error {
  if (cause instanceof ConnectionError) {
    return new OutcomeUnknownError(
      `Cannot confirm message to "${channel}": the connection to ${backend.address} was lost before it answered, it may or may not be published`,
      { cause },
    );
  }
  if (cause instanceof TypeError || cause instanceof RangeError) return cause;
  return new RefusedError(`Cannot publish to "${channel}": ${reasonOf(cause)}`, { cause });
}
