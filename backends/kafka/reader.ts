/**
 * Reads topics without a consumer group: joining one costs seconds for each new
 * channel, leaves groups behind, and needs rights that users lack.
 *
 * @module
 */

import type { BackendRecord } from "../../backend.ts";
import { ConnectionError, RefusedError } from "../../errors.ts";
import { BacklogError } from "../../record_source.ts";
import type { Broker, Message } from "./client.ts";
import type { Cluster, Place } from "./cluster.ts";
import { explain, hasMoved, type KafkaError } from "./errors.ts";
import { TopicTail } from "./tail.ts";

/** What a fetch brings of one partition, at most. */
const MAX_FETCH = 1024 * 1024;
/** How long a fetch waits for the first record: a tail that joins waits as long. */
const MAX_WAIT = 100;
/** How often connections are used, which keeps them open, and new partitions looked for. */
const REFRESH = 30_000;

/** How far a tail has read one partition. */
interface Position {
  readonly tail: TopicTail;
  readonly partition: number;
  offset: number;
}

/** The fetches from one leader, one after the other. */
interface Loop {
  readonly positions: Set<Position>;
  /** The fetch that is under way. */
  flight?: Promise<void> | undefined;
  /** Ends the waiting for a tail that takes more. */
  wake?: (() => void) | undefined;
}

/** Reads the topics of all tails, in one loop of fetches for each leader. */
export class Reader {
  /** Where it reads. */
  readonly cluster: Cluster;
  readonly #tails = new Set<TopicTail>();
  readonly #loops = new Map<number, Loop>();
  readonly #runs = new Set<Promise<void>>();

