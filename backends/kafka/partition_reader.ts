/**
 * Reads one partition onwards, for tails and pages, and tells a break where the record that was
 * read last does not come back.
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

/** Number of empty fetches in a row, where records should be, before it moves on. */
const PATIENCE = 3;

/**
 * Reads after a place, inclusive: that record must come back and be the same, otherwise a break
 * comes first. A partition that was set back is read from its start; no other partition is
 * affected.
 */
export class PartitionReader {
  /** The partition. */
  readonly partition: number;
  /** The offset to fetch next. */
  offset: number;
  /** The last place that was read, or the one before the first. */
  #place: Place | undefined;
  /** The offset that the next record will have, as the broker said last. */
  #end: number;
  /** The record that has to come back first. */
  #expected: Place | undefined;
  #failures = 0;
  /** The time of the last fetch that was taken. */
  #takenAt = performance.now();
  /** Whether the last answer was late. */
  #wasLate = false;
  /** Whether a break was told for the offset before, and no record has come since. */
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

  /** Whether records may be stored that were not read, as far as is known. */
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
      // It was the newest of those that were removed, so it cannot be asked for again.
      this.#place = before(this.partition, begin);
      return [this.#break("none")];
    }
    return [];
  }

  /** Asks for the last record once more, since the partition was not watched meanwhile. */
  rewind(): void {
    if (!this.#place) return;
    this.#expected = this.#place;
    this.offset = this.#place.at;
  }

  /**
   * Asks for the last record once more, before a fetch, if nothing was fetched for longer than a
   * limit, or if the last answer was late.
   *
   * @param limit The limit in milliseconds.
   */
  beforeFetch(limit: number): void {
    if (this.#wasLate || this.#absence > limit) this.#verify();
  }

  /**
   * Whether an answer has come so late that the topic may have been recreated before it was read. The
   * last record is asked for once more, and the answer must not be taken.
   *
   * @param limit The limit in milliseconds.
   */
  isDoubtful(limit: number): boolean {
    this.#wasLate = this.#absence > limit;
    return this.#wasLate && this.#expected === undefined && this.#verify();
  }

  /** Takes what a fetch from `offset` has brought. */
  take({ messages, begin, end }: Fetched): Item[] {
    const items: Item[] = [];
    this.#takenAt = performance.now();
    this.#end = end;
    for (const message of messages) {
      const place = placeOf(this.partition, message);
      // A batch comes whole, also if it starts before the offset that was asked for.
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
   * A fetch of this partition alone brought nothing, although something should be there: the rest
   * of a batch of which compaction has removed every record. After a few such fetches, it is
   * passed over.
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
   * Reads from the oldest record on. How many were removed is not known: offsets also count the
   * markers of transactions, and what compaction had removed before.
   */
  #startOver({ begin, end }: Bounds, isReplaced = false): Item[] {
    this.#end = end;
    const items = [this.#break("unknown", isReplaced)];
    this.#advance(begin);
    return [...items, ...this.#passTo(begin)];
  }

  /** Continues at an offset, since nothing is stored before it. Otherwise the break is found again. */
  #passTo(offset: number): SkippedRecord[] {
    const place = this.#place = before(this.partition, offset);
    return place ? [{ kind: "skip", place }] : [];
  }

  #break(removed: Removed, isReplaced = false): LogBreak {
    const { partition } = this;
    // -1 in a partition that has never had a record.
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

  /** Asks for the last record, unless it was never read: its place has no fingerprint then. */
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
 * The breaks of a position whose partitions do not exist. Kafka never removes a partition: the
 * topic was deleted, and perhaps created again with fewer. Then each of the others shows by itself
 * whether it is the same.
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

/** The number of fingerprints: eight characters, the whole time until the year 2059. */
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

/** Converts a message for the core. One without a value, or a control record, is skipped. */
export function itemOf(message: Message, place: Place): BackendRecord | SkippedRecord {
  const { value, isControlRecord, timestamp = "-1" } = message;
  if (value === null || isControlRecord) return { kind: "skip", place };
  // Copied: a record would keep the whole response in memory.
  const payload = new Uint8Array(value);
  const headers = headersFrom(message);
  const record = { kind: "record" as const, payload, place, ...headers && { headers } };
  return timestamp.startsWith("-") ? record : { ...record, timestamp: Number(timestamp) };
}
