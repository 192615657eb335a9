import { assert, assertEquals, assertThrows } from "@std/assert";
import { Redis } from "ioredis";
import { Broadcast } from "../../../../mod.ts";
import { messages, uniqueChannel } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { start } from "../../../services/redis.ts";
import { closed, TEST_KEYS } from "./stream.ts";

const CHANNELS = 1_000;

withBroker("redis", (url) => {
  // How long it takes is for `deno task bench`: this holds however busy the machine is.
  Deno.test("redis-stream: an event reads its own stream, however many channels there are", async () => {
    await using server = await start();
    await using broadcast = new Broadcast(server.url.replace("redis:", "redis-stream:"));
    const names = Array.from({ length: CHANNELS }, uniqueChannel);
    const subscriptions = await Promise.all(names.map((name) => broadcast.subscribe(name)));
    const admin = new Redis(server.url);
    await Promise.all(names.map((name) => broadcast.publish(name, "first")));
    await Promise.all(subscriptions.map((subscription) => messages(subscription, 1)));
    const before = await readsOf(admin);
    // Two in a turn: the wake of one alone would carry it.
    const rest = ["second", "third"];
    for (const name of names) await Promise.all(rest.map((one) => broadcast.publish(name, one)));
    const heard = await Promise.all(subscriptions.map((one) => messages(one, 2)));
    assertEquals(heard, names.map(() => rest));
    const reads = await readsOf(admin) - before;
    // A few for each event: its wake, and what the sweep finds meanwhile. Reading all streams for
    // each would be a thousand times as many.
    assert(reads >= CHANNELS && reads <= 5 * CHANNELS, `${reads} reads for ${CHANNELS} events`);
    await closed(admin);
  });

  // The suite on other runtimes has nothing to clean with, and a run that is ended has no time to.
  Deno.test("redis-stream: what other tests leave behind expires", async () => {
    const client = new Redis(url);
    let cursor = "0";
    do {
      const [next, keys] = await client.scan(cursor, "MATCH", TEST_KEYS, "COUNT", 1_000);
      const own = keys.filter((key) => /^test-[0-9a-z]{8}-[0-9a-f]{8}-\d+/i.test(key));
      await Promise.all(own.map((key) => client.expire(key, 600)));
      cursor = next;
    } while (cursor !== "0");
    await closed(client);
  });
});

Deno.test("redis-stream: a number of events that is none is refused", async () => {
  await using broadcast = new Broadcast("redis-stream://localhost?maxlen=many");
  let message = "";
  await broadcast.connect().catch((error) => message = error.message);
  assertEquals(
    message,
    'Cannot open "redis-stream://localhost": parameter "maxlen" must be a whole number of at least 0, it is "many"',
  );
  assertThrows(() => new Broadcast("redis-stream://localhost?history=1"), TypeError, "maxlen");
});

/** How often streams were read. */
async function readsOf(admin: Redis): Promise<number> {
  const stats = await admin.info("commandstats");
  return Number(/^cmdstat_xrange:calls=(\d+)/m.exec(stats)?.[1] ?? 0);
}
