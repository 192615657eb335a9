/** A process opens one connection per role, however many channels it has. */

import { assertEquals } from "@std/assert";
import { Broadcast } from "../mod.ts";
import { removeStreams } from "./amqp_stream/remove.ts";
import { withBroker } from "./broker.ts";
import { messages, uniqueChannel, within } from "./conformance/harness.ts";
import { KafkaRig } from "./kafka/rig.ts";
import { Proxy } from "./proxy.ts";
import { remove } from "./redis_stream/stream.ts";
import { removeStream } from "./services/nats.ts";

const CHANNELS = 50;

/** How many roles there are: one that publishes and one that hears, or one for both. */
const ROLES: [scheme: string, broker: string, roles: number][] = [
  ["redis", "redis", 2],
  ["redis-stream", "redis", 2],
  ["postgres", "postgres", 2],
  ["postgres-stream", "postgres", 2],
  ["amqp", "amqp", 1],
  ["amqp-stream", "amqp", 1],
  ["mqtt", "mqtt", 1],
  ["nats", "nats", 1],
  ["nats-stream", "nats", 1],
];

for (const [scheme, broker, roles] of ROLES) {
  withBroker(broker, (url) => {
    Deno.test(`${scheme}: ${CHANNELS} channels share ${roles} connection${roles > 1 ? "s" : ""}`, async () => {
      await using proxy = await Proxy.start(Number(new URL(url).port));
      const stream = uniqueChannel();
      const own = scheme === "nats-stream" ? `?stream=${stream}` : "";
      const channels = await use(proxy.url(url).replace(/^[^:]*/, scheme) + own, proxy, roles);
      if (scheme === "redis-stream") await remove(url, channels);
      if (scheme === "nats-stream") await removeStream(url, stream);
      if (scheme === "amqp-stream") await removeStreams(url, channels);
    });
  });
}

withBroker("kafka", () => {
  Deno.test(`kafka: ${CHANNELS} channels share 2 connections to each broker`, async () => {
    await using rig = await KafkaRig.start();
    await use(rig.url, rig.proxy, 2);
  });
});

/** Subscribes and publishes to one channel, and to many. */
async function use(url: string, proxy: Proxy, roles: number): Promise<string[]> {
  await using broadcast = new Broadcast(url);
  const channels = Array.from({ length: CHANNELS }, uniqueChannel);
  for (const some of [channels.slice(0, 1), channels.slice(1)]) {
    await within(Promise.all(some.map(async (channel) => {
      const subscription = await broadcast.subscribe(channel);
      await broadcast.publish(channel, channel);
      assertEquals(await messages(subscription, 1), [channel]);
    })));
    assertEquals(proxy.connections, roles);
  }
  return channels;
}
