/**
 * The errors of kafkajs, and what each of them means.
 *
 * @module
 */

import { ConnectionError, RefusedError } from "../../core/backend/errors.ts";

/** What kafkajs rejects with; `type` is Kafka's name for what a broker answered. */
export interface KafkaError extends Error {
  readonly type?: string;
  /** What the socket says. */
  readonly code?: string;
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

const UNKNOWN = new Set([
  "NOT_LEADER_FOR_PARTITION",
  "REQUEST_TIMED_OUT",
  "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
  "KAFKA_STORAGE_ERROR",
]);

/** A broker cannot be connected to, so nothing was asked of it: another may lead its partitions. */
export class UnreachableError extends ConnectionError {}

/** Whether a broker did not do what was asked because another leads the partition, or none yet. */
export function hasMoved(error: unknown): boolean {
  return error instanceof UnreachableError || MOVED.has((error as KafkaError).type ?? "");
}

/** Whether what was published may be stored, or not. */
export function isInDoubt(error: unknown): boolean {
  return UNKNOWN.has((error as KafkaError).type ?? "");
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

/** What sockets say of certificates: those of brokers, and, in an alert, that of the client. */
const UNTRUSTED = /CERT|ISSUER|VERIFY_LEAF|INVALID_CA|HOSTNAME/;
const UNWELCOME = /^ERR_SSL_.*ALERT_.*(CERT|UNKNOWN_CA)/;
const UNKNOWN_AUTHORITY = /SELF_SIGNED|ISSUER|VERIFY_LEAF/;

/** Why a server could not be connected to. */
export function refusal(
  { host, port }: { readonly host: string; readonly port: number },
  cause: unknown,
): Error {
  const { name, code = "", message } = cause as KafkaError;
  const server = `${host}:${port}`;
  if (UNWELCOME.test(code)) {
    return new RefusedError(
      `${server} does not accept the certificate of this client, or its having none (${code})`,
      { cause },
    );
  }
  if (UNTRUSTED.test(code)) {
    const reason = message.replace(/^Connection error: /, "");
    const help = UNKNOWN_AUTHORITY.test(code) ? ", name its authority with ?ca=" : "";
    return new RefusedError(`the certificate of ${server} is not trusted: ${reason}${help}`, {
      cause,
    });
  }
  if (name !== "KafkaJSConnectionClosedError") return explain(cause);
  // So brokers do that want TLS or a password, and are not given it.
  return new ConnectionError(
    `${server} closed the connection, perhaps for want of TLS or a password`,
    { cause },
  );
}
