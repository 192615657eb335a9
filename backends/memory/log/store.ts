/**
 * The logs of all channels, in memory.
 *
 * @module
 */

import type {
  BackendRecord,
  Item,
  Page,
  Payload,
  PayloadOptions,
  ReadOptions,
} from "../../../core/backend/contract.ts";
import type { Pattern } from "../../../core/backend/pattern.ts";
import { type Place, Position } from "../../../core/backend/position.ts";
import { random } from "../../../core/util/random.ts";
import { MemoryLog, type Stored } from "./channel.ts";
import { Keys } from "./keys.ts";

/** What the payloads of all channels may take together. */
const BYTES = 64 * 1024 * 1024;

/** A record that was added. */
type Added = BackendRecord & { readonly place: Place };

/** The logs of all channels, and one order of all their records. */
export class MemoryStore {
  readonly #count: number;
  readonly #epoch = random();
  /** Those that were published to most recently last. */
  readonly #logs = new Map<string, MemoryLog>();
  readonly #keys = new Keys();
  readonly #isHeard: (channel: string) => boolean;
  #bytes = 0;
  /** How many records there have been. */
  #orders = 0;
  /** Where the newest record of a log that was forgotten as a whole lay. */
  #forgotten = 0;

  /**
   * @param count How many records of a channel are kept.
   * @param isHeard Whether a channel has a tail: its log is trimmed, not forgotten.
   */
  constructor(count: number, isHeard: (channel: string) => boolean) {
    this.#count = count;
    this.#isHeard = isHeard;
  }

  /** The position behind every record of every channel. */
  get end(): Position {
    return Position.of(this.#place(this.#orders));
  }

  /** The log of a channel. */
  log(channel: string): MemoryLog {
    let log = this.#logs.get(channel);
    if (log) return log;
    log = new MemoryLog(this.#count);
    this.#logs.set(channel, log);
    this.#bytes += log.bytes;
    return log;
  }

  /**
   * Adds payloads to a channel, but for those whose key is known, and forgets what
   * is too much.
   *
   * @returns The records that were added, and for each payload where its record lies.
   */
  push(
    channel: string,
    payloads: readonly Payload[],
    options: readonly (PayloadOptions | undefined)[] = [],
  ): { readonly added: readonly Added[]; readonly positions: readonly Position[] } {
    const log = this.log(channel);
    this.#logs.delete(channel);
    this.#logs.set(channel, log);
    this.#bytes -= log.bytes;
    const timestamp = Date.now();
    const added: Added[] = [];
    const positions = payloads.map((payload, index) => {
      const { headers, once } = options[index] ?? {};
      const known = once && this.#keys.find(channel, once, timestamp);
      if (known) return known;
      const record = log.push({ payload, headers, timestamp, order: ++this.#orders });
      const position = Position.of(record.place);
      if (once) this.#keys.add(channel, once, position, timestamp);
      added.push(record);
      return position;
    });
    this.#bytes += log.bytes;
    this.#forget();
    return { added, positions };
  }

  /** The record that was stored so many records ago, as patterns have it. */
  recent(ago: number, record: BackendRecord, channel: string): BackendRecord {
    return { ...record, channel, place: this.#place(this.#orders - ago) };
  }

  /** A page of all channels that match a pattern, in the order in which they were published to. */
  read(pattern: Pattern, { after, before, limit }: ReadOptions): Page {
    const items: Item[] = [];
    const logs = [...this.#logs].filter(([channel]) => pattern.matches(channel));
    const forgotten = Math.max(this.#forgotten, ...logs.map(([, log]) => log.forgotten));
    let from = 0;
    if (after) {
      const { at, fingerprint } = after.newest ?? { at: 0, fingerprint: this.#epoch };
      const cause = fingerprint !== this.#epoch ? "epoch" : at > this.#orders ? "ahead" : "trimmed";
      if (cause === "trimmed") from = at;
      if (cause !== "trimmed" || at < forgotten) {
        const places = cause === "trimmed" ? Math.max(at, this.#firstAfter(logs, at) - 1) : 0;
        items.push({ cause, restart: Position.of(this.#place(places)) });
      }
    }
    const { at: end, fingerprint } = before?.newest ?? { at: Infinity, fingerprint: this.#epoch };
    const records = logs.flatMap(([channel, log]) =>
      recordsIn(log, from, fingerprint === this.#epoch ? end : 0, after ? limit : -limit)
        .map((stored) => this.#record(channel, stored))
    ).sort((one, other) => one.place.at - other.place.at);
    const page = after ? records.slice(0, limit) : records.slice(-limit);
    const first = page[0]?.place.at ?? Math.min(end, this.#orders + 1);
    return { from: after ?? Position.of(this.#place(first - 1)), items: [...items, ...page] };
  }

  /** Forgets everything. */
  clear(): void {
    this.#logs.clear();
    this.#keys.clear();
    this.#bytes = 0;
  }

  #firstAfter(logs: readonly [string, MemoryLog][], at: number): number {
    const firsts = logs.flatMap(([, log]) => recordsIn(log, at, Infinity, 1));
    return Math.min(this.#orders + 1, ...firsts.map(({ order }) => order));
  }

  #record(channel: string, { payload, headers, timestamp, order }: Stored) {
    return { payload, headers, timestamp, channel, place: this.#place(order) };
  }

  #place(at: number): Place {
    return { shard: 0, at, sub: 0, fingerprint: this.#epoch };
  }

  /** A log without a tail is forgotten as a whole, and begun anew when it is used again. */
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
    }
  }
}

/** At most so many records between two orders: the first, or the last if the count is negative. */
function recordsIn({ records }: MemoryLog, after: number, before: number, count: number): Stored[] {
  const start = firstWhere(records.oldest, records.head, (at) => records.at(at).order > after);
  const end = firstWhere(start, records.head, (at) => records.at(at).order >= before);
  const first = count < 0 ? Math.max(start, end + count) : start;
  const last = count < 0 ? end : Math.min(end, start + count);
  return Array.from({ length: last - first }, (_, index) => records.at(first + index));
}

/** The first number for which it is so, as it is for all behind: by halving. */
function firstWhere(low: number, high: number, is: (number: number) => boolean): number {
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (is(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
