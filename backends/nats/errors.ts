/**
 * The errors of a NATS server and its client, and what each of them means.
 *
 * @module
 */

import { ConnectionError, RefusedError } from "../../core/backend/errors.ts";

/** An error of the client; those of JetStream have a status, as in HTTP. */
type ClientError = Error & { readonly status?: number };

/**
 * The errors that mean that the server said no, by their names. For any other error, trying again
 * may help.
 */
const REFUSALS: readonly string[] = [
  "AuthorizationError",
  "UserAuthenticationExpiredError",
  "PermissionViolationError",
  "JetStreamNotEnabled",
  "JetStreamApiError",
];

/** The statuses of JetStream that are no refusal: a stream without a leader, for now. */
const TEMPORARY: readonly (number | undefined)[] = [503];

/** Messages that say more than the client's. */
const MESSAGES: Readonly<Record<string, string>> = {
  JetStreamNotEnabled: "the server has no JetStream, start it with -js",
};

/** JetStream is storing the first message with the same key: told by servers from 2.11 on. */
export const IN_PROCESS = 10158;

/** The status if nothing listens on a subject: the stream does not exist. */
export const NO_RESPONDERS = 503;

/** The statuses that tell a reader that there are no more messages. */
export const NO_MESSAGES: readonly number[] = [404, 408];

/** Whether the server has answered, and said no. */
export function isRefusal(error: unknown): error is Error {
  const { name, status } = Object(error) as ClientError;
  return REFUSALS.includes(name) && !TEMPORARY.includes(status);
}

/** Whether the stream does not exist. */
export function isMissingStream(error: unknown): boolean {
  return (Object(error) as Error).name === "StreamNotFoundError";
}

/** Whether the user has no right to a subject. */
export function isDenied({ name }: Error): boolean {
  return name === "PermissionViolationError";
}

/** The error for a server that said no. */
export function refused(error: Error): RefusedError {
  return new RefusedError(MESSAGES[error.name] ?? error.message, { cause: error });
}

/** The error of a request to JetStream as the core knows it. */
export function explain(error: unknown): unknown {
  if (error instanceof ConnectionError || error instanceof RefusedError) return error;
  if (isRefusal(error)) return refused(error);
  const { message } = error as Error;
  return new ConnectionError(`JetStream did not answer: ${message}`, { cause: error });
}
