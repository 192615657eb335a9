/**
 * Reads pages and tails of streams, and checks whether the record to resume after is still there.
 *
 * @module
 */

import type { Item, LogBreak, Page, ReadOptions } from "../../../core/backend/contract.ts";
import { type Place, Position } from "../../../core/backend/position.ts";
import type { Link } from "../link.ts";
import { Consumer, LIMIT, type Offset } from "./consumer.ts";
import type { Queues } from "./queues.ts";
import { breakBefore, isSame, itemsOf, type Stored, withoutMarks } from "./record.ts";
import { SharedRequests } from "./shared_requests.ts";
import { type Known, StreamEnds } from "./stream_ends.ts";
import type { Writer } from "./writer.ts";

/** The maximum number of messages that the server sends ahead. */
const WINDOW = 1_024;
/** The first search for the newest events expects at most this many records that are not events. */
const SPARE = 16;
/** The known end of a stream is too old if this many times more events follow it. */
const MUCH = 64;

/** The part of a stream to read. */
interface Range {
  readonly queue: string;
  /** The offset to start at. A record is known to be there, or after it. */
  readonly from: Offset;
  /** The offset before which it ends, unless the stream ends first. */
  readonly to: number;
  /** The number of events. */
  readonly limit: number;
  /** The number of records that the server sends ahead, if it is not the limit. */
  readonly window?: number;
  /** A place whose record does not count towards the limit. */
  readonly seen?: Place | undefined;
}

/** The result of reading a part of a stream. */
interface Part {
  /** The records, without the marks at the end. */
  readonly records: readonly Stored[];
  /** The place of the first record, even if it is a mark. */
  readonly first: Place;
  /** The end of the stream, if it was reached. It is the place of a mark. */
  readonly head?: Place;
}

/** A stream that is read from a mark on. */
export interface Begun {
  /** Reads the stream. */
  readonly view: Consumer;
  /** The place of the mark. */
  readonly mark: Place;
  /** The records after the mark that have already arrived. */
  readonly later: readonly Stored[];
}

/** Reads pages, and starts tails. */
export class Reader {
  readonly #link: Link;
  readonly #queues: Queues;
  readonly #ends: StreamEnds;
  readonly #onDeleted: () => void;
  readonly #pages = new SharedRequests<Page>();

