/**
 * One tail in, any number of branches out.
 *
 * `ReadableStream.prototype.tee()` follows the faster branch and buffers the
 * slower one without bound, and each join deepens a chain that leaving never
 * shortens (whatwg/streams #506, #1233, #1343). Here an event is written once,
 * into one bounded ring, whoever listens; a branch is a cursor into it.
 *
 * @module
 */

import type { Delivery, Gap, GapCause } from "../backend/event.ts";
import type { Epoch } from "../backend/id.ts";
import { comparePlaces, type Place, type Position } from "../backend/position.ts";
import type { Unnamed } from "../codec/decode.ts";
import type { PageReader } from "../log/pages.ts";
import type { TailPosition } from "../log/tail_position.ts";
import { Ring, type RingLimits } from "../util/ring.ts";
import { Branch } from "./branch.ts";
import { EndMarkers } from "./end_markers.ts";
import type { Outcome } from "./reader.ts";
import type { BranchOptions } from "./start.ts";

/** The gaps that lie before the event of a number. */
interface PlacedGaps {
  readonly before: number;
  readonly gap: Gap;
  /** How many. */
  count: number;
}

/** An event as a ready iterator result, and the promise of it: both made once for all branches. */
interface Cell<Message> {
  readonly result: Delivery<Message>;
  /** Where it lies in the log, if there is one. */
  readonly place: Place | undefined;
  ready: Promise<Delivery<Message>> | undefined;
}

/** What a tee reads the past from. */
export interface Past<Message> {
  /** Names the events. */
  readonly tailPosition: TailPosition;
  /** Reads the log. */
  readonly log: PageReader<Message>;
}

/**
 * The tee of one tail.
 *
 * @typeParam Message What the events carry.
 */
export class Tee<Message> {
  /** The events, shared by all branches. */
  readonly ring: Ring<Cell<Message>>;
  /** Numbers to ids, where there is no log. */
  readonly epoch: Epoch;
  /** How far the tail has come in the log, if there is one. */
  readonly tailPosition: TailPosition | undefined;
  /** The log, if there is one. */
  readonly log: PageReader<Message> | undefined;
  /** Counts what branches must heed besides events: gaps, and the end. */
  changes = 0;
  /** How many gaps there have been. */
  gapCount = 0;
  /** Where the channel was ended. */
  readonly ends: EndMarkers = new EndMarkers();
  /** How it ended, once it has: branches read the ring to its end first. */
  outcome: Outcome | undefined;
  /** How many branches there are. */
  size = 0;
  /** The branches that wait for the next event, and the array for those that wait for the one after. */
  #parked: (Branch<Message> | undefined)[] = [];
  #spare: (Branch<Message> | undefined)[] = [];
  #waiting = 0;
  /** Kept as long as the ring holds an event before them; so there are never more than that. */
  #gaps: PlacedGaps[] = [];
  /** How many are not kept any more, and the event that the last of them lies before. */
  #forgotten = 0;
  #forgottenBefore = 0;
  /** The branches that wait for a page of the log. */
  readonly #fetching = new Set<Branch<Message>>();

  /**
   * @param epoch Numbers to ids.
   * @param limits What the ring may hold.
   * @param past The log, if there is one.
   */
  constructor(epoch: Epoch, limits: RingLimits, past?: Past<Message>) {
    this.epoch = epoch;
    this.tailPosition = past?.tailPosition;
    this.log = past?.log;
    this.ring = new Ring(limits);
  }

  /** The id that stands for everything up to now. */
  get id(): string {
    return this.tailPosition?.id ?? this.epoch.id(this.ring.head - 1);
  }

  /** A new branch, at the live end or behind an event. */
  branch(options: BranchOptions = {}): Branch<Message> {
    this.size++;
    return new Branch(this, options);
  }

  /** Whether every branch has read all that there is. */
  get caughtUp(): boolean {
    return this.#waiting === this.size;
  }

  /**
   * Writes an event into the ring, and gives it to the branches that wait.
   *
   * @param event What was published, and where.
   * @param bytes The size of its payload.
   * @param place Where it lies in the log, if there is one.
   */
  push(event: Unnamed<Message>, bytes: number, place?: Place): void {
    const { ring } = this;
    const id = this.tailPosition ? this.tailPosition.advance(place!) : this.epoch.id(ring.head);
    const { channel, message, timestamp, headers } = event;
    const value = timestamp === undefined && !headers ? { channel, message, id } : { ...event, id };
    // In this order, as the engine's own: a promise is resolved with it a tenth faster.
    const result = { value, done: false as const };
    ring.push({ result, place, ready: undefined }, bytes);
    const parked = this.#parked;
    const waiting = this.#waiting;
    this.#parked = this.#spare;
    this.#spare = parked;
    this.#waiting = 0;
    for (let place = 0; place < waiting; place++) {
      const branch = parked[place]!;
      parked[place] = undefined;
      branch.wake(result);
    }
  }

