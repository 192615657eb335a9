/**
 * The fetch loop to one broker, for all tails whose partitions it leads.
 *
 * @module
 */

import type { Cluster } from "../cluster.ts";
import { explain, means, unreadable } from "../errors.ts";
import { type Broker, fetchedOf, type FetchResponse, throttleTime } from "../kafkajs.ts";
import type { PartitionReader } from "../partition_reader.ts";
import type { Share, TopicTail } from "./tail.ts";

/** The maximum size of one partition in a fetch, in bytes. */
const MAX_FETCH = 1024 * 1024;
/** How long a fetch waits for the first record, in milliseconds. A new tail waits as long. */
const MAX_WAIT = 100;
/**
 * A topic cannot be deleted, created again and filled within this time, in milliseconds. If the
 * broker answers a fetch later, the last record is read again.
 */
const MAX_ABSENCE = 50;

/** One partition that a tail reads. */
export interface Cursor {
  readonly tail: TopicTail;
  readonly share: Share;
  readonly lane: PartitionReader;
}

/** The cursors at the same offset of a partition: one fetch serves them all. */
interface Group {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly cursors: Cursor[];
}

/** Options for fetches. */
export interface FetchesOptions {
  /** The cluster. */
  readonly cluster: Cluster;
  /** The id of the broker. */
  readonly leader: number;
  /** Whether a cursor is still wanted. */
  readonly isWanted: (cursor: Cursor) => boolean;
  /** Called with a cursor whose partition must be looked up again. */
  readonly onLeave: (cursor: Cursor) => void;
  /** Called with a cursor that cannot be read, and the reason. */
  readonly onFail: (cursor: Cursor, reason: unknown) => void;
  /** Whether nothing is fetched from this broker. The end of the connection is then not a loss. */
  readonly isIdle: () => boolean;
}

/**
 * Fetches from one broker, one after the other, for all cursors of the partitions that it leads.
 */
export class Fetches {
  readonly #options: FetchesOptions;
  readonly #cursors = new Set<Cursor>();
  /** The pending fetches. */
  #flight: Promise<void> | undefined;
  #broker: Broker | undefined;
  /** Ends the wait for a tail with room. */
  #awake: (() => void) | undefined;
  /** Whether the last fetches have returned records. */
  #isMoving = false;

  /** @param options Options for the fetches. */
  constructor(options: FetchesOptions) {
    this.#options = options;
  }

  /** Reads a partition, from the next fetch on. */
  add(cursor: Cursor): void {
    this.#cursors.add(cursor);
    this.wake();
  }

  /** Called when a tail has room again, or was cancelled. */
  wake(): void {
    this.#awake?.();
  }

  /** Resolves when the pending fetches are answered, unless a quota delays them. */
  async ping(): Promise<void> {
    const connection = this.#broker?.connectionPool.pool[1];
    if (connection && throttleTime(connection) > 0) return;
    await this.#flight;
  }

  /** Fetches until no cursor is left. `onEnd` is called before anything else can happen. */
  async run(onEnd: () => void): Promise<void> {
    const { cluster, leader, isWanted, isIdle, onFail } = this.#options;
    try {
      const broker = this.#broker = await cluster.node(leader);
      await cluster.openFetches(broker, isIdle);
      while (this.#cursors.size > 0) {
        cluster.signal.throwIfAborted();
        const hungry: Cursor[] = [];
        for (const cursor of this.#cursors) {
          if (!isWanted(cursor)) this.#cursors.delete(cursor);
          else if (cursor.tail.isHungry) hungry.push(cursor);
          // The topic may be deleted and created again while its tail has no room.
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

  /** A request can contain a partition once. Cursors at other offsets need another request. */
  async #turn(broker: Broker, hungry: readonly Cursor[]): Promise<void> {
    // The connection may have stalled, or this process may have been stopped.
    for (const { lane } of hungry) lane.beforeFetch(MAX_ABSENCE);
    const rounds = roundsOf(hungry);
    // A cursor with more to read does not wait for the others.
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
        for (const response of partitions) {
          const group = topics.get(topicName)?.get(response.partition);
          if (!group) continue;
          const fetched = fetchedOf(response);
          for (const cursor of group.cursors) {
            if (!isWanted(cursor)) continue;
            const { tail, share, lane } = cursor;
            if (lane.isDoubtful(maxWaitTime + MAX_ABSENCE)) continue;
            const taken = lane.take(fetched);
            const isStuck = taken.length === 0 && lane.offset === group.offset;
            const items = isStuck && isAlone ? lane.miss() : taken;
            tail.push(share, items);
            if (items.length > 0 || lane.offset !== group.offset) this.#isMoving = true;
            else if (!isAlone && lane.offset < fetched.end && !stuck.includes(group)) {
              stuck.push(group);
            }
          }
        }
      }
    } catch (error) {
      if (cluster.signal.aborted) throw error;
      // One partition fails the whole response. A request for each shows which one it is.
      if (isAlone) { for (const cursor of groups[0]!.cursors) this.#miss(cursor, error); }
      else stuck.push(...groups);
    }
    for (const group of stuck) await this.#fetch(broker, [group], 0);
  }

  /** Handles a partition that cannot be read here, since another broker may lead it now. */
  #miss(cursor: Cursor, error: unknown): void {
    this.#cursors.delete(cursor);
    const { onLeave, onFail } = this.#options;
    if (means(error, "moved") || means(error, "range")) onLeave(cursor);
    else onFail(cursor, unreadable(error));
  }
}

/** Groups the cursors into requests. */
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
