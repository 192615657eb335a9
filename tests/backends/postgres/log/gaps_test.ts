/** What is not in the log any more, or not in this one. */

import { assertEquals } from "@std/assert";
import { open } from "../../../../backends/postgres/log.ts";
import { Address } from "../../../../core/backend/address.ts";
import type { Page } from "../../../../core/backend/contract.ts";
import type { Position } from "../../../../core/backend/position.ts";
import { Broadcast, type Gap } from "../../../../mod.ts";
import { messages, numbered, take, uniqueChannel } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { until } from "../../../services/service.ts";
import { TestDatabase } from "./database.ts";

/** Cases on retention, and on logs that were emptied, made anew or set back. */
function gaps(server: string): void {
  Deno.test("postgres-stream: retention keeps the newest event, and whoever is behind is told", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(`${database.log}?retention=300ms`, { linger: 0 });
    const [channel, other] = [uniqueChannel(), uniqueChannel()];
    const ids = await Promise.all(numbered(5).map((one) => broadcast.publish(channel, one)));
    await broadcast.publish(other, "alone");
    await database.sql`select broadcaster_publish(${other}, 'of sql')`;
    await until(
      async () =>
        (await broadcast.history(channel)).length === 1 &&
        (await broadcast.history(other)).length === 1,
      "Cannot see that old events are removed",
    );
    await until(
      async () => (await database.sql`select from broadcaster_outbox`).length === 0,
      "Cannot see that the outbox is emptied",
    );
    assertEquals((await broadcast.history(channel)).map(({ message }) => message), ["m4"]);
    assertEquals((await broadcast.history(other)).map(({ message }) => message), ["of sql"]);
    const behind = await broadcast.subscribe(channel, { after: ids[1]! });
    const [event] = await take(behind, 1);
    assertEquals([event!.message, event!.gap], ["m4", { cause: "trimmed", after: ids[1]! }]);
    const abreast = await broadcast.subscribe(channel, { after: ids[4]! });
    await broadcast.publish(channel, "new");
    const [next] = await take(abreast, 1);
    assertEquals([next!.message, next!.gap], ["new", undefined]);
    await until(
      async () => (await broadcast.history(channel)).every(({ message }) => message === "new"),
      "Cannot see that the event that was kept makes way for a newer one",
    );
    assertEquals((await broadcast.history(channel)).length, 1);
  });

  Deno.test("postgres-stream: retention is forever where it is said, and 7 days where it is not", async () => {
    await using database = await TestDatabase.create(server);
    const channel = uniqueChannel();
    for (const parameter of ["", "?retention=forever", "?retention=0", "?retention=2d"]) {
      await using broadcast = new Broadcast(database.log + parameter);
      await broadcast.publish(channel, parameter);
    }
    await using broadcast = new Broadcast(database.log);
    assertEquals((await broadcast.history(channel)).length, 4);
  });

  Deno.test("postgres-stream: a reader from before the first event is told only if one was removed", async () => {
    await using database = await TestDatabase.create(server);
    const backend = await open(new Address(database.log), {});
    await backend.connect!();
    const [channel, other] = [uniqueChannel(), uniqueChannel()];
    const { position, records } = await backend.tail(channel);
    const after = position!;
    assertEquals(await backend.read!(channel, { after, limit: 9 }), { from: after, items: [] });
    await backend.publish(other, ["other"]);
    const written = backend.publish(channel, numbered(4)) as Promise<Position>[];
    const [one, two, three, four] = await Promise.all(written);
    assertEquals(await shape(backend.read!(channel, { after, limit: 9 })), numbered(4));
    assertEquals(await shape(backend.read!(channel, { after, limit: 2 })), ["m0", "m1"]);
    assertEquals(await shape(backend.read!(channel, { after, before: three!, limit: 9 })), [
      "m0",
      "m1",
    ]);
    assertEquals(await shape(backend.read!(channel, { after: two!, before: one!, limit: 9 })), []);
    assertEquals(await shape(backend.read!(channel, { after: one!, before: four!, limit: 1 })), [
      "m1",
    ]);
    // A page says what it begins behind.
    const newest = await backend.read!(channel, { limit: 2 });
    assertEquals([String(newest.from), await shape(newest)], [String(two), ["m2", "m3"]]);
    const oldest = await backend.read!(channel, { before: three!, limit: 2 });
    assertEquals([String(oldest.from), await shape(oldest)], [String(after), ["m0", "m1"]]);
    await database.sql`delete from broadcaster_log where channel = ${channel} and id <=
      ${two!.newest!.at}`;
    const rest = ["trimmed", "m2", "m3"];
    assertEquals(await shape(backend.read!(channel, { after, limit: 9 })), rest);
    assertEquals(await shape(backend.read!(channel, { after: one!, limit: 9 })), rest);
    assertEquals(await shape(backend.read!(channel, { after: three!, limit: 9 })), ["m3"]);
    assertEquals(await shape(backend.read!(other, { after, limit: 9 })), ["other"]);
    await records.cancel();
    await backend.close();
  });

  for (
    const [what, statement] of [
      ["emptied", "truncate broadcaster_log restart identity"],
      ["dropped", "drop table broadcaster_log, broadcaster_meta; drop sequence broadcaster_ids"],
      ["dropped but for its sequence and its epoch", "drop table broadcaster_log"],
    ] as const
  ) {
    Deno.test(`postgres-stream: a log that is ${what} is told live, and to whoever comes back`, async () => {
      await using database = await TestDatabase.create(server);
      await using broadcast = new Broadcast(database.log);
      const channel = uniqueChannel();
      const told = Promise.withResolvers<Gap>();
      const subscription = await broadcast.subscribe(channel, { onGap: told.resolve });
      const ids = await Promise.all(numbered(3).map((one) => broadcast.publish(channel, one)));
      await take(subscription, 3);
      const next = take(subscription, 1);
      await database.sql.unsafe(statement);
      const gap = { cause: "epoch", after: ids[2]! } as const;
      assertEquals(await told.promise, gap);
      // Its ids are given again now.
      const again = await Promise.all(
        numbered(3, "n").map((one) => broadcast.publish(channel, one)),
      );
      const [event] = await next;
      assertEquals([event!.message, event!.id, event!.gap], ["n0", again[0]!, gap]);
      assertEquals(await messages(subscription, 2), ["n1", "n2"]);
      await using other = new Broadcast(database.log);
      const resumed = await other.subscribe(channel, { after: ids[0]! });
      const events = await take(resumed, 3);
      assertEquals(events.map(({ message }) => message), numbered(3, "n"));
      assertEquals(events[0]!.gap, { cause: "epoch", after: ids[0]! });
      assertEquals(await other.history(channel, { before: ids[0]! }), []);
    });
  }

  Deno.test("postgres-stream: a log that was set back and went on otherwise is told", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log, { linger: 0 });
    const channel = uniqueChannel();
    const ids = await Promise.all(numbered(3).map((one) => broadcast.publish(channel, one)));
    await database.sql`delete from broadcaster_log where channel = ${channel} and id >= 2`;
    await database.sql`select setval('broadcaster_ids', 1)`;
    const ahead = await broadcast.subscribe(channel, { after: ids[2]! });
    const [first] = await take(ahead, 1);
    assertEquals([first!.message, first!.gap], ["m0", { cause: "ahead", after: ids[2]! }]);
    ahead.close();
    await Promise.all(numbered(3, "n").map((one) => broadcast.publish(channel, one)));
    const subscription = await broadcast.subscribe(channel, { after: ids[1]! });
    const events = await take(subscription, 4);
    assertEquals(events.map(({ message }) => message), ["m0", "n0", "n1", "n2"]);
    assertEquals(events[0]!.gap, { cause: "epoch", after: ids[1]! });
  });
}

/** The messages of a page, and the causes of its gaps. */
async function shape(page: Promise<Page> | Page): Promise<string[]> {
  const decoder = new TextDecoder();
  return (await page).items.map((item) =>
    item.payload === undefined
      ? "cause" in item ? item.cause : "passed"
      : decoder.decode(item.payload as Uint8Array)
  );
}

withBroker("postgres", gaps);
