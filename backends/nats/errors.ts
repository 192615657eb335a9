/**
 * The answers of a NATS server, of JetStream and of the client, and their meanings.
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
 * The meaning of an answer for its call:
 *
 * - `refused`: this call fails, and a retry would fail too.
 * - `fatal`: this subscription fails, and a retry would fail too.
 * - `later`: nothing was done. A retry may succeed.
 * - `renewed`: the login has expired. The next connection logs in again.
 * - `lost`: the connection is closed, or cannot be trusted any more. Pending requests may have been
 *   done.
 */
export type Meaning = "refused" | "fatal" | "later" | "renewed" | "lost";

/**
 * The beginnings of the texts of `-ERR`, in lower case. The first one that matches applies. After
 * most of them, the server closes the connection. `refused` and `later` then explain why a
 * connection failed.
 */
export const SERVER_ERRORS: Readonly<Record<string, Meaning>> = {
  // The server does not say whose message it was. Every unanswered message may have been refused.
  "permissions violation for publish with reply": "lost",
  "invalid publish subject": "lost",
  "permissions violation for publish": "refused",
  "permissions violation for subscription": "fatal",
  "invalid subject": "fatal",
  "maximum subscriptions exceeded": "fatal",
  "authorization violation": "refused",
  "authorization timeout": "later",
  "authentication timeout": "later",
  "authentication expired": "renewed",
  "user authentication expired": "renewed",
  "user authentication revoked": "renewed",
  "account authentication expired": "renewed",
  "failed account registration": "later",
  "maximum connections exceeded": "later",
  "maximum account active connections exceeded": "later",
  "connection throttling is active": "later",
  "secure connection - tls required": "refused",
  "attempted to connect to": "refused",
  "invalid client protocol": "refused",
  "no responders requires headers support": "refused",
  "proxy is not trusted": "refused",
  "proxy connection required": "refused",
  "message headers not supported": "lost",
  "bad message header detected": "lost",
  "maximum payload": "lost",
  "maximum control line exceeded": "lost",
  "unknown protocol operation": "lost",
  "parser error": "lost",
  "slow consumer": "lost",
  "stale connection": "lost",
  "server shutdown": "lost",
};

/** The errors of the client and of `@nats-io/jetstream`, by their names. */
export const CLIENT_ERRORS: Readonly<Record<string, Meaning>> = {
  AuthorizationError: "refused",
  UserAuthenticationExpiredError: "renewed",
  PermissionViolationError: "refused",
  InvalidArgumentError: "refused",
  InvalidSubjectError: "refused",
  InvalidOperationError: "refused",
  InvalidNameError: "refused",
  TimeoutError: "later",
  RequestError: "later",
  NoResponders: "later",
  JetStreamNotEnabled: "later",
  JetStreamError: "later",
  JetStreamStatusError: "later",
  ConnectionError: "lost",
  ClosedConnectionError: "lost",
  DrainingConnectionError: "lost",
  ProtocolError: "lost",
};

/** The client's status events. `undefined` means nothing. */
export const CLIENT_EVENTS: Readonly<Record<string, Meaning | undefined>> = {
  disconnect: "lost",
  close: "lost",
  staleConnection: "lost",
  forceReconnect: "lost",
  // The text of the error has the meaning: see `SERVER_ERRORS`.
  error: undefined,
  // This event follows a `disconnect`. A user's client then has another connection.
  reconnecting: undefined,
  reconnect: undefined,
  // The server itself closes the connection when its lame duck mode ends.
  ldm: undefined,
  update: undefined,
  ping: undefined,
  // Only iterators cause it, and the backend uses callbacks.
  slowConsumer: undefined,
};

/** The last `err_code` of JetStream that this table has. The first one is 10002. */
const LAST_KNOWN = 10_227;

/** The codes of JetStream that do not mean a refusal. */
const API_ERRORS: ReadonlyMap<number, Meaning> = new Map([
  // No leader, no quorum, a server that is starting or stopping, or no room.
  ...[
    10_002,
    10_004,
    10_005,
    10_006,
    10_007,
    10_008,
    10_009,
    10_012,
    10_023,
    10_028,
    10_041,
    10_047,
  ]
    .map((code) => [code, "later"] as const),
  ...[10_048, 10_075, 10_076, 10_077, 10_104, 10_118, 10_119, 10_120, 10_124, 10_158, 10_163]
    .map((code) => [code, "later"] as const),
  ...[10_167, 10_194, 10_195, 10_202, 10_210, 10_211, 10_226].map((code) =>
    [code, "later"] as const
  ),
  // A replica and its leader disagree, so other replicas may have stored the message.
  [10_063, "lost"],
]);

