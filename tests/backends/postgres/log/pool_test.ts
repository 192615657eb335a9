/** Several sessions that read the past. */

import { assertEquals, assertThrows } from "@std/assert";
import postgres from "postgres";
import { postgresStream } from "../../../../backends/postgres/log.ts";
import { Broadcast } from "../../../../mod.ts";
import { take, uniqueChannel } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { until } from "../../../services/service.ts";
import { TestDatabase } from "./database.ts";

function pool(server: string): void {
  Deno.test("postgres-stream: as many sessions read the past as the pool says, and no more", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(`${database.log}?pool=3`);
    const channels = Array.from({ length: 40 }, uniqueChannel);
    await Promise.all(channels.map((channel) => broadcast.publish(channel, channel)));
    const histories = await Promise.all(channels.map((channel) => broadcast.history(channel)));
    assertEquals(histories.flat().map(({ message }) => message), channels);
    // One that writes, and the pool; nobody listens.
    assertEquals((await sessions(database)).length, 1 + 3);
    await broadcast.subscribe(channels[0]!);
    assertEquals((await sessions(database)).length, 1 + 3 + 1);
  });

  Deno.test("postgres-stream: a session of the pool that is lost is replaced, and nothing with it", async () => {
    await using database = await TestDatabase.create(server);
    await using broadcast = new Broadcast(`${database.log}?pool=1`);
    const channel = uniqueChannel();
    const first = await broadcast.publish(channel, "a");
    const [writing] = await sessions(database);
    await broadcast.history(channel);
    const reading = (await sessions(database)).find((pid) => pid !== writing);
    await database.sql`select pg_terminate_backend(${reading!}::int)`;
    await until(async () => !(await sessions(database)).includes(reading!), "It lives on");
    await broadcast.publish(channel, "b");
    const [event] = await take(await broadcast.subscribe(channel, { after: first! }), 1);
    assertEquals([event!.message, event!.gap, broadcast.state], ["b", undefined, "connected"]);
  });

  Deno.test("postgres-stream: a client that is given has a pool of its own", async () => {
    const client = postgres(server);
    for (const given of [{ pool: 3 }, { url: "postgres-stream://?pool=3" }]) {
      assertThrows(
        () => postgresStream({ sql: client, ...given }),
        TypeError,
        'Cannot use parameter "pool": a client is given, which has its own',
      );
    }
    await client.end();
  });
}

/** The sessions of broadcasts, by their process. */
async function sessions({ sql }: TestDatabase): Promise<number[]> {
  const rows = await sql`select pid from pg_stat_activity
    where application_name = 'broadcaster' and datname = current_database() order by pid`;
  return rows.map(({ pid }) => pid);
}

withBroker("postgres", pool);
