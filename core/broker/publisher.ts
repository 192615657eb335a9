/**
 * Publishes messages in order: batches each turn of the event loop, waits while reconnecting, and
 * retries messages with a key.
 *
 * @module
 */

import type { Backend, OutgoingPayload } from "../backend/contract.ts";
import { ConnectionError } from "../backend/errors.ts";
import { Scope } from "../backend/id.ts";
import type { Position } from "../backend/position.ts";
import { LONGEST } from "../util/timer.ts";
import type { Capabilities } from "./capabilities.ts";
import type { Connection } from "./connection.ts";
import { doubtError, lateError, Outgoing, publishError } from "./outgoing.ts";
import { Unacknowledged } from "./unacknowledged.ts";

/**
 * Publishes the messages of one turn of the event loop together, in order. Without a connection
 * they wait, in order and up to a timeout.
 */
export class Publisher {
  readonly #connection: Connection;
  readonly #timeout: number;
  readonly #capabilities: Capabilities;
  #count = 0;
  /** The messages of this turn of the event loop. */
  #given: Outgoing[] = [];
  /** The messages that wait for a connection. */
  readonly #waiting = new Set<Outgoing>();
  readonly #unacknowledged = new Unacknowledged();
  #flushing = false;
  #underway = 0;
  #drained: (() => void)[] = [];

  /**
   * @param connection The connection to publish on.
   * @param timeout The time that a message waits for a connection, in milliseconds.
   * @param capabilities Checks the options of messages.
   */
  constructor(connection: Connection, timeout: number, capabilities: Capabilities) {
    this.#connection = connection;
    this.#timeout = timeout;
    this.#capabilities = capabilities;
  }

