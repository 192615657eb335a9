/**
 * A log in PostgreSQL: events of any size that can be read again, published by
 * the library or within an application's own transaction.
 *
 * ## URLs
 *
 * `postgres-stream://[[user][:password]@]host[:port][/database]`, or
 * `postgresql-stream://`. The parameters are the options of {@linkcode PostgresStreamOptions}.
 * The connection must be a session of its own: a pooler in transaction mode drops LISTEN.
 *
 * ## Delivery
 *
 * In each channel in the order of commit, which is the same for all, and exactly once while the
 * events are stored: after a lost connection a subscription resumes where it was. A gap says that
 * events were removed (`trimmed`), that the log was emptied or created again (`reset`), or that it
 * lost its end (`rollback`), for example by a failover to a standby that lagged, or by a crash with
 * `synchronous_commit` off. The number of missing events is not known, since ids have holes. NOTIFY
 * only wakes readers; events whose notification was lost are found within a second.
 *
 * A pattern follows each channel that matches. New channels are found at once if a notification
 * tells of them, else within a second. A pattern starts at the ends of its channels: after a lost
 * connection there is a gap.
 *
 * A payload has at most 128 MiB, a channel name at most 1,024 bytes without NUL.
 *
 * An application publishes within its own transaction by a SQL function, with a payload of text or
 * of bytes. If the transaction commits, the event is delivered; if it rolls back, nothing is sent.
 * This works at every isolation level, and an open transaction does not block other publishers:
 *
 * ```sql
 * begin;
 * insert into orders (number) values (7);
 * select broadcaster_publish('orders', 'order 7');
 * commit;
 * ```
 *
 * Headers are the column `headers`, a JSON object, and the third argument of that function. An
 * idempotency key is a row of `broadcaster_keys`. It is written in the same transaction as its
 * event, and known until it expires or the log is emptied.
 *
 * ## Retention
 *
 * Every process removes from time to time the events that are older than its `retention`, so the
 * shortest one wins. The newest event of each channel is always kept, and so is the newest of those
 * that are too old: readers that have seen it know that they missed nothing.
 *
 * ## Schema
 *
 * On connecting, the backend creates the missing parts of its schema with {@linkcode MIGRATION}, in
 * the first schema of the `search_path`: the tables `broadcaster_log`, `broadcaster_meta`,
 * `broadcaster_trimmed`, `broadcaster_keys` and `broadcaster_outbox`, the sequence
 * `broadcaster_ids`, and functions. A role that may not create them uses existing ones; it needs
 * these rights:
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
 * Pass a client of the library `postgres` as `sql`, and its connections and its own `listen()` are
 * used. It is never closed.
 *
 * @example
 * ```ts
 * import { Broadcast } from "@broadcaster/broadcaster";
 * import { postgresStream } from "@broadcaster/broadcaster/postgres-stream";
 * import postgres from "postgres";
 *
 * const sql = postgres("postgres://localhost/app");
 * const broadcast = new Broadcast(postgresStream({ sql, retention: "12h" }));
 * ```
 *
 * @module
 */

import type { Sql } from "postgres";
import type { Address } from "../../core/backend/address.ts";
import type {
  Backend,
  BackendFeatures,
  BackendSource,
  OutgoingPayload,
  Page,
  Payload,
  ReadOptions,
  Tail,
  TailOptions,
  Target,
} from "../../core/backend/contract.ts";
import { importClient } from "../../core/backend/kit/client_library.ts";
import { checkOptions, durationText, sourceOf } from "../../core/backend/kit/source.ts";
import type { Position } from "../../core/backend/position.ts";
import { random } from "../../core/util/random.ts";
import type { Postgres } from "./link.ts";
import { BorrowedDatabase, type DatabaseEvents, OwnDatabase } from "./log/database.ts";
import { checkName, checkPayload } from "./log/limits.ts";
import { Pool } from "./log/pool.ts";
import { type Dial, openReading, openWriting, type Reading, type Writing } from "./log/sessions.ts";
import { RenewedSession } from "./renewed_session.ts";
import {
  checkSql,
  checkUnused,
  type ConnectionOptions,
  connectionParameters,
  settingsOf,
  shownAs,
} from "./settings.ts";

export { MIGRATION } from "./log/schema.ts";
export type { ConnectionOptions } from "./settings.ts";

/** How long events are stored by default, in milliseconds. */
const RETENTION = 7 * 24 * 60 * 60 * 1_000;
/** The alternative to a client library that cannot be imported. */
const FACTORY = "postgresStream({ sql })";

/**
 * One session to write, and one to listen and to read, however many channels there are. With a
 * pool, other sessions read pages.
 */
export class PostgresStreamBackend implements Backend {
  /** The scheme. */
  readonly name = "postgres-stream";
  /** Where it connects to, as it appears in messages. */
  readonly address: string;
  /** A log with headers, keys and patterns. */
  readonly features: BackendFeatures = {
    crossProcess: true,
    binary: true,
    patterns: true,
    headers: true,
    keys: true,
  };
  readonly #writing: RenewedSession<Writing>;
  readonly #reading: RenewedSession<Reading>;
  readonly #pool: Pool | undefined;

