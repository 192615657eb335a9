/**
 * The options of a broadcast and of its methods, and their validation.
 *
 * @module
 */

import type { BackendOptions, Target } from "../backend/contract.ts";
import type { Gap } from "../backend/event.ts";
import type { MessageHeaders } from "../backend/headers.ts";
import { nameOf } from "../backend/name.ts";
import type { AnyCodec, Codec } from "../codec/codec.ts";
import type { ChannelSchemas } from "../codec/schema.ts";
import type { StartOptions } from "../fanout/start.ts";
import { kindOf } from "../util/kind.ts";
import type { SettingsOptions } from "./settings.ts";

/** Additional options of a publish. */
export interface PublishOptions {
  /**
   * What the message carries besides, on backends whose broker has headers; they
   * are neither encoded nor encrypted. A name is a token as in HTTP, but
   * case-sensitive, and does not begin with `broadcaster-`; a value has no control
   * characters, and no spaces at either end. Together they have at most 8 KiB, each
   * counted with 32 bytes more.
   */
  readonly headers?: MessageHeaders | undefined;
  /**
   * Publishes once, on backends that know keys: as long as this key of the channel
   * is known, whoever publishes with it again, and whatever, stores nothing, and
   * gets the id of the first event. So what was never answered can be published
   * again. At most 256 bytes, without NUL.
   */
  readonly key?: string | undefined;
  /**
   * How long the key is known at least, in milliseconds, from when it was first
   * used on. On `nats-stream://` at most as long as the window of its stream, and just
   * as long unless it is said.
   *
   * @default {300000}
   */
  readonly expires?: number | undefined;
  /** Aborts the call. A message that was sent already may be published all the same. */
  readonly signal?: AbortSignal | undefined;
}

/** Additional options of a stream of messages into a channel. */
export interface WritableOptions {
  /**
   * Whether closing the stream ends the channel: every subscription to it that
   * comes to this place is done, those that start later with `history` or `after`
   * included, and an event stream tells its client not to come back. A subscription
   * that starts live behind it waits for what is published next. Only on backends
   * with a log; `abort()` ends nothing. Other programs see a message of the bytes
   * `C1 2E`.
   *
   * @default {false}
   */
  readonly end?: boolean | undefined;
  /** Errors the stream with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Additional options of a subscription. */
export interface SubscribeOptions {
  /**
   * Start with up to this many of the most recent events. Only on backends with
   * a log.
   *
   * @default {0}
   */
  readonly history?: number | undefined;
  /**
   * Resume behind the event of this id; it wins over `history`. With a log
   * nothing is lost, or a gap says so, in every process. Without one the same
   * holds while this process keeps the tail (it outlives its last subscriber by
   * `linger`); later the subscription starts live, with a gap `disconnect`. `null`,
   * as `headers.get()` has it, is none.
   */
  readonly after?: string | null | undefined;
  /**
   * What to do when `after` is not an id of this channel: reject with a
   * `TypeError`, or start live with a gap `unknown`.
   *
   * @default {"error"}
   */
  readonly foreign?: "error" | "gap" | undefined;
  /**
   * What to do when events may be missing: go on (the next event carries the
   * gap; if the channel is ended before there is one, that is a `GapError`), end the subscription with a `GapError`, or call a function, in order
   * and as soon as the reader waits at that place.
   *
   * @default {"continue"}
   */
  readonly onGap?: "continue" | "error" | ((gap: Gap) => void) | undefined;
  /** Aborts the call; later, ends the subscription with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Which page of a channel's history. */
export interface HistoryOptions {
  /**
   * How many events at most.
   *
   * @default {100}
   */
  readonly limit?: number | undefined;
  /** Only events before that of this id: the newest of them, if there is no `after`. */
  readonly before?: string | null | undefined;
  /** Only events behind that of this id: the oldest of them. */
  readonly after?: string | null | undefined;
  /** Aborts the call. */
  readonly signal?: AbortSignal | undefined;
}

/** Additional options of a broadcast. */
export interface BroadcastOptions extends SettingsOptions, BackendOptions {}

/** Additional options of a broadcast, with a codec. */
export interface CodecOptions<Message> extends BroadcastOptions {
  /** Turns messages into payloads and back. */
  readonly codec: Codec<Message>;
}

/** Additional options of a broadcast, with schemas. */
export interface SchemaOptions<Schemas extends ChannelSchemas> extends BroadcastOptions {
  /**
   * The schema of each channel, by its name; a name with `*` stands for all that
   * match and have none of their own. There are no other channels.
   *
   * A message that is published must be what the schema accepts, and travels as
   * it is. What is received is what the schema makes of it; if it does not accept
   * it, that is a `messageerror`.
   */
  readonly channels: Schemas;
  /**
   * Turns messages into payloads and back.
   *
   * @default {json()}
   */
  readonly codec?: AnyCodec | undefined;
}

/**
 * What the user asked for.
 *
 * @throws {TypeError} If an option has a value that means nothing.
 * @throws {RangeError} If `history` is no number of events.
 */
export function readStart(
  target: Target | readonly string[],
  { after, ...options }: SubscribeOptions,
): StartOptions {
  const { foreign = "error", history = 0, onGap = "continue" } = options;
  checkCount(`start with history of ${nameOf(target)}`, history, 0);
  if (foreign !== "error" && foreign !== "gap") {
    throw choiceError(target, "foreign", '"error" or "gap"', foreign);
  }
  if (onGap !== "continue" && onGap !== "error" && typeof onGap !== "function") {
    throw choiceError(target, "onGap", '"continue", "error" or a function', onGap);
  }
  return { ...options, after: after ?? undefined };
}

/**
 * A number of events.
 *
 * @param what What is done, as it appears in the message.
 * @throws {RangeError} If it is no such number.
 */
export function checkCount(what: string, count: unknown, least: number): void {
  if (typeof count === "number" && Number.isSafeInteger(count) && count >= least) return;
  throw new RangeError(
    `Cannot ${what}: it must be a whole number of at least ${least}, it is ${
      typeof count === "number" ? count : kindOf(count)
    }`,
  );
}

function choiceError(
  target: Target | readonly string[],
  option: "foreign" | "onGap",
  choices: string,
  value: unknown,
): TypeError {
  return new TypeError(
    `Cannot subscribe to ${nameOf(target)}: option ${option} must be ${choices}, it is ${
      typeof value === "string" ? JSON.stringify(value) : kindOf(value)
    }`,
  );
}
