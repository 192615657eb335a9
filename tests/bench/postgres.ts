/**
 * Postgres against the bare client.
 *
 * @module
 */

import connect from "postgres";
import { broadcastSide, compare, type Side } from "./broker.ts";
import type { Report } from "./report.ts";

/** Measures what a broadcast on `postgres://` costs over the client itself. */
export async function postgres(url: string): Promise<Report> {
  return await compare("Postgres", [await broadcastSide(url), await bare(url)], {
    windows: new Map([[1, 1_000], [64, 1_000], [Infinity, 2_000]]),
    rate: 500,
  });
}

async function bare(url: string): Promise<Side> {
  const sql = connect(url, { max: 1, fetch_types: false });
  const channel = `bench_${crypto.randomUUID()}`;
  const side: Side = {
    name: "postgres.js",
    // It would send nothing before somebody awaits it.
    publish: (message) => sql`select pg_notify(${channel}, ${message})`.execute(),
    onMessage: () => {},
    close: () => sql.end(),
  };
  // It opens a connection of its own to listen.
  await sql.listen(channel, (message) => side.onMessage(message));
  return side;
}
