/**
 * Reads pages of streams, and finds out whether the entry to resume after is gone.
 *
 * @module
 */

import type { ChainableCommander } from "ioredis";
import type { Item, LogGap, Page, ReadOptions } from "../../../core/backend/contract.ts";
import { RefusedError } from "../../../core/backend/errors.ts";
import { comparePlaces, type Place, Position } from "../../../core/backend/position.ts";
import type { Link } from "../link.ts";
import { type Entry, idBefore, idOf, placeOf, recordOf } from "./record.ts";
import type { StreamOptions } from "./writer.ts";

/** Which entries: from an id to an id, the newest first if it is `back`. */
interface Range {
  readonly channel: string;
  readonly from: string;
  readonly to: string;
  readonly count: number;
  readonly back?: boolean;
}

/** A range that waits for the next pipeline. */
interface Asked {
  readonly range: Range;
  readonly succeed: (entries: readonly Entry[]) => void;
  readonly fail: (reason: unknown) => void;
}

/** What XINFO STREAM tells. */
interface Info {
  readonly length: number;
  /** The place of the last entry that there ever was. */
  readonly last: Place;
  /** How many there ever were; before Redis 7 it is not known. */
  readonly added: number | undefined;
}

/**
 * Reads pages, inclusive of the last entry seen. What many ask for at once goes
 * in one pipeline, and one pipeline at a time.
 */
export class Reader {
  readonly #link: Link;
  readonly #options: StreamOptions;
  #asked: Asked[] = [];
  #busy = false;

  /**
   * @param link Where it asks.
   * @param options How entries are kept.
   */
  constructor(link: Link, options: StreamOptions) {
    this.#link = link;
    this.#options = options;
  }

  /** The position behind the last entry of a stream. */
  async end(channel: string): Promise<Position> {
    const [info] = await this.#together((client) => client.callBuffer("xinfo", "STREAM", channel));
    const stream = infoOf(this.#reply(info));
    return stream ? positionOf(stream.last) : Position.start;
  }

  /** A page of a stream. */
  async read(channel: string, { after, before, limit }: ReadOptions): Promise<Page> {
    const to = before ? idBefore(before.in(0)) : "+";
    if (!after) return await this.#newest(channel, to, limit);
    // A range that ends before it begins would tell nothing about its begin.
    if (to === undefined || before && after.reaches(before)) return { from: after, items: [] };
    const last = after.in(0);
    if (!last || idOf(last) === "0-0") {
      const range = { channel, from: "-", to, count: limit };
      return { from: after, items: await this.#fromStart(range, before) };
    }
    const range = { channel, from: idOf(last), to, count: limit + 1 };
    const entries = await this.#ask(range);
    const items = goesOn(last, entries)
      ? entries.slice(1).map(recordOf)
      : await this.#fromGap(last, range, before);
    return { from: after, items };
  }

  async #newest(channel: string, to: string | undefined, limit: number): Promise<Page> {
    if (to === undefined) return { from: Position.start, items: [] };
    const range = { channel, from: "-", to, count: limit + 1, back: true };
    let entries = await this.#ask(range);
    let from = Position.start;
    if (entries.length === 0 && to === "+") {
      // Both at one moment: what comes between them would lie before the page, and be lost.
      const [info, again] = await this.#look(range);
      entries = again;
      if (info && entries.length === 0) from = positionOf(info.last);
    }
    const records = entries.map(recordOf).reverse();
    return records.length > limit
      ? { from: Position.of(records[0]!.place!), items: records.slice(1) }
      : { from, items: records };
  }

  /** All that the log has, and whether that is all that it ever had. */
  async #fromStart(range: Range, before: Position | undefined): Promise<Item[]> {
    const [info, entries] = await this.#look(range);
    if (!info) return [];
    const missed = info.added === undefined ? undefined : info.added - info.length;
    // Where it is not known: a stream that has reached its length may have lost some.
    const { maxlen } = this.#options;
    const lost = missed ?? (maxlen > 0 && info.length >= maxlen ? 1 : 0);
    if (lost <= 0) return entries.map(recordOf);
    const gap: LogGap = { cause: "trimmed", ...missed !== undefined && !before && { missed } };
    return behindGap(gap, entries, before ?? positionOf(info.last));
  }

