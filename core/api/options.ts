/**
 * Options of a broadcast and of its methods, and their validation.
 *
 * @module
 */

import type { Target } from "../backend/contract.ts";
import type { Gap } from "../backend/event.ts";
import type { MessageHeaders } from "../backend/headers.ts";
import { nameOf } from "../backend/name.ts";
import type { Codec } from "../codec/codec.ts";
import { LONGEST_REASON } from "../codec/envelope.ts";
import type { Schema } from "../codec/schema.ts";
import type { StartOptions } from "../fanout/start.ts";
import { kindOf } from "../util/kind.ts";
import { checkKnown, type Names } from "../util/known_options.ts";
import { quote } from "../util/quote.ts";

/** The maximum number of events of one call. All of them may be in memory at once. */
const MOST_EVENTS = 100_000;

/** Options for `publish()`. */
export interface PublishOptions {
  /**
   * The headers of the message, on backends whose broker supports headers. Headers are neither
   * encoded nor encrypted.
   *
   * Names are HTTP tokens, but case-sensitive, and must not start with `broadcaster-`. Values must
   * not contain control characters, or spaces at either end. The total size is at most 8 KiB,
   * including 32 bytes of overhead per header.
   */
  readonly headers?: MessageHeaders | undefined;
  /**
   * Key that makes retries safe, on backends that store keys. While the key is remembered, another
   * publish with it to the same channel stores nothing, and resolves with the id of the first
   * event. This holds for all processes, and for any message.
   *
   * Messages with a key are retried automatically if the connection drops before they are
   * acknowledged, unless a later message to the channel has been accepted. At most 256 bytes,
   * without NUL.
   */
  readonly idempotencyKey?: string | undefined;
  /**
   * Minimum time for which the key is remembered, in milliseconds since its first use. On
   * `nats-stream://`, the maximum and the default are the stream's duplicate window.
   *
   * @default {300000}
   */
  readonly idempotencyTtl?: number | undefined;
  /** Aborts the call. A message that was already sent may still be published. */
  readonly signal?: AbortSignal | undefined;
}

/** The names of `PublishOptions`. */
export const PUBLISH_OPTIONS: Names<PublishOptions> = {
  headers: true,
  idempotencyKey: true,
  idempotencyTtl: true,
  signal: true,
};

