/**
 * Runs SQL: on a connection of the backend's own, or on a client that the user gives.
 *
 * @module
 */

import type { Sql } from "postgres";
import { RefusedError } from "../../../core/backend/errors.ts";
import { unlessAborted } from "../../../core/util/abort.ts";
import { answered, isMissing, isUnserializable, lostError } from "../errors.ts";
import { Link, type Postgres } from "../link.ts";
import type { Renewable } from "../renewed_session.ts";
import type { Settings } from "../settings.ts";
import { quote } from "../statement.ts";
import { HAS_EPOCH, IS_THERE, MIGRATION, WAKE_CHANNEL } from "./schema.ts";

/** A row: texts, and payloads as bytes. */
export type Row = readonly (string | Uint8Array | null)[];

/** Sends a statement; rejects with an error that says whether the connection is to blame. */
export type Query = (
  text: string,
  values?: readonly (string | null)[],
) => Promise<readonly Row[]>;

/**
 * The statements are few and small: to plan each call, or to compile it, would take longer than
 * to run it.
 */
const SESSION_SETTINGS = `set plan_cache_mode = force_generic_plan; set jit = off;
  set session characteristics as transaction isolation level read committed`;

/** How often a statement is tried that cannot be serialized. */
const ATTEMPTS = 10;

/** The listeners of a session. */
export interface DatabaseEvents {
  /** A hint has come: the payload of a NOTIFY, or nothing if some may have been lost. */
  readonly onNotify: (payload?: string) => void;
  /** The session is lost, or could not be opened. */
  readonly onLost: (error: Error) => void;
}

/** A session with the database. Once lost, it stays lost. */
export interface Database extends Renewable {
  /** Settles once it is open. */
  readonly ready: Promise<void>;
  /** Sends a statement, which the server keeps prepared. */
  readonly query: Query;
  /** Creates the missing parts of the schema. */
  install(): Promise<void>;
  /** Listens, and resolves once the server has confirmed. */
  listen(): Promise<void>;
}

/** A connection of the backend's own. */
export class OwnDatabase implements Database {
  /** See `Database`. */
  readonly ready: Promise<void>;
  /** See `Database`. */
  readonly query: Query;
  readonly #link: Link;

  /**
   * Starts to connect.
   *
   * @param postgres The client library.
   * @param settings Where to connect.
   * @param events The listeners.
   */
  constructor(postgres: Postgres, settings: Settings, { onNotify, onLost }: DatabaseEvents) {
    this.#link = new Link(postgres, settings, {
      onNotify: (_, payload) => onNotify(payload),
      onLost,
    });
    const { ready, sql } = this.#link;
    this.query = queryOf(sql);
    this.ready = ready.then(() => answered(sql.unsafe(SESSION_SETTINGS))).then(() => {});
    this.ready.catch(() => {});
  }

  /** See `Database`. */
  get lost(): boolean {
    return this.#link.lost;
  }

  /** See `Database`. */
  install(): Promise<void> {
    return install(this.#link.sql);
  }

  /** See `Database`. */
  async listen(): Promise<void> {
    await answered(this.#link.sql.unsafe(`listen ${quote(WAKE_CHANNEL)}`));
  }

  /** See `Database`. */
  probe(signal: AbortSignal): Promise<void> {
    return this.#link.probe(signal);
  }

  /** See `Database`. */
  close(): Promise<void> {
    return this.#link.close();
  }
}

/**
 * A session of a client that the user gives. The client reconnects by itself: statements fail
 * meanwhile, and events whose hint was lost are in the log.
 */
export class BorrowedDatabase implements Database {
  /** See `Database`. */
  readonly lost = false;
  /** See `Database`. */
  readonly ready: Promise<void>;
  /** See `Database`. */
  readonly query: Query;
  readonly #client: Sql;
  readonly #events: DatabaseEvents;
  #unlisten: (() => Promise<void>) | undefined;
  #times = 0;

  /**
   * @param client The user's client.
   * @param events The listeners.
   */
  constructor(client: Sql, events: DatabaseEvents) {
    this.#client = client;
    this.#events = events;
    const query = queryOf(client);
    this.query = (text, values) => serialized(() => query(text, values));
    this.ready = this.query("select 1").then(() => {});
    this.ready.catch(() => {});
  }

  /** See `Database`. */
  install(): Promise<void> {
    return serialized(() => install(this.#client));
  }

  /** See `Database`. */
  async listen(): Promise<void> {
    const { onNotify } = this.#events;
    const { unlisten } = await answered(this.#client.listen(WAKE_CHANNEL, onNotify, () => {
      if (this.#times++ > 0) onNotify();
    }));
    this.#unlisten = unlisten;
  }

  /** See `Database`. */
  async probe(signal: AbortSignal): Promise<void> {
    await unlessAborted(signal, this.#client`select 1`);
  }

  /** The client stays open. It cannot remove a listener that it has made again. */
  async close(): Promise<void> {
    if (this.#times === 1) await this.#unlisten?.().catch(() => {});
  }
}

/** Settles once a session is open; every error but a refusal is a lost connection. */
export function readyOf(database: Database): Promise<void> {
  const ready = database.ready.catch((error) => {
    throw error instanceof RefusedError ? error : lostError(error);
  });
  ready.catch(() => {});
  return ready;
}

/** Sends statements to a log that may be dropped: it is created again, with another epoch. */
export function restoring(database: Database): Query {
  return async (text, values) => {
    try {
      return await database.query(text, values);
    } catch (error) {
      if (!isMissing(error)) throw error;
      await database.install();
      return await database.query(text, values);
    }
  };
}

function queryOf(sql: Sql): Query {
  return (text, values = []) =>
    answered(
      sql.unsafe(text, [...values], { prepare: true }).values() as unknown as Promise<Row[]>,
    );
}

/**
 * Repeats a statement that could not be serialized: the user's client may have a stricter
 * isolation level than read committed.
 */
async function serialized<Value>(send: () => Promise<Value>): Promise<Value> {
  for (let attempt = 1;; attempt++) {
    try {
      return await send();
    } catch (error) {
      if (!isUnserializable(error) || attempt === ATTEMPTS) throw error;
    }
  }
}

/** Creates the schema unless it exists: a role that may not create it can use an existing one. */
async function install(sql: Sql): Promise<void> {
  const query = queryOf(sql);
  const [there] = await query(IS_THERE);
  if (there?.[0] === "true" && (await query(HAS_EPOCH)).length > 0) return;
  try {
    await answered(sql.unsafe(MIGRATION));
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error;
    const message =
      `the log does not exist and cannot be created, run the migration: ${error.message}`;
    throw new RefusedError(message, { cause: error });
  }
}
