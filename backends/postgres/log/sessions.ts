/**
 * Connects one writing and one reading session with the writer, the reader and the tails.
 *
 * @module
 */

import { type Database, type DatabaseEvents, readyOf, restoring } from "./database.ts";
import { Reader } from "./reader.ts";
import { Retention } from "./retention.ts";
import { SessionTails } from "./session_tails.ts";
import { Writer, type WriterOptions } from "./writer.ts";

/** Makes a session that connects. */
export type Dial = (events: DatabaseEvents) => Database;

/** The session that writes, and who uses it. */
export interface Writing {
  /** The session. */
  readonly database: Database;
  /** Publishes. */
  readonly writer: Writer;
  /** Removes what is too old. */
  readonly keeper: Retention;
  /** Settles once it is open, and the schema is there. */
  readonly ready: Promise<void>;
}

/** What the session that writes needs to know. */
export interface WritingOptions extends Omit<WriterOptions, "query"> {
  /** How long events are kept, in milliseconds; 0 for ever. */
  readonly retention: number;
}

/** Opens the session that writes. */
export function openWriting(dial: Dial, { retention, ...options }: WritingOptions): Writing {
  const retentions: Retention[] = [];
  const database = dial({
    onNotify: () => {},
    onLost: () => retentions.forEach((keeper) => keeper.close()),
  });
  const query = restoring(database);
  const keeper = new Retention(query, retention);
  retentions.push(keeper);
  const writer = new Writer({ query, ...options });
  const ready = database.ready.then(() => database.install());
  ready.catch(() => {});
  return { database, writer, keeper, ready };
}

/** The session that listens and reads, and who uses it. */
export interface Reading {
  /** The session. */
  readonly database: Database;
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
  const ready = readyOf(database);
  let heard: Promise<void> | undefined;
  const listening = () => heard ??= database.listen();
  return { database, ready, reader, ends, listening };
}
