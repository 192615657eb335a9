/**
 * Reads pages of a channel's log and decodes them, once for all subscriptions that catch up.
 *
 * @module
 */

import type { Item, LogGap, ReadOptions, Target } from "../backend/contract.ts";
import { ConnectionError, reasonOf, RefusedError } from "../backend/errors.ts";
import type { Delivery } from "../backend/event.ts";
import type { Scope } from "../backend/id.ts";
import { PageSize } from "../backend/kit/page_size.ts";
import { nameOf } from "../backend/name.ts";
import type { Place, Position } from "../backend/position.ts";
import { closedError, type Connection } from "../broker/connection.ts";
import { type DecodeOptions, eventOf, isEndOf } from "../codec/decode.ts";
import { unlessAborted } from "../util/abort.ts";
import { backoff } from "../util/backoff.ts";
import { after as later, turn } from "../util/timer.ts";

/** How many pages are kept for others that replay, and how long nobody has to. */
const KEPT = 16;
const REST = 1_000;

/** What a log needs to know. */
export interface PageReaderOptions<Message> extends DecodeOptions<Message> {
  /** Where it is read. */
  readonly connection: Connection;
  /** The channel, or the pattern. */
  readonly target: Target;
  /** Its ids. */
  readonly scope: Scope;
}

/** One item of a page: an event, a place that has none, or a gap. */
export interface LogCell<Message> {
  /** The position behind it. */
  readonly position: Position;
  /** The id of that position. */
  readonly id: string;
  /** Where the record lies; a gap has no place. */
  readonly place?: Place | undefined;
  /** Whether the channel was ended here. */
  readonly isEnd?: boolean;
  /** The event, as a ready iterator result; a record that is nobody's event has none. */
  readonly result?: Delivery<Message>;
  /** Records are missing here. */
  readonly gap?: LogGap;
}

/** A page, decoded once for all that read it. */
export interface LogPage<Message> {
  /** What it begins behind. */
  readonly from: Position;
  /** Oldest first. */
  readonly cells: readonly LogCell<Message>[];
}

/**
 * Reads the log for all subscriptions of a channel: those that replay the same
 * part of it share its pages, so that a thousand who resume at once read the
 * log once.
 *
 * @typeParam Message What the events carry.
 */
export class PageReader<Message> {
  readonly #options: PageReaderOptions<Message>;
  /** Those that are being read: by the id that they are read behind. */
  readonly #pages = new Map<string, Promise<LogPage<Message>>>();
  /** The newest last. */
  readonly #kept = new Map<string, LogPage<Message>>();
  /** Checks of positions that have not begun, by their ids. */
  readonly #checks = new Map<string, Promise<LogPage<Message>>>();
  readonly #pageSize = new PageSize();
  #stopRest: () => void = () => {};

  /** @param options What it needs to know. */
  constructor(options: PageReaderOptions<Message>) {
    this.#options = options;
  }

