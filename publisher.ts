/**
 * The way of a message to its backend.
 *
 * @module
 */

import { checkPublishing } from "./ability.ts";
import type { Backend } from "./backend.ts";
import type { Connection } from "./connection.ts";
import { ConnectionError } from "./errors.ts";
import { doubtError, lateError, Outgoing, type OutgoingMessage, publishError } from "./outgoing.ts";
import { Position } from "./position.ts";
import { LONGEST } from "./timer.ts";

/**
 * Publishes what is given in one go together, in order. While there is no
 * connection, payloads wait in their order, up to a limit of time.
 */
export class Publisher {
  readonly #connection: Connection;
  readonly #timeout: number;
  #count = 0;
  #waiting = new Set<Outgoing>();
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

  /** Resolves once the broker has accepted the payload: with its position, where that is known. */
  publish(message: OutgoingMessage, signal?: AbortSignal): Promise<Position | undefined> {
    return new Promise((resolve, reject) => {
      const entry = new Outgoing(message, this.#count++, resolve, reject);
      // What the backend cannot carry is refused before it waits, not behind.
      if (!this.#check(this.#connection.backend, entry)) return;
      this.#underway++;
      entry.onSettled = () => {
        // One that was turned away is not held until there is a connection.
        this.#waiting.delete(entry);
        this.#settled();
      };
      entry.heed(signal);
      this.#waiting.add(entry);
      if (!this.#connection.whole) this.#limit(entry);
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
    queueMicrotask(() => this.#flush());
  }

  async #flush(): Promise<void> {
    const connection = this.#connection;
    while (!connection.whole) {
      for (const entry of this.#waiting) this.#limit(entry);
      try {
        await connection.restored();
      } catch (error) {
        this.#flushing = false;
        for (const entry of this.#waiting) {
          entry.fail(entry.sent ? doubtError(entry, error) : error);
        }
        return;
      }
    }
    this.#flushing = false;
    this.#send(connection.backend!);
  }

  #send(backend: Backend): void {
    const batches = new Map<string, Outgoing[]>();
    const waiting = this.#waiting;
    this.#waiting = new Set();
    for (const entry of waiting) {
      if (entry.settled || !this.#check(backend, entry)) continue;
      entry.send();
      const { channel } = entry.message;
      const batch = batches.get(channel);
      if (batch) batch.push(entry);
      else batches.set(channel, [entry]);
    }
    const { generation } = this.#connection;
    for (const [channel, entries] of batches) {
      const refuse = (entry: Outgoing, reason: unknown) => {
        const isLost = reason instanceof ConnectionError;
        if (isLost) this.#connection.lose(generation, reason);
        if (isLost && entry.message.options?.once) this.#again(entry);
        else entry.fail(publishError(backend, channel, reason));
      };
      const answers = hand(backend, channel, entries);
      entries.forEach((entry, index) => {
        const answer: unknown = Array.isArray(answers) ? answers[index] : answers;
        Promise.resolve(answer).then(
          (position) => entry.succeed(position instanceof Position ? position : undefined),
          (reason) => refuse(entry, reason),
        );
      });
    }
  }

  /**
   * What has a key is sent again: stored or not, it is stored once. It keeps its
   * order, since what was sent behind it is stored only if it is.
   */
  #again(entry: Outgoing): void {
    if (entry.settled) return;
    const isBehind = ({ number }: Outgoing) => number > entry.number;
    const behind = [...this.#waiting].filter(isBehind);
    for (const other of behind) this.#waiting.delete(other);
    for (const other of [entry, ...behind]) this.#waiting.add(other);
    this.#limit(entry);
    this.#schedule();
  }

  #check(backend: Backend | undefined, entry: Outgoing): boolean {
    if (!backend || entry.checked) return true;
    // Not connected, it does not know what the server takes.
    entry.checked = this.#connection.whole;
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
    const { address, error, state } = this.#connection;
    // A first connection has limits of its own, and a reason when it fails.
    if (state === "idle" || state === "connecting") return;
    const limit = Math.min(this.#timeout, entry.message.options?.once?.expires ?? Infinity);
    entry.timer ??= setTimeout(() => {
      entry.fail(lateError(entry, address, limit, error));
    }, Math.min(limit, LONGEST));
  }

  #settled(): void {
    if (--this.#underway > 0) return;
    for (const resolve of this.#drained.splice(0)) resolve();
  }
}

/** What a backend throws at once counts as what it rejects with. */
function hand(
  backend: Backend,
  channel: string,
  entries: readonly Outgoing[],
): ReturnType<Backend["publish"]> {
  const isPlain = entries.every(({ message }) => message.options === undefined);
  try {
    return backend.publish(
      channel,
      entries.map(({ message }) => message.payload),
      isPlain ? undefined : entries.map(({ message }) => message.options),
    );
  } catch (error) {
    return Promise.reject(error);
  }
}
