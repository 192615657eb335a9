/**
 * The contract between the core and a broker's driver, as types.
 *
 * A backend reports facts: the records that it read, and whether the record to resume after came
 * back. The core decides what is a gap, in one table (`continuity.ts`).
 *
 * @module
 */

import type { Address } from "./address.ts";
import type { MessageHeaders } from "./headers.ts";
import type { Once } from "./idempotency_key.ts";
import type { Pattern } from "./pattern.ts";
import type { Place, Position } from "./position.ts";

/** An encoded message. Backends only ever see this form. */
export type Payload = string | Uint8Array;

/** Options of a payload. */
export interface PayloadOptions {
  /** The headers of the message. Passed only to backends with the feature `headers`. */
  readonly headers?: MessageHeaders | undefined;
  /**
   * The idempotency key. The payload is stored only if the key is not known in this channel.
   * Otherwise `publish()` resolves with the position of the record that first used the key. Passed
   * only to backends with the feature `keys`.
   */
  readonly once?: Once | undefined;
}

/** One payload on its way to the broker. */
export interface OutgoingPayload extends PayloadOptions {
  /** The channel to publish to. */
  readonly channel: string;
  /** The encoded message. */
  readonly payload: Payload;
}

/** One payload received from the broker. */
export interface BackendRecord {
  /** The tag of this item. */
  readonly kind: "record";
  /** Exactly the bytes that were published. */
  readonly payload: Payload;
  /** The place in the log. Absent without a log. */
  readonly place?: Place;
  /** The channel that it was published to. Required in tails and pages of patterns. */
  readonly channel?: string;
  /** The time of publishing in milliseconds since the Unix epoch, if the log stores it. */
  readonly timestamp?: number;
  /** The headers of the message, if any. */
  readonly headers?: MessageHeaders | undefined;
}

/** A record of the log that is not an event, such as a transaction marker. */
export interface SkippedRecord {
  /** The tag of this item. */
  readonly kind: "skip";
  /** The place in the log. */
  readonly place: Place;
}

/** The number of records that were removed: exact, at least one, none, or unknown. */
export type Removed = number | "some" | "none" | "unknown";

/**
 * A break in the log: the record to resume after did not come back, or later records were removed
 * while a tail was open. All its facts must be read at one moment.
 *
 * The next items are the records after the position if it can still be compared with the log, and
 * all records of the log otherwise. If there are no such records, or if a log of several shards
 * does not start with its first record, a `SkippedRecord` with the place before the start follows
 * the break. This record prevents a second report of the same break.
 */
export interface LogBreak {
  /** The tag of this item. */
  readonly kind: "break";
  /**
   * The affected shard.
   *
   * @default {0}
   */
  readonly shard?: number | undefined;
  /**
   * `true` if the log of the position was deleted, and perhaps recreated. Such a break concerns all
   * shards, and comes before any record. `false` if the log is known to be the same. Absent if the
   * broker cannot tell.
   */
  readonly recreated?: boolean | undefined;
  /**
   * `true` if another record is at the place, or if the place is empty between an older and a
   * newer record in a log that only removes its oldest records. In both cases the log lost its
   * newest records once and continued with others.
   */
  readonly replaced?: boolean | undefined;
  /**
   * The newest place that this channel ever had in the shard, if known. `at: -1` means that it
   * never had any.
   */
  readonly head?: Place | undefined;
  /** The number of records that were removed between the position and the next item. */
  readonly removed: Removed;
}

/** The broker dropped records before they reached this process, and has no log to reread them. */
export interface Loss {
  /** The tag of this item. */
  readonly kind: "loss";
  /** The exact number of dropped records, if known. */
  readonly missed?: number | undefined;
}

/** One item of a read, in the broker's order. */
export type Item = BackendRecord | SkippedRecord | LogBreak | Loss;

/**
 * The capabilities of a backend that its methods do not show. A call that needs a missing
 * capability is rejected.
 */
