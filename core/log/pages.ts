/**
 * Reads pages of a channel's log and decodes them, once for all subscriptions that catch up.
 *
 * @module
 */

import {
  gapOf,
  isComparable,
  type LogGap,
  positionAfter,
  withoutRepeatedBreaks,
} from "../backend/continuity.ts";
import type { Page, ReadOptions, Target } from "../backend/contract.ts";
import {
  ConnectionError,
  isArgumentError,
  isPassing,
  isSameReply,
  reasonOf,
  RefusedError,
  UnknownReplyError,
} from "../backend/errors.ts";
import type { BroadcastEvent, Delivery } from "../backend/event.ts";
import type { Scope } from "../backend/id.ts";
import { PageSize } from "../backend/kit/page_size.ts";
import { nameOf } from "../backend/name.ts";
import type { Place, Position } from "../backend/position.ts";
import { closedError, type Connection, type Deadline } from "../broker/connection.ts";
import { decode, type DecodeOptions, type End } from "../codec/decode.ts";
import { unlessAborted } from "../util/abort.ts";
import { backoff } from "../util/backoff.ts";
import { isThenable } from "../util/realm.ts";
import { after as later, turn } from "../util/timer.ts";

/** Maximum number of cached pages. */
const KEPT = 16;
/** The cache is cleared this many milliseconds after the last read. */
const REST = 1_000;

/** Options for a `PageReader`. */
export interface PageReaderOptions<Message> extends DecodeOptions<Message> {
  /** Connection to the broker. */
  readonly connection: Connection;
  /** The channel, or the pattern. */
  readonly target: Target;
  /** Scope of the event ids. */
  readonly scope: Scope;
}

/** Cell of a page: an event, a record that is not an event, or a gap. */
export interface LogCell<Message> {
  /** Position after this cell. */
  readonly position: Position;
  /** Id of that position. */
  readonly id: string;
  /** Place of the record. A gap has none. */
  readonly place?: Place | undefined;
  /** The end of the channel, if it was ended here. */
  readonly end?: End;
  /** The event as an iterator result. Absent if the record is not an event. */
  readonly result?: Delivery<Message>;
  /** The gap, if records are missing here. */
  readonly gap?: LogGap;
}

/** A page of the log, decoded once for all readers. */
export interface LogPage<Message> {
  /** Position before the first cell. */
  readonly from: Position;
  /** Cells, oldest first. */
  readonly cells: readonly LogCell<Message>[];
  /** `true` if the log has no earlier events; set only by `last()`. */
  readonly isWhole?: boolean;
}

/**
 * Reads the log for all subscriptions of a channel. Subscriptions that replay the same part share
 * its pages, so a thousand subscriptions that resume at once read the log once.
 *
 * @typeParam Message Type of the messages.
 */
export class PageReader<Message> {
  readonly #options: PageReaderOptions<Message>;
  /** Pending reads, by the id that they start after. */
  readonly #pages = new Map<string, Promise<LogPage<Message>>>();
  /** Cached pages, by the id that they start after; the newest last. */
  readonly #kept = new Map<string, LogPage<Message>>();
  /** The position checks whose read has not started, by id. */
  readonly #checks = new Map<string, Promise<LogPage<Message>>>();
  readonly #pageSize = new PageSize();
  #stopRest: () => void = () => {};

  /** @param options Options for the reader. */
  constructor(options: PageReaderOptions<Message>) {
    this.#options = options;
  }

