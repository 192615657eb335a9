/**
 * Merges the events of several channels for one reader.
 *
 * @module
 */

import {
  type BroadcastEvent,
  type Delivery,
  type Gap,
  mergeGaps,
  withId,
} from "../backend/event.ts";
import { type JointScope, LONGEST_ID } from "../backend/id.ts";
import { nameOf } from "../backend/name.ts";
import type { End } from "../codec/decode.ts";
import {
  Ending,
  type EventReader,
  finishBehind,
  type Outcome,
  type Result,
  type Waiter,
  WITHDRAWN,
} from "./reader.ts";
import { isThenable } from "../util/realm.ts";
import { soon } from "../util/timer.ts";

/** Options for a `Merge`. */
export interface MergeOptions<Message> {
  /** Scope of the joint event ids. */
  readonly scope: JointScope;
  /** Events from before the branches start, oldest first. */
  readonly past?: readonly Arrival<Message>[] | undefined;
  /** Id of the position before the past events, per branch. */
  readonly from?: readonly (string | undefined)[] | undefined;
  /** Gap before the first event. */
  readonly gap?: Gap | undefined;
  /** Called for each gap. An error that it throws ends the merge. */
  readonly onGap?: ((gap: Gap) => void) | undefined;
}

/** An event, and the index of its branch. */
export interface Arrival<Message> {
  readonly index: number;
  readonly event: BroadcastEvent<Message>;
}

/**
 * Reads several branches in turn. Order is kept within each branch. At most one event per branch is
 * read ahead; the others stay in their rings.
 *
 * @typeParam Message Type of the messages.
 */
export class Merge<Message> implements EventReader<Message> {
  /** Whether and how the reader has ended. */
  readonly ending: Ending<Message>;
  /** Called once, when the merge has ended, to release its signal. */
  onLeave: (() => void) | undefined;
  /** Called for each gap. An error that it throws ends the merge. */
  onGap: ((gap: Gap) => void) | undefined;
  readonly #branches: readonly EventReader<Message>[];
  readonly #scope: JointScope;
  /** Id of the last event delivered, per branch. */
  readonly #seen: string[];
  /** Events that were read ahead. */
  readonly #arrived: Arrival<Message>[];
  /** Gap before the next event, per branch. */
  #gaps: (Gap | undefined)[];
  /** Branches with a pending read. */
  readonly #reading = new Set<number>();
  /** Branches that have ended. */
  #over = new Set<number>();
  /** Whether every ended branch has reached the end of its channel. */
  #isFinished = true;
  /** The end that the last of these branches has reached. */
  #end: End | undefined;
  /** Gap before the first event, until it is reported. */
  #first: Gap | undefined;
  /** The same gap after that, until an event carries it. */
  #before: Gap | undefined;
  /** Index of the next branch to take from, modulo their number. */
  #turn = 0;
  #waiters: Waiter<Message>[] = [];

  /**
   * @param branches Branches to read. They are closed with the merge.
   * @param options Additional options.
   * @param ending Whether and how the reader has ended.
   */
  constructor(
    branches: readonly EventReader<Message>[],
    options: MergeOptions<Message>,
    ending: Ending<Message> = new Ending(),
  ) {
    this.ending = ending;
    this.#branches = branches;
    this.#scope = options.scope;
    this.#arrived = [...options.past ?? []];
    this.#first = options.gap;
    this.onGap = options.onGap;
    this.#gaps = branches.map(() => undefined);
    this.#seen = branches.map(({ id }, index) => options.from?.[index] ?? id!);
    branches.forEach((branch, index) => {
      branch.onGap = (gap) => this.#meet(index, gap);
      branch.ending.onEnd = (outcome) => this.#branchEnded(index, outcome);
    });
  }

  /** Id of the position read so far. `undefined` while a gap before it is not reported. */
  get id(): string | undefined {
    return this.#first === undefined ? this.#scope.id(this.#seen) : undefined;
  }

  /** Reads the next event. Concurrent reads are resolved in order. */
  next(): Promise<Result<Message>> {
    const result = this.take();
    return result ? Promise.resolve(result) : new Promise((resolve) => this.read(resolve));
  }

  /** Reads the next event with a callback, called synchronously when the event arrives. */
  read(waiter: Waiter<Message>): void {
    if (this.#waiters.length === 0) {
      const result = this.take();
      if (result !== undefined) return waiter(result);
      if (this.ending.outcome !== undefined) return waiter(this.ending.conclude());
    }
    this.#waiters.push(waiter);
    this.#read();
  }

