/**
 * The log of one channel, in memory.
 *
 * @module
 */

import type {
  BackendRecord,
  Item,
  Page,
  Payload,
  ReadOptions,
} from "../../../core/backend/contract.ts";
import { lengthOfHeaders, type MessageHeaders } from "../../../core/backend/headers.ts";
import { sizeOf } from "../../../core/backend/kit/queue_tail.ts";
import { type Place, Position } from "../../../core/backend/position.ts";
import { random } from "../../../core/util/random.ts";
import { Ring } from "../../../core/util/ring.ts";

/** What a record, and a log, cost besides the payloads, about. */
const RECORD = 96;
const LOG = 512;

/** A record as it is kept. */
export interface Stored {
  /** What was published. */
  readonly payload: Payload;
  /** What it carries besides. */
  readonly headers: MessageHeaders | undefined;
  /** When, in milliseconds since 1970. */
  readonly timestamp: number;
  /** Where it lies among the records of all channels. */
  readonly order: number;
}

/** The newest records of a channel, numbered from 1. */
export class MemoryLog {
  /** What it takes in memory, about. */
  bytes = LOG;
  /** Where the newest record that it has forgotten lay among those of all channels. */
  forgotten = 0;
  /** What it keeps. */
  readonly records: Ring<Stored>;
  /** Tells this log from the one that this channel had before. */
  readonly #epoch = random();

  /** @param count How many records it keeps. */
  constructor(count: number) {
    this.records = new Ring({ count, bytes: Infinity });
  }

  /** The position of its newest record. */
  get end(): Position {
    return Position.of(this.#place(this.records.head - 1));
  }

  /** Adds a record, and forgets what is one too many. */
  push(stored: Stored): BackendRecord & { readonly place: Place } {
    const { records } = this;
    const number = records.head;
    if (number - records.oldest === records.limits.count) this.#forget();
    records.push(stored, 0);
    this.bytes += costOf(stored);
    return this.#record(number);
  }

  /** Forgets the oldest records until so many bytes are free, all but the newest. */
  trim(bytes: number): void {
    const limit = this.bytes - bytes;
    while (this.bytes > limit && this.records.head - this.records.oldest > 1) this.#forget();
  }

  /** A page. */
  read({ after, before, limit }: ReadOptions): Page {
    const { oldest, head } = this.records;
    const items: Item[] = [];
    const end = Math.min(head, this.#numberOf(before));
    let from = oldest;
    if (after) {
      const { at, fingerprint } = after.newest ?? { at: 0, fingerprint: this.#epoch };
      const cause = fingerprint !== this.#epoch ? "epoch" : at >= head ? "ahead" : "trimmed";
      if (cause === "trimmed" && at >= oldest - 1) from = at + 1;
      else {
        const restart = Position.of(this.#place(oldest - 1));
        // Places before and behind can be compared, if there is one behind.
        const isSame = cause === "trimmed" && oldest < end;
        const missed = cause === "trimmed" ? { missed: oldest - 1 - at } : {};
        items.push({ cause, ...missed, ...!isSame && { restart } });
      }
    }
    const first = after ? from : Math.max(from, end - limit);
    for (let number = first; number < Math.min(end, first + limit); number++) {
      items.push(this.#record(number));
    }
    return { from: after ?? Position.of(this.#place(first - 1)), items };
  }

  #numberOf(before: Position | undefined): number {
    if (!before) return Infinity;
    const { at, fingerprint } = before.newest ?? { at: 0, fingerprint: this.#epoch };
    // Before the events of a log that is gone there is nothing.
    return fingerprint === this.#epoch ? at : 0;
  }

  #record(number: number): BackendRecord & { readonly place: Place } {
    const { payload, headers, timestamp } = this.records.at(number);
    return { payload, headers, timestamp, place: this.#place(number) };
  }

  #place(at: number): Place {
    return { shard: 0, at, sub: 0, fingerprint: this.#epoch };
  }

  #forget(): void {
    const stored = this.records.shift();
    this.bytes -= costOf(stored);
    this.forgotten = stored.order;
  }
}

/** What a record takes in memory, about. */
function costOf({ payload, headers }: Stored): number {
  return sizeOf(payload) + lengthOfHeaders(headers) + RECORD;
}
