/** Rows that the library would never write, and messages that the server refuses. */

import { assertEquals, assertRejects } from "@std/assert";
import { Broadcast, RefusedError } from "../../../../mod.ts";
import { messages, numbered, take, uniqueChannel } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { TestDatabase } from "./database.ts";

/** Values of a row that a number of JavaScript, or the client, could not take. */
const ROWS = {
  "an id past 2^53": "('c', 9007199254740992, '', null, now())",
  "the greatest id": "('c', 9223372036854775807, '', null, now())",
  "a negative id": "('c', -1, '', null, now())",
  "the id 0": "('c', 0, '', null, now())",
  "no payload": "('c', 1, null, null, now())",
  "no channel": "(null, 1, '', null, now())",
  "a name of 1,025 bytes": "(repeat('x', 1025), 1, '', null, now())",
  "headers that are no object": "('c', 1, '', '[1]', now())",
  "headers of 2 MiB": "('c', 1, '', jsonb_build_object('a', repeat('x', 2097152)), now())",
  "the time infinity": "('c', 1, '', null, 'infinity')",
  "the time -infinity": "('c', 1, '', null, '-infinity')",
  "a time in the year 294276": "('c', 1, '', null, '294276-12-31')",
  "a time before 1970": "('c', 1, '', null, '1969-12-31Z')",
};

/** Cases on hostile rows. */
function hostileRows(server: string): void {
  Deno.test("postgres-stream: the table refuses rows that could not be read", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log);
    await broadcast.publish("c", "fine");
    for (const row of Object.values(ROWS)) {
      await assertRejects(
        async () => await database.sql.unsafe(`insert into broadcaster.log values ${row}`),
        Error,
        "violates",
      );
    }
    for (
      const call of ["repeat('x', 1025), 'm'", "null, 'm'", "'c', null::text", "'c', 'm', '7'"]
    ) {
      await assertRejects(
        async () => await database.sql.unsafe(`select broadcaster.publish(${call})`),
        Error,
        "violates",
      );
    }
    assertEquals((await broadcast.history("c")).map(({ message }) => message), ["fine"]);
  });

  Deno.test("postgres-stream: rows of a table without its rules stop no other channel", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log, { linger: 0 });
    const [far, endless, fine] = [uniqueChannel(), uniqueChannel(), uniqueChannel()];
    const subscriptions = await Promise.all(
      [far, endless, fine].map((channel) => broadcast.subscribe(channel)),
    );
    await database.sql.unsafe("alter table broadcaster.log drop constraint log_row");
    const ended = assertRejects(async () => void await take(subscriptions[1]!, 1), RefusedError);
    await database.sql.unsafe(`insert into broadcaster.log values
      ('${far}', 9007199254740993, 'far', null, now()),
      ('${far}', -5, 'negative', null, now()),
      ('${endless}', 1, 'endless', null, 'infinity')`);
    await ended;
    for (const one of numbered(3)) {
      await broadcast.publish(far, one);
      await broadcast.publish(fine, one);
    }
    assertEquals(await messages(subscriptions[0]!, 3), numbered(3));
    assertEquals(await messages(subscriptions[2]!, 3), numbered(3));
    const resumed = await broadcast.subscribe(far, { history: 2 });
    assertEquals(await messages(resumed, 2), ["m1", "m2"]);
    await assertRejects(() => broadcast.history(endless), RefusedError);
    const error = await assertRejects(() => broadcast.subscribe(endless), RefusedError);
    assertEquals(/infin|range/.test(error.message), true);
  });

  Deno.test("postgres-stream: a message that the server refuses is refused alone", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log);
    await broadcast.connect();
    await database.sql`alter table broadcaster.log add check (payload <> 'bad')`;
    const outcomes = await Promise.all(
      numbered(300).flatMap((one, at) => [one, ...at % 100 === 50 ? ["bad"] : []]).map((one, at) =>
        broadcast.publish(`channel ${at % 3}`, one).then(() => "stored", (error) => error.name)
      ),
    );
    assertEquals(outcomes.filter((one) => one === "stored").length, 300);
    assertEquals(outcomes.filter((one) => one === "RefusedError").length, 3);
    for (let n = 0; n < 3; n++) {
      const past = await broadcast.history(`channel ${n}`);
      const order = past.map(({ message }) => Number((message as string).slice(1)));
      assertEquals(order, order.toSorted((one, other) => one - other));
    }
  });

  Deno.test("postgres-stream: headers of others are read, however deep they are", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(database.log);
    const subscription = await broadcast.subscribe("c");
    const depth = 2_000;
    const deep = `{"n": 1e300, "deep": ${"[".repeat(depth)}${"]".repeat(depth)}}`;
    await database.sql`select broadcaster.publish('c', 'm', ${deep}::text::jsonb)`;
    const [event] = await take(subscription, 1);
    assertEquals(Object.keys(event!.headers!), ["n"]);
  });
}

withBroker("postgres", hostileRows);
