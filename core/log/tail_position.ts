/**
 * Position of a tail, and the incarnation of the log that it is in.
 *
 * @module
 */

import type { LogGap } from "../backend/continuity.ts";
import type { Scope } from "../backend/id.ts";
import { comparePlaces, type Place, Position } from "../backend/position.ts";

/** Maximum number of cuts kept for readers in earlier eras. */
const KEPT = 64;

/**
 * Position of a tail in its log. Event ids are derived from it.
 *
 * Each time the log is replaced, an era begins.
 */
export class TailPosition {
  /** Scope of the event ids. */
  readonly scope: Scope;
  /** Position after the newest record. */
  position: Position = Position.start;
  /** Position before event `floor`. */
  from: Position = Position.start;
  /** First event of the current log. Earlier positions belong to a deleted log. */
  floor = 1;
  /** Number of the current log. Positions of different eras cannot be compared. */
  era = 0;
  /** Why the log was replaced. */
  cause: LogGap["cause"] = "reset";
  /** Number of gaps before the era began. They do not concern readers in the current log. */
  gapCount = 0;
  readonly #cuts: (Cut & { readonly floor: number })[] = [];

  /** @param scope Scope of the event ids. */
  constructor(scope: Scope) {
    this.scope = scope;
  }

  /** Id of the position after the newest record. */
  get id(): string {
    return this.scope.id(this.position);
  }

  /** Advances past a record. Returns the new position. */
  advance(place: Place): Position {
    this.position = this.position.with(place);
    return this.position;
  }

  /** Passes a record that is not an event, before event `number`. */
  pass(place: Place, number: number): void {
    this.advance(place);
    // The record may stand for removed records. A reader that enters here must have passed it too.
    if (number === this.floor) this.from = this.position;
  }

  /** Begins an era at a position, with event `number`. */
  begin(position: Position, number: number): void {
    this.position = position;
    this.from = position;
    this.floor = number;
    this.era++;
  }

  /**
   * Begins an era because a shard of the log was replaced. The shard continues after the newest
   * place shared with the old log, or from its start.
   *
   * @param cause Why the log was replaced.
   * @param cut The shard, and the shared place.
   * @param number Number of the next event.
   * @param gapCount Number of gaps of the tee so far.
   */
  startOver(cause: LogGap["cause"], cut: Cut, number: number, gapCount: number): void {
    this.cause = cause;
    this.gapCount = gapCount;
    this.begin(cutOff(this.position, cut), number);
    this.#cuts.push({ ...cut, floor: number });
    if (this.#cuts.length > KEPT) this.#cuts.shift();
  }

  /** Era of a reader whose next event is `number`. */
  eraOf(number: number): number {
    const later = this.#cuts.filter(({ floor }) => floor >= number).length;
    return later === KEPT ? 0 : this.era - later;
  }

  /** Translates a position of an earlier era to the current one. */
  since(era: number, position: Position): Position {
    const count = this.era - era;
    if (count > this.#cuts.length) return Position.start;
    return count > 0 ? this.#cuts.slice(-count).reduce(cutOff, position) : position;
  }
}

/** The point in a shard where a log differs from the previous one. */
export interface Cut {
  /** The shard; all shards if undefined. */
  readonly shard: number | undefined;
  /** The newest shared place. None if the shard is all new. */
  readonly place: Place | undefined;
}

function cutOff(position: Position, { shard, place }: Cut): Position {
  if (shard === undefined) return Position.start;
  const seen = position.in(shard);
  if (seen === undefined || place && comparePlaces(seen, place) <= 0) return position;
  const rest = position.without(shard);
  return place ? rest.with(place) : rest;
}
