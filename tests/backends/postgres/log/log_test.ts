import { assertEquals, assertRejects } from "@std/assert";
import postgres from "postgres";
import { migration, postgresStream } from "../../../../backends/postgres/log.ts";
import { Broadcast, bytes, RefusedError } from "../../../../mod.ts";
import { messages, numbered, take, uniqueChannel } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { TestDatabase } from "./database.ts";
import { publish } from "./outbox.ts";

withBroker("postgres", (server) => {
  const url = server.replace(/^[^:]*/, "postgres-stream");

  Deno.test("postgres-stream: a payload of several megabytes arrives, live and again", async () => {
    await using broadcast = new Broadcast(url, { codec: bytes() });
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe(channel);
    const large = Uint8Array.from({ length: 6_000_000 }, (_, index) => index * 7);
    await Promise.all(
      [large, Uint8Array.of(1), large].map((one) => broadcast.publish(channel, one)),
    );
    for (const events of [await take(subscription, 3), await broadcast.history(channel)]) {
      assertEquals(events.map(({ message }) => (message as Uint8Array).length), [
        large.length,
        1,
        large.length,
      ]);
      assertEquals(digest(events[2]!.message as Uint8Array), digest(large));
    }
  });

  Deno.test("postgres-stream: pages of large payloads are short, and none is left out", async () => {
    await using broadcast = new Broadcast(url, { codec: bytes(), linger: 0 });
    const channel = uniqueChannel();
    const large = new Uint8Array(3_000_000);
    const ids: (string | undefined)[] = [];
    for (let number = 0; number < 9; number++) ids.push(await broadcast.publish(channel, large));
    assertEquals((await broadcast.history(channel)).map(({ id }) => id), ids);
    const forth = await broadcast.history(channel, { after: ids[0]! });
    assertEquals(forth.map(({ id }) => id), ids.slice(1));
    const resumed = await broadcast.subscribe(channel, { after: ids[0]! });
    assertEquals((await take(resumed, 8)).map(({ id }) => id), ids.slice(1));
  });

  Deno.test("postgres-stream: names and payloads beyond the limits are refused at the call", async () => {
    await using broadcast = new Broadcast(url, { codec: bytes(), maxMessage: 2 ** 28 });
    await broadcast.connect();
    const longest = `${uniqueChannel()}${"ü".repeat(600)}`.slice(0, 100).padEnd(100, "x");
    const name = longest + "ü".repeat((1_024 - new TextEncoder().encode(longest).length) >> 1);
    const exact = name.padEnd(name.length + 1_024 - new TextEncoder().encode(name).length, "x");
    const subscription = await broadcast.subscribe(exact);
    await broadcast.publish(exact, Uint8Array.of(1));
    await take(subscription, 1);
    const long = await assertRejects(() => broadcast.subscribe(`${exact}y`), RangeError);
    assertEquals(
      long.message,
      `Cannot use channel "${
        exact.slice(0, 100)
      }…" on postgres-stream: its name has 1025 bytes, the limit is 1024`,
    );
    const nul = await assertRejects(() => broadcast.subscribe("a\0b"), TypeError);
    assertEquals(
      nul.message,
      String.raw`Cannot use channel "a\u0000b" on postgres-stream: its name has a NUL character`,
    );
    const large = new Uint8Array(128 * 1024 * 1024 + 1);
    const error = await assertRejects(() => broadcast.publish("large", large), RangeError);
    assertEquals(
      error.message,
      `Cannot publish to "large": the payload has 134217729 bytes, the limit of postgres-stream is 134217728`,
    );
  });

  Deno.test("postgres-stream: names that need quoting do not cross", async () => {
    await using broadcast = new Broadcast(url);
    const run = uniqueChannel();
    const names = ['a"b', "a'b", "A b", "a\\b", "{a,b}", "null", "", "ünïcödé 🎉", "a\nb", "$1"]
      .map((name) => name + run);
    const subscriptions = await Promise.all(names.map((name) => broadcast.subscribe(name)));
    await Promise.all(names.map((name) => broadcast.publish(name, `to ${name}\0"{}\\`)));
    for (const [index, subscription] of subscriptions.entries()) {
      assertEquals(await messages(subscription, 1), [`to ${names[index]}\0"{}\\`]);
    }
  });

  Deno.test("postgres-stream: what no hint told of is found all the same", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log);
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe(channel);
    await database.sql`select broadcaster.store(array[${channel}], array['\\x6869'::bytea])`;
    assertEquals(await messages(subscription, 1), ["hi"]);
  });

  Deno.test("postgres-stream: many processes that come at once make one log", async () => {
    await using database = await TestDatabase.create(server);
    const channel = uniqueChannel();
    const broadcasts = Array.from({ length: 8 }, () => new Broadcast(database.log));
    const subscriptions = await Promise.all(broadcasts.map((one) => one.subscribe(channel)));
    await Promise.all(broadcasts.map((one, number) => one.publish(channel, `m${number}`)));
    const all = await Promise.all(subscriptions.map((one) => take(one, 8)));
    for (const events of all) assertEquals(events, all[0]);
    assertEquals((await database.sql`select from broadcaster.meta`).length, 1);
    await Promise.all(broadcasts.map((one) => one.disconnect()));
  });

  Deno.test("postgres-stream: a schema that was copied without its rows is completed", async () => {
    await using database = await TestDatabase.create(server);
    await database.sql.unsafe(migration());
    await database.sql.unsafe("delete from broadcaster.meta; drop function broadcaster.store");
    for (let round = 0; round < 2; round++) {
      await using broadcast = new Broadcast(database.log);
      const channel = uniqueChannel();
      const subscription = await broadcast.subscribe(channel);
      const id = await broadcast.publish(channel, "hello");
      assertEquals((await take(subscription, 1))[0]!.id, id);
      await database.sql`delete from broadcaster.meta`;
    }
  });

  Deno.test("postgres-stream: a role that may not create uses what is there, and says what is missing", async () => {
    await using database = await TestDatabase.create(server);
    const role = await database.role("app");
    await using refused = new Broadcast(database.logAs(role));
    const error = await assertRejects(() => refused.connect(), RefusedError);
    assertEquals(
      error.message.replace(/to \S+: /, "to …: ").replace(/base \S+$/, "base …"),
      'Cannot connect to …: the log in schema "broadcaster" lacks parts (everything, or the row of meta), and this role cannot create them, connect as its owner first or run migration(): permission denied for database …',
    );
    await database.sql.unsafe(migration());
    await database.sql.unsafe(`grant usage on schema broadcaster to ${role};
      grant execute on function broadcaster.store to ${role};
      grant select on broadcaster.log, broadcaster.meta, broadcaster.trimmed to ${role}`);
    await using broadcast = new Broadcast(database.logAs(role));
    const subscription = await broadcast.subscribe("chatroom");
    await broadcast.publish("chatroom", "of the library", { idempotencyKey: "once" });
    await broadcast.publish("chatroom", "again", { idempotencyKey: "once" });
    await publish(database.sql, "chatroom", "of sql");
    assertEquals(await messages(subscription, 2), ["of the library", "of sql"]);
  });

  Deno.test("postgres-stream: a client that the user has is used and never closed", async () => {
    const client = postgres(server, { onnotice: () => {} });
    const channel = uniqueChannel();
    const broadcast = new Broadcast(postgresStream({ sql: client }));
    await using other = new Broadcast(url);
    const subscription = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "from the broadcast");
    await other.publish(channel, "from another");
    await publish(client, channel, "from the client");
    const expected = ["from the broadcast", "from another", "from the client"];
    assertEquals(await messages(subscription, 3), expected);
    const history = await broadcast.history(channel);
    assertEquals(history.map(({ message }) => message), expected);
    await broadcast.disconnect();
    assertEquals([...await client`select 1 as one`], [{ one: 1 }]);
    await client.end();
  });

  Deno.test("postgres-stream: the user's client may lose its connections: nothing is lost", async () => {
    await using database = await TestDatabase.create(server);
    const client = postgres(database.url, { onnotice: () => {}, backoff: () => 0.05 });
    const channel = uniqueChannel();
    const broadcast = new Broadcast(postgresStream({ sql: client }));
    await using other = new Broadcast(database.log);
    const subscription = await broadcast.subscribe(channel);
    const received = take(subscription, 30);
    for (const message of numbered(30)) {
      if (message === "m10") {
        await database.sql`select pg_terminate_backend(pid) from pg_stat_activity
          where datname = current_database() and application_name = 'postgres.js'
          and pid <> pg_backend_pid() and query not like '%pg_stat_activity%'`;
      }
      await other.publish(channel, message);
    }
    const events = await received;
    assertEquals(events.map(({ message }) => message), numbered(30));
    assertEquals(events.map(({ gap }) => gap).filter(Boolean), []);
    await broadcast.disconnect();
    // Without a limit `end()` of postgres 3.4.9 may wait forever once a listener was lost.
    await client.end({ timeout: 1 });
  });
});

function digest(bytes: Uint8Array): number {
  return bytes.reduce((sum, byte) => (Math.imul(sum, 31) + byte) >>> 0, 7);
}
