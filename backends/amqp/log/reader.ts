/**
 * Reads pages and tails of streams, and finds out whether the record to resume after is gone.
 *
 * @module
 */

import type { Item, LogGap, Page, ReadOptions } from "../../../core/backend/contract.ts";
import { type Place, Position } from "../../../core/backend/position.ts";
import type { Link } from "../link.ts";
import { Consumer, LIMIT, type Offset } from "./consumer.ts";
import type { Queues } from "./queues.ts";
import { isAt, itemsOf, type Stored, withoutMarks } from "./record.ts";
import { SharedRequests } from "./shared_requests.ts";
import { type Known, StreamEnds } from "./stream_ends.ts";
import type { Writer } from "./writer.ts";

/** How many messages the server sends ahead at most. */
const WINDOW = 1_024;
/** How many records may be no events, at first, where the newest events are looked for. */
const SPARE = 16;
/** How many times as many may have come since the end was seen. */
const MUCH = 64;

/** Which part of a stream is taken. */
interface Range {
  readonly queue: string;
  /** Where it begins: a record is known to lie there, or behind it. */
  readonly from: Offset;
  /** Where it ends, if the stream reaches so far; else at the end of the stream. */
  readonly to: number;
  /** How many events. */
  readonly limit: number;
  /** How many records are sent ahead, if not as many. */
  readonly window?: number;
  /** One that does not count. */
  readonly seen?: Place | undefined;
}

/** A stream that is read from a mark on. */
export interface Begun {
  /** What reads it. */
  readonly view: Consumer;
  /** Where the mark lies. */
  readonly mark: Place;
  /** What has come behind it already. */
  readonly behind: readonly Stored[];
}

/** Reads pages, inclusive of the last record seen. */
export class Reader {
  readonly #link: Link;
  readonly #queues: Queues;
  readonly #ends: StreamEnds;
  readonly #pages = new SharedRequests<Page>();

  /**
   * @param link Where it reads.
   * @param queues What it reads.
   * @param writer Publishes its marks.
   */
  constructor(link: Link, queues: Queues, writer: Writer) {
    this.#link = link;
    this.#queues = queues;
    this.#ends = new StreamEnds(writer);
  }

  /** A page of a stream. */
  async read(queue: string, { after, before, limit }: ReadOptions): Promise<Page> {
    await this.#queues.make(queue);
    const [last, to] = [after?.in(0)?.at ?? 0, before ? before.in(0)?.at ?? 0 : Infinity];
    const known = await this.#known(queue, before ? Math.max(last, to) : last);
    if (!after) {
      const key = `${to} ${limit} ${queue}`;
      return await this.#pages.ask(key, () => this.#newest(queue, known, to, limit));
    }
    if (before && after.reaches(before)) return { from: after, items: [] };
    return { from: after, items: await this.#behind(after, known, { queue, to, limit }) };
  }

  /** Reads a stream from a mark on, published for this: what comes behind it is new. */
  async begin(queue: string): Promise<Begun> {
    await this.#queues.make(queue);
    const view = await this.#view(queue, "next");
    try {
      const fingerprint = await this.#ends.mark(queue);
      for (;;) {
        const records = await view.next(LIMIT);
        const index = records.findIndex(({ place }) => place.fingerprint === fingerprint);
        this.#ends.learn(queue, records);
        if (index < 0) continue;
        return { view, mark: records[index]!.place, behind: records.slice(index + 1) };
      }
    } catch (error) {
      leave(view);
      throw error;
    }
  }

  /** Reads a stream from a place on that it has. */
  async follow(queue: string, place: Place | undefined): Promise<Consumer> {
    await this.#queues.make(queue);
    return await this.#view(queue, place?.at ?? "first");
  }

  /** Whether a stream has something behind an offset: so it is if its last chunk is. */
  async isBeyond(queue: string, at: number): Promise<boolean> {
    const view = await this.#view(queue, "last", 1);
    try {
      const [first] = await view.next(LIMIT);
      return first!.place.at > at;
    } finally {
      leave(view);
    }
  }

  /** A place that the stream reaches: no lower than an offset, if it reaches that. */
  async #known(queue: string, least: number): Promise<Known> {
    const known = this.#ends.of(queue);
    if (known && known.end.at >= least) return known;
    const end = await this.#end(queue);
    return this.#ends.of(queue) ?? { end, event: -1 };
  }

