/**
 * Writes to the log: all that waits goes as one statement.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Payload, PayloadOptions } from "../../../core/backend/contract.ts";
import { ConnectionError } from "../../../core/backend/errors.ts";
import { lifetimeOf } from "../../../core/backend/idempotency_key.ts";
import { Position } from "../../../core/backend/position.ts";
import { after } from "../../../core/util/timer.ts";
import { arrayOf, type Query } from "./database.ts";
import { placeOf } from "./place.ts";
import { WAKE_CHANNEL } from "./schema.ts";

/** What goes into one statement, at most: payloads, channels (each takes a lock), and bytes. */
const COUNT = 1_000;
const CHANNELS = 256;
const BYTES = 8 * 1024 * 1024;
/** How often readers in other processes are woken at most, in milliseconds. */
const PAUSE = 10;
/** How long a last hint may take, in milliseconds. */
const FAREWELL = 500;
/** The channels that one notification may name. */
const NAMED = 500;

const STORE = `select epoch, micros::text, ids from
  broadcaster_store($1::text[], $2::bytea[], $3::jsonb[], $4::text[], $5::bigint[])`;
const WAKE = `select pg_notify('${WAKE_CHANNEL}', $1 || ' ' || string_agg(hash::text, ' ')) from (
  select distinct hashtext(name) as hash from unnest($2::text[]) as name) as hashes`;

/** What a writer needs to know. */
export interface WriterOptions {
  /** Where it writes. */
  readonly query: Query;
  /** What stands before its own hints. */
  readonly sender: string;
  /** These channels have something new. */
  readonly onWritten: (channels: readonly string[]) => void;
}

/**
 * Writes what waited while the last statement ran as one statement, and hints
 * to other processes that it did.
 */
export class Writer {
  readonly #options: WriterOptions;
  readonly #waiting: Entry[] = [];
  #running = false;
  /** The channels that others are yet to be told of. */
  #news = new Set<string>();
  #stopPause: (() => void) | undefined;

  /** @param options What it needs to know. */
  constructor(options: WriterOptions) {
    this.#options = options;
  }

  /** Writes the payloads in order, behind those that wait. */
  write(
    channel: string,
    payloads: readonly Payload[],
    options?: readonly (PayloadOptions | undefined)[],
  ): readonly Promise<Position>[] {
    const written = payloads.map((payload, index) =>
      new Promise<Position>((resolve, reject) =>
        this.#waiting.push({ channel, payload, options: options?.[index], resolve, reject })
      )
    );
    if (!this.#running) {
      this.#running = true;
      queueMicrotask(() => this.#run());
    }
    return written;
  }

  /** Tells others what they were not told yet. */
  async close(): Promise<void> {
    this.#stopPause?.();
    if (this.#news.size === 0) return;
    let stop: (() => void) | undefined;
    const late = new Promise<void>((resolve) => stop = after(FAREWELL, resolve));
    await Promise.race([this.#hint(), late]);
    stop!();
    this.#stopPause?.();
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) await this.#store(this.#waiting.splice(0, this.#fitting()));
    this.#running = false;
  }

  /** How many of those that wait go into one statement. */
  #fitting(): number {
    const channels = new Set<string>();
    let bytes = 0;
    let count = 0;
    for (const { channel, payload } of this.#waiting) {
      channels.add(channel);
      bytes += payload.length;
      if (count > 0 && (count === COUNT || channels.size > CHANNELS || bytes > BYTES)) break;
      count++;
    }
    return count;
  }

  async #store(entries: readonly Entry[]): Promise<void> {
    const { query, onWritten } = this.#options;
    try {
      const names = arrayOf(entries.map(({ channel }) => channel));
      const payloads = `{${entries.map(({ payload }) => hex(payload)).join(",")}}`;
      const [row] = await query(STORE, [names, payloads, ...besidesOf(entries)]);
      const [epoch, micros, ids] = row as readonly string[];
      ids!.split(",").forEach((told, index) => {
        const [id, since = micros] = told.split(":");
        entries[index]!.resolve(Position.of(placeOf(epoch!, id!, since!)));
      });
    } catch (error) {
      // A client of the user's connects again by itself: nothing may overtake what is sent again.
      const behind = error instanceof ConnectionError ? this.#waiting.splice(0) : [];
      for (const { reject } of [...entries, ...behind]) reject(error);
      return;
    }
    const channels = [...new Set(entries.map(({ channel }) => channel))];
    onWritten(channels);
    for (const channel of channels) this.#news.add(channel);
    if (!this.#stopPause) this.#hint();
  }

  /** What is lost of this the others' slow poll finds. */
  async #hint(): Promise<void> {
    const news = [...this.#news];
    this.#news = new Set();
    this.#stopPause = after(PAUSE, () => {
      this.#stopPause = undefined;
      if (this.#news.size > 0) this.#hint();
    });
    const { query, sender } = this.#options;
    const hints: Promise<unknown>[] = [];
    for (let from = 0; from < news.length; from += NAMED) {
      hints.push(query(WAKE, [sender, arrayOf(news.slice(from, from + NAMED))]));
    }
    await Promise.allSettled(hints);
  }
}

/** A payload on its way, and who waits for it. */
interface Entry {
  readonly channel: string;
  readonly payload: Payload;
  readonly options: PayloadOptions | undefined;
  readonly resolve: (position: Position) => void;
  readonly reject: (error: unknown) => void;
}

/** Headers, keys and how long those are known: each an array, or nothing if there are none. */
function besidesOf(entries: readonly Entry[]): readonly (string | null)[] {
  const column = (of: (options: PayloadOptions) => string | undefined) => {
    const values = entries.map(({ options }) => options && of(options) || null);
    return values.every((value) => value === null) ? null : arrayOf(values);
  };
  if (entries.every(({ options }) => options === undefined)) return [null, null, null];
  return [
    column(({ headers }) => headers && JSON.stringify(headers)),
    column(({ once }) => once?.key),
    column(({ once }) => once && String(lifetimeOf(once))),
  ];
}

/** A bytea within an array. */
function hex(payload: Payload): string {
  const bytes = typeof payload === "string"
    ? Buffer.from(payload)
    : Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  return `\\\\x${bytes.toString("hex")}`;
}
