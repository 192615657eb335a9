/** Publishing from an application's own transaction. */

import type { Sql, TransactionSql } from "postgres";

/** Publishes as an application does. */
export async function publish(
  sql: Sql | TransactionSql,
  channel: string,
  message: string,
): Promise<void> {
  await sql`select broadcaster.publish(${channel}, ${message})`;
}
