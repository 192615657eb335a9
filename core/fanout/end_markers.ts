/**
 * The end markers among the events of a ring: where a channel was ended.
 *
 * @module
 */

import type { Place, Position } from "../backend/position.ts";

/** An end, before the event of a number. */
interface End {
  readonly before: number;
  readonly place: Place;
  /** The log that it lies in. */
  readonly era: number;
}

/** The ends that lie among the events of a ring, as those that read it meet them. */
export class EndMarkers {
  /** How many there have been. */
  count = 0;
  #ends: End[] = [];

  /** The channel is ended before the event of a number; those before the oldest one are forgotten. */
  add(end: End, oldest: number): void {
    this.#ends = this.#ends.filter(({ before }) => before >= oldest);
    this.#ends.push(end);
    this.count++;
  }

  /** Whether one lies at the event of a number, of which so many were met. */
  isAt(number: number, met: number): boolean {
    const first = this.#ends[Math.max(0, met - (this.count - this.#ends.length))];
    return met < this.count && first !== undefined && first.before <= number;
  }

  /** The place of the first that lies at or before an event and is not covered by a position. */
  uncovered(number: number, position: Position, era: number): Place | undefined {
    return this.#ends.find((end) =>
      end.before <= number && end.era === era && !position.covers(end.place)
    )?.place;
  }
}
