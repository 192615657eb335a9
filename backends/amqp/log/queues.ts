/**
 * Declares the stream queues of one connection, each once.
 *
 * @module
 */

import type { Channel } from "amqplib";
import { ConnectionError, RefusedError } from "../../../core/backend/errors.ts";
import { backoff } from "../../../core/util/backoff.ts";
import { meaningOf, otherArgument } from "../errors.ts";
import type { Link } from "../link.ts";

/** The number of times that a stream that is not ready is tried again: for some seconds. */
const ATTEMPTS = 7;

/** The server deletes a lock with its connection, or when it is unused for ten seconds. */
const LOCK = { exclusive: true, durable: false, expires: 10_000 };

/** The arguments that a stream is created with. */
export type Limits = Readonly<Record<string, string | number>>;

/** Creates each stream before it is used. */
export class Queues {
  readonly #link: Link;
  readonly #limits: Limits;
  readonly #made = new Map<string, Promise<void>>();
  /** The names whose declaration is under way. */
  readonly #making = new Set<string>();

  /**
   * @param link The connection.
   * @param limits The arguments that they are created with.
   */
  constructor(link: Link, limits: Limits) {
    this.#link = link;
    this.#limits = limits;
  }

  /** Resolves once the queue exists, and is a stream. */
  make(queue: string): Promise<void> {
    const known = this.#made.get(queue);
    if (known) return known;
    this.#making.add(queue);
    const making = this.#make(queue).finally(() => this.#making.delete(queue)).catch((error) => {
      this.forget(queue);
      throw error;
    });
    this.#made.set(queue, making);
    return making;
  }

  /** A stream was deleted: its next use creates it again. Concurrent uses keep their order. */
  forget(queue: string): void {
    if (!this.#making.has(queue)) this.#made.delete(queue);
  }

  /** Tries again while a stream is not ready: while the server starts, or the stream is created. */
  async patiently<Value>(ask: () => Promise<Value>): Promise<Value> {
    for (let attempt = 0;; attempt++) {
      try {
        return await ask();
      } catch (error) {
        const meaning = meaningOf(error);
        if (meaning !== "starting" && meaning !== "being created") throw error;
        if (attempt < ATTEMPTS) await backoff(attempt, this.#link.loss);
        else if (meaning === "being created") throw error;
        else throw new ConnectionError("the stream is down", { cause: error });
      }
    }
  }

  async #make(queue: string): Promise<void> {
    try {
      // It exists with other limits, or is not a stream.
      if (!await this.#declare(queue, this.#limits)) await this.#declare(queue, {});
    } catch (error) {
      await this.#link.apart((channel) => channel.deleteQueue(lockOf(queue))).catch(() => {});
      throw error;
    }
  }

  /** Whether the queue exists, with these limits. */
  async #declare(queue: string, limits: Limits): Promise<boolean> {
    const options = { durable: true, arguments: { "x-queue-type": "stream", ...limits } };
    try {
      await this.#alone(queue, (channel) => channel.assertQueue(queue, options));
      return true;
    } catch (error) {
      const other = otherArgument(error);
      if (other === undefined) throw error;
      if (limits === this.#limits || /^x-(?!queue-type$)/.test(other)) return false;
      throw new RefusedError(`queue "${queue}" exists and is not a stream`, { cause: error });
    }
  }

  /**
   * Creates a stream while holding a lock, which is an exclusive queue. While a stream is being
   * created, the server tells other processes that it exists, and closes the connection of those
   * that use it.
   */
  async #alone(queue: string, make: (channel: Channel) => Promise<unknown>): Promise<void> {
    const lock = lockOf(queue);
    try {
      await this.patiently(() =>
        this.#link.apart(async (channel) => {
          await channel.assertQueue(lock, LOCK);
          await make(channel);
          await channel.deleteQueue(lock);
        })
      );
    } catch (error) {
      // Without the right to have the lock, or after a long wait, it does without.
      if (!String(error).includes(lock)) throw error;
      await this.patiently(() => this.#link.apart(make));
    }
  }
}

/** The name of a lock, which no channel has. */
function lockOf(queue: string): string {
  return `${queue}%lock`;
}
