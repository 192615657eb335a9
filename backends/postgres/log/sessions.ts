/**
 * The two sessions of a log, each with its users: the writer, or the reader and the tails.
 *
 * @module
 */

import { lostError } from "../errors.ts";
import type { Renewable } from "../renewed_session.ts";
import { type Database, type DatabaseEvents, readyOf, restoring } from "./database.ts";
import { Reader } from "./reader.ts";
import { Retention } from "./retention.ts";
import { SessionTails } from "./session_tails.ts";
import { Writer, type WriterOptions } from "./writer.ts";

/** Opens a session, which starts to connect. */
export type Dial = (events: DatabaseEvents) => Database;

/** The session that writes. */
export interface Writing extends Renewable {
  /** Publishes. */
  readonly writer: Writer;
  /** Settles once the session is open, and the schema exists. */
  readonly ready: Promise<void>;
}

/** Options for the session that writes. */
export interface WritingOptions extends Omit<WriterOptions, "query"> {
  /** How long events are stored, in milliseconds; 0 for forever. */
  readonly retention: number;
}

/** Opens the session that writes. */
export function openWriting(dial: Dial, { retention, ...options }: WritingOptions): Writing {
  const keepers: Retention[] = [];
  const database = dial({
    onNotify: () => {},
    onLost: () => keepers.forEach((keeper) => keeper.close()),
  });
  const query = restoring(database);
  const keeper = new Retention(query, retention);
  keepers.push(keeper);
  const writer = new Writer({ query, ...options });
  const ready = database.ready.then(() => database.install());
  ready.catch(() => {});
  return {
    writer,
    ready,
    get lost(): boolean {
      return database.lost;
    },
    probe: (signal) => database.probe(signal),
    async close(): Promise<void> {
      keeper.close();
      if (!database.lost) await writer.close();
      await database.close();
    },
  };
}

/** The session that listens and reads. */
export interface Reading extends Renewable {
  /** Settles once it is open. */
  readonly ready: Promise<void>;
  /** Reads pages. */
  readonly reader: Reader;
  /** The live ends of the channels. */
  readonly ends: SessionTails;
  /** Resolves once it is listening. */
  readonly listening: () => Promise<void>;
}

/** Opens the session that listens and reads. */
export function openReading(dial: Dial, sender: string): Reading {
  const database = dial({
    onNotify: (hint) => ends.hear(hint),
    onLost: (error) => ends.lose(error),
  });
  const query = restoring(database);
  const reader = new Reader(query);
  const ends = new SessionTails({ query, reader, sender });
  let heard: Promise<void> | undefined;
  return {
    ready: readyOf(database),
    reader,
    ends,
    listening: () => heard ??= database.listen(),
    get lost(): boolean {
      return database.lost;
    },
    probe: (signal) => database.probe(signal),
    async close(): Promise<void> {
      ends.lose(lostError());
      await database.close();
    },
  };
}
