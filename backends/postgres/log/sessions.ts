/**
 * The two sessions of a log: one with the writer, one with the reader and the tails.
 *
 * @module
 */

import type { ServerFacts } from "../../../core/backend/contract.ts";
import { reasonOf, RefusedError, TemporaryError } from "../../../core/backend/errors.ts";
import { Loopback } from "../../../core/backend/kit/loopback.ts";
import { endsSession, lostError } from "../errors.ts";
import type { Renewable } from "../renewed_session.ts";
import { type Database, type DatabaseEvents, readyOf, restoring } from "./database.ts";
import { Reader } from "./reader.ts";
import { Retention } from "./retention.ts";
import { WAKE_CHANNEL } from "./parts.ts";
import { SessionTails } from "./session_tails.ts";
import { type Detour, Writer, type WriterOptions } from "./writer.ts";

/** Creates a session, which starts to connect. */
export type Dial = (events: DatabaseEvents) => Database;

/** The time limit for a token through a pooler, in milliseconds. */
const ECHO = 2_000;
const SILENCE =
  "NOTIFY did not come back, probably from a transaction pooler: new events are found by polling, once a second";

/** The session that writes. */
export interface Writing extends Renewable {
  /** Publishes messages. */
  readonly writer: Writer;
  /** Sends a token to the listening session. */
  readonly echo: (token: string) => Promise<void>;
  /** Facts about the server. */
  readonly describe: () => Promise<ServerFacts>;
  /** Settles once the session is open, and the schema exists. */
  readonly ready: Promise<void>;
}

/** Options for the session that writes. */
export interface WritingOptions extends Omit<WriterOptions, "query" | "detour"> {
  /** The retention of the URL in milliseconds, if any; 0 for forever. */
  readonly retention: number | undefined;
  /** Called if the session was closed because its server is useless, such as a standby. */
  readonly onRenewed: (error: Error) => void;
}

/** Opens the session that writes. */
export function openWriting(
  dial: Dial,
  { retention, onRenewed, ...options }: WritingOptions,
): Writing {
  const keepers: Retention[] = [];
  const database = dial({
    onNotify: () => {},
    onLost: (error) => {
      keepers.forEach((keeper) => keeper.close());
      if (endsSession(error.cause)) onRenewed(error);
    },
  });
  const query = restoring(database);
  const keeper = new Retention(query, retention);
  keepers.push(keeper);
  const writer = new Writer({ query, detour: () => openDetour(dial), ...options });
  const ready = database.ready.then(() => database.install());
  ready.catch(() => {});
  return {
    writer,
    ready,
    async echo(token: string): Promise<void> {
      await query("select pg_notify($1, $2)", [WAKE_CHANNEL, `${options.sender} ${token}`]);
    },
    get lost(): boolean {
      return database.lost;
    },
    get connections(): number {
      return database.connections;
    },
    describe: () => database.describe(),
    probe: (signal) => database.probe(signal),
    async close(): Promise<void> {
      keeper.close();
      if (!database.lost) await writer.close();
      await writer.leave();
      await database.close();
    },
  };
}

function openDetour(dial: Dial): Detour {
  const database = dial({ onNotify: () => {}, onLost: () => {} });
  const ready = database.ready.catch((cause) => {
    // Nothing was sent, and the other session works.
    throw new TemporaryError(`no second session: ${reasonOf(cause)}`, { cause });
  });
  ready.catch(() => {});
  const query = restoring(database);
  return {
    async query(text, values) {
      await ready;
      return await query(text, values);
    },
    close: () => database.close(),
  };
}

/** The session that listens and reads. */
export interface Reading extends Renewable {
  /** Settles once the session is open. */
  readonly ready: Promise<void>;
  /** Reads pages. */
  readonly reader: Reader;
  /** The live ends of the channels. */
  readonly ends: SessionTails;
  /** Resolves once the session is listening. */
  readonly listening: () => Promise<void>;
  /** The reason if new events are found only by polling. */
  readonly warning: Error | undefined;
  /** Closes the session after its last statement, since its server is useless. */
  readonly renew: (error: Error) => void;
}

/** Options for the session that listens and reads. */
export interface ReadingOptions {
  /** The prefix of this process's hints. */
  readonly sender: string;
  /** Sends a token on the writing session. */
  readonly echo: (token: string) => Promise<void>;
}

/** Opens the session that listens and reads. */
export function openReading(dial: Dial, { sender, echo }: ReadingOptions): Reading {
  const loopback = new Loopback({ send: echo, silence: SILENCE, limit: ECHO });
  const lost = new AbortController();
  const database = dial({
    onNotify: (hint) => {
      const [name, token = ""] = hint?.split(" ") ?? [];
      if (name !== sender || !loopback.receive(token)) ends.hear(hint);
    },
    onLost: (error) => {
      lost.abort(error);
      ends.lose(error);
    },
  });
  const query = restoring(database);
  const reader = new Reader(query);
  const ends = new SessionTails({ query, reader, sender });
  let heard: Promise<void> | undefined;
  let warning: Error | undefined;
  async function listen(): Promise<void> {
    try {
      await database.listen();
      // A pooler may have changed the session by now.
      if (database.isPooled) await loopback.prove(false, lost.signal);
    } catch (error) {
      if (error instanceof RefusedError && database.isPooled) warning = new Error(error.message);
      else {
        // The next tail tries again.
        heard = undefined;
        throw error;
      }
    }
  }
  return {
    ready: readyOf(database),
    reader,
    ends,
    listening: () => heard ??= listen(),
    renew: (error) => database.end(error),
    get warning(): Error | undefined {
      return warning;
    },
    get lost(): boolean {
      return database.lost;
    },
    get connections(): number {
      return database.connections;
    },
    probe: (signal) => database.probe(signal),
    async close(): Promise<void> {
      ends.lose(lostError());
      lost.abort(lostError());
      await database.close();
    },
  };
}
