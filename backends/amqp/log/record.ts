/**
 * Records of a stream: offset, payload, headers.
 *
 * @module
 */

import type { ConsumeMessage } from "amqplib";
import type {
  BackendRecord,
  Item,
  LogBreak,
  SkippedRecord,
} from "../../../core/backend/contract.ts";
import { ConnectionError } from "../../../core/backend/errors.ts";
import { fingerprintOf } from "../../../core/backend/kit/fingerprint.ts";
import { SEQUENCE_HEADER } from "../../../core/backend/kit/loss_detection.ts";
import type { Place } from "../../../core/backend/position.ts";
import { headersFrom, type Table } from "../headers.ts";

/** The header of a mark: an empty message that is not an event, but shows the end of the stream. */
export const MARK_HEADER = "broadcaster-mark";
/** The header with the time in milliseconds. The server's own interceptor uses the same name. */
export const TIME_HEADER = "timestamp_in_ms";
/** The header in which the server gives the offset of a message. */
const OFFSET_HEADER = "x-stream-offset";

/** A message of a stream. A mark is a skipped record. */
export type Stored = (BackendRecord | SkippedRecord) & { readonly place: Place };

/** A message of amqplib as a record. */
export function storedOf({ content, properties }: ConsumeMessage): Stored {
  const table: Table = properties.headers ?? {};
  const at = table[OFFSET_HEADER];
  if (typeof at !== "number") {
    throw new ConnectionError("the server sent a message without an offset");
  }
  const mark = table[MARK_HEADER];
  if (typeof mark === "string") return { kind: "skip", place: placeOf(at, mark) };
  const sequence = table[SEQUENCE_HEADER];
  const timestamp = timeOf(table[TIME_HEADER], properties.timestamp);
  return {
    kind: "record",
    payload: content,
    headers: headersFrom(table),
    // The sequence number of a publisher is unique.
    place: placeOf(at, typeof sequence === "string" ? sequence : content),
    ...timestamp !== undefined && { timestamp },
  };
}

/** Whether two places are of the same record. */
export function isSame(one: Place, other: Place): boolean {
  return one.at === other.at && one.fingerprint === other.fingerprint;
}

/**
 * Whether records are missing between two offsets. The server itself uses one offset for each file
 * of a stream.
 */
export function isHole(before: number, after: number): boolean {
  return after - before > 2;
}

/**
 * Records without the marks at their end. Each page publishes a mark, so a reader that got them
 * would never reach the end.
 *
 * @param seen A place to keep, even if it is the place of a mark.
 */
export function withoutMarks(records: readonly Stored[], seen: Place | undefined): Stored[] {
  const last = records.findLastIndex(({ kind, place }) =>
    kind === "record" || place.at === seen?.at
  );
  return records.slice(0, last + 1);
}

/**
 * The break before the oldest remaining record.
 *
 * @param at The offset of that record.
 * @param last The offset to resume after, whose record was removed; -1 for the start.
 */
export function breakBefore(at: number, last = -1): LogBreak {
  return { kind: "break", removed: isHole(last, at) ? "some" : "unknown" };
}

/**
 * Records as items, with a break wherever records are missing.
 *
 * @param last The place of the record before these records.
 */
export function itemsOf(records: readonly Stored[], last?: Place): readonly Item[] {
  const items: Item[] = [];
  let before = last?.at;
  for (const record of records) {
    const { at } = record.place;
    if (before !== undefined && isHole(before, at)) items.push(breakBefore(at, before));
    items.push(record);
    before = at;
  }
  return items;
}

function placeOf(at: number, content: string | Uint8Array): Place {
  return { shard: 0, at, sub: 0, fingerprint: fingerprintOf(content) };
}

/** The time in milliseconds. The property of AMQP itself is in seconds. */
function timeOf(milliseconds: unknown, seconds: unknown): number | undefined {
  if (typeof milliseconds === "number") return milliseconds;
  return typeof seconds === "number" ? seconds * 1_000 : undefined;
}
