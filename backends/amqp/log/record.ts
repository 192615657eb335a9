/**
 * Records of a stream: offset, payload, headers.
 *
 * @module
 */

import type { ConsumeMessage } from "amqplib";
import type { BackendRecord, Item, PassedRecord } from "../../../core/backend/contract.ts";
import { ConnectionError } from "../../../core/backend/errors.ts";
import { fingerprintOf } from "../../../core/backend/kit/fingerprint.ts";
import { SEQUENCE_HEADER } from "../../../core/backend/kit/loss_detection.ts";
import { type Place, Position } from "../../../core/backend/position.ts";
import { headersFrom, type Table } from "../headers.ts";

/** The header of a mark: of what is nobody's event, and shows where the end is. */
export const MARK_HEADER = "broadcaster-mark";
/** The header with the time in milliseconds, named as the server's own interceptor names it. */
export const TIME_HEADER = "timestamp_in_ms";
/** The header with which the server tells where a message lies. */
const OFFSET_HEADER = "x-stream-offset";

/** A message of a stream, or a mark. */
export type Stored = (BackendRecord | PassedRecord) & { readonly place: Place };

/** What a message is to the core. */
export function storedOf({ content, properties }: ConsumeMessage): Stored {
  const table: Table = properties.headers ?? {};
  const at = table[OFFSET_HEADER];
  if (typeof at !== "number") throw new ConnectionError("the server tells no offset");
  const mark = table[MARK_HEADER];
  if (typeof mark === "string") return { place: placeOf(at, mark) };
  const sequence = table[SEQUENCE_HEADER];
  const timestamp = timeOf(table[TIME_HEADER], properties.timestamp);
  return {
    payload: content,
    headers: headersFrom(table),
    // A publisher's own number tells it from every other one.
    place: placeOf(at, typeof sequence === "string" ? sequence : content),
    ...timestamp !== undefined && { timestamp },
  };
}

/** Whether a record is that of a place. */
export function isAt({ place }: Stored, other: Place): boolean {
  return place.at === other.at && place.fingerprint === other.fingerprint;
}

/** Whether more lies between two offsets than the one that the server itself uses for each file. */
export function isHole(before: number, behind: number): boolean {
  return behind - before > 2;
}

/** A page does not end in marks: those that were made for it would else never come to an end. */
export function withoutMarks(records: readonly Stored[], seen: Place | undefined): Stored[] {
  const last = records.findLastIndex(({ payload, place }) =>
    payload !== undefined || place.at === seen?.at
  );
  return records.slice(0, last + 1);
}

/** What records lie behind, and before. */
export interface Surroundings {
  /** The record before them. */
  readonly last?: Place | undefined;
  /** Whether some are missing before them. */
  readonly isTrimmed?: boolean | undefined;
  /** Where the stream goes on if there are none. */
  readonly end?: Place | undefined;
}

/** Records, with a gap wherever some are missing. */
export function itemsOf(
  records: readonly Stored[],
  { last, isTrimmed, end }: Surroundings = {},
): readonly Item[] {
  const items: Item[] = [];
  if (isTrimmed) {
    const restart = records.length === 0 && end ? Position.of(end) : undefined;
    items.push({ cause: "trimmed", ...restart && { restart } });
  }
  let before = last;
  for (const record of records) {
    if (before && isHole(before.at, record.place.at)) items.push({ cause: "trimmed" });
    items.push(record);
    before = record.place;
  }
  return items;
}

function placeOf(at: number, content: string | Uint8Array): Place {
  return { shard: 0, at, sub: 0, fingerprint: fingerprintOf(content) };
}

/** In milliseconds: what AMQP itself has counts seconds. */
function timeOf(milliseconds: unknown, seconds: unknown): number | undefined {
  if (typeof milliseconds === "number") return milliseconds;
  return typeof seconds === "number" ? seconds * 1_000 : undefined;
}
