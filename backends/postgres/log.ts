/**
 * A log in PostgreSQL: events of any size that can be read again, published by
 * the library or within an application's own transaction.
 *
 * ## URLs
 *
 * `postgres-stream://[[user][:password]@]host[:port][/database]`, or
 * `postgresql-stream://`. The parameters are the options of {@linkcode PostgresStreamOptions}.
 * Parameters of libpq, permissions, and servers that take no writes: see the module `postgres`.
 *
 * The connection may lead through a pooler. A pooler in transaction mode drops LISTEN. New events
 * are then found by polling once a second, and a `statechange` reports this.
 *
 * ## Delivery
 *
 * Each channel is in the order of commit, which is the same for all subscribers. Events arrive
 * exactly once while they are stored: after a lost connection, a subscription resumes at its
 * position. A gap means that events were removed (`trimmed`), that the log was emptied or created
 * again (`reset`), or that it lost its end (`rollback`), for example by a failover to a standby
 * that lagged, or by a crash with `synchronous_commit` off. The number of missing events is not
 * known, since ids have holes. NOTIFY only wakes readers. Events whose notification was lost are
 * found within a second.
 *
 * A pattern follows each matching channel. New channels are found at once if a notification names
 * them, otherwise within a second. A pattern starts at the ends of its channels, so there is a gap
 * after a lost connection.
 *
 * A payload has at most 128 MiB, a channel name at most 1,024 bytes without NUL.
 *
 * An application can publish within its own transaction by a SQL function, with a payload of text
 * or of bytes. If the transaction commits, the event is delivered. If it rolls back, nothing is
 * sent. This works at every isolation level, and an open transaction does not block other
 * publishers. Postgres refuses `PREPARE TRANSACTION`, since the function sends a notification.
 *
 * ```sql
 * begin;
 * insert into orders (number) values (7);
 * select broadcaster.publish('orders', 'order 7');
 * commit;
 * ```
 *
 * Headers are the column `headers`, a JSON object of at most 1 MiB, and the third argument of that
 * function. An idempotency key is a row of the table `keys`. It is written in the same transaction
 * as its event, and is known until it expires or the log is emptied.
 *
 * ## Retention
 *
 * The retention is a property of the log, in the column `retention` of its table `meta`. It is 7
 * days, unless a process that may change it connects with another `retention`. Every process that
 * may publish lets the log remove older events from time to time, so publishers need no right to
 * delete. The newest event of each channel is always kept. The newest of the expired events is kept
 * too, so that readers that have seen it know that they missed nothing.
 *
 * A row that is deleted by hand is not delivered any more. If a subscription resumes exactly there,
 * it has no gap if the row was the newest one of its channel that was ever removed. Otherwise it
 * has a gap (`trimmed`). `TRUNCATE`, a table that is created again, and a copy of the log in
 * another database, such as by `pg_dump`, count as another log (`reset`).
 *
 * ## Schema
 *
 * The log has its own schema, by default `broadcaster` (`?schema=`). Two schemas are two logs. On
 * connecting, the backend creates missing objects, which needs the right CREATE on the database. To
 * create the objects in advance, connect once as their future owner, or run the SQL that {@linkcode
 * migration} returns. Objects that were altered by hand are refused.
 *
 * ## Rights
 *
 * | role | connects | publishes by the library, removes what is too old | publishes by SQL | subscribes, reads the past | changes the retention | creates, forges, deletes |
 * | --- | --- | --- | --- | --- | --- | --- |
 * | owner of the schema | yes | yes | yes | yes | yes | yes |
 * | publisher | yes | yes | no | no | no | no |
 * | sql_publisher | yes | no | yes | no | no | no |
 * | subscriber | yes | no | no | yes | no | no |
 * | keeper | yes | no | no | no | yes | no |
 *
 * A role that publishes and subscribes has the rights of both. Every role needs the schema:
 *
 * ```sql
 * grant usage on schema broadcaster to publisher, sql_publisher, subscriber, keeper;
 * grant execute on function broadcaster.store to publisher;
 * grant execute on function broadcaster.publish(text, text, jsonb) to sql_publisher;
 * grant execute on function broadcaster.publish(text, bytea, jsonb) to sql_publisher;
 * grant select on broadcaster.log, broadcaster.meta, broadcaster.trimmed to subscriber;
 * grant select, update (retention) on broadcaster.meta to keeper;
 * ```
 *
 * Functions run with the rights of the owner of the log, so ids cannot be forged. The owner of a
 * log could also run code with the rights of its users. So connecting is refused unless the objects
 * belong to the connecting role, to a superuser, to the owner of the database or to a role of which
 * the connecting role is a member. A superuser trusts only superusers. It is also refused if anyone
 * else may create objects in the schema, or triggers on its tables.
 *
 * ## Locks
 *
 * A lock on a row of the table `locks` keeps the order of a channel. No other role can take it. It
 * is held from the number of an event to its commit: for the library one statement, for an
 * application its COMMIT. A statement of the library waits for the lock for a quarter of a second.
 * If a transaction holds it for longer, for example after `SET CONSTRAINTS ALL IMMEDIATE`, the
 * messages to its channel wait on another session, up to `timeout`, and other channels continue.
 * While a table is locked, publishing and reading wait. The COMMIT of an application has no such
 * limit.
 *
 * ## Escape hatch
 *
 * Pass a client of the library `postgres` as `sql`. Its connections and its own `listen()` are
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
  ServerFacts,
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
import type { LogSettings } from "./log/installation.ts";
import { checkName, checkPayload } from "./log/limits.ts";
import { Pool } from "./log/pool.ts";
import { schemaOf } from "./log/schema_name.ts";
import { type Dial, openReading, openWriting, type Reading, type Writing } from "./log/sessions.ts";
import { RenewedSession } from "./renewed_session.ts";
import {
  checkSql,
  checkUnused,
  CONNECTION_OPTIONS,
  type ConnectionOptions,
  connectionParameters,
} from "./settings.ts";
import { settingsOf, shownAs } from "./url.ts";

export { migration } from "./log/schema.ts";
export type { ConnectionOptions, SslMode } from "./settings.ts";

/** The alternative to a client library that cannot be imported. */
const FACTORY = "postgresStream({ sql })";

