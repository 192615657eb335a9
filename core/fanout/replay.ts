/**
 * Catch-up of a reader: reads pages of the log until it can enter the ring.
 *
 * @module
 */

import { isComparable } from "../backend/continuity.ts";
import { type Delivery, type Gap, withId } from "../backend/event.ts";
import type { Position } from "../backend/position.ts";
import type { End } from "../codec/decode.ts";
import { leadsOn, type LogCell, type PageReader } from "../log/pages.ts";
import type { TailPosition } from "../log/tail_position.ts";
import type { Tee } from "./tee.ts";

/** Start of a replay: after a position, or before the newest `last` events. */
export type ReplayStart =
  | {
    readonly position: Position;
    /** Maximum number of events to read. */
    readonly most?: number | undefined;
    readonly last?: undefined;
  }
  | { readonly last: number };

/**
 * Step of a replay: an event, a gap (`own` if it affects only this reader), or the end of the
 * channel.
 */
export type Step<Message> =
  | { readonly result: Delivery<Message>; readonly gap?: undefined; readonly end?: undefined }
  | { readonly gap: Gap; readonly own: boolean; readonly end?: undefined }
  | { readonly end: End; readonly gap?: undefined };

/** Number of times that the log is read again for events that only the ring has. */
const PATIENCE = 8;

/**
 * Reads pages of the log after its position. Enters the ring once the position has reached, in
 * every shard, the position before the ring's first event. Ends once the ring has caught up in
 * every shard.
 *
 * Entering the ring at its first event, found by identity, would not work. It would lose and repeat
 * events if the log has several shards, and never succeed if the log has removed that event.
 *
 * @typeParam Message Type of the messages.
 */
export class Replay<Message> {
  /** Position that the reader has seen. */
  position: Position;
  /** Whether the replay has left the log, and reads the ring. */
  entered = false;
  /** In the ring: number of the next event. */
  cursor: number;
  /** In the ring: number of gaps met before that event. */
  gapsMet = 0;
  readonly #tee: Tee<Message>;
  readonly #tailPosition: TailPosition;
  /** Number of recent events to start with, until the first page is read. */
  #last: number | undefined;
  /**
   * Maximum number of events to read after the position. `undefined` once the limit was applied.
   */
  #limit: number | undefined;
  /** The same limit, for use after a gap. A replaced log may be read from its start. */
  readonly #most: number | undefined;
  /** Number of the reader's next event in the ring, while it reads the log instead. */
  #wanted: number | undefined;
  #gaps: Step<Message>[] = [];
  #cells: readonly LogCell<Message>[] = [];
  #index = 0;
  /** Era of the position; -1 while unknown. */
  #era = -1;
  /**
   * Whether the era is proven. Otherwise the log may have been recreated without the tail noticing.
   */
  #certain = false;
  #fetching: Promise<void> | undefined;
  #misses = 0;
  /** Number of gaps that the limit has caused since the last event. */
  #bounds = 0;

  /**
   * @param tee Tee to enter.
   * @param start Start of the replay.
   * @param wanted Number of the event where the reader fell behind the ring.
   */
  constructor(tee: Tee<Message>, start: ReplayStart, wanted?: number) {
    this.#tee = tee;
    const tailPosition = this.#tailPosition = tee.tailPosition!;
    this.#wanted = wanted;
    this.cursor = tee.ring.head;
    this.#last = start.last;
    this.position = start.last === undefined ? start.position : tailPosition.position;
    if (start.last !== undefined) return;
    this.#limit = this.#most = start.most;
    if (wanted !== undefined) this.#settle(tailPosition.eraOf(wanted));
    else if (tee.holds(this.position)) this.#settle(tailPosition.era);
  }

