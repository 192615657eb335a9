/**
 * The contract between the core and a broker's driver, as types.
 *
 * @module
 */

import type { Address } from "./address.ts";
import type { MessageHeaders } from "./headers.ts";
import type { Once } from "./idempotency_key.ts";
import type { Pattern } from "./pattern.ts";
import type { Place, Position } from "./position.ts";

/** An encoded message: all that a backend ever sees of one. */
export type Payload = string | Uint8Array;

/** One payload as it came from the broker. */
export interface BackendRecord {
  /** Exactly the bytes that were published. */
  readonly payload: Payload;
  /** Where it lies in the log; without a log there is none. */
  readonly place?: Place;
  /** Where it was published: told by the tail and the pages of a pattern. */
  readonly channel?: string;
  /** When it was published, in milliseconds since 1970, where the log has it. */
  readonly timestamp?: number;
  /** What it carries besides, if there is something. */
  readonly headers?: MessageHeaders | undefined;
}

/** What is asked for besides a payload. */
export interface PayloadOptions {
  /** What it carries besides: only with `headers`. */
  readonly headers?: MessageHeaders | undefined;
  /**
   * Stores it only if its key is not known in this channel; else its `Position` is
   * that of the record for which the key was first used. Only with `keys`.
   */
  readonly once?: Once | undefined;
}

/** A record of the log that is nobody's event, such as a marker of a transaction. */
export interface PassedRecord {
  /** None. */
  readonly payload?: undefined;
  /** Where it lies. */
  readonly place: Place;
}

/** Records are missing here. */
export interface LogGap {
  /** None. */
  readonly payload?: undefined;
  /** None. */
  readonly place?: undefined;
  /**
   * `trimmed`: what followed is not stored any more. `ahead`: the log ends before
   * the position. `epoch`: the log was begun anew since. `unknown`: the broker has
   * dropped records, for whatever reason.
   */
  readonly cause: "trimmed" | "ahead" | "epoch" | "unknown";
  /** How many records are missing, where that is known exactly. */
  readonly missed?: number | undefined;
  /** Where the log goes on, if places before and behind cannot be compared. */
  readonly restart?: Position | undefined;
}

/** What a read of a broker brings, in its order. */
export type Item = BackendRecord | PassedRecord | LogGap;

/** What a backend can do. What it cannot is an error at the call. */
export interface BackendFeatures {
  /** Events reach other processes, not only this one. */
  readonly crossProcess: boolean;
  /** Payloads may be any bytes, not only text. */
  readonly binary: boolean;
  /** Order is each publisher's own: other processes may see those of several in another one. */
  readonly orderPerPublisher?: boolean;
  /** Events are stored: it has `read()`, and every record and tail a place. */
  readonly log?: boolean;
  /** A publisher is not told where its record lies, though there is a log. */
  readonly tellsNoPlace?: boolean;
  /** There are tails of patterns. */
  readonly patterns?: boolean;
  /** A position covers all channels together: it has `read()` for patterns, too. */
  readonly patternLog?: boolean;
  /** Payloads may have headers, and come back with them. */
  readonly headers?: boolean;
  /** It knows the keys of what was stored, whoever has published it. */
  readonly keys?: boolean;
}

/** What is listened to: a channel, or every channel that matches a pattern. */
export type Target = string | Pattern;

/** Where a tail begins. */
export interface TailOptions {
  /**
   * Behind this position, inclusive of its own records: they must come back and
   * have the same fingerprint, else the first item is a gap. Without it, at the end.
   */
  readonly after?: Position | undefined;
}

/** The live end of one channel, or of all that match a pattern. */
export interface Tail {
  /** With a log: what it begins behind. */
  readonly position?: Position | undefined;
  /**
   * What the broker delivers from now on, in its order: arrays of items, as
   * one read brought them. It errors when the connection is lost, with a
   * `RefusedError` when opening it again would not help. Cancelling it
   * unsubscribes, and resolves once the broker has confirmed that.
   */
  readonly records: ReadableStream<readonly Item[]>;
}

/** Which page of a log. */
export interface ReadOptions {
  /**
   * The oldest records behind this position, inclusive of its own records: as for
   * a tail, a gap comes first if they do not come back.
   */
  readonly after?: Position | undefined;
  /** Nothing from this position on; the newest records before it, if there is no `after`. */
  readonly before?: Position | undefined;
  /** How many records at most. */
  readonly limit: number;
}