/**
 * Uses one session to write, and one to listen and to read, for any number of channels. With a
 * pool, other sessions read pages.
 */
export class PostgresStreamBackend implements Backend {
  /** The scheme. */
  readonly name = "postgres-stream";
  /** The server and the database, as shown in messages. */
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
   * Creates a backend. `connect()` connects it.
   *
   * @param address The server and the database, as shown in messages.
   * @param retention The retention of the URL in milliseconds, if any; 0 for forever.
   * @param dial Creates a session, which starts to connect.
   * @param pool The number of additional sessions that read pages.
   */
  constructor(address: string, retention: number | undefined, dial: Dial, pool = 0) {
    this.address = address;
    // Distinguishes the hints of this process from the hints of others.
    const sender = random();
    const onWritten = (channels: readonly string[]) => this.#reading.current?.ends.wake(channels);
    // If a server became read-only, its address may now lead to another one.
    const onRenewed = (error: Error) => {
      this.#reading.current?.renew(error);
      this.#pool?.renew(error);
    };
    const echo = (token: string) => this.#writing.use().echo(token);
    this.#writing = new RenewedSession(() =>
      openWriting(dial, { retention, sender, onWritten, onRenewed })
    );
    this.#reading = new RenewedSession(() => openReading(dial, { sender, echo }));
    if (pool > 0) this.#pool = new Pool(pool, dial);
  }

  /** Whether neither session was lost. */
  get connected(): boolean {
    return !this.#writing.lost && !this.#reading.lost;
  }

  /** Number of open connections. */
  get connections(): number {
    return this.#writing.count + this.#reading.count + (this.#pool?.connections ?? 0);
  }

  /** The reason if new events are found only by polling. */
  get warning(): Error | undefined {
    return this.#reading.current?.warning;
  }

  /** Rejects names and payloads that the table would refuse. */
  check(channel: string, payload: Payload = ""): void {
    checkName(channel);
    checkPayload(channel, payload);
  }

  /**
   * Opens the session to write, and creates the schema. The other session opens with the first
   * read.
   */
  async connect(): Promise<void> {
    this.#reading.forgetLost();
    await this.#writing.use().ready;
  }

  /** Messages that are published during a statement share the next statement. */
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

  /** Requests that come together share a statement. */
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

  /** Facts about the server. */
  async describe(): Promise<ServerFacts> {
    return await this.#writing.current!.describe();
  }

  /** Wakes other processes one last time, and closes all sessions. */
  async close(): Promise<void> {
    await Promise.all([this.#writing.close(), this.#reading.close(), this.#pool?.close()]);
  }
}

/** Options for a log in Postgres: the parameters of `postgres-stream://`, and a client. */
export interface PostgresStreamOptions extends ConnectionOptions {
  /**
   * The schema of the log. Each schema is another log. A name has at most 63 bytes, and no quotes,
   * backslashes, dollar signs or control characters.
   *
   * @default {"broadcaster"}
   */
  readonly schema?: string | undefined;
  /**
   * How long events are stored: a number of milliseconds, a text with a unit such as `"30m"`,
   * `"12h"` or `"7d"`, or `"forever"`. 0 also means forever. The retention is a property of the
   * log. A process that connects with another value changes it, if its role may.
   *
   * @default {that of the log, 7 days when it is created}
   */
  readonly retention?: number | string | undefined;
  /**
   * The number of additional sessions that read the past. With 0, the listening session also reads.
   * The option cannot be combined with `sql`, which has its own pool.
   *
   * @default {0}
   */
  readonly pool?: number | undefined;
}

/**
 * A log in a Postgres database, for `new Broadcast()`.
 *
 * @param options The server, or a client of it, and the log.
 * @throws {TypeError} If `sql` is not a client of the library `postgres`, or `schema` cannot be the
 * name of a schema.
 */
export function postgresStream(options: PostgresStreamOptions = {}): BackendSource {
  const { sql, url, schema, retention, pool } = checkOptions("postgresStream", options, {
    ...CONNECTION_OPTIONS,
    schema: true,
    retention: true,
    pool: true,
  });
  const source = sourceOf({
    schemes: ["postgres-stream", "postgresql-stream"],
    url,
    parameters: {
      ...connectionParameters(options),
      ...{ schema, retention: durationText(retention), pool },
    },
    open: (address) => sql === undefined ? open(address) : borrow(address, sql),
  });
  schemaOf(source.address);
  if (sql !== undefined) {
    checkSql(sql);
    checkUnused(source.address, ["pool"]);
  }
  return source;
}

/** Opens the backend of `postgres-stream://` and `postgresql-stream://`. */
export async function open(address: Address): Promise<Backend> {
  const log = logOf(address);
  const pool = address.count("pool", 0);
  const settings = await settingsOf(address);
  const { default: postgres } = await importClient<{ default: Postgres }>("postgres", FACTORY);
  const dial = (events: DatabaseEvents) => new OwnDatabase(postgres, settings, log, events);
  return new PostgresStreamBackend(shownAs("postgres-stream", address), log.retention, dial, pool);
}

function borrow(address: Address, sql: Sql): Backend {
  const log = logOf(address);
  const dial = (events: DatabaseEvents) => new BorrowedDatabase(sql, log, events);
  return new PostgresStreamBackend(String(address), log.retention, dial);
}

function logOf(address: Address): LogSettings {
  const isForever = address.parameters.get("retention") === "forever";
  return { schema: schemaOf(address), retention: isForever ? 0 : address.duration("retention") };
}
