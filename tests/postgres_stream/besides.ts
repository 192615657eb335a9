/** Headers and keys in the tables. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { Address } from "../../address.ts";
import { Position } from "../../backend.ts";
import { open } from "../../backends/postgres_stream.ts";
import { Broadcast } from "../../mod.ts";
import { messages, numbered, publishAll, take, uniqueChannel } from "../conformance/harness.ts";
import { assertExpires } from "../expires.ts";
import { until } from "../services/service.ts";
import { TestDatabase } from "./database.ts";

/** Cases on what stands beside a payload. */
export function besides(server: string): void {
  Deno.test("postgres-stream: SQL publishes headers, and reads those of the library", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log);
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe(channel);
    const { sql } = database;
    await sql.unsafe(`select broadcaster_publish('${channel}', 'text', '{"trace": "é"}')`);
    await sql.unsafe(`select broadcaster_publish('${channel}', '\\x6869'::bytea, '{"n": 1.5,
      "yes": true, "none": null, "deep": {"a": []}, "__proto__": "p", "broadcaster-x": "no"}')`);
    await sql.unsafe(`select broadcaster_publish('${channel}', 'none', null)`);
    await broadcast.publish(channel, "ours", { headers: { a: '"\\', b: "" } });
    const events = await take(subscription, 4);
    assertEquals(events.map(({ message }) => message), ["text", "hi", "none", "ours"]);
    assertEquals(events.map(({ headers }) => headers && Object.entries(headers).sort()), [
      [["trace", "é"]],
      [["__proto__", "p"], ["n", "1.5"], ["yes", "true"]],
      undefined,
      [["a", '"\\'], ["b", ""]],
    ]);
    const rows = await sql`select headers from broadcaster_log order by id desc limit 1`;
    assertEquals(rows[0]!.headers, { a: '"\\', b: "" });
    const wrong = () => sql.unsafe(`select broadcaster_publish('${channel}', 'x', '["a"]')`);
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
    const backend = await open(new Address(database.log), {});
    await backend.connect!();
    const { items } = await backend.read!(channel, { after: Position.start, limit: count });
    await backend.close();
    assert(items.length > 500 && items.length < 1_200, `${items.length} in one page`);
  });

  Deno.test("postgres-stream: a key expires, and its row is removed", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(`${database.log}?retention=1s`);
    await broadcast.publish("other", "m", { key: "stays" });
    await assertExpires(broadcast, "channel");
    const keys = () => database.sql`select key from broadcaster_keys order by key`;
    await until(async () => (await keys()).length === 1, "the expired key is removed");
    assertEquals([...await keys()], [{ key: "stays" }]);
  });

  Deno.test("postgres-stream: a log that is emptied forgets its keys", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log);
    for (
      const statement of [
        "truncate broadcaster_log",
        "drop table broadcaster_log, broadcaster_meta",
      ]
    ) {
      const first = await broadcast.publish("channel", "m", { key: "k" });
      assertEquals(await broadcast.publish("channel", "m", { key: "k" }), first);
      await database.sql.unsafe(statement);
      const second = await broadcast.publish("channel", "again", { key: "k" });
      assert(second !== first);
      const past = await broadcast.history("channel");
      assertEquals(past.map(({ id }) => id), [second]);
    }
  });

  Deno.test("postgres-stream: what has a key travels with what has none", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log);
    const subscription = await broadcast.subscribe("channel");
    const keyed = numbered(500).map((one) => broadcast.publish("channel", one, { key: one }));
    const plain = publishAll(broadcast, "channel", numbered(500, "p"));
    const again = numbered(500).map((one) => broadcast.publish("channel", "no", { key: one }));
    assertEquals(await Promise.all(again), await Promise.all(keyed));
    await plain;
    assertEquals(await messages(subscription, 1_000), [...numbered(500), ...numbered(500, "p")]);
    const [counted] = await database.sql`select count(distinct xmin::text)::int as transactions
      from broadcaster_log`;
    assert(counted!.transactions <= 3, `${counted!.transactions} transactions`);
  });
}
