/** The factories, and the clients that they refuse. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import * as ioredis from "ioredis";
import { redisStream } from "../../../backends/redis/log.ts";
import { redis } from "../../../backends/redis/pubsub.ts";
import { Broadcast } from "../../../mod.ts";
import { messages, take, uniqueChannel } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { closed } from "./log/stream.ts";

const { Cluster, Redis } = ioredis;

const FACTORIES = { redis, redisStream };

/** As the factories name the package `redis` of npm. */
const NODE_REDIS = "a client of node-redis, the package `redis`";

for (const [name, factory] of Object.entries(FACTORIES)) {
  const scheme = name === "redis" ? "redis" : "redis-stream";

  Deno.test(`${name}(): its options are the parameters of the URL, which win`, () => {
    const options = {
      ...{ prefix: "app:", cluster: true, sentinel: "m", sentinelUsername: "u" },
      ...{ sentinelPassword: "p", ca: "ca.pem", cert: "cert.pem", key: "key.pem" },
    };
    const { address } = factory({ ...options, url: `${scheme}://a,b?prefix=url:` });
    assertEquals(`${address}`, `${scheme}://a,b`);
    assertEquals(Object.fromEntries(address.parameters), {
      ...options,
      cluster: "true",
      prefix: "url:",
    });
    assertEquals(`${factory().address}`, `${scheme}://`);
    assertEquals([...factory({ prefix: undefined }).address.parameters], []);
    const tls = scheme.replace("redis", "rediss");
    assertEquals(`${factory({ url: new URL(`${tls}://a`) }).address}`, `${tls}://a`);
  });

  Deno.test(`${name}(): a URL of another scheme is refused`, () => {
    const error = assertThrows(() => factory({ url: "nats://a" }), TypeError);
    const tls = scheme.replace("redis", "rediss");
    assertEquals(
      error.message,
      `Cannot open "nats://a": its scheme must be ${scheme} or ${tls} or ${scheme}+unix, it is nats`,
    );
  });

  Deno.test(`${name}(): a client of node-redis is refused`, async () => {
    const nodeRedis = await import("npm:redis@5");
    const client = nodeRedis.createClient();
    const pending = new Promise(() => {});
    const rootNodes = [{ url: "redis://127.0.0.1:1" }];
    const sentinelRootNodes = [{ host: "127.0.0.1", port: 1 }];
    for (
      const [wrong, what] of [
        [client, NODE_REDIS],
        [client.duplicate(), NODE_REDIS],
        [nodeRedis.createCluster({ rootNodes }), NODE_REDIS],
        [nodeRedis.createClientPool(), NODE_REDIS],
        [nodeRedis.createSentinel({ name: "m", sentinelRootNodes }), NODE_REDIS],
        [nodeRedis, "the package `redis`"],
        [nodeRedis.createClient, "a function without a method duplicate()"],
        [pending, "a promise, await it first"],
      ] as const
    ) assertRefused(factory, wrong, what);
  });

  Deno.test(`${name}(): a class, a module and other values are refused as a client`, () => {
    for (
      const [wrong, what] of [
        [Redis, "a class, call it with new"],
        [Cluster, "a class, call it with new"],
        [ioredis, "a module"],
        ["redis://localhost", "a string"],
        [null, "null"],
        [{ url: "redis://localhost" }, "an Object without a method duplicate()"],
        // As Bun's own client has it.
        [{ duplicate() {}, publish() {} }, "an Object without a method pipeline()"],
      ] as const
    ) assertRefused(factory, wrong, what);
  });

  Deno.test(`${name}(): clients of ioredis are accepted before they have connected`, () => {
    const options = { lazyConnect: true };
    const clients = [
      new Redis(options),
      new Redis({ ...options, replyMapping: "resp3" }),
      new Cluster(["redis://a:7000"], options),
    ];
    for (const client of clients) {
      assertEquals(`${factory({ client }).address}`, `${scheme}://`);
    }
  });
}

Deno.test("redisStream(): maxlen is a parameter of the URL", async () => {
  const { parameters } = redisStream({ maxlen: 0 }).address;
  assertEquals(parameters.get("maxlen"), "0");
  await using broadcast = new Broadcast(redisStream({ maxlen: -1 }));
  const error = await assertRejects(() => broadcast.connect(), TypeError);
  assert(error.message.includes('parameter "maxlen" must be a whole number'), error.message);
});

withBroker("redis", (url) => {
  for (const [name, factory] of Object.entries(FACTORIES)) {
    Deno.test(`${name}(): a URL and a prefix serve without a client`, async () => {
      const own = url.replace("redis:", name === "redis" ? "redis:" : "redis-stream:");
      await using broadcast = new Broadcast(factory({ url: own, prefix: "test-app:" }));
      const channel = uniqueChannel();
      const subscription = await broadcast.subscribe(channel);
      await broadcast.publish(channel, "hello");
      const [event] = await take(subscription, 1);
      assertEquals([event!.channel, event!.message], [channel, "hello"]);
      const client = new Redis(url);
      assertEquals(await client.del(`test-app:${channel}`), name === "redis" ? 0 : 1);
      await closed(client);
    });
  }

  Deno.test("redis: what one turn publishes arrives in the order of each channel", async () => {
    for (const [name, factory] of Object.entries(FACTORIES)) {
      const client = new Redis(url);
      const broadcast = new Broadcast(factory({ client }), { buffer: 3_000 });
      const channels = [uniqueChannel(), uniqueChannel()];
      const subscriptions = await Promise.all(channels.map((one) => broadcast.subscribe(one)));
      // More than one pipeline holds.
      const numbers = Array.from({ length: 3_000 }, (_, index) => `${index}`);
      await Promise.all(
        numbers.flatMap((number) => channels.map((channel) => broadcast.publish(channel, number))),
      );
      for (const subscription of subscriptions) {
        assertEquals(await messages(subscription, numbers.length), numbers, name);
      }
      await broadcast.disconnect();
      await client.del(...channels);
      await closed(client);
    }
  });
});

/** Both refuse it at once, and name what is wanted. */
function assertRefused(factory: (options: object) => unknown, client: unknown, what: string): void {
  const error = assertThrows(() => factory({ client }), TypeError);
  assertEquals(
    error.message,
    `Cannot use client: it must be a client of ioredis, such as new Redis(url) or new Cluster(nodes), it is ${what}`,
  );
}
