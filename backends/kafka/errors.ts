/**
 * What the errors of kafkajs mean.
 *
 * @module
 */

import { ConnectionError, RefusedError } from "../../errors.ts";

/** What kafkajs rejects with; `type` is Kafka's name for what a broker answered. */
export interface KafkaError extends Error {
  readonly type?: string;
  readonly retriable?: boolean;
  readonly errors?: readonly KafkaError[];
}

/** The names of errors after which a connection is of no more use. */
export const LOST = /^KafkaJS(Connection(Closed)?Error|RequestTimeoutError|LockTimeout)$/;
const MOVED = new Set([
  "UNKNOWN_TOPIC_OR_PARTITION",
  "LEADER_NOT_AVAILABLE",
  "NOT_LEADER_FOR_PARTITION",
  "REPLICA_NOT_AVAILABLE",
  "LISTENER_NOT_FOUND",
  "FENCED_LEADER_EPOCH",
  "UNKNOWN_LEADER_EPOCH",
  "OFFSET_NOT_AVAILABLE",
  "KAFKA_STORAGE_ERROR",
]);

/** Whether a broker did not do what was asked because another leads the partition, or none yet. */
export function hasMoved(error: unknown): boolean {
  return MOVED.has((error as KafkaError).type ?? "");
}

/** Whether there is no such topic. */
export function isGone(error: unknown): boolean {
  return (error as KafkaError).type === "UNKNOWN_TOPIC_OR_PARTITION";
}

/** Whether a fetch asked for what is not stored any more, or not yet. */
export function isOutOfRange(error: unknown): boolean {
  return (error as KafkaError).type === "OFFSET_OUT_OF_RANGE";
}

/** Why records cannot be read. */
export function unreadable(cause: unknown): Error {
  const { name, message } = cause as KafkaError;
  if (name !== "KafkaJSNotImplemented") return explain(cause);
  const help = "register a codec for it in CompressionCodecs of kafkajs";
  return new RefusedError(`${message}, ${help}`, { cause });
}

/** An error of kafkajs as one that says whether trying again may help. */
export function explain(cause: unknown): Error {
  const { name, type, retriable, message } = cause as KafkaError;
  const isAnswer = type !== undefined || name === "KafkaJSSASLAuthenticationError";
  if (isAnswer && retriable === false) return new RefusedError(message, { cause });
  return LOST.test(name) ? new ConnectionError(message, { cause }) : cause as Error;
}
