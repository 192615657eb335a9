/**
 * The statements that send notifications, and values within statements.
 *
 * @module
 */

import type { Sql } from "postgres";
import type { OutgoingPayload } from "../../core/backend/contract.ts";
import { answered } from "./errors.ts";

/** The longest statement, in notifications. */
const BATCH = 500;

/**
 * Divides messages into statements. None has a message twice: within a transaction, the server
 * folds equal notifications of a channel into one.
 */
export function batches(
  messages: readonly OutgoingPayload[],
): readonly (readonly OutgoingPayload[])[] {
  if (messages.length === 1) return [messages];
  const batches: OutgoingPayload[][] = [];
  let seen = new Set<string>();
  for (const message of messages) {
    // Neither has a NUL character.
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

/** Sends all notifications in their order, or none. */
export async function notify(sql: Sql, messages: readonly OutgoingPayload[]): Promise<undefined> {
  const [{ channel, payload }] = messages as readonly [OutgoingPayload];
  await answered(
    messages.length === 1 ? sql`select pg_notify(${channel}, ${payload as string})` : sql`
      select pg_notify(channel, payload) from unnest(
        ${arrayOf(messages.map(({ channel }) => channel))}::text[],
        ${arrayOf(messages.map(({ payload }) => payload as string))}::text[]
      ) as message (channel, payload)`,
  );
}

/** A channel as LISTEN takes it. */
export function quote(channel: string): string {
  return `"${channel.replaceAll('"', '""')}"`;
}

/** An array of texts, as Postgres reads it. */
export function arrayOf(texts: Iterable<string | null>): string {
  return `{${Array.from(texts, elementOf).join(",")}}`;
}

function elementOf(text: string | null): string {
  return text === null ? "null" : `"${text.replace(/["\\]/g, "\\$&")}"`;
}
