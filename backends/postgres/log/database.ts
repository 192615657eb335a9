/**
 * Runs SQL on a session of its own, or on one of a client that the user has.
 *
 * @module
 */

import type { Sql } from "postgres";
import { RefusedError } from "../../../core/backend/errors.ts";
import { unlessAborted } from "../../../core/util/abort.ts";
import { Link, type Postgres } from "../link.ts";
import type { Settings } from "../settings.ts";
import { lostError, quote } from "../statement.ts";
import { HAS_EPOCH, IS_THERE, MIGRATION, WAKE_CHANNEL } from "./schema.ts";

/** A row: texts, but for payloads. */
export type Row = readonly (string | Uint8Array | null)[];

/** Asks the database; settles with an error that says whether the connection is to blame. */
export type Query = (
  text: string,
  values?: readonly (string | null)[],
) => Promise<readonly Row[]>;

/**
 * The statements are the same again and again, and small: planning them anew, or
 * compiling them, would take longer than they do.
 */
const HABITS = `set plan_cache_mode = force_generic_plan; set jit = off;
  set session characteristics as transaction isolation level read committed`;

/** How often it is tried what cannot be serialized. */
const ATTEMPTS = 10;

/** Who is told of what. */
export interface DatabaseEvents {
  /** Somebody has written: what NOTIFY said, or nothing if something may have been missed. */
  readonly onNotify: (payload?: string) => void;
  /** The session is not any more. */
  readonly onLost: (error: Error) => void;
}

/** One role's session with the database. Once it is lost, it stays so. */
export interface Database {
  /** Whether it was open, or was to be, and is not any more. */
  readonly lost: boolean;
  /** Settles once it is open. */
  readonly ready: Promise<void>;
  /** Sends a statement, which the server keeps prepared. */
  readonly query: Query;
  /** Makes what of the schema is missing. */
  install(): Promise<void>;
  /** Listens, and resolves once the server has confirmed. */
  listen(): Promise<void>;
  /** Asks the server for a sign of life; cuts the session if the signal aborts first. */
  probe(signal: AbortSignal): Promise<void>;
  /** Ends it, and resolves once its socket is shut. */
  close(): Promise<void>;
}

/** A session of our own: one connection. */
export class OwnDatabase implements Database {
  /** See `Database`. */
  readonly ready: Promise<void>;
  /** See `Database`. */
  readonly query: Query;
  readonly #link: Link;

  /**
   * @param postgres The client library.
   * @param settings Where to connect.
   * @param events Who is told of what.
   */
  constructor(postgres: Postgres, settings: Settings, { onNotify, onLost }: DatabaseEvents) {
    this.#link = new Link(postgres, settings, {
      onNotify: (_, payload) => onNotify(payload),
      onLost,
    });
    const { ready, sql } = this.#link;
    this.query = queryOf(sql);
    this.ready = ready.then(() => answered(sql.unsafe(HABITS))).then(() => {});
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
 * A session of a client that the user has. The client connects again by itself:
 * what is asked meanwhile is refused, and what was not heard is in the log.
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
   * @param events Who is told of what.
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

  /** The client stays open. It cannot take back a listener that it has made again. */
  async close(): Promise<void> {
    if (this.#times === 1) await this.#unlisten?.().catch(() => {});
  }
}

/** The texts of an array, as Postgres reads it. */
export function arrayOf(texts: Iterable<string | null>): string {
  return `{${Array.from(texts, elementOf).join(",")}}`;
}

function elementOf(text: string | null): string {
  return text === null ? "null" : `"${text.replace(/["\\]/g, "\\$&")}"`;
}

/** Settles once a session is open; what is not a refusal is a lost connection. */
export function readyOf(database: Database): Promise<void> {
  const ready = database.ready.catch((error) => {
    throw error instanceof RefusedError ? error : lostError(error);
  });
  ready.catch(() => {});
  return ready;
}

/** Asks a database whose log may be dropped meanwhile: it is made anew, and told by its epoch. */
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

/** Whether a part of the schema is missing. */
function isMissing(error: unknown): boolean {
  return error instanceof RefusedError &&
    /^(42P01|42883)$/.test(String((error.cause as { code?: unknown }).code));
}

function queryOf(sql: Sql): Query {
  return (text, values = []) =>
    answered(
      sql.unsafe(text, [...values], { prepare: true }).values() as unknown as Promise<Row[]>,
    );
}

/**
 * Asks again what could not be serialized, of which nothing was done: a client of the
 * user's may have a stricter isolation than read committed.
 */
async function serialized<Value>(ask: () => Promise<Value>): Promise<Value> {
  for (let attempt = 1;; attempt++) {
    try {
      return await ask();
    } catch (error) {
      if ((error as { code?: unknown }).code !== "40001" || attempt === ATTEMPTS) throw error;
    }
  }
}

/** Many processes may come at once, and one that may not make it may find it. */
async function install(sql: Sql): Promise<void> {
  const query = queryOf(sql);
  const [there] = await query(IS_THERE);
  if (there?.[0] === "true" && (await query(HAS_EPOCH)).length > 0) return;
  try {
    await answered(sql.unsafe(MIGRATION));
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error;
    const message = `the log is not there and cannot be made, run the migration: ${error.message}`;
    throw new RefusedError(message, { cause: error });
  }
}

/** Settles as a statement does, with an error that says what is to blame. */
async function answered<Value>(statement: Promise<Value>): Promise<Value> {
  try {
    return await statement;
  } catch (error) {
    if (!(error instanceof Error) || error.name !== "PostgresError") throw lostError(error);
    const code = String((error as { code?: unknown }).code);
    if (/^(08|57P|53300)/.test(code)) throw lostError(error);
    // Another try may help with what is left: a timeout, a deadlock, a full disk.
    throw /^(0A|22|28|3D|3F|42)/.test(code)
      ? new RefusedError(error.message, { cause: error })
      : error;
  }
}
