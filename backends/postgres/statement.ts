/**
 * Runs statements, and tells what their errors mean.
 *
 * @module
 */

import type { Sql } from "postgres";
import { ConnectionError, RefusedError } from "../../core/backend/errors.ts";

/** What goes into one statement, at most. */
const BATCH = 500;

/**
 * Cuts payloads into statements. None has a payload twice: within a transaction
 * the server folds equal notifications of a channel into one.
 */
export function batches(payloads: readonly string[]): readonly (readonly string[])[] {
  if (payloads.length === 1) return [payloads];
  const batches: string[][] = [];
  let seen = new Set<string>();
  for (const payload of payloads) {
    if (batches.length === 0 || seen.has(payload) || seen.size === BATCH) {
      batches.push([]);
      seen = new Set();
    }
    seen.add(payload);
    batches.at(-1)!.push(payload);
  }
  return batches;
}

/** Notifies of all payloads in their order, or of none. */
export function statement(
  sql: Sql,
  channel: string,
  payloads: readonly string[],
): Promise<unknown> {
  if (payloads.length === 1) return sql`select pg_notify(${channel}, ${payloads[0]!})`;
  return sql`
    select pg_notify(${channel}, payload)
    from json_array_elements_text(${JSON.stringify(payloads)}::text::json) as payload`;
}

/** Settles as a statement does, with an error that says whether the connection is to blame. */
export async function guard(statement: Promise<unknown>): Promise<void> {
  try {
    await statement;
  } catch (error) {
    throw isRefusal(error) ? new RefusedError(error.message, { cause: error }) : lostError(error);
  }
}

/** The server's own no, unless it says that it is shutting down, starting or full. */
export function isRefusal(error: unknown): error is Error {
  if (!(error instanceof Error) || error.name !== "PostgresError") return false;
  return !/^(08|57P|53)/.test(String((error as { code?: unknown }).code));
}

/** The error of a session that was lost. */
export function lostError(cause?: unknown): ConnectionError {
  return new ConnectionError("the connection to the server was lost", { cause });
}

/** A channel as LISTEN takes it. */
export function quote(channel: string): string {
  return `"${channel.replaceAll('"', '""')}"`;
}
