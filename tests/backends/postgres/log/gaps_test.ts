/** Logs that lost rows, were emptied, created again or set back. */

import { assertEquals } from "@std/assert";
import { open } from "../../../../backends/postgres/log.ts";
import { Address } from "../../../../core/backend/address.ts";
import type { Backend, Item, LogBreak, Page } from "../../../../core/backend/contract.ts";
import { Position } from "../../../../core/backend/position.ts";
import { Broadcast, type Gap } from "../../../../mod.ts";
import {
  messages,
  numbered,
  publishAll,
  take,
  uniqueChannel,
} from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { until } from "../../../services/service.ts";
import { TestDatabase } from "./database.ts";

/** Cases on retention, and on logs that were emptied, created again or set back. */
function gaps(server: string): void {
  Deno.test("postgres-stream: retention keeps the newest event, and who reads after a removed one is told", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(`${database.log}?retention=300ms`, { linger: 0 });
    const [channel, other] = [uniqueChannel(), uniqueChannel()];
    const ids = await Promise.all(numbered(5).map((one) => broadcast.publish(channel, one)));
    await broadcast.publish(other, "alone");
    await database.sql`select broadcaster.publish(${other}, 'of sql')`;
    await until(
      async () =>
        (await broadcast.history(channel)).length === 1 &&
        (await broadcast.history(other)).length === 1,
      "Cannot see that old events are removed",
    );
    await until(
      async () => (await database.sql`select from broadcaster.outbox`).length === 0,
      "Cannot see that the outbox is emptied",
    );
    assertEquals((await broadcast.history(channel)).map(({ message }) => message), ["m4"]);
    assertEquals((await broadcast.history(other)).map(({ message }) => message), ["of sql"]);
    const resumed = await broadcast.subscribe(channel, { after: ids[1]! });
    const [event] = await take(resumed, 1);
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

  Deno.test("postgres-stream: retention is forever where the URL says so, and 7 days where it is not", async () => {
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
    const backend = await open(new Address(database.log));
    await backend.connect!();
    const [channel, other] = [uniqueChannel(), uniqueChannel()];
    const { position, records } = await backend.tail(channel);
    const after = position!;
    assertEquals(await backend.read!(channel, { after, limit: 9 }), { from: after, items: [] });
    await write(backend, other, ["other"]);
    const [one, two, three, four] = await write(backend, channel, numbered(4));
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
    // A page tells the position that it starts after.
    const newest = await backend.read!(channel, { limit: 2 });
    assertEquals([String(newest.from), await shape(newest)], [String(two), ["m2", "m3"]]);
    const oldest = await backend.read!(channel, { before: three!, limit: 2 });
    assertEquals([String(oldest.from), await shape(oldest)], [String(after), ["m0", "m1"]]);
    await database.sql`delete from broadcaster.log where channel = ${channel} and id <=
      ${two!.newest!.at}`;
    const rest = ["break", "m2", "m3"];
    assertEquals(await shape(backend.read!(channel, { after, limit: 9 })), rest);
    assertEquals(await shape(backend.read!(channel, { after: one!, limit: 9 })), rest);
    assertEquals(await shape(backend.read!(channel, { after: three!, limit: 9 })), ["m3"]);
    assertEquals(await shape(backend.read!(other, { after, limit: 9 })), ["other"]);
    await records.cancel();
    await backend.close();
  });

  for (
    const [what, statement] of [
      ["emptied", "truncate broadcaster.log restart identity"],
      ["dropped", "drop table broadcaster.log, broadcaster.meta; drop sequence broadcaster.ids"],
      ["dropped but for its sequence and its epoch", "drop table broadcaster.log"],
    ] as const
  ) {
    Deno.test(`postgres-stream: a log that is ${what} is a gap, live and for who resumes`, async () => {
      await using database = await TestDatabase.create(server);
      await using broadcast = new Broadcast(database.log);
      const channel = uniqueChannel();
      const told = Promise.withResolvers<Gap>();
      const subscription = await broadcast.subscribe(channel, { onGap: told.resolve });
      const ids = await Promise.all(numbered(3).map((one) => broadcast.publish(channel, one)));
      await take(subscription, 3);
      const next = take(subscription, 1);
      await database.sql.unsafe(statement);
      const gap = { cause: "reset", after: ids[2]! } as const;
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
      assertEquals(events[0]!.gap, { cause: "reset", after: ids[0]! });
      assertEquals(await other.history(channel, { before: ids[0]! }), []);
    });
  }

  Deno.test("postgres-stream: a log that lost its end and went on differently is a gap", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log, { linger: 0 });
    const channel = uniqueChannel();
    const ids = await Promise.all(numbered(3).map((one) => broadcast.publish(channel, one)));
    await lose(database, channel, 1);
    await database.sql`select setval('broadcaster.ids', 1)`;
    const ahead = await broadcast.subscribe(channel, { after: ids[2]! });
    const [first] = await take(ahead, 1);
    assertEquals([first!.message, first!.gap], ["m0", { cause: "rollback", after: ids[2]! }]);
    ahead.close();
    await Promise.all(numbered(3, "n").map((one) => broadcast.publish(channel, one)));
    const subscription = await broadcast.subscribe(channel, { after: ids[1]! });
    const events = await take(subscription, 4);
    assertEquals(events.map(({ message }) => message), ["m0", "n0", "n1", "n2"]);
    assertEquals(events[0]!.gap, { cause: "rollback", after: ids[1]! });
  });

  Deno.test("postgres-stream: a tail goes on at the newest event that a log still has", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log);
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe(channel);
    const ids = await Promise.all(numbered(20).map((one) => broadcast.publish(channel, one)));
    await take(subscription, 20);
    const next = take(subscription, 2);
    const told = Promise.withResolvers<void>();
    broadcast.addEventListener("gap", () => told.resolve(), { once: true });
    await lose(database, channel, 17);
    await told.promise;
    await publishAll(broadcast, channel, ["new", "newer"]);
    const events = await next;
    assertEquals(events.map(({ message }) => message), ["new", "newer"]);
    assertEquals(events[0]!.gap, { cause: "rollback", after: ids[19]! });
  });

  Deno.test("postgres-stream: a pattern is told of a channel that lost its end, or was emptied", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log);
    const channel = `${uniqueChannel()}.a`;
    const causes: string[] = [];
    const subscription = await broadcast.subscribe({ pattern: channel.replace(/a$/, "*") }, {
      onGap: ({ cause }) => causes.push(cause),
    });
    await publishAll(broadcast, channel, numbered(3));
    assertEquals(await messages(subscription, 3), numbered(3));
    const again = take(subscription, 2);
    await lose(database, channel, 2);
    assertEquals((await again).map(({ message }) => message), ["m0", "m1"]);
    assertEquals(causes, ["rollback"]);
    const news = take(subscription, 1);
    await database.sql`truncate broadcaster.log`;
    await until(() => Promise.resolve(causes.length === 2), "Cannot see the second gap");
    await broadcast.publish(channel, "new");
    assertEquals((await news).map(({ message }) => message), ["new"]);
    assertEquals(causes, ["rollback", "reset"]);
  });

  Deno.test("postgres-stream: who has seen a row that is deleted by hand goes on, who has not is told nothing or of a gap", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log, { linger: 0 });
    const channel = uniqueChannel();
    const live = await broadcast.subscribe(channel);
    const ids = await Promise.all(numbered(6).map((one) => broadcast.publish(channel, one)));
    assertEquals(await messages(live, 6), numbered(6));
    const resumed = async (at: number): Promise<readonly unknown[]> => {
      await using other = new Broadcast(database.log);
      const subscription = await other.subscribe(channel, { after: ids[at]! });
      const events = await take(subscription, 1);
      return [events[0]!.message, events[0]!.gap];
    };
    await database.sql`delete from broadcaster.log where id = 3`;
    assertEquals(await resumed(2), ["m3", undefined]);
    assertEquals(await resumed(1), ["m3", undefined]);
    await database.sql`delete from broadcaster.log where id = 5`;
    assertEquals(await resumed(2), ["m3", { cause: "trimmed", after: ids[2]! }]);
    // The newest: a live subscription has seen it.
    await database.sql`delete from broadcaster.log where id = 6`;
    await broadcast.publish(channel, "m6");
    const [next] = await take(live, 1);
    assertEquals([next!.message, next!.gap], ["m6", undefined]);
    assertEquals(await resumed(5), ["m6", undefined]);
  });

  Deno.test("postgres-stream: the facts of a break are those of the tables", async () => {
    await using database = await TestDatabase.create(server);
    const { sql } = database;
    const backend = await open(new Address(database.log));
    await backend.connect!();
    const channel = uniqueChannel();
    const places = await write(backend, channel, numbered(6));
    const [one, two, three, four, five, six] = places;
    const [head] = six!.places;

    /** Reads after a position: the break, and the payloads after it. */
    async function found(after: Position): Promise<[LogBreak | undefined, string[]]> {
      const page = await backend.read!(channel, { after, limit: 9 });
      return [page.items.find((item) => item.kind === "break"), await shape(page)];
    }

    const known = { kind: "break", recreated: false } as const;
    // All came back, the newest too.
    for (const position of places) assertEquals((await found(position))[0], undefined);

    // The oldest were removed.
    await sql`delete from broadcaster.log where id < ${three!.newest!.at}`;
    assertEquals(await found(one!), [
      { ...known, head: head!, removed: "unknown" },
      ["break", "m2", "m3", "m4", "m5"],
    ]);
    assertEquals(await found(Position.start), [
      { kind: "break", removed: "some" },
      ["break", "m2", "m3", "m4", "m5"],
    ]);
    // The newest of those: nothing after it was removed.
    assertEquals(await found(two!), [undefined, ["m2", "m3", "m4", "m5"]]);
    assertEquals((await found(three!))[0], undefined);

    // One was removed between an older and a newer one.
    await sql`delete from broadcaster.log where id = ${four!.newest!.at}`;
    assertEquals(await found(four!), [undefined, ["m4", "m5"]]);
    assertEquals(await found(two!), [
      { ...known, head: head!, removed: "unknown" },
      ["break", "m2", "m4", "m5"],
    ]);

    // Another row has its id.
    const replaced = { ...known, replaced: true, head: head!, removed: "unknown" } as const;
    await sql`update broadcaster.log set created = created + interval '1 ms'
      where id = ${five!.newest!.at}`;
    assertEquals(await found(five!), [replaced, ["break", "m2", "m4", "m5"]]);

    // One is missing between an older and a newer one, and was not removed.
    await sql`delete from broadcaster.log where id = ${five!.newest!.at}`;
    await sql`delete from broadcaster.trimmed`;
    assertEquals(await found(five!), [replaced, ["break", "m2", "m5"]]);

    // The newest was removed.
    await sql`delete from broadcaster.log where id > ${three!.newest!.at}`;
    assertEquals(await found(six!), [undefined, []]);
    assertEquals(await found(five!), [
      { ...known, head: head!, removed: "unknown" },
      ["break", "skip"],
    ]);
    assertEquals((await found(three!))[0], undefined);

    // The newest are missing, and were not removed.
    await sql`delete from broadcaster.trimmed`;
    assertEquals(await found(six!), [
      { ...known, head: three!.newest!, removed: "unknown" },
      ["break", "m2"],
    ]);

    // Nothing is left: a skip tells the place where the log goes on.
    await sql`delete from broadcaster.log`;
    const gone = await backend.read!(channel, { after: two!, limit: 9 });
    assertEquals(gone.items, [
      { ...known, head: three!.newest!, removed: "unknown" },
      { kind: "skip", place: three!.newest! },
    ]);
    await sql`delete from broadcaster.trimmed`;
    const { items: [first, skip, ...rest] } = await backend.read!(channel, {
      after: two!,
      limit: 9,
    });
    const start = { shard: 0, at: 0, sub: 0, fingerprint: two!.newest!.fingerprint.slice(0, 8) };
    assertEquals(first, { ...known, head: start, removed: "unknown" });
    assertEquals([skip, rest], [{ kind: "skip", place: start }, []]);

    // Another incarnation.
    await sql`truncate broadcaster.log`;
    const [seven] = await write(backend, channel, ["new"]);
    assertEquals(await found(three!), [
      { kind: "break", recreated: true, head: seven!.newest!, removed: "unknown" },
      ["break", "new"],
    ]);
    await backend.close();
  });
}

/** Loses the end of a channel, as a server that lags: it has no trace of what it lacks. */
async function lose({ sql }: TestDatabase, channel: string, after: number): Promise<void> {
  await sql.begin(async (sql) => {
    await sql`delete from broadcaster.log where channel = ${channel} and id > ${after}`;
    await sql`delete from broadcaster.trimmed where channel = ${channel}`;
  });
}

/** Publishes in one turn. */
async function write(
  backend: Backend,
  channel: string,
  payloads: readonly string[],
): Promise<Position[]> {
  const messages = payloads.map((payload) => ({ channel, payload }));
  return await Promise.all(backend.publish(messages) as Promise<Position>[]);
}

/** The payloads of a page, and the kinds of its other items. */
async function shape(page: Promise<Page> | Page): Promise<string[]> {
  const decoder = new TextDecoder();
  const shown = (item: Item) =>
    item.kind === "record" ? decoder.decode(item.payload as Uint8Array) : item.kind;
  return (await page).items.map(shown);
}

withBroker("postgres", gaps);