  /** Where the stream ends now: at a mark. */
  async #end(queue: string): Promise<Place> {
    const { view, mark } = await this.begin(queue);
    leave(view);
    return mark;
  }

  async #behind(
    after: Position,
    { end }: Known,
    range: Omit<Range, "from">,
  ): Promise<readonly Item[]> {
    const last = after.in(0);
    if (last && last.at > end.at) return await this.#anew("ahead", range);
    const records = await this.#take({ ...range, from: last?.at ?? "first", seen: last });
    const [first] = records;
    if (!last) return itemsOf(records, { isTrimmed: first && first.place.at > 0, end });
    if (first?.place.at !== last.at) return itemsOf(records, { isTrimmed: true, end });
    if (!isAt(first, last)) return await this.#anew("epoch", range);
    return itemsOf(records.slice(1), { last });
  }

  /** All that the stream has: it is not the one that was read. */
  async #anew(cause: "ahead" | "epoch", range: Omit<Range, "from">): Promise<readonly Item[]> {
    const records = await this.#take({ ...range, from: "first" });
    const gap: LogGap = { cause, restart: Position.start };
    return [gap, ...itemsOf(records)];
  }

  /** The newest events: a stream is only read forwards, so where they begin is guessed. */
  async #newest(
    queue: string,
    { end, event }: Known,
    to: number,
    limit: number,
  ): Promise<Page> {
    let last = event < 0 ? end.at : event + 1;
    for (let spare = SPARE;; spare *= 4) {
      const base = Math.min(to, last);
      const from = Math.max(0, base - limit - spare);
      const window = limit + spare;
      const most = limit + MUCH * spare;
      const records = await this.#take({ queue, from, to, limit: most, window });
      const events = records.flatMap(({ payload }, index) => payload === undefined ? [] : [index]);
      if (events.length >= most) {
        // What is known is of long ago: all since then is not to be read.
        last = (await this.#end(queue)).at;
        continue;
      }
      const start = events.at(-limit) ?? 0;
      const isAll = from === 0 || records.length > 0 && records[0]!.place.at > from + 1;
      if (start === 0 && !isAll) continue;
      const earlier = records[events.length > 0 ? start - 1 : records.length - 1];
      return {
        from: earlier ? Position.of(earlier.place) : Position.start,
        items: events.length > 0 ? itemsOf(records.slice(start)) : [],
      };
    }
  }

  /** A part of a stream; what was not full by then ends in a mark, which is left out. */
  async #take({ queue, from, to, limit, window = limit, seen }: Range): Promise<readonly Stored[]> {
    // Asked for before there is a view, one mark ends the pages of all who read at a time.
    let mark = this.#isOpen(queue, from, limit, to) ? this.#ends.mark(queue) : undefined;
    const view = await this.#view(queue, from, window + 2);
    const taken: Stored[] = [];
    let events = 0;
    try {
      for (;;) {
        const records = await view.next(LIMIT);
        const fingerprint = await mark;
        for (const stored of records) {
          const { place, payload } = stored;
          if (place.at >= to || place.fingerprint === fingerprint) return withoutMarks(taken, seen);
          taken.push(stored);
          if (payload !== undefined && place.at !== seen?.at) events++;
          if (events >= limit) return taken;
        }
        const reached = taken.at(-1)!.place.at;
        if (this.#isOpen(queue, reached, 0, to)) mark ??= this.#ends.mark(queue);
      }
    } catch (error) {
      this.#ends.forget(queue);
      throw error;
    } finally {
      this.#ends.learn(queue, taken);
      leave(view);
    }
  }

  /** Whether so many events behind an offset may lead beyond what is known of a stream. */
  #isOpen(queue: string, from: Offset, limit: number, to: number): boolean {
    const end = this.#ends.of(queue)?.end.at ?? 0;
    return to > end && (typeof from === "number" ? from : 0) + 2 * limit >= end;
  }

  #view(queue: string, from: Offset, window = WINDOW): Promise<Consumer> {
    const options = {
      ...{ link: this.#link, queue, from, window: Math.min(window, WINDOW) },
      onDeleted: () => {
        this.#queues.forget(queue);
        this.#ends.forget(queue);
      },
    };
    return this.#queues.patiently(() => Consumer.open(options));
  }
}

/** Nobody waits for it, nor cares how it ended. */
function leave(view: Consumer): void {
  view.close().catch(() => {});
}
