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

import { Branch, type BranchOptions } from "./branch.ts";
import type { BroadcastEvent, Gap, GapCause } from "./event.ts";
import type { Epoch } from "./id.ts";
import { Ring, type RingLimits } from "./ring.ts";

/** The gaps that lie before the event of a number. */
interface PlacedGaps {
  readonly before: number;
  readonly gap: Gap;
  /** How many. */
  count: number;
}

/** An event as a ready iterator result, and the promise of it: both made once for all branches. */
interface Cell<Message> {
  readonly result: IteratorYieldResult<BroadcastEvent<Message>>;
  ready: Promise<IteratorYieldResult<BroadcastEvent<Message>>> | undefined;
}

/**
 * The tee of one tail.
 *
 * @typeParam Message What the events carry.
 */
export class Tee<Message> {
  /** The events, shared by all branches. */
  readonly ring: Ring<Cell<Message>>;
  /** Numbers to ids. */
  readonly epoch: Epoch;
  /** Counts what branches must heed besides events: gaps, and the end. */
  changes = 0;
  /** How many gaps there have been. */
  gapCount = 0;
  /** How it ended, once it has: branches read the ring to its end first. */
  outcome: { readonly error?: unknown } | undefined;
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

  /**
   * @param epoch Numbers to ids.
   * @param limits What the ring may hold.
   */
  constructor(epoch: Epoch, limits: RingLimits) {
    this.epoch = epoch;
    this.ring = new Ring(limits);
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
   * @param channel Where it was published.
   * @param message What was published.
   * @param bytes The size of its payload.
   */
  push(channel: string, message: Message, bytes: number): void {
    const { ring } = this;
    const id = this.epoch.id(ring.head);
    const result = { done: false as const, value: { channel, message, id } };
    ring.push({ result, ready: undefined }, bytes);
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

  /** Marks that events may be missing here; branches that wait here learn of it now. */
  gap(cause: GapCause): Gap {
    const before = this.ring.head;
    let last = this.#gaps.at(-1);
    if (last?.before === before) last.count++;
    else {
      this.#forget();
      last = { before, gap: { cause, after: this.epoch.id(before - 1) }, count: 1 };
      this.#gaps.push(last);
    }
    this.gapCount++;
    this.#notice();
    return last.gap;
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

  /** Ends every branch once it has read the ring: done, or with an error. */
  end(outcome: { readonly error?: unknown } = {}): void {
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

  #notice(): void {
    this.changes++;
    for (const branch of this.#parked.slice(0, this.#waiting)) branch!.notice();
  }
}
