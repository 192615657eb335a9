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
import {
  Ending,
  type EventReader,
  finishBehind,
  type Outcome,
  type Result,
  type Waiter,
  WITHDRAWN,
} from "./reader.ts";

/** Where a merge starts. */
export interface MergeOptions<Message> {
  /** The ids that stand for the channels together. */
  readonly scope: JointScope;
  /** Events from before the branches start, oldest first, each with its branch. */
  readonly past?: readonly Arrival<Message>[] | undefined;
  /** What those of each branch lie behind. */
  readonly from?: readonly (string | undefined)[] | undefined;
  /** A gap that lies before the first event. */
  readonly gap?: Gap | undefined;
  /** Told of each gap. What it throws ends the merge. */
  readonly onGap?: ((gap: Gap) => void) | undefined;
}

/** An event, and which of the branches it is of. */
export interface Arrival<Message> {
  readonly index: number;
  readonly event: BroadcastEvent<Message>;
}

/**
 * Reads several branches in turn, each in its own order. At most one event of
 * each is taken ahead; all others wait in their rings.
 *
 * @typeParam Message What the events carry.
 */
export class Merge<Message> implements EventReader<Message> {
  /** How it ended, once it has. */
  readonly ending: Ending<Message> = new Ending();
  /** Called once, when nothing will be read from it any more. */
  onLeave: (() => void) | undefined;
  /** Told of each gap. */
  onGap: ((gap: Gap) => void) | undefined;
  readonly #branches: readonly EventReader<Message>[];
  readonly #scope: JointScope;
  /** What has been given of each branch. */
  readonly #seen: string[];
  /** What was taken and not given yet. */
  readonly #arrived: Arrival<Message>[];
  /** The gap before the next event of each branch. */
  readonly #gaps: (Gap | undefined)[];
  /** Those that are being asked, and those that have ended. */
  readonly #reading = new Set<number>();
  readonly #over = new Set<number>();
  /** Whether those that have ended did so because their channels were. */
  #isFinished = true;
  /** A gap that its reader must be told of first, and then before the first event. */
  #first: Gap | undefined;
  #before: Gap | undefined;
  /** Which branch has its turn. */
  #turn = 0;
  #waiters: Waiter<Message>[] = [];

  /**
   * @param branches What it reads: its own, that end with it.
   * @param options Where it starts.
   */
  constructor(branches: readonly EventReader<Message>[], options: MergeOptions<Message>) {
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

  /** The id that stands for what it has read; none while a gap before it was not told. */
  get id(): string | undefined {
    return this.#first === undefined ? this.#scope.id(this.#seen) : undefined;
  }

  /** The next event; reads that overlap are answered in their order. */
  next(): Promise<Result<Message>> {
    if (this.#waiters.length === 0) {
      const result = this.take();
      if (result !== undefined) return Promise.resolve(result);
      if (this.ending.outcome !== undefined) return this.ending.conclude();
    }
    return new Promise((resolve) => {
      this.#waiters.push(resolve);
      this.#read();
    });
  }

  /** The next event if there is one already, for readers that take several at once. */
  take(): Delivery<Message> | undefined {
    this.#tellFirst();
    if (this.ending.outcome !== undefined || this.#waiters.length > 0) return undefined;
    return this.#take();
  }

  /** Takes the reads that wait back: they resolve with `WITHDRAWN`. */
  withdraw(): void {
    for (const waiter of this.#waiters.splice(0)) waiter(WITHDRAWN);
  }

  /** Ends it at once: reads resolve as done, what was not read is dropped. */
  close(): void {
    this.#leave({});
  }

  /** Ends it at once: the next read rejects, what was not read is dropped. */
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
    this.#leave(this.#isFinished ? finishBehind(gap, this.onGap) : {});
    return undefined;
  }

  /** The event under the id of all channels together. */
  #give({ index, event }: Arrival<Message>): Delivery<Message> | undefined {
    const id = this.#scope.id(this.#seen.with(index, event.id));
    if (id.length > LONGEST_ID) {
      this.fail(
        new RangeError(
          `Cannot name event of "${event.channel}": the id of all channels together takes ${id.length} bytes of ${LONGEST_ID}, subscribe to fewer`,
        ),
      );
      return undefined;
    }
    // A gap lies behind what was given before.
    const own = this.#gaps[index] ?? (event.gap && this.#joint(index, event.gap));
    const gap = own ? mergeGaps(this.#before, own) : this.#before;
    this.#gaps[index] = this.#before = undefined;
    this.#seen[index] = event.id;
    return { value: withId(event, id, gap), done: false };
  }

  /** Asks every branch that is not being asked; what comes is given to whoever waits. */
  #read(): void {
    this.#branches.forEach((branch, index) => {
      if (this.#reading.has(index) || this.#over.has(index)) return;
      this.#reading.add(index);
      branch.next().then((result) => {
        this.#reading.delete(index);
        if (!result.done) this.#arrived.push({ index, event: result.value });
        this.#serve();
        // How it ended was told already.
      }, () => {});
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

  #tellFirst(): void {
    const gap = this.#first;
    if (gap === undefined) return;
    this.#first = undefined;
    this.#before = gap;
    this.#tell(gap);
  }

  #meet(index: number, gap: Gap): void {
    const met = this.#joint(index, gap);
    this.#gaps[index] = mergeGaps(this.#gaps[index], met);
    this.#tell(met);
  }

  /** A gap of one branch, behind the id of all together. */
  #joint(index: number, gap: Gap): Gap {
    if (gap.after === undefined) return gap;
    return { ...gap, after: this.#scope.id(this.#seen.with(index, gap.after)) };
  }

  #tell(gap: Gap): void {
    try {
      this.onGap?.(gap);
    } catch (error) {
      this.fail(error);
    }
  }

  /** The others are read to their ends, unless it was an error. */
  #branchEnded(index: number, outcome: Outcome): void {
    if ("error" in outcome) return this.#leave(outcome);
    this.#over.add(index);
    if (!outcome.finished) this.#isFinished = false;
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
