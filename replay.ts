/**
 * A reader's way from the log into the ring.
 *
 * @module
 */

import type { Gap } from "./event.ts";
import type { Frontier } from "./frontier.ts";
import type { LogCell } from "./log.ts";
import type { Position } from "./position.ts";
import type { Delivery } from "./read.ts";
import type { Tee } from "./tee.ts";

/** Where a replay starts: behind a position, or before so many of the newest records. */
export type ReplayStart =
  | { readonly position: Position; readonly last?: undefined }
  | { readonly last: number };

/** What comes next: an event, or a gap, that may be this reader's own. */
export type Step<Message> =
  | { readonly result: Delivery<Message>; readonly gap?: undefined }
  | { readonly gap: Gap; readonly own: boolean };

/** How often the log is asked for what only the ring seems to have. */
const PATIENCE = 8;

/**
 * Reads pages of the log behind its own position, and enters the ring as soon
 * as that has reached the position before the ring's first event in every
 * shard. There it goes on until the ring has caught up with it in every shard.
 *
 * Meeting "by identity", at the ring's first event, would lose and repeat
 * events on a log with several shards, and never come about where the log has
 * removed that event.
 *
 * @typeParam Message What the events carry.
 */
export class Replay<Message> {
  /** What its reader has seen. */
  position: Position;
  /** Whether it has left the log for the ring. */
  entered = false;
  /** In the ring: the next event, and how many gaps were met before it. */
  cursor: number;
  gapsMet = 0;
  readonly #tee: Tee<Message>;
  readonly #frontier: Frontier;
  /** How many records of the past are yet to be looked for. */
  #last: number | undefined;
  /** The event of the ring that its reader wanted when it fell behind. */
  #wanted: number | undefined;
  #gaps: Gap[] = [];
  #cells: readonly LogCell<Message>[] = [];
  #index = 0;
  /** The log in which its position was found; none yet. */
  #era = -1;
  #fetching: Promise<void> | undefined;
  #misses = 0;

  /**
   * @param tee Where it leads.
   * @param start Where it starts.
   * @param wanted The event of the ring that its reader fell behind at.
   */
  constructor(tee: Tee<Message>, start: ReplayStart, wanted?: number) {
    this.#tee = tee;
    this.#frontier = tee.frontier!;
    this.#wanted = wanted;
    this.cursor = tee.ring.head;
    this.#last = start.last;
    this.position = start.last === undefined ? start.position : this.#frontier.position;
    if (start.last === undefined && tee.holds(this.position)) this.#era = this.#frontier.era;
  }

  /** The id of its position. */
  get id(): string {
    return this.#frontier.scope.id(this.position);
  }

  /** Whether the ring has caught up with it, and it with the ring. */
  get over(): boolean {
    return this.entered && this.cursor === this.#tee.ring.head &&
      this.#frontier.position.reaches(this.position);
  }

  /** What comes next; nothing while a page has to be fetched, or the ring is read to its end. */
  step(): Step<Message> | undefined {
    if (this.entered && this.cursor < this.#tee.ring.oldest) this.#fallBehind();
    if (!this.entered) {
      const step = this.#stepLog();
      if (step || !this.#enter()) return step;
    }
    return this.#stepRing();
  }

  /** Fetches the next page; resolves when there is something new to try. */
  fetch(): Promise<void> {
    this.#fetching ??= this.#fetch().finally(() => this.#fetching = undefined);
    return this.#fetching;
  }

  #stepLog(): Step<Message> | undefined {
    while (this.#index < this.#cells.length) {
      const cell = this.#cells[this.#index++]!;
      if (cell.gap) return { gap: this.#skip(cell), own: true };
      if (this.position.covers(cell.place!)) continue;
      this.position = this.position.with(cell.place!);
      if (cell.result) return { result: this.#stamp(cell.result) };
    }
    return undefined;
  }

  #enter(): boolean {
    const { number, position } = this.#tee.entry;
    if (this.#last !== undefined || this.#era !== this.#frontier.era) return false;
    if (!this.position.reaches(position)) return false;
    this.#enterAt(number);
    return true;
  }

  #enterAt(number: number): void {
    this.entered = true;
    this.#wanted = undefined;
    this.#cells = [];
    this.cursor = number;
    this.gapsMet = this.#tee.gapsUpTo(number - 1);
  }

  #stepRing(): Step<Message> | undefined {
    const { ring } = this.#tee;
    while (this.cursor < ring.head && this.position.covers(ring.at(this.cursor).place!)) {
      this.gapsMet = this.#tee.gapsUpTo(this.cursor++);
    }
    this.#gaps.push(...this.#tee.gapsFrom(this.gapsMet, this.cursor));
    this.gapsMet = this.#tee.gapsUpTo(this.cursor);
    const gap = this.#gaps.shift();
    if (gap) return { gap, own: false };
    if (this.cursor === ring.head) return undefined;
    const { place, result } = ring.at(this.cursor++);
    this.position = this.position.with(place!);
    return { result: this.#stamp(result) };
  }

  #fallBehind(): void {
    this.entered = false;
    this.#wanted = this.cursor;
    this.#era = -1;
  }

  async #fetch(): Promise<void> {
    const { era } = this.#frontier;
    const log = this.#tee.log!;
    const page = this.#last === undefined
      ? await log.page(this.position)
      : await log.last(this.#last);
    if (this.#last !== undefined) this.position = page.from;
    this.#last = undefined;
    this.#cells = page.cells;
    this.#index = 0;
    this.#era = era;
    if (page.cells.length > 0) this.#misses = 0;
    else if (!this.position.reaches(this.#tee.entry.position)) await this.#miss(log);
  }

  /** The log shows less than the tail has brought: a replica that lags, or one that lost its end. */
  async #miss(log: { pause(attempt: number): Promise<void> }): Promise<void> {
    if (this.#misses++ < PATIENCE) return await log.pause(this.#misses);
    const { position } = this.#tee.entry;
    this.#cells = [{ position, id: "", gap: { cause: "trimmed", restart: position } }];
  }

  /** What the log has lost may still be in the ring. */
  #skip({ gap }: LogCell<Message>): Gap {
    const after = this.id;
    const { cause, missed, restart } = gap!;
    if (restart) this.position = restart;
    const next = this.#cells[this.#index]?.place;
    const held = restart || !next || this.#era !== this.#frontier.era
      ? undefined
      : this.#tee.heldBefore(next, this.position);
    if (!held) return { cause, after, ...missed !== undefined && { missed } };
    const wanted = this.#wanted;
    this.#enterAt(held.number);
    if (wanted !== undefined) return { cause: "overflow", after, missed: held.number - wanted };
    return { cause, after, ...missed !== undefined && { missed: missed - held.count } };
  }

  /** Its own vector, until that is the page's or the ring's. */
  #stamp(result: Delivery<Message>): Delivery<Message> {
    if (this.position.places.length <= 1) return result;
    const { id } = this;
    return id === result.value.id ? result : { done: false, value: { ...result.value, id } };
  }
}
