/**
 * Declares the stream queues of one connection, each once.
 *
 * @module
 */

import type { Channel } from "amqplib";
import { RefusedError } from "../../../core/backend/errors.ts";
import { backoff } from "../../../core/util/backoff.ts";
import { quote } from "../../../core/util/quote.ts";
import { isNoQueue, isStarting, otherArgument } from "../errors.ts";
import type { Link } from "../link.ts";

/** The number of times that a stream that is not ready is tried again: for some seconds. */
const ATTEMPTS = 7;

/** The server deletes a lock with its connection, or when it is unused for ten seconds. */
const LOCK = { exclusive: true, durable: false, expires: 10_000 };

/** The arguments that a stream is created with. */
export type Limits = Readonly<Record<string, string | number>>;

/** Which streams may be created. */
export interface Creation {
  /** Whether any may. */
  readonly isAllowed: boolean;
  /** The number of streams that this process may create. */
  readonly most: number;
}

/** Creates each stream before it is used. */
export class Queues {
  readonly #pick: () => Link;
  readonly #limits: Limits;
  readonly #creation: Creation;
  readonly #made = new Map<string, Promise<void>>();
  /** The names whose declaration is under way. */
  readonly #making = new Set<string>();
  /** The names that were declared: they may have been created. */
  readonly #declared = new Set<string>();

  /**
   * @param pick The connection to use.
   * @param limits The arguments that they are created with.
   * @param creation Which ones are created.
   */
  constructor(pick: () => Link, limits: Limits, creation: Creation) {
    this.#pick = pick;
    this.#limits = limits;
    this.#creation = creation;
  }

  /** The server may have been replaced: each stream is declared once more. */
  forgetAll(): void {
    for (const queue of [...this.#made.keys()]) this.forget(queue);
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
        if (!isStarting(error) || attempt >= ATTEMPTS) throw error;
        await backoff(attempt, this.#link.loss);
      }
    }
  }

  get #link(): Link {
    return this.#pick();
  }

  async #make(queue: string): Promise<void> {
    const { isAllowed, most } = this.#creation;
    if (!isAllowed) return await this.#find(queue, "the parameter create is false");
    if (this.#declared.size >= most && !this.#declared.has(queue)) {
      return await this.#find(queue, `this process has created ${most}, see ?maxStreams=`);
    }
    this.#declared.add(queue);
    try {
      // If it is not declared: the queue exists with other limits, or is not a stream.
      if (!await this.#declare(queue, this.#limits)) await this.#declare(queue, {});
    } catch (error) {
      await this.#link.apart((channel) => channel.deleteQueue(lockOf(queue))).catch(() => {});
      throw error;
    }
  }

  /** Resolves if the queue exists. */
  async #find(queue: string, reason: string): Promise<void> {
    try {
      await this.patiently(() => this.#link.apart((channel) => channel.checkQueue(queue)));
    } catch (error) {
      if (!isNoQueue(error)) throw error;
      throw new RefusedError(`stream ${quote(queue)} does not exist, and ${reason}`, {
        cause: error,
      });
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
      throw new RefusedError(`queue ${quote(queue)} exists and is not a stream`, { cause: error });
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
