/** The SQL of the documents runs as printed. That of the rights is run with the table of rights. */

import { assert, assertEquals } from "@std/assert";
import { Broadcast } from "../../../../mod.ts";
import { messages } from "../../../conformance/harness.ts";
import { SNIPPETS } from "../../../docs/pages.ts";
import { withBroker } from "../../../services/broker.ts";
import { TestDatabase } from "./database.ts";

withBroker("postgres", (server) => {
  Deno.test("postgres-stream: the transaction of the documents publishes its order", async () => {
    const transactions = SNIPPETS.filter(({ kind, text }) =>
      kind === "sql" && text.startsWith("begin;")
    );
    assert(transactions.length > 0);
    await using database = await TestDatabase.create(server);
    const owner = await database.ownedBy("owner");
    const client = database.as(owner);
    await client`create table orders (number int)`;
    await using broadcast = new Broadcast(database.logAs(owner));
    const subscription = await broadcast.subscribe("orders");
    for (const { text } of transactions) {
      await client.unsafe(text).simple();
      assertEquals(await messages(subscription, 1), ["order 7"]);
    }
  });

  Deno.test("postgres-stream: all other SQL of the documents is that of the rights", () => {
    const others = SNIPPETS.filter(({ kind, text }) =>
      kind === "sql" && !text.startsWith("begin;") && !text.startsWith("grant usage on schema")
    );
    assertEquals(others, []);
  });
});