  /** The last record did not come back: whether something is missing, and what follows. */
  async #fromGap(last: Place, range: Range, before: Position | undefined): Promise<Item[]> {
    const [info, entries] = await this.#look(range);
    if (!info) return [{ cause: "epoch", restart: Position.start }];
    if (goesOn(last, entries)) return entries.slice(1).map(recordOf);
    const isThere = entries[0]?.[0].toString() === range.from;
    const order = comparePlaces(info.last, last);
    if (!isThere && order === 0) return [];
    if (!isThere && order > 0) {
      const rest = entries.slice(0, range.count - 1);
      return behindGap({ cause: "trimmed" }, rest, before ?? positionOf(info.last));
    }
    const gap: LogGap = { cause: isThere ? "epoch" : "ahead", restart: Position.start };
    if (info.length === 0) return behindGap(gap, [], positionOf(info.last));
    const all = await this.#ask({ ...range, from: "-", count: range.count - 1 });
    return behindGap(gap, all, before ?? Position.start);
  }

  /** What the stream is, and a range of it, at one moment. */
  async #look(range: Range): Promise<[info: Info | undefined, entries: readonly Entry[]]> {
    const [info, entries] = await this.#together((client) =>
      add(client.callBuffer("xinfo", "STREAM", range.channel), range)
    );
    return [infoOf(this.#reply(info)), this.#reply(entries) as Entry[]];
  }

  async #together(ask: (client: ChainableCommander) => ChainableCommander): Promise<Reply[]> {
    const { client } = this.#link;
    try {
      // What is sent in one turn stays together.
      if (this.#options.asking) client.asking().catch(() => {});
      return await ask(client.multi()).exec() ?? [];
    } catch (error) {
      throw refusal(this.#link, error);
    }
  }

  #ask(range: Range): Promise<readonly Entry[]> {
    return new Promise((succeed, fail) => {
      this.#asked.push({ range, succeed, fail });
      if (this.#busy) return;
      this.#busy = true;
      queueMicrotask(() => void this.#flush());
    });
  }

  async #flush(): Promise<void> {
    while (this.#asked.length > 0) {
      const asked = this.#asked;
      this.#asked = [];
      const pipeline = this.#link.client.pipeline();
      const { asking } = this.#options;
      for (const { range } of asked) add(asking ? pipeline.asking() : pipeline, range);
      try {
        const replies = await pipeline.exec() ?? [];
        asked.forEach(({ succeed, fail }, index) => {
          const [error, entries] = replies[asking ? index * 2 + 1 : index]!;
          if (error) fail(refusal(this.#link, error));
          else succeed(entries as Entry[]);
        });
      } catch (error) {
        for (const { fail } of asked) fail(refusal(this.#link, error));
      }
    }
    this.#busy = false;
  }

  /** What was answered; nothing if there is no such stream. */
  #reply([error, reply]: Reply = [null, undefined]): unknown {
    if (!error) return reply;
    if (/no such key/i.test(error.message)) return undefined;
    throw refusal(this.#link, error);
  }
}

type Reply = [error: Error | null, reply: unknown];

/** What an error means; a `RefusedError` if asking again would not help. */
export function refusal(link: Link, error: unknown): unknown {
  const reason = link.explain(error);
  const { message } = reason as Error;
  return /^(WRONGTYPE|NOPERM|NOAUTH)/.test(message)
    ? new RefusedError(message, { cause: reason })
    : reason;
}

function add(commands: ChainableCommander, range: Range): ChainableCommander {
  const { channel, from, to, count, back } = range;
  return back
    ? commands.xrevrangeBuffer(channel, to, from, "COUNT", count)
    : commands.xrangeBuffer(channel, from, to, "COUNT", count);
}

/** Whether the first entry is the last one seen. */
function goesOn(last: Place, [first]: readonly Entry[]): boolean {
  if (!first) return false;
  const { place } = recordOf(first);
  return comparePlaces(place!, last) === 0 && place!.fingerprint === last.fingerprint;
}

/** A gap and what follows it; if that is nothing, where the log goes on. */
function behindGap(gap: LogGap, entries: readonly Entry[], restart: Position): Item[] {
  return entries.length > 0 ? [gap, ...entries.map(recordOf)] : [{ ...gap, restart }];
}

/** A reply of names and values in turn. */
function infoOf(reply: unknown): Info | undefined {
  if (reply === undefined) return undefined;
  const fields = new Map<string, unknown>();
  const flat = reply as readonly unknown[];
  for (let index = 0; index < flat.length; index += 2) {
    fields.set(String(flat[index]), flat[index + 1]);
  }
  const id = String(fields.get("last-generated-id"));
  const entry = fields.get("last-entry") as Entry | null;
  const isThere = entry?.[0].toString() === id;
  return {
    length: fields.get("length") as number,
    last: isThere ? recordOf(entry!).place! : placeOf(id, ""),
    added: fields.get("entries-added") as number | undefined,
  };
}

function positionOf(place: Place): Position {
  return place.at === 0 && place.sub === 0 ? Position.start : Position.of(place);
}