  /** Creates a merge of forks of the branches, at the same position. Pending reads stay here. */
  fork(): Merge<Message> {
    const { onGap } = this;
    const fork = new Merge(
      this.#branches.map((branch) => branch.fork()),
      { scope: this.#scope, past: this.#arrived, from: this.#seen, gap: this.#first, onGap },
      this.ending.fork(),
    );
    fork.#gaps = [...this.#gaps];
    fork.#over = new Set(this.#over);
    fork.#isFinished = this.#isFinished;
    fork.#end = this.#end;
    fork.#before = this.#before;
    fork.#turn = this.#turn;
    return fork;
  }

  /** Returns the next event if one is available, for readers that take several at once. */
  take(): Delivery<Message> | undefined {
    this.#reportFirst();
    if (this.ending.outcome !== undefined || this.#waiters.length > 0) return undefined;
    return this.#take();
  }

  /** Cancels pending reads: they resolve with `WITHDRAWN`. */
  withdraw(): void {
    for (const waiter of this.#waiters.splice(0)) waiter(WITHDRAWN);
  }

  /** Ends the reader immediately: reads resolve as done, unread events are dropped. */
  close(): void {
    this.#leave({});
  }

  /** Ends the reader immediately: the next read rejects, unread events are dropped. */
  fail(error: unknown): void {
    this.#leave({ error });
  }

  #take(): Delivery<Message> | undefined {
    const arrival = this.#arrived.shift();
    if (arrival !== undefined) return this.#give(arrival);
    for (let count = this.#branches.length; count > 0; count--) {
      const index = this.#turn++ % this.#branches.length;
      if (this.#reading.has(index) || this.#over.has(index)) continue;
      const result = this.#branches[index]!.take();
      if (this.ending.outcome !== undefined) return undefined;
      if (result !== undefined) return this.#give({ index, event: result.value });
    }
    if (this.#over.size < this.#branches.length) return undefined;
    const gaps = this.#gaps.filter((gap) => gap !== undefined);
    const gap = gaps.reduce<Gap | undefined>(mergeGaps, this.#before);
    this.#leave(this.#end && this.#isFinished ? finishBehind(this.#end, gap, this.onGap) : {});
    return undefined;
  }

  /** Delivers an event with the joint id. */
  #give({ index, event }: Arrival<Message>): Delivery<Message> | undefined {
    const id = this.#scope.id(this.#seen.with(index, event.id));
    if (id.length > LONGEST_ID) {
      this.fail(
        new RangeError(
          `Cannot name event of ${
            nameOf(event.channel)
          }: the joint id has ${id.length} bytes, the limit is ${LONGEST_ID}, subscribe to fewer channels`,
        ),
      );
      return undefined;
    }
    // The id of the gap is computed before `#seen` advances: a gap is after the previous event.
    const own = this.#gaps[index] ?? (event.gap && this.#joint(index, event.gap));
    const gap = own ? mergeGaps(this.#before, own) : this.#before;
    this.#gaps[index] = this.#before = undefined;
    this.#seen[index] = event.id;
    return { value: withId(event, id, gap), done: false };
  }

  /** Reads from every branch without a pending read. */
  #read(): void {
    this.#branches.forEach((branch, index) => {
      if (this.#reading.has(index) || this.#over.has(index)) return;
      this.#reading.add(index);
      // The event is kept at once, so that a new fork has it too. It is delivered in a later
      // microtask.
      branch.read((result) => {
        // The branch has failed, and `onEnd` has reported it.
        if (isThenable(result)) return void result.then(() => this.#serve(), () => {});
        this.#reading.delete(index);
        if (!result.done) this.#arrived.push({ index, event: result.value });
        soon(() => this.#serve());
      });
    });
  }

  #serve(): void {
    while (this.#waiters.length > 0 && this.ending.outcome === undefined) {
      const result = this.#take();
      if (result === undefined) break;
      this.#waiters.shift()!(result);
    }
    if (this.#waiters.length > 0) this.#read();
  }

  #reportFirst(): void {
    const gap = this.#first;
    if (gap === undefined) return;
    this.#first = undefined;
    this.#before = gap;
    this.#report(gap);
  }

  #meet(index: number, gap: Gap): void {
    const met = this.#joint(index, gap);
    this.#gaps[index] = mergeGaps(this.#gaps[index], met);
    this.#report(met);
  }

  /** Gap of one branch, with a joint id. */
  #joint(index: number, gap: Gap): Gap {
    if (gap.after === undefined) return gap;
    return { ...gap, after: this.#scope.id(this.#seen.with(index, gap.after)) };
  }

  #report(gap: Gap): void {
    try {
      this.onGap?.(gap);
    } catch (error) {
      this.fail(error);
    }
  }

  /** An error ends the merge. Otherwise the other branches are read to their ends. */
  #branchEnded(index: number, outcome: Outcome): void {
    if ("error" in outcome) return this.#leave(outcome);
    this.#over.add(index);
    if (outcome.end) this.#end = outcome.end;
    else this.#isFinished = false;
  }

  #leave(outcome: Outcome): void {
    if (this.ending.outcome !== undefined) return;
    this.ending.outcome = outcome;
    for (const branch of this.#branches) {
      branch.ending.onEnd = undefined;
      branch.close();
    }
    this.onLeave?.();
    const waiters = this.#waiters.splice(0);
    if (waiters.length === 0) return this.ending.end();
    for (const waiter of waiters) waiter(this.ending.conclude());
  }
}
