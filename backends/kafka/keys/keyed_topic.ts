/**
 * Publishes messages with a key to one topic, each once.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { ConnectionError, RefusedError } from "../../../core/backend/errors.ts";
import type { MessageHeaders } from "../../../core/backend/headers.ts";
import { Position } from "../../../core/backend/position.ts";
import type { Cluster } from "../cluster.ts";
import { hasMoved, isInDoubt, isOutOfRange, type KafkaError, unreadable } from "../errors.ts";
import type { ProduceResponse } from "../kafkajs.ts";
import { fingerprintOf, Places } from "../partition_reader.ts";
import { KEY_HEADER, Keys, type Lasting, writeKey } from "./keys.ts";
import { acquire, isLost, type Lease } from "./lease.ts";
import { scan } from "./scan.ts";

/** What the clocks of publishers may differ by. */
const SKEW = 60_000;
/** How long others may take the lease away before anything is stored, and leaders be moved. */
const PATIENCE = 30_000;
/** The first and the longest pause of who had to leave the lease to another. */
const FIRST_PAUSE = 20;
const LONGEST_PAUSE = 500;
/** The batch was refused, and the lease holds. */
const TOO_LARGE = "MESSAGE_TOO_LARGE";

/** A message that has a key. */
export interface KeyedCall {
  readonly value: Buffer;
  readonly once?: Lasting | undefined;
  readonly headers?: MessageHeaders | undefined;
}

/** The records of some keys. */
type Found = Map<string, Position | undefined>;

/**
 * What this publisher knows of the keys of a topic. While it has the lease nobody
 * else adds any, so that they are read only when it takes the lease.
 */
export class KeyedTopic {
  /** When it was used last. */
  used = 0;
  readonly #topic: string;
  readonly #window: number;
  readonly #keys = new Keys();
  readonly #places = new Places(Position.start);
  #lease: Lease | undefined;
  /** Whether what was sent last may be stored, or not, which the log has not told yet. */
  #isInDoubt = false;

  /**
   * @param topic Its name.
   * @param window How long keys are known at most, in milliseconds.
   */
  constructor(topic: string, window: number) {
    this.#topic = topic;
    this.#window = window;
  }

  /**
   * Stores, in one batch and in order, what has a key that is not known.
   *
   * @returns Where the record of each key lies, if the topic has no other partitions.
   */
  async send(
    cluster: Cluster,
    calls: readonly KeyedCall[],
  ): Promise<readonly (Position | undefined)[]> {
    const deadline = Date.now() + PATIENCE;
    this.#isInDoubt = false;
    for (let attempt = 0;; attempt++) {
      try {
        const found = await this.#store(cluster, calls);
        return calls.map(({ once }) => found.get(once!.key));
      } catch (error) {
        if ((error as KafkaError).type === TOO_LARGE) throw error;
        this.#lease = undefined;
        if (!isPassing(error) || Date.now() > deadline) throw this.#failure(error);
      }
      // Who is too eager takes the lease from somebody who has not used it yet.
      await cluster.pause(Math.random() * Math.min(FIRST_PAUSE * 2 ** attempt, LONGEST_PAUSE));
    }
  }

  async #store(cluster: Cluster, calls: readonly KeyedCall[]): Promise<Found> {
    const found: Found = new Map();
    if (this.#find(calls, found).length === 0) return found;
    if (this.#lease?.cluster !== cluster) await this.#take(cluster);
    const now = Date.now();
    const rest = this.#find(calls, found, now);
    if (rest.length > 0) await this.#produce(this.#lease!, rest, found, now);
    return found;
  }

  /** Finds what is known, and returns what is not: each key once. */
  #find(calls: readonly KeyedCall[], found: Found, now: number = Date.now()): KeyedCall[] {
    const rest = new Map<string, KeyedCall>();
    for (const call of calls) {
      const { key } = call.once!;
      const known = this.#keys.find(key, now);
      if (known) found.set(key, known.position);
      else if (!found.has(key) && !rest.has(key)) rest.set(key, call);
    }
    return [...rest.values()];
  }

  async #take(cluster: Cluster): Promise<void> {
    const lease = await acquire(cluster, this.#topic);
    const since = Math.max(0, Date.now() - this.#window - SKEW);
    try {
      await scan({
        cluster,
        topic: this.#topic,
        leads: lease.leads,
        places: this.#places,
        keys: this.#keys,
        since,
      });
    } catch (error) {
      throw explain(error);
    }
    this.#lease = lease;
    this.#isInDoubt = false;
  }

  async #produce(
    lease: Lease,
    calls: readonly KeyedCall[],
    found: Found,
    now: number,
  ): Promise<void> {
    const { cluster, lead: { partition, leader }, producer, sequence } = lease;
    const key = Buffer.from(this.#topic);
    const messages = calls.map(({ value, headers, once }) => ({
      key,
      value,
      headers: { ...headers, [KEY_HEADER]: writeKey(once!) },
      timestamp: String(now),
    }));
    const partitions = [{ partition, firstSequence: sequence, messages }];
    const topicData = [{ topic: this.#topic, partitions }];
    const broker = await cluster.node(leader);
    try {
      const response = await cluster.request(() =>
        broker.produce({ acks: -1, timeout: 8_000, topicData, ...producer })
      );
      lease.sequence += calls.length;
      this.#remember(lease, response, calls, found, now);
    } catch (error) {
      this.#isInDoubt = isInDoubt(error);
      throw error;
    }
  }

  #remember(
    { leads, lead: { partition } }: Lease,
    { topics }: ProduceResponse,
    calls: readonly KeyedCall[],
    found: Found,
    now: number,
  ): void {
    const { baseOffset = "-1", logAppendTime = "-1" } = topics[0]!.partitions[0]!;
    const base = Number(baseOffset);
    const time = logAppendTime === "-1" ? now : Number(logAppendTime);
    const fingerprint = fingerprintOf(String(time));
    const last = this.#places.in(partition);
    // The topic was deleted and made anew.
    if (last && base >= 0 && base <= last.at) this.#keys.clear();
    calls.forEach(({ once }, index) => {
      const place = { shard: partition, at: base + index, sub: 0, fingerprint };
      const position = base >= 0 && leads.length === 1 ? Position.of(place) : undefined;
      if (base >= 0) this.#places.see(place);
      this.#keys.add(once!, position, time, now);
      found.set(once!.key, position);
    });
  }

  /** What is in doubt is the core's to ask for again. */
  #failure(cause: unknown): unknown {
    if (!this.#isInDoubt || cause instanceof ConnectionError) return cause;
    return new ConnectionError((cause as Error).message, { cause });
  }
}

/** Whether it may be otherwise in a moment. */
function isPassing(error: unknown): boolean {
  return isLost(error) || hasMoved(error) || isInDoubt(error) || isOutOfRange(error);
}

/** Why the keys of a topic cannot be read. */
function explain(error: unknown): unknown {
  const cause = unreadable(error);
  if (!(cause instanceof RefusedError)) return error;
  return new Error(`keys are read from the topic: ${cause.message}`, { cause });
}