export interface BackendFeatures {
  /** Events reach other processes, not only this one. */
  readonly crossProcess: boolean;
  /** Payloads may be any bytes, not only text. */
  readonly binary: boolean;
  /**
   * Only the messages of one publisher are ordered. Other processes may see messages of several
   * publishers in a different order.
   */
  readonly orderPerPublisher?: boolean;
  /** The broker has a log, but does not report the place of a published record. */
  readonly tellsNoPlace?: boolean;
  /** `tail()` accepts patterns. */
  readonly patterns?: boolean;
  /** A position covers all channels together, so `read()` accepts patterns. */
  readonly patternLog?: boolean;
  /** Payloads can have headers, and are delivered with them. */
  readonly headers?: boolean;
  /** The broker remembers the idempotency keys of stored records, across all publishers. */
  readonly keys?: boolean;
}

/** A channel, or all channels that match a pattern. */
export type Target = string | Pattern;

/** Options of `tail()`. */
export interface TailOptions {
  /**
   * The position to start after. Without it, the tail starts at the end of the log.
   *
   * The backend re-reads the record at each place of the position. If one is missing or its
   * fingerprint differs, the first item of that shard must be a `LogBreak`.
   */
  readonly after?: Position | undefined;
}

/** The result of a read: an array of items, or the end. */
export type ReadResult =
  | { readonly done: false; readonly value: readonly Item[] }
  | { readonly done: true; readonly value?: unknown };

/**
 * Reads arrays of items, one read at a time. `ReadableStreamDefaultReader` implements it.
 */
export interface RecordReader {
  /** Resolves with the next array or the end. Rejects if the connection is lost. */
  read(): Promise<ReadResult>;
  /** Unsubscribes. Resolves once the broker has confirmed. */
  cancel(): Promise<void>;
  /**
   * Passes all items to `take` as they arrive, without a promise for each read. Optional, for
   * clients that push.
   *
   * @param take Takes the next items. If it returns a promise, later items wait for it.
   * @returns Resolves once the tail is cancelled. Rejects as `read()` does, or as `take` does.
   */
  forward?(take: (items: readonly Item[]) => Promise<void> | undefined): Promise<void>;
}

/** The live end of one channel, or of all channels that match a pattern. */
export interface Tail {
  /** The position that the tail starts after, if the backend has a log. */
  readonly position?: Position | undefined;
  /**
   * All items that the broker delivers from now on, in its order, one array for each read.
   *
   * A custom `RecordReader` avoids the overhead of a stream. Reads reject when the connection is
   * lost, or with a `RefusedError` if reopening the tail would not help. Cancelling unsubscribes,
   * and resolves once the broker has confirmed.
   */
  readonly records: ReadableStream<readonly Item[]> | RecordReader;
}

/** Options of `read()`: the page of the log to read. */
export interface ReadOptions {
  /**
   * Read the oldest records after this position. As in a tail, the backend re-reads the records at
   * the position, and reports a `LogBreak` first if they do not come back.
   */
  readonly after?: Position | undefined;
  /** Read only records before this position. Without `after`, the newest of these are read. */
  readonly before?: Position | undefined;
  /** The maximum number of records. */
  readonly limit: number;
}

/** A page of a log. */
export interface Page {
  /** The position before the page: `after`, or the place before the first record of each shard. */
  readonly from: Position;
  /**
   * The items, oldest first, without holes in any shard. Empty only if the log has no records
   * there.
   */
  readonly items: readonly Item[];
}

/**
 * Facts about the server and the connection, by name. None of them is secret.
 *
 * Usual names are `server` (the product and its version), `role`, `user`, `TLS` (its version, or
 * `no`) and `pooler`.
 */
export type ServerFacts = Readonly<Record<string, string>>;

/**
 * The driver of one broker.
 *
 * The core guarantees:
 *
 * - At most one tail per channel and per pattern is open at a time.
 * - Calls that open or cancel the tail of one channel or pattern never overlap.
 * - No method is called after `close()`.
 *
 * An event that matches the tail of a channel and the tail of a pattern must be delivered once to
 * each.
 */
