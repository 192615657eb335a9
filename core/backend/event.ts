/**
 * The event that a subscriber receives, and the gap before it.
 *
 * @module
 */

import type { MessageHeaders } from "./headers.ts";

/**
 * Why events may be missing:
 *
 * - `disconnect`: the connection to the broker was lost, or the id to resume
 *   behind is no longer held.
 * - `overflow`: this reader, or this process, did not keep up.
 * - `trimmed`, `epoch`, `ahead`: the log no longer reaches the position, was
 *   begun anew, or ends before it.
 * - `unknown`: the id to resume behind is not one of this channel, or the broker
 *   has dropped events, for whatever reason.
 */
export type GapCause =
  | "trimmed"
  | "epoch"
  | "ahead"
  | "disconnect"
  | "overflow"
  | "unknown";

/** The fact that events may be missing between two that were delivered. */
export interface Gap {
  /** Why events may be missing. */
  readonly cause: GapCause;
  /** The id behind which the gap lies, where there is one. */
  readonly after?: string;
  /** The exact number of events that are missing, where it can be known. */
  readonly missed?: number;
}

/**
 * One event of a channel.
 *
 * It is decoded once for all subscribers of a process, so they share the
 * `message`: treat it as read-only.
 *
 * @typeParam Message What the codec decodes to.
 * @typeParam Channel The names of the channels.
 */
export interface BroadcastEvent<Message = string, Channel extends string = string> {
  /** The channel that the event was published to. */
  readonly channel: Channel;
  /** The decoded message. */
  readonly message: Message;
  /**
   * An opaque string of URL-safe characters, at most 1 KiB, that stands for
   * "this is what I have seen": pass it as `after` to resume behind it.
   */
  readonly id: string;
  /** When it was published, in milliseconds since 1970, where the log has it. */
  readonly timestamp?: number;
  /** What it carries besides its message, if there is something. */
  readonly headers?: MessageHeaders;
  /** The gap between the event before and this one, if there is one. */
  readonly gap?: Gap;
}

/** An event, as a ready iterator result. */
export type Delivery<Message> = IteratorYieldResult<BroadcastEvent<Message>>;

/**
 * Merges two gaps that lie before the same event: the first cause, the first
 * `after`, and the sum of what was missed where both numbers are known.
 */
export function mergeGaps(first: Gap | undefined, next: Gap): Gap {
  if (first === undefined) return next;
  const { missed: _, ...rest } = first;
  return first.missed === undefined || next.missed === undefined
    ? rest
    : { ...rest, missed: first.missed + next.missed };
}

/** The events that others were made of, which share what they carry. */
const origins = new WeakMap<object, object>();

/** An event under an id, and with a gap, that only one reader gives it. */
export function withId<Message>(
  event: BroadcastEvent<Message>,
  id: string,
  gap?: Gap,
): BroadcastEvent<Message> {
  const own = { ...event, id, ...gap && { gap } };
  origins.set(own, originOf(event));
  return own;
}

/** The event that is the same for all readers. */
export function originOf<Message>(event: BroadcastEvent<Message>): BroadcastEvent<Message> {
  return (origins.get(event) ?? event) as BroadcastEvent<Message>;
}
