/**
 * The fetch loop to one broker, for all tails whose partitions it leads.
 *
 * @module
 */

import type { Cluster } from "../cluster.ts";
import { explain, hasMoved, isOutOfRange, unreadable } from "../errors.ts";
import type { Broker, FetchResponse } from "../kafkajs.ts";
import type { PartitionReader } from "../partition_reader.ts";
import type { Share, TopicTail } from "./tail.ts";

/** What a fetch brings of one partition, at most. */
const MAX_FETCH = 1024 * 1024;
/** How long a fetch waits for the first record: a tail that joins waits as long. */
const MAX_WAIT = 100;

/** How far a tail has read one partition. */
export interface Cursor {
  readonly tail: TopicTail;
  readonly share: Share;
  readonly lane: PartitionReader;
}

/** Those that stand at the same offset of a partition: one fetch serves them all. */
interface Group {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly cursors: Cursor[];
}

/** What fetches need to know. */
export interface FetchesOptions {
  /** Where they read. */
  readonly cluster: Cluster;
  /** Which broker they are from. */
  readonly leader: number;
  /** Whether a cursor is still wanted. */
  readonly isWanted: (cursor: Cursor) => boolean;
  /** Told of a cursor whose partition has to be looked for, and whether its records are others. */
  readonly onLeave: (cursor: Cursor, isOther: boolean) => void;
  /** Told of a cursor that cannot be read, and why. */
  readonly onFail: (cursor: Cursor, reason: unknown) => void;
  /** Whether there are none from this broker: then the end of their connection is no loss. */
  readonly isIdle: () => boolean;
}

/** One after the other, for all that is read of what the broker leads. */
export class Fetches {
  readonly #options: FetchesOptions;
  readonly #cursors = new Set<Cursor>();
  /** The fetch that is under way. */
  #flight: Promise<void> | undefined;
  /** Ends the waiting for a tail that takes more. */
  #awake: (() => void) | undefined;
  /** Whether the last fetch has brought anything. */
  #isMoving = false;

  /** @param options What they need to know. */
  constructor(options: FetchesOptions) {
    this.#options = options;
  }

  /** Reads a partition, from the next fetch on. */
  add(cursor: Cursor): void {
    this.#cursors.add(cursor);
    this.wake();
  }

  /** A tail takes more, or none does any more. */
  wake(): void {
    this.#awake?.();
  }

  /** Resolves when the fetch that is under way is answered. */
  async ping(): Promise<void> {
    await this.#flight;
  }

  /** Fetches until nothing is wanted any more, and tells so before anything else can happen. */
  async run(onEnd: () => void): Promise<void> {
    const { cluster, leader, isWanted, isIdle, onFail } = this.#options;
    try {
      const broker = await cluster.node(leader);
      await cluster.openFetches(broker, isIdle);
      while (this.#cursors.size > 0) {
        cluster.signal.throwIfAborted();
        const hungry: Cursor[] = [];
        for (const cursor of this.#cursors) {
          if (!isWanted(cursor)) this.#cursors.delete(cursor);
          else if (cursor.tail.isHungry) hungry.push(cursor);
          // While nobody looks, the topic may be deleted and made again.
          else cursor.lane.rewind();
        }
        if (hungry.length > 0) {
          this.#flight = this.#turn(broker, hungry);
          await this.#flight;
        } else if (this.#cursors.size > 0) {
          this.#flight = undefined;
          await new Promise<void>((resolve) => this.#awake = resolve);
          this.#awake = undefined;
        }
      }
    } catch (error) {
      for (const cursor of this.#cursors) onFail(cursor, explain(error));
    } finally {
      onEnd();
    }
  }

  /** A request asks for a partition once: those who stand elsewhere have another. */
  async #turn(broker: Broker, hungry: readonly Cursor[]): Promise<void> {
    const rounds = roundsOf(hungry);
    // Who is behind does not wait for news of the others.
    const wait = rounds.length > 1 && this.#isMoving ? 0 : MAX_WAIT;
    this.#isMoving = false;
    for (const round of rounds) await this.#fetch(broker, round, wait);
  }

  async #fetch(broker: Broker, groups: readonly Group[], maxWaitTime: number): Promise<void> {
    const { cluster, isWanted } = this.#options;
    const topics = new Map<string, Map<number, Group>>();
    for (const group of groups) {
      const partitions = topics.get(group.topic) ?? new Map();
      topics.set(group.topic, partitions.set(group.partition, group));
    }
    const request = [...topics].map(([topic, partitions]) => ({
      topic,
      partitions: [...partitions.values()].map(({ partition, offset }) => ({
        partition,
        fetchOffset: String(offset),
        maxBytes: MAX_FETCH,
      })),
    }));
    const isAlone = groups.length === 1;
    const stuck: Group[] = [];
    try {
      const { responses }: FetchResponse = await cluster.request(() =>
        broker.fetch({ isolationLevel: 0, maxWaitTime, maxBytes: 8 * MAX_FETCH, topics: request })
      );
      for (const { topicName, partitions } of responses) {
        for (const { partition, highWatermark, messages } of partitions) {
          const group = topics.get(topicName)?.get(partition);
          if (!group) continue;
          const head = Number(highWatermark);
          for (const cursor of group.cursors) {
            if (!isWanted(cursor)) continue;
            const { tail, share, lane } = cursor;
            lane.head = head;
            const items = lane.take(messages);
            if (!items) this.#leave(cursor, true);
            else if (lane.offset > group.offset) tail.push(share, items);
            else if (isAlone) tail.push(share, lane.miss(head));
            else if (lane.offset < head && !stuck.includes(group)) stuck.push(group);
            if (lane.offset > group.offset) this.#isMoving = true;
          }
        }
      }
    } catch (error) {
      if (cluster.signal.aborted) throw error;
      // One partition fails the response as a whole: it is found by asking for each.
      if (isAlone) { for (const cursor of groups[0]!.cursors) this.#miss(cursor, error); }
      else stuck.push(...groups);
    }
    for (const group of stuck) await this.#fetch(broker, [group], 0);
  }

  /** A partition that cannot be read here: another broker may lead it by now. */
  #miss(cursor: Cursor, error: unknown): void {
    if (hasMoved(error) || isOutOfRange(error)) return this.#leave(cursor, false);
    this.#cursors.delete(cursor);
    this.#options.onFail(cursor, unreadable(error));
  }

  #leave(cursor: Cursor, isOther: boolean): void {
    this.#cursors.delete(cursor);
    this.#options.onLeave(cursor, isOther);
  }
}

/** Cursors by what can be asked for in one request. */
function roundsOf(cursors: readonly Cursor[]): readonly (readonly Group[])[] {
  const partitions = new Map<string, Group[]>();
  for (const cursor of cursors) {
    const { share: { topic }, lane: { partition, offset } } = cursor;
    const key = `${topic}:${partition}`;
    const groups = partitions.get(key);
    const group = groups?.find((group) => group.offset === offset);
    if (group) group.cursors.push(cursor);
    else {
      const added = { topic, partition, offset, cursors: [cursor] };
      if (groups) groups.push(added);
      else partitions.set(key, [added]);
    }
  }
  const rounds: Group[][] = [];
  for (const groups of partitions.values()) {
    groups.forEach((group, index) => (rounds[index] ??= []).push(group));
  }
  return rounds;
}
