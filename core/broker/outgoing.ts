/**
 * A message that is being published: its states, and its possible errors.
 *
 * @module
 */

import type { Backend, OutgoingPayload } from "../backend/contract.ts";
import {
  ClosedError,
  ConnectionError,
  OutcomeUnknownError,
  reasonOf,
  RefusedError,
} from "../backend/errors.ts";
import { lifetimeOf } from "../backend/idempotency_key.ts";
import { onAbort } from "../util/abort.ts";
import { LONGEST } from "../util/timer.ts";

/**
 * The state of a message:
 *
 * - `new`: not checked by the backend yet.
 * - `ready`: accepted by the backend's check. It waits for its turn or for a connection.
 * - `sent`: passed to the backend, not acknowledged yet.
 * - `lost`: the connection was lost before the acknowledgement. It waits for a retry.
 * - `resent`: passed to the backend again.
 * - `settled`: its promise is settled.
 */
export type OutgoingState = "new" | "ready" | "sent" | "lost" | "resent" | "settled";

/** A message that is being published, and its promise. */
export class Outgoing {
  /** The message, with its channel. */
  readonly message: OutgoingPayload;
  /** A number that grows in the order of the calls to `publish()`. */
  readonly number: number;
  readonly #resolve: (id: string | undefined) => void;
  readonly #reject: (reason: unknown) => void;
  readonly #onSettled: (entry: Outgoing) => void;
  #state: OutgoingState = "new";
  /** The loss that interrupted the first attempt, if it is retried. */
  #loss: ConnectionError | undefined;
  /** The timeout of its wait for a connection. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** The time of the first attempt; `-Infinity` once a later message was accepted before it. */
  #sentAt = 0;
  #forgetSignal: (() => void) | undefined;

  /**
   * @param message The message, with its channel.
   * @param number A number that grows in the order of the calls to `publish()`.
   * @param resolve Called with the id, if known.
   * @param reject Called with the reason why the message was not, or may not have been, published.
   * @param onSettled Called after the promise has settled.
   */
  constructor(
    message: OutgoingPayload,
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

  /** The current state. */
  get state(): OutgoingState {
    return this.#state;
  }

  /** `true` if it was passed to the backend at least once, so it may be stored. */
  get wasSent(): boolean {
    return this.#state === "sent" || this.#state === "lost" || this.#state === "resent";
  }

  /** The loss that interrupted the first attempt, if it was or will be retried. */
  get loss(): ConnectionError | undefined {
    return this.#loss;
  }

  /** The backend's check has accepted it. */
  approve(): void {
    if (this.#state === "new") this.#state = "ready";
  }

  /** It is passed to the backend. A retry does not extend its time. */
  send(): void {
    if (this.#state === "lost") {
      this.#state = "resent";
      return;
    }
    this.#state = "sent";
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.message.once) this.#sentAt = performance.now();
  }

  /** The connection was lost before the acknowledgement: it will be retried. */
  lose(loss: ConnectionError): void {
    this.#state = "lost";
    this.#loss = loss;
  }

  /** A later message of its channel was accepted before it: a retry would break the order. */
  overtake(): void {
    this.#sentAt = -Infinity;
  }

  /**
   * The remaining time for retries in milliseconds: until half of its key's lifetime has passed,
   * since it must arrive before the key expires. None once it was overtaken.
   *
   * @param window The backend's own lifetime of keys in milliseconds, if it has one.
   */
  timeLeft(window: number | undefined): number {
    const { once } = this.message;
    return once ? this.#sentAt + lifetimeOf(once, window) / 2 - performance.now() : 0;
  }

  /** Limits its wait for a connection, unless it is limited already. */
  limit(milliseconds: number, onLate: () => void): void {
    this.#timer ??= setTimeout(onLate, Math.min(milliseconds, LONGEST));
  }

  /** Fails immediately when the signal aborts. If it is still waiting, it is never sent. */
  follow(signal: AbortSignal | undefined): void {
    if (signal) this.#forgetSignal = onAbort(signal, () => this.fail(signal.reason));
  }

  /** It was published. */
  succeed(id: string | undefined): void {
    if (this.#settle()) this.#resolve(id);
  }

  /** It was not, or may not have been, published. */
  fail(reason: unknown): void {
    if (this.#settle()) this.#reject(reason);
  }

  /** Returns `false` if it was settled before. */
  #settle(): boolean {
    if (this.#state === "settled") return false;
    this.#state = "settled";
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#forgetSignal?.();
    this.#onSettled(this);
    return true;
  }
}

/** The error for a message whose wait has timed out. */
export function lateError(
  { message, wasSent }: Outgoing,
  address: string,
  limit: number,
  cause: unknown,
) {
  const { channel } = message;
  const time = `${Math.round(limit) / 1000} s`;
  return wasSent
    ? new OutcomeUnknownError(
      `Cannot confirm message to "${channel}": ${address} did not answer for ${time}, it may or may not be published`,
      { cause },
    )
    : new ConnectionError(
      `Cannot publish to "${channel}": not connected to ${address} for ${time}, the message was not sent`,
      { cause },
    );
}

/** The error for a message that was sent, has an unknown outcome and cannot be retried. */
export function doubtError({ message }: Outgoing, cause: unknown): Error {
  const reason = cause instanceof ClosedError
    ? "the broadcast was disconnected before it was answered"
    : `it was not answered, and sending it again has failed, ${reasonOf(cause)}`;
  return new OutcomeUnknownError(
    `Cannot confirm message to "${message.channel}": ${reason}, it may or may not be published`,
    { cause },
  );
}

/** Wraps an error of a backend's `publish()`, once. */
export function publishError(backend: Backend, entry: Outgoing, cause: unknown): Error {
  const { channel } = entry.message;
  if (cause instanceof ConnectionError) {
    return new OutcomeUnknownError(
      `Cannot confirm message to "${channel}": the connection to ${backend.address} was lost before it answered, it may or may not be published`,
      { cause },
    );
  }
  // The refusal of a retry says nothing about the first attempt; nor does a closed backend.
  if (entry.loss || cause instanceof ClosedError) return doubtError(entry, cause);
  if (cause instanceof TypeError || cause instanceof RangeError) return cause;
  return new RefusedError(`Cannot publish to "${channel}": ${reasonOf(cause)}`, { cause });
}
