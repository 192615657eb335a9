/**
 * Reads one partition forwards, for tails and pages. Reports a break if the last record does not
 * come back.
 *
 * @module
 */

import type {
  BackendRecord,
  Item,
  LogBreak,
  Removed,
  SkippedRecord,
} from "../../core/backend/contract.ts";
import type { Place, Position } from "../../core/backend/position.ts";
import { headersFrom } from "./headers.ts";
import type { Fetched, Message } from "./kafkajs.ts";
import type { Bounds } from "./offsets.ts";
import type { Lead } from "./topics.ts";

/**
 * Number of empty fetches in a row after which an offset is skipped, although it should have
 * records.
 */
const PATIENCE = 3;

/**
 * Reads from a place on. The record at the place must come back unchanged, otherwise a break comes
 * first. A partition that was set back is read from its start. No other partition is affected.
 */
export class PartitionReader {
  /** The partition. */
  readonly partition: number;
  /** The offset to fetch next. */
  offset: number;
  /** The last place that was read, or the place before the first record. */
  #place: Place | undefined;
  /** The offset that the next record will have, as last reported by the broker. */
  #end: number;
  /** The record that has to come back first. */
  #expected: Place | undefined;
  #failures = 0;
  /** The time of the last fetch that was processed. */
  #takenAt = performance.now();
  /** Whether the last answer was late. */
  #wasLate = false;
  /** Whether a break was reported before this offset, and no record has come since. */
  #isTold = false;

  /**
   * @param partition The partition to read.
   * @param place The last place that its reader has seen. Without one, it starts at offset 0.
   */
  constructor(partition: number, place?: Place) {
    this.partition = partition;
    this.#place = place;
    this.offset = this.#end = place ? place.at + 1 : 0;
  }

  /** Whether there may be unread records. */
  get isBehind(): boolean {
    return this.#expected !== undefined || this.offset < this.#end;
  }

