/**
 * A log in PostgreSQL: events of any size that can be read again, published by
 * the library or within an application's own transaction.
 *
 * ## URLs
 *
 * `postgres-stream://[[user][:password]@]host[:port][/database]`, or
 * `postgresql-stream://`. Parameters: `retention`, how long events are kept,
 * such as `30m`, `12h` or `7d` (the default), and `forever` or `0` for never
 * removing any; `pool`, how many sessions read the past, besides the one that
 * writes and the one that listens (0 by default: that one reads as well); `sslmode`, one of `disable` (the default), `prefer`, `require`
 * and `verify-full`, with libpq's meaning; `ca`, `cert` and `key`, paths of PEM
 * files, which imply that. It must be a session of its own: a pooler in
 * transaction mode drops LISTEN.
 *
 * ## Delivery
 *
 * In each channel in the order of commit, the same for all, and exactly once as
 * long as the events are kept: after a lost connection the subscription goes on
 * where it was. What was removed, or a log that was emptied, made anew or set back
 * (by a standby that lagged, or a crash with `synchronous_commit` off: told to who
 * had seen what is lost) is a gap; of how many events is not known, since ids have
 * holes. NOTIFY only wakes readers; what it loses is found within a second.
 *
 * A pattern follows each channel that matches, and finds new ones at once if a
 * hint tells of them, else within a second. It reads them as they are when it is
 * subscribed to: after a lost connection there is a gap.
 *
 * A payload has at most 128 MiB, a channel name at most 1,024 bytes without NUL.
 *
 * An application publishes within its own transaction by a function of SQL, with
 * a payload of text or of bytes. If it commits, the event is delivered; if it
 * rolls back, nothing was sent. It works under every isolation level, and holds
 * no other publisher up while the transaction is open:
 *
 * ```sql
 * begin;
 * insert into orders (number) values (7);
 * select broadcaster_publish('orders', 'order 7');
 * commit;
 * ```
 *
 * Headers are the column `headers`, an object of JSON, and a third argument of that
 * function. A key is a row of `broadcaster_keys`, written in the same transaction as
 * the event, and known for as long as it was asked to be, or until the log is emptied.
 *
 * ## Retention
 *
 * Every process removes, now and then, what is older than its `retention`; the
 * shortest one wins. The newest event of each channel is kept, however old, and
 * so is the newest of those that are too old: by it those who have read it know
 * that they missed nothing.
 *
 * ## Schema
 *
 * What is missing is made when it connects, by {@linkcode MIGRATION}, in the
 * first schema of the `search_path`: the tables `broadcaster_log`,
 * `broadcaster_meta`, `broadcaster_trimmed`, `broadcaster_keys` and
 * `broadcaster_outbox`, the sequence `broadcaster_ids`, and functions. A role that may not create runs on
 * what somebody else has made; it needs these rights:
 *
 * ```sql
 * grant usage on sequence broadcaster_ids to app;
 * grant select, insert, delete on broadcaster_log, broadcaster_outbox to app;
 * grant select, insert, update, delete on broadcaster_keys to app;
 * grant select, insert on broadcaster_trimmed to app;
 * grant select on broadcaster_meta to app;
 * ```
 *
 * ## Escape hatch
 *
 * Pass a `postgres` client as `client`: its connections and its own `listen()`
 * are used. It is never closed.
 *
 * @module
 */

import type { Sql } from "postgres";
import type { Address } from "../../core/backend/address.ts";
import type {
  Backend,
  BackendFeatures,
  BackendOptions,
  Page,
  Payload,
  PayloadOptions,
  ReadOptions,
  Tail,
  TailOptions,
  Target,
} from "../../core/backend/contract.ts";
import { ClosedError } from "../../core/backend/errors.ts";
import { importClient } from "../../core/backend/kit/client_library.ts";
import type { Position } from "../../core/backend/position.ts";
import { random } from "../../core/util/random.ts";
import type { Postgres } from "./link.ts";
import {
  BorrowedDatabase,
  type Database,
  type DatabaseEvents,
  OwnDatabase,
} from "./log/database.ts";
import { checkName, checkPayload } from "./log/limits.ts";
import { Pool } from "./log/pool.ts";
import { openReading, openWriting, type Reading, type Writing } from "./log/sessions.ts";
import { settingsOf, shownAs } from "./settings.ts";
import { lostError } from "./statement.ts";

export { MIGRATION } from "./log/schema.ts";

/** How long events are kept, in milliseconds. */
const RETENTION = 7 * 24 * 60 * 60 * 1_000;

