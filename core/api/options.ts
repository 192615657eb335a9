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

/** Options for `publish()`. */
export interface PublishOptions {
  /**
   * Metadata of the message, on backends whose broker supports headers. Headers are neither
   * encoded nor encrypted.
   *
   * Names are HTTP tokens, but case-sensitive, and must not start with `broadcaster-`. Values must
   * not contain control characters, or spaces at either end. The total size is at most 8 KiB,
   * including 32 bytes of overhead per header.
   */
  readonly headers?: MessageHeaders | undefined;
  /**
   * Key that makes retries safe, on backends that store keys. While the key is remembered,
   * publishing with it again to the same channel stores nothing, from any process and with any
   * message, and resolves with the id of the first event.
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

/** Options for `subscribe()`. */
export interface SubscribeOptions {
  /**
   * Maximum number of recent events to start with. Requires a backend with a log.
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
   * Action when events may be missing:
   *
   * - `"continue"`: the next event carries the gap. If the channel ends before another event, the
   *   subscription ends with a `GapError`.
   * - `"error"`: the subscription ends with a `GapError`.
   * - A function: called for each gap, in order, as soon as the reader waits at the gap. The next
   *   event carries the gap as well. An error that the function throws ends the subscription.
   *
   * @default {"continue"}
   */
  readonly onGap?: "continue" | "error" | ((gap: Gap) => void) | undefined;
  /** Aborts the call, or later ends the subscription, with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Options for `history()`. */
export interface HistoryOptions {
  /**
   * Maximum number of events.
   *
   * @default {100}
   */
  readonly limit?: number | undefined;
  /** Only events before the event with this id: the newest ones, unless `after` is given. */
  readonly before?: string | null | undefined;
  /** Only events after the event with this id: the oldest ones. */
  readonly after?: string | null | undefined;
  /** Aborts the call. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Options for `new Broadcast()`.
 *
 * `buffer`, `linger`, `timeout` and `probe` can also be set as URL parameters, which take
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
   * lost.
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
}

/**
 * Validates the options of a subscription.
 *
 * @throws {TypeError} If an option is invalid.
 * @throws {RangeError} If `history` is not a number of events.
 */
export function readStart(
  target: Target | readonly string[],
  { after, ...options }: SubscribeOptions,
): StartOptions {
  const { history = 0, onGap = "continue" } = options;
  checkCount(`start with history of ${nameOf(target)}`, history, 0);
  if (after !== undefined && after !== null && typeof after !== "string") {
    throw optionError(target, "after", "an id", after);
  }
  if (onGap !== "continue" && onGap !== "error" && typeof onGap !== "function") {
    throw optionError(target, "onGap", '"continue", "error" or a function', onGap);
  }
  return { ...options, after: after ?? undefined };
}

/**
 * Validates a number of events.
 *
 * @param what The action, as it appears in the error message.
 * @throws {RangeError} If it is not a whole number, or too small.
 */
export function checkCount(what: string, count: unknown, least: number): void {
  if (typeof count === "number" && Number.isSafeInteger(count) && count >= least) return;
  throw new RangeError(
    `Cannot ${what}: it must be a whole number of at least ${least}, it is ${
      typeof count === "number" ? count : kindOf(count)
    }`,
  );
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
  const cannot = `Cannot write to channel "${channel}": option end`;
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
      typeof value === "string" ? JSON.stringify(value) : kindOf(value)
    }`,
  );
}
