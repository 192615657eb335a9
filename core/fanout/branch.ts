/**
 * One reader's cursor into the ring of a tee: notices when it falls behind, and counts what it
 * missed.
 *
 * @module
 */

import { type Delivery, type Gap, mergeGaps, withId } from "../backend/event.ts";
import {
  Ending,
  type EventReader,
  finishBehind,
  type Outcome,
  type Result,
  type Waiter,
  WITHDRAWN,
} from "./reader.ts";
import { Replay } from "./replay.ts";
import type { BranchOptions } from "./start.ts";
import type { Tee } from "./tee.ts";

/**
 * A cursor into the ring of a tee that is waiter and iterator as well: a plain
 * object, since state on a stream object costs up to nine times as much on
 * Node 20, and the hottest one there is.
 *
 * @typeParam Message What the events carry.
 */
export class Branch<Message> implements EventReader<Message> {
  // What every read touches comes first, to lie together.
  /** The place among the branches that wait; kept by the tee. */
  place = -1;
  readonly #tee: Tee<Message>;
  /** Up to which change of the tee there is nothing to heed; -1 while there is. */
  #heeded = -1;
  #cursor: number;
  #waiter: Waiter<Message> | undefined;
  /** Reads behind the one that waits; hardly ever used. */
  #queue: Waiter<Message>[] | undefined;
  /** What it has read last of a ring behind which there is a log, and what stands for what was before. */
  #seen: Delivery<Message> | undefined;
  #origin: string;
  /** How it ended, once it has. */
  readonly ending: Ending<Message> = new Ending();
  /** Called once, when it has left the tee. */
  onLeave: (() => void) | undefined;
  /** Told of each gap. */
  onGap: ((gap: Gap) => void) | undefined;
  readonly #onOwnGap: ((gap: Gap) => void) | undefined;
  #gapsMet: number;
  #endsMet: number;
  /** Its way through the log into the ring, until the ring has caught up with it. */
  #replay: Replay<Message> | undefined;
  /** The gaps met since the last event, merged. */
  #gap: Gap | undefined;
  /** A gap from before the start, of which the reader must be told first. */
  #first: Gap | undefined;

  /**
   * @param tee What it reads.
   * @param options Where it starts.
   */
  constructor(tee: Tee<Message>, options: BranchOptions) {
    this.#tee = tee;
    this.#cursor = options.after === undefined ? tee.ring.head : options.after + 1;
    this.#gapsMet = options.after === undefined ? tee.gapCount : tee.gapsUpTo(options.after);
    this.#endsMet = tee.ends.count;
    this.#origin = tee.id;
    if (options.replay) this.#replay = new Replay(tee, options.replay);
    this.#first = options.gap;
    this.onGap = options.onGap;
    this.#onOwnGap = options.onOwnGap;
  }

