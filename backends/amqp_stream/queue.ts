/**
 * Channels as stream queues.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Channel } from "amqplib";
import { RefusedError } from "../../errors.ts";
import { random } from "../../id.ts";
import { backoff } from "../../timer.ts";
import type { Link } from "../amqp/link.ts";
import { consume } from "./view.ts";

/**
 * What a queue's name and that of its virtual host have together at most, in bytes: the server
 * makes a folder of both and the time, and takes longer ones without ever storing anything.
 */
const LONGEST = 234;

/** What the server reserves, or drops from a name, and what stands before hexadecimal digits here. */
const RESERVED = /^a(?=mq\.)|[%\r\n]/g;

/** How often it is tried to read a stream that was just made: for some seconds. */
const ATTEMPTS = 8;

/** What a stream is created with. */
export type Limits = Readonly<Record<string, string | number>>;

/**
 * The queue of a channel: the same, but for each `%`, a line break, and the
 * first letter of what begins with `amq.`, which become `%25`, `%0A`, `%61`.
 *
 * @throws {RangeError} If it is too long.
 */
export function queueOf(channel: string, vhost: string): string {
  const queue = channel.replace(
    RESERVED,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
  );
  const [length, longest] = [Buffer.byteLength(queue), LONGEST - Buffer.byteLength(vhost)];
  if (length <= longest) return queue;
  throw new RangeError(
    `Cannot use channel "${channel}" on amqp-stream: its queue's name has ${length} bytes, the limit is ${longest}`,
  );
}

/** The streams of one connection: each is made before it is used. */
export class Queues {
  readonly #link: Link;
  readonly #limits: Limits;
  readonly #made = new Map<string, Promise<unknown>>();
  readonly #readable = new Map<string, Promise<unknown>>();

  /**
   * @param link Where they are made.
   * @param limits What they are created with.
   */
  constructor(link: Link, limits: Limits) {
    this.#link = link;
    this.#limits = limits;
  }

  /** Resolves once there is a queue, a stream. */
  make(queue: string): Promise<unknown> {
    const made = this.#made.get(queue) ?? this.#make(queue);
    this.#made.set(queue, made);
    return made;
  }

  /**
   * Resolves once it can be read as well: where two make it at a time, the server tells one of
   * them that it is there before that is true.
   */
  makeReadable(queue: string): Promise<unknown> {
    const readable = this.#readable.get(queue) ?? this.#makeReadable(queue);
    this.#readable.set(queue, readable);
    return readable;
  }

  /** It was deleted: who uses it next makes it again. */
  forget(queue: string): void {
    this.#made.delete(queue);
    this.#readable.delete(queue);
  }

  async #makeReadable(queue: string): Promise<void> {
    const { loss } = this.#link;
    try {
      for (let attempt = 0;; attempt++) {
        await this.make(queue);
        try {
          return await this.#link.apart((channel) => tryToRead(channel, queue));
        } catch (error) {
          if (attempt === ATTEMPTS || !/replica on the local node/.test(String(error))) throw error;
          await backoff(attempt, loss);
        }
      }
    } catch (error) {
      this.forget(queue);
      throw error;
    }
  }

  async #make(queue: string): Promise<void> {
    try {
      if (await this.#declare(queue, this.#limits)) return;
      // It is there, with other limits, or it is no stream.
      await this.#declare(queue, {});
    } catch (error) {
      this.forget(queue);
      throw error;
    }
  }

  /** Whether there is such a queue, just so. */
  async #declare(queue: string, limits: Limits): Promise<boolean> {
    const options = { durable: true, arguments: { "x-queue-type": "stream", ...limits } };
    try {
      await this.#link.apart((channel) => channel.assertQueue(queue, options));
      return true;
    } catch (error) {
      const [, other] = /inequivalent arg '([\w-]+)'/.exec(String(error)) ?? [];
      if (other === undefined) throw error;
      if (limits === this.#limits || /^x-(?!queue-type$)/.test(other)) return false;
      throw new RefusedError(`queue "${queue}" is there, and is not a stream`, { cause: error });
    }
  }
}

/** Where this fails, the server closes the channel, and all that is read through it is lost. */
async function tryToRead(channel: Channel, queue: string): Promise<void> {
  await channel.prefetch(1);
  const tag = random();
  await consume(channel, queue, "next", tag, () => {});
  await channel.cancel(tag);
}
