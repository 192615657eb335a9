/**
 * Writes to the log. Messages that wait go into one statement.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { OutgoingPayload, Payload } from "../../../core/backend/contract.ts";
import { ConnectionError } from "../../../core/backend/errors.ts";
import { lifetimeOf } from "../../../core/backend/idempotency_key.ts";
import { Position } from "../../../core/backend/position.ts";
import { after } from "../../../core/util/timer.ts";
import { arrayOf } from "../statement.ts";
import type { Query } from "./database.ts";
import { placeOf } from "./place.ts";
import { WAKE_CHANNEL } from "./schema.ts";

/** The limits of a statement: payloads, channels (each takes a lock), and bytes. */
const COUNT = 1_000;
const CHANNELS = 256;
const BYTES = 8 * 1024 * 1024;
/** The pause between two hints to other processes, in milliseconds. */
const PAUSE = 10;
/** How long the last hint may take, in milliseconds. */
const FAREWELL = 500;
/** How many channels a hint may name. */
const NAMED = 500;

const STORE = `select epoch, micros::text, ids from
  broadcaster_store($1::text[], $2::bytea[], $3::jsonb[], $4::text[], $5::bigint[])`;
const WAKE = `select pg_notify('${WAKE_CHANNEL}', $1 || ' ' || string_agg(hash::text, ' ')) from (
  select distinct hashtext(name) as hash from unnest($2::text[]) as name) as hashes`;

/** Options for a writer. */
export interface WriterOptions {
  /** Sends statements. */
  readonly query: Query;
  /** The name with which its hints start. */
  readonly sender: string;
  /** Called with the channels that have new events. */
  readonly onWritten: (channels: readonly string[]) => void;
}

/**
 * Writes the messages that came while the last statement ran as one statement, and sends hints to
 * other processes.
 */
export class Writer {
  readonly #options: WriterOptions;
  readonly #waiting: Entry[] = [];
  #running = false;
  /** The channels for the next hint. */
  #news = new Set<string>();
  #stopPause: (() => void) | undefined;

  /** @param options Options for it. */
  constructor(options: WriterOptions) {
    this.#options = options;
  }

  /** Writes messages in order, after those that wait. */
  write(messages: readonly OutgoingPayload[]): readonly Promise<Position>[] {
    const written = messages.map((message) =>
      new Promise<Position>((resolve, reject) => this.#waiting.push({ message, resolve, reject }))
    );
    if (!this.#running) void this.#run();
    return written;
  }

  /** Sends the hints that wait. */
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
    this.#running = true;
    while (this.#waiting.length > 0) await this.#store(this.#waiting.splice(0, this.#fitting()));
    this.#running = false;
  }

  /** How many of the messages that wait fit into one statement. */
  #fitting(): number {
    const channels = new Set<string>();
    let bytes = 0;
    let count = 0;
    for (const { message: { channel, payload } } of this.#waiting) {
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
      const names = arrayOf(entries.map(({ message }) => message.channel));
      const payloads = `{${entries.map(({ message }) => hex(message.payload)).join(",")}}`;
      const [row] = await query(STORE, [names, payloads, ...metadataOf(entries)]);
      const [epoch, micros, ids] = row as readonly string[];
      ids!.split(",").forEach((told, index) => {
        const [id, since = micros] = told.split(":");
        entries[index]!.resolve(Position.of(placeOf(epoch!, id!, since!)));
      });
    } catch (error) {
      // A user's client reconnects by itself: later messages must not overtake what is sent again.
      const later = error instanceof ConnectionError ? this.#waiting.splice(0) : [];
      for (const { reject } of [...entries, ...later]) reject(error);
      return;
    }
    const channels = [...new Set(entries.map(({ message }) => message.channel))];
    onWritten(channels);
    for (const channel of channels) this.#news.add(channel);
    if (!this.#stopPause) this.#hint();
  }

  /** Sends a hint. Events whose hint is lost are found by the polls of other processes. */
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

/** A message that waits for its statement. */
interface Entry {
  readonly message: OutgoingPayload;
  readonly resolve: (position: Position) => void;
  readonly reject: (error: unknown) => void;
}

/** Headers, keys and the lifetimes of keys: each an array, or null if no message has one. */
function metadataOf(entries: readonly Entry[]): readonly (string | null)[] {
  const column = (of: (message: OutgoingPayload) => string | undefined) => {
    const values = entries.map(({ message }) => of(message) || null);
    return values.every((value) => value === null) ? null : arrayOf(values);
  };
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
