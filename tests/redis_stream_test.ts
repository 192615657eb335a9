import { assert, assertEquals, assertThrows } from "@std/assert";
import { Redis } from "ioredis";
import { Broadcast } from "../mod.ts";
import { withBroker } from "./broker.ts";
import { conformance } from "./conformance.ts";
import { FEATURES } from "./features.ts";
import { faults as lostConnections, Rig } from "./faults.ts";
import { Proxy } from "./proxy.ts";
import { DURABLE, faults } from "./redis_stream/faults.ts";
import { holes } from "./redis_stream/holes.ts";
import { measure } from "./redis_stream/latency.ts";
import { closed, remove, TEST_KEYS } from "./redis_stream/stream.ts";
import { strangers } from "./redis_stream/strangers.ts";
import { start } from "./services/redis.ts";

withBroker("redis", (url) => {
  const streams = url.replace(/^(rediss?):/, "$1-stream:");

  conformance(Deno.test, {
    name: "redis-stream",
    features: FEATURES["redis-stream"],
    limit: 512 * 1024 * 1024,
    target: () => streams,
    clean: (channels) => remove(url, channels),
  });

  lostConnections("redis-stream", async () => {
    // The log outlives the process that is killed.
    const server = await start({ args: DURABLE });
    return new Rig(server, await Proxy.start(server.port), "redis-stream");
  }, { log: true, keys: true });

  faults();
  holes(streams);
  strangers(streams);

  Deno.test("redis-stream: thousands of channels do not slow each other down", async () => {
    const names: string[] = [];
    const load = { channels: 5_000, rate: 1_000, events: 3_000, names };
    const { p50, p99 } = await measure(streams, load);
    // The target is a p99 of 3 ms; whatever else runs on this machine is in it.
    await remove(url, names);
    assert(p50 < 20 && p99 < 500, `p50 ${p50} ms, p99 ${p99} ms`);
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