  /**
   * Goes to the last place that was read, or to the oldest record.
   *
   * @param bounds The offsets that are stored.
   * @returns A break, if the record of that place will not come back.
   */
  seek(bounds: Bounds): Item[] {
    const { begin, end } = bounds;
    this.#takenAt = performance.now();
    const at = this.#place?.at ?? -1;
    if (at < begin - 1 || at >= end) return this.#startOver(bounds);
    this.#end = end;
    this.#advance(at + 1);
    if (at >= begin) this.rewind();
    else if (at >= 0) {
      // The record was the newest one that was removed, so it cannot be requested again.
      this.#place = before(this.partition, begin);
      return [this.#break("none")];
    }
    return [];
  }

  /** Requests the last record again, since the partition was not watched meanwhile. */
  rewind(): void {
    if (!this.#place) return;
    this.#expected = this.#place;
    this.offset = this.#place.at;
  }

  /**
   * Requests the last record again, before a fetch, if nothing was fetched for longer than a limit,
   * or if the last answer was late.
   *
   * @param limit The limit in milliseconds.
   */
  beforeFetch(limit: number): void {
    if (this.#wasLate || this.#absence > limit) this.#verify();
  }

  /**
   * Whether an answer is so late that the topic may have been recreated. The last record is then
   * requested again, and the answer must be discarded.
   *
   * @param limit The limit in milliseconds.
   */
  isDoubtful(limit: number): boolean {
    this.#wasLate = this.#absence > limit;
    return this.#wasLate && this.#expected === undefined && this.#verify();
  }

  /** Processes the result of a fetch from `offset`. */
  take({ messages, begin, end }: Fetched): Item[] {
    const items: Item[] = [];
    this.#takenAt = performance.now();
    this.#end = end;
    for (const message of messages) {
      const place = placeOf(this.partition, message);
      // A batch is whole, even if it starts before the requested offset.
      if (place.at < this.offset) continue;
      const expected = this.#expected;
      const isBack = expected?.at === place.at;
      if (isBack && !isSame(expected, place)) return this.#startOver({ begin, end }, true);
      this.#end = Math.max(end, place.at + 1);
      if (expected && !isBack) items.push(this.#break("unknown"));
      this.#advance(place.at + 1);
      this.#place = place;
      if (!isBack) items.push(itemOf(message, place));
    }
    return items;
  }

  /**
   * Handles an empty fetch of this partition, although it should have records. Compaction may have
   * removed all remaining records of a batch. After a few such fetches, the offset is skipped.
   */
  miss(): Item[] {
    const { offset } = this;
    if (offset >= this.#end || ++this.#failures < PATIENCE) return [];
    const isNewest = this.#place?.at === this.#end - 1;
    const items: Item[] = this.#isTold ? [] : [this.#break(isNewest ? "none" : "unknown")];
    this.#advance(offset + 1);
    this.#isTold = this.offset < this.#end;
    if (!this.#isTold && !isNewest) items.push(...this.#passTo(this.#end));
    return items;
  }

  /**
   * Reads from the oldest record on. The number of removed records is not known, since offsets also
   * count the markers of transactions and compacted records.
   */
  #startOver({ begin, end }: Bounds, isReplaced = false): Item[] {
    this.#end = end;
    const items = [this.#break("unknown", isReplaced)];
    this.#advance(begin);
    return [...items, ...this.#passTo(begin)];
  }

  /**
   * Continues at an offset, since nothing is stored before it. Otherwise the same break would be
   * found again.
   */
  #passTo(offset: number): SkippedRecord[] {
    const place = this.#place = before(this.partition, offset);
    return place ? [{ kind: "skip", place }] : [];
  }

  #break(removed: Removed, isReplaced = false): LogBreak {
    const { partition } = this;
    // -1 if the partition has never had a record.
    const head = { shard: partition, at: this.#end - 1, sub: 0, fingerprint: "" };
    return {
      kind: "break",
      shard: partition,
      ...isReplaced && { replaced: true },
      head,
      removed,
    };
  }

  get #absence(): number {
    return performance.now() - this.#takenAt;
  }

  /** Requests the last record, unless it was never read and its place has no fingerprint. */
  #verify(): boolean {
    if (!this.#place || this.#place.fingerprint === "") return false;
    this.rewind();
    return true;
  }

  #advance(offset: number): void {
    this.offset = offset;
    this.#expected = undefined;
    this.#failures = 0;
    this.#isTold = false;
  }
}

/** The break of a partition whose topic does not exist any more. */
export function breakOfMissing(shard: number): LogBreak {
  return { kind: "break", shard, recreated: true, removed: "unknown" };
}

/**
 * The breaks of a position whose partitions do not exist. Kafka never removes a partition, so the
 * topic was deleted, and perhaps created again with fewer. Each of the other partitions is checked
 * by itself.
 */
export function breaksOfMissing(after: Position, leads: readonly Lead[]): LogBreak[] {
  const existing = new Set(leads.map(({ partition }) => partition));
  return after.places.filter(({ shard }) => !existing.has(shard))
    .map(({ shard }) =>
      leads.length === 0
        ? breakOfMissing(shard)
        : { kind: "break", shard, replaced: true, removed: "unknown" }
    );
}

/** The place before an offset, without a fingerprint. */
export function before(partition: number, offset: number): Place | undefined {
  return offset > 0 ? { shard: partition, at: offset - 1, sub: 0, fingerprint: "" } : undefined;
}

/** The place of a record. */
export function placeOf(partition: number, { offset, timestamp }: Message): Place {
  return { shard: partition, at: Number(offset), sub: 0, fingerprint: fingerprintOf(timestamp) };
}

/** The number of fingerprints: eight characters, enough for all times until the year 2059. */
const FINGERPRINTS = 36n ** 8n;

/** The fingerprint of a record: its time. */
export function fingerprintOf(timestamp: string | undefined): string {
  if (timestamp === undefined || timestamp.startsWith("-")) return "";
  return (BigInt(timestamp) % FINGERPRINTS).toString(36);
}

/** Whether two places of the same offset may be of the same record. */
export function isSame(one: Place, other: Place): boolean {
  return one.fingerprint === other.fingerprint || one.fingerprint === "" ||
    other.fingerprint === "";
}

/** Converts a message for the core. A message without a value, or a control record, is skipped. */
export function itemOf(message: Message, place: Place): BackendRecord | SkippedRecord {
  const { value, isControlRecord, timestamp = "-1" } = message;
  if (value === null || isControlRecord) return { kind: "skip", place };
  // Copied, since a record would otherwise keep the whole response in memory.
  const payload = new Uint8Array(value);
  const headers = headersFrom(message);
  const record = { kind: "record" as const, payload, place, ...headers && { headers } };
  return timestamp.startsWith("-") ? record : { ...record, timestamp: Number(timestamp) };
}
