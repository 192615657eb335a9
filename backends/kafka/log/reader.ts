/**
 * Reads topics without a consumer group. Joining a group takes seconds for each new channel, leaves
 * groups on the broker, and needs rights that users may not have.
 *
 * @module
 */

import type { Target } from "../../../core/backend/contract.ts";
import { ConnectionError, RefusedError } from "../../../core/backend/errors.ts";
import type { Renewable } from "../../../core/backend/kit/renewed_connection.ts";
import type { Pattern } from "../../../core/backend/pattern.ts";
import { Position } from "../../../core/backend/position.ts";
import { quote } from "../../../core/util/quote.ts";
import type { Cluster } from "../cluster.ts";
import { closedError, explain, means } from "../errors.ts";
import { type Bounds, boundsOf, checkPartitions, endsOf } from "../offsets.ts";
import { before, breakOfMissing, breaksOfMissing, PartitionReader } from "../partition_reader.ts";
import { fetchOne } from "../partition_records.ts";
import { isMatch, type Lead } from "../topics.ts";
import { type Cursor, Fetches } from "./fetches.ts";
import { TopicTail } from "./tail.ts";

/** The interval for using connections, to keep them open, and for looking up partitions. */
const REFRESH = 30_000;
/** The interval at which topics are listed for patterns, in milliseconds. */
const LISTING = 1_000;
/** The minimum of that interval, as a multiple of the time that listing takes. */
const LISTING_SHARE = 20;

/** Reads the topics of all tails, with one fetch loop for each leader. */
export class Reader implements Renewable {
  /** The cluster. */
  readonly cluster: Cluster;
  readonly #tails = new Set<TopicTail>();
  readonly #fetches = new Map<number, Fetches>();
  readonly #runs = new Set<Promise<void>>();
  /** The tails of patterns, for which topics are listed. */
  readonly #patterns = new Set<TopicTail>();
  #isListing = false;

  /**
   * @param cluster The connected cluster.
   * @param refresh The interval for using connections and finding new partitions, in milliseconds.
   */
  constructor(cluster: Cluster, refresh: number = REFRESH) {
    this.cluster = cluster;
    const timer = setInterval(() => void this.#refresh().catch(() => {}), refresh);
    cluster.topics.onFound = (topic, leads) => this.#show(topic, leads);
    cluster.signal.addEventListener("abort", () => {
      clearInterval(timer);
      for (const tail of this.#tails) tail.fail(cluster.signal.reason);
      this.#wake();
    }, { once: true });
  }

  /** Reads a topic after a position, or from its end. */
  tail(topic: string, after?: Position): Promise<TopicTail> {
    const { cluster } = this;
    return this.#settle(async () => {
      const leads = await cluster.topics.leads(topic, true);
      checkPartitions(topic, leads.length);
      const bounds = await boundsOf(cluster, topic, leads);
      await checkRight(cluster, topic, leads, bounds);
      const position = after ?? endOf(bounds);
      const tail = this.#open(topic, position);
      const share = tail.add(topic);
      if (after) tail.push(share, breaksOfMissing(after, leads));
      for (const lead of leads) {
        const { partition } = lead;
        const lane = new PartitionReader(partition, position.in(partition));
        if (after) tail.push(share, lane.seek(bounds.get(partition)!));
        this.#join({ tail, share, lane }, lead);
      }
      return tail;
    });
  }

