/**
 * The statistics of a broadcast.
 *
 * @module
 */

import type { GapCause } from "../backend/event.ts";
import type { BroadcastState } from "../backend/state.ts";
import type { Connection } from "../broker/connection.ts";
import { type ChannelStats, type Counts, gapCounts } from "../fanout/channel_stats.ts";
import type { Channels } from "../fanout/channels.ts";

/**
 * The statistics of a broadcast at one moment, as plain data for `JSON.stringify()`. Counters start
 * at the creation of the broadcast.
 */
export interface BroadcastStats {
  /** State of the connection to the broker. */
  readonly state: BroadcastState;
  /**
   * Number of open connections to the broker, or 0 if the backend needs none. Absent if the backend
   * does not report it.
   */
  readonly connections?: number;
  /** How often a lost connection was opened again. */
  readonly reconnects: number;
  /** Number of messages that wait, or that the broker has not acknowledged. */
  readonly pending: number;
  /**
   * Number of subscriptions that are open. A subscription to several channels counts for each of
   * them.
   */
  readonly subscribers: number;
  /** Number of unread events of the slowest subscription of all channels. */
  readonly lag: number;
  /** Number of messages that the broker has accepted, in all channels. */
  readonly published: number;
  /** Number of events that the broker has delivered, in all channels and patterns. */
  readonly received: number;
  /** Number of events that subscriptions have read, in all channels and patterns. */
  readonly delivered: number;
  /** Number of `gap` events of the broadcast, by their cause. */
  readonly gaps: Readonly<Record<GapCause, number>>;
  /**
   * Size of the payloads that are kept for slow and returning subscriptions, in bytes. A character of
   * text counts as two bytes, as in memory.
   */
  readonly bufferedBytes: number;
  /**
   * Channels and patterns that are subscribed to at the broker. A channel is listed until `linger`
   * after its last subscriber has left. After that, its numbers are only in the totals.
   */
  readonly channels: readonly ChannelStats[];
}

/** The sources of the statistics. */
export interface StatsParts {
  readonly connection: Connection;
  readonly channels: Pick<Channels<unknown>, "stats">;
  /** Number of messages that have no outcome yet. */
  readonly pending: number;
  readonly published: number;
  readonly gaps: Counts;
}

/** Collects the statistics of a broadcast. */
export function statsOf(
  { connection, channels: { stats }, pending, published, gaps }: StatsParts,
): BroadcastStats {
  const { channels, past } = stats;
  const { backend, generation } = connection;
  const connections = backend?.connect ? backend.connections : 0;
  let { received, delivered } = past;
  let [subscribers, lag, bufferedBytes] = [0, 0, 0];
  for (const channel of channels) {
    subscribers += channel.subscribers;
    lag = Math.max(lag, channel.lag);
    received += channel.received;
    delivered += channel.delivered;
    bufferedBytes += channel.bufferedBytes;
  }
  return {
    state: connection.state,
    ...connections !== undefined && { connections },
    reconnects: Math.max(0, generation - 1),
    ...{ pending, subscribers, lag, published, received, delivered },
    gaps: gapCounts(gaps),
    bufferedBytes,
    channels,
  };
}