  /**
   * A backend that connects with `connect()`.
   *
   * @param address Where it connects to, as it appears in messages.
   * @param retention How long events are stored, in milliseconds; 0 for forever.
   * @param dial Opens a session, which starts to connect.
   * @param pool The number of further sessions that read pages.
   */
  constructor(address: string, retention: number, dial: Dial, pool = 0) {
    this.address = address;
    // Tells the hints of this process from those of others.
    const sender = random();
    const onWritten = (channels: readonly string[]) => this.#reading.current?.ends.wake(channels);
    this.#writing = new RenewedSession(() => openWriting(dial, { retention, sender, onWritten }));
    this.#reading = new RenewedSession(() => openReading(dial, sender));
    if (pool > 0) this.#pool = new Pool(pool, dial);
  }

  /** Whether neither session was lost. */
  get connected(): boolean {
    return !this.#writing.lost && !this.#reading.lost;
  }

  /** Refuses names and payloads that the table would refuse. */
  check(channel: string, payload: Payload = ""): void {
    checkName(channel);
    checkPayload(channel, payload);
  }

  /** Opens the session to write, and creates the schema; the other one opens with the first read. */
  async connect(): Promise<void> {
    this.#reading.forgetLost();
    await this.#writing.use().ready;
  }

  /** Messages that come while a statement runs go into the next one together. */
  publish(messages: readonly OutgoingPayload[]): readonly Promise<Position>[] {
    return this.#writing.current!.writer.write(messages);
  }

  /** Listens, then reads the newest id of the channel. */
  async tail(target: Target, options: TailOptions = {}): Promise<Tail> {
    const { ready, ends, listening } = this.#reading.use();
    await ready;
    await listening();
    return await ends.open(target, options);
  }

  /** Reads that come together go into one statement. */
  async read(channel: string, options: ReadOptions): Promise<Page> {
    if (this.#pool) return await this.#pool.read(channel, options);
    const { ready, reader } = this.#reading.use();
    await ready;
    const { from, items } = await reader.read(channel, options);
    return { from, items };
  }

  /** Sends a statement on each session. */
  async probe(signal: AbortSignal): Promise<void> {
    await Promise.all([
      this.#writing.probe(signal),
      this.#reading.probe(signal),
      this.#pool?.probe(signal),
    ]);
  }

  /** Wakes other processes a last time, and closes all sessions. */
  async close(): Promise<void> {
    await Promise.all([this.#writing.close(), this.#reading.close(), this.#pool?.close()]);
  }
}

/** Options for a log in Postgres: the parameters of `postgres-stream://`, and a client. */
export interface PostgresStreamOptions extends ConnectionOptions {
  /**
   * How long events are stored: a number of milliseconds, a text with a unit such as `"30m"`,
   * `"12h"` or `"7d"`, or `"forever"`; 0 means forever too.
   *
   * @default {"7d"}
   */
  readonly retention?: number | string | undefined;
  /**
   * The number of sessions that read the past, in addition to the one that writes and the one that
   * listens. With 0, the one that listens also reads. Not with `sql`, which has a pool of its own.
   *
   * @default {0}
   */
  readonly pool?: number | undefined;
}

/**
 * A log in a Postgres database, for `new Broadcast()`.
 *
 * @param options The server, or a client of it, and the log.
 * @throws {TypeError} If `sql` is not a client of the library `postgres`.
 */
export function postgresStream(options: PostgresStreamOptions = {}): BackendSource {
  const { sql, url, retention, pool } = checkOptions("postgresStream", options);
  const source = sourceOf({
    schemes: ["postgres-stream", "postgresql-stream"],
    url,
    parameters: { ...connectionParameters(options), retention: durationText(retention), pool },
    open: (address) => sql === undefined ? open(address) : borrow(address, sql),
  });
  if (sql !== undefined) {
    checkSql(sql);
    checkUnused(source.address, ["pool"]);
  }
  return source;
}

/** Makes the backend of `postgres-stream://` and `postgresql-stream://`. */
export async function open(address: Address): Promise<Backend> {
  const retention = retentionOf(address);
  const pool = address.count("pool", 0);
  const settings = await settingsOf(address);
  const { default: postgres } = await importClient<{ default: Postgres }>("postgres", FACTORY);
  const dial = (events: DatabaseEvents) => new OwnDatabase(postgres, settings, events);
  return new PostgresStreamBackend(shownAs("postgres-stream", address), retention, dial, pool);
}

function borrow(address: Address, sql: Sql): Backend {
  const dial = (events: DatabaseEvents) => new BorrowedDatabase(sql, events);
  return new PostgresStreamBackend(String(address), retentionOf(address), dial);
}

function retentionOf(address: Address): number {
  const isForever = address.parameters.get("retention") === "forever";
  return isForever ? 0 : address.duration("retention") ?? RETENTION;
}