/** A page of a log. */
export interface Page {
  /** What it begins behind: `after`, or what lies before its first record in each shard. */
  readonly from: Position;
  /**
   * Oldest first, and in each shard without a hole. Empty only if the log has
   * nothing there.
   */
  readonly items: readonly Item[];
}

/**
 * The driver of one broker.
 *
 * The core promises: at most one tail per channel and per pattern at a time, no
 * call for one while another call to open or cancel its tail is under way,
 * nothing after `close()`. An event that a channel's tail and a pattern's both
 * stand for is wanted once in each.
 */
export interface Backend {
  /** The URL scheme, as it appears in messages. */
  readonly name: string;
  /** Where it is connected to, without credentials, as it appears in messages. */
  readonly address: string;
  /** What it can do. */
  readonly features: BackendFeatures;

  /**
   * Whether its connections are well, as far as it knows: `false` once one was
   * lost, until `connect()`. While it is `true`, a tail that errors concerns its
   * channel alone. Without it, such a tail counts as a lost connection.
   */
  readonly connected?: boolean;

  /**
   * How long the broker knows keys at most, in milliseconds, if it has a limit of
   * its own: that is how long it knows those of which nobody says.
   */
  readonly window?: number | undefined;

  /**
   * Throws a `TypeError` or a `RangeError` for a channel, or for a payload and its
   * options, that the broker would refuse, alter or cut. It is asked before anything
   * is sent.
   */
  check?(channel: string, payload?: Payload, options?: PayloadOptions): void;

  /**
   * Opens every connection that is not open, the first time and after a loss.
   * Rejects with a `RefusedError` if the server answers and says no; every
   * other error means that it cannot be reached. Optional: a backend without
   * connections has nothing to do here.
   */
  connect?(): Promise<void>;

  /**
   * Publishes the payloads that were given to a channel in one go, in order. The
   * next call may come before this one has settled, and keeps its place behind it.
   *
   * @param channel Where to publish.
   * @param payloads What to publish.
   * @param options What is asked for besides each payload, in the same order;
   * `undefined` if nothing is, for any of them.
   * @returns Resolves once the broker has accepted: one promise for all, or one
   * for each payload, with the `Position` of its record if that is known. A
   * `ConnectionError` means that the connection was lost meanwhile; every other
   * error that the broker refused.
   */
  publish(
    channel: string,
    payloads: readonly Payload[],
    options?: readonly (PayloadOptions | undefined)[],
  ): Promise<void> | readonly Promise<unknown>[];

  /**
   * Resolves once the broker has confirmed: what is published from then on
   * arrives. `after` is only given to a backend with a log, a pattern only to one
   * with `patterns`: there the tail may bring more than what matches, and each of
   * its records names its channel.
   */
  tail(target: Target, options?: TailOptions): Promise<Tail>;

  /**
   * Reads a page of the log. Rejects with a `ConnectionError` if the connection
   * was lost, with every other error if the broker refused. Only backends with a
   * log have it, and it is asked for a pattern only with `patternLog`.
   */
  read?(target: Target, options: ReadOptions): Promise<Page>;

  /**
   * Asks every open connection for a sign of life. When the signal aborts, the
   * connections that gave none are cut, half-open as they are, and their tails
   * error. Optional.
   */
  probe?(signal: AbortSignal): Promise<void>;

  /**
   * Closes all that this backend has opened, and resolves with the sockets
   * shut. Idempotent; also while connecting or blocked.
   */
  close(): Promise<void>;
}

/** Additional options for opening a backend. */
export interface BackendOptions {
  /**
   * A client of the broker's library that the user already has. The backend
   * never closes it.
   */
  readonly client?: unknown;
}

/** What a backend's module exports. */
export interface BackendModule {
  /**
   * Makes the backend of a URL, without connecting. A client library is loaded
   * here.
   *
   * @param address The URL, with the parameters of this backend.
   * @param options Additional options.
   * @throws {TypeError} If a parameter has a value that cannot be used.
   */
  open(address: Address, options: BackendOptions): Backend | Promise<Backend>;
}
