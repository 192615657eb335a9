/**
 * A reader's catch-up: pages of the log, and the gaps in them, until it can enter the ring.
 *
 * @module
 */

import { type Delivery, type Gap, withId } from "../backend/event.ts";
import type { Position } from "../backend/position.ts";
import { leadsOn, type LogCell } from "../log/pages.ts";
import type { TailPosition } from "../log/tail_position.ts";
import type { Tee } from "./tee.ts";

/** Where a replay starts: behind a position, or before so many of the newest records. */
export type ReplayStart =
  | { readonly position: Position; readonly last?: undefined }
  | { readonly last: number };

/** What comes next: an event, a gap, that may be this reader's own, or the channel's end. */
export type Step<Message> =
  | { readonly result: Delivery<Message>; readonly gap?: undefined; readonly end?: undefined }
  | { readonly gap: Gap; readonly own: boolean; readonly end?: undefined }
  | { readonly end: true; readonly gap?: undefined };

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
  readonly #tailPosition: TailPosition;
  /** How many records of the past are yet to be looked for. */
  #last: number | undefined;
  /** The event of the ring that its reader wants while it goes through the log instead. */
  #wanted: number | undefined;
  readonly #gaps: Step<Message>[] = [];
  #cells: readonly LogCell<Message>[] = [];
  #index = 0;
  /** The log in which its position lies; -1 while that is not known. */
  #era = -1;
  /** Whether that is certain: the tail may have yet to learn that the log was begun anew. */
  #certain = false;
  #fetching: Promise<void> | undefined;
  #misses = 0;

  /**
   * @param tee Where it leads.
   * @param start Where it starts.
   * @param wanted The event of the ring that its reader fell behind at.
   */
  constructor(tee: Tee<Message>, start: ReplayStart, wanted?: number) {
    this.#tee = tee;
    const tailPosition = this.#tailPosition = tee.tailPosition!;
    this.#wanted = wanted;
    this.cursor = tee.ring.head;
    this.#last = start.last;
    this.position = start.last === undefined ? start.position : tailPosition.position;
    if (start.last !== undefined) return;
    // Who has read an event behind the floor stands in this log, who has not in an earlier one.
    const isHere =
      wanted !== undefined && (wanted > tailPosition.floor || tailPosition.era === 1) ||
      tee.holds(this.position);
    this.#certain = isHere || wanted !== undefined;
    if (this.#certain) this.#era = isHere ? tailPosition.era : tailPosition.era - 1;
  }

  /** The id of its position. */
  get id(): string {
    return this.#tailPosition.scope.id(this.position);
  }

  /** Whether the ring has caught up with it, and it with the ring. */
  get over(): boolean {
    return this.entered && this.cursor === this.#tee.ring.head &&
      this.#tailPosition.position.reaches(this.position);
  }

  /** What comes next; nothing while a page has to be fetched, or the ring is read to its end. */
  step(): Step<Message> | undefined {
    if (this.entered && this.cursor < this.#tee.ring.oldest) this.#fallBehind();
    if (!this.entered) {
      const step = this.#stepLog() ?? this.#beginAnew();
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
      if (cell.isEnd) return { end: true };
      if (!cell.result) continue;
      if (this.#wanted !== undefined) this.#wanted++;
      return { result: this.#stamp(cell.result) };
    }
    return undefined;
  }

  /** The log of its position is gone, the tee knows: it goes on where the new one begins. */
  #beginAnew(): Step<Message> | undefined {
    const { era, cause, from } = this.#tailPosition;
    if (!this.#certain || this.#era === era) return undefined;
    const gap: Gap = { cause, after: this.id };
    this.entered = false;
    this.position = from;
    this.#era = era;
    this.#wanted = undefined;
    return { gap, own: false };
  }

  #enter(): boolean {
    const { number, position } = this.#tee.entry;
    if (this.#last !== undefined) return false;
    if (!this.#certain && this.#tee.holds(this.position)) this.#settle(this.#tailPosition.era);
    if (!this.#certain || this.#era !== this.#tailPosition.era) return false;
    if (!this.position.reaches(position)) return false;
    this.#enterAt(number);
    return true;
  }

  #enterAt(number: number): void {
    this.entered = true;
    this.#certain = true;
    this.#wanted = undefined;
    this.#cells = [];
    this.cursor = number;
    // Not those before this log was begun: this reader stands in it.
    this.gapsMet = Math.max(this.#tee.gapsUpTo(number - 1), this.#tailPosition.gapCount);
  }

  #settle(era: number): void {
    this.#era = era;
    this.#certain = true;
  }

  #stepRing(): Step<Message> | undefined {
    const { ring } = this.#tee;
    const { era, floor, from } = this.#tailPosition;
    // Where the floors in between lie is not known any more.
    if (era - this.#era > 1) return this.#beginAnew();
    // Behind the floor are places of another log, that say nothing about those before.
    const end = era === this.#era ? ring.head : floor;
    // A gap before an event that it has may still concern another shard.
    const isPast = this.position.places.length <= 1;
    while (this.cursor < end && this.position.covers(ring.at(this.cursor).place!)) {
      if (isPast) this.gapsMet = this.#tee.gapsUpTo(this.cursor);
      this.cursor++;
    }
    for (const gap of this.#tee.gapsFrom(this.gapsMet, this.cursor)) {
      // What the tail has missed, this reader need not.
      const { missed: _, ...uncounted } = gap;
      this.#gaps.push({ gap: gap.after === this.id ? gap : uncounted, own: false });
    }
    this.gapsMet = this.#tee.gapsUpTo(this.cursor);
    if (this.cursor >= end && era !== this.#era) {
      this.position = from;
      this.#era = era;
    }
    const gap = this.#gaps.shift();
    if (gap) return gap;
    const ended = this.#tee.ends.uncovered(this.cursor, this.position, this.#era);
    if (ended) {
      this.position = this.position.with(ended);
      return { end: true };
    }
    if (this.cursor === ring.head) return undefined;
    const { place, result } = ring.at(this.cursor++);
    this.position = this.position.with(place!);
    return { result: this.#stamp(result) };
  }

  #fallBehind(): void {
    this.entered = false;
    this.#cells = [];
    this.#wanted = this.cursor;
  }

  async #fetch(): Promise<void> {
    const { era } = this.#tailPosition;
    const log = this.#tee.log!;
    const { position } = this;
    const page = this.#last === undefined ? await log.page(position) : await log.last(this.#last);
    // It has left the old log meanwhile.
    if (this.entered || this.position !== position) return;
    if (this.#last !== undefined) this.position = page.from;
    this.#last = undefined;
    this.#cells = page.cells;
    this.#index = 0;
    // A gap that leads nowhere would be found again and again, in one turn.
    if (leadsOn(page.cells, this.position)) this.#misses = 0;
    else if (page.cells.length > 0 || !await this.#enters(era)) await this.#miss(log);
    // What it has lost may still be in the ring.
    if (page.cells[0]?.gap && !page.cells[0].gap.restart) await this.#prove(era);
  }

  /** Whether it can enter the ring where it stands, at the end of the log. */
  async #enters(era: number): Promise<boolean> {
    return this.position.reaches(this.#tee.entry.position) && await this.#prove(era);
  }

  /**
   * Whether it stands in the tail's log of an era, during which a page was read: it does if the
   * log, asked later, still is that one.
   */
  async #prove(era: number): Promise<boolean> {
    const { position } = this;
    if (this.#certain || this.#tee.holds(position)) return true;
    const isHere = await this.#tee.log!.holds(this.#tailPosition.position);
    if (!isHere || era !== this.#tailPosition.era || position !== this.position) return false;
    this.#settle(era);
    return true;
  }

  /** The log shows less than the tail has brought: a replica that lags, or one that lost its end. */
  async #miss(log: { pause(attempt: number): Promise<void> }): Promise<void> {
    // The log is what is true: who may stand in another one than the tail follows the log.
    const isHere = this.#certain && this.#era === this.#tailPosition.era;
    if (this.#misses++ < PATIENCE || !isHere) return await log.pause(this.#misses);
    const { position } = this.#tee.entry;
    this.#gaps.push({ gap: { cause: "trimmed", after: this.id }, own: true });
    this.position = position.union(this.position);
    this.#cells = [];
  }

  /** What the log has lost may still be in the ring. */
  #skip({ gap }: LogCell<Message>): Gap {
    const after = this.id;
    const { cause, missed, restart } = gap!;
    const next = this.#cells[this.#index]?.place;
    const held = restart || !next || !this.#certain || this.#era !== this.#tailPosition.era
      ? undefined
      : this.#tee.heldBefore(next, this.position);
    const wanted = this.#wanted;
    this.#wanted = undefined;
    if (held) this.#enterAt(held.number);
    if (held && wanted !== undefined) {
      const counted = this.#tee.gapsUpTo(wanted - 1) === this.#tee.gapsUpTo(held.number - 1);
      return { cause: "overflow", after, ...counted && { missed: held.number - wanted } };
    }
    if (restart) this.position = cause === "trimmed" ? this.position.union(restart) : restart;
    // Nor does what was trimmed tell which log it was of.
    this.#certain = held !== undefined;
    const left = missed === undefined || !held
      ? missed
      : held.exact
      ? missed - held.count
      : undefined;
    return { cause, after, ...left !== undefined && { missed: left } };
  }

  /** Its own vector, until that is the page's or the ring's. */
  #stamp(result: Delivery<Message>): Delivery<Message> {
    if (this.position.places.length <= 1) return result;
    const { id } = this;
    return id === result.value.id ? result : { value: withId(result.value, id), done: false };
  }
}
