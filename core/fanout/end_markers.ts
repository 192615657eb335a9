/**
 * End markers in a ring: where the channel was ended.
 *
 * @module
 */

import type { Place, Position } from "../backend/position.ts";
import type { End } from "../codec/decode.ts";

/** An end, at its place in the ring. */
interface Marker {
  /** Number of the event after it. */
  readonly before: number;
  readonly place: Place;
  readonly end: End;
  /** Era of the log that it is in. */
  readonly era: number;
}

/** End markers in a ring. */
export class EndMarkers {
  /** Number of markers so far, including dropped ones. */
  count = 0;
  #markers: Marker[] = [];

  /** Adds a marker. Drops the markers before the event `oldest`. */
  add(marker: Marker, oldest: number): void {
    this.#markers = this.#markers.filter(({ before }) => before >= oldest);
    this.#markers.push(marker);
    this.count++;
  }

  /** First end at or before event `number`, for a reader that has met `met` markers. */
  at(number: number, met: number): End | undefined {
    if (met >= this.count) return undefined;
    const first = this.#markers[Math.max(0, met - (this.count - this.#markers.length))];
    return first !== undefined && first.before <= number ? first.end : undefined;
  }

  /** The first marker of the era that the position does not cover, at or before event `number`. */
  uncovered(number: number, position: Position, era: number): Marker | undefined {
    return this.#markers.find((marker) =>
      marker.before <= number && marker.era === era && !position.covers(marker.place)
    );
  }
}
