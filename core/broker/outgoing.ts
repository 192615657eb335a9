/**
 * A message that is being published: its states, and its possible errors.
 *
 * @module
 */

import type { Backend, OutgoingPayload } from "../backend/contract.ts";
import {
  ClosedError,
  ConnectionError,
  isArgumentError,
  OutcomeUnknownError,
  reasonOf,
  RefusedError,
  TemporaryError,
} from "../backend/errors.ts";
import { lifetimeOf } from "../backend/idempotency_key.ts";
import { nameOf } from "../backend/name.ts";
import { onAbort } from "../util/abort.ts";
import { LONGEST } from "../util/timer.ts";

/**
 * The state of a message:
 *
 * - `new`: not checked by the backend yet.
 * - `ready`: accepted by the backend's check. It waits for its turn, for a connection, or for the end
 *   of a temporary error.
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
  /** The connection loss that interrupted the first attempt, if it is retried. */
  #loss: ConnectionError | undefined;
  /** The latest temporary error. */
  #refusal: TemporaryError | undefined;
  #overtaken: "no" | "perhaps" | "yes" = "no";
  #isAccepted = false;
  #mayBeStored = false;
  /** The timeout of its wait. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** The time of the first attempt. */
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

  /** `true` if the message was passed to the backend at least once, so it may be stored. */
  get wasSent(): boolean {
    return this.#state === "sent" || this.#state === "lost" || this.#state === "resent";
  }

  /** The connection loss that interrupted the first attempt, if it was or will be retried. */
  get loss(): ConnectionError | undefined {
    return this.#loss;
  }

  /** The latest temporary error. The message waits until the broker can store it. */
  get refusal(): TemporaryError | undefined {
    return this.#refusal;
  }

  /**
   * `true` once a later message of its channel may be stored. A retry would then break the order.
   */
  get mayBeOvertaken(): boolean {
    return this.#overtaken !== "no";
  }

  /** `true` while the message is sent and has no final answer. */
  isUnanswered = false;
  /** The previous unanswered message of its channel. */
  previous: Outgoing | undefined;
  /** The next unanswered message of its channel. */
  next: Outgoing | undefined;

  /** `true` if the message timed out during a retry. The answer to that retry is final. */
  isLate = false;

  /** `true` once the broker has accepted it. */
  get isAccepted(): boolean {
    return this.#isAccepted;
  }

  /** `true` if the settled message is stored, or if its outcome is unknown. */
  get mayBeStored(): boolean {
    return this.#mayBeStored;
  }

  /** Reports that the backend's check has accepted the message. */
  approve(): void {
    if (this.#state === "new") this.#state = "ready";
  }

  /** Reports that the message is passed to the backend. A retry does not extend its time. */
  send(): void {
    if (this.#state === "lost") {
      this.#state = "resent";
      return;
    }
    this.#state = "sent";
    if (!this.#refusal) this.#stopTimer();
    if (this.message.once) this.#sentAt = performance.now();
  }

  /**
   * Makes the message wait for a retry, after the connection was lost before the acknowledgement.
   */
  lose(loss: ConnectionError): void {
    this.#state = "lost";
    this.#loss = loss;
  }

  /** Makes the message wait for a retry, since the broker cannot store it for now. */
  postpone(refusal: TemporaryError): void {
    // If a retry is refused, the first attempt may still have succeeded.
    this.#state = this.#loss ? "lost" : "ready";
    this.#refusal = refusal;
  }

  /** Reports that a later message of its channel was, or may have been, stored before it. */
  overtake(isCertain: boolean): void {
    if (isCertain) this.#overtaken = "yes";
    else if (this.#overtaken === "no") this.#overtaken = "perhaps";
  }

  /**
   * The remaining time for retries in milliseconds: half of its key's lifetime, since it must
   * arrive before the key expires. 0 once a later message was stored.
   *
   * @param window The backend's own lifetime of keys in milliseconds, if it has one.
   */
  timeLeft(window: number | undefined): number {
    const { once } = this.message;
    // If both messages were lost, the broker handled neither, or handled this one first.
    if (this.#overtaken === "yes") return 0;
    return once ? this.#sentAt + lifetimeOf(once, window) / 2 - performance.now() : 0;
  }

  /** Limits the wait of the message, unless it is limited already. */
  limit(milliseconds: number, onLate: () => void): void {
    this.#timer ??= setTimeout(onLate, Math.min(milliseconds, LONGEST));
  }

  /**
   * Fails immediately when the signal aborts. If the message is still waiting, it is never sent.
   */
  follow(signal: AbortSignal | undefined): void {
    if (signal) this.#forgetSignal = onAbort(signal, () => this.fail(signal.reason));
  }

  /** Resolves the promise of a published message. */
  succeed(id: string | undefined): void {
    if (this.#state === "settled") return;
    this.#isAccepted = true;
    this.#settle(true);
    this.#resolve(id);
  }

  /** Rejects the promise of a message that was not, or may not have been, published. */
  fail(reason: unknown): void {
    if (this.#state === "settled") return;
    this.#settle(this.wasSent && !(reason instanceof RefusedError));
    this.#reject(reason);
  }

  #settle(mayBeStored: boolean): void {
    this.#state = "settled";
    this.#mayBeStored = mayBeStored;
    this.#stopTimer();
    this.#forgetSignal?.();
    this.#onSettled(this);
  }

  #stopTimer(): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#timer = undefined;
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
      `Cannot confirm message to ${
        nameOf(channel)
      }: ${address} did not answer for ${time}, it may or may not be published`,
      { cause },
    )
    : new ConnectionError(
      `Cannot publish to ${
        nameOf(channel)
      }: not connected to ${address} for ${time}, the message was not sent`,
      { cause },
    );
}

/** The error for a message that the broker could not store in time. */
export function postponedError(entry: Outgoing, address: string, limit: number, cause: unknown) {
  if (entry.wasSent) return lateError(entry, address, limit, cause);
  return new ConnectionError(
    `Cannot publish to ${nameOf(entry.message.channel)}: ${address} could not store it for ${
      limit / 1000
    } s, ${reasonOf(cause)}; the message was not published`,
    { cause },
  );
}

/** The error for a message that was sent, has an unknown outcome and cannot be retried. */
export function doubtError({ message }: Outgoing, cause: unknown): Error {
  const reason = cause instanceof ClosedError
    ? "the broadcast was disconnected before it was answered"
    : `it was not answered, and sending it again has failed, ${reasonOf(cause)}`;
  return new OutcomeUnknownError(
    `Cannot confirm message to ${
      nameOf(message.channel)
    }: ${reason}, it may or may not be published`,
    { cause },
  );
}

/** Wraps an error of a backend's `publish()`, unless it is wrapped already. */
export function publishError(backend: Backend, entry: Outgoing, cause: unknown): Error {
  const { channel } = entry.message;
  if (cause instanceof ConnectionError) {
    return new OutcomeUnknownError(
      `Cannot confirm message to ${
        nameOf(channel)
      }: the connection to ${backend.address} was lost before it answered, it may or may not be published`,
      { cause },
    );
  }
  // The connection works, but the broker does not report the outcome of the message.
  if (cause instanceof OutcomeUnknownError) {
    return new OutcomeUnknownError(
      `Cannot confirm message to ${
        nameOf(channel)
      }: ${cause.message}, it may or may not be published`,
      { cause },
    );
  }
  // A refused retry or a closed backend does not show whether the first attempt succeeded.
  if (entry.loss || cause instanceof ClosedError) return doubtError(entry, cause);
  if (isArgumentError(cause)) return cause;
  const later = cause instanceof TemporaryError && entry.mayBeOvertaken
    ? ", and a later message of the channel may be published already"
    : "";
  return new RefusedError(`Cannot publish to ${nameOf(channel)}: ${reasonOf(cause)}${later}`, {
    cause,
  });
}