  /**
   * A reader of nothing yet.
   *
   * @param cluster Where it reads.
   * @param refresh How often connections are used and new partitions looked for, in milliseconds.
   */
  constructor(cluster: Cluster, refresh: number = REFRESH) {
    this.cluster = cluster;
    const timer = setInterval(() => void this.#refresh().catch(() => {}), refresh);
    cluster.signal.addEventListener("abort", () => {
      clearInterval(timer);
      for (const tail of this.#tails) tail.fail(cluster.signal.reason);
      for (const { wake } of this.#loops.values()) wake?.();
    }, { once: true });
  }

  /** Reads a topic from its end. */
  async tail(topic: string): Promise<TopicTail> {
    const tail = new TopicTail(topic, () => this.#wake(), () => this.#tails.delete(tail));
    try {
      await this.cluster.settle(async () => {
        const places = await this.cluster.places(topic, true);
        const ends = await Promise.all(places.map((place) => this.#end(topic, place)));
        this.#tails.add(tail);
        places.forEach((place, index) => this.#join(tail, place, ends[index]!));
      });
      return tail;
    } catch (error) {
      throw explain(error);
    }
  }

  /** Resolves when every fetch that is under way is answered. */
  async ping(): Promise<void> {
    await Promise.all([...this.#loops.values()].map(({ flight }) => flight));
  }

  /** Resolves when nothing runs any more, after the connections have ended. */
  async ended(): Promise<void> {
    await Promise.all(this.#runs);
  }

  async #end(topic: string, { partition, leader }: Place): Promise<number> {
    const { cluster } = this;
    const broker = await cluster.node(leader);
    const topics = [{ topic, partitions: [{ partition, timestamp: -1 }] }];
    const { responses } = await cluster.request(() =>
      broker.listOffsets({ isolationLevel: 0, topics })
    );
    return Number(responses[0]?.partitions[0]?.offset);
  }

  #join(tail: TopicTail, { partition, leader }: Place, offset: number): void {
    tail.partitions.add(partition);
    this.#place({ tail, partition, offset }, leader);
  }

  #place(position: Position, leader: number): void {
    const loop = this.#loops.get(leader);
    if (loop) {
      loop.positions.add(position);
      loop.wake?.();
      return;
    }
    const started = { positions: new Set([position]) };
    this.#loops.set(leader, started);
    this.#track(this.#run(leader, started));
  }

  #track(run: Promise<void>): void {
    const ended = run.catch(() => {}).then(() => void this.#runs.delete(ended));
    this.#runs.add(ended);
  }

  #wake(): void {
    for (const { wake } of this.#loops.values()) wake?.();
  }

  async #run(leader: number, loop: Loop): Promise<void> {
    const { cluster } = this;
    try {
      const broker = await cluster.node(leader);
      await cluster.openFetches(broker, () => !this.#loops.has(leader));
      while (loop.positions.size > 0) {
        cluster.signal.throwIfAborted();
        const wanted: Position[] = [];
        for (const position of loop.positions) {
          if (!this.#tails.has(position.tail)) loop.positions.delete(position);
          else if (position.tail.isHungry) wanted.push(position);
        }
        if (wanted.length > 0) {
          loop.flight = this.#fetch(broker, loop, wanted, MAX_WAIT);
          await loop.flight;
        } else if (loop.positions.size > 0) {
          loop.flight = undefined;
          await new Promise<void>((resolve) => loop.wake = resolve);
          loop.wake = undefined;
        }
      }
    } catch (error) {
      for (const { tail } of loop.positions) this.#fail(tail, explain(error));
    } finally {
      this.#loops.delete(leader);
    }
  }

  async #fetch(
    broker: Broker,
    loop: Loop,
    positions: Position[],
    maxWaitTime: number,
  ): Promise<void> {
    const topics = new Map<string, Map<number, Position>>();
    for (const position of positions) {
      const { topic } = position.tail;
      const partitions = topics.get(topic) ?? new Map();
      topics.set(topic, partitions.set(position.partition, position));
    }
    const request = [...topics].map(([topic, partitions]) => ({
      topic,
      partitions: [...partitions.values()].map(({ partition, offset }) => ({
        partition,
        fetchOffset: String(offset),
        maxBytes: MAX_FETCH,
      })),
    }));
    try {
      const { responses }: FetchResponse = await this.cluster.request(() =>
        broker.fetch({ isolationLevel: 0, maxWaitTime, maxBytes: 8 * MAX_FETCH, topics: request })
      );
      for (const { topicName, partitions } of responses) {
        for (const { partition, messages } of partitions) {
          const position = topics.get(topicName)?.get(partition);
          if (position) take(position, messages);
        }
      }
    } catch (error) {
      if (this.cluster.signal.aborted) throw error;
      // One partition fails the response as a whole: it is found by asking for each.
      if (positions.length === 1) return this.#miss(loop, positions[0]!, error);
      for (const position of positions) await this.#fetch(broker, loop, [position], 0);
    }
  }

  /** A partition that cannot be read: another broker may lead it by now. */
  #miss(loop: Loop, position: Position, error: unknown): void {
    const { tail, partition, offset } = position;
    loop.positions.delete(position);
    if (hasMoved(error)) return this.#track(this.#follow(position));
    const { name, type, message } = error as KafkaError;
    if (type === "OFFSET_OUT_OF_RANGE") {
      const place = `partition ${partition} of "${tail.topic}"`;
      const reason = `Cannot go on in ${place}: offset ${offset} is deleted`;
      return this.#fail(tail, new BacklogError(reason, { cause: error }));
    }
    if (name !== "KafkaJSNotImplemented") return this.#fail(tail, explain(error));
    const help = "register a codec for it in CompressionCodecs of kafkajs";
    this.#fail(tail, new RefusedError(`${message}, ${help}`, { cause: error }));
  }

  async #follow(position: Position): Promise<void> {
    const { tail, partition } = position;
    try {
      await this.cluster.pause(50);
      const places = await this.cluster.settle(() => this.cluster.look(tail.topic), 2_000);
      const place = places.find((place) => place.partition === partition);
      if (!place) throw new ConnectionError(`partition ${partition} of "${tail.topic}" is gone`);
      this.#place(position, place.leader);
    } catch (error) {
      this.#fail(tail, error);
    }
  }

  #fail(tail: TopicTail, reason: unknown): void {
    this.#tails.delete(tail);
    tail.fail(reason);
  }

  async #refresh(): Promise<void> {
    await this.cluster.ping();
    this.cluster.forget();
    for (const tail of this.#tails) {
      const places = await this.cluster.look(tail.topic).catch(() => []);
      if (!this.#tails.has(tail)) continue;
      for (const place of places) {
        if (!tail.partitions.has(place.partition)) this.#join(tail, place, 0);
      }
    }
  }
}

interface FetchResponse {
  readonly responses: readonly {
    readonly topicName: string;
    readonly partitions: readonly { partition: number; messages: readonly Message[] }[];
  }[];
}

function take(position: Position, messages: readonly Message[]): void {
  const records: BackendRecord[] = [];
  for (const { offset, value, isControlRecord } of messages) {
    // A batch comes whole, also if it begins before the offset that was asked for.
    if (Number(offset) < position.offset) continue;
    position.offset = Number(offset) + 1;
    // Copied: a record would keep the whole response in memory.
    if (value !== null && !isControlRecord) records.push({ payload: new Uint8Array(value) });
  }
  if (records.length > 0) position.tail.push(records);
}