  /** Resolves with the id of the message, if known, once the broker has accepted it. */
  publish(message: OutgoingPayload, signal?: AbortSignal): Promise<string | undefined> {
    return new Promise((resolve, reject) => {
      const entry = new Outgoing(message, this.#count++, resolve, reject, this.#onSettled);
      this.#underway++;
      // Messages that the backend cannot carry are rejected before they wait, not after.
      const { backend, whole } = this.#connection;
      if (backend && !this.#check(backend, entry, whole)) return;
      entry.follow(signal);
      if (whole) this.#given.push(entry);
      else this.#hold(entry);
      this.#schedule();
    });
  }

  /** Resolves once all messages are settled, or after the timeout. */
  drain(): Promise<void> {
    if (this.#underway === 0) return Promise.resolve();
    return new Promise((resolve) => {
      // Messages that are never acknowledged fail when the connection is closed afterwards.
      const timer = setTimeout(resolve, Math.min(this.#timeout, LONGEST));
      this.#drained.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #schedule(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(this.#flush);
  }

  readonly #flush = (): void => {
    const { backend, whole } = this.#connection;
    if (!whole) return void this.#restore();
    this.#flushing = false;
    this.#send(backend!);
  };

  async #restore(): Promise<void> {
    for (const entry of this.#taken()) if (entry.state !== "settled") this.#hold(entry);
    try {
      await this.#connection.restored();
    } catch (error) {
      this.#flushing = false;
      for (const entry of this.#taken()) {
        entry.fail(entry.wasSent ? doubtError(entry, error) : error);
      }
      return;
    }
    this.#flush();
  }

  /** Passes the turn to the backend, all channels together. */
  #send(backend: Backend): void {
    const entries = this.#taken().filter((entry) => this.#begin(backend, entry));
    if (entries.length === 0) return;
    const { generation } = this.#connection;
    const answers = handed(backend, entries.map(({ message }) => message));
    for (let index = 0; index < entries.length; index++) {
      const entry = entries[index]!;
      // Not `answers[index].then()`: a backend at fault may answer less than one promise for each.
      const answer = "then" in answers ? answers : answers[index];
      Promise.resolve(answer ?? Promise.reject(new TypeError(NO_ANSWER))).then(
        (position) => this.#accept(backend, entry, position ?? undefined),
        (reason) => this.#refuse(backend, entry, reason, generation),
      );
    }
  }

  /** Prepares a message for the backend. Returns `false` if it must not be sent. */
  #begin(backend: Backend, entry: Outgoing): boolean {
    if (entry.state === "settled" || !this.#check(backend, entry, true)) return false;
    if (entry.state === "lost" && entry.timeLeft(backend.window) <= 0) {
      entry.fail(publishError(backend, entry, entry.loss));
      return false;
    }
    if (entry.state !== "lost" && entry.message.once) this.#unacknowledged.add(entry);
    entry.send();
    return true;
  }

  /** Takes all messages to send, in the order of the calls to `publish()`. */
  #taken(): Outgoing[] {
    const given = this.#given;
    this.#given = [];
    if (this.#waiting.size === 0) return given;
    const entries = [...this.#waiting, ...given];
    this.#waiting.clear();
    return entries.sort((one, other) => one.number - other.number);
  }

  #accept(backend: Backend, entry: Outgoing, position: Position | undefined): void {
    this.#unacknowledged.accept(entry);
    if (!position) return entry.succeed(undefined);
    try {
      entry.succeed(new Scope(backend.name, entry.message.channel).id(position));
    } catch (error) {
      // A fault of the backend: it returned an invalid place.
      entry.fail(error);
    }
  }

  /** Fails a message, or retries it if the connection was lost and a key makes the retry safe. */
  #refuse(backend: Backend, entry: Outgoing, reason: unknown, generation: number): void {
    const isLost = reason instanceof ConnectionError;
    if (isLost) this.#connection.lose(generation, reason);
    if (!isLost || entry.timeLeft(backend.window) <= 0) {
      return entry.fail(publishError(backend, entry, reason));
    }
    if (entry.state === "settled") return;
    entry.lose(reason);
    this.#hold(entry);
    this.#schedule();
  }

  /** Makes a message wait for a connection, up to its limit. */
  #hold(entry: Outgoing): void {
    this.#waiting.add(entry);
    this.#limit(entry);
  }

  /** Checks a message; again once connected, since the backend learns the server's limits then. */
  #check(backend: Backend, entry: Outgoing, isConnected: boolean): boolean {
    if (entry.state !== "new") return true;
    try {
      const { channel, payload } = entry.message;
      this.#capabilities.checkPublishing(backend, entry.message);
      backend.check?.(channel, payload, entry.message);
      if (isConnected) entry.approve();
      return true;
    } catch (error) {
      entry.fail(error);
      return false;
    }
  }

  #limit(entry: Outgoing): void {
    const { address, backend, error, state } = this.#connection;
    // The first connection has its own timeout, and its own error if it fails.
    if (state === "idle" || state === "connecting") return;
    const limit = entry.wasSent
      ? Math.min(this.#timeout, entry.timeLeft(backend?.window))
      : this.#timeout;
    entry.limit(limit, () => entry.fail(lateError(entry, address, limit, error)));
  }

  readonly #onSettled = (entry: Outgoing): void => {
    // A message that failed while waiting is released at once.
    this.#waiting.delete(entry);
    if (entry.message.once) this.#unacknowledged.delete(entry);
    if (--this.#underway > 0 || this.#drained.length === 0) return;
    for (const resolve of this.#drained.splice(0)) resolve();
  };
}

/** Reason for a message without an answer: the backend is at fault. */
const NO_ANSWER = "the backend's publish() returned no promise for the message";

/** Passes messages to the backend. An error that it throws counts as a rejection. */
function handed(
  backend: Backend,
  messages: readonly OutgoingPayload[],
): ReturnType<Backend["publish"]> {
  try {
    return backend.publish(messages) ?? Promise.reject(new TypeError(NO_ANSWER));
  } catch (error) {
    return Promise.reject(error);
  }
}