/** Options for `writable()`. */
export interface WritableOptions {
  /**
   * Ends the channel when the stream is closed: `true`, or a string as the reason. Requires a
   * backend with a log. `abort()` does not end the channel.
   *
   * Subscriptions that reach the end are done, including later ones that replay it with `history`
   * or `after`. Event streams tell their clients not to reconnect. A subscription that starts live
   * after the end receives whatever is published next.
   *
   * The reason is at most 1,024 bytes of UTF-8; subscriptions expose it as `endReason`. Programs
   * that read the broker directly see a message of the bytes `C1 2E` and the reason, encrypted if
   * the codec is `encrypted()`.
   *
   * @default {false}
   */
  readonly end?: boolean | string | undefined;
  /** Errors the stream with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** The names of `WritableOptions`. */
export const WRITABLE_OPTIONS: Names<WritableOptions> = { end: true, signal: true };

/** Options for `subscribe()`. */
export interface SubscribeOptions {
  /**
   * Maximum number of recent events to start with, at most 100,000. Requires a backend with a log.
   *
   * @default {0}
   */
  readonly history?: number | undefined;
  /**
   * Id of the event to resume after; takes precedence over `history`.
   *
   * With a log, the subscription resumes in any process, without loss or with a gap. Without a log,
   * it resumes only in the same process, and only until `linger` after the channel's last
   * subscriber has left; otherwise it starts live, with a gap `disconnect`.
   *
   * If the text is not an id of this target, the subscription starts as if `after` were not given
   * (`history` applies), with a gap `unknown`. `null`, as returned by `headers.get()`, means not
   * given.
   */
  readonly after?: string | null | undefined;
  /**
   * Maximum number of events to resume with, for each channel, at most 100,000. If more events
   * follow `after`, the subscription starts with a gap, and with the newest events. Set it wherever
   * `after` comes from a client, which can send a very old id.
   *
   * @default {no limit}
   */
  readonly maxResume?: number | undefined;
  /**
   * Action when events may be missing:
   *
   * - `"continue"`: the next event carries the gap. If the channel ends before another event, the
   *   subscription ends with a `GapError`.
   * - `"error"`: the subscription ends with a `GapError`.
   * - A function: it is called for each gap, in order, as soon as the reader has reached the gap.
   *   The next event carries the gap as well. An error that the function throws ends the
   *   subscription.
   *
   * @default {"continue"}
   */
  readonly onGap?: "continue" | "error" | ((gap: Gap) => void) | undefined;
  /** Aborts the call, or later ends the subscription, with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** The names of `SubscribeOptions`. */
export const SUBSCRIBE_OPTIONS: Names<SubscribeOptions> = {
  history: true,
  after: true,
  maxResume: true,
  onGap: true,
  signal: true,
};

/** Options for `history()`. */
export interface HistoryOptions {
  /**
   * Maximum number of events, at most 100,000.
   *
   * @default {100}
   */
  readonly limit?: number | undefined;
  /**
   * Only events before the event with this id. Without `after`, the newest of them are returned.
   */
  readonly before?: string | null | undefined;
  /** Only events after the event with this id. The oldest of them are returned. */
  readonly after?: string | null | undefined;
  /** Aborts the call. */
  readonly signal?: AbortSignal | undefined;
}

/** The names of `HistoryOptions`. */
export const HISTORY_OPTIONS: Names<HistoryOptions> = {
  limit: true,
  before: true,
  after: true,
  signal: true,
};

/**
 * Options for `new Broadcast()`.
 *
 * `buffer`, `linger`, `timeout`, `probe` and `maxMessage` can also be set as URL parameters, which take
 * precedence. Durations are in milliseconds here; in a URL they need a unit, as in `?timeout=5s`,
 * or are 0.
 *
 * @typeParam Message Type of the codec's messages.
 * @typeParam Schemas Schemas of the channels.
 */
export interface BroadcastOptions<
  Message = string,
  Schemas extends Readonly<Record<string, Schema>> | undefined = undefined,
> {
  /**
   * Encodes messages to payloads, and decodes them.
   *
   * @default {text(), or json() if `channels` is given}
   */
  readonly codec?: Codec<Message> | undefined;
  /**
   * Schemas by channel name. A name with `*` applies to all matching channels without a schema of
   * their own. Channels without any schema are rejected.
   *
   * Published messages must be valid, and are sent as given, not as transformed by the schema.
   * Received messages are the schema's output; an invalid one is skipped, with a `messageerror`
   * event.
   *
   * The first message of each schema is also decoded and validated again before it is sent. If the
   * schema rejects the decoded message, such as a string for a `Date` in JSON, `publish()` rejects.
   */
  readonly channels?: Schemas | undefined;
  /**
   * Number of events buffered per channel, for slow and reconnecting subscribers. At least 2.
   * The buffer is also limited to 4 MiB of payload per channel.
   *
   * @default {1024}
   */
  readonly buffer?: number | undefined;
  /**
   * Time in milliseconds for which a channel stays subscribed at the broker after its last
   * subscriber has left, so that a reconnecting browser loses nothing.
   *
   * @default {10000}
   */
  readonly linger?: number | undefined;
  /**
   * Time in milliseconds for which a message or a new subscription waits while the connection is
   * lost. Also the time limit of the codec and the schema for one message, but at least 1,000.
   *
   * @default {10000}
   */
  readonly timeout?: number | undefined;
  /**
   * Interval of keep-alive probes in milliseconds; 0 disables them. A half-open connection is
   * detected at most 5 seconds after a probe.
   *
   * @default {10000}
   */
  readonly probe?: number | undefined;
  /**
   * Maximum size of an encoded message in bytes. `publish()` rejects a larger message with a
   * `RangeError`. A larger message that is received is skipped before it is decoded, with a
   * `messageerror` event. The limits of brokers are often lower.
   *
   * An untrusted JSON message can take about 25 times its size in memory. MessagePack is also
   * limited to a million values, and `compressed()` has its own limit for the decompressed size.
   *
   * @default {16777216}
   */
  readonly maxMessage?: number | undefined;
}

/** The names of `BroadcastOptions`. */
export const BROADCAST_OPTIONS: Names<BroadcastOptions> = {
  codec: true,
  channels: true,
  buffer: true,
  linger: true,
  timeout: true,
  probe: true,
  maxMessage: true,
};

/**
 * Validates the options of a subscription.
 *
 * @throws {TypeError} If an option is invalid.
 * @throws {RangeError} If `history` or `maxResume` is not a number of events.
 */
export function readStart(
  target: Target | readonly string[],
  { after, ...options }: SubscribeOptions,
): StartOptions {
  const { history = 0, maxResume = 1, onGap = "continue" } = options;
  checkCount(() => `start with history of ${nameOf(target)}: it`, history, 0, MOST_EVENTS);
  checkCount(
    () => `subscribe to ${nameOf(target)}: option maxResume`,
    maxResume,
    1,
    MOST_EVENTS,
  );
  if (after !== undefined && after !== null && typeof after !== "string") {
    throw optionError(target, "after", "an id", after);
  }
  if (onGap !== "continue" && onGap !== "error" && typeof onGap !== "function") {
    throw optionError(target, "onGap", '"continue", "error" or a function', onGap);
  }
  return { ...options, after: after ?? undefined };
}

/**
 * Validates the option `limit` of `history()`.
 *
 * @throws {RangeError} If it is not a number of events.
 */
export function checkLimit(channel: string, limit: unknown): void {
  checkCount(() => `read history of ${nameOf(channel)}: it`, limit, 1, MOST_EVENTS);
}

/**
 * Validates a whole number.
 *
 * @param what The action and the option, as they appear in the error message.
 * @throws {RangeError} If it is not a whole number, or if it is out of range.
 */
export function checkCount(
  what: string | (() => string),
  count: unknown,
  least: number,
  most: number = Number.MAX_SAFE_INTEGER,
): number {
  if (Number.isSafeInteger(count) && count as number >= least && count as number <= most) {
    return count as number;
  }
  const range = count as number > most ? `up to ${most}` : `of at least ${least}`;
  const subject = typeof what === "string" ? what : what();
  throw new RangeError(`Cannot ${subject} must be a whole number ${range}, it is ${shown(count)}`);
}

/**
 * Validates a number of milliseconds.
 *
 * @param what The action and the option, as they appear in the error message.
 * @throws {RangeError} If it is not a number, or below 0.
 */
export function checkDuration(what: string, duration: unknown): number {
  if (typeof duration === "number" && duration >= 0) return duration;
  throw new RangeError(
    `Cannot ${what} must be a number of milliseconds of at least 0, it is ${shown(duration)}`,
  );
}

/**
 * Validates an argument `options`, and the `signal` in it.
 *
 * @param what The action, as it appears in the error message.
 * @param known The names of the options. Without it, unknown options are ignored.
 * @returns The options; an empty object if none are given.
 * @throws {TypeError} If the argument is not an object, if an option is not known, or if the signal
 * is not an `AbortSignal`.
 */
export function readOptions<Options extends object>(
  what: string,
  given: Options | null | undefined,
  known?: Names<Options>,
): Partial<Options> {
  if (given === undefined || given === null) return {};
  if (typeof given !== "object") {
    throw new TypeError(`Cannot ${what}: options must be an object, it is ${kindOf(given)}`);
  }
  if (known) checkKnown(what, given, known);
  // `instanceof` is not used, since each realm has its own `AbortSignal` class.
  const signal = (given as { readonly signal?: unknown }).signal ?? undefined;
  const { addEventListener, aborted } = Object(signal) as Partial<AbortSignal>;
  const isSignal = typeof addEventListener === "function" && typeof aborted === "boolean";
  if (signal !== undefined && !isSignal) {
    const kind = kindOf(signal);
    throw new TypeError(
      `Cannot ${what}: option signal must be an AbortSignal, it is ${kind}${
        kind === "an AbortController" ? ", pass its signal" : ""
      }`,
    );
  }
  return given;
}

function shown(value: unknown): string {
  return typeof value === "number" ? String(value) : kindOf(value);
}

/**
 * Validates the option `end`. Returns the reason, or `undefined` if the channel is not to be ended.
 *
 * @throws {TypeError} If it is neither a boolean nor well-formed text.
 * @throws {RangeError} If the reason is too long.
 */
export function readEnd(channel: string, end: unknown): string | undefined {
  if (end === undefined || end === false) return undefined;
  if (end === true) return "";
  const cannot = `Cannot write to channel ${nameOf(channel)}: option end`;
  if (typeof end !== "string") {
    throw new TypeError(`${cannot} must be true, false or a reason, it is ${kindOf(end)}`);
  }
  if (!end.isWellFormed()) throw new TypeError(`${cannot} has a lone surrogate`);
  const { length } = new TextEncoder().encode(end);
  if (length <= LONGEST_REASON) return end;
  throw new RangeError(`${cannot} has ${length} bytes, the limit is ${LONGEST_REASON}`);
}

function optionError(
  target: Target | readonly string[],
  option: "after" | "onGap",
  choices: string,
  value: unknown,
): TypeError {
  return new TypeError(
    `Cannot subscribe to ${nameOf(target)}: option ${option} must be ${choices}, it is ${
      typeof value === "string" ? quote(value) : kindOf(value)
    }`,
  );
}
