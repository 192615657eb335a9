/**
 * The errors of kafkajs and of the brokers, and their meanings.
 *
 * @module
 */

import {
  ClosedError,
  ConnectionError,
  RefusedError,
  TemporaryError,
  UnknownReplyError,
} from "../../core/backend/errors.ts";
import { withLoginHelp } from "../../core/backend/kit/connecting_help.ts";

/** An error that kafkajs rejects with. */
export interface KafkaError extends Error {
  /** The broker's error code, by the name that Kafka gives it. */
  readonly type?: string;
  /** The code of the socket's error. */
  readonly code?: string;
  readonly retriable?: boolean;
  readonly errors?: readonly KafkaError[];
  /** The topic that could not be created. */
  readonly topic?: string;
}

/**
 * A meaning of an error code.
 *
 * - `moved`: nothing was done, since another broker leads the partition, or none does yet.
 * - `later`: nothing was done, and the same request may succeed later.
 * - `doubt`: the message may or may not be stored.
 * - `gone`: there is no such topic.
 * - `range`: a fetch asked for an offset that is no longer stored, or not yet.
 * - `large`: a record exceeds a limit of its topic.
 * - `exists`: there already is such a topic.
 * - `elsewhere`: another broker is the controller.
 * - `refused`: the same request would be refused again.
 * - `unknown`: the broker does not say what is wrong.
 */
type Meaning =
  | "moved"
  | "later"
  | "doubt"
  | "gone"
  | "range"
  | "large"
  | "exists"
  | "elsewhere"
  | "refused"
  | "unknown";

/**
 * The meanings of the error codes, by their names in kafkajs. Codes that kafkajs does not know are
 * numbers. The list of all: https://kafka.apache.org/protocol#protocol_error_codes
 */
export const CODES: Readonly<Record<string, readonly Meaning[]>> = {
  ...{ UNKNOWN: ["unknown"], CORRUPT_MESSAGE: ["unknown"] },
  // Leaders that are elected or have moved.
  UNKNOWN_TOPIC_OR_PARTITION: ["moved", "gone"],
  LEADER_NOT_AVAILABLE: ["moved"],
  NOT_LEADER_FOR_PARTITION: ["moved", "doubt"],
  BROKER_NOT_AVAILABLE: ["moved"],
  REPLICA_NOT_AVAILABLE: ["moved"],
  LISTENER_NOT_FOUND: ["moved"],
  FENCED_LEADER_EPOCH: ["moved"],
  UNKNOWN_LEADER_EPOCH: ["moved"],
  OFFSET_NOT_AVAILABLE: ["moved"],
  KAFKA_STORAGE_ERROR: ["moved", "doubt"],
  100: ["moved"], // UNKNOWN_TOPIC_ID
  103: ["moved"], // INCONSISTENT_TOPIC_ID
  108: ["moved"], // NEW_LEADER_ELECTED
  // Records.
  REQUEST_TIMED_OUT: ["doubt"],
  NETWORK_EXCEPTION: ["doubt"],
  NOT_ENOUGH_REPLICAS: ["later"],
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: ["doubt"],
  MESSAGE_TOO_LARGE: ["large"],
  RECORD_LIST_TOO_LARGE: ["large"],
  OFFSET_OUT_OF_RANGE: ["range"],
  109: ["range"], // OFFSET_MOVED_TO_TIERED_STORAGE
  // Topics.
  TOPIC_ALREADY_EXISTS: ["exists"],
  NOT_CONTROLLER: ["elsewhere"],
  STALE_CONTROLLER_EPOCH: ["elsewhere"],
  REASSIGNMENT_IN_PROGRESS: ["later"],
  89: ["later"], // THROTTLING_QUOTA_EXCEEDED
  ...every("later", [
    ...["STALE_BROKER_EPOCH", "FETCH_SESSION_ID_NOT_FOUND", "INVALID_FETCH_SESSION_EPOCH"],
    ...["PREFERRED_LEADER_NOT_AVAILABLE", "ELIGIBLE_LEADERS_NOT_AVAILABLE"],
    ...["ELECTION_NOT_NEEDED", "GROUP_LOAD_IN_PROGRESS", "GROUP_COORDINATOR_NOT_AVAILABLE"],
    ...["NOT_COORDINATOR_FOR_GROUP", "REBALANCE_IN_PROGRESS", "CONCURRENT_TRANSACTIONS"],
    ...["UNSTABLE_OFFSET_COMMIT"],
  ]),
  ...every("refused", [
    ...["INVALID_FETCH_SIZE", "OFFSET_METADATA_TOO_LARGE", "INVALID_TOPIC_EXCEPTION"],
    ...["INVALID_REQUIRED_ACKS", "ILLEGAL_GENERATION", "INCONSISTENT_GROUP_PROTOCOL"],
    ...["INVALID_GROUP_ID", "UNKNOWN_MEMBER_ID", "INVALID_SESSION_TIMEOUT"],
    ...["INVALID_COMMIT_OFFSET_SIZE", "TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED"],
    ...["CLUSTER_AUTHORIZATION_FAILED", "INVALID_TIMESTAMP", "UNSUPPORTED_SASL_MECHANISM"],
    ...["ILLEGAL_SASL_STATE", "UNSUPPORTED_VERSION", "INVALID_PARTITIONS"],
    ...["INVALID_REPLICATION_FACTOR", "INVALID_REPLICA_ASSIGNMENT", "INVALID_CONFIG"],
    ...["INVALID_REQUEST", "UNSUPPORTED_FOR_MESSAGE_FORMAT", "POLICY_VIOLATION"],
    ...["OUT_OF_ORDER_SEQUENCE_NUMBER", "DUPLICATE_SEQUENCE_NUMBER", "INVALID_PRODUCER_EPOCH"],
    ...["INVALID_TXN_STATE", "INVALID_PRODUCER_ID_MAPPING", "INVALID_TRANSACTION_TIMEOUT"],
    ...["TRANSACTION_COORDINATOR_FENCED", "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"],
    ...["SECURITY_DISABLED", "OPERATION_NOT_ATTEMPTED", "LOG_DIR_NOT_FOUND"],
    ...["SASL_AUTHENTICATION_FAILED", "UNKNOWN_PRODUCER_ID", "DELEGATION_TOKEN_AUTH_DISABLED"],
    ...["DELEGATION_TOKEN_NOT_FOUND", "DELEGATION_TOKEN_OWNER_MISMATCH"],
    ...["DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", "DELEGATION_TOKEN_AUTHORIZATION_FAILED"],
    ...["DELEGATION_TOKEN_EXPIRED", "INVALID_PRINCIPAL_TYPE", "NON_EMPTY_GROUP"],
    ...["GROUP_ID_NOT_FOUND", "TOPIC_DELETION_DISABLED", "UNSUPPORTED_COMPRESSION_TYPE"],
    ...["MEMBER_ID_REQUIRED", "GROUP_MAX_SIZE_REACHED", "FENCED_INSTANCE_ID"],
    ...["NO_REASSIGNMENT_IN_PROGRESS", "GROUP_SUBSCRIBED_TO_TOPIC", "INVALID_RECORD"],
  ]),
};

