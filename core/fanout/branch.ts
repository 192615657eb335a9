/**
 * A reader's cursor into the ring of a tee. Detects that it fell behind, and counts missed events.
 *
 * @module
 */

import { type Delivery, type Gap, mergeGaps, withId } from "../backend/event.ts";
import type { Position } from "../backend/position.ts";
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
import type { Cell, Tee } from "./tee.ts";

/**
 * A cursor into the ring of a tee. Every event passes here, so cursor, waiter and iterator are one
 * plain object. State on a stream object costs up to nine times as much on Node 20.
 *
 * @typeParam Message Type of the messages.
 */
export class Branch<Message> implements EventReader<Message> {
  // Fields used by every read come first, to be adjacent in memory.
  /** Index among the waiting branches; -1 while it waits for a page. Maintained by the tee. */
  place = -1;
  readonly #tee: Tee<Message>;
  /** Last tee version handled; -1 if notices are pending. */
  #handled = -1;
  #cursor: number;
  /**
   * The cursor minus the number of delivered events, so that counting costs nothing for each event.
   */
  #base: number;
  #waiter: Waiter<Message> | undefined;
  /** The reads behind the waiting one. Rarely used. */
  #queue: Waiter<Message>[] | undefined;
  /** Position after the last record read, if there is a log. */
  #position: Position | undefined;
  /** Whether and how the reader has ended. */
  readonly ending: Ending<Message>;
  /** Called once, when the branch has left the tee, to release its signal. */
  onLeave: (() => void) | undefined;
  /** Called for each gap. An error that it throws ends the branch. */
  onGap: ((gap: Gap) => void) | undefined;
  readonly #onOwnGap: ((gap: Gap) => void) | undefined;
  #gapsMet: number;
  #endsMet: number;
  /** Replay of the log, until the ring has caught up with it. */
  #replay: Replay<Message> | undefined;
  /** Gaps since the last event, merged. */
  #gap: Gap | undefined;
  /** Gap before the start, to be reported first. */
  #first: Gap | undefined;

  /**
   * @param tee Tee to read.
   * @param options Additional options.
   * @param ending Whether and how the reader has ended.
   */
  constructor(tee: Tee<Message>, options: BranchOptions, ending = new Ending<Message>()) {
    this.#tee = tee;
    this.ending = ending;
    this.#cursor = options.after === undefined ? tee.ring.head : options.after + 1;
    this.#base = this.#cursor - (options.delivered ?? 0);
    this.#gapsMet = options.after === undefined ? tee.gapCount : tee.gapsUpTo(options.after);
    this.#endsMet = tee.ends.count;
    this.#position = tee.tailPosition?.position;
    if (options.replay) this.#replay = new Replay(tee, options.replay);
    this.#first = options.gap;
    this.onGap = options.onGap;
    this.#onOwnGap = options.onOwnGap;
  }

