/**
 * The errors of kafkajs and of the brokers: what each of them means.
 *
 * @module
 */

import { ClosedError, ConnectionError, RefusedError } from "../../core/backend/errors.ts";

/** An error that kafkajs rejects with. */
export interface KafkaError extends Error {
  /** The broker's error code, by the name that Kafka gives it. */
  readonly type?: string;
  /** The code of the socket's error. */
  readonly code?: string;
  readonly retriable?: boolean;
  readonly errors?: readonly KafkaError[];
}

/**
 * A meaning of an error code. Codes that kafkajs calls not retriable are refusals, too.
 *
 * - `moved`: nothing was done, since another broker leads the partition, or none does yet.
 * - `doubt`: what was published may be stored, or not.
 * - `gone`: there is no such topic.
 * - `range`: a fetch asked for an offset that is not stored any more, or not yet.
 * - `large`: a record exceeds a limit of its topic.
 * - `exists`: there already is such a topic.
 * - `elsewhere`: another broker is the controller.
 */
type Meaning = "moved" | "doubt" | "gone" | "range" | "large" | "exists" | "elsewhere";

const CODES: Readonly<Record<string, readonly Meaning[]>> = {
  UNKNOWN_TOPIC_OR_PARTITION: ["moved", "gone"],
  LEADER_NOT_AVAILABLE: ["moved"],
  NOT_LEADER_FOR_PARTITION: ["moved", "doubt"],
  REPLICA_NOT_AVAILABLE: ["moved"],
  LISTENER_NOT_FOUND: ["moved"],
  FENCED_LEADER_EPOCH: ["moved"],
  UNKNOWN_LEADER_EPOCH: ["moved"],
  OFFSET_NOT_AVAILABLE: ["moved"],
  KAFKA_STORAGE_ERROR: ["moved", "doubt"],
  REQUEST_TIMED_OUT: ["doubt"],
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: ["doubt"],
  OFFSET_OUT_OF_RANGE: ["range"],
  MESSAGE_TOO_LARGE: ["large"],
  TOPIC_ALREADY_EXISTS: ["exists"],
  NOT_CONTROLLER: ["elsewhere"],
};

/** The errors of kafkajs after which a connection cannot be used any more. */
const LOST = /^KafkaJS(Connection(Closed)?Error|RequestTimeoutError|LockTimeout)$/;

/** A broker cannot be connected to, so nothing was asked of it: another may lead its partitions. */
export class UnreachableError extends ConnectionError {}

/** Whether an error is an answer of a broker with this meaning. */
export function means(error: unknown, meaning: Meaning): boolean {
  if (meaning === "moved" && error instanceof UnreachableError) return true;
  return CODES[(error as KafkaError).type ?? ""]?.includes(meaning) ?? false;
}

/** Whether an error ends the connection. */
export function isLoss(error: unknown): boolean {
  return LOST.test((error as KafkaError).name);
}

/** Whether a broker that accepts this client has answered, or is too old to be asked. */
export function isAnswer(error: unknown): boolean {
  const { name, type } = error as KafkaError;
  return type !== undefined || name === "KafkaJSServerDoesNotSupportApiKey";
}

/** The error for a backend that was closed. */
export function closedError(): ClosedError {
  return new ClosedError("Cannot use backend: it is closed");
}

/** The error for records that cannot be read. */
export function unreadable(cause: unknown): Error {
  const { name, message } = cause as KafkaError;
  if (name !== "KafkaJSNotImplemented") return explain(cause);
  const help = "register a codec for it in CompressionCodecs of kafkajs";
  return new RefusedError(`${message}, ${help}`, { cause });
}

/** An error of kafkajs as one that says whether trying again may help. */
export function explain(cause: unknown): Error {
  const { name, type, retriable, message } = cause as KafkaError;
  const isRefusal = type !== undefined || name === "KafkaJSSASLAuthenticationError";
  if (isRefusal && retriable === false) return new RefusedError(message, { cause });
  return isLoss(cause) ? new ConnectionError(message, { cause }) : cause as Error;
}

/** The codes of sockets that reject the broker's certificate, and of brokers that reject ours. */
const UNTRUSTED = /CERT|ISSUER|VERIFY_LEAF|INVALID_CA|HOSTNAME/;
const UNWELCOME = /^ERR_SSL_.*ALERT_.*(CERT|UNKNOWN_CA)/;
const UNKNOWN_AUTHORITY = /SELF_SIGNED|ISSUER|VERIFY_LEAF/;

/** The error for a server that could not be connected to. */
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
  // Brokers do so that want TLS or a password, and are not given it.
  return new ConnectionError(
    `${server} closed the connection, perhaps for want of TLS or a password`,
    { cause },
  );
}