  /**
   * @param link The connection.
   * @param queues Declares the streams.
   * @param writer Publishes the marks.
   * @param onDeleted Called when a stream was deleted while it was read.
   */
  constructor(link: Link, queues: Queues, writer: Writer, onDeleted: () => void) {
    this.#onDeleted = onDeleted;
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
    return { from: after, items: await this.#after(after, known, { queue, to, limit }) };
  }

  /** Reads a stream from a new mark on: the records after it are new. */
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
        return { view, mark: records[index]!.place, later: records.slice(index + 1) };
      }
    } catch (error) {
      leave(view);
      throw error;
    }
  }

  /** Reads a stream from a stored place on. */
  async follow(queue: string, place: Place | undefined): Promise<Consumer> {
    await this.#queues.make(queue);
    return await this.#view(queue, place?.at ?? "first");
  }

  /**
   * Whether a stream has a record after an offset. The stream's last chunk then starts after that
   * offset.
   */
  async isBeyond(queue: string, at: number): Promise<boolean> {
    return (await this.#edge(queue, "last")).at > at;
  }

  /** The place of the oldest record, or of the first record in the last chunk. */
  async #edge(queue: string, edge: "first" | "last"): Promise<Place> {
    const view = await this.#view(queue, edge, 1);
    try {
      return (await view.next(LIMIT))[0]!.place;
    } finally {
      leave(view);
    }
  }

  /** The last known place, if it is not before `least`. Otherwise the current end of the stream. */
  async #known(queue: string, least: number): Promise<Known> {
    const known = this.#ends.of(queue);
    if (known && known.end.at >= least) return known;
    const end = await this.#end(queue);
    return this.#ends.of(queue) ?? { end, event: -1 };
  }

  /** The current end of the stream, which is the place of a new mark. */
  async #end(queue: string): Promise<Place> {
    const { view, mark } = await this.begin(queue);
    leave(view);
    return mark;
  }

  /**
   * The records after a position. A break comes first if the record at the position does not come
   * back.
   */
  async #after(
    after: Position,
    { end }: Known,
    range: Omit<Range, "from">,
  ): Promise<readonly Item[]> {
    const last = after.in(0);
    if (last && last.at > end.at) return await this.#all({ head: end }, range);
    const part = await this.#take({ ...range, from: last?.at ?? "first", seen: last });
    const { records, first, head } = part;
    if (last && isSame(first, last)) return itemsOf(records.slice(1), last);
    if (!last && first.at === 0) return itemsOf(records);
    // The server removes only the oldest records. If an older record exists, this one never
    // existed.
    const isReplaced = last !== undefined &&
      (first.at === last.at || (await this.#edge(range.queue, "first")).at < last.at);
    if (isReplaced) return await this.#all({ replaced: true, head }, range);
    return broken({ ...breakBefore(first.at, last?.at), head }, part);
  }

  /** All records of a stream that replaced the known one. */
  async #all(
    found: Pick<LogBreak, "head" | "replaced">,
    range: Omit<Range, "from">,
  ): Promise<readonly Item[]> {
    const part = await this.#take({ ...range, from: "first" });
    return broken({ kind: "break", ...found, removed: "unknown" }, part);
  }

  /**
   * The newest events. A stream is only read forwards, so the offset of the first event is
   * estimated.
   */
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
      const { records } = await this.#take({ queue, from, to, limit: most, window });
      const events = records.flatMap(({ kind }, index) => kind === "record" ? [index] : []);
      if (events.length >= most) {
        // The known end is too old. Reading all records since then would take too long.
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

  /** A part of a stream. If it has fewer events than the limit, a mark shows the end. */
  async #take({ queue, from, to, limit, window = limit, seen }: Range): Promise<Part> {
    // Requested before the consumer opens, so that concurrent reads share one mark.
    let mark = this.#isOpen(queue, from, limit, to) ? this.#ends.mark(queue) : undefined;
    const view = await this.#view(queue, from, window + 2);
    const taken: Stored[] = [];
    let first: Place | undefined;
    let events = 0;
    try {
      for (;;) {
        const records = await view.next(LIMIT);
        const fingerprint = await mark;
        for (const stored of records) {
          const { kind, place } = stored;
          first ??= place;
          const isEnd = place.fingerprint === fingerprint;
          if (isEnd || place.at >= to) {
            return { records: withoutMarks(taken, seen), first, ...isEnd && { head: place } };
          }
          taken.push(stored);
          if (kind === "record" && place.at !== seen?.at) events++;
          if (events >= limit) return { records: taken, first };
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

  /** Whether reading `limit` events after an offset may reach beyond the known end of a stream. */
  #isOpen(queue: string, from: Offset, limit: number, to: number): boolean {
    const end = this.#ends.of(queue)?.end.at ?? 0;
    return to > end && (typeof from === "number" ? from : 0) + 2 * limit >= end;
  }

  #view(queue: string, from: Offset, window = WINDOW): Promise<Consumer> {
    const options = {
      ...{ link: this.#link, queue, from, window: Math.min(window, WINDOW) },
      onDeleted: () => {
        this.#onDeleted();
        this.#queues.forget(queue);
        this.#ends.forget(queue);
      },
    };
    return this.#queues.patiently(() => Consumer.open(options));
  }
}

/** A break, and the records after it. Without records, the end of the stream follows. */
function broken(found: LogBreak, { records, head }: Part): readonly Item[] {
  const isEmpty = records.length === 0 && head !== undefined;
  return [found, ...isEmpty ? [{ kind: "skip", place: head } as const] : itemsOf(records)];
}

/** Closes a consumer in the background. */
function leave(view: Consumer): void {
  view.close().catch(() => {});
}