  /** The id that stands for what it has read; none while a gap before it was not told. */
  get id(): string | undefined {
    if (this.#first !== undefined) return undefined;
    if (this.#replay !== undefined) return this.#replay.id;
    if (this.#tee.log !== undefined) return this.#seen?.value.id ?? this.#origin;
    return this.#tee.epoch.id(this.#cursor - 1);
  }

  /** Resolves once it is known where it starts. */
  async started(): Promise<void> {
    await this.#replay?.fetch();
  }

  /** The next event; reads that overlap are answered in their order. */
  next(): Promise<Result<Message>> {
    if (this.#heeded === this.#tee.changes && this.#waiter === undefined) {
      const { ring } = this.#tee;
      const cursor = this.#cursor;
      if (cursor === ring.head) {
        // A function that is made here is inlined: one made once costs a quarter more.
        return new Promise((resolve) => {
          this.#waiter = resolve;
          this.place = this.#tee.park(this);
        });
      }
      if (cursor >= ring.oldest) {
        this.#cursor = cursor + 1;
        const cell = ring.at(cursor);
        this.#seen = cell.result;
        return cell.ready ??= Promise.resolve(cell.result);
      }
    }
    return this.#heedAndNext();
  }

  /** The next event if there is one already, for readers that take several at once. */
  take(): Delivery<Message> | undefined {
    if (this.ending.outcome !== undefined || this.#waiter !== undefined) return undefined;
    const { ring } = this.#tee;
    if (this.#heeded !== this.#tee.changes || this.#cursor < ring.oldest) {
      this.#heed();
      if (this.ending.outcome !== undefined) return undefined;
    }
    if (this.#replay !== undefined) {
      const result = this.#takeReplayed(this.#replay);
      if (result !== undefined || this.ending.outcome !== undefined) return result;
    } else if (this.#cursor < ring.head) {
      return this.#stamp(this.#seen = ring.at(this.#cursor++).result);
    }
    // Read only now: being told of a gap, the user may have ended the tee.
    if (this.#tee.outcome !== undefined) this.#leave(this.#tee.outcome);
    return undefined;
  }

  /** The tee has written the event that this branch waits for. */
  wake(result: Delivery<Message>): void {
    const waiter = this.#waiter!;
    this.#waiter = undefined;
    if (this.#heeded >= 0 && this.#queue === undefined) {
      this.#cursor++;
      this.#seen = result;
      return waiter(result);
    }
    if (this.#replay !== undefined) return this.#serveFirst(waiter);
    this.#cursor++;
    this.#seen = result;
    waiter(this.#gap === undefined ? result : this.#stamp(result));
    if (this.#queue !== undefined) this.#serve();
  }

  /** Something other than an event has come while this branch waits. */
  notice(): void {
    const waiter = this.#unpark();
    if (waiter !== undefined) this.#serveFirst(waiter);
  }

  /** Takes the reads that wait back: they resolve with `WITHDRAWN`. */
  withdraw(): void {
    const queue = this.#queue ?? [];
    this.#queue = undefined;
    this.#unpark()?.(WITHDRAWN);
    for (const waiter of queue) waiter(WITHDRAWN);
  }

  /** Ends it at once: reads resolve as done, what was not read is dropped. */
  close(): void {
    this.#finish({});
  }

  /** Ends it at once: the next read rejects, what was not read is dropped. */
  fail(error: unknown): void {
    this.#finish({ error });
  }

  #finish(outcome: Outcome): void {
    const waiter = this.#unpark();
    this.#leave(outcome);
    if (waiter !== undefined) (this.#queue ??= []).unshift(waiter);
    if (this.#queue !== undefined) this.#serve();
    else this.ending.end();
  }

  #wait(waiter: Waiter<Message>): void {
    if (this.#waiter !== undefined) return void (this.#queue ??= []).push(waiter);
    this.#waiter = waiter;
    if (this.#replay === undefined || this.#replay.entered) {
      this.place = this.#tee.park(this);
      return;
    }
    this.place = -1;
    this.#tee.fetching(this, true);
    this.#replay.fetch().then(() => this.notice(), (error) => this.#waiter && this.fail(error));
  }

  #unpark(): Waiter<Message> | undefined {
    const waiter = this.#waiter;
    if (waiter === undefined) return undefined;
    if (this.place < 0) this.#tee.fetching(this, false);
    else this.#tee.unpark(this.place);
    this.#waiter = undefined;
    return waiter;
  }

  #serveFirst(waiter: Waiter<Message>): void {
    (this.#queue ??= []).unshift(waiter);
    this.#serve();
  }

  /** Answers the reads in the queue with what there is; the first that must wait waits. */
  #serve(): void {
    const queue = this.#queue ?? [];
    this.#queue = undefined;
    for (const waiter of queue) {
      if (this.#waiter !== undefined) this.#wait(waiter);
      else {
        const cell = this.take();
        if (cell !== undefined) waiter(cell);
        else if (this.ending.outcome !== undefined) waiter(this.ending.conclude());
        else this.#wait(waiter);
      }
    }
  }

  /** What comes next on the way from the log into the ring. */
  #takeReplayed(replay: Replay<Message>): Delivery<Message> | undefined {
    for (let step = replay.step(); step !== undefined; step = replay.step()) {
      if (step.end) return void this.#leave(finishBehind(this.#gap, this.onGap));
      if (step.gap === undefined) return this.#stamp(this.#seen = step.result);
      if (step.own) this.#onOwnGap?.(step.gap);
      this.#meet(step.gap);
      if (this.ending.outcome !== undefined) return undefined;
    }
    if (replay.over) {
      ({ cursor: this.#cursor, gapsMet: this.#gapsMet } = replay);
      if (this.#seen === undefined) this.#origin = replay.id;
      this.#endsMet = this.#tee.ends.count;
      this.#replay = undefined;
    }
    return undefined;
  }

  #heedAndNext(): Promise<Result<Message>> {
    if (this.#waiter === undefined) {
      const cell = this.take();
      if (cell !== undefined) return Promise.resolve(cell);
      if (this.ending.outcome !== undefined) return this.ending.conclude();
    }
    return new Promise((resolve) => this.#wait(resolve));
  }

  /**
   * The tee has changed, or there is something to tell this reader: until all of
   * it is told and behind, every read passes here.
   */
  #heed(): void {
    this.#meetGaps();
    const { changes, gapCount, outcome, ends } = this.#tee;
    const isEnd = !this.#replay && ends.isAt(this.#cursor, this.#endsMet);
    if (isEnd) this.#leave(finishBehind(this.#gap, this.onGap));
    const clean = this.#gap === undefined && this.#gapsMet === gapCount && !this.#replay &&
      this.#endsMet === ends.count && outcome === undefined && this.ending.outcome === undefined;
    this.#heeded = clean ? changes : -1;
  }

  /** The reader fell behind the ring, or a gap lies at the cursor. */
  #meetGaps(): void {
    const gaps = this.#first === undefined ? [] : [this.#first];
    this.#first = undefined;
    const { ring, epoch, tailPosition } = this.#tee;
    if (this.#replay === undefined && this.#cursor < ring.oldest) {
      if (tailPosition !== undefined) {
        const position = tailPosition.at(this.#seen?.value.id ?? this.#origin);
        this.#replay = new Replay(this.#tee, { position }, this.#cursor);
      } else {
        const missed = ring.oldest - this.#cursor;
        const gap: Gap = { cause: "overflow", after: epoch.id(this.#cursor - 1), missed };
        this.#cursor = ring.oldest;
        this.#onOwnGap?.(gap);
        gaps.push(gap);
      }
    }
    if (this.#replay === undefined) {
      gaps.push(...this.#tee.gapsFrom(this.#gapsMet, this.#cursor));
      this.#gapsMet = this.#tee.gapsUpTo(this.#cursor);
    }
    for (const gap of gaps) this.#meet(gap);
  }

  #meet(gap: Gap): void {
    if (this.ending.outcome !== undefined) return;
    this.#gap = mergeGaps(this.#gap, gap);
    try {
      this.onGap?.(gap);
    } catch (error) {
      this.#leave({ error });
    }
  }

  /** The event as this branch sees it: with the gap before it. */
  #stamp(cell: Delivery<Message>): Delivery<Message> {
    if (this.#gap === undefined) return cell;
    const gap = this.#gap;
    this.#gap = undefined;
    return { value: withId(cell.value, cell.value.id, gap), done: false };
  }

  #leave(outcome: Outcome): void {
    if (this.ending.outcome !== undefined) return;
    this.ending.outcome = outcome;
    this.#heeded = -1;
    this.#tee.size--;
    this.onLeave?.();
  }
}
