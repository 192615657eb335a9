/** Patterns on a log in Postgres: what of many channels must not be lost. */

import { assertEquals } from "@std/assert";
import { Broadcast } from "../../../../mod.ts";
import { messages, numbered, take, uniqueChannel } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { TestDatabase } from "./database.ts";

/** Cases on patterns. */
function patterns(server: string): void {
  Deno.test("postgres-stream: a pattern loses nothing that commits late, with a lower id", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log);
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe({ pattern: `${channel}.*` });
    await broadcast.publish(`${channel}.a`, "first");
    assertEquals(await messages(subscription, 1), ["first"]);
    await database.sql.begin(async (sql) => {
      // The numbering by hand, so that the id is drawn long before the commit.
      await sql`set constraints all immediate`;
      await sql`select broadcaster.publish(${`${channel}.slow`}, 'slow'::text)`;
      for (const message of numbered(5)) await broadcast.publish(`${channel}.a`, message);
      assertEquals(await messages(subscription, 5), numbered(5));
    });
    assertEquals(await messages(subscription, 1), ["slow"]);
  });

  Deno.test("postgres-stream: a pattern finds new channels of others, whoever publishes", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log);
    await using other = new Broadcast(database.log);
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe({ pattern: `${channel}.%_\\*` });
    const names = Array.from({ length: 40 }, (_, number) => `${channel}.%_\\${number}`);
    await other.publish(`${channel}.xy\\1`, "no match, but for LIKE");
    await Promise.all(
      names.slice(0, 20).flatMap((name) =>
        numbered(3).map((message) => other.publish(name, message))
      ),
    );
    for (const name of names.slice(20)) {
      for (const message of numbered(3)) {
        await database.sql`select broadcaster.publish(${name}, ${message}::text)`;
      }
    }
    const events = await take(subscription, 120);
    for (const name of names) {
      const own = events.filter((event) => event.channel === name);
      assertEquals([name, own.map(({ message }) => message)], [name, numbered(3)]);
    }
    assertEquals(events.some(({ gap }) => gap), false);
  });
}

withBroker("postgres", patterns);
