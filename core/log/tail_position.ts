/**
 * The position that a tail has reached, and which incarnation of the log it is in.
 *
 * @module
 */

import type { LogGap } from "../backend/contract.ts";
import type { Scope } from "../backend/id.ts";
import { type Place, Position } from "../backend/position.ts";

/** Names the events of a tee that has a log: by their position. */
export class TailPosition {
  /** The ids of its channel. */
  readonly scope: Scope;
  /** Behind the newest record. */
  position: Position = Position.start;
  /** Before the event of the number `floor`. */
  from: Position = Position.start;
  /** From which event on places can be compared: those before it are of a log that is gone. */
  floor = 1;
  /** Counts the logs: a position of an earlier one says nothing in this one. */
  era = 0;
  /** Why this log is another than the one before. */
  cause: LogGap["cause"] = "epoch";
  /** How many gaps the tee had by then: they concern nobody whose position lies in this log. */
  gapCount = 0;

  /** @param scope The ids of its channel. */
  constructor(scope: Scope) {
    this.scope = scope;
  }

  /** The id that stands for everything up to the newest record. */
  get id(): string {
    return this.scope.id(this.position);
  }

  /** The position of an id that was made here. */
  at(id: string): Position {
    // However long: with many shards it may be longer than an id that comes from outside.
    return Position.parse(id.slice(id.indexOf("~") + 1)) ?? this.from;
  }

  /** A record has come. */
  advance(place: Place): string {
    this.position = this.position.with(place);
    return this.scope.id(this.position);
  }

  /** The tail begins here, with the event of a number. */
  begin(position: Position, number: number): void {
    this.position = position;
    this.from = position;
    this.floor = number;
    this.era++;
  }

  /**
   * The tail has met a gap, the last of so many, before the event of a number.
   *
   * @returns Whether the log was begun anew.
   */
  meet({ cause, restart }: LogGap, number: number, gapCount: number): boolean {
    if (!restart) return false;
    if (cause === "trimmed") {
      // Places can still be compared: what is gone is behind us, as if it had been passed.
      this.position = this.position.union(restart);
      return false;
    }
    this.cause = cause;
    this.gapCount = gapCount;
    this.begin(restart, number);
    return true;
  }
}