export interface Backend {
  /** The URL scheme, shown in messages. */
  readonly name: string;
  /** The broker's address without credentials, shown in messages. */
  readonly address: string;
  /** The capabilities of the backend. */
  readonly features: BackendFeatures;

  /**
   * `false` from the loss of a connection until the next `connect()`. While it is `true`, an error
   * of a tail affects only its channel. Without this property, such an error counts as a lost
   * connection.
   */
  readonly connected?: boolean;

  /** Number of open connections to the broker, for statistics. Optional. */
  readonly connections?: number | undefined;

  /**
   * The reason for a degraded mode, such as polling because notifications do not arrive. After a
   * tail has opened, the core reports a new warning as the error of a `statechange`.
   */
  readonly warning?: Error | undefined;

  /**
   * The broker's own limit on the lifetime of idempotency keys in milliseconds, if it has one. It
   * is also the lifetime of keys that are published without a lifetime.
   */
  readonly window?: number | undefined;

  /**
   * Throws if the broker would reject, alter or truncate a channel name, or a payload and its
   * options. Called before anything is sent.
   *
   * @throws {TypeError} If a name, type or value cannot be used.
   * @throws {RangeError} If something is too long.
   */
  check?(channel: string, payload?: Payload, options?: PayloadOptions): void;

  /**
   * Opens all connections that are not open, at first use and after a loss. Rejects with a
   * `RefusedError` if the server answers and refuses. Any other error means that the server cannot
   * be reached. Optional for backends without connections.
   */
  connect?(): Promise<void>;

  /**
   * Publishes all messages of one turn of the event loop. Messages of one channel must keep their
   * order. The next call may come before this one settles. Its messages must be stored after the
   * earlier ones.
   *
   * @param messages The messages, of all channels.
   * @returns One promise for all messages, or one for each message with the position of its record,
   * if known. They resolve once the broker has accepted. A position replaces a promise of that
   * position, and `null` a promise of `undefined`. A `ConnectionError` means that the connection
   * was lost before the broker answered. A `TemporaryError` means that nothing was stored and that
   * a retry may succeed. An `OutcomeUnknownError` means that the message was sent, and that its
   * outcome is unknown. Any other error means that the broker refused.
   */
  publish(
    messages: readonly OutgoingPayload[],
  ): Promise<void> | readonly (Promise<Position | undefined> | Position | null)[];

  /**
   * Opens the tail of a channel or pattern. Resolves once the broker has confirmed. Every later
   * message must arrive. Rejects with a `RefusedError` if a retry would not help.
   *
   * `after` is passed only to backends with a log, and a pattern only to backends with the feature
   * `patterns`. The tail of a pattern may deliver records that do not match. Each of its records
   * must have a `channel`.
   */
  tail(target: Target, options?: TailOptions): Promise<Tail>;

  /**
   * Reads a page of the log. Rejects with a `ConnectionError` if the connection was lost, with a
   * `TemporaryError` if a retry may succeed, and with any other error if the broker refused.
   *
   * A backend with this method has a log. The method is called with a pattern only if the backend
   * has the feature `patternLog`.
   */
  read?(target: Target, options: ReadOptions): Promise<Page>;

  /**
   * Pings every open connection, to detect half-open ones. When the signal aborts, connections
   * that have not answered are destroyed and their tails error. Optional.
   */
  probe?(signal: AbortSignal): Promise<void>;

  /**
   * Asks the server for facts about itself, as `broadcaster check` shows them. Facts that the user
   * may not read, or that the server does not have, are left out. Called only while connected.
   * Optional.
   */
  describe?(): Promise<ServerFacts>;

  /**
   * Closes everything that this backend has opened. Resolves once the sockets are closed.
   * Idempotent. Must also work while a connection is being opened or is blocked.
   */
  close(): Promise<void>;
}

/**
 * A backend that is not open yet. Factories such as `redis()` return one, to be passed to
 * `new Broadcast()`.
 */
export interface BackendSource {
  /** The broker's address, with the parameters of the URL and of the options. */
  readonly address: Address;
  /** Creates the backend without connecting. The client library is loaded here. */
  open(): Backend | Promise<Backend>;
}
