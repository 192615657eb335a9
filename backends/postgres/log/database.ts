/**
 * Runs SQL, on the backend's own connection or on the user's client.
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
import { onPrimary } from "./schema_name.ts";

/**
 * Sends a statement, in which the schema of the log is named `broadcaster`. The error of a
 * rejection shows whether the connection caused it.
 */
export type Query = (
  text: string,
  values?: readonly (string | null)[],
) => Promise<readonly Row[]>;

/**
 * The statements are few and small, so planning each call, or compiling it, would take longer than
 * running it. A locked table blocks the session for at most a second at a time, so probes are
 * answered. No foreign function is called in place of one of Postgres.
 */
const SESSION_SETTINGS = `set search_path = pg_catalog, pg_temp; set lock_timeout = '1s';
  set plan_cache_mode = force_generic_plan; set jit = off;
  set session characteristics as transaction isolation level read committed`;

/** The number of attempts for a statement that cannot be serialized. */
const ATTEMPTS = 10;

/** The listeners of a session. */
export interface DatabaseEvents {
  /** Called with each hint: the payload of a NOTIFY, or nothing if hints may have been lost. */
  readonly onNotify: (payload?: string) => void;
  /** Called when the session is lost, or cannot be opened. */
  readonly onLost: (error: Error) => void;
}

/** A session with the database. Once lost, it stays lost. */
export interface Database extends Renewable {
  /** Settles once the session is open. */
  readonly ready: Promise<void>;
  /** Whether there is a pooler, which may give each transaction another session. */
  readonly isPooled: boolean;
  /** Number of open connections. */
  readonly connections: number;
  /** Sends a statement, which the server keeps prepared. */
  readonly query: Query;
  /** Creates the missing parts of the schema. */
  install(): Promise<void>;
  /** Listens. Resolves once the server has confirmed. */
  listen(): Promise<void>;
  /** Facts about the server. */
  describe(): Promise<ServerFacts>;
  /** Closes the session after its last statement. A session of the user's client stays open. */
  end(reason: Error): void;
}

/** The backend's own connection. */
export class OwnDatabase implements Database {
  /** See `Database`. */
  readonly ready: Promise<void>;
  /** See `Database`. */
  readonly query: Query;
  readonly #link: Link;
  readonly #log: LogSettings;
  readonly #openListener: () => Link;
  /** The connection that listens, if it is not the same one. */
  #listener: Link | undefined;

  /**
   * Starts to connect.
   *
   * @param postgres The client library.
   * @param settings The server, and the settings of the client.
   * @param log The schema and the retention of the log.
   * @param events The listeners.
   */
  constructor(
    postgres: Postgres,
    settings: Settings,
    log: LogSettings,
    { onNotify, onLost }: DatabaseEvents,
  ) {
    this.#log = log;
    const onHint = (_: string, payload: string) => onNotify(payload);
    this.#openListener = () =>
      new Link(postgres, settings, {
        onNotify: onHint,
        onLost: (error) => {
          if (!this.lost) this.#link.cut(error);
        },
      });
    this.#link = new Link(postgres, settings, {
      onNotify: onHint,
      onLost: (error) => {
        this.#listener?.cut(error);
        onLost(error);
      },
    });
    this.query = queryOf(this.#link, log);
    this.ready = this.#begin();
    this.ready.catch(() => {});
  }

  async #begin(): Promise<void> {
    await this.#link.ready;
    // A pooler would give a session with these settings to other clients.
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
  get connections(): number {
    return [this.#link, this.#listener].filter((link) => link && !link.lost).length;
  }

  /** See `Database`. */
  install(): Promise<void> {
    return install(this.#link, this.#log);
  }

  /** Listens, behind Pgpool-II on a connection of its own. */
  async listen(): Promise<void> {
    if (!this.isPooled && await this.#link.isThroughPgpool() && !this.lost) {
      this.#listener ??= this.#openListener();
    }
    const link = this.#listener ?? this.#link;
    await link.ready;
    await link.run(`listen ${quote(WAKE_CHANNEL)}`);
  }

  /** See `Database`. */
  describe(): Promise<ServerFacts> {
    return this.#link.describe();
  }

  /** See `Database`. */
  async probe(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#link.probe(signal), this.#listener?.probe(signal)]);
  }

  /** See `Database`. */
  end(reason: Error): void {
    this.#link.end(reason);
  }

  /** See `Database`. */
  async close(): Promise<void> {
    await Promise.all([this.#link.close(), this.#listener?.close()]);
  }
}

/**
 * A session of the user's client. The client reconnects by itself. Statements fail meanwhile, and
 * events whose hint was lost are in the log.
 */
export class BorrowedDatabase implements Database {
  /** See `Database`. */
  readonly lost = false;
  /** The connections of the user's client count as one. */
  readonly connections = 1;
  /** See `Database`. */
  readonly query: Query;
  readonly #link: BorrowedLink;
  readonly #log: LogSettings;
  readonly #events: DatabaseEvents;
  #unlisten: (() => Promise<void>) | undefined;
  #times = 0;

  /**
   * @param client The user's client.
   * @param log The schema and the retention of the log.
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

  /** See `Database`. The client reconnects by its own rules. */
  end(): void {}

  /** The client stays open. */
  async close(): Promise<void> {
    await this.#unlisten?.().catch(() => {});
  }
}

/** Settles once a session is open. Every error except a refusal counts as a lost connection. */
export function readyOf(database: Database): Promise<void> {
  const ready = database.ready.catch((error) => {
    throw error instanceof RefusedError ? error : lostError(error);
  });
  ready.catch(() => {});
  return ready;
}

/** Sends statements to the log. A dropped log is created again, with a new epoch. */
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
    if (own === undefined) texts.set(text, own = onPrimary(schema, text));
    const statement = own;
    const rows = await serialized(() => link.query(statement, values));
    // postgres 3.4.9 leaves holes for the rows that came before an error of the last statement.
    return rows.length > 0 && !(0 in rows) ? rows.filter(() => true) : rows;
  };
}

/**
 * Retries a statement that could not be serialized, since the user's client may have a stricter
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
