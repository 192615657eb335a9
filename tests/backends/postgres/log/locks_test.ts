/** What others lock: who can, and what it stops. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Sql, TransactionSql } from "postgres";
import { Broadcast } from "../../../../mod.ts";
import { messages, numbered, uniqueChannel } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { TestDatabase } from "./database.ts";
import { publish } from "./outbox.ts";

/** Cases on locks. */
function locks(server: string): void {
  Deno.test("postgres-stream: a role without rights can lock nothing that publishing needs", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log);
    const channel = uniqueChannel();
    await broadcast.publish(channel, "before");
    const stranger = database.as(await database.role("stranger"));
    const other = database.as(await database.role("subscriber"));
    await database.sql.unsafe(`grant usage on schema broadcaster to public;
      grant select on broadcaster.log, broadcaster.meta, broadcaster.trimmed to public`);
    // Whatever number a lock has, in both forms.
    for (const client of [stranger, other]) {
      const held = await client`select distinct locktype from pg_locks where database =
        (select oid from pg_database where datname = current_database()) and locktype = 'advisory'`;
      assertEquals([...held], []);
      for (
        const lock of [
          "select from broadcaster.locks where n = 0 for update",
          "lock table broadcaster.locks",
          "lock table broadcaster.log in exclusive mode",
          "comment on schema broadcaster is 'mine'",
          "select broadcaster.store(null, null)",
        ]
      ) await assertRejects(async () => await client.unsafe(lock), Error, "");
    }
    await stranger`select pg_advisory_lock(1651666785, hashtext(${channel}))`;
    await stranger`select pg_advisory_lock(1651666786, 0)`;
    // Whoever reads can lock only what readers lock.
    await other.unsafe("begin; select from broadcaster.log; select from broadcaster.meta");
    await broadcast.publish(channel, "after");
    await using second = new Broadcast(database.log);
    assertEquals((await second.history(channel)).length, 2);
    await other.unsafe("rollback");
  });

  Deno.test("postgres-stream: a locked channel waits, in its order, and others go on", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log);
    const locked = uniqueChannel();
    const others = numbered(20, uniqueChannel());
    const subscription = await broadcast.subscribe(locked);
    const settled: string[] = [];
    const published: Promise<unknown>[] = [];
    await holding(database.sql, locked, async () => {
      for (let round = 0; round < 3; round++) {
        const turn = [locked, ...others].map(async (channel) => {
          const options = round === 1 ? { idempotencyKey: `${round}` } : {};
          await broadcast.publish(channel, `m${round}`, options);
          settled.push(channel);
        });
        published.push(...turn);
        await Promise.all(turn.slice(1));
      }
      assertEquals(settled.length, 60);
      assert(!settled.includes(locked));
    });
    await Promise.all(published);
    await broadcast.publish(locked, "last");
    assertEquals(await messages(subscription, 5), ["held", "m0", "m1", "m2", "last"]);
    assertEquals((await broadcast.history(others[0]!)).map(({ message }) => message), numbered(3));
  });

  Deno.test("postgres-stream: a message to a channel that stays locked is not published", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log, { timeout: 700 });
    const [locked, free] = [uniqueChannel(), uniqueChannel()];
    await broadcast.publish(locked, "before");
    const refused: string[] = [];
    await holding(database.sql, locked, async () => {
      const outcomes = numbered(3).map((one) =>
        broadcast.publish(locked, one).catch((error) => error.name)
      );
      await broadcast.publish(free, "free");
      for (const [at, outcome] of (await Promise.all(outcomes)).entries()) {
        // Not if the time is over while it asks once more.
        if (outcome === "ConnectionError") refused.push(`m${at}`);
        else assertEquals(outcome, "OutcomeUnknownError");
      }
      assertEquals(broadcast.state, "connected");
    });
    await broadcast.publish(locked, "after");
    const past = (await broadcast.history(locked)).map(({ message }) => message as string);
    assertEquals(past.filter((one) => refused.includes(one)), []);
    assertEquals(past.filter((one) => !/^m/.test(one)), ["before", "held", "after"]);
    assert(refused.length > 0, "all outcomes are unknown");
  });

  Deno.test("postgres-stream: while a table is locked publishing and reading wait, and nothing is lost", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log);
    const channels = numbered(3, uniqueChannel());
    const subscriptions = await Promise.all(channels.map((one) => broadcast.subscribe(one)));
    const states: string[] = [];
    broadcast.addEventListener("statechange", () => void states.push(broadcast.state));
    let published: Promise<unknown> | undefined;
    let history: Promise<unknown> | undefined;
    await database.sql.begin(async (sql) => {
      await sql`lock table broadcaster.log in access exclusive mode`;
      published = Promise.all(
        numbered(9).map((one, at) => broadcast.publish(channels[at % 3]!, one)),
      );
      history = broadcast.history(channels[0]!);
      // Both have been refused once.
      await refusals(database.sql, 4);
    });
    await Promise.all([published, history]);
    for (const [at, subscription] of subscriptions.entries()) {
      assertEquals(await messages(subscription, 3), [at, at + 3, at + 6].map((n) => `m${n}`));
    }
    assertEquals(states, []);
  });

  Deno.test("postgres-stream: the commit of an application waits as long as it takes", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log);
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe(channel);
    let committed: Promise<unknown> | undefined;
    await holding(database.sql, channel, async () => {
      committed = publish(database.sql, channel, "of sql");
      // By then the library has been refused several times.
      const late = broadcast.publish(channel, "late");
      await refusals(database.sql, 3);
      committed = Promise.all([committed, late]);
    });
    await committed;
    assertEquals(new Set(await messages(subscription, 3)), new Set(["held", "of sql", "late"]));
  });

  Deno.test("postgres-stream: an application that has published and does nothing stops nobody", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log);
    const channel = uniqueChannel();
    await broadcast.connect();
    await database.sql.begin(async (sql) => {
      await publish(sql, channel, "idle");
      await Promise.all(numbered(50).map((one) => broadcast.publish(channel, one)));
      assertEquals((await broadcast.history(channel)).length, 50);
    });
    const past = await broadcast.history(channel, { limit: 1 });
    assertEquals(past.map(({ message }) => message), ["idle"]);
  });

  Deno.test("postgres-stream: a log without further ids refuses, and says so", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log);
    await broadcast.publish("chatroom", "first");
    await database.sql`select setval('broadcaster.ids', ${Number.MAX_SAFE_INTEGER - 1})`;
    const last = await broadcast.publish("chatroom", "last");
    const error = await assertRejects(() => broadcast.publish("chatroom", "none"));
    assertEquals(
      (error as Error).message,
      'Cannot publish to "chatroom": nextval: reached maximum value of sequence "ids" (9007199254740991)',
    );
    const past = await broadcast.history("chatroom");
    assertEquals(past.map(({ message }) => message), ["first", "last"]);
    assertEquals(past[1]!.id, last);
  });
}

/** Runs while a transaction of an application holds a channel. */
async function holding(sql: Sql, channel: string, run: () => Promise<void>): Promise<void> {
  await sql.begin(async (sql: TransactionSql) => {
    await publish(sql, channel, "held");
    await sql`set constraints all immediate`;
    await run();
  });
}

/** Resolves once as many statements have been refused for a lock since its call. */
async function refusals(sql: Sql, count: number): Promise<void> {
  const rolledBack = async () => {
    await sql`select pg_stat_clear_snapshot()`;
    const [row] = await sql`select xact_rollback::int as count from pg_stat_database
      where datname = current_database()`;
    return row!.count as number;
  };
  const start = await rolledBack();
  while (await rolledBack() < start + count);
}

withBroker("postgres", locks);