/** The code for a stream that took no message, because its limits are reached, or temporarily. */
const NOT_STORED = 10_077;
const FULL = /^maximum |too large/i;

/** JetStream is storing the first message with the same key. Servers from 2.11 on report it. */
export const IN_PROCESS = 10_158;

/** The status if nobody listens on a subject. */
export const NO_RESPONDERS = 503;

/** The statuses for a reader when there are no more messages. */
export const NO_MESSAGES: readonly number[] = [404, 408];

/** An error of JetStream in the protocol. */
export interface ApiError {
  /** The status, as in HTTP. */
  readonly code?: number;
  /** The code of the error, if it has one. */
  readonly "err_code"?: number;
  /** The description. */
  readonly description?: string;
}

/** The meaning of an error of JetStream, or `undefined` if it is not known. */
export function meaningOfApi(error: ApiError): Meaning | undefined {
  const { code, "err_code": known, description = "" } = error;
  if (known === undefined) return code === NO_RESPONDERS ? "later" : undefined;
  if (known === NOT_STORED && FULL.test(description)) return "refused";
  if (known < 10_002 || known > LAST_KNOWN) return undefined;
  return API_ERRORS.get(known) ?? "refused";
}

/** The meaning of the text of an `-ERR`, or `undefined` if it is not known. */
export function meaningOfText(text: string): Meaning | undefined {
  const lower = text.toLowerCase();
  const known = Object.keys(SERVER_ERRORS).find((start) => lower.startsWith(start));
  return known === undefined ? undefined : SERVER_ERRORS[known];
}

/** The meaning of an error of the client, or `undefined` if it is not known. */
export function meaningOf(error: unknown): Meaning | undefined {
  const { name, message = "" } = Object(error) as Partial<Error>;
  const api = apiErrorIn(error);
  if (api) return meaningOfApi(api);
  // Errors of the server, which the client classifies only in part.
  return meaningOfText(message) ?? CLIENT_ERRORS[name ?? ""];
}

/** Messages that replace less helpful ones of the client. */
const MESSAGES: Readonly<Record<string, string>> = {
  JetStreamNotEnabled: "JetStream does not answer: it is starting, or not enabled for this account",
};

/** The error for a server that refuses. */
export function refused(error: Error): RefusedError {
  return new RefusedError(wordsOf(error), { cause: error });
}

/** Converts the error of a request to JetStream that has changed nothing. */
export function explain(error: unknown): unknown {
  if (isOurs(error)) return error;
  switch (meaningOf(error)) {
    case "refused":
    case "fatal":
      return refused(error as Error);
    case "later":
    case "lost":
      return new TemporaryError(wordsOf(error), { cause: error });
    case "renewed":
      return new ConnectionError(wordsOf(error), { cause: error });
    default:
      return new UnknownReplyError(wordsOf(error), { cause: error });
  }
}

/** The error for a message that JetStream answered with an error. */
export function publishError(error: ApiError): Error {
  const { description = `error ${error.err_code ?? error.code}` } = error;
  switch (meaningOfApi(error)) {
    case "later":
      return new TemporaryError(description);
    case "lost":
    case "renewed":
      return new ConnectionError(description);
    case undefined:
      return new UnknownReplyError(description);
    default:
      return new RefusedError(description);
  }
}

/** Whether the stream does not exist. */
export function isMissingStream(error: unknown): boolean {
  return (Object(error) as Error).name === "StreamNotFoundError";
}

/** Whether nobody answers for JetStream. */
export function isMissingJetStream(error: unknown): boolean {
  return (Object(error) as Error).name === "JetStreamNotEnabled" && !apiErrorIn(error);
}

/** Whether the user has no right to a subject. */
export function isDenied({ name }: Error): boolean {
  return name === "PermissionViolationError";
}

function isOurs(error: unknown): boolean {
  return [ConnectionError, RefusedError, TemporaryError].some((kind) => error instanceof kind);
}

function wordsOf(error: unknown): string {
  const { name, message } = error as Error;
  return MESSAGES[name] ?? (message || name);
}

/** The client wraps some errors of JetStream again. */
function apiErrorIn(error: unknown): ApiError | undefined {
  for (const one of [error, (Object(error) as Error).cause]) {
    const { name, apiError } = Object(one) as Error & { apiError?: () => ApiError };
    if (name !== undefined && typeof apiError === "function") return apiError.call(one);
  }
  return undefined;
}
