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

/** The number of retries for a stream that is not ready. They take some seconds. */
const ATTEMPTS = 7;

/** The server deletes a lock with its connection, or after ten seconds without use. */
const LOCK = { exclusive: true, durable: false, expires: 10_000 };

/** The arguments that a stream is created with. */
export type Limits = Readonly<Record<string, string | number>>;

/** Which streams may be created. */
export interface Creation {
  /** Whether any stream may be created. */
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
  /** The names whose declaration is pending. */
  readonly #making = new Set<string>();
  /** The declared names. This process may have created their streams. */
  readonly #declared = new Set<string>();

  /**
   * @param pick The connection to use.
   * @param limits The arguments of new streams.
   * @param creation Which streams may be created.
   */
  constructor(pick: () => Link, limits: Limits, creation: Creation) {
    this.#pick = pick;
    this.#limits = limits;
    this.#creation = creation;
  }

  /** Makes the next use declare each stream again, since the server may have been replaced. */
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

  /** Makes the next use of a deleted stream create it again. Concurrent uses keep their order. */
  forget(queue: string): void {
    if (!this.#making.has(queue)) this.#made.delete(queue);
  }

  /**
   * Retries while a stream is not ready, since the server is starting or the stream is being
   * created.
   */
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
      // If the declaration fails, the queue has other limits, or is not a stream.
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

  /** Declares the queue. Returns `false` if it exists with other limits. */
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
   * created, the server tells other processes that it exists, but closes the connections that use
   * it.
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
      // Continues without the lock if the user may not hold it, or after a long wait.
      if (!String(error).includes(lock)) throw error;
      await this.patiently(() => this.#link.apart(make));
    }
  }
}

/** The name of a lock. No channel has such a name. */
function lockOf(queue: string): string {
  return `${queue}%lock`;
}
