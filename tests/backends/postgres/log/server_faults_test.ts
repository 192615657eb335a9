/** Cases that need a server of their own: replication, prepared transactions, a full disk. */

import { assertEquals, assertRejects } from "@std/assert";
import { migration } from "../../../../backends/postgres/log.ts";
import { Broadcast } from "../../../../mod.ts";
import { take } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { start } from "../../../services/postgres.ts";
import { until } from "../../../services/service.ts";
import { TestDatabase } from "./database.ts";

/** Cases on servers. */
function serverFaults(): void {
  Deno.test("postgres-stream: TRUNCATE that is replicated is told, and a replica that takes over numbers on", async () => {
    await using own = await start({ settings: { wal_level: "logical" } });
    await using source = await TestDatabase.create(own.url);
    await using target = await TestDatabase.create(own.url);
    for (const { sql } of [source, target]) await sql.unsafe(migration());
    await source.sql`create publication log for table broadcaster.log`;
    await source.sql`select pg_create_logical_replication_slot('log', 'pgoutput')`;
    await target.sql.unsafe(
      `create subscription log connection '${
        source.url.replace("postgres://postgres@", "postgres://postgres@")
      }' publication log with (create_slot = false, slot_name = 'log')`,
    );
    await using writer = new Broadcast(source.log);
    await using reader = new Broadcast(target.log);
    const subscription = await reader.subscribe("chatroom");
    const ids = [await writer.publish("chatroom", "one"), await writer.publish("chatroom", "two")];
    const [first, second] = await take(subscription, 2);
    assertEquals([first!.message, second!.message], ["one", "two"]);
    // An id of the source means nothing in another log.
    const moved = await reader.subscribe("chatroom", { after: ids[0]! });
    assertEquals((await take(moved, 1))[0]!.gap?.cause, "reset");
    // Sequences are not replicated.
    await reader.disconnect();
    await using successor = new Broadcast(target.log);
    const resumed = await successor.subscribe("chatroom", { after: second!.id! });
    await successor.publish("chatroom", "three");
    const [third] = await take(resumed, 1);
    assertEquals([third!.message, third!.gap], ["three", undefined]);
    const causes: string[] = [];
    successor.addEventListener("gap", ({ gap }) => void causes.push(gap.cause));
    await source.sql`truncate broadcaster.log`;
    await until(() => Promise.resolve(causes.includes("reset")), "Cannot see the gap");
    await target.sql`alter subscription log disable`;
    await target.sql`alter subscription log set (slot_name = none)`;
    await target.sql`drop subscription log`;
    await source.sql`select pg_drop_replication_slot('log')`;
  });

  Deno.test("postgres-stream: a transaction that has published cannot be prepared, and publishes nothing", async () => {
    await using own = await start({ settings: { max_prepared_transactions: "5" } });
    await using database = await TestDatabase.create(own.url);
    await using broadcast = new Broadcast(database.log);
    await broadcast.publish("chatroom", "before");
    const client = database.as("postgres");
    await client.unsafe("begin; select broadcaster.publish('chatroom', 'never')");
    await assertRejects(
      async () => await client.unsafe("prepare transaction 'two-phase'"),
      Error,
      "cannot PREPARE a transaction that has executed",
    );
    await broadcast.publish("chatroom", "after");
    const past = await broadcast.history("chatroom");
    assertEquals(past.map(({ message }) => message), ["before", "after"]);
  });
}

withBroker("postgres", serverFaults);