  /** What follows a position; empty at the end of the log. */
  async page(after: Position): Promise<LogPage<Message>> {
    const id = this.#options.scope.id(after);
    this.#stopRest();
    this.#stopRest = later(REST, () => this.rest());
    const known = this.#kept.get(id) ?? this.#pages.get(id);
    if (known) return known;
    for (const page of this.#kept.values()) {
      const index = page.cells.findIndex((cell) => cell.id === id);
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

  /** The id of a position. */
  id(position: Position): string {
    return this.#options.scope.id(position);
  }

  /** Reads a page by itself, for as long as it takes to reach the broker. */
  async read(options: ReadOptions): Promise<LogPage<Message>> {
    const { connection } = this.#options;
    for (let attempt = 0;; attempt++) {
      try {
        return await this.once(options);
      } catch (error) {
        if (!(error instanceof ConnectionError)) throw error;
        if (connection.up) await this.pause(attempt);
      }
    }
  }

  /** The page of the newest records, or the first page of them. */
  async last(count: number): Promise<LogPage<Message>> {
    const key = `last ${count}`;
    return await (this.#pages.get(key) ?? this.#share(key, this.#last(count)));
  }

  async #last(count: number): Promise<LogPage<Message>> {
    let page = await this.read({ limit: Math.min(count, this.#pageSize.count) });
    for (let left = count - eventsIn(page); left > 0 && page.cells.length > 0;) {
      const before = page.cells[0]!.position;
      const earlier = await this.read({ before, limit: Math.min(left, this.#pageSize.count) });
      if (earlier.cells.length === 0) break;
      left -= eventsIn(earlier);
      page = earlier;
    }
    return page;
  }

  /** Whether a position is one of the log as it is now. */
  async holds(after: Position): Promise<boolean> {
    const id = this.#options.scope.id(after);
    // Those share it who ask before it begins: it must not be older than their question.
    const asked = this.#checks.get(id) ?? turn().then(() => {
      this.#checks.delete(id);
      return this.read({ after, limit: 1 });
    });
    this.#checks.set(id, asked);
    return (await asked).cells.every(({ gap }) => gap === undefined);
  }

  /** Waits before it is asked once more. */
  pause(attempt: number): Promise<void> {
    return backoff(attempt, this.#options.connection.closing);
  }

  /** Nobody replays any more: nothing is kept. */
  rest(): void {
    this.#stopRest();
    this.#kept.clear();
  }

  /** The log was begun anew: what was read, or is being read, may be of the old one. */
  renew(): void {
    this.rest();
    this.#pages.clear();
  }

  /** Reads a page by itself, if the broker can be reached. */
  async once(options: ReadOptions): Promise<LogPage<Message>> {
    const { connection, target } = this.#options;
    const backend = await connection.ready();
    const { closing, generation } = connection;
    try {
      const { from, items } = await unlessAborted(closing, backend.read!(target, options));
      return { from, cells: await this.#decode(from, items) };
    } catch (error) {
      if (error instanceof ConnectionError && backend.connected !== true) {
        connection.lose(generation, error);
      }
      throw closing.aborted ? closedError() : readError(target, error);
    }
  }

  /** Whoever asks for the same while it is being read is given the same. */
  async #share(
    key: string,
    reading: Promise<LogPage<Message>>,
    use?: (page: LogPage<Message>) => void,
  ): Promise<LogPage<Message>> {
    this.#pages.set(key, reading);
    try {
      const page = await reading;
      // Not one that was read before the log was begun anew.
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

  async #decode(from: Position, items: readonly Item[]): Promise<LogCell<Message>[]> {
    const { scope, target } = this.#options;
    const cells: LogCell<Message>[] = [];
    let position = from;
    this.#pageSize.learn(items);
    for (const item of items) {
      if (item.place === undefined) {
        const gap = item as LogGap;
        position = gap.restart ?? position;
        cells.push({ position, id: scope.id(position), gap });
        continue;
      }
      const { place } = item;
      position = position.with(place);
      const id = scope.id(position);
      const isEnd = item.payload !== undefined && isEndOf(target, item.payload);
      const decoded = item.payload === undefined || isEnd
        ? undefined
        : eventOf(item, target, this.#options);
      const event = decoded instanceof Promise ? await decoded : decoded;
      cells.push({
        ...{ position, id, place },
        ...isEnd && { isEnd },
        ...event && { result: { value: { ...event, id }, done: false } },
      });
    }
    return cells;
  }
}

/** What is not decodable, or nobody's event, does not count. */
function eventsIn({ cells }: LogPage<unknown>): number {
  return cells.filter(({ result }) => result).length;
}

/** Whether who reads these cells comes to stand elsewhere. */
export function leadsOn(cells: readonly LogCell<unknown>[], from: Position): boolean {
  return cells.some(({ gap, place, position }) => {
    if (place) return !from.covers(place);
    return gap?.restart !== undefined && (gap.cause !== "trimmed" || !from.reaches(position));
  });
}

/** Wraps, once, what a backend threw while it read. */
function readError(target: Target, cause: unknown): Error {
  if (cause instanceof TypeError || cause instanceof RangeError) return cause;
  const message = `Cannot read history of ${nameOf(target)}: ${reasonOf(cause)}`;
  return cause instanceof ConnectionError
    ? new ConnectionError(message, { cause })
    : new RefusedError(message, { cause });
}
