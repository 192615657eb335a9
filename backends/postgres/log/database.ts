/**
 * Runs SQL: on a connection of the backend's own, or on a client that the user gives.
 *
 * @module
 */

import type { Sql } from "postgres";
import type { ServerFacts } from "../../../core/backend/contract.ts";
import { RefusedError } from "../../../core/backend/errors.ts";
import { BorrowedLink } from "../borrowed_link.ts";
import { isMissing, isUnserializable, lostError } from "../errors.ts";
import { Link, type Postgres } from "../link.ts";
import type { Renewable } from "../renewed_session.ts";
import { quote, type Row, type Statements } from "../statement.ts";
import type { Settings } from "../url.ts";
import { install, type LogSettings } from "./installation.ts";
import { WAKE_CHANNEL } from "./parts.ts";
import { inSchema } from "./schema_name.ts";

/**
 * Sends a statement, in which the schema of the log is named `broadcaster`. It rejects with an error
 * that says whether the connection is to blame.
 */
export type Query = (
  text: string,
  values?: readonly (string | null)[],
) => Promise<readonly Row[]>;

/**
 * The statements are few and small: to plan each call, or to compile it, would take longer than
 * to run it. A locked table keeps the session busy for a second at a time, so probes are answered.
 * No function of a stranger is called in place of one of Postgres.
 */
const SESSION_SETTINGS = `set search_path = pg_catalog, pg_temp; set lock_timeout = '1s';
  set plan_cache_mode = force_generic_plan; set jit = off;
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
  /** Whether a pooler is in between, which may give each transaction another session. */
  readonly isPooled: boolean;
  /** Sends a statement, which the server keeps prepared. */
  readonly query: Query;
  /** Creates the missing parts of the schema. */
  install(): Promise<void>;
  /** Listens, and resolves once the server has confirmed. */
  listen(): Promise<void>;
  /** What the server tells about itself. */
  describe(): Promise<ServerFacts>;
  /** Closes it after its last statement. A session of the user's client stays open. */
  end(reason: Error): void;
}

/** A connection of the backend's own. */
export class OwnDatabase implements Database {
  /** See `Database`. */
  readonly ready: Promise<void>;
  /** See `Database`. */
  readonly query: Query;
  readonly #link: Link;
  readonly #log: LogSettings;

  /**
   * Starts to connect.
   *
   * @param postgres The client library.
   * @param settings Where to connect.
   * @param log Where the log is in the database.
   * @param events The listeners.
   */
  constructor(
    postgres: Postgres,
    settings: Settings,
    log: LogSettings,
    { onNotify, onLost }: DatabaseEvents,
  ) {
    this.#log = log;
    this.#link = new Link(postgres, settings, {
      onNotify: (_, payload) => onNotify(payload),
      onLost,
    });
    this.query = queryOf(this.#link, log);
    this.ready = this.#begin();
    this.ready.catch(() => {});
  }

  async #begin(): Promise<void> {
    await this.#link.ready;
    // The settings would be those of a session that a pooler gives to others.
    if (!this.#link.isPooled) await this.#link.run(SESSION_SETTINGS);
  }

  /** See `Database`. */
  get lost(): boolean {
    return this.#link.lost;
  }

  /** See `Database`. */
  get isPooled(): boolean {
    return this.#link.isPooled;
  }

  /** See `Database`. */
  install(): Promise<void> {
    return install(this.#link, this.#log);
  }

  /** See `Database`. */
  async listen(): Promise<void> {
    await this.#link.run(`listen ${quote(WAKE_CHANNEL)}`);
  }

  /** See `Database`. */
  describe(): Promise<ServerFacts> {
    return this.#link.describe();
  }

  /** See `Database`. */
  probe(signal: AbortSignal): Promise<void> {
    return this.#link.probe(signal);
  }

  /** See `Database`. */
  end(reason: Error): void {
    this.#link.end(reason);
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
  readonly query: Query;
  readonly #link: BorrowedLink;
  readonly #log: LogSettings;
  readonly #events: DatabaseEvents;
  #unlisten: (() => Promise<void>) | undefined;
  #times = 0;

  /**
   * @param client The user's client.
   * @param log Where the log is in the database.
   * @param events The listeners.
   */
  constructor(client: Sql, log: LogSettings, events: DatabaseEvents) {
    this.#link = new BorrowedLink(client);
    this.#log = log;
    this.#events = events;
    this.query = queryOf(this.#link, log);
  }

  /** See `Database`. */
  get ready(): Promise<void> {
    return this.#link.ready;
  }

  /** See `Database`. */
  get isPooled(): boolean {
    return this.#link.isPooled;
  }

  /** See `Database`. */
  install(): Promise<void> {
    return serialized(() => install(this.#link, this.#log));
  }

  /** See `Database`. */
  async listen(): Promise<void> {
    const { onNotify } = this.#events;
    this.#unlisten = await this.#link.listen(WAKE_CHANNEL, {
      onNotify,
      onListening: () => {
        if (this.#times++ > 0) onNotify();
      },
    });
  }

  /** See `Database`. */
  describe(): Promise<ServerFacts> {
    return this.#link.describe();
  }

  /** See `Database`. */
  probe(signal: AbortSignal): Promise<void> {
    return this.#link.probe(signal);
  }

  /** See `Database`. The client reconnects by rules of its own. */
  end(): void {}

  /** The client stays open. */
  async close(): Promise<void> {
    await this.#unlisten?.().catch(() => {});
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

/** Sends statements to the log. If it was dropped, it is created again, with a new epoch. */
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

function queryOf(link: Statements, { schema }: LogSettings): Query {
  const texts = new Map<string, string>();
  return async (text, values = []) => {
    let own = texts.get(text);
    if (own === undefined) texts.set(text, own = inSchema(schema, text));
    const statement = own;
    const rows = await serialized(() => link.query(statement, values));
    // postgres 3.4.9 leaves holes for the rows that came before an error of the last statement.
    return rows.length > 0 && !(0 in rows) ? rows.filter(() => true) : rows;
  };
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
