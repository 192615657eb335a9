/**
 * The event that a subscriber receives, and the gap before it.
 *
 * @module
 */

import type { MessageHeaders } from "./headers.ts";

/**
 * Why events may be missing:
 *
 * - `disconnect`: the connection to the broker was lost, or the event to resume after is no longer
 *   kept.
 * - `overflow`: this reader, or this process, did not keep up.
 * - `trimmed`: the log no longer reaches back to the position.
 * - `reset`: the log was recreated.
 * - `rollback`: the log now ends before the position.
 * - `unknown`: the id to resume after is not one of this channel, or the broker dropped events for
 *   an unknown reason.
 */
export type GapCause =
  | "trimmed"
  | "reset"
  | "rollback"
  | "disconnect"
  | "overflow"
  | "unknown";

/** Events may be missing between two that were delivered. */
export interface Gap {
  /** Why events may be missing. */
  readonly cause: GapCause;
  /** The id of the event before the gap, if there is one. */
  readonly after?: string;
  /** The exact number of missing events, if known. */
  readonly missed?: number;
}

/**
 * One event of a channel.
 *
 * Each event is decoded once for all subscribers of a process. Subscribers share the `message`:
 * treat it as read-only.
 *
 * @typeParam Message The type of the decoded message.
 * @typeParam Channel The names of the channels.
 */
export interface BroadcastEvent<Message = string, Channel extends string = string> {
  /** The channel that the event was published to. */
  readonly channel: Channel;
  /** The decoded message. */
  readonly message: Message;
  /**
   * The opaque id of the event: URL-safe characters, at most 1 KiB. Pass it as `after` to resume
   * after this event.
   */
  readonly id: string;
  /** The time of publishing in milliseconds since the Unix epoch, if the log stores it. */
  readonly timestamp?: number;
  /** The headers of the message, if any. */
  readonly headers?: MessageHeaders;
  /** The gap between the previous event and this one, if there is one. */
  readonly gap?: Gap;
}

/** An event as an iterator result. */
export type Delivery<Message> = IteratorYieldResult<BroadcastEvent<Message>>;

/**
 * Merges two gaps before the same event. `cause` and `after` come from the first gap. `missed` is
 * the sum if both numbers are known.
 */
export function mergeGaps(first: Gap | undefined, next: Gap): Gap {
  if (first === undefined) return next;
  const { missed: _, ...rest } = first;
  return first.missed === undefined || next.missed === undefined
    ? rest
    : { ...rest, missed: first.missed + next.missed };
}

/** Maps each copy of an event to the original. Both share message and headers. */
const origins = new WeakMap<object, object>();

/** A copy of an event, with an id and a gap that are specific to one reader. */
export function withId<Message>(
  event: BroadcastEvent<Message>,
  id: string,
  gap?: Gap,
): BroadcastEvent<Message> {
  const own = { ...event, id, ...gap && { gap } };
  origins.set(own, originOf(event));
  return own;
}

/** The original of an event, which is the same for all readers. */
export function originOf<Message>(event: BroadcastEvent<Message>): BroadcastEvent<Message> {
  return (origins.get(event) ?? event) as BroadcastEvent<Message>;
}
