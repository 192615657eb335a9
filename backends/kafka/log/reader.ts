/**
 * Reads topics without a consumer group: joining one costs seconds for each new
 * channel, leaves groups behind, and needs rights that users lack.
 *
 * @module
 */

import type { Target } from "../../../core/backend/contract.ts";
import { ConnectionError, RefusedError } from "../../../core/backend/errors.ts";
import type { Pattern } from "../../../core/backend/pattern.ts";
import { Position } from "../../../core/backend/position.ts";
import type { Cluster } from "../cluster.ts";
import { explain, isGone } from "../errors.ts";
import { boundsOf, checkPartitions, endsOf } from "../offsets.ts";
import { before, PartitionReader } from "../partition_reader.ts";
import { isMatch, type Lead } from "../topics.ts";
import { type Cursor, Fetches } from "./fetches.ts";
import { TopicTail } from "./tail.ts";

/** How often connections are used, which keeps them open, and new partitions looked for. */
const REFRESH = 30_000;
/** How often topics are listed for patterns, and how many times longer that may not take. */
const LISTING = 1_000;
const LISTING_SHARE = 20;

/** Reads the topics of all tails, in one loop of fetches for each leader. */
export class Reader {
  /** Where it reads. */
  readonly cluster: Cluster;
  readonly #tails = new Set<TopicTail>();
  readonly #fetches = new Map<number, Fetches>();
  readonly #runs = new Set<Promise<void>>();
  /** The tails of patterns among them, for which topics are listed. */
  readonly #patterns = new Set<TopicTail>();
  #isListing = false;

  /**
   * A reader of nothing yet.
   *
   * @param cluster Where it reads.
   * @param refresh How often connections are used and new partitions looked for, in milliseconds.
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

  /** Reads a topic behind a position, or from its end. */
  tail(topic: string, after?: Position): Promise<TopicTail> {
    const { cluster } = this;
    return this.#settle(async () => {
      const leads = await cluster.topics.leads(topic, true);
      checkPartitions(topic, leads.length);
      const bounds = await boundsOf(cluster, topic, leads);
      const position = after ?? endOf(new Map([...bounds].map(([shard, { end }]) => [shard, end])));
      const tail = this.#open(topic, position);
      const share = tail.add(topic, position);
      for (const lead of leads) {
        const lane = new PartitionReader(share.places, lead.partition);
        const { begin, end } = bounds.get(lead.partition)!;
        if (after) tail.push(share, lane.seek({ begin, end }));
        else lane.offset = end;
        this.#join({ tail, share, lane }, lead);
      }
      return tail;
    });
  }

  /** Reads every topic that matches from its end, and what appears later from its start. */
  tailAll(pattern: Pattern): Promise<TopicTail> {
    const { cluster } = this;
    return this.#settle(async () => {
      const all = await cluster.topics.all();
      const topics = new Map([...all].filter(([topic]) => isMatch(pattern, topic)));
      for (const [topic, leads] of topics) {
        // It is being made, or has lost a leader: this rejects until there is one.
        if (!isLed(leads)) topics.set(topic, await cluster.topics.look(topic));
      }
      const ends = await endsOf(cluster, topics);
      const tail = this.#open(pattern);
      for (const [topic, leads] of topics) {
        const offsets = ends.get(topic)!;
        const share = tail.add(topic, endOf(offsets));
        for (const lead of leads) {
          const lane = new PartitionReader(share.places, lead.partition);
          lane.offset = offsets.get(lead.partition)!;
          this.#join({ tail, share, lane }, lead);
        }
      }
      if (!this.#isListing) this.#track(this.#list());
      return tail;
    });
  }

  /** Resolves when every fetch that is under way is answered. */
  async ping(): Promise<void> {
    await Promise.all([...this.#fetches.values()].map((fetches) => fetches.ping()));
  }

  /** Resolves when nothing runs any more, after the connections have ended. */
  async ended(): Promise<void> {
    await Promise.all(this.#runs);
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
        onLeave: (cursor, isOther) => this.#track(this.#follow(cursor, isOther)),
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

  /** Looks where a partition is, and whether it still has what was read of it. */
  async #follow(cursor: Cursor, isOther: boolean): Promise<void> {
    const { cluster } = this;
    const { tail, share, lane: { partition } } = cursor;
    const { topic } = share;
    try {
      await cluster.pause(50);
      await cluster.settle(async () => {
        const lead = (await cluster.topics.look(topic)).find((lead) =>
          lead.partition === partition
        );
        if (!lead) throw new ConnectionError(`partition ${partition} of "${topic}" is gone`);
        const bounds = await boundsOf(cluster, topic, [lead]);
        tail.push(share, cursor.lane.seek(bounds.get(partition)!, isOther));
        this.#read(cursor, lead.leader);
      }, 2_000);
    } catch (error) {
      if (isGone(error) && this.#patterns.has(tail)) this.#drop(cursor);
      else this.#fail(cursor, error);
    }
  }

  /** A pattern goes on without a topic that was deleted. */
  #drop({ tail, share, lane }: Cursor): void {
    if (lane.isBehind) tail.push(share, [{ cause: "trimmed" }]);
    share.places.reset(lane.partition, 0);
    share.partitions.delete(lane.partition);
    if (share.partitions.size === 0) tail.shares.delete(share.topic);
  }

  #fail({ tail, share: { topic } }: Cursor, reason: unknown): void {
    const isNameless = this.#patterns.has(tail) && reason instanceof RefusedError;
    this.#remove(tail);
    tail.fail(
      isNameless
        ? new RefusedError(`topic "${topic}": ${reason.message}`, { cause: reason.cause })
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

  /** Lists the topics again and again, as long as there are patterns. */
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

  /** There is a topic: the patterns that match it read what they do not have of it. */
  #show(topic: string, leads: readonly Lead[]): void {
    for (const tail of this.#patterns) {
      if (isMatch(tail.target as Pattern, topic)) this.#grow(tail, topic, leads);
    }
  }

  /** Reads from their start those partitions of a topic that are new. */
  #grow(tail: TopicTail, topic: string, leads: readonly Lead[]): void {
    for (const lead of leads) {
      if (lead.leader < 0 || tail.shares.get(topic)?.partitions.has(lead.partition)) continue;
      const share = tail.shares.get(topic) ?? tail.add(topic, Position.start);
      const lane = new PartitionReader(share.places, lead.partition);
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

function endOf(ends: ReadonlyMap<number, number>): Position {
  const places = [...ends].map(([partition, end]) => before(partition, end));
  return Position.of(...places.filter((place) => place !== undefined));
}

function isLed(leads: readonly Lead[]): boolean {
  return leads.length > 0 && leads.every(({ leader }) => leader >= 0);
}
