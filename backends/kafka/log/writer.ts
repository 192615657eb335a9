/**
 * Publishes to topics, in order.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Payload, PayloadOptions } from "../../../core/backend/contract.ts";
import { ConnectionError, RefusedError } from "../../../core/backend/errors.ts";
import type { MessageHeaders } from "../../../core/backend/headers.ts";
import { Position } from "../../../core/backend/position.ts";
import type { Cluster } from "../cluster.ts";
import { explain, isInDoubt, type KafkaError } from "../errors.ts";
import { excess, weightOf } from "../headers.ts";
import type { ProduceResponse } from "../kafkajs.ts";
import { fingerprintOf } from "../partition_reader.ts";
import { hash } from "../partitioner.ts";

/** A batch stays below the 1,048,588 bytes that brokers take by default. */
const MAX_BATCH = 900_000;
/** What surrounds key and value in a batch, at most. */
const OVERHEAD = 40;
/** What most messages have. */
const NONE: MessageHeaders = {};
const TOO_LARGE = "MESSAGE_TOO_LARGE";

interface Call {
  readonly value: Buffer;
  readonly headers: MessageHeaders | undefined;
  readonly resolve: (position: Position | undefined) => void;
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
   * @param payload What to publish.
   * @param options What it carries besides.
   * @returns Its position, if the topic has no other partitions.
   */
  publish(
    channel: string,
    payload: Payload,
    { headers }: PayloadOptions = {},
  ): Promise<Position | undefined> {
    // Copied, since the caller may write on in its array before this is sent.
    const value = Buffer.from(payload as string);
    return new Promise((resolve, reject) => {
      const outbox = this.#outboxes.get(channel);
      const calls = outbox ?? [];
      calls.push({ value, headers, resolve, reject });
      if (outbox) return;
      this.#outboxes.set(channel, calls);
      // What else this turn brings travels in the same batch.
      queueMicrotask(() => this.#drain(channel, calls));
    });
  }

  async #drain(channel: string, outbox: Call[]): Promise<void> {
    while (outbox.length > 0) {
      let count = 1;
      for (let size = sizeOf(channel, outbox[0]!); count < outbox.length; count++) {
        size += sizeOf(channel, outbox[count]!);
        if (size > MAX_BATCH) break;
      }
      const calls = outbox.splice(0, count);
      try {
        const positions = await this.#send(channel, calls);
        calls.forEach(({ resolve }, index) => resolve(positions[index]));
      } catch (error) {
        // A batch is refused as a whole, because of one of the calls: each is asked for itself.
        const refused = error instanceof RefusedError || error instanceof RangeError;
        for (const call of calls) {
          if (count === 1 || !refused) call.reject(error);
          else await this.#send(channel, [call]).then(([one]) => call.resolve(one), call.reject);
        }
      }
    }
    this.#outboxes.delete(channel);
  }

  /** Sends one batch: all of it is stored, or nothing. Returns the positions that are known. */
  async #send(
    channel: string,
    calls: readonly Call[],
  ): Promise<readonly (Position | undefined)[]> {
    const key = Buffer.from(channel);
    const timestamp = String(Date.now());
    const messages = calls.map(({ value, headers = NONE }) => ({ key, value, timestamp, headers }));
    const cluster = await this.#connect();
    try {
      return await cluster.settle(async (attempt) => {
        const leads = await cluster.topics.leads(channel, attempt > 0);
        const { partition, leader } = leads[hash(channel) % leads.length]!;
        const broker = await cluster.node(leader);
        const topicData = [{ topic: channel, partitions: [{ partition, messages }] }];
        try {
          const response = await cluster.request(() =>
            broker.produce({ acks: -1, timeout: 8_000, topicData })
          );
          return leads.length === 1 ? positions(response, timestamp, calls) : [];
        } catch (cause) {
          if (!isInDoubt(cause)) throw cause;
          cluster.topics.forget(channel);
          throw new ConnectionError((cause as Error).message, { cause });
        }
      });
    } catch (cause) {
      if ((cause as KafkaError).type !== TOO_LARGE) throw explain(cause);
      throw new RangeError(
        `Cannot publish to "${channel}" on kafka: ${
          excess(calls[0]!.headers)
        } max.message.bytes of the topic`,
        { cause },
      );
    }
  }
}

/** A position of all partitions, of which there is one. */
function positions(
  { topics }: ProduceResponse,
  timestamp: string,
  calls: readonly Call[],
): readonly Position[] {
  const { baseOffset, logAppendTime } = topics[0]!.partitions[0]!;
  if (baseOffset === undefined || logAppendTime === undefined || baseOffset === "-1") return [];
  const fingerprint = fingerprintOf(logAppendTime === "-1" ? timestamp : logAppendTime);
  const base = Number(baseOffset);
  return calls.map((_, index) => Position.of({ shard: 0, at: base + index, sub: 0, fingerprint }));
}

function sizeOf(channel: string, { value, headers }: Call): number {
  return channel.length + value.length + weightOf(headers) + OVERHEAD;
}
