/**
 * Metrics of a broadcast: the metrics of the semantic conventions, and the statistics of `stats()`.
 *
 * @module
 */

import type { Attributes, Counter, Histogram, Meter } from "@opentelemetry/api";
import type { BroadcastStats } from "../api/stats.ts";

/** Limits of the buckets of durations in seconds, as the conventions advise. */
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];

/** The metrics of one broadcast. */
export class Metrics {
  /** How long `publish()` takes. */
  readonly operationDuration: Histogram;
  /** How long the delivery of an event takes. */
  readonly processDuration: Histogram;
  /** Messages published, including refused ones. */
  readonly sent: Counter;
  /** Events received. */
  readonly consumed: Counter;
  readonly #stop: () => void;

  /**
   * @param meter Creates the instruments.
   * @param attributes Returns the current attributes of the broadcast.
   * @param stats Returns the current statistics of the broadcast.
   */
  constructor(meter: Meter, attributes: () => Attributes, stats: () => BroadcastStats) {
    const duration = { unit: "s", advice: { explicitBucketBoundaries: SECONDS } };
    this.operationDuration = meter.createHistogram("messaging.client.operation.duration", {
      description: "Duration of publish(), until the broker has answered.",
      ...duration,
    });
    this.processDuration = meter.createHistogram("messaging.process.duration", {
      description: "Duration of the delivery of an event to the subscriptions that wait for it.",
      ...duration,
    });
    this.sent = meter.createCounter("messaging.client.sent.messages", {
      description: "Messages that were published, or attempted to be.",
      unit: "{message}",
    });
    this.consumed = meter.createCounter("messaging.client.consumed.messages", {
      description: "Events that the broker has delivered, however many subscriptions there are.",
      unit: "{message}",
    });
    this.#stop = observe(meter, attributes, stats);
  }

  /** Stops observing the statistics. */
  stop(): void {
    this.#stop();
  }
}

/** Reads the statistics whenever metrics are collected. */
function observe(
  meter: Meter,
  attributes: () => Attributes,
  stats: () => BroadcastStats,
): () => void {
  const subscribers = meter.createObservableUpDownCounter("broadcaster.subscribers", {
    description: "Subscriptions that are open.",
    unit: "{subscription}",
  });
  const lag = meter.createObservableGauge("broadcaster.lag", {
    description: "Events that the slowest subscription has still to read.",
    unit: "{message}",
  });
  const buffered = meter.createObservableUpDownCounter("broadcaster.buffer.size", {
    description: "Payloads kept for slow and returning subscriptions.",
    unit: "By",
  });
  const pending = meter.createObservableUpDownCounter("broadcaster.pending", {
    description: "Messages that wait, or that the broker has not answered.",
    unit: "{message}",
  });
  const delivered = meter.createObservableCounter("broadcaster.delivered", {
    description: "Events that subscriptions have read.",
    unit: "{message}",
  });
  const gaps = meter.createObservableCounter("broadcaster.gaps", {
    description: "Gaps, by their cause.",
    unit: "{gap}",
  });
  const reconnects = meter.createObservableCounter("broadcaster.reconnects", {
    description: "How often a lost connection was opened again.",
    unit: "{reconnect}",
  });
  const all = [subscribers, lag, buffered, pending, delivered, gaps, reconnects];
  const callback: Parameters<Meter["addBatchObservableCallback"]>[0] = (result) => {
    const numbers = stats();
    const own = attributes();
    result.observe(subscribers, numbers.subscribers, own);
    result.observe(lag, numbers.lag, own);
    result.observe(buffered, numbers.bufferedBytes, own);
    result.observe(pending, numbers.pending, own);
    result.observe(delivered, numbers.delivered, own);
    result.observe(reconnects, numbers.reconnects, own);
    for (const [cause, count] of Object.entries(numbers.gaps)) {
      result.observe(gaps, count, { ...own, "broadcaster.gap.cause": cause });
    }
  };
  meter.addBatchObservableCallback(callback, all);
  return () => meter.removeBatchObservableCallback(callback, all);
}
