/**
 * Publishes to topics, in order.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { OutgoingPayload } from "../../../core/backend/contract.ts";
import { OutcomeUnknownError, RefusedError, TemporaryError } from "../../../core/backend/errors.ts";
import type { MessageHeaders } from "../../../core/backend/headers.ts";
import { nameOf } from "../../../core/backend/name.ts";
import { Position } from "../../../core/backend/position.ts";
import { inBackground } from "../../../core/util/background.ts";
import { isInstance } from "../../../core/util/realm.ts";
import type { Cluster } from "../cluster.ts";
import { explain, means } from "../errors.ts";
import { excess, weightOf } from "../headers.ts";
import { type ProduceResponse, throttleTime } from "../kafkajs.ts";
import { fingerprintOf } from "../partition_reader.ts";
import { hash } from "../partitioner.ts";

/** Maximum size of a batch in bytes. Brokers accept 1,048,588 by default. */
const MAX_BATCH = 900_000;
/** The maximum overhead of a record in a batch, in bytes. */
const OVERHEAD = 40;
/** The longest delay by a quota that a message waits for inside kafkajs, in milliseconds. */
const MAX_DELAY = 1_000;
/** Most messages have no headers. */
const NONE: MessageHeaders = {};

interface Call {
  readonly value: Buffer;
  readonly headers: MessageHeaders | undefined;
  readonly resolve: (position: Position | undefined) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Sends one request per channel at a time. Messages that are published meanwhile go with the next.
 */
export class Writer {
  readonly #connect: () => Promise<Cluster>;
  readonly #outboxes = new Map<string, Call[]>();

  /** @param connect Resolves with the connected cluster. Called for each request. */
  constructor(connect: () => Promise<Cluster>) {
    this.#connect = connect;
  }

  /**
   * Publishes each payload to the partition of its channel's key, in order.
   *
   * @param messages The payloads of one turn.
   * @returns The position of each payload, if its topic has no other partitions.
   */
  publish(messages: readonly OutgoingPayload[]): readonly Promise<Position | undefined>[] {
    const idle = new Map<string, Call[]>();
    const positions = messages.map(({ channel, payload, headers }) => {
      // Copied, since the caller may write to its array before this is sent.
      const value = Buffer.from(payload as string);
      let outbox = this.#outboxes.get(channel);
      if (!outbox) {
        outbox = [];
        this.#outboxes.set(channel, outbox);
        idle.set(channel, outbox);
      }
      const calls = outbox;
      return new Promise<Position | undefined>((resolve, reject) => {
        calls.push({ value, headers, resolve, reject });
      });
    });
    for (const [channel, calls] of idle) inBackground(this.#drain(channel, calls));
    return positions;
  }

  async #drain(channel: string, outbox: Call[]): Promise<void> {
    while (outbox.length > 0) {
      let count = 1;
      for (let size = sizeOf(channel, outbox[0]!); count < outbox.length; count++) {
        size += sizeOf(channel, outbox[count]!);
        if (size > MAX_BATCH) break;
      }
      let calls = outbox.splice(0, count);
      try {
        const positions = await this.#send(channel, calls);
        calls.forEach(({ resolve }, index) => resolve(positions[index]));
      } catch (error) {
        // The messages that wait behind it are not sent, since they would be stored before it.
        if (error instanceof TemporaryError) calls = calls.concat(outbox.splice(0));
        // One record makes the broker refuse the whole batch, so each record is sent by itself.
        const refused = error instanceof RefusedError || isInstance(error, "RangeError");
        for (const call of calls) {
          if (count === 1 || !refused) call.reject(error);
          else await this.#send(channel, [call]).then(([one]) => call.resolve(one), call.reject);
        }
      }
    }
    this.#outboxes.delete(channel);
  }

  /** Sends one batch, which is stored as a whole or not at all. Returns the known positions. */
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
        const delay = throttleTime(broker.connectionPool.pool[0]);
        if (delay > MAX_DELAY) {
          throw new TemporaryError(`a quota of the broker delays it for ${delay / 1_000} s`);
        }
        const topicData = [{ topic: channel, partitions: [{ partition, messages }] }];
        try {
          const response = await cluster.request(() =>
            broker.produce({ acks: -1, timeout: 8_000, topicData })
          );
          return leads.length === 1 ? positions(response, timestamp, calls) : [];
        } catch (cause) {
          if (!means(cause, "doubt")) throw cause;
          cluster.topics.forget(channel);
          throw new OutcomeUnknownError((cause as Error).message, { cause });
        }
      });
    } catch (cause) {
      if (!means(cause, "large")) throw explain(cause);
      throw new RangeError(
        `Cannot publish to ${nameOf(channel)} on kafka: ${
          excess(calls[0]!.headers)
        } max.message.bytes of the topic`,
        { cause },
      );
    }
  }
}

/** The positions of a batch in a topic of one partition. */
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
