/**
 * The place of a row in the log, and its fingerprint.
 *
 * @module
 */

import { type Place, Position } from "../../../core/backend/position.ts";

/** The length of the epoch at the start of a fingerprint. */
const EPOCH = 8;
/** Fingerprints store a row's time modulo this number of microseconds. */
const SPAN = 36 ** 8;

/** The parts of a fingerprint. */
export interface Fingerprint {
  /** The epoch of the log; empty if unknown. */
  readonly epoch: string;
  /** The time of the row, modulo the span. Absent for the start of a channel. */
  readonly time: number | undefined;
}

/**
 * The place of a row. The epoch shows whether the log was created again. The row's time shows
 * whether it lost its end, for example in a restore from a backup, or a failover to a standby that
 * lagged.
 */
export function placeOf(epoch: string, id: string, micros: string): Place {
  const time = (Number(micros) % SPAN).toString(36).padStart(8, "0");
  return { shard: 0, at: Number(id), sub: 0, fingerprint: epoch + time };
}

/** The position before the first row of a channel. */
export function startOf(epoch: string): Position {
  return Position.of({ shard: 0, at: 0, sub: 0, fingerprint: epoch });
}

/** The parts of the fingerprint of a place. */
export function fingerprintOf({ fingerprint }: Place): Fingerprint {
  const time = fingerprint.slice(EPOCH);
  return { epoch: fingerprint.slice(0, EPOCH), time: time === "" ? undefined : parseInt(time, 36) };
}

/** SQL that reduces a row's time to the part in a fingerprint. */
export const TIME: string = `% ${SPAN}`;