function every(meaning: Meaning, names: readonly string[]): Record<string, readonly Meaning[]> {
  return Object.fromEntries(names.map((name) => [name, [meaning]]));
}

/** The meanings of an error; none if it is not an answer of a broker. */
function meaningsOf({ type, message }: KafkaError): readonly Meaning[] {
  if (type === undefined) return [];
  // kafkajs has no name for newer codes.
  const code = /^Unknown error code (\d+)$/.exec(message)?.[1] ?? type;
  return Object.hasOwn(CODES, code) ? CODES[code]! : ["unknown"];
}

/**
 * The errors of kafkajs after which a connection cannot be used: it was lost, or the answer cannot
 * be read.
 */
const LOST =
  /^KafkaJS(Connection(Closed)?Error|RequestTimeoutError|LockTimeout|InvariantViolation)$/;

/**
 * A broker cannot be reached, so nothing was sent to it. Another broker may lead its partitions.
 */
export class UnreachableError extends ConnectionError {}

/** Whether an error is an answer of a broker with this meaning. */
export function means(error: unknown, meaning: Meaning): boolean {
  if (meaning === "moved" && error instanceof UnreachableError) return true;
  return meaningsOf(error as KafkaError).includes(meaning);
}

/** Whether an error ends the connection. */
export function isLoss(error: unknown): boolean {
  return LOST.test((error as KafkaError).name);
}

/**
 * Whether an error is the answer of a broker that accepts this client, or that is too old for the
 * request.
 */
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

/** Converts an error of kafkajs to one that shows whether a retry may help. */
export function explain(cause: unknown): Error {
  const { name, message } = cause as KafkaError;
  if (name === "KafkaJSSASLAuthenticationError") {
    return new RefusedError(withLoginHelp(message, "kafka://user:password@host"), { cause });
  }
  if (isLoss(cause)) return new ConnectionError(message, { cause });
  if (means(cause, "moved") || means(cause, "later")) return new TemporaryError(message, { cause });
  if (means(cause, "unknown")) return new UnknownReplyError(message, { cause });
  return isAnswer(cause) ? new RefusedError(message, { cause }) : cause as Error;
}

/**
 * The codes of sockets that reject the broker's certificate, and of brokers that reject the
 * client's.
 */
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
  // Brokers do this if they expect TLS or a password.
  return new ConnectionError(
    `${server} closed the connection, perhaps for want of TLS or a password`,
    { cause },
  );
}
