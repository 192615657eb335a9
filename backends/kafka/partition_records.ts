/**
 * The records of one partition for a page, forwards or backwards.
 *
 * @module
 */

import type { Item } from "../../core/backend/contract.ts";
import type { Place } from "../../core/backend/position.ts";
import type { Cluster } from "./cluster.ts";
import { lengthOf } from "./headers.ts";
import { besideFetches, type FetchResponse, type Message } from "./kafkajs.ts";
import { boundsOf } from "./offsets.ts";
import { before, itemOf, type PartitionReader, placeOf } from "./partition_reader.ts";
import type { Lead } from "./topics.ts";

/** What is fetched at first, before anything is known of the records: so much, and more for each. */
const FIRST_FETCH = 64 * 1024;
const FIRST_RECORD = 256;

/** What a source needs to know. */
export interface SourceOptions {
  /** Where it reads. */
  readonly cluster: Cluster;
  /** The topic. */
  readonly topic: string;
  /** The partition. */
  readonly lead: Lead;
  /** The oldest offset. */
  readonly begin: number;
  /** Up to where it reads, exclusively. */
  readonly end: number;
  /** How many bytes it should fetch at once. */
  readonly share: number;
  /** How many records it will have to find, about. */
  readonly count: number;
}

/** A record, and when it was. */
interface Entry {
  readonly item: Item;
  readonly time: number;
}

/** What one fetch has brought. */
export interface Fetched {
  /** The records: a batch comes whole, also if it begins before the offset. */
  readonly messages: readonly Message[];
  /** The offset that the next record will have. */
  readonly end: number;
}

/** Fetches from one partition. Not with the tails: their long polls would hold up a page. */
export async function fetchOne(
  cluster: Cluster,
  topic: string,
  { partition, leader }: Lead,
  { offset, maxBytes }: { readonly offset: number; readonly maxBytes: number },
): Promise<Fetched> {
  const broker = besideFetches(await cluster.node(leader));
  const partitions = [{ partition, fetchOffset: String(offset), maxBytes }];
  const { responses }: FetchResponse = await cluster.request(() =>
    broker.fetch({ isolationLevel: 0, maxWaitTime: 0, maxBytes, topics: [{ topic, partitions }] })
  );
  const { messages, highWatermark } = responses[0]!.partitions[0]!;
  return { messages, end: Number(highWatermark) };
}

/** The records of a partition, in the order in which a page takes them. */
export abstract class Source {
  /** How much it has fetched. */
  bytes = 0;
  protected readonly options: SourceOptions;

  /** @param options What it needs to know. */
  constructor(options: SourceOptions) {
    this.options = options;
  }

  /** The next one. */
  protected abstract readonly next: Entry | undefined;
  /** Whether all that there is has been fetched. */
  protected abstract readonly isDone: boolean;

  /** Whether more has to be fetched before it is known what is next. */
  get isDry(): boolean {
    return !this.next && !this.isDone;
  }

  /** Whether it has something that comes before what another has. */
  abstract isBefore(other: Source | undefined): boolean;
  /** Takes what is next. */
  abstract shift(): Item;
  /** Fetches more; it may be still dry after that. */
  abstract fill(): Promise<void>;

  /** How many bytes are fetched at first, to find so many records. */
  protected first(count: number): number {
    return Math.min(this.options.share, FIRST_FETCH + FIRST_RECORD * count);
  }

  /** Counts what it brings. */
  protected async fetch(offset: number, maxBytes: number): Promise<Fetched> {
    const { cluster, topic, lead } = this.options;
    const { messages, end } = await fetchOne(cluster, topic, lead, { offset, maxBytes });
    for (const message of messages) this.bytes += lengthOf(message);
    return { messages, end };
  }
}

/** Behind a position, the oldest first. */
export class Forward extends Source {
  readonly #lane: PartitionReader;
  readonly #report: (items: readonly Item[]) => void;
  #entries: Entry[] = [];
  #index = 0;
  #end: number;

  /**
   * @param options What it needs to know.
   * @param lane Where it reads, after `seek`.
   * @param report Told of gaps with which the partition is begun anew.
   */
  constructor(
    options: SourceOptions,
    lane: PartitionReader,
    report: (items: readonly Item[]) => void,
  ) {
    super(options);
    this.#end = options.end;
    this.#lane = lane;
    this.#report = report;
  }

