/** `broadcaster check` through PgBouncer. */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { withBroker } from "../services/broker.ts";
import * as pgbouncer from "../services/pgbouncer.ts";
import { start } from "../services/postgres.ts";
import { withScheme } from "./brokers.ts";
import { broadcaster } from "./command.ts";

withBroker("pgbouncer", () => {
  Deno.test("check tells of a pooler, and of what it takes away", async () => {
    await using server = await start();
    await using pooler = await pgbouncer.start({ server: server.port, mode: "transaction" });
    const pubsub = await broadcaster(["check", pooler.url, "--json"]);
    const report = JSON.parse(pubsub.stdout);
    assertMatch(report.server.pooler, /^yes/);
    assertEquals([report.ok, report.steps[1].result], [false, "failed"]);
    assertStringIncludes(report.steps[1].detail, "Use a session connection, or postgres-stream://");
    const log = await broadcaster(["check", withScheme(pooler.url, "postgres-stream")]);
    assertEquals(log.code, 0, log.stdout);
    assertMatch(log.stdout, /\n! NOTIFY did not come back/);
  });
});
