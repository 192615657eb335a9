/**
 * The records of one partition for a page, forwards or backwards.
 *
 * @module
 */

import type { BackendRecord, Item, SkippedRecord } from "../../core/backend/contract.ts";
import type { Place } from "../../core/backend/position.ts";
import type { Cluster } from "./cluster.ts";
import { lengthOf } from "./headers.ts";
import {
  besideFetches,
  type Fetched,
  fetchedOf,
  type FetchResponse,
  type Message,
} from "./kafkajs.ts";
import type { Bounds } from "./offsets.ts";
import { before, itemOf, type PartitionReader, placeOf } from "./partition_reader.ts";
import type { Lead } from "./topics.ts";

/**
 * The size of a first fetch, in bytes: a minimum, and an addition for each record, whose size is
 * unknown.
 */
const FIRST_FETCH = 64 * 1024;
const FIRST_RECORD = 256;

/** Options for a source. */
export interface SourceOptions {
  /** The cluster. */
  readonly cluster: Cluster;
  /** The topic. */
  readonly topic: string;
  /** The partition. */
  readonly lead: Lead;
  /** The oldest stored offset. */
  readonly begin: number;
  /** The exclusive end offset. */
  readonly end: number;
  /** The size of one fetch, in bytes. */
  readonly share: number;
  /** The approximate number of records to find. */
  readonly count: number;
}

/** An item, and the time of its record. */
export interface Entry<Kind extends Item = Item> {
  readonly item: Kind;
  /** `-Infinity` for an item that comes before all records, and does not count as one. */
  readonly time: number;
}

/**
 * Fetches from one partition, but not over the connection of the tails, whose long polls would
 * delay a page.
 */
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
  return fetchedOf(responses[0]!.partitions[0]!);
}

/** The records of a partition, in the order in which a page takes them. */
export abstract class Source {
  /** The number of fetched bytes. */
  bytes = 0;
  protected readonly options: SourceOptions;

  /** @param options Options for the source. */
  constructor(options: SourceOptions) {
    this.options = options;
  }

  /** The next entry. */
  protected abstract readonly next: Entry | undefined;
  /** Whether everything has been fetched. */
  protected abstract readonly isDone: boolean;

  /** Whether more has to be fetched before the next entry is known. */
  get isDry(): boolean {
    return !this.next && !this.isDone;
  }

  /** Whether the next entry comes before the next entry of another source. */
  abstract isBefore(other: Source | undefined): boolean;
  /** Takes the next entry. */
  abstract shift(): Entry;
  /** Fetches more. The source may still be dry after that. */
  abstract fill(): Promise<void>;

  /** The size of the first fetch for a number of records, in bytes. */
  protected first(count: number): number {
    return Math.min(this.options.share, FIRST_FETCH + FIRST_RECORD * count);
  }

  /** Fetches, and counts the bytes. */
  protected async fetch(offset: number, maxBytes: number): Promise<Fetched> {
    const { cluster, topic, lead } = this.options;
    const fetched = await fetchOne(cluster, topic, lead, { offset, maxBytes });
    for (const message of fetched.messages) this.bytes += lengthOf(message);
    return fetched;
  }
}

/** The records after a position, the oldest first. */
export class Forward extends Source {
  readonly #lane: PartitionReader;
  #entries: readonly Entry[];
  #index = 0;
  #end: number;

  /**
   * @param options Options for the source.
   * @param lane Reads the partition.
   * @param bounds The offsets that are stored.
   */
  constructor(options: SourceOptions, lane: PartitionReader, bounds: Bounds) {
    super(options);
    this.#end = options.end;
    this.#lane = lane;
    this.#entries = this.#entriesOf(lane.seek(bounds));
  }

  protected get next(): Entry | undefined {
    return this.#entries[this.#index];
  }

  protected get isDone(): boolean {
    return this.#lane.offset >= this.#end;
  }

  /** The older entry comes first. */
  isBefore(other: Source | undefined): boolean {
    const { next } = this;
    return next !== undefined && (!(other instanceof Forward) || next.time < other.next!.time);
  }

  /** Takes the next entry. */
  shift(): Entry {
    return this.#entries[this.#index++]!;
  }

  /** Fetches the next records. */
  async fill(): Promise<void> {
    const { share, count } = this.options;
    const lane = this.#lane;
    const { offset } = lane;
    const fetched = await this.fetch(offset, this.bytes === 0 ? this.first(count) : share);
    const items = lane.take(fetched);
    // A newly elected leader may know of fewer records.
    this.#end = Math.min(this.#end, Math.max(fetched.end, lane.offset));
    const isStuck = items.length === 0 && lane.offset === offset;
    this.#index = 0;
    this.#entries = this.#entriesOf(isStuck ? lane.miss() : items, fetched.messages);
  }

  #entriesOf(items: readonly Item[], messages: readonly Message[] = []): Entry[] {
    const times = new Map(messages.map((message) => [Number(message.offset), timeOf(message)]));
    const entries: Entry[] = [];
    for (const item of items) {
      const place = "place" in item ? item.place : undefined;
      if (place && place.at >= this.#end) continue;
      entries.push({ item, time: (place && times.get(place.at)) ?? -Infinity });
    }
    return entries;
  }
}

/** The records before a position, the newest first. */
export class Backward extends Source {
  /** Oldest first. */
  #entries: Entry<BackendRecord | SkippedRecord>[] = [];
  /** The lowest offset that was fetched. */
  #lower: number;
  /** The number of offsets that are fetched at once. */
  #window: number;

  /** @param options Options for the source. */
  constructor(options: SourceOptions) {
    super(options);
    this.#lower = options.end;
    // One more than the page needs. The record before the page gives the exact place before the
    // page.
    this.#window = options.count + 1;
  }

  protected get next(): Entry<BackendRecord | SkippedRecord> | undefined {
    return this.#entries.at(-1);
  }

  protected get isDone(): boolean {
    return this.#lower <= this.options.begin;
  }

  /** The place of the newest record that was not taken. */
  get place(): Place | undefined {
    return this.next?.item.place ?? before(this.options.lead.partition, this.#lower);
  }

  /** The time of that record, if known. */
  get time(): number {
    return this.next?.time ?? -1;
  }

  /** The newer entry comes first. */
  isBefore(other: Source | undefined): boolean {
    const { next } = this;
    return next !== undefined && (!(other instanceof Backward) || next.time >= other.next!.time);
  }

  /** Takes the next entry. */
  shift(): Entry {
    return this.#entries.pop()!;
  }

  /** Fetches earlier records, from fewer offsets if they have too many bytes. */
  async fill(): Promise<void> {
    const { begin, share, lead: { partition } } = this.options;
    const start = Math.max(begin, this.#lower - this.#window);
    const entries: Entry<BackendRecord | SkippedRecord>[] = [];
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
      // Compaction has removed all remaining records of a batch.
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
