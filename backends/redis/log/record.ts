/**
 * Stream entries as records, and records as entries.
 *
 * @module
 */

import type { Buffer } from "node:buffer";
import type { BackendRecord, SkippedRecord } from "../../../core/backend/contract.ts";
import { RefusedError } from "../../../core/backend/errors.ts";
import { headersOf, type MessageHeaders } from "../../../core/backend/headers.ts";
import { fingerprintOf } from "../../../core/backend/kit/fingerprint.ts";
import type { Place } from "../../../core/backend/position.ts";

/** The field that carries the payload. */
export const FIELD = "message";

/** An entry from the client: its id, and alternating field names and values. */
export type Entry = readonly [id: Buffer, fields: readonly Buffer[]];

/** An entry as a record for the core. It is skipped if it lacks the field. */
export function recordOf([id, fields]: Entry): BackendRecord | SkippedRecord {
  for (let index = 0; index < fields.length; index += 2) {
    if (!isField(fields[index]!)) continue;
    const payload = fields[index + 1]!;
    const place = placeOf(id.toString(), fingerprintOf(payload));
    return recordAt(place, payload, fields.length === 2 ? undefined : headersIn(fields));
  }
  return { kind: "skip", place: placeOf(id.toString(), fingerprintOf(fields[1] ?? "")) };
}

/** The record at a place. */
export function recordAt(place: Place, payload: Buffer, headers?: MessageHeaders): BackendRecord {
  const record = { kind: "record", payload, place, timestamp: place.at } as const;
  return headers ? { ...record, headers } : record;
}

function isField(name: Buffer): boolean {
  return name.length === FIELD.length && name.toString() === FIELD;
}

/** The headers, which are the other fields. */
export function headersIn(fields: readonly Buffer[]): MessageHeaders | undefined {
  const entries: [Buffer, Buffer][] = [];
  for (let index = 0; index < fields.length; index += 2) {
    const name = fields[index]!;
    if (!isField(name)) entries.push([name, fields[index + 1]!]);
  }
  return headersOf(entries);
}

/** Whether the numbers of an id are at most 2^53, as in all ids that Redis itself generates. */
export function isReadable(id: string): boolean {
  const { at, sub } = numbersOf(id);
  return Number.isSafeInteger(at) && Number.isSafeInteger(sub);
}

/**
 * The place of an id.
 *
 * @throws {RefusedError} If the id is not readable.
 */
export function placeOf(id: string, fingerprint: string): Place {
  const { at, sub } = numbersOf(id);
  if (!Number.isSafeInteger(at) || !Number.isSafeInteger(sub)) {
    throw new RefusedError(
      `the stream has an entry with the id ${id}, and ids beyond 2^53 cannot be read`,
    );
  }
  return { shard: 0, at, sub, fingerprint };
}

function numbersOf(id: string): { readonly at: number; readonly sub: number } {
  const dash = id.indexOf("-");
  return { at: Number(id.slice(0, dash)), sub: Number(id.slice(dash + 1)) };
}

/** The id of a place, or of the start if there is none. */
export function idOf(place: Place | undefined): string {
  return place ? `${place.at}-${place.sub}` : "0-0";
}

/** The largest id before a place, as the end of a range; `undefined` before the start. */
export function idBefore(place: Place | undefined): string | undefined {
  if (!place) return undefined;
  if (place.sub > 0) return `${place.at}-${place.sub - 1}`;
  // Without a sequence, the id means the largest one of that time.
  return place.at > 0 ? `${place.at - 1}` : undefined;
}