/** One session to write, one to listen and read, unless others do, however many channels. */
export class PostgresStreamBackend implements Backend {
  /** The scheme. */
  readonly name = "postgres-stream";
  /** As it appears in messages. */
  readonly address: string;
  /** What it can do. */
  readonly features: BackendFeatures = {
    crossProcess: true,
    binary: true,
    log: true,
    patterns: true,
    headers: true,
    keys: true,
  };
  readonly #retention: number;
  readonly #dial: (events: DatabaseEvents) => Database;
  readonly #pool: Pool | undefined;
  /** Tells the hints of this process from those of others. */
  readonly #sender = random();
  #writing: Writing | undefined;
  #reading: Reading | undefined;
  #closed = false;

  /**
   * A backend that connects when it is asked to.
   *
   * @param address As it appears in messages.
   * @param retention How long events are kept, in milliseconds; 0 for ever.
   * @param dial Makes a session that connects.
   * @param pool How many sessions read pages besides.
   */
  constructor(
    address: string,
    retention: number,
    dial: (events: DatabaseEvents) => Database,
    pool = 0,
  ) {
    this.address = address;
    this.#retention = retention;
    this.#dial = dial;
    if (pool > 0) this.#pool = new Pool(pool, dial);
  }

  /** Whether neither session was lost. */
  get connected(): boolean {
    return !this.#writing?.database.lost && !this.#reading?.database.lost;
  }

  /** Refuses what the table would refuse. */
  check(channel: string, payload: Payload = ""): void {
    checkName(channel);
    checkPayload(channel, payload);
  }

  /** Opens the session to write, and makes the schema; the other one opens with the first read. */
  async connect(): Promise<void> {
    if (this.#reading?.database.lost) this.#reading = undefined;
    if (!this.#writing || this.#writing.database.lost) {
      this.#refuseClosed();
      this.#writing = openWriting(this.#dial, {
        retention: this.#retention,
        sender: this.#sender,
        onWritten: (channels) => this.#reading?.ends.wake(channels),
      });
    }
    await this.#writing.ready;
  }

  /** What waited while the last statement ran goes as one. */
  publish(
    channel: string,
    payloads: readonly Payload[],
    options?: readonly (PayloadOptions | undefined)[],
  ): readonly Promise<Position>[] {
    return this.#writing!.writer.write(channel, payloads, options);
  }

  /** LISTEN, answered; then the newest row of the channel. */
  async tail(target: Target, options: TailOptions = {}): Promise<Tail> {
    const { ready, ends, listening } = this.#openReading();
    await ready;
    await listening();
    return await ends.open(target, options);
  }

  /** Reads that come together go as one statement. */
  async read(channel: string, options: ReadOptions): Promise<Page> {
    this.#refuseClosed();
    if (this.#pool) return await this.#pool.read(channel, options);
    const { ready, reader } = this.#openReading();
    await ready;
    const { from, items } = await reader.read(channel, options);
    return { from, items };
  }

  /** A statement on each session. */
  async probe(signal: AbortSignal): Promise<void> {
    await Promise.all([
      this.#writing?.database.probe(signal),
      this.#reading?.database.probe(signal),
      this.#pool?.probe(signal),
    ]);
  }

  /** Wakes others a last time, and ends all sessions. */
  async close(): Promise<void> {
    const [writing, reading] = [this.#writing, this.#reading];
    const closed = this.#closed;
    this.#closed = true;
    writing?.keeper.close();
    if (!closed && writing && !writing.database.lost) await writing.writer.close();
    reading?.ends.lose(lostError());
    await Promise.all([
      writing?.database.close(),
      reading?.database.close(),
      this.#pool?.close(),
    ]);
  }

  #openReading(): Reading {
    this.#refuseClosed();
    if (!this.#reading || this.#reading.database.lost) {
      this.#reading = openReading(this.#dial, this.#sender);
    }
    return this.#reading;
  }

  #refuseClosed(): void {
    if (this.#closed) throw new ClosedError("Cannot use backend: it is closed");
  }
}

/** Makes the backend of `postgres-stream://` and `postgresql-stream://`. */
export async function open(address: Address, options: BackendOptions): Promise<Backend> {
  const forever = address.parameters.get("retention") === "forever";
  const retention = forever ? 0 : address.duration("retention") ?? RETENTION;
  const pool = address.count("pool", 0);
  if (options.client !== undefined) {
    if (pool !== undefined) throw new TypeError('Cannot use parameter "pool": a client is given');
    const client = options.client as Sql;
    if (typeof client?.listen !== "function") {
      throw new TypeError("Cannot use client: it is not a `Sql` of postgres");
    }
    const dial = (events: DatabaseEvents) => new BorrowedDatabase(client, events);
    return new PostgresStreamBackend(String(address), retention, dial);
  }
  const settings = await settingsOf(address);
  const { default: postgres } = await importClient<{ default: Postgres }>("postgres");
  const dial = (events: DatabaseEvents) => new OwnDatabase(postgres, settings, events);
  return new PostgresStreamBackend(shownAs("postgres-stream", address), retention, dial, pool);
}
