/**
 * Facts about a Postgres server.
 *
 * @module
 */

import type { ServerFacts } from "../../core/backend/contract.ts";
import type { Statements } from "./statement.ts";

const FACTS =
  "select current_setting('server_version'), current_user::text, pg_is_in_recovery()::text";

/**
 * The facts about the server of a session.
 *
 * @param statements Sends a statement.
 * @param tls The version of TLS, if known.
 */
export async function factsOf(
  statements: Pick<Statements, "query" | "isPooled">,
  tls?: string,
): Promise<ServerFacts> {
  const [[version, user, isStandby] = []] = await statements.query(FACTS, []);
  return {
    // Debian writes "17.6 (Debian 17.6-0+deb13u1)".
    server: `PostgreSQL ${version?.split(" ", 1)[0]}`,
    role: isStandby === "true" ? "standby" : "primary",
    user: String(user),
    ...tls !== undefined && { TLS: tls },
    pooler: statements.isPooled ? "yes, which may give each transaction another session" : "no",
  };
}
