/**
 * Publishes messages in order: batches those of one turn, waits for a lost connection, sends
 * those with a key again.
 *
 * @module
 */

import type { Backend } from "../backend/contract.ts";
import { ConnectionError } from "../backend/errors.ts";
import { Scope } from "../backend/id.ts";
import { Position } from "../backend/position.ts";
import { LONGEST } from "../util/timer.ts";
import { checkPublishing } from "./capabilities.ts";
import type { Connection } from "./connection.ts";
import { doubtError, lateError, Outgoing, type OutgoingMessage, publishError } from "./outgoing.ts";
import { Unacknowledged } from "./unacknowledged.ts";

/**
 * Publishes what is given in one go together, in order. While there is no
 * connection, payloads wait in their order, up to a limit of time.
 */
export class Publisher {
  readonly #connection: Connection;
  readonly #timeout: number;
  #count = 0;
  /** What this turn of the event loop has brought. */
  #given: Outgoing[] = [];
  /** What waits for a connection. */
  readonly #waiting = new Set<Outgoing>();
  readonly #unacknowledged = new Unacknowledged();
  #flushing = false;
  #underway = 0;
  #drained: (() => void)[] = [];

  /**
   * @param connection Where it publishes.
   * @param timeout How long a payload waits for a connection, in milliseconds.
   */
  constructor(connection: Connection, timeout: number) {
    this.#connection = connection;
    this.#timeout = timeout;
  }

  /** Resolves once the broker has accepted the payload: with its id, where that is known. */
  publish(message: OutgoingMessage, signal?: AbortSignal): Promise<string | undefined> {
    return new Promise((resolve, reject) => {
      const entry = new Outgoing(message, this.#count++, resolve, reject, this.#onSettled);
      this.#underway++;
      // What the backend cannot carry is refused before it waits, not behind.
      const { backend, whole } = this.#connection;
      if (backend && !this.#check(backend, entry, whole)) return;
      entry.heed(signal);
      if (whole) this.#given.push(entry);
      else this.#hold(entry);
      this.#schedule();
    });
  }

  /** Resolves once all that was accepted for publishing is settled, or has had its time. */
  drain(): Promise<void> {
    if (this.#underway === 0) return Promise.resolve();
    return new Promise((resolve) => {
      // What was sent and is never answered fails when the connection is closed behind this.
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
    for (const entry of this.#taken()) if (!entry.settled) this.#hold(entry);
    try {
      await this.#connection.restored();
    } catch (error) {
      this.#flushing = false;
      for (const entry of this.#taken()) {
        entry.fail(entry.sent ? doubtError(entry, error) : error);
      }
      return;
    }
    this.#flush();
  }

  #send(backend: Backend): void {
    const entries = this.#taken();
    // Most turns bring one.
    if (entries.length === 1) {
      if (this.#begin(backend, entries[0]!)) this.#hand(backend, entries);
      return;
    }
    const batches = new Map<string, Outgoing[]>();
    for (const entry of entries) {
      if (!this.#begin(backend, entry)) continue;
      const { channel } = entry.message;
      const batch = batches.get(channel);
      if (batch) batch.push(entry);
      else batches.set(channel, [entry]);
    }
    for (const batch of batches.values()) this.#hand(backend, batch);
  }

  /** Whether it is to be handed to the backend now. */
  #begin(backend: Backend, entry: Outgoing): boolean {
    if (entry.settled || !this.#check(backend, entry, true)) return false;
    if (entry.sent && entry.timeLeft(backend.window) <= 0) {
      entry.fail(publishError(backend, entry, entry.lost));
      return false;
    }
    if (!entry.sent && entry.message.options?.once) this.#unacknowledged.add(entry);
    entry.send();
    return true;
  }

  /** All that is to be sent, in the order in which it was given. */
  #taken(): Outgoing[] {
    const given = this.#given;
    this.#given = [];
    if (this.#waiting.size === 0) return given;
    const entries = [...this.#waiting, ...given];
    this.#waiting.clear();
    return entries.sort((one, other) => one.number - other.number);
  }

  /** Hands over what goes to one channel. */
  #hand(backend: Backend, entries: readonly Outgoing[]): void {
    const { generation } = this.#connection;
    const answers = handed(backend, entries);
    for (let index = 0; index < entries.length; index++) {
      const entry = entries[index]!;
      const answer: unknown = Array.isArray(answers) ? answers[index] : answers;
      Promise.resolve(answer).then(
        (position) => this.#accept(backend, entry, position),
        (reason) => this.#refuse(backend, entry, reason, generation),
      );
    }
  }

  #accept(backend: Backend, entry: Outgoing, position: unknown): void {
    this.#unacknowledged.accept(entry);
    if (!(position instanceof Position)) return entry.succeed(undefined);
    try {
      entry.succeed(new Scope(backend.name, entry.message.channel).id(position));
    } catch (error) {
      // The backend's own fault: it named a place that is none.
      entry.fail(error);
    }
  }

  /** What has a key is sent again if its connection was lost: stored or not, it is stored once. */
  #refuse(backend: Backend, entry: Outgoing, reason: unknown, generation: number): void {
    const isLost = reason instanceof ConnectionError;
    if (isLost) this.#connection.lose(generation, reason);
    if (!isLost || entry.timeLeft(backend.window) <= 0) {
      return entry.fail(publishError(backend, entry, reason));
    }
    if (entry.settled) return;
    entry.lost = reason;
    this.#hold(entry);
    this.#schedule();
  }

  /** It waits for a connection, as long as it may. */
  #hold(entry: Outgoing): void {
    this.#waiting.add(entry);
    this.#limit(entry);
  }

  /** Not connected, the backend does not know what the server takes: it is asked again then. */
  #check(backend: Backend, entry: Outgoing, isConnected: boolean): boolean {
    if (entry.checked) return true;
    entry.checked = isConnected;
    try {
      const { channel, payload, options } = entry.message;
      if (options) checkPublishing(backend, channel, options);
      backend.check?.(channel, payload, options);
      return true;
    } catch (error) {
      entry.fail(error);
      return false;
    }
  }

  #limit(entry: Outgoing): void {
    const { address, backend, error, state } = this.#connection;
    // A first connection has limits of its own, and a reason when it fails.
    if (state === "idle" || state === "connecting") return;
    const limit = entry.sent
      ? Math.min(this.#timeout, entry.timeLeft(backend?.window))
      : this.#timeout;
    entry.timer ??= setTimeout(() => {
      entry.fail(lateError(entry, address, limit, error));
    }, Math.min(limit, LONGEST));
  }

  readonly #onSettled = (entry: Outgoing): void => {
    // One that was turned away is not held until there is a connection.
    this.#waiting.delete(entry);
    if (entry.message.options?.once) this.#unacknowledged.delete(entry);
    if (--this.#underway > 0 || this.#drained.length === 0) return;
    for (const resolve of this.#drained.splice(0)) resolve();
  };
}

/** What a backend throws at once counts as what it rejects with. */
function handed(backend: Backend, entries: readonly Outgoing[]): ReturnType<Backend["publish"]> {
  const payloads = entries.map(({ message }) => message.payload);
  const options = entries.some(({ message }) => message.options)
    ? entries.map(({ message }) => message.options)
    : undefined;
  try {
    return backend.publish(entries[0]!.message.channel, payloads, options);
  } catch (error) {
    return Promise.reject(error);
  }
}
