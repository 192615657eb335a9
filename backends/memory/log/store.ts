/**
 * The logs of all channels, in memory.
 *
 * @module
 */

import type {
  BackendRecord,
  Item,
  OutgoingPayload,
  Page,
  ReadOptions,
  Target,
} from "../../../core/backend/contract.ts";
import type { Pattern } from "../../../core/backend/pattern.ts";
import { type Place, Position } from "../../../core/backend/position.ts";
import { random } from "../../../core/util/random.ts";
import { MemoryLog, type Stored } from "./channel.ts";
import { Keys } from "./keys.ts";

/** The limit of all logs together, in bytes. */
const BYTES = 64 * 1024 * 1024;

/** Holds the logs of all channels, and the common order of their records. */
export class MemoryStore {
  readonly #count: number;
  readonly #epoch = random();
  /** The logs by channel, least recently published first. */
  readonly #logs = new Map<string, MemoryLog>();
  readonly #keys = new Keys();
  readonly #isHeard: (channel: string) => boolean;
  #bytes = 0;
  /** The number of records added so far. */
  #orders = 0;
  /** The log that was published to most recently. */
  #newest: MemoryLog | undefined;
  /** The `order` of the newest record of all deleted logs. */
  #forgotten = 0;
  /**
   * The shared log of all channels without records. Reading a channel does not create a log, since
   * untrusted clients may read any name. A new log takes over the epoch of this one. When a log is
   * deleted, this one is replaced, so that the next log of that channel has another epoch.
   */
  #empty: MemoryLog;

  /**
   * @param count The number of records to keep for each channel.
   * @param isHeard Returns `true` if a channel has a tail. Its log is then trimmed, not deleted.
   */
  constructor(count: number, isHeard: (channel: string) => boolean) {
    this.#count = count;
    this.#isHeard = isHeard;
    this.#empty = new MemoryLog(count);
  }

  /** The position after the newest record of a channel, or of all channels. */
  endOf(target: Target): Position {
    return typeof target === "string"
      ? this.#log(target).end
      : Position.of(this.#place(this.#orders));
  }

  #log(channel: string): MemoryLog {
    return this.#logs.get(channel) ?? this.#empty;
  }

  #create(channel: string): MemoryLog {
    const log = new MemoryLog(this.#count, this.#empty.epoch);
    this.#logs.set(channel, log);
    this.#bytes += log.bytes;
    return log;
  }

  /**
   * Adds a message unless its key is known, then frees memory if the limit is exceeded.
   *
   * @returns The record, if one was added, and the position of the message.
   */
  push(message: OutgoingPayload): { readonly record?: Stored; readonly position: Position } {
    const { channel, once } = message;
    const timestamp = Date.now();
    const known = once && this.#keys.find(channel, once, timestamp);
    if (known) return { position: known };
    const log = this.#logs.get(channel) ?? this.#create(channel);
    if (this.#newest !== log) {
      // Moved to the end, since logs are evicted in this order.
      this.#logs.delete(channel);
      this.#logs.set(channel, log);
      this.#newest = log;
    }
    this.#bytes -= log.bytes;
    const record = log.push(message, timestamp, ++this.#orders);
    this.#bytes += log.bytes;
    const position = Position.of(record.place);
    if (once) this.#keys.add(channel, once, position, timestamp);
    if (this.#bytes > BYTES) this.#forget();
    return { record, position };
  }

  /** A record as delivered to patterns: with its channel, and its place among all records. */
  amongAll(
    { payload, headers, timestamp, order }: Stored,
    channel: string,
  ): BackendRecord & { readonly place: Place } {
    return { kind: "record", payload, headers, timestamp, channel, place: this.#place(order) };
  }

  /** Reads a page of a channel, or of all channels that match a pattern. */
  read(target: Target, options: ReadOptions): Page {
    return typeof target === "string"
      ? this.#log(target).read(options)
      : this.#readAll(target, options);
  }

  /** Reads a page of all channels that match a pattern, in the order of publishing. */
  #readAll(pattern: Pattern, { after, before, limit }: ReadOptions): Page {
    const items: Item[] = [];
    const logs = [...this.#logs].filter(([channel]) => pattern.matches(channel));
    const forgotten = Math.max(this.#forgotten, ...logs.map(([, log]) => log.forgotten));
    let from = 0;
    if (after) {
      const { at, fingerprint } = after.newest ?? { at: 0, fingerprint: this.#epoch };
      const recreated = fingerprint !== this.#epoch;
      if (!recreated && at <= this.#orders) from = at;
      if (recreated || at > this.#orders || at < forgotten) {
        const head = this.#place(this.#orders);
        items.push({ kind: "break", recreated, head, removed: "some" });
      }
    }
    const { at: end, fingerprint } = before?.newest ?? { at: Infinity, fingerprint: this.#epoch };
    const records = logs.flatMap(([channel, log]) =>
      recordsIn(log, from, fingerprint === this.#epoch ? end : 0, after ? limit : -limit)
        .map((stored) => this.amongAll(stored, channel))
    ).sort((one, other) => one.place.at - other.place.at);
    const page = after ? records.slice(0, limit) : records.slice(-limit);
    if (items.length > 0 && page.length === 0 && !before) {
      items.push({ kind: "skip", place: this.#place(this.#orders) });
    }
    const first = page[0]?.place?.at ?? Math.min(end, this.#orders + 1);
    return { from: after ?? Position.of(this.#place(first - 1)), items: [...items, ...page] };
  }

  /** Removes all logs and keys. */
  clear(): void {
    this.#logs.clear();
    this.#newest = undefined;
    this.#keys.clear();
    this.#bytes = 0;
    this.#empty = new MemoryLog(this.#count);
  }

  #place(at: number): Place {
    return { shard: 0, at, sub: 0, fingerprint: this.#epoch };
  }

  /** Frees memory. A log without a tail is deleted, and recreated when it is used again. */
  #forget(): void {
    for (const [channel, log] of this.#logs) {
      if (this.#bytes <= BYTES) return;
      this.#bytes -= log.bytes;
      if (this.#isHeard(channel)) {
        log.trim(this.#bytes + log.bytes - BYTES);
        this.#bytes += log.bytes;
        continue;
      }
      const { records, forgotten } = log;
      const newest = records.head > records.oldest ? records.at(records.head - 1).order : forgotten;
      this.#forgotten = Math.max(this.#forgotten, newest);
      this.#logs.delete(channel);
      this.#empty = new MemoryLog(this.#count);
    }
  }
}

/**
 * Up to `count` records between two orders: the first ones, or the last ones if `count` is
 * negative.
 */
function recordsIn({ records }: MemoryLog, after: number, before: number, count: number): Stored[] {
  const start = firstWhere(records.oldest, records.head, (at) => records.at(at).order > after);
  const end = firstWhere(start, records.head, (at) => records.at(at).order >= before);
  const first = count < 0 ? Math.max(start, end + count) : start;
  const last = count < 0 ? end : Math.min(end, start + count);
  return Array.from({ length: last - first }, (_, index) => records.at(first + index));
}

/**
 * The first number that satisfies a predicate, by binary search. All later numbers satisfy it too.
 */
function firstWhere(low: number, high: number, is: (number: number) => boolean): number {
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (is(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
