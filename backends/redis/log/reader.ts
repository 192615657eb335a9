/**
 * Reads pages of streams, and examines a stream if the entry to resume after is missing.
 *
 * @module
 */

import type { ChainableCommander } from "ioredis";
import type { Item, LogBreak, Page, ReadOptions } from "../../../core/backend/contract.ts";
import { comparePlaces, type Place, Position } from "../../../core/backend/position.ts";
import { TemporaryError } from "../../../core/backend/errors.ts";
import { inBackground } from "../../../core/util/background.ts";
import { soon } from "../../../core/util/timer.ts";
import { isNoSuchKey } from "../errors.ts";
import type { Link } from "../link.ts";
import { type Entry, idBefore, idOf, isReadable, placeOf, recordOf } from "./record.ts";
import type { StreamOptions } from "./writer.ts";

/** The number of attempts to read facts that change meanwhile. */
const ATTEMPTS = 8;

/** Entries between two ids, the newest first if `back` is set. */
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

/** The reply of XINFO STREAM. */
interface Info {
  readonly length: number;
  /** The place of the oldest stored entry. */
  readonly first: Place | undefined;
  /** The place of the newest entry that ever existed. */
  readonly last: Place;
  /** The number of entries that ever existed. Unknown before Redis 7. */
  readonly added: number | undefined;
  /** The newest entry that XDEL has ever removed. Unknown before Redis 7. */
  readonly deleted: Place | undefined;
}

/**
 * Reads pages that begin with the last seen entry. Requests of the same turn share a pipeline. Only
 * one pipeline is pending at a time.
 */
export class Reader {
  readonly #link: Link;
  readonly #options: StreamOptions;
  #asked: Asked[] = [];
  #busy = false;

  /**
   * @param link The connection for commands.
   * @param options Options for the streams.
   */
  constructor(link: Link, options: StreamOptions) {
    this.#link = link;
    this.#options = options;
  }

  /** The position after the last entry of a stream. */
  async end(channel: string): Promise<Position> {
    const [info] = await this.#send([(client) => addInfo(client, channel)]);
    const stream = infoOf(info);
    return stream ? positionOf(stream.last) : Position.start;
  }

  /** Reads a page of a stream. */
  async read(channel: string, { after, before, limit }: ReadOptions): Promise<Page> {
    const to = before ? idBefore(before.in(0)) : "+";
    if (!after) return await this.#newest(channel, to, limit);
    // A range that ends before it begins has an empty reply, whatever is stored.
    if (to === undefined || before && after.reaches(before)) return { from: after, items: [] };
    const last = after.in(0);
    if (!last || idOf(last) === "0-0") {
      const range = { channel, from: "-", to, count: limit };
      return { from: after, items: await this.#fromStart(range) };
    }
    const range = { channel, from: idOf(last), to, count: limit + 1 };
    const entries = await this.#ask(range);
    const items = goesOn(last, entries)
      ? recordsOf(entries.slice(1))
      : await this.#fromBreak(last, range);
    return { from: after, items };
  }

  async #newest(channel: string, to: string | undefined, limit: number): Promise<Page> {
    if (to === undefined) return { from: Position.start, items: [] };
    const range = { channel, from: "-", to, count: limit + 1, back: true };
    let entries = await this.#ask(range);
    let from = Position.start;
    if (entries.length === 0 && to === "+") {
      // Both are read at one moment. An entry between two reads would be before the page, and lost.
      const [info, again] = await this.#look(range);
      entries = again;
      if (info && entries.length === 0) from = positionOf(info.last);
    }
    const records = entries.map(recordOf).reverse();
    return records.length > limit
      ? { from: Position.of(records[0]!.place!), items: records.slice(1) }
      : { from, items: records };
  }

