/**
 * Writes to the log, and notifies other processes.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { OutgoingPayload, Payload } from "../../../core/backend/contract.ts";
import { ConnectionError, TemporaryError } from "../../../core/backend/errors.ts";
import { lifetimeOf } from "../../../core/backend/idempotency_key.ts";
import { Position } from "../../../core/backend/position.ts";
import { inBackground } from "../../../core/util/background.ts";
import { after } from "../../../core/util/timer.ts";
import { isLocked, isOfValue, lockedChannels } from "../errors.ts";
import { arrayOf } from "../statement.ts";
import type { Query } from "./database.ts";
import { type Entry, Lane } from "./lane.ts";
import { placeOf } from "./place.ts";
import { WAKE_CHANNEL } from "./parts.ts";

/** The pause between two hints to other processes, in milliseconds. */
const PAUSE = 10;
/** The time limit for the last hint, in milliseconds. */
const FAREWELL = 500;
/** The maximum number of channels in a hint. */
const NAMED = 500;

/** The headers, keys and lifetimes of messages. Most messages have none. */
const METADATA = `${arrayAt(3, "jsonb")}, ${arrayAt(4, "text")}, ${arrayAt(5, "bigint")}`;

/** Whether a statement waits for the locks of its channels, up to the limit of the function. */
type Mode = "wait" | "now";

const WAKE =
  `select pg_notify('${WAKE_CHANNEL}', $1::text || ' ' || string_agg(hash::text, ' ')) from (
  select distinct hashtext(name) as hash from unnest($2::text[]) as name) as hashes`;

/** A session for messages to channels that are locked. */
export interface Detour {
  /** Sends statements. */
  readonly query: Query;
  /** Closes the session. */
  close(): Promise<void>;
}

/** Options for a writer. */
export interface WriterOptions {
  /** Sends statements. */
  readonly query: Query;
  /** Opens another session. */
  readonly detour: () => Detour;
  /** The prefix of its hints. */
  readonly sender: string;
  /** Called with the channels that have new events. */
  readonly onWritten: (channels: readonly string[]) => void;
}

/**
 * Writes messages, and sends hints to other processes. Messages to a locked channel wait for the
 * lock on another session, so that other channels continue.
 */
export class Writer {
  readonly #options: WriterOptions;
  readonly #main: Lane;
  readonly #aside: Lane;
  /** The channels that were locked at the last write. */
  readonly #locked = new Set<string>();
  #detour: Detour | undefined;
  /** Detours that are being closed. */
  #closing: Promise<unknown> = Promise.resolve();
  /** The channels for the next hint. */
  #news = new Set<string>();
  #stopPause: (() => void) | undefined;

