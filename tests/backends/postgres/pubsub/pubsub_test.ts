import { assertEquals, assertRejects } from "@std/assert";
import postgres from "postgres";
import { postgres as postgresSource } from "../../../../backends/postgres/pubsub.ts";
import { batches } from "../../../../backends/postgres/statement.ts";
import { Broadcast, ConnectionError, RefusedError } from "../../../../mod.ts";
import { messages, uniqueChannel } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { start } from "../../../services/postgres.ts";
import { TestDatabase } from "../log/database.ts";

withBroker("postgres", (url) => {
  Deno.test("postgres: 7,999 bytes arrive and 8,000 are refused, in bytes", async () => {
    await using broadcast = new Broadcast(url);
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "ü".repeat(3_999) + "x");
    await assertRefused("x".repeat(8_000), 8_000);
    await assertRefused("ü".repeat(4_000), 8_000);
    await assertRefused("🎉".repeat(2_500), 10_000);
    await broadcast.publish(channel, "x".repeat(7_999));
    assertEquals(await messages(subscription, 2), ["ü".repeat(3_999) + "x", "x".repeat(7_999)]);

    async function assertRefused(message: string, bytes: number): Promise<void> {
      const error = await assertRejects(() => broadcast.publish(channel, message), RangeError);
      assertEquals(
        error.message,
        `Cannot publish to "${channel}": the payload has ${bytes} bytes, the limit of postgres is 7999`,
      );
    }
  });

  Deno.test("postgres: a name of 63 bytes works, one of 64 is refused and never cut", async () => {
    await using broadcast = new Broadcast(url);
    const longest = "ü".repeat(31) + "x";
    const subscription = await broadcast.subscribe(longest);
    await broadcast.publish(longest, "hello");
    assertEquals(await messages(subscription, 1), ["hello"]);
    const message =
      `Cannot use channel "${longest}y" on postgres: its name has 64 bytes, the limit is 63`;
    for (
      const call of [
        () => broadcast.subscribe(`${longest}y`),
        () => broadcast.publish(`${longest}y`, ""),
      ]
    ) {
      assertEquals((await assertRejects(call, RangeError)).message, message);
    }
  });

  Deno.test("postgres: names that need quoting do not cross", async () => {
    await using broadcast = new Broadcast(url);
    const names = ['a"b', "a'b", "A b", "a b", "a;b", "*", "select", "ünïcödé 🎉"];
    const subscriptions = await Promise.all(names.map((name) => broadcast.subscribe(name)));
    await Promise.all(names.map((name) => broadcast.publish(name, `to ${name}`)));
    for (const [index, subscription] of subscriptions.entries()) {
      assertEquals(await messages(subscription, 1), [`to ${names[index]}`]);
    }
  });

  Deno.test("postgres: NUL is refused at the call", async () => {
    await using broadcast = new Broadcast(url);
    const error = await assertRejects(() => broadcast.publish("chatroom", "a\0b"), TypeError);
    assertEquals(
      error.message,
      'Cannot publish to "chatroom": the payload has a NUL character, which postgres cannot carry',
    );
  });

  Deno.test("postgres: one refused message takes no other of its turn along", async () => {
    await using broadcast = new Broadcast(url);
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe(channel);
    const outcomes = await Promise.allSettled([
      broadcast.publish(channel, "one"),
      broadcast.publish(channel, "x".repeat(8_000)),
      broadcast.publish(channel, "two"),
    ]);
    assertEquals(outcomes.map(({ status }) => status), ["fulfilled", "rejected", "fulfilled"]);
    assertEquals(await messages(subscription, 2), ["one", "two"]);
  });

  Deno.test("postgres: a wrong password is refused, and never shown", async () => {
    await using server = await start({ password: "right" });
    const { username } = new URL(server.url);
    await using broadcast = new Broadcast(
      `postgres://${username}:s3cret@127.0.0.1:${server.port}/postgres`,
    );
    const error = await assertRejects(() => broadcast.connect(), RefusedError);
    assertEquals(
      error.message,
      `Cannot connect to postgres://127.0.0.1:${server.port}/postgres: password authentication failed for user "${username}"; ` +
        "write the login before the host: postgres://user:password@host/database",
    );
    assertEquals(Deno.inspect(error, { depth: 10 }).includes("s3cret"), false);
  });

  Deno.test("postgres: a database that does not exist is refused", async () => {
    await using broadcast = new Broadcast(url.replace(/\/\w+$/, "/no_such_database"));
    const error = await assertRejects(() => broadcast.connect(), RefusedError);
    assertEquals(error.message.endsWith(': database "no_such_database" does not exist'), true);
  });

  Deno.test("postgres: an address where nobody listens is named", async () => {
    await using broadcast = new Broadcast("postgres://user:s3cret@127.0.0.1:1/db");
    const error = await assertRejects(() => broadcast.subscribe("chatroom"), ConnectionError);
    assertEquals(
      error.message,
      "Cannot connect to postgres://127.0.0.1:1/db: connect ECONNREFUSED 127.0.0.1:1",
    );
  });

  Deno.test("postgres: a client that the user has is used and never closed", async () => {
    const client = postgres(url);
    const channel = uniqueChannel();
    const broadcast = new Broadcast(postgresSource({ sql: client }));
    const subscription = await broadcast.subscribe(channel);
    await client.notify(channel, "from the client");
    const turn = ["from the broadcast", "again", "again", '{"quoted", \\null}'];
    await Promise.all(turn.map((message) => broadcast.publish(channel, message)));
    assertEquals(await messages(subscription, 5), ["from the client", ...turn]);
    await broadcast.disconnect();
    assertEquals([...await client`select 1 as one`], [{ one: 1 }]);
    await client.end();
  });

  Deno.test("postgres: what is given in one go arrives in order, equal and odd ones too", async () => {
    await using broadcast = new Broadcast(url);
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe(channel);
    const given = ["a", "b", "a", "a", "", "\\u0000", "q\"uo'te", "\n\t", "🎉", "b", "{}", ""];
    await Promise.all(given.map((message) => broadcast.publish(channel, message)));
    assertEquals(await messages(subscription, given.length), given);
  });

  Deno.test("postgres: one turn publishes to many channels, in order and in few statements", async () => {
    await using broadcast = new Broadcast(url);
    const channels = Array.from({ length: 20 }, uniqueChannel);
    const subscriptions = await Promise.all(channels.map((name) => broadcast.subscribe(name)));
    await Promise.all(
      ["same", "other"].flatMap((message) =>
        channels.map((name) => broadcast.publish(name, message))
      ),
    );
    for (const subscription of subscriptions) {
      assertEquals(await messages(subscription, 2), ["same", "other"]);
    }
    const messagesOf = (channel: string, ...payloads: string[]) =>
      payloads.map((payload) => ({ channel, payload }));
    // Equal messages are equal in channel and payload.
    const turn = [...messagesOf("a", "x", "y"), ...messagesOf("b", "x"), ...messagesOf("a", "x")];
    assertEquals(batches(turn), [turn.slice(0, 3), turn.slice(3)]);
  });

  Deno.test("postgres: a role without the right to publish listens, and stays connected", async () => {
    await using database = await TestDatabase.create(url);
    const role = `broadcaster_${crypto.randomUUID().replaceAll("-", "")}`;
    await database.sql.unsafe(`create role ${role} login`);
    await database.sql.unsafe("revoke execute on function pg_notify(text, text) from public");
    try {
      await using broadcast = new Broadcast(
        database.url.replace(/\/\/[^@]*@/, `//${role}@`) + "?probe=1s",
      );
      const states: string[] = [];
      broadcast.addEventListener("statechange", ({ state }) => states.push(state));
      const subscription = await broadcast.subscribe("chatroom");
      await assertRejects(() => broadcast.publish("chatroom", "x"), RefusedError, "pg_notify");
      const heard = (async () => {
        for await (const { message } of subscription) if (message === "last") return message;
      })();
      // Three probes.
      for (const end = performance.now() + 3_500; performance.now() < end;) {
        await database.sql.notify("chatroom", "one of many");
      }
      await database.sql.notify("chatroom", "last");
      assertEquals(await heard, "last");
      assertEquals(states, ["connecting", "connected"]);
    } finally {
      await database.sql.unsafe(`drop role ${role}`);
    }
  });

  Deno.test("postgres: the wire carries the payload alone", async () => {
    const client = postgres(url);
    const channel = uniqueChannel();
    const heard = Promise.withResolvers<string>();
    await client.listen(channel, heard.resolve);
    await using broadcast = new Broadcast(url);
    await broadcast.publish(channel, "hello");
    assertEquals(await heard.promise, "hello");
    await client.end();
  });

  Deno.test("postgres: the reason why a server ends a connection is in the error of statechange", async () => {
    const client = postgres(url);
    const channel = uniqueChannel();
    await using broadcast = new Broadcast(url);
    await broadcast.subscribe(channel);
    const lost = Promise.withResolvers<Error>();
    broadcast.addEventListener("statechange", ({ error }) => error && lost.resolve(error as Error));
    await client`select pg_terminate_backend(pid) from pg_stat_activity where query like ${`listen "${channel}"%`}`;
    assertEquals(
      (await lost.promise).message,
      "the server ended the connection: terminating connection due to administrator command",
    );
    await client.end();
  });

  Deno.test("postgres: a server-side disconnect of the user's client is a gap", async () => {
    const client = postgres(url);
    const channel = uniqueChannel();
    const broadcast = new Broadcast(postgresSource({ sql: client }));
    const told = Promise.withResolvers<string>();
    await broadcast.subscribe(channel, { onGap: ({ cause }) => told.resolve(cause) }).then((one) =>
      void one.getReader().read()
    );
    await client`select pg_terminate_backend(pid) from pg_stat_activity where query like ${`listen "${channel}"%`}`;
    assertEquals(await told.promise, "disconnect");
    await broadcast.disconnect();
    await client.end();
  });
});
