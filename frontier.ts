/**
 * How far a tail has come in its log.
 *
 * @module
 */

import type { Scope } from "./id.ts";
import { type Place, Position } from "./position.ts";

/** Names the events of a tee that has a log: by their position. */
export class Frontier {
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
    const found = this.scope.find(id);
    return found.kind === "position" ? found.position : this.from;
  }

  /** A record has come. */
  advance(place: Place): string {
    this.position = this.position.with(place);
    return this.scope.id(this.position);
  }

  /** The tail begins here; or anew, with the event of a number. */
  begin(position: Position, number: number): void {
    this.position = position;
    this.from = position;
    this.floor = number;
    this.era++;
  }
}