  /** Id of the position read so far. `undefined` while a gap before it is not reported. */
  get id(): string | undefined {
    if (this.#first !== undefined) return undefined;
    if (this.#replay !== undefined) return this.#replay.id;
    const { epoch, tailPosition } = this.#tee;
    return tailPosition ? tailPosition.scope.id(this.#position!) : epoch.id(this.#cursor - 1);
  }

  /** Number of events delivered. */
  get delivered(): number {
    return this.#cursor - this.#base;
  }

  /** Number of unread events. A lower bound while the branch reads the log. */
  get lag(): number {
    return this.#replay ? this.#replay.lag : this.#tee.ring.head - this.#cursor;
  }

  /** Resolves once the start position is known. */
  async started(): Promise<void> {
    await this.#replay?.placed();
  }

  /** Reads the next event. Concurrent reads are resolved in order. */
  next(): Promise<Result<Message>> {
    if (this.#handled === this.#tee.changes && this.#waiter === undefined) {
      const { ring } = this.#tee;
      const cursor = this.#cursor;
      if (cursor === ring.head) {
        // A closure made here is inlined; a reused function is 25% slower.
        return new Promise((resolve) => {
          this.#waiter = resolve;
          this.place = this.#tee.park(this);
        });
      }
      if (cursor >= ring.oldest) {
        this.#cursor = cursor + 1;
        const cell = ring.at(cursor);
        this.#position = cell.position;
        return cell.ready ??= Promise.resolve(cell.result);
      }
    }
    return this.#handleAndNext();
  }

  /** Reads the next event with a callback, called synchronously when the event arrives. */
  read(waiter: Waiter<Message>): void {
    if (this.#waiter !== undefined) this.#wait(waiter);
    else if (this.#handled === this.#tee.changes && this.#cursor === this.#tee.ring.head) {
      this.#waiter = waiter;
      this.place = this.#tee.park(this);
    } else this.#serveFirst(waiter);
  }

  /**
   * Creates a branch at the same position, with the same pending gaps. Pending reads stay with this
   * branch.
   */
  fork(): Branch<Message> {
    const { onGap } = this;
    const options = { gap: this.#first, onGap, onOwnGap: this.#onOwnGap };
    const fork = new Branch(this.#tee, options, this.ending.fork());
    if (this.ending.outcome === undefined) this.#tee.branches.add(fork);
    fork.#handled = this.#handled;
    fork.#cursor = fork.#base = this.#cursor;
    fork.#position = this.#position;
    fork.#gapsMet = this.#gapsMet;
    fork.#endsMet = this.#endsMet;
    fork.#replay = this.#replay?.fork();
    fork.#gap = this.#gap;
    return fork;
  }

  /** Returns the next event if one is available, for readers that take several at once. */
  take(): Delivery<Message> | undefined {
    if (this.ending.outcome !== undefined || this.#waiter !== undefined) return undefined;
    const { ring } = this.#tee;
    if (this.#handled !== this.#tee.changes || this.#cursor < ring.oldest) {
      this.#handleNotices();
      if (this.ending.outcome !== undefined) return undefined;
    }
    if (this.#replay !== undefined) {
      const result = this.#takeReplayed(this.#replay);
      if (result !== undefined || this.ending.outcome !== undefined) return result;
    } else if (this.#cursor < ring.head) {
      const { position, result } = ring.at(this.#cursor++);
      this.#position = position;
      return this.#stamp(result);
    }
    // Checked only now, since the user's `onGap` may have ended the tee.
    if (this.#tee.outcome !== undefined) this.#leave(this.#tee.outcome);
    return undefined;
  }

  /** Delivers the event that this branch waits for. Called by the tee. */
  wake({ position, result }: Cell<Message>): void {
    const waiter = this.#waiter!;
    this.#waiter = undefined;
    if (this.#handled >= 0 && this.#queue === undefined) {
      this.#cursor++;
      this.#position = position;
      return waiter(result);
    }
    if (this.#replay !== undefined) return this.#serveFirst(waiter);
    this.#cursor++;
    this.#position = position;
    waiter(this.#stamp(result));
    if (this.#queue !== undefined) this.#serve();
  }

  /** Handles a gap, an end or a page that arrives while this branch waits. */
  notice(): void {
    const waiter = this.#unpark();
    if (waiter !== undefined) this.#serveFirst(waiter);
  }

  /** Cancels pending reads: they resolve with `WITHDRAWN`. */
  withdraw(): void {
    const queue = this.#queue ?? [];
    this.#queue = undefined;
    this.#unpark()?.(WITHDRAWN);
    for (const waiter of queue) waiter(WITHDRAWN);
  }

  /** Ends the reader immediately: reads resolve as done, unread events are dropped. */
  close(): void {
    this.#finish({});
  }

  /** Ends the reader immediately: the next read rejects, unread events are dropped. */
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

  /** Resolves queued reads with available events. The first read without an event waits. */
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

  /** Returns the next event of the replay, if one is available. */
  #takeReplayed(replay: Replay<Message>): Delivery<Message> | undefined {
    for (let step = replay.step(); step !== undefined; step = replay.step()) {
      if (step.end) return void this.#leave(finishBehind(step.end, this.#gap, this.onGap));
      if (step.gap === undefined) {
        this.#base--;
        return this.#stamp(step.result);
      }
      if (step.own) this.#onOwnGap?.(step.gap);
      this.#meet(step.gap);
      if (this.ending.outcome !== undefined) return undefined;
    }
    if (replay.over) {
      this.#base += replay.cursor - this.#cursor;
      ({ cursor: this.#cursor, gapsMet: this.#gapsMet, position: this.#position } = replay);
      this.#endsMet = this.#tee.ends.count;
      this.#replay = undefined;
    }
    return undefined;
  }

  #handleAndNext(): Promise<Result<Message>> {
    if (this.#waiter === undefined) {
      const cell = this.take();
      if (cell !== undefined) return Promise.resolve(cell);
      if (this.ending.outcome !== undefined) return this.ending.conclude();
    }
    return new Promise((resolve) => this.#wait(resolve));
  }

  /**
   * Handles changes of the tee, and pending gaps. Until all are handled, every read takes this path.
   */
  #handleNotices(): void {
    this.#meetGaps();
    const { changes, gapCount, outcome, ends } = this.#tee;
    const end = this.#replay ? undefined : ends.at(this.#cursor, this.#endsMet);
    if (end) this.#leave(finishBehind(end, this.#gap, this.onGap));
    const clean = this.#gap === undefined && this.#gapsMet === gapCount && !this.#replay &&
      this.#endsMet === ends.count && outcome === undefined && this.ending.outcome === undefined;
    this.#handled = clean ? changes : -1;
  }

  /** Handles gaps at the cursor, and a cursor that fell behind the ring. */
  #meetGaps(): void {
    const gaps = this.#first === undefined ? [] : [this.#first];
    this.#first = undefined;
    const { ring, epoch, tailPosition } = this.#tee;
    if (this.#replay === undefined && this.#cursor < ring.oldest) {
      if (tailPosition !== undefined) {
        this.#replay = new Replay(this.#tee, { position: this.#position! }, this.#cursor);
      } else {
        const missed = ring.oldest - this.#cursor;
        const gap: Gap = { cause: "overflow", after: epoch.id(this.#cursor - 1), missed };
        this.#cursor = ring.oldest;
        this.#base += missed;
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

  /** Adds the gap before the event, if there is one. */
  #stamp(cell: Delivery<Message>): Delivery<Message> {
    if (this.#gap === undefined) return cell;
    const gap = this.#gap;
    this.#gap = undefined;
    return { value: withId(cell.value, cell.value.id, gap), done: false };
  }

  #leave(outcome: Outcome): void {
    if (this.ending.outcome !== undefined) return;
    this.ending.outcome = outcome;
    this.#handled = -1;
    this.#tee.leave(this);
    this.onLeave?.();
  }
}
