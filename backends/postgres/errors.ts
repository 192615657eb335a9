/**
 * The errors of a Postgres server and of its client library, and their meanings.
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

/**
 * The meaning of an error:
 *
 * - `refused`: only this call or subscription fails. A retry would fail too.
 * - `later`: the server has done nothing. A retry may succeed.
 * - `renewed`: same as `later`, but on another session. This one leads to the wrong server, or is
 *   in a state that it cannot leave.
 * - `lost`: the connection is lost. Pending statements may have been done.
 * - `unknown`: the error is not in the table.
 */
export type Meaning = "refused" | "later" | "renewed" | "lost" | "unknown";

/**
 * The meanings of SQLSTATE, as in appendix A of PostgreSQL's documentation: of codes, and of the
 * classes with which they start. A code has precedence over its class.
 */
const SERVER: ReadonlyMap<string, Meaning> = tableOf({
  refused: [
    // Features, roles, values, constraints, cursors, passwords, routines.
    "03 09 0A 0B 0F 0L 0M 0N 0P 0W 0Z 10 20 21 22 23 24 27 28 2B 2D 2F 34 38 39",
    // Savepoints, databases and schemas; syntax, rights, tables and functions; limits.
    "3B 3D 3F 40002 42 44 54 55P02 55P04",
    // Missing files, configuration, foreign tables, PL/pgSQL, damaged data.
    "58P01 58P02 58P03 F0 HV P0 XX001 XX002",
  ],
  later: [
    // A transaction was rolled back: a deadlock, a conflict.
    "40",
    // No disk, memory or connections are left.
    "53 HV001",
    // An object is in use or locked, or a database temporarily accepts no connections.
    "55",
    // A statement was cancelled by a timeout or an administrator.
    "57000 57014",
    // The server's disk, an old snapshot, or a foreign server.
    "58 72 HV00N",
  ],
  renewed: [
    // The state of the transaction. 25006 means that the server is read-only, such as a standby.
    "25",
    // A pooler has changed the session. Its prepared statements are missing, or belong to another
    // client.
    "26 42P05",
  ],
  lost: [
    // Connection exceptions. Poolers send them if they have no server.
    "08",
    // The server is starting or stopping, or has ended the session.
    "25P03 25P04 57",
    // Whether a transaction was rolled back is not known.
    "40003",
  ],
  unknown: [
    // Not errors: success, warnings, no data.
    "00 01 02",
    // Internal errors, and errors for which a pooler has no code.
    "XX",
  ],
});

/** The meanings of the client library's own codes. */
const CLIENT: ReadonlyMap<string, Meaning> = tableOf({
  refused: [
    "SASL_SIGNATURE_MISMATCH MAX_PARAMETERS_EXCEEDED NOT_TAGGED_CALL UNDEFINED_VALUE",
    // A user's client that was ended.
    "UNSAFE_TRANSACTION CONNECTION_ENDED",
  ],
  later: [
    "COPY_IN_PROGRESS",
    // A statement that was cancelled before it was sent.
    "57014",
  ],
  lost: ["CONNECTION_CLOSED CONNECTION_DESTROYED CONNECT_TIMEOUT"],
  unknown: ["MESSAGE_NOT_SUPPORTED"],
});

function tableOf(codes: Partial<Record<Meaning, readonly string[]>>): Map<string, Meaning> {
  return new Map(
    Object.entries(codes).flatMap(([meaning, lines]) =>
      lines.join(" ").split(" ").map((code) => [code, meaning as Meaning] as const)
    ),
  );
}

/** The queue of notifications is full, because a listener stays in a transaction. */
const FULL_QUEUE = /^(PreCommit_Notify|asyncQueue)/;

/**
 * The meaning of an error. An error of neither the server nor the client means a lost connection.
 */
export function meaningOf(error: unknown): Meaning {
  const { routine } = Object(error) as { routine?: unknown };
  const code = codeOf(error);
  if (!isOfServer(error)) return CLIENT.get(code) ?? "lost";
  if (code === "54000" && FULL_QUEUE.test(String(routine))) return "later";
  return SERVER.get(code) ?? SERVER.get(code.slice(0, 2)) ?? "unknown";
}

/** Whether an error comes from the server or a pooler, and not from the client library. */
export function isOfServer(error: unknown): boolean {
  return (Object(error) as { name?: unknown }).name === "PostgresError";
}

/** Whether the session must be closed after an error. */
export function endsSession(error: unknown): boolean {
  return /^(renewed|unknown)$/.test(meaningOf(error));
}

/** Whether a schema, a table or a function is missing. */
export function isMissing(error: unknown): boolean {
  return /^(3F000|42P01|42883)$/.test(stateOf(error));
}

/** Whether other sessions are creating the same objects. */
export function isRace(error: unknown): boolean {
  return /^(23505|42P06|42P07|42710|42723)$/.test(stateOf(error));
}

/** Whether a lock was not available in time. Nothing was done. */
export function isLocked(error: unknown): boolean {
  return stateOf(error) === "55P03";
}

/** The channels that the error of `broadcaster.store()` names as locked. */
export function lockedChannels(error: unknown): readonly string[] {
  const { detail } = Object((error as Error).cause) as { detail?: string };
  return isLocked(error) && detail !== undefined ? JSON.parse(detail) : [];
}

/** Whether the server refuses a value, perhaps one of many messages or rows. */
export function isOfValue(error: unknown): boolean {
  return error instanceof RefusedError && /^(0A|22|23|54)/.test(stateOf(error));
}

/** Whether a transaction could not be serialized. Nothing was done. */
export function isUnserializable(error: unknown): boolean {
  return stateOf(error) === "40001";
}

/** The error for a lost session, with the server's reason if there is one. */
export function lostError(cause?: unknown): ConnectionError {
  const reason = isOfServer(cause)
    ? `the server ended the connection: ${(cause as Error).message}`
    : "the connection to the server was lost";
  return new ConnectionError(reason, { cause });
}

/** The error for a backend that is used after it was closed. */
export function closedError(): ClosedError {
  return new ClosedError("Cannot use backend: it is closed");
}

/** Converts an error of the server or the client to the error of a call. */
export function errorOf(cause: unknown): Error {
  const meaning = meaningOf(cause);
  const { message } = Object(cause) as Error;
  if (meaning === "lost") return lostError(cause);
  if (meaning === "refused") return new RefusedError(message, { cause });
  if (meaning === "unknown") return new UnknownReplyError(message, { cause });
  return new TemporaryError(message, { cause });
}

/**
 * Settles like a statement, with a converted error.
 *
 * @param statement The statement.
 * @param onEnd Called before it rejects, if the session must be closed.
 */
export async function answered<Value>(
  statement: Promise<Value>,
  onEnd?: (error: unknown) => void,
): Promise<Value> {
  try {
    return await statement;
  } catch (error) {
    if (endsSession(error)) onEnd?.(error);
    throw errorOf(error);
  }
}

/** The SQLSTATE behind the error of a call. */
function stateOf(error: unknown): string {
  return codeOf((Object(error) as { cause?: unknown }).cause);
}

function codeOf(error: unknown): string {
  return String((Object(error) as { code?: unknown }).code);
}
