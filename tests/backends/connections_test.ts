/** A process opens one connection per role, however many channels it has. */

import { uniqueChannel } from "../conformance/harness.ts";
import { withBroker } from "../services/broker.ts";
import { removeStream } from "../services/nats.ts";
import { Proxy } from "../services/proxy.ts";
import { removeStreams } from "./amqp/log/remove.ts";
import { CHANNELS, use } from "./count_connections.ts";
import { remove } from "./redis/log/stream.ts";

/** How many roles there are: one that publishes and one that hears, or one for both. */
const ROLES: [scheme: string, broker: string, roles: number][] = [
  ["redis", "redis", 2],
  ["redis-stream", "redis", 2],
  ["postgres", "postgres", 2],
  ["postgres-stream", "postgres", 2],
  ["amqp", "amqp", 2],
  ["amqp-stream", "amqp", 2],
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
