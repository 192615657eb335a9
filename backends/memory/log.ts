/**
 * The past of one channel, in memory.
 *
 * @module
 */

import type { Item, Page, Payload, ReadOptions } from "../../backend.ts";
import { random } from "../../id.ts";
import { type Place, Position } from "../../position.ts";
import { sizeOf } from "../../record_source.ts";
import { Ring } from "../../ring.ts";

/** What a record, and a log, cost besides the payloads, about. */
const RECORD = 64;
const LOG = 512;

/** The newest records of a channel, numbered from 1. */
export class MemoryLog {
  /** What it takes in memory, about. */
  bytes = LOG;
  /** Tells this log from the one that this channel had before. */
  readonly #epoch = random();
  readonly #records: Ring<Payload>;

  /** @param count How many records it keeps. */
  constructor(count: number) {
    this.#records = new Ring({ count, bytes: Infinity });
  }

  /** The position of its newest record. */
  get end(): Position {
    return Position.of(this.#place(this.#records.head - 1));
  }

  /** Adds a record, and forgets what is one too many. */
  push(payload: Payload): { readonly payload: Payload; readonly place: Place } {
    const records = this.#records;
    const place = this.#place(records.head);
    if (records.head - records.oldest === records.limits.count) this.#forget();
    records.push(payload, 0);
    this.bytes += sizeOf(payload) + RECORD;
    return { payload, place };
  }

  /** Forgets the oldest records until so many bytes are free, all but the newest. */
  trim(bytes: number): void {
    const limit = this.bytes - bytes;
    while (this.bytes > limit && this.#records.head - this.#records.oldest > 1) this.#forget();
  }

  /** A page. */
  read({ after, before, limit }: ReadOptions): Page {
    const { oldest, head } = this.#records;
    const items: Item[] = [];
    const end = Math.min(head, this.#numberOf(before));
    let from = oldest;
    if (after) {
      const { at, witness } = after.newest ?? { at: 0, witness: this.#epoch };
      const cause = witness !== this.#epoch ? "epoch" : at >= head ? "ahead" : "trimmed";
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
      items.push({ payload: this.#records.at(number), place: this.#place(number) });
    }
    return { from: after ?? Position.of(this.#place(first - 1)), items };
  }

  #numberOf(before: Position | undefined): number {
    if (!before) return Infinity;
    const { at, witness } = before.newest ?? { at: 0, witness: this.#epoch };
    // Before the events of a log that is gone there is nothing.
    return witness === this.#epoch ? at : 0;
  }

  #place(at: number): Place {
    return { shard: 0, at, sub: 0, witness: this.#epoch };
  }

  #forget(): void {
    this.bytes -= sizeOf(this.#records.shift()) + RECORD;
  }
}
