/**
 * Reads one partition onwards, for tails and pages: checks the last record seen, and tells a
 * gap if it is gone.
 *
 * @module
 */

import type { BackendRecord, Item, LogGap, PassedRecord } from "../../core/backend/contract.ts";
import { type Place, Position } from "../../core/backend/position.ts";
import { headersFrom } from "./headers.ts";
import type { Message } from "./kafkajs.ts";
import type { Bounds } from "./offsets.ts";

/** How often a fetch may bring nothing, where there should be something, before that is given up. */
const PATIENCE = 3;

/** The last place in each partition, which all lanes of a reader share. */
export class Places {
  /** The newest last. */
  readonly #places: Map<number, Place>;

  /** @param position Where the reader stands. */
  constructor(position: Position) {
    this.#places = new Map(position.places.toReversed().map((place) => [place.shard, place]));
  }

  /** All of them. */
  get position(): Position {
    return Position.of(...[...this.#places.values()].reverse());
  }

  /** The last one in a partition. */
  in(partition: number): Place | undefined {
    return this.#places.get(partition);
  }

  /** A record was read. */
  see(place: Place): void {
    this.#places.delete(place.shard);
    this.#places.set(place.shard, place);
  }

  /** A partition is read from an offset on; returns the place before it, if there is one. */
  reset(partition: number, offset: number): Place | undefined {
    this.#places.delete(partition);
    const place = before(partition, offset);
    if (place) this.#places.set(partition, place);
    return place;
  }
}

/**
 * Reads behind the last place, inclusive: that record must come back and be the
 * same, else there is a gap.
 */
export class PartitionReader {
  /** The partition. */
  readonly partition: number;
  /** What is asked for next. */
  offset = 0;
  /** Behind the newest record, as far as it is known. */
  head = 0;
  readonly #places: Places;
  /** The record that has to come back first. */
  #expected: Place | undefined;
  #failures = 0;
  #isSkipping = false;

  /**
   * @param places Where its reader stands.
   * @param partition What is read.
   */
  constructor(places: Places, partition: number) {
    this.#places = places;
    this.partition = partition;
  }

  /**
   * Goes to where the reader was, or to the oldest record.
   *
   * @param bounds What is stored.
   * @param isOther Whether another record is known to be at the reader's place.
   * @returns The gap, if there is one, and what tells of it.
   */
  seek({ begin, end }: Bounds, isOther = false): Item[] {
    const { partition } = this;
    const place = this.#places.in(partition);
    const at = place?.at ?? -1;
    const isAhead = at >= end;
    this.#expected = undefined;
    this.#failures = 0;
    this.offset = begin;
    if (!isOther && !isAhead && at >= begin - 1) {
      if (at >= begin) this.rewind();
      return [];
    }
    const passed = this.#places.reset(partition, begin);
    if (!isOther && !isAhead) return [{ cause: "trimmed" }, ...passed ? [{ place: passed }] : []];
    return [{ cause: isOther ? "epoch" : "ahead", restart: this.#places.position }];
  }

  /** Whether there may be records that were not read: if nobody looked last, that is not known. */
  get isBehind(): boolean {
    return this.#expected !== undefined || this.offset < this.head;
  }

  /** Asks for the last record once more, since the partition was out of sight. */
  rewind(): void {
    const place = this.#places.in(this.partition);
    if (!place) return;
    this.#expected = place;
    this.offset = place.at;
  }

  /**
   * What a fetch has brought behind the last record; `undefined` if that is
   * another one than it was: then its reader has to `seek` with `isOther`.
   */
  take(messages: readonly Message[]): Item[] | undefined {
    const items: Item[] = [];
    for (const message of messages) {
      const place = placeOf(this.partition, message);
      // A batch comes whole, also if it begins before the offset that was asked for.
      if (place.at < this.offset) continue;
      const expected = this.#expected;
      this.#advance(place.at + 1);
      if (expected?.at === place.at) {
        if (!isSame(expected, place)) return undefined;
        continue;
      }
      if (expected) items.push({ cause: "trimmed" });
      items.push(itemOf(message, place));
    }
    return items;
  }

  /**
   * A fetch of this partition alone brought nothing, though something should be
   * there: what is left of a batch of which compaction has removed every record.
   *
   * @param end The offset behind the newest record.
   */
  miss(end: number): LogGap[] {
    if (this.offset >= end || ++this.#failures < PATIENCE) return [];
    const isSkipping = this.#isSkipping;
    // Nothing was stored behind the last record.
    const isHead = this.#expected !== undefined && this.offset + 1 === end;
    this.#advance(this.offset + 1);
    this.#isSkipping = !isHead;
    return isSkipping || isHead ? [] : [{ cause: "trimmed" }];
  }

  #advance(offset: number): void {
    this.offset = offset;
    this.#expected = undefined;
    this.#failures = 0;
    this.#isSkipping = false;
  }
}

/** The place before an offset, of which no more is known. */
export function before(partition: number, offset: number): Place | undefined {
  return offset > 0 ? { shard: partition, at: offset - 1, sub: 0, fingerprint: "" } : undefined;
}

/** Where a record lies. */
export function placeOf(partition: number, { offset, timestamp }: Message): Place {
  return { shard: partition, at: Number(offset), sub: 0, fingerprint: fingerprintOf(timestamp) };
}

/** How many values a fingerprint has: eight characters, the whole time until the year 2059. */
const WITNESSES = 36n ** 8n;

/** What recognises a record: its time. */
export function fingerprintOf(timestamp: string | undefined): string {
  if (timestamp === undefined || timestamp.startsWith("-")) return "";
  return (BigInt(timestamp) % WITNESSES).toString(36);
}

/** Whether two places of the same offset may be of the same record. */
export function isSame(one: Place, other: Place): boolean {
  return one.fingerprint === other.fingerprint || one.fingerprint === "" ||
    other.fingerprint === "";
}

/** A record as the core takes it: without a value it is nobody's event. */
export function itemOf(message: Message, place: Place): BackendRecord | PassedRecord {
  const { value, isControlRecord, timestamp = "-1" } = message;
  if (value === null || isControlRecord) return { place };
  // Copied: a record would keep the whole response in memory.
  const payload = new Uint8Array(value);
  const headers = headersFrom(message);
  const record = headers ? { payload, place, headers } : { payload, place };
  return timestamp.startsWith("-") ? record : { ...record, timestamp: Number(timestamp) };
}