  /** Creates a replay at the same position. Both share the pages that they read. */
  fork(): Replay<Message> {
    const fork = new Replay(this.#tee, { position: this.position, most: this.#most });
    fork.#limit = this.#limit;
    fork.entered = this.entered;
    fork.cursor = this.cursor;
    fork.gapsMet = this.gapsMet;
    fork.#last = this.#last;
    fork.#wanted = this.#wanted;
    fork.#gaps = [...this.#gaps];
    // A page that is still being examined is not shared; the fork fetches it again.
    const isNew = this.#fetching !== undefined && this.#index === 0;
    fork.#cells = isNew ? [] : this.#cells;
    fork.#index = this.#index;
    fork.#era = this.#era;
    fork.#certain = this.#certain;
    fork.#misses = this.#misses;
    return fork;
  }

  /** Id of the position. */
  get id(): string {
    return this.#tailPosition.scope.id(this.position);
  }

  /** Number of unread events that are known. The log may have more. */
  get lag(): number {
    const { ring } = this.#tee;
    if (this.#wanted !== undefined) return ring.head - this.#wanted;
    const start = Math.max(this.entered ? this.cursor : ring.oldest, this.#tailPosition.floor);
    let count = 0;
    for (let number = start; number < ring.head; number++) {
      if (!this.position.covers(ring.at(number).place!)) count++;
    }
    return Math.max(count, this.#cells.length - this.#index);
  }

  /** Whether the replay is at the ring's head, and the ring has caught up with its position. */
  get over(): boolean {
    return this.entered && this.cursor === this.#tee.ring.head &&
      this.#tailPosition.position.reaches(this.position);
  }

  /** Returns the next step; undefined if a page has to be fetched, or at the ring's head. */
  step(): Step<Message> | undefined {
    if (this.entered && this.cursor < this.#tee.ring.oldest) this.#fallBehind();
    if (!this.entered) {
      const step = this.#stepLog() ?? this.#startOver();
      if (step || !this.#enter()) return step;
    }
    return this.#stepRing();
  }

  /** Resolves once the position is known. A start with `last` reads the log first. */
  async placed(): Promise<void> {
    if (this.#last !== undefined) await this.fetch();
  }

  /** Fetches the next page. Resolves when `step()` should be retried. */
  fetch(): Promise<void> {
    this.#fetching ??= this.#fetch().finally(() => this.#fetching = undefined);
    return this.#fetching;
  }

  #stepLog(): Step<Message> | undefined {
    const gap = this.#gaps.shift();
    if (gap) return gap;
    // The events after a gap are read only once the limit was applied to them.
    while (this.#index < this.#cells.length && this.#limit === undefined) {
      const cell = this.#cells[this.#index++]!;
      if (cell.gap) {
        const gap = this.#skip(cell);
        this.#limit = this.#most;
        return { gap, own: true };
      }
      if (this.position.covers(cell.place!)) continue;
      this.position = this.position.with(cell.place!);
      if (cell.end) return { end: cell.end };
      if (!cell.result) continue;
      if (this.#wanted !== undefined) this.#wanted++;
      this.#bounds = 0;
      return { result: this.#stamp(cell.result) };
    }
    return undefined;
  }

  /** Handles a replaced log: continues after the newest place that both logs share. */
  #startOver(): Step<Message> | undefined {
    const { era, cause } = this.#tailPosition;
    if (!this.#certain || this.#era === era) return undefined;
    const gap: Gap = { cause, after: this.id };
    this.entered = false;
    this.position = this.#tailPosition.since(this.#era, this.position);
    this.#era = era;
    this.#wanted = undefined;
    return { gap, own: false };
  }

  #enter(): boolean {
    const { number, position } = this.#tee.entry;
    if (this.#last !== undefined) return false;
    if (this.#limit !== undefined && this.#tee.ring.head - number > this.#limit) return false;
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
    // Gaps from before this era do not concern a reader in the current log.
    this.gapsMet = Math.max(this.#tee.gapsUpTo(number - 1), this.#tailPosition.gapCount);
  }

  #settle(era: number): void {
    this.#era = era;
    this.#certain = true;
  }

  #stepRing(): Step<Message> | undefined {
    const { ring } = this.#tee;
    const { era, floor } = this.#tailPosition;
    // The floors of the eras in between are unknown.
    if (era - this.#era > 1) return this.#startOver();
    // Events from the floor on belong to another log; their places cannot be compared.
    const end = era === this.#era ? ring.head : floor;
    // With several shards, a gap before an event already seen may be of another shard.
    const isPast = this.position.places.length <= 1 &&
      this.#tailPosition.position.places.length <= 1;
    while (this.cursor < end && this.position.covers(ring.at(this.cursor).place!)) {
      if (isPast) this.gapsMet = this.#tee.gapsUpTo(this.cursor);
      this.cursor++;
    }
    for (const gap of this.#tee.gapsFrom(this.gapsMet, this.cursor)) {
      // The tail's count does not apply: this reader may have seen some of the events.
      const { missed: _, ...uncounted } = gap;
      this.#gaps.push({ gap: gap.after === this.id ? gap : uncounted, own: false });
    }
    this.gapsMet = this.#tee.gapsUpTo(this.cursor);
    if (this.cursor >= end && era !== this.#era) {
      this.position = this.#tailPosition.since(this.#era, this.position);
      this.#era = era;
    }
    const gap = this.#gaps.shift();
    if (gap) return gap;
    const ended = this.#tee.ends.uncovered(this.cursor, this.position, this.#era);
    if (ended) {
      this.position = this.position.with(ended.place);
      return { end: ended.end };
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
    if (this.#limit !== undefined) return await this.#bound(log, this.#limit);
    const { position } = this;
    const page = this.#last === undefined ? await log.page(position) : await log.last(this.#last);
    // The reader has moved on during the read.
    if (this.entered || this.position !== position) return;
    // The start of a log is the same for all logs, so it proves no era.
    if (position.places.length === 0) this.#certain = false;
    if (this.#last !== undefined) this.position = page.from;
    this.#last = undefined;
    this.#cells = page.cells;
    this.#index = 0;
    // A gap that does not advance the position would be found again endlessly, in one turn.
    if (leadsOn(page.cells, this.position)) this.#misses = 0;
    else if (page.cells.length > 0 || !await this.#enters(era)) await this.#miss(log);
    // The events that the log has lost may still be in the ring.
    if (page.cells[0]?.gap && isComparable(page.cells[0].gap)) await this.#prove(era);
  }

  /** Skips to the newest events, with a gap, if more than `limit` are after the position. */
  async #bound(log: PageReader<Message>, limit: number): Promise<void> {
    const { position } = this;
    const { from, isWhole } = await log.last(limit);
    if (this.entered || this.position !== position) return;
    this.#limit = undefined;
    // A log that reports a gap each time must not block the event loop.
    if (this.#bounds++ > 0) await log.pause(this.#bounds);
    if (this.entered || this.position !== position) return;
    // The log itself reports the events that it has removed, with their number.
    if (isWhole || position.reaches(from)) return;
    this.#gaps.push({ gap: { cause: "overflow", after: this.id }, own: true });
    // A forged id may have a shard that the log does not have. It would cause the same gap again.
    this.position = from.union(position.amongShardsOf(from));
    this.#cells = [];
    this.#certain = false;
  }

  /** Whether the replay can enter the ring at its position, at the end of the log. */
  async #enters(era: number): Promise<boolean> {
    return this.position.reaches(this.#tee.entry.position) && await this.#prove(era);
  }

  /**
   * Proves the era of the position. A page was read in that era, and afterwards the log must still
   * hold the tail's position.
   */
  async #prove(era: number): Promise<boolean> {
    const { position } = this;
    if (this.#certain || this.#tee.holds(position)) return true;
    const { position: reached } = this.#tailPosition;
    // In a shard where the tail has seen nothing, logs cannot be distinguished.
    if (!position.places.every(({ shard }) => reached.in(shard))) return false;
    const isHere = await this.#tee.log!.holds(reached);
    if (!isHere || era !== this.#tailPosition.era || position !== this.position) return false;
    this.#settle(era);
    return true;
  }

  /** Handles a log that has less than the tail delivered: a lagging replica, or a lost end. */
  async #miss(log: { pause(attempt: number): Promise<void> }): Promise<void> {
    // The log is authoritative: a reader whose era is unproven waits for it.
    const isHere = this.#certain && this.#era === this.#tailPosition.era;
    if (this.#misses++ < PATIENCE || !isHere) return await log.pause(this.#misses);
    const { position } = this.#tee.entry;
    this.#gaps.push({ gap: { cause: "trimmed", after: this.id }, own: true });
    this.position = position.union(this.position);
    this.#cells = [];
  }

  /** Handles a gap of the log. The lost events may still be in the ring. */
  #skip({ gap: found, position }: LogCell<Message>): Gap {
    const after = this.id;
    const gap = found!;
    const { cause, missed } = gap;
    const next = this.#cells[this.#index]?.place;
    const held =
      !isComparable(gap) || !next || !this.#certain || this.#era !== this.#tailPosition.era
        ? undefined
        : this.#tee.heldBefore(next, this.position);
    const wanted = this.#wanted;
    this.#wanted = undefined;
    if (held) this.#enterAt(held.number);
    if (held && wanted !== undefined) {
      const counted = this.#tee.gapsUpTo(wanted - 1) === this.#tee.gapsUpTo(held.number - 1);
      return { cause: "overflow", after, ...counted && { missed: held.number - wanted } };
    }
    const shared = isComparable(gap) ? undefined : this.#tee.since(this.position);
    if (shared && shared.places.length > 0 && !isEqual(shared, this.position)) {
      this.position = shared;
      this.#cells = [];
      this.#settle(this.#tailPosition.era);
      return { cause, after };
    }
    this.position = position;
    // A position before trimmed records does not prove the era.
    this.#certain = held !== undefined;
    const left = missed === undefined || !held
      ? missed
      : held.exact
      ? missed - held.count
      : undefined;
    return { cause, after, ...left !== undefined && { missed: left } };
  }

  /** Adds the reader's own position as id, if it differs from the event's. */
  #stamp(result: Delivery<Message>): Delivery<Message> {
    if (this.position.places.length <= 1) return result;
    const { id } = this;
    return id === result.value.id ? result : { value: withId(result.value, id), done: false };
  }
}

function isEqual(one: Position, other: Position): boolean {
  return one.reaches(other) && other.reaches(one);
}
