/**
 * The log of one channel, in memory.
 *
 * @module
 */

import type {
  BackendRecord,
  Item,
  OutgoingPayload,
  Page,
  ReadOptions,
} from "../../../core/backend/contract.ts";
import { lengthOfHeaders } from "../../../core/backend/headers.ts";
import { sizeOf } from "../../../core/backend/kit/queue_tail.ts";
import { type Place, Position } from "../../../core/backend/position.ts";
import { random } from "../../../core/util/random.ts";
import { Ring } from "../../../core/util/ring.ts";

/** The approximate overhead of a record and of a log, in bytes. */
const RECORD = 144;
const LOG = 512;

/** A record with its places in the log of its channel and among all. */
export interface Stored extends BackendRecord {
  /** The headers of the message, if any. */
  readonly headers: BackendRecord["headers"];
  /** The time of publishing, in milliseconds since the Unix epoch. */
  readonly timestamp: number;
  /** The place in the log of the channel. */
  readonly place: Place;
  /** The place among the records of all channels. */
  readonly order: number;
}

/** The newest records of a channel, numbered from 1. */
export class MemoryLog {
  /** The `order` of the newest record that was removed; 0 if none was. */
  forgotten = 0;
  /** The stored records. */
  readonly records: Ring<Stored>;
  /** Distinguishes this log from an earlier one of the channel. */
  readonly epoch: string;

  /**
   * @param count The number of records to keep.
   * @param epoch Distinguishes this log from an earlier one of the channel.
   */
  constructor(count: number, epoch: string = random()) {
    this.epoch = epoch;
    this.records = new Ring({ count, bytes: Infinity });
  }

  /** The approximate size in memory, in bytes. */
  get bytes(): number {
    return this.records.bytes + LOG;
  }

  /** The position of the newest record. */
  get end(): Position {
    return Position.of(this.#place(this.records.head - 1));
  }

  /**
   * Adds a message. Removes the oldest one if the log is full.
   *
   * @param timestamp The time of publishing, in milliseconds since the Unix epoch.
   * @param order The place among the records of all channels.
   */
  push({ payload, headers }: OutgoingPayload, timestamp: number, order: number): Stored {
    const { records } = this;
    const place = this.#place(records.head);
    if (place.at - records.oldest === records.limits.count) this.#forget();
    const stored: Stored = { kind: "record", payload, headers, timestamp, place, order };
    records.push(stored, costOf(stored));
    return stored;
  }

  /** Removes the oldest records until `bytes` bytes are free. The newest record stays. */
  trim(bytes: number): void {
    const limit = this.bytes - bytes;
    while (this.bytes > limit && this.records.head - this.records.oldest > 1) this.#forget();
  }

  /** Reads a page. */
  read({ after, before, limit }: ReadOptions): Page {
    const { oldest, head } = this.records;
    const items: Item[] = [];
    const end = Math.min(head, this.#numberOf(before));
    let from = oldest;
    if (after) {
      const { at, fingerprint } = after.newest ?? { at: 0, fingerprint: this.epoch };
      const recreated = fingerprint !== this.epoch;
      if (!recreated && at >= oldest - 1 && at < head) from = at + 1;
      else {
        const removed = recreated ? "unknown" : Math.max(0, oldest - 1 - at);
        items.push({ kind: "break", recreated, head: this.#place(head - 1), removed });
        if (oldest >= end && !before) items.push({ kind: "skip", place: this.#place(oldest - 1) });
      }
    }
    const first = after ? from : Math.max(from, end - limit);
    for (let number = first; number < Math.min(end, first + limit); number++) {
      items.push(this.records.at(number));
    }
    return { from: after ?? Position.of(this.#place(first - 1)), items };
  }

  #numberOf(before: Position | undefined): number {
    if (!before) return Infinity;
    const { at, fingerprint } = before.newest ?? { at: 0, fingerprint: this.epoch };
    // A position of a deleted log has no events before it.
    return fingerprint === this.epoch ? at : 0;
  }

  #place(at: number): Place {
    return { shard: 0, at, sub: 0, fingerprint: this.epoch };
  }

  #forget(): void {
    this.forgotten = this.records.shift().order;
  }
}

/** The approximate size of a record in memory, in bytes. */
function costOf({ payload, headers }: Stored): number {
  return sizeOf(payload) + lengthOfHeaders(headers) + RECORD;
}