  /** All stored entries. A break comes first if the stream ever had more. */
  async #fromStart(range: Range): Promise<Item[]> {
    const [info, entries] = await this.#look(range);
    if (!info) return [];
    const { added, length, last } = info;
    const { maxlen } = this.#options;
    // Before Redis 7, a stream that has reached its maximum length may have lost entries.
    const isCut = added === undefined ? maxlen > 0 && length >= maxlen : added > length;
    if (!isCut) return recordsOf(entries);
    // The stream counts all removed entries, including those after the end of a limited range.
    const removed = added === undefined || range.to !== "+" ? "unknown" : added - length;
    return follow({ kind: "break", head: last, removed }, entries, range);
  }

  /** The last record did not come back. Returns the break and the entries after it. */
  async #fromBreak(at: Place, range: Range): Promise<Item[]> {
    const [info, entries] = await this.#look(range);
    if (!info) return [{ kind: "break", recreated: true, removed: "unknown" }];
    if (goesOn(at, entries)) return recordsOf(entries.slice(1));
    const head = info.last;
    const order = comparePlaces(head, at);
    const isTaken = entries[0]?.[0].toString() === range.from;
    const replaced = isTaken || order > 0 && isPassedOver(at, info);
    // No entry came after it.
    if (!replaced && order === 0) return [{ kind: "break", head, removed: "none" }];
    const rest = replaced || order < 0
      ? await this.#ask({ ...range, from: "-", count: range.count - 1 })
      : entries.slice(0, range.count - 1);
    return follow({ kind: "break", replaced, head, removed: "unknown" }, rest, range);
  }

  /**
   * A stream's facts and a range of it, at one moment: the facts are read before and after, and
   * must be equal. A transaction is not used, since a server without memory refuses it, but allows
   * each of these commands.
   */
  async #look(range: Range): Promise<[info: Info | undefined, entries: readonly Entry[]]> {
    const ask = (client: ChainableCommander) => addInfo(client, range.channel);
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const [before, entries, after] = await this.#send([ask, (client) => add(client, range), ask]);
      const info = infoOf(before);
      if (JSON.stringify(info) === JSON.stringify(infoOf(after))) return [info, entries as Entry[]];
    }
    throw new TemporaryError("the stream changes too fast to be read");
  }

  /** Sends commands together. The reply for a missing stream is `undefined`. */
  async #send(commands: readonly ((client: ChainableCommander) => unknown)[]): Promise<unknown[]> {
    const pipeline = this.#link.client.pipeline();
    const { asking } = this.#options;
    for (const command of commands) command(asking ? pipeline.asking() : pipeline);
    const replies = await pipeline.exec().catch((error) =>
      Promise.reject(this.#link.explain(error))
    );
    return commands.map((_, index) => this.#reply(replies![asking ? index * 2 + 1 : index]));
  }

  #ask(range: Range): Promise<readonly Entry[]> {
    return new Promise((succeed, fail) => {
      this.#asked.push({ range, succeed, fail });
      if (this.#busy) return;
      this.#busy = true;
      soon(() => inBackground(this.#flush()));
    });
  }

  async #flush(): Promise<void> {
    while (this.#asked.length > 0) {
      const asked = this.#asked;
      this.#asked = [];
      try {
        const pipeline = this.#link.client.pipeline();
        const { asking } = this.#options;
        for (const { range } of asked) add(asking ? pipeline.asking() : pipeline, range);
        const replies = await pipeline.exec() ?? [];
        asked.forEach(({ succeed, fail }, index) => {
          const [error, entries] = replies[asking ? index * 2 + 1 : index]!;
          if (error) fail(this.#link.explain(error));
          else succeed(entries as Entry[]);
        });
      } catch (error) {
        for (const { fail } of asked) fail(this.#link.explain(error));
      }
    }
    this.#busy = false;
  }

  /** The reply, or `undefined` if there is no such stream. */
  #reply([error, reply]: Reply = [null, undefined]): unknown {
    if (!error) return reply;
    if (isNoSuchKey(error)) return undefined;
    throw this.#link.explain(error);
  }
}

type Reply = [error: Error | null, reply: unknown];

function add(commands: ChainableCommander, range: Range): ChainableCommander {
  const { channel, from, to, count, back } = range;
  return back
    ? commands.xrevrangeBuffer(channel, to, from, "COUNT", count)
    : commands.xrangeBuffer(channel, from, to, "COUNT", count);
}

function addInfo(commands: ChainableCommander, channel: string): ChainableCommander {
  return commands.callBuffer("xinfo", "STREAM", channel);
}

/**
 * The entries as records, up to the first entry with an unreadable id.
 *
 * @throws {RefusedError} If that is the first entry.
 */
function recordsOf(entries: readonly Entry[]): Item[] {
  const end = entries.findIndex(([id], index) => index > 0 && !isReadable(id.toString()));
  return (end < 0 ? entries : entries.slice(0, end)).map(recordOf);
}

/** Whether the first entry is the last seen one. */
function goesOn(last: Place, [first]: readonly Entry[]): boolean {
  return first?.[0].toString() === idOf(last) &&
    recordOf(first).place!.fingerprint === last.fingerprint;
}

/**
 * Whether a place is missing between an older and a newer entry, and XDEL cannot have removed it.
 * Trimming removes only the oldest entries, so the place was never in this log.
 */
function isPassedOver(place: Place, { first, deleted }: Info): boolean {
  return first !== undefined && comparePlaces(first, place) < 0 &&
    !(deleted && comparePlaces(deleted, place) >= 0);
}

/**
 * A break and the entries after it. If there are none up to the end, the place to continue at
 * follows as a skipped record.
 */
function follow(found: LogBreak, entries: readonly Entry[], { to }: Range): Item[] {
  const { head } = found;
  if (entries.length === 0 && to === "+") return [found, { kind: "skip", place: head! }];
  return [found, ...recordsOf(entries)];
}

/** Reads a reply of alternating names and values. */
function infoOf(reply: unknown): Info | undefined {
  if (reply === undefined) return undefined;
  const fields = new Map<string, unknown>();
  const flat = reply as readonly unknown[];
  for (let index = 0; index < flat.length; index += 2) {
    fields.set(String(flat[index]), flat[index + 1]);
  }
  const id = String(fields.get("last-generated-id"));
  const first = fields.get("first-entry") as Entry | null;
  const entry = fields.get("last-entry") as Entry | null;
  const isThere = entry?.[0].toString() === id;
  const deleted = fields.get("max-deleted-entry-id");
  return {
    length: fields.get("length") as number,
    first: first ? recordOf(first).place : undefined,
    last: isThere ? recordOf(entry!).place! : placeOf(id, ""),
    added: fields.get("entries-added") as number | undefined,
    deleted: deleted === undefined ? undefined : deletedPlace(String(deleted)),
  };
}

/** An unreadable id comes after all readable ones. */
function deletedPlace(id: string): Place {
  return isReadable(id) ? placeOf(id, "") : { shard: 0, at: Infinity, sub: 0, fingerprint: "" };
}

function positionOf(place: Place): Position {
  return place.at === 0 && place.sub === 0 ? Position.start : Position.of(place);
}
