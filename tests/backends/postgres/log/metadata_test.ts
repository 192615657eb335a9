/** Headers and keys in the tables. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import postgres from "postgres";
import { open, postgresStream } from "../../../../backends/postgres/log.ts";
import { Address } from "../../../../core/backend/address.ts";
import { Position } from "../../../../core/backend/position.ts";
import { Broadcast } from "../../../../mod.ts";
import {
  messages,
  numbered,
  publishAll,
  take,
  uniqueChannel,
} from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { until } from "../../../services/service.ts";
import { assertExpires } from "../../expiry.ts";
import { TestDatabase } from "./database.ts";

/** Cases on headers and keys. */
function metadata(server: string): void {
  Deno.test("postgres-stream: whatever isolation the user's client has, keys at once are stored once", async () => {
    await using database = await TestDatabase.create(server);
    const connection = { default_transaction_isolation: "serializable" } as const;
    const options = { max: 3, onnotice: () => {}, connection };
    const clients = [postgres(database.url, options), postgres(database.url, options)];
    const broadcasts = clients.map((client) => new Broadcast(postgresStream({ sql: client })));
    const channel = uniqueChannel();
    for (const key of numbered(40)) {
      const ids = await Promise.all(
        broadcasts.map((broadcast) => broadcast.publish(channel, key, { idempotencyKey: key })),
      );
      assertEquals(ids[0], ids[1]);
    }
    const past = await broadcasts[0]!.history(channel);
    assertEquals(past.map(({ message }) => message), numbered(40));
    for (const broadcast of broadcasts) await broadcast.disconnect();
    for (const client of clients) await client.end();
  });

  Deno.test("postgres-stream: nothing overtakes what the user's client has lost and is sent again", async () => {
    await using database = await TestDatabase.create(server);
    const { sql } = database;
    const name = "the user's";
    const client = postgres(database.url, {
      ...{ max: 3, onnotice: () => {}, backoff: () => 0.05 },
      connection: { application_name: name },
    });
    const broadcast = new Broadcast(postgresStream({ sql: client }));
    const channel = uniqueChannel();
    await broadcast.publish(channel, "0", { idempotencyKey: "0" });
    const blocked = async () =>
      (await sql`select pid from pg_stat_activity
        where application_name = ${name} and wait_event_type = 'Lock'`).length > 0;
    const release = Promise.withResolvers<void>();
    const locked = Promise.withResolvers<void>();
    const locking = sql.begin(async (sql) => {
      await sql`lock table broadcaster.log in access exclusive mode`;
      locked.resolve();
      await release.promise;
    });
    await locked.promise;
    const published = [broadcast.publish(channel, "A", { idempotencyKey: "a" })];
    await until(blocked, "A waits for the table");
    published.push(broadcast.publish(channel, "B", { idempotencyKey: "b" }));
    const unknown = broadcast.publish(channel, "C");
    published.push(unknown.catch((error) => error.name));
    await sql`select pg_terminate_backend(pid) from pg_stat_activity
      where application_name = ${name} and wait_event_type = 'Lock'`;
    release.resolve();
    await locking;
    const [, , outcome] = await Promise.all(published);
    const past = await broadcast.history(channel);
    const rest = outcome === "OutcomeUnknownError" ? [] : ["C"];
    assertEquals(past.map(({ message }) => message), ["0", "A", "B", ...rest]);
    await broadcast.disconnect();
    await client.end({ timeout: 1 });
  });

  Deno.test("postgres-stream: SQL publishes headers, and reads those of the library", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log);
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe(channel);
    const { sql } = database;
    await sql.unsafe(`select broadcaster.publish('${channel}', 'text', '{"trace": "é"}')`);
    await sql.unsafe(`select broadcaster.publish('${channel}', '\\x6869'::bytea, '{"n": 1.5,
      "yes": true, "none": null, "deep": {"a": []}, "__proto__": "p", "broadcaster-x": "no"}')`);
    await sql.unsafe(`select broadcaster.publish('${channel}', 'none', null)`);
    await broadcast.publish(channel, "ours", { headers: { a: '"\\', b: "" } });
    const events = await take(subscription, 4);
    assertEquals(events.map(({ message }) => message), ["text", "hi", "none", "ours"]);
    assertEquals(events.map(({ headers }) => headers && Object.entries(headers).sort()), [
      [["trace", "é"]],
      [["__proto__", "p"], ["n", "1.5"], ["yes", "true"]],
      undefined,
      [["a", '"\\'], ["b", ""]],
    ]);
    const rows = await sql`select headers from broadcaster.log order by id desc limit 1`;
    assertEquals(rows[0]!.headers, { a: '"\\', b: "" });
    const wrong = () => sql.unsafe(`select broadcaster.publish('${channel}', 'x', '["a"]')`);
    await assertRejects(async () => await wrong(), Error, "violates check constraint");
  });

  Deno.test("postgres-stream: headers count for how much one page may bring", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log);
    const channel = uniqueChannel();
    const count = 2_500;
    const headers = { a: "x".repeat(4_000), b: "é".repeat(1_800) };
    for (let from = 0; from < count; from += 500) {
      await Promise.all(
        numbered(500, `${from}+`).map((one) => broadcast.publish(channel, one, { headers })),
      );
    }
    const past = await broadcast.subscribe(channel, { history: count });
    const received = await messages(past, count);
    assertEquals(new Set(received).size, count);
    const backend = await open(new Address(database.log));
    await backend.connect!();
    const { items } = await backend.read!(channel, { after: Position.start, limit: count });
    await backend.close();
    assert(items.length > 500 && items.length < 1_200, `${items.length} in one page`);
  });

  Deno.test("postgres-stream: a key expires, and its row is removed", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(`${database.log}?retention=1s`);
    await broadcast.publish("other", "m", { idempotencyKey: "stays" });
    await assertExpires(broadcast, "channel");
    const keys = () => database.sql`select key from broadcaster.keys order by key`;
    await until(async () => (await keys()).length === 1, "the expired key is removed");
    assertEquals([...await keys()], [{ key: "stays" }]);
  });

  Deno.test("postgres-stream: a log that is emptied forgets its keys", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log);
    for (
      const statement of [
        "truncate broadcaster.log",
        "drop table broadcaster.log, broadcaster.meta",
      ]
    ) {
      const first = await broadcast.publish("channel", "m", { idempotencyKey: "k" });
      assertEquals(await broadcast.publish("channel", "m", { idempotencyKey: "k" }), first);
      await database.sql.unsafe(statement);
      const second = await broadcast.publish("channel", "again", { idempotencyKey: "k" });
      assert(second !== first);
      const past = await broadcast.history("channel");
      assertEquals(past.map(({ id }) => id), [second]);
    }
  });

  Deno.test("postgres-stream: what has a key travels with what has none", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log);
    const subscription = await broadcast.subscribe("channel");
    const keyed = numbered(500).map((one) =>
      broadcast.publish("channel", one, { idempotencyKey: one })
    );
    const plain = publishAll(broadcast, "channel", numbered(500, "p"));
    const again = numbered(500).map((one) =>
      broadcast.publish("channel", "no", { idempotencyKey: one })
    );
    assertEquals(await Promise.all(again), await Promise.all(keyed));
    await plain;
    assertEquals(await messages(subscription, 1_000), [...numbered(500), ...numbered(500, "p")]);
    const [counted] = await database.sql`select count(distinct xmin::text)::int as transactions
      from broadcaster.log`;
    assert(counted!.transactions <= 3, `${counted!.transactions} transactions`);
  });
}

withBroker("postgres", metadata);