  /** @param options Options for the writer. */
  constructor(options: WriterOptions) {
    this.#options = options;
    this.#main = new Lane({ store: (entries) => this.#store(entries) });
    this.#aside = new Lane({
      store: (entries) => this.#storeAside(entries),
      channels: 1,
      onIdle: () => inBackground(this.leave()),
    });
  }

  /** Writes messages in order, after the waiting ones. */
  write(messages: readonly OutgoingPayload[]): readonly Promise<Position>[] {
    const entries: Entry[] = [];
    const written = messages.map((message) =>
      new Promise<Position>((resolve, reject) => entries.push({ message, resolve, reject }))
    );
    const isLocked = ({ message }: Entry) => this.#locked.has(message.channel);
    if (this.#locked.size === 0) this.#main.add(entries);
    else {
      this.#main.add(entries.filter((entry) => !isLocked(entry)));
      this.#aside.add(entries.filter(isLocked));
    }
    return written;
  }

  /** Sends the waiting hints. */
  async close(): Promise<void> {
    this.#stopPause?.();
    if (this.#news.size === 0) return;
    let stop: (() => void) | undefined;
    const late = new Promise<void>((resolve) => stop = after(FAREWELL, resolve));
    await Promise.race([this.#hint(), late]);
    stop!();
    this.#stopPause?.();
  }

  async #store(entries: readonly Entry[]): Promise<void> {
    const { query } = this.#options;
    try {
      await this.#send(query, "wait", entries);
    } catch (error) {
      if (!isLocked(error)) return await this.#fail(this.#main, entries, error, this.#store);
      await this.#divide(entries);
    }
  }

  /** Stores messages. Those to locked channels go to another session. */
  async #divide(entries: readonly Entry[]): Promise<void> {
    try {
      await this.#send(this.#options.query, "now", entries);
    } catch (error) {
      const names = new Set(lockedChannels(error));
      // Without names, a table is locked.
      if (names.size === 0) return await this.#fail(this.#main, entries, error, this.#store);
      const isNamed = ({ message }: Entry) => names.has(message.channel);
      for (const name of names) this.#locked.add(name);
      this.#aside.add([...entries.filter(isNamed), ...this.#main.take(names)]);
      this.#main.restore(entries.filter((entry) => !isNamed(entry)));
    }
  }

  /** Waits for the lock of one channel, and stores its messages. */
  readonly #storeAside = async (entries: readonly Entry[]): Promise<void> => {
    const { channel } = entries[0]!.message;
    this.#detour ??= this.#options.detour();
    try {
      await this.#send(this.#detour.query, "wait", entries);
      if (!this.#aside.has(channel)) this.#locked.delete(channel);
    } catch (error) {
      await this.#fail(this.#aside, entries, error, this.#storeAside);
    }
  };

  /** Stores messages, and settles them. */
  async #send(query: Query, mode: Mode, entries: readonly Entry[]): Promise<void> {
    const names = arrayOf(entries.map(({ message }) => message.channel));
    const payloads = `{${entries.map(({ message }) => hex(message.payload)).join(",")}}`;
    const metadata = metadataOf(entries);
    const hasMetadata = metadata.some((column) => column !== null);
    const values = [names, payloads, ...hasMetadata ? metadata : []];
    const [row] = await query(storeOf(mode, hasMetadata), values);
    const [epoch, micros, ids] = row as readonly string[];
    ids!.split(",").forEach((told, index) => {
      const [id, since = micros] = told.split(":");
      entries[index]!.resolve(Position.of(placeOf(epoch!, id!, since!)));
    });
    this.#tell([...channelsOf(entries)]);
  }

  /**
   * Rejects messages. If they may be sent again, later messages must not overtake them. If the
   * server refuses a value, only its message is rejected.
   */
  async #fail(
    lane: Lane,
    entries: readonly Entry[],
    error: unknown,
    store: (entries: readonly Entry[]) => Promise<void>,
  ): Promise<void> {
    if (isOfValue(error) && entries.length > 1) {
      const half = entries.length >> 1;
      await store.call(this, entries.slice(0, half));
      return await store.call(this, entries.slice(half));
    }
    // The lock of one channel does not concern the others.
    const channels = isLocked(error) && lane === this.#aside ? channelsOf(entries) : undefined;
    const mayRetry = error instanceof TemporaryError || error instanceof ConnectionError;
    const later = mayRetry ? lane.take(channels) : [];
    const reason = isLocked(error)
      ? new TemporaryError("a transaction of somebody else has locked it", { cause: error })
      : error;
    for (const { reject } of [...entries, ...later]) reject(reason);
  }

  /** Closes the session of the locked channels. */
  leave(): Promise<unknown> {
    const detour = this.#detour;
    this.#detour = undefined;
    if (detour) this.#closing = Promise.all([this.#closing, detour.close()]);
    return this.#closing;
  }

  /** Reports new events to this process and to others. */
  #tell(channels: readonly string[]): void {
    this.#options.onWritten(channels);
    for (const channel of channels) this.#news.add(channel);
    if (!this.#stopPause) inBackground(this.#hint());
  }

  /** Sends a hint. Other processes find events without a hint by polling. */
  async #hint(): Promise<void> {
    const news = [...this.#news];
    this.#news = new Set();
    this.#stopPause = after(PAUSE, () => {
      this.#stopPause = undefined;
      if (this.#news.size > 0) inBackground(this.#hint());
    });
    const { query, sender } = this.#options;
    const hints: Promise<unknown>[] = [];
    for (let from = 0; from < news.length; from += NAMED) {
      hints.push(query(WAKE, [sender, arrayOf(news.slice(from, from + NAMED))]));
    }
    await Promise.allSettled(hints);
  }
}

function channelsOf(entries: readonly Entry[]): Set<string> {
  return new Set(entries.map(({ message }) => message.channel));
}

/**
 * The statement that stores messages. If it does not wait and channels are locked, it stores
 * nothing, and its error has the locked channels.
 */
function storeOf(mode: Mode, hasMetadata: boolean): string {
  return `select epoch, micros::text, ids from broadcaster.store($1::text[], $2::bytea[]${
    hasMetadata ? `, ${METADATA}` : ""
  }, may_wait => ${mode === "wait"})`;
}

/**
 * A parameter as an array, in which an empty text means null. Whether `null` means null within an
 * array depends on a setting of the session.
 */
function arrayAt(parameter: number, type: string): string {
  return `(select array_agg(nullif(value, '')::${type} order by n)
    from unnest($${parameter}::text[]) with ordinality as given (value, n))`;
}

/**
 * Headers, keys and the lifetimes of keys. Each is an array with empty texts for messages without
 * one, or null if no message has one.
 */
function metadataOf(entries: readonly Entry[]): readonly (string | null)[] {
  const column = (of: (message: OutgoingPayload) => string | undefined) => {
    const values = entries.map(({ message }) => of(message) ?? "");
    return values.every((value) => value === "") ? null : arrayOf(values);
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