  /** Reads the page after a position. Empty at the end of the log. Cached. */
  async page(after: Position): Promise<LogPage<Message>> {
    const id = this.#options.scope.id(after);
    this.#stopRest();
    this.#stopRest = later(REST, () => this.rest());
    const known = this.#kept.get(id) ?? this.#pages.get(id);
    if (known) return known;
    for (const page of this.#kept.values()) {
      const index = page.cells.findLastIndex((cell, index) =>
        cell.id === id && !isUnmet(page, cell, index)
      );
      if (index >= 0 && index < page.cells.length - 1) {
        return { from: after, cells: page.cells.slice(index + 1) };
      }
    }
    return await this.#share(
      id,
      this.read({ after, limit: this.#pageSize.count }),
      (page) => leadsOn(page.cells, after) && this.#keep(id, page),
    );
  }

  /** Id of a position. */
  id(position: Position): string {
    return this.#options.scope.id(position);
  }

  /** Reads a page, uncached. Retries until the broker is reached, or until the deadline. */
  async read(options: ReadOptions, deadline?: Deadline): Promise<LogPage<Message>> {
    return await this.#decoded(await this.items(options, deadline));
  }

  /** Same as `read()`, but returns the backend's page, not decoded. */
  async items(options: ReadOptions, deadline?: Deadline): Promise<Page> {
    const { connection, target } = this.#options;
    let before: unknown;
    for (let attempt = 0;; attempt++) {
      const backend = deadline
        ? await connection.readyBy(deadline, `read history of ${nameOf(target)}`)
        : await connection.ready();
      const { closing, generation } = connection;
      try {
        return await unlessAborted(closing, backend.read!(target, options));
      } catch (error) {
        if (closing.aborted) throw closedError();
        const isLate = deadline && performance.now() >= deadline.at;
        if (!isPassing(error) || isSameReply(before, error) || isLate) {
          throw readError(target, error);
        }
        before = error;
        if (backend.connected !== true) connection.lose(generation, error);
        if (connection.up) await this.pause(attempt);
      }
    }
  }

  /** Reads the page where the newest `count` events start. */
  async last(count: number): Promise<LogPage<Message>> {
    const key = `last ${count}`;
    return await (this.#pages.get(key) ?? this.#share(key, this.#last(count)));
  }

  async #last(count: number): Promise<LogPage<Message>> {
    let page = await this.read({ limit: Math.min(count, this.#pageSize.count) });
    let left = count - eventsIn(page);
    while (left > 0 && page.cells.length > 0) {
      const before = page.cells[0]!.position;
      const earlier = await this.read({ before, limit: Math.min(left, this.#pageSize.count) });
      if (earlier.cells.length === 0) break;
      left -= eventsIn(earlier);
      page = earlier;
    }
    return left > 0 ? { ...page, isWhole: true } : page;
  }

  /** Checks that a position is in the current log. */
  async holds(after: Position): Promise<boolean> {
    const id = this.#options.scope.id(after);
    // The check is shared only until its read starts, since the answer must not be older than the
    // call.
    const asked = this.#checks.get(id) ?? turn().then(() => {
      this.#checks.delete(id);
      return this.read({ after, limit: 1 });
    });
    this.#checks.set(id, asked);
    return (await asked).cells.every(({ gap }) => gap === undefined);
  }

  /** Waits before a retry. */
  pause(attempt: number): Promise<void> {
    return backoff(attempt, this.#options.connection.closing);
  }

  /** Clears the cache when no subscription replays. */
  rest(): void {
    this.#stopRest();
    this.#kept.clear();
  }

  /** Drops all pages, also pending ones. They may be of a log that was replaced. */
  renew(): void {
    this.rest();
    this.#pages.clear();
  }

  /** Shares a pending read among its callers. */
  async #share(
    key: string,
    reading: Promise<LogPage<Message>>,
    use?: (page: LogPage<Message>) => void,
  ): Promise<LogPage<Message>> {
    this.#pages.set(key, reading);
    try {
      const page = await reading;
      // The log was replaced. Other pages, cached or pending, may be of the old log.
      if (page.cells.some(({ gap }) => gap && !isComparable(gap))) {
        this.renew();
        this.#pages.set(key, reading);
      }
      // The page is not used if the log was recreated during the read.
      if (this.#pages.get(key) === reading) use?.(page);
      return page;
    } finally {
      if (this.#pages.get(key) === reading) this.#pages.delete(key);
    }
  }

  #keep(id: string, page: LogPage<Message>): void {
    this.#kept.set(id, page);
    if (this.#kept.size > KEPT) this.#kept.delete(this.#kept.keys().next().value!);
  }

  async #decoded({ from, items }: Page): Promise<LogPage<Message>> {
    const { scope, target } = this.#options;
    const cells: LogCell<Message>[] = [];
    let position = from;
    this.#pageSize.learn(items);
    for (const item of withoutRepeatedBreaks(items)) {
      const before = position;
      position = positionAfter(position, item);
      const id = scope.id(position);
      if (item.kind === "break") {
        const gap = gapOf(item, before.in(item.shard ?? 0));
        if (gap) cells.push({ position, id, gap });
        continue;
      }
      if (item.kind === "loss") continue;
      const last = cells.at(-1);
      if (item.kind === "skip" && last?.gap) {
        // The log has nothing after the gap, so it continues at this place.
        cells[cells.length - 1] = { position, id, gap: last.gap };
        continue;
      }
      const { place } = item;
      const decoded = item.kind === "skip" ? undefined : decode(item, target, this.#options);
      const value = isThenable(decoded) ? await decoded : decoded;
      if (!value) cells.push({ position, id, place });
      else if (value.kind === "end") cells.push({ position, id, place, end: value });
      else {
        value.id = id;
        const result = { value: value as BroadcastEvent<Message>, done: false as const };
        cells.push({ position, id, place, result });
      }
    }
    return { from, cells };
  }
}

/** Number of events. Records that cannot be decoded or are not events are not counted. */
function eventsIn({ cells }: LogPage<unknown>): number {
  return cells.filter(({ result }) => result).length;
}

/** Whether a cell is a gap that is still unreported to a reader at the previous position. */
function isUnmet(
  { from, cells }: LogPage<unknown>,
  cell: LogCell<unknown>,
  index: number,
): boolean {
  return cell.gap !== undefined && isComparable(cell.gap) &&
    cell.position === (cells[index - 1]?.position ?? from);
}

/** Whether reading these cells advances the position. */
export function leadsOn(cells: readonly LogCell<unknown>[], from: Position): boolean {
  return cells.some(({ gap, place, position }) => {
    if (place) return !from.covers(place);
    return gap !== undefined && (!isComparable(gap) || !from.reaches(position));
  });
}

/** Wraps an error that a backend threw during a read. */
function readError(target: Target, cause: unknown): Error {
  if (isArgumentError(cause)) return cause;
  const message = `Cannot read history of ${nameOf(target)}: ${reasonOf(cause)}`;
  return isPassing(cause) && !(cause instanceof UnknownReplyError)
    ? new ConnectionError(message, { cause })
    : new RefusedError(message, { cause });
}
