/**
 * Distributes one tail to any number of branches.
 *
 * `ReadableStream.prototype.tee()` follows the faster branch and buffers the
 * slower one without bound, and each call deepens a chain that cancelling never
 * shortens (whatwg/streams #506, #1233, #1343). Here each event is written once,
 * into one bounded ring, for any number of branches; a branch is a cursor into it.
 *
 * @module
 */

import type { BroadcastEvent, Delivery, Gap, GapCause } from "../backend/event.ts";
import type { Epoch } from "../backend/id.ts";
import { comparePlaces, type Place, Position } from "../backend/position.ts";
import type { End, Unnamed } from "../codec/decode.ts";
import type { PageReader } from "../log/pages.ts";
import type { TailPosition } from "../log/tail_position.ts";
import { Ring, type RingLimits } from "../util/ring.ts";
import { Branch } from "./branch.ts";
import { EndMarkers } from "./end_markers.ts";
import type { Outcome } from "./reader.ts";
import type { BranchOptions } from "./start.ts";

/** Gaps at one place in the ring. */
interface PlacedGaps {
  /** Number of the event after them. */
  readonly before: number;
  readonly gap: Gap;
  /** Number of gaps. */
  count: number;
}

/** Cell of the ring: an event as an iterator result and its promise, shared by all branches. */
export interface Cell<Message> {
  /** The event as an iterator result. */
  readonly result: Delivery<Message>;
  /** Position after the event, if there is a log. The id of this position is the event's id. */
  readonly position: Position | undefined;
  /** Place of the event in the log, if there is one. */
  readonly place: Place | undefined;
  /** Promise of the result, once it was requested. */
  ready: Promise<Delivery<Message>> | undefined;
}

/** A count that remains after its branches have left. */
export interface Tally {
  /** Number of events delivered. */
  delivered: number;
}

/** Log of a tee. */
export interface Past<Message> {
  /** Position of the tail; event ids are derived from it. */
  readonly tailPosition: TailPosition;
  /** Reads the log. */
  readonly log: PageReader<Message>;
}

/**
 * Distributes the events of one tail to its branches.
 *
 * @typeParam Message Type of the messages.
 */
export class Tee<Message> {
  /** Events, shared by all branches. */
  readonly ring: Ring<Cell<Message>>;
  /** Maps event numbers to ids if there is no log. */
  readonly epoch: Epoch;
  /** Position of the tail in the log, if there is one. */
  readonly tailPosition: TailPosition | undefined;
  /** The log, if there is one. */
  readonly log: PageReader<Message> | undefined;
  /** Version, incremented for each notice that branches must handle: gaps and ends. */
  changes = 0;
  /** Number of gaps so far. */
  gapCount = 0;
  /** The ends of the channel. */
  readonly ends: EndMarkers = new EndMarkers();
  /** Outcome, once the tail has ended. Branches read the ring to its end first. */
  outcome: Outcome | undefined;
  /** Branches that have not ended. */
  readonly branches: Set<Branch<Message>> = new Set();
  /** Counts the deliveries of branches that have left. */
  tally: Tally = { delivered: 0 };
  /** Called whenever a branch has left. */
  onLeave: (() => void) | undefined;
  /** Branches that wait for the next event; `#spare` is the array for the event after it. */
  #parked: (Branch<Message> | undefined)[] = [];
  #spare: (Branch<Message> | undefined)[] = [];
  #waiting = 0;
  /** Gaps are kept while the ring holds an event before them, so their number is bounded. */
  #gaps: PlacedGaps[] = [];
  /** Number of gaps that are no longer kept. */
  #forgotten = 0;
  /** Number of the event after the last forgotten gap. */
  #forgottenBefore = 0;
  /** Branches that wait for a page of the log. */
  readonly #fetching = new Set<Branch<Message>>();

  /**
   * @param epoch Maps event numbers to ids.
   * @param limits Capacity of the ring.
   * @param past The log, if there is one.
   */
  constructor(epoch: Epoch, limits: RingLimits, past?: Past<Message>) {
    this.epoch = epoch;
    this.tailPosition = past?.tailPosition;
    this.log = past?.log;
    this.ring = new Ring(limits);
  }

  /** Id of the position after the newest event. */
  get id(): string {
    return this.tailPosition?.id ?? this.epoch.id(this.ring.head - 1);
  }

  /** Creates a branch. */
  branch(options: BranchOptions = {}): Branch<Message> {
    const branch = new Branch(this, options);
    this.branches.add(branch);
    return branch;
  }

  /** Removes a branch that has ended. */
  leave(branch: Branch<Message>): void {
    if (this.branches.delete(branch)) this.tally.delivered += branch.delivered;
    this.onLeave?.();
  }

  /** Number of branches. */
  get size(): number {
    return this.branches.size;
  }

  /** Number of events delivered to all branches, present and past. */
  get delivered(): number {
    let count = this.tally.delivered;
    for (const branch of this.branches) count += branch.delivered;
    return count;
  }

  /** Number of unread events of the slowest branch. */
  get lag(): number {
    let most = 0;
    for (const branch of this.branches) most = Math.max(most, branch.lag);
    return most;
  }

  /** Whether every branch waits for the next event. */
  get caughtUp(): boolean {
    return this.#waiting === this.size;
  }

