/**
 * The errors of a Postgres server and of its client, and their meaning.
 *
 * @module
 */

import { ClosedError, ConnectionError, RefusedError } from "../../core/backend/errors.ts";

/**
 * The meaning of an error: the connection is lost; the server lacks a resource; the server
 * refuses, and would do so again; or another one, after which a second try may help: a timeout,
 * a deadlock.
 */
export type Meaning = "lost" | "exhausted" | "refused" | "other";

/** The meanings by SQLSTATE. The longest entry that a code starts with counts. */
const MEANINGS: Readonly<Record<string, Meaning>> = {
  // Connection exceptions.
  "08": "lost",
  // The server shuts down, starts up, or was told to end the session.
  "57P": "lost",
  // Too many connections.
  "53300": "lost",
  // A full disk, no memory left.
  "53": "exhausted",
  // A feature that the server does not have.
  "0A": "refused",
  // Data that cannot be stored.
  "22": "refused",
  // Wrong credentials.
  "28": "refused",
  // No such database.
  "3D": "refused",
  // No such schema.
  "3F": "refused",
  // Syntax errors, missing rights, missing tables and functions.
  "42": "refused",
};

/** The meaning of an error; what the server did not say is a lost connection. */
export function meaningOf(error: unknown): Meaning {
  if (!(error instanceof Error) || error.name !== "PostgresError") return "lost";
  const code = codeOf(error);
  return MEANINGS[code] ?? MEANINGS[code.slice(0, 3)] ?? MEANINGS[code.slice(0, 2)] ?? "other";
}

/** Whether a table or a function is missing. */
export function isMissing(error: unknown): boolean {
  return error instanceof RefusedError && /^(42P01|42883)$/.test(codeOf(error.cause));
}

/** Whether a transaction could not be serialized: nothing of it was done. */
export function isUnserializable(error: unknown): boolean {
  return codeOf(error) === "40001";
}

/** The error of a server that says no. */
export function refusedError(error: unknown): RefusedError {
  return new RefusedError((error as Error).message, { cause: error });
}

/** The error of a session that was lost. */
export function lostError(cause?: unknown): ConnectionError {
  return new ConnectionError("the connection to the server was lost", { cause });
}

/** The error of a backend that is used after it was closed. */
export function closedError(): ClosedError {
  return new ClosedError("Cannot use backend: it is closed");
}

/** Settles as a statement does, with an error that tells what is to blame. */
export async function answered<Value>(statement: Promise<Value>): Promise<Value> {
  try {
    return await statement;
  } catch (error) {
    const meaning = meaningOf(error);
    if (meaning === "lost") throw lostError(error);
    throw meaning === "refused" ? refusedError(error) : error;
  }
}

function codeOf(error: unknown): string {
  return String((error as { code?: unknown }).code);
}
