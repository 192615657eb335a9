/**
 * The errors of RabbitMQ and of amqplib, and their meanings.
 *
 * @module
 */

import {
  ConnectionError,
  RefusedError,
  TemporaryError,
  UnknownReplyError,
} from "../../core/backend/errors.ts";

/**
 * The meaning of an answer:
 *
 * - `refused`: this call, or this subscription, fails.
 * - `later`: nothing was done, and a retry may help.
 * - `lost`: the connection, or the channel of AMQP, is closed.
 * - `unknown`: the protocol was violated. The connection is renewed, and the call is retried once.
 */
export type Meaning = "refused" | "later" | "lost" | "unknown";

/** The reply codes of AMQP 0-9-1. */
export const REPLIES: Readonly<Record<number, readonly [name: string, meaning: Meaning]>> = {
  200: ["REPLY_SUCCESS", "lost"],
  311: ["CONTENT_TOO_LARGE", "refused"],
  // A message was returned, since its stream was deleted. The stream is created again.
  312: ["NO_ROUTE", "later"],
  313: ["NO_CONSUMERS", "refused"],
  // The server is stopping, or an operator closed the connection.
  320: ["CONNECTION_FORCED", "lost"],
  402: ["INVALID_PATH", "refused"],
  403: ["ACCESS_REFUSED", "refused"],
  // An exchange, a queue or a stream was deleted, or its node is down. Missing ones are created
  // again.
  404: ["NOT_FOUND", "later"],
  405: ["RESOURCE_LOCKED", "later"],
  406: ["PRECONDITION_FAILED", "refused"],
  501: ["FRAME_ERROR", "unknown"],
  502: ["SYNTAX_ERROR", "unknown"],
  503: ["COMMAND_INVALID", "unknown"],
  504: ["CHANNEL_ERROR", "unknown"],
  505: ["UNEXPECTED_FRAME", "unknown"],
  506: ["RESOURCE_ERROR", "later"],
  530: ["NOT_ALLOWED", "refused"],
  540: ["NOT_IMPLEMENTED", "refused"],
  541: ["INTERNAL_ERROR", "unknown"],
};

/** Answers whose meaning differs from their code, by the text of RabbitMQ. */
export const TEXTS: readonly (readonly [text: RegExp, meaning: Meaning])[] = [
  // Limits of a virtual host, a user or a node: 403, 406 or 530.
  [/\blimit\b.* (?:is|was) reached|reached .*\blimit|connection limit/, "later"],
  // A virtual host, or the leader of a stream, is down.
  [/is down\b|is stopped|a replica on the local node|coordinator_unavailable/, "later"],
  // The server closes the channel of a consumer that acknowledges too late.
  [/delivery acknowledgement on channel|unknown delivery tag/, "lost"],
];

/** Advice about an answer, by the text of RabbitMQ. */
const WAYS_OUT: readonly (readonly [text: RegExp, way: string])[] = [
  // A node that is killed within half a second of the declaration of its first stream forgets where
  // the stream is. `queue.delete` and `rabbitmqctl delete_queue` then say the same.
  [
    /home node .* is down or inaccessible/,
    "If its node is up again, it forgot the queue when it was killed. To create it again, " +
    "remove it with `rabbitmqctl eval` and `rabbit_amqqueue:internal_delete`",
  ],
];

/** Errors of amqplib itself, which have no reply code. */
export const CLIENT: readonly (readonly [text: RegExp, meaning: Meaning])[] = [
  // A refused request closes its channel, and fails all other requests on it.
  [/^Channel (?:ended|closed|closing)\b|^channel closed$/, "later"],
  [/^No channels left to allocate/, "later"],
  [/^Connection clos|^Heartbeat timeout|^Unexpected close|^Socket closed abruptly/, "lost"],
  [/^connect ETIMEDOUT|^Frame on unknown channel|^Unexpected frame on channel 0/, "lost"],
  // The server ended the handshake without a text.
  [/ConnectionOpenOk/, "refused"],
  [/^SASL mechanism|^Server frameMax/, "refused"],
  // `basic.nack`: a queue refused the message.
  [/^message nacked$/, "refused"],
];

/** The reply code of an error. A failed handshake has it only in the text. */
export function codeOf(error: unknown): number | undefined {
  const { code, message } = Object(error) as { code?: unknown; message?: unknown };
  if (typeof code === "number") return code;
  const [, found] = / (\d{3}) \([A-Z]+(?:-[A-Z]+)*\)/.exec(String(message)) ?? [];
  return found === undefined ? undefined : Number(found);
}

/** The meaning of an error of amqplib. */
export function meaningOf(error: unknown): Meaning {
  const { code: name, message } = Object(error) as { code?: unknown; message?: unknown };
  const code = codeOf(error);
  const texts = code === undefined ? CLIENT : TEXTS;
  const [, meaning] = texts.find(([text]) => text.test(String(message))) ?? [];
  if (meaning) return meaning;
  if (code !== undefined) return REPLIES[code]?.[1] ?? "unknown";
  // Errors of sockets and of TLS have a name as their code.
  return typeof name === "string" ? "lost" : "unknown";
}

/** Converts an error of amqplib to an error of the contract. */
export function explain(error: unknown): unknown {
  if (isOurs(error)) return error;
  const message = withWayOut((error as Error).message);
  switch (meaningOf(error)) {
    case "refused":
      return new RefusedError(message, { cause: error });
    case "later":
      return new TemporaryError(message, { cause: error });
    case "unknown":
      return new UnknownReplyError(message, { cause: error });
    default:
      return new ConnectionError(message, { cause: error });
  }
}

/** The message of an error, with advice. */
function withWayOut(message: string): string {
  const [, way] = WAYS_OUT.find(([text]) => text.test(message)) ?? [];
  return way === undefined ? message : `${message}. ${way}`;
}

/** Whether an error was converted already. */
function isOurs(error: unknown): boolean {
  return [ConnectionError, RefusedError, TemporaryError].some((kind) => error instanceof kind);
}

/**
 * Whether a stream is not ready, since the server is starting or another process is creating it.
 */
export function isStarting(error: unknown): boolean {
  const { message } = Object(error) as { message?: unknown };
  return /is down or inaccessible|a replica on the local node|RESOURCE_LOCKED/.test(
    String(message),
  );
}

/** Whether a queue does not exist. */
export function isNoQueue(error: unknown): boolean {
  return /\b404\b.*no queue/.test(String(error));
}

/** The argument in which a queue differs from its declaration. */
export function otherArgument(error: unknown): string | undefined {
  return /inequivalent arg '([\w-]+)'/.exec(String(error))?.[1];
}

/** The error for an AMQP channel that the server closed, with all its pending requests. */
export function channelClosed(cause?: unknown): ConnectionError {
  return new ConnectionError("the server closed the channel", { cause });
}

/** The error for a stream that was deleted while in use. The next use creates it again. */
export function streamDeleted(cause?: unknown): TemporaryError {
  return new TemporaryError("the stream was deleted", { cause });
}
