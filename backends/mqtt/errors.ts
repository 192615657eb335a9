/**
 * The errors of an MQTT server and its client, and their meanings.
 *
 * @module
 */

import { ConnectionError, RefusedError } from "../../core/backend/errors.ts";

/** Reason codes of MQTT 5 from here on are failures. Errors of sockets have names for codes. */
const FIRST_FAILURE = 0x80;

/** The failures that are no refusal: the server is busy, or stopping, and another try may help. */
const TEMPORARY: Readonly<Record<number, string>> = {
  0x88: "Server unavailable",
  0x89: "Server busy",
  0x97: "Quota exceeded",
  0x9f: "Connection rate exceeded",
};

/** Whether the server has answered, and said no. */
export function isRefusal(error: unknown): error is Error {
  const { code } = Object(error) as { code?: unknown };
  return typeof code === "number" && code >= FIRST_FAILURE && !(code in TEMPORARY);
}

/** The error for a server that said no. */
export function refused(error: Error): RefusedError {
  return new RefusedError(error.message, { cause: error });
}

/** The error of a request as the core knows it: refused, or the connection was lost. */
export function explain(error: Error): RefusedError | ConnectionError {
  return isRefusal(error) ? refused(error) : connectionLost(error);
}

/** The connection was lost, or closed. */
export function connectionLost(cause: unknown): ConnectionError {
  return new ConnectionError("the connection to the server was lost", { cause });
}
