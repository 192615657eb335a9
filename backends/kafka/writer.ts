/**
 * Publishes to topics, in order.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Payload } from "../../backend.ts";
import { ConnectionError, RefusedError } from "../../errors.ts";
import type { Cluster } from "./cluster.ts";
import { explain, type KafkaError } from "./errors.ts";
import { hash } from "./partitioner.ts";

/** A batch stays below the 1,048,588 bytes that brokers take by default. */
const MAX_BATCH = 900_000;
/** What surrounds key and value in a batch, at most. */
const OVERHEAD = 40;
const TOO_LARGE = "MESSAGE_TOO_LARGE";
/** Answers to a publish after which it may be stored, or not. */
const UNKNOWN = new Set([
  "NOT_LEADER_FOR_PARTITION",
  "REQUEST_TIMED_OUT",
  "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
  "KAFKA_STORAGE_ERROR",
]);

interface Entry {
  readonly key: Buffer;
  readonly value: Buffer;
}

interface Call {
  readonly entries: readonly Entry[];
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * One request per channel at a time: what comes meanwhile goes together, with
 * the next.
 */
export class Writer {
  readonly #connect: () => Promise<Cluster>;
  readonly #outboxes = new Map<string, Call[]>();

  /**
   * A writer that connects when it has something to write.
   *
   * @param connect The cluster, connected.
   */
  constructor(connect: () => Promise<Cluster>) {
    this.#connect = connect;
  }

  /**
   * Publishes to the partition of the channel's key, in order.
   *
   * @param channel The topic.
   * @param payloads What to publish.
   */
  publish(channel: string, payloads: readonly Payload[]): Promise<void> {
    const key = Buffer.from(channel);
    // Copied, since the caller may write on in its array before this is sent.
    const entries = payloads.map((payload) => ({ key, value: Buffer.from(payload as string) }));
    return new Promise((resolve, reject) => {
      const outbox = this.#outboxes.get(channel);
      outbox?.push({ entries, resolve, reject });
      if (outbox) return;
      const calls = [{ entries, resolve, reject }];
      this.#outboxes.set(channel, calls);
      void this.#drain(channel, calls);
    });
  }

  async #drain(channel: string, outbox: Call[]): Promise<void> {
    while (outbox.length > 0) {
      let count = 1;
      for (let size = sizeOf(outbox[0]!.entries); count < outbox.length; count++) {
        size += sizeOf(outbox[count]!.entries);
        if (size > MAX_BATCH) break;
      }
      const calls = outbox.splice(0, count);
      try {
        if (count === 1) await this.#write(channel, calls[0]!.entries);
        else await this.#send(channel, calls.flatMap(({ entries }) => entries));
        for (const { resolve } of calls) resolve();
      } catch (error) {
        // A batch is refused as a whole, because of one of the calls: each is asked for itself.
        const isRefused = error instanceof RefusedError || isTooLarge(error);
        for (const { entries, resolve, reject } of calls) {
          if (count === 1 || !isRefused) reject(error);
          else await this.#write(channel, entries).then(resolve, reject);
        }
      }
    }
    this.#outboxes.delete(channel);
  }

  /** Writes as few batches as brokers take. */
  async #write(channel: string, entries: readonly Entry[]): Promise<void> {
    if (entries.length < 2 || sizeOf(entries) <= MAX_BATCH) {
      try {
        return await this.#send(channel, entries);
      } catch (error) {
        if (!isTooLarge(error) || entries.length < 2) throw error;
      }
    }
    const half = entries.length >> 1;
    await this.#write(channel, entries.slice(0, half));
    await this.#write(channel, entries.slice(half));
  }

  /** Sends one batch: all of it is stored, or nothing. */
  async #send(channel: string, entries: readonly Entry[]): Promise<void> {
    const cluster = await this.#connect();
    try {
      await cluster.settle(async (attempt) => {
        const places = await cluster.places(channel, attempt > 0);
        const { partition, leader } = places[hash(channel) % places.length]!;
        const broker = await cluster.node(leader);
        const topicData = [{ topic: channel, partitions: [{ partition, messages: [...entries] }] }];
        try {
          await cluster.request(() => broker.produce({ acks: -1, timeout: 8_000, topicData }));
        } catch (cause) {
          const { type = "", message } = cause as KafkaError;
          if (!UNKNOWN.has(type)) throw cause;
          cluster.forget(channel);
          throw new ConnectionError(message, { cause });
        }
      });
    } catch (cause) {
      if ((cause as KafkaError).type !== TOO_LARGE) throw explain(cause);
      throw new RangeError(
        `Cannot publish to "${channel}" on kafka: the payload exceeds max.message.bytes of the topic`,
        { cause },
      );
    }
  }
}

function isTooLarge(error: unknown): boolean {
  return ((error as Error).cause as KafkaError | undefined)?.type === TOO_LARGE;
}

function sizeOf(entries: readonly Entry[]): number {
  return entries.reduce((size, { key, value }) => size + key.length + value.length + OVERHEAD, 0);
}