  /**
   * Marks that events may be missing here; branches that wait here learn of it now.
   *
   * @param cause Why.
   * @param missed How many, where that is known.
   */
  gap(cause: GapCause, missed?: number): Gap {
    const before = this.ring.head;
    let last = this.#gaps.at(-1);
    const same = last?.before === before && last.gap.cause === cause;
    if (same && missed === undefined && last!.gap.missed === undefined) last!.count++;
    else {
      this.#forget();
      const gap = { cause, after: this.id, ...missed !== undefined && { missed } };
      last = { before, gap, count: 1 };
      this.#gaps.push(last);
    }
    this.gapCount++;
    this.#notice();
    return last!.gap;
  }

  /** The number of gaps that lie at or before the event of a number. */
  gapsUpTo(number: number): number {
    // Behind some of the forgotten ones: one is left to be met.
    if (number < this.#forgottenBefore) return this.#forgotten - 1;
    let met = this.#forgotten;
    for (const { before, count } of this.#gaps) if (before <= number) met += count;
    return met;
  }

  /**
   * The gaps that a branch which has met so many of them meets at its cursor.
   * One that was forgotten is told as one of unknown size.
   */
  gapsFrom(met: number, cursor: number): Gap[] {
    let number = this.#forgotten;
    const found: Gap[] = met < number ? [{ cause: "disconnect" }] : [];
    for (const { before, gap, count } of this.#gaps) {
      number += count;
      if (number > met && before <= cursor) found.push(gap);
    }
    return found;
  }

  /** Who has yet to meet these has fallen behind the ring, and is told of that. */
  #forget(): void {
    while (this.#gaps.length > 0 && this.#gaps[0]!.before < this.ring.oldest) {
      const { before, count } = this.#gaps.shift()!;
      this.#forgotten += count;
      this.#forgottenBefore = before;
    }
  }

  /** The channel is ended here: branches that come to it are done. */
  finish(place: Place): void {
    const { ring, tailPosition } = this;
    tailPosition!.advance(place);
    this.ends.add({ before: ring.head, place, era: tailPosition!.era }, ring.oldest);
    this.#notice();
  }

  /** Ends every branch once it has read the ring: done, or with an error. */
  end(outcome: Outcome = {}): void {
    this.outcome ??= outcome;
    this.#notice();
  }

  /** A branch waits. Returns its place. */
  park(branch: Branch<Message>): number {
    this.#parked[this.#waiting] = branch;
    return this.#waiting++;
  }

  /** A branch that waits at a place waits no longer. */
  unpark(place: number): void {
    const last = this.#parked[--this.#waiting]!;
    this.#parked[this.#waiting] = undefined;
    if (place === this.#waiting) return;
    this.#parked[place] = last;
    last.place = place;
  }

  /** A branch waits for a page of the log, or waits no longer. */
  fetching(branch: Branch<Message>, waits: boolean): void {
    if (waits) this.#fetching.add(branch);
    else this.#fetching.delete(branch);
  }

  /** Where a branch enters from the log: the first event it may need, and what lies before. */
  get entry(): { readonly number: number; readonly position: Position } {
    const { ring, tailPosition } = this;
    const { floor, from } = tailPosition!;
    if (ring.oldest <= floor) return { number: floor, position: from };
    // What lay before the oldest event is not known any more; what lies behind it is.
    return {
      number: ring.oldest + 1,
      position: tailPosition!.at(ring.at(ring.oldest).result.value.id),
    };
  }

  /** Whether the ring proves that a position is one of this log. */
  holds(position: Position): boolean {
    const { ring, tailPosition } = this;
    const { floor, from, position: newest } = tailPosition!;
    return position.places.every((place) => {
      for (const known of [newest.in(place.shard), from.in(place.shard)]) {
        if (known && isSame(known, place)) return true;
      }
      for (let number = Math.max(ring.oldest, floor); number < ring.head; number++) {
        if (isSame(ring.at(number).place!, place)) return true;
      }
      return false;
    });
  }

  /**
   * How many events the ring still holds of those behind a position that the log
   * has lost, all before a place; only where one shard makes that certain.
   */
  heldBefore(
    place: Place,
    position: Position,
  ): { readonly number: number; readonly count: number; readonly exact: boolean } | undefined {
    const { ring, tailPosition } = this;
    if (tailPosition!.position.places.length > 1 || position.places.length > 1) return undefined;
    const number = Math.max(ring.oldest, tailPosition!.floor);
    let count = 0;
    for (let at = number; at < ring.head; at++) {
      const held = ring.at(at).place!;
      if (comparePlaces(held, place) >= 0) break;
      if (!position.covers(held)) count++;
    }
    if (count === 0) return undefined;
    // Between the ring's events may lie what is none.
    return { number, count, exact: place.at - ring.at(number).place!.at === count };
  }

  #notice(): void {
    this.changes++;
    for (const branch of this.#parked.slice(0, this.#waiting)) branch!.notice();
    for (const branch of [...this.#fetching]) branch.notice();
  }
}

/** Whether it is certain: of a record that was found and not read nothing is known but its place. */
function isSame(one: Place, other: Place): boolean {
  return one.shard === other.shard && comparePlaces(one, other) === 0 &&
    one.fingerprint === other.fingerprint;
}
