/**
 * The statistics of a channel.
 *
 * @module
 */

import type { GapCause } from "../backend/event.ts";

/** The statistics of one channel or pattern, since it was subscribed to. */
export interface ChannelStats {
  /** The channel, or the pattern. */
  readonly channel: string;
  /** `true` for a pattern. */
  readonly isPattern: boolean;
  /** Number of subscriptions that are open. */
  readonly subscribers: number;
  /**
   * Number of unread events of the slowest subscription. A lower bound while that subscription
   * reads the log.
   */
  readonly lag: number;
  /**
   * Number of messages that this broadcast has published to the channel, and the broker has accepted.
   * Always 0 for a pattern.
   */
  readonly published: number;
  /** Number of events that the broker has delivered, from all publishers. */
  readonly received: number;
  /**
   * Number of events that subscriptions have read, including those of the log. An event that two
   * subscriptions read counts twice.
   */
  readonly delivered: number;
  /**
   * Number of gaps by their cause. A gap that affects all subscriptions counts once, and so does a
   * gap of a single subscription.
   */
  readonly gaps: Readonly<Record<GapCause, number>>;
  /**
   * Size of the payloads that are kept for slow and returning subscriptions, in bytes. A character of
   * text counts as two bytes, as in memory.
   */
  readonly bufferedBytes: number;
}

/** The counts of the causes that have occurred. */
export type Counts = Partial<Record<GapCause, number>>;

/** The counts of all causes, including zeros. */
export function gapCounts(counts: Counts): Record<GapCause, number> {
  const none = { disconnect: 0, overflow: 0, trimmed: 0, reset: 0, rollback: 0, unknown: 0 };
  return { ...none, ...counts };
}

/** Counts one more gap. */
export function countGap(counts: Counts, cause: GapCause): void {
  counts[cause] = (counts[cause] ?? 0) + 1;
}