  protected get next(): Entry | undefined {
    return this.#entries[this.#index];
  }

  protected get isDone(): boolean {
    return this.#lane.offset >= this.#end;
  }

  /** The older one; a gap before everything. */
  isBefore(other: Source | undefined): boolean {
    const { next } = this;
    return next !== undefined && (!(other instanceof Forward) || next.time < other.next!.time);
  }

  /** Takes what is next. */
  shift(): Item {
    return this.#entries[this.#index++]!.item;
  }

  /** Fetches what follows. */
  async fill(): Promise<void> {
    const { cluster, topic, lead, share, count } = this.options;
    const lane = this.#lane;
    const { offset } = lane;
    const fetched = await this.fetch(offset, this.bytes === 0 ? this.first(count) : share);
    const items = lane.take(fetched.messages);
    if (!items) {
      const bounds = await boundsOf(cluster, topic, [lead]);
      this.#report(lane.seek(bounds.get(lead.partition)!, true));
      return;
    }
    // A leader that has just been elected may know of less.
    this.#end = Math.min(this.#end, Math.max(fetched.end, lane.offset));
    const times = new Map(fetched.messages.map((message) => [Number(message.offset), message]));
    const found = lane.offset > offset ? items : lane.miss(fetched.end);
    this.#index = 0;
    this.#entries = found.filter(({ place }) => !place || place.at < this.#end).map((item) => ({
      item,
      time: item.place ? timeOf(times.get(item.place.at)!) : -Infinity,
    }));
  }
}

/** Before a position, the newest first. */
export class Backward extends Source {
  /** Oldest first. */
  #entries: Entry[] = [];
  /** What lies before this was not fetched. */
  #lower: number;
  /** How many offsets are fetched at once. */
  #window: number;

  /** @param options What it needs to know. */
  constructor(options: SourceOptions) {
    super(options);
    this.#lower = options.end;
    // The one before them tells exactly what lies before the page.
    this.#window = options.count + 1;
  }

  protected get next(): Entry | undefined {
    return this.#entries.at(-1);
  }

  protected get isDone(): boolean {
    return this.#lower <= this.options.begin;
  }

  /** The place of the newest record that was not taken. */
  get place(): Place | undefined {
    return this.next?.item.place ?? before(this.options.lead.partition, this.#lower);
  }

  /** The time of that record, where it is known. */
  get time(): number {
    return this.next?.time ?? -1;
  }

  /** The newer one. */
  isBefore(other: Source | undefined): boolean {
    const { next } = this;
    return next !== undefined && (!(other instanceof Backward) || next.time >= other.next!.time);
  }

  /** Takes what is next. */
  shift(): Item {
    return this.#entries.pop()!.item;
  }

  /** Fetches what lies before; if that is too much, of less offsets. */
  async fill(): Promise<void> {
    const { begin, share, lead: { partition } } = this.options;
    const start = Math.max(begin, this.#lower - this.#window);
    const entries: Entry[] = [];
    const bytesBefore = this.bytes;
    let offset = start;
    let failures = 0;
    while (offset < this.#lower) {
      const maxBytes = offset === start ? this.first(this.#lower - start) : share;
      const { messages } = await this.fetch(offset, maxBytes);
      const asked = offset;
      for (const message of messages) {
        const place = placeOf(partition, message);
        if (place.at < offset) continue;
        offset = place.at + 1;
        if (place.at >= this.#lower) break;
        entries.push({ item: itemOf(message, place), time: timeOf(message) });
      }
      // What compaction has left of a batch of which it removed every record.
      if (offset === asked && ++failures > 2) offset++;
      if (offset < this.#lower && this.bytes - bytesBefore > share && this.#window > 1) {
        this.#window = Math.ceil(this.#window / 4);
        return;
      }
    }
    this.#lower = start;
    this.#entries.unshift(...entries);
    if (entries.length === 0) this.#window *= 2;
  }
}

function timeOf({ timestamp }: Message): number {
  return Number(timestamp ?? -1);
}
