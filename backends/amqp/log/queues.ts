/**
 * Declares the stream queues of one connection, each once.
 *
 * @module
 */

import type { Channel } from "amqplib";
import { ConnectionError, RefusedError } from "../../../core/backend/errors.ts";
import { backoff } from "../../../core/util/backoff.ts";
import type { Link } from "../link.ts";

/** How often a stream that is not ready is asked for again: for some seconds. */
const ATTEMPTS = 7;

/** The server drops it with the connection, or once it was forgotten for ten seconds. */
const LOCK = { exclusive: true, durable: false, expires: 10_000 };

/** What a stream is created with. */
export type Limits = Readonly<Record<string, string | number>>;

/** Makes each stream before it is used. */
export class Queues {
  readonly #link: Link;
  readonly #limits: Limits;
  readonly #made = new Map<string, Promise<void>>();
  /** Those of them that are not made yet. */
  readonly #making = new Set<string>();

  /**
   * @param link Where they are made.
   * @param limits What they are created with.
   */
  constructor(link: Link, limits: Limits) {
    this.#link = link;
    this.#limits = limits;
  }

  /** Resolves once there is a queue, a stream. */
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

  /** It was deleted: who uses it next makes it again, all in their order. */
  forget(queue: string): void {
    if (!this.#making.has(queue)) this.#made.delete(queue);
  }

  /** A server that starts, and one where a stream is being made, names it before it is ready. */
  async patiently<Value>(ask: () => Promise<Value>): Promise<Value> {
    for (let attempt = 0;; attempt++) {
      try {
        return await ask();
      } catch (error) {
        const isStarting = /is down or inaccessible/.test(String(error));
        const isBeingMade = /a replica on the local node|RESOURCE_LOCKED/.test(String(error));
        if (!isStarting && !isBeingMade) throw error;
        if (attempt < ATTEMPTS) await backoff(attempt, this.#link.loss);
        else if (isStarting) throw new ConnectionError("the stream is down", { cause: error });
        else throw error;
      }
    }
  }

  async #make(queue: string): Promise<void> {
    try {
      // If it is there, with other limits, or it is no stream.
      if (!await this.#declare(queue, this.#limits)) await this.#declare(queue, {});
    } catch (error) {
      await this.#link.apart((channel) => channel.deleteQueue(lockOf(queue))).catch(() => {});
      throw error;
    }
  }

  /** Whether there is such a queue, just so. */
  async #declare(queue: string, limits: Limits): Promise<boolean> {
    const options = { durable: true, arguments: { "x-queue-type": "stream", ...limits } };
    try {
      await this.#alone(queue, (channel) => channel.assertQueue(queue, options));
      return true;
    } catch (error) {
      const [, other] = /inequivalent arg '([\w-]+)'/.exec(String(error)) ?? [];
      if (other === undefined) throw error;
      if (limits === this.#limits || /^x-(?!queue-type$)/.test(other)) return false;
      throw new RefusedError(`queue "${queue}" is there, and is not a stream`, { cause: error });
    }
  }

  /**
   * While one process makes a stream, the server tells others that it is there, and ends the
   * connection of whoever uses it: so only one makes it at a time, who has a queue for itself.
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
      // Who may not have it, or has waited for long, does without.
      if (!String(error).includes(lock)) throw error;
      await this.patiently(() => this.#link.apart(make));
    }
  }
}

/** What no channel is named. */
function lockOf(queue: string): string {
  return `${queue}%lock`;
}