  /** Reads every matching topic from its end, and topics that appear later from their start. */
  tailAll(pattern: Pattern): Promise<TopicTail> {
    const { cluster } = this;
    return this.#settle(async () => {
      const all = await cluster.topics.all();
      const topics = new Map([...all].filter(([topic]) => isMatch(pattern, topic)));
      for (const [topic, leads] of topics) {
        // A topic without a leader is being created, or has lost its leader. The lookup rejects
        // until there is one.
        if (!isLed(leads)) topics.set(topic, await cluster.topics.look(topic));
      }
      const ends = await endsOf(cluster, topics);
      const tail = this.#open(pattern);
      for (const [topic, leads] of topics) {
        const offsets = ends.get(topic)!;
        const share = tail.add(topic);
        for (const lead of leads) {
          const { partition } = lead;
          const lane = new PartitionReader(partition, before(partition, offsets.get(partition)!));
          this.#join({ tail, share, lane }, lead);
        }
      }
      if (!this.#isListing) this.#track(this.#list());
      return tail;
    });
  }

  /** Resolves when every pending fetch is answered. */
  async ping(): Promise<void> {
    await Promise.all([...this.#fetches.values()].map((fetches) => fetches.ping()));
  }

  /** Whether the connections are lost. */
  get lost(): boolean {
    return this.cluster.signal.aborted;
  }

  /** Ends the connections. Resolves when the sockets are closed, and nothing runs any more. */
  async close(): Promise<void> {
    this.cluster.end(closedError());
    await Promise.all(this.#runs);
    await this.cluster.shut();
  }

  async #settle(open: () => Promise<TopicTail>): Promise<TopicTail> {
    try {
      return await this.cluster.settle(open);
    } catch (error) {
      throw explain(error);
    }
  }

  #open(target: Target, position?: Position): TopicTail {
    const tail: TopicTail = new TopicTail({
      target,
      position,
      wake: () => this.#wake(),
      cancel: () => this.#remove(tail),
    });
    this.#tails.add(tail);
    if (typeof target !== "string") this.#patterns.add(tail);
    return tail;
  }

  #remove(tail: TopicTail): void {
    this.#tails.delete(tail);
    this.#patterns.delete(tail);
  }

  #join(cursor: Cursor, { partition, leader }: Lead): void {
    cursor.share.partitions.add(partition);
    this.#read(cursor, leader);
  }

  #read(cursor: Cursor, leader: number): void {
    let fetches = this.#fetches.get(leader);
    if (!fetches) {
      const started = fetches = new Fetches({
        cluster: this.cluster,
        leader,
        isIdle: () => !this.#fetches.has(leader),
        isWanted: ({ tail }) => this.#tails.has(tail),
        onLeave: (cursor) => this.#track(this.#follow(cursor)),
        onFail: (cursor, reason) => this.#fail(cursor, reason),
      });
      this.#fetches.set(leader, started);
      started.add(cursor);
      this.#track(started.run(() => this.#fetches.delete(leader)));
    } else fetches.add(cursor);
  }

  #track(run: Promise<void>): void {
    const ended = run.catch(() => {}).then(() => void this.#runs.delete(ended));
    this.#runs.add(ended);
  }

  #wake(): void {
    for (const fetches of this.#fetches.values()) fetches.wake();
  }

  /** Looks up the leader of a partition, and whether the last record is still there. */
  async #follow(cursor: Cursor): Promise<void> {
    const { cluster } = this;
    const { tail, share, lane: { partition } } = cursor;
    const { topic } = share;
    try {
      await cluster.pause(50);
      await cluster.settle(async () => {
        const lead = (await cluster.topics.look(topic)).find((lead) =>
          lead.partition === partition
        );
        if (!lead) throw new ConnectionError(`partition ${partition} of ${quote(topic)} is gone`);
        const bounds = await boundsOf(cluster, topic, [lead]);
        tail.push(share, cursor.lane.seek(bounds.get(partition)!));
        this.#read(cursor, lead.leader);
      }, 2_000);
    } catch (error) {
      if (means(error, "gone") && this.#patterns.has(tail)) this.#drop(cursor);
      else this.#fail(cursor, error);
    }
  }

  /** Removes a deleted topic from a pattern, without a gap if it was read to its end. */
  #drop({ tail, share, lane }: Cursor): void {
    const { isBehind, partition } = lane;
    if (isBehind) tail.push(share, [breakOfMissing(partition)]);
    share.partitions.delete(lane.partition);
    if (share.partitions.size === 0) tail.shares.delete(share.topic);
  }

  #fail({ tail, share: { topic } }: Cursor, reason: unknown): void {
    const isNameless = this.#patterns.has(tail) && reason instanceof RefusedError;
    this.#remove(tail);
    tail.fail(
      isNameless
        ? new RefusedError(`topic ${quote(topic)}: ${reason.message}`, { cause: reason.cause })
        : reason,
    );
  }

  async #refresh(): Promise<void> {
    const { cluster } = this;
    await cluster.ping();
    cluster.topics.forget();
    for (const tail of this.#tails) {
      if (typeof tail.target !== "string") continue;
      const leads = await cluster.topics.look(tail.target).catch(() => []);
      if (this.#tails.has(tail)) this.#grow(tail, tail.target, leads);
    }
  }

  /** Lists the topics repeatedly, as long as there are patterns. */
  async #list(): Promise<void> {
    const { cluster } = this;
    this.#isListing = true;
    try {
      for (let wait = LISTING; this.#patterns.size > 0;) {
        await cluster.pause(wait);
        const start = performance.now();
        for (const [topic, leads] of await cluster.topics.all()) this.#show(topic, leads);
        wait = Math.max(LISTING, LISTING_SHARE * (performance.now() - start));
      }
    } catch (error) {
      for (const tail of this.#patterns) {
        this.#remove(tail);
        tail.fail(explain(error));
      }
    } finally {
      this.#isListing = false;
    }
  }

  /** Makes the matching patterns read the new partitions of a topic. */
  #show(topic: string, leads: readonly Lead[]): void {
    for (const tail of this.#patterns) {
      if (isMatch(tail.target as Pattern, topic)) this.#grow(tail, topic, leads);
    }
  }

  /** Reads the new partitions of a topic from their start. */
  #grow(tail: TopicTail, topic: string, leads: readonly Lead[]): void {
    for (const lead of leads) {
      if (lead.leader < 0 || tail.shares.get(topic)?.partitions.has(lead.partition)) continue;
      const share = tail.shares.get(topic) ?? tail.add(topic);
      const lane = new PartitionReader(lead.partition);
      try {
        if (typeof tail.target === "string") checkPartitions(topic, leads.length);
      } catch (cause) {
        const refused = new RefusedError((cause as Error).message, { cause });
        return this.#fail({ tail, share, lane }, refused);
      }
      this.#join({ tail, share, lane }, lead);
    }
  }
}

/** Rejects if the topic may be described, but not read. */
async function checkRight(
  cluster: Cluster,
  topic: string,
  leads: readonly Lead[],
  bounds: ReadonlyMap<number, Bounds>,
): Promise<void> {
  try {
    await Promise.all(leads.map((lead) => {
      const offset = bounds.get(lead.partition)!.end;
      return fetchOne(cluster, topic, lead, { offset, maxBytes: 1 });
    }));
  } catch (error) {
    // The partition was set back just now. Its tail will detect this.
    if (!means(error, "range")) throw error;
  }
}

function endOf(bounds: ReadonlyMap<number, Bounds>): Position {
  const places = [...bounds].map(([partition, { end }]) => before(partition, end));
  return Position.of(...places.filter((place) => place !== undefined));
}

function isLed(leads: readonly Lead[]): boolean {
  return leads.length > 0 && leads.every(({ leader }) => leader >= 0);
}
