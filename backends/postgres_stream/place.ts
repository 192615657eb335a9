/**
 * Where a row of the Postgres log lies.
 *
 * @module
 */

import { type Place, Position } from "../../position.ts";

/** How long the epoch is that a witness begins with. */
const EPOCH = 8;
/** What the witness keeps of a row's time, in microseconds. */
const SPAN = 36 ** 8;

/** What a witness says. */
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
  return { shard: 0, at: Number(id), sub: 0, witness: epoch + time };
}

/** Before the first row of a channel. */
export function startOf(epoch: string): Position {
  return Position.of({ shard: 0, at: 0, sub: 0, witness: epoch });
}

/** What the witness of a place says. */
export function witnessOf({ witness }: Place): Witness {
  const time = witness.slice(EPOCH);
  return { epoch: witness.slice(0, EPOCH), time: time === "" ? undefined : parseInt(time, 36) };
}

/** What a witness keeps of a row's time, for SQL too. */
export const TIME: string = `% ${SPAN}`;
