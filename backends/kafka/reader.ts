/**
 * Reads topics without a consumer group: joining one costs seconds for each new
 * channel, leaves groups behind, and needs rights that users lack.
 *
 * @module
 */

import { ConnectionError, RefusedError } from "../../errors.ts";
import { Position } from "../../position.ts";
import type { Broker, FetchResponse } from "./client.ts";
import type { Cluster, Lead } from "./cluster.ts";
import { explain, hasMoved, isOutOfRange, unreadable } from "./errors.ts";
import { before, Lane } from "./lane.ts";
import { type Bounds, boundsOf, checkPartitions } from "./offsets.ts";
import { TopicTail } from "./tail.ts";

/** What a fetch brings of one partition, at most. */
const MAX_FETCH = 1024 * 1024;
/** How long a fetch waits for the first record: a tail that joins waits as long. */
const MAX_WAIT = 100;
/** How often connections are used, which keeps them open, and new partitions looked for. */
const REFRESH = 30_000;

/** How far a tail has read one partition. */
interface Cursor {
  readonly tail: TopicTail;
  readonly lane: Lane;
}

/** The fetches from one leader, one after the other. */
interface Loop {
  readonly cursors: Set<Cursor>;
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

  /** Reads a topic behind a position, or from its end. */
  async tail(topic: string, after?: Position): Promise<TopicTail> {
    try {
      return await this.cluster.settle(async () => {
        const leads = await this.cluster.leads(topic, true);
        checkPartitions(topic, leads.length);
        const bounds = await boundsOf(this.cluster, topic, leads);
        const tail: TopicTail = new TopicTail({
          topic,
          position: after ?? endOf(bounds),
          wake: () => this.#wake(),
          cancel: () => this.#tails.delete(tail),
        });
        this.#tails.add(tail);
        for (const lead of leads) {
          const lane = new Lane(tail.places, lead.partition);
          const { begin, end } = bounds.get(lead.partition)!;
          if (after) tail.push(lane.seek({ begin, end }));
          else lane.offset = end;
          this.#join({ tail, lane }, lead);
        }
        return tail;
      });
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

  #join(cursor: Cursor, { partition, leader }: Lead): void {
    cursor.tail.partitions.add(partition);
    this.#read(cursor, leader);
  }

  #read(cursor: Cursor, leader: number): void {
    const loop = this.#loops.get(leader);
    if (loop) {
      loop.cursors.add(cursor);
      loop.wake?.();
      return;
    }
    const started = { cursors: new Set([cursor]) };
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
      while (loop.cursors.size > 0) {
        cluster.signal.throwIfAborted();
        const wanted: Cursor[] = [];
        for (const cursor of loop.cursors) {
          if (!this.#tails.has(cursor.tail)) loop.cursors.delete(cursor);
          else if (cursor.tail.isHungry) wanted.push(cursor);
          // While nobody looks, the topic may be deleted and made again.
          else cursor.lane.rewind();
        }
        if (wanted.length > 0) {
          loop.flight = this.#fetch(broker, loop, wanted, MAX_WAIT);
          await loop.flight;
        } else if (loop.cursors.size > 0) {
          loop.flight = undefined;
          await new Promise<void>((resolve) => loop.wake = resolve);
          loop.wake = undefined;
        }
      }
    } catch (error) {
      for (const { tail } of loop.cursors) this.#fail(tail, explain(error));
    } finally {
      this.#loops.delete(leader);
    }
  }

  async #fetch(broker: Broker, loop: Loop, cursors: Cursor[], maxWaitTime: number): Promise<void> {
    const topics = new Map<string, Map<number, Cursor>>();
    for (const cursor of cursors) {
      const { topic } = cursor.tail;
      const partitions = topics.get(topic) ?? new Map();
      topics.set(topic, partitions.set(cursor.lane.partition, cursor));
    }
    const request = [...topics].map(([topic, partitions]) => ({
      topic,
      partitions: [...partitions.values()].map(({ lane: { partition, offset } }) => ({
        partition,
        fetchOffset: String(offset),
        maxBytes: MAX_FETCH,
      })),
    }));
    const stuck: Cursor[] = [];
    try {
      const { responses }: FetchResponse = await this.cluster.request(() =>
        broker.fetch({ isolationLevel: 0, maxWaitTime, maxBytes: 8 * MAX_FETCH, topics: request })
      );
      for (const { topicName, partitions } of responses) {
        for (const { partition, highWatermark, messages } of partitions) {
          const cursor = topics.get(topicName)?.get(partition);
          if (!cursor) continue;
          const { tail, lane } = cursor;
          const { offset } = lane;
          const items = lane.take(messages);
          if (!items) this.#leave(loop, cursor, true);
          else if (lane.offset > offset) tail.push(items);
          else if (cursors.length === 1) tail.push(lane.miss(Number(highWatermark)));
          else if (lane.offset < Number(highWatermark)) stuck.push(cursor);
        }
      }
    } catch (error) {
      if (this.cluster.signal.aborted) throw error;
      // One partition fails the response as a whole: it is found by asking for each.
      if (cursors.length === 1) this.#miss(loop, cursors[0]!, error);
      else stuck.push(...cursors);
    }
    for (const cursor of stuck) await this.#fetch(broker, loop, [cursor], 0);
  }

  /** A partition that cannot be read there: another broker may lead it by now. */
  #miss(loop: Loop, cursor: Cursor, error: unknown): void {
    if (hasMoved(error) || isOutOfRange(error)) return this.#leave(loop, cursor, false);
    loop.cursors.delete(cursor);
    this.#fail(cursor.tail, unreadable(error));
  }

  #leave(loop: Loop, cursor: Cursor, isOther: boolean): void {
    loop.cursors.delete(cursor);
    this.#track(this.#follow(cursor, isOther));
  }

  /** Looks where a partition is, and whether it still has what was read of it. */
  async #follow(cursor: Cursor, isOther: boolean): Promise<void> {
    const { cluster } = this;
    const { tail: { topic }, lane } = cursor;
    try {
      await cluster.pause(50);
      await cluster.settle(async () => {
        const leads = await cluster.look(topic);
        const lead = leads.find(({ partition }) => partition === lane.partition);
        if (!lead) throw new ConnectionError(`partition ${lane.partition} of "${topic}" is gone`);
        const bounds = await boundsOf(cluster, topic, [lead]);
        cursor.tail.push(lane.seek(bounds.get(lane.partition)!, isOther));
        this.#read(cursor, lead.leader);
      }, 2_000);
    } catch (error) {
      this.#fail(cursor.tail, error);
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
      const leads = await this.cluster.look(tail.topic).catch(() => []);
      if (!this.#tails.has(tail)) continue;
      for (const lead of leads) {
        if (tail.partitions.has(lead.partition)) continue;
        try {
          checkPartitions(tail.topic, leads.length);
        } catch (cause) {
          this.#fail(tail, new RefusedError((cause as Error).message, { cause }));
          break;
        }
        this.#join({ tail, lane: new Lane(tail.places, lead.partition) }, lead);
      }
    }
  }
}

function endOf(bounds: ReadonlyMap<number, Bounds>): Position {
  const places = [...bounds].map(([partition, { end }]) => before(partition, end));
  return Position.of(...places.filter((place) => place !== undefined));
}
