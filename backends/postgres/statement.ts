/**
 * The statements that send notifications, and values within statements.
 *
 * @module
 */

import type { OutgoingPayload } from "../../core/backend/contract.ts";

/** The maximum number of notifications in a statement. */
const BATCH = 500;

const NOTIFY = "select pg_notify($1::text, $2::text)";
const NOTIFY_ALL = `select pg_notify(channel, payload)
  from unnest($1::text[], $2::text[]) as message (channel, payload)`;

/**
 * The first statement of a session. Returns the process of the session, and the time after which an
 * idle session ends.
 */
export const SESSION =
  "select pg_backend_pid()::text, current_setting('idle_session_timeout', true)";

/** A row of texts. The form of other types depends on settings, and on the client's parsers. */
export type Row = readonly (string | null)[];

/** Sends statements. Their errors show what they concern. */
export interface Statements {
  /**
   * Whether there is a pooler, which may give each transaction another session. Then nothing is
   * prepared, and no setting is changed.
   */
  readonly isPooled: boolean;
  /** Sends a statement, which the server keeps prepared. */
  query(text: string, values: readonly (string | null)[]): Promise<readonly Row[]>;
  /** Sends statements without parameters. */
  run(text: string): Promise<void>;
}

/**
 * Whether a session belongs to a pooler. A pooler gives sessions to others, so it cannot report the
 * process of a session as the server does.
 *
 * @param result The result of `SESSION`.
 */
export function isOfPooler(result: Result): boolean {
  const [pid] = Object.values(result[0] ?? {});
  return pid !== String(result.state?.pid);
}

/** The result of a statement: rows, and the session as reported by the server or the pooler. */
export type Result = readonly object[] & { readonly state?: { readonly pid: number } | null };

/**
 * Divides messages into statements without equal messages. Within a transaction, the server merges
 * equal notifications of a channel.
 */
export function batches(
  messages: readonly OutgoingPayload[],
): readonly (readonly OutgoingPayload[])[] {
  if (messages.length === 1) return [messages];
  const batches: OutgoingPayload[][] = [];
  let seen = new Set<string>();
  for (const message of messages) {
    // Neither text has a NUL character.
    const key = `${message.channel}\0${message.payload}`;
    if (batches.length === 0 || seen.has(key) || seen.size === BATCH) {
      batches.push([]);
      seen = new Set();
    }
    seen.add(key);
    batches.at(-1)!.push(message);
  }
  return batches;
}

/** Sends all notifications in order, or none. */
export async function notify(
  statements: Statements,
  messages: readonly OutgoingPayload[],
): Promise<undefined> {
  const [{ channel, payload }] = messages as readonly [OutgoingPayload];
  if (messages.length === 1) await statements.query(NOTIFY, [channel, payload as string]);
  else {
    await statements.query(NOTIFY_ALL, [
      arrayOf(messages.map(({ channel }) => channel)),
      arrayOf(messages.map(({ payload }) => payload as string)),
    ]);
  }
}

/** The name of a channel, quoted for LISTEN. */
export function quote(channel: string): string {
  return `"${channel.replaceAll('"', '""')}"`;
}

/** An array of texts, in the syntax of Postgres. */
export function arrayOf(texts: Iterable<string>): string {
  return `{${Array.from(texts, (text) => `"${text.replace(/["\\]/g, "\\$&")}"`).join(",")}}`;
}
