/**
 * The place of a row in the log, and its fingerprint.
 *
 * @module
 */

import { type Place, Position } from "../../../core/backend/position.ts";

/** How long the epoch is that a fingerprint begins with. */
const EPOCH = 8;
/** What the fingerprint keeps of a row's time, in microseconds. */
const SPAN = 36 ** 8;

/** What a fingerprint says. */
export interface Witness {
  /** The log that the row is of; empty if that is not known. */
  readonly epoch: string;
  /** The time of the row, within the span; none for the beginning of a channel. */
  readonly time: number | undefined;
}

/**
 * The place of a row. The epoch tells a log that was made anew, the row's time
 * one that was set back: restored from a backup, or by a standby that lagged.
 */
export function placeOf(epoch: string, id: string, micros: string): Place {
  const time = (Number(micros) % SPAN).toString(36).padStart(8, "0");
  return { shard: 0, at: Number(id), sub: 0, fingerprint: epoch + time };
}

/** Before the first row of a channel. */
export function startOf(epoch: string): Position {
  return Position.of({ shard: 0, at: 0, sub: 0, fingerprint: epoch });
}

/** What the fingerprint of a place says. */
export function fingerprintOf({ fingerprint }: Place): Witness {
  const time = fingerprint.slice(EPOCH);
  return { epoch: fingerprint.slice(0, EPOCH), time: time === "" ? undefined : parseInt(time, 36) };
}

/** What a fingerprint keeps of a row's time, for SQL too. */
export const TIME: string = `% ${SPAN}`;