  /**
   * Writes an event to the ring, and delivers it to the waiting branches.
   *
   * @param event The event; its id is set.
   * @param bytes Size of the payload.
   * @param place Place of the event in the log, if there is one.
   */
  push(event: Unnamed<Message>, bytes: number, place?: Place): void {
    const { ring, tailPosition } = this;
    const position = tailPosition?.advance(place!);
    event.id = position ? tailPosition!.scope.id(position) : this.epoch.id(ring.head);
    // This is the property order of the engine's own results. Resolving a promise with it is 10%
    // faster.
    const result = { value: event as BroadcastEvent<Message>, done: false as const };
    const cell = { result, position, place, ready: undefined };
    ring.push(cell, bytes);
    const parked = this.#parked;
    const waiting = this.#waiting;
    this.#parked = this.#spare;
    this.#spare = parked;
    this.#waiting = 0;
    for (let place = 0; place < waiting; place++) {
      const branch = parked[place]!;
      parked[place] = undefined;
      branch.wake(cell);
    }
  }

  /**
   * Notes that events may be missing here. Waiting branches are notified immediately.
   *
   * @param cause Why events may be missing.
   * @param missed Number of missing events, if known.
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

  /** Number of gaps at or before event `number`. */
  gapsUpTo(number: number): number {
    // The event is before a forgotten gap, so one gap is left to report.
    if (number < this.#forgottenBefore) return this.#forgotten - 1;
    let met = this.#forgotten;
    for (const { before, count } of this.#gaps) if (before <= number) met += count;
    return met;
  }

  /**
   * Gaps up to the cursor, for a branch that has met `met` gaps. Forgotten gaps are reported as one
   * gap of unknown size.
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

  /** Drops gaps before the ring. Branches that have not met them get an overflow gap anyway. */
  #forget(): void {
    while (this.#gaps.length > 0 && this.#gaps[0]!.before < this.ring.oldest) {
      const { before, count } = this.#gaps.shift()!;
      this.#forgotten += count;
      this.#forgottenBefore = before;
    }
  }

  /** Marks the end of the channel. Branches that reach it are done. */
  finish(place: Place, end: End): void {
    const { ring, tailPosition } = this;
    tailPosition!.advance(place);
    this.ends.add({ before: ring.head, place, end, era: tailPosition!.era }, ring.oldest);
    this.#notice();
  }

  /** Ends every branch once it has read the ring, as done or with an error. */
  end(outcome: Outcome = {}): void {
    this.outcome ??= outcome;
    this.#notice();
  }

  /** Adds a waiting branch. Returns its index. */
  park(branch: Branch<Message>): number {
    this.#parked[this.#waiting] = branch;
    return this.#waiting++;
  }

  /** Removes the waiting branch at an index. */
  unpark(place: number): void {
    const last = this.#parked[--this.#waiting]!;
    this.#parked[this.#waiting] = undefined;
    if (place === this.#waiting) return;
    this.#parked[place] = last;
    last.place = place;
  }

  /** Adds or removes a branch that waits for a page of the log. */
  fetching(branch: Branch<Message>, waits: boolean): void {
    if (waits) this.#fetching.add(branch);
    else this.#fetching.delete(branch);
  }

  /** Entry from the log: the first event a branch may need, and the position before it. */
  get entry(): { readonly number: number; readonly position: Position } {
    const { ring, tailPosition } = this;
    const { floor, from } = tailPosition!;
    if (ring.oldest <= floor) return { number: floor, position: from };
    // The position before the oldest event is no longer known; the one after it is.
    return { number: ring.oldest + 1, position: ring.at(ring.oldest).position! };
  }

  /** Whether the ring proves that a position is in the current log. */
  holds(position: Position): boolean {
    const { ring, tailPosition } = this;
    const { floor, from, position: newest } = tailPosition!;
    // The start is the same for all logs.
    if (position.places.length === 0) return newest.places.length === 0;
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

  /** The places that the ring holds in a shard of the current log, oldest first. */
  held(shard: number): Place[] {
    const { ring, tailPosition } = this;
    const { floor, from, position } = tailPosition!;
    const places: (Place | undefined)[] = [from.in(shard)];
    for (let number = Math.max(ring.oldest, floor); number < ring.head; number++) {
      places.push(ring.at(number).place);
    }
    places.push(position.in(shard));
    // A record that was not read has no fingerprint, so it proves nothing.
    const known = places.filter((place) => place?.shard === shard && place.fingerprint !== "");
    return (known as Place[]).filter((place, index) =>
      index === 0 || comparePlaces(place, known[index - 1]!) > 0
    );
  }

  /**
   * Translates a position to the current log, without the records lost since. Undefined if the ring
   * no longer holds its records.
   */
  since(position: Position): Position | undefined {
    const { ring, tailPosition } = this;
    const places: Place[] = [];
    for (const place of position.places) {
      let number = ring.head - 1;
      while (number >= ring.oldest && !isSame(ring.at(number).place!, place)) number--;
      if (number < ring.oldest) return undefined;
      const era = tailPosition!.eraOf(number + 1);
      places.push(...tailPosition!.since(era, Position.of(place)).places);
    }
    return Position.of(...places);
  }

  /**
   * Counts the events that the log has lost and the ring still holds, after a position and before a
   * place. Undefined if there are none, or with several shards, where the count is not certain.
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
    // Not every record between the ring's events is an event.
    return { number, count, exact: place.at - ring.at(number).place!.at === count };
  }

  #notice(): void {
    this.changes++;
    for (const branch of this.#parked.slice(0, this.#waiting)) branch!.notice();
    for (const branch of [...this.#fetching]) branch.notice();
  }
}

/** Whether two places are of the same record: equal in order and in fingerprint. */
function isSame(one: Place, other: Place): boolean {
  return one.shard === other.shard && comparePlaces(one, other) === 0 &&
    one.fingerprint === other.fingerprint;
}
