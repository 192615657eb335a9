/** What an application publishes within its own transactions. */

import { assert, assertEquals } from "@std/assert";
import type { Sql } from "postgres";
import { Broadcast, bytes } from "../../../../mod.ts";
import { messages, numbered, take, uniqueChannel } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { TestDatabase } from "./database.ts";
import { publish } from "./outbox.ts";

const LEVELS = ["read committed", "repeatable read", "serializable"] as const;
/** How many transactions run at once. */
const TRANSACTIONS = 36;

/** Cases on `broadcaster.publish`. */
function transactions(server: string): void {
  Deno.test("postgres-stream: SQL publishes texts and bytes, as they are", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log, { codec: bytes() });
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe(channel);
    const all = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    await database.sql.unsafe(`select broadcaster.publish('${channel}', 'a''b ü 🎉')`);
    await database.sql`select broadcaster.publish(${channel}, ${all})`;
    await database.sql.unsafe(`select broadcaster.publish('${channel}', '\\x00ff'::bytea)`);
    const events = await messages(subscription, 3) as Uint8Array[];
    assertEquals(new TextDecoder().decode(events[0]), "a'b ü 🎉");
    assertEquals([...events[1]!], [...all]);
    assertEquals([...events[2]!], [0, 255]);
  });

  Deno.test("postgres-stream: rolled back is never sent, in part or as a whole", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log);
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe(channel);
    await database.sql.begin(async (sql) => {
      await publish(sql, channel, "one");
      await sql.savepoint(async (inner) => {
        await publish(inner, channel, "never");
        await publish(inner, uniqueChannel(), "never");
        throw new Error("back");
      }).catch(() => {});
      await publish(sql, channel, "two");
    });
    await database.sql.begin(async (sql) => {
      await publish(sql, channel, "never");
      throw new Error("back");
    }).catch(() => {});
    await publish(database.sql, channel, "three");
    assertEquals(await messages(subscription, 3), ["one", "two", "three"]);
    assertEquals((await broadcast.history(channel)).length, 3);
  });

  for (const level of LEVELS) {
    Deno.test(
      `postgres-stream: ${level}: ${TRANSACTIONS} transactions over two channels in any order all commit and arrive`,
      async () => {
        await using database = await TestDatabase.create(server);
        await using broadcast = new Broadcast(database.log);
        const channels = [uniqueChannel(), uniqueChannel()];
        const subscriptions = await Promise.all(channels.map((one) => broadcast.subscribe(one)));
        const library = Promise.all(
          numbered(50).map(async (message, number) => {
            await broadcast.publish(channels[number % 2]!, message);
          }),
        );
        // All have published before the first of them commits.
        let open = 0;
        const allOpen = Promise.withResolvers<void>();
        const outcomes = await Promise.allSettled(
          numbered(TRANSACTIONS, "t").map((message, number) =>
            database.sql.begin(`isolation level ${level}`, async (sql) => {
              for (const one of number % 2 ? channels : channels.toReversed()) {
                await publish(sql, one, message);
              }
              if (++open === TRANSACTIONS) allOpen.resolve();
              await allOpen.promise;
              if (number % 6 === 5) throw new Error("back");
            })
          ),
        );
        await library;
        const reasons = outcomes.flatMap((one) => one.status === "rejected" ? [one.reason] : []);
        assertEquals(reasons.map(({ message }) => message), Array(6).fill("back"));
        const committed = numbered(TRANSACTIONS, "t").filter((_, number) => number % 6 !== 5);
        for (const [index, subscription] of subscriptions.entries()) {
          const events = await take(subscription, committed.length + 25);
          assertEquals(events.map(({ gap }) => gap).filter(Boolean), []);
          const received = events.map(({ message }) => message as string);
          assertEquals(received.filter((one) => one.startsWith("t")).sort(), committed.toSorted());
          const published = numbered(50).filter((_, number) => number % 2 === index);
          assertEquals(received.filter((one) => one.startsWith("m")), published);
          assertEquals(await broadcast.history(channels[index]!), events);
        }
      },
    );
  }

  Deno.test("postgres-stream: a transaction that stays open holds nobody up, and comes when it commits", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log);
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe(channel);
    await database.sql.begin(async (sql) => {
      await publish(sql, channel, "slow");
      await broadcast.publish(channel, "library");
      await publish(database.sql, channel, "other");
      assertEquals(await messages(subscription, 2), ["library", "other"]);
    });
    assertEquals(await messages(subscription, 1), ["slow"]);
  });

  Deno.test("postgres-stream: an id that commits late is never passed by", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log);
    const [channel, other] = [uniqueChannel(), uniqueChannel()];
    const subscription = await broadcast.subscribe(channel);
    let later: Promise<unknown> | undefined;
    await database.sql.begin(async (sql) => {
      await publish(sql, channel, "first");
      // Numbered now, before its commit: it holds the lowest id.
      await sql`set constraints all immediate`;
      await broadcast.publish(other, "of another channel");
      const settled = { yet: false };
      later = broadcast.publish(channel, "second").then(() => settled.yet = true);
      await waiting(database.sql);
      assertEquals(settled.yet, false);
    });
    await later;
    assertEquals(await messages(subscription, 2), ["first", "second"]);
  });

  Deno.test("postgres-stream: the order of ids is the order of commit, for any reader", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log);
    await using other = new Broadcast(database.log);
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe(channel);
    const count = 600;
    const publishing = Promise.all(
      numbered(count).map((message, number) => {
        if (number % 3 === 0) return broadcast.publish(channel, message);
        if (number % 3 === 1) return other.publish(channel, message);
        return publish(database.sql, channel, message);
      }),
    );
    // What a reader sees that only ever asks for more than the last id it has seen.
    const seen: number[] = [];
    while (seen.length < count) {
      const rows = await database.sql`select id from broadcaster.log
        where channel = ${channel} and id > ${seen.at(-1) ?? 0} order by id`;
      seen.push(...rows.map(({ id }) => Number(id)));
    }
    await publishing;
    const events = await take(subscription, count);
    assertEquals(new Set(events.map(({ message }) => message)).size, count);
    assertEquals(events.map(({ gap }) => gap).filter(Boolean), []);
    const [left] = await database.sql`select count(*)::int as count from broadcaster.log
      where channel = ${channel} and not id = any(${seen})`;
    assertEquals(left!.count, 0);
    assert(seen.every((id, index) => index === 0 || id > seen[index - 1]!));
  });
}

/** Resolves once somebody waits for the lock of a channel. */
async function waiting(sql: Sql): Promise<void> {
  for (;;) {
    const rows = await sql`select from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`;
    if (rows.length > 0) return;
  }
}

withBroker("postgres", transactions);
