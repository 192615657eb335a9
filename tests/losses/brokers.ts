/** The brokers that keep nothing, and what they drop. */

import { Buffer } from "node:buffer";
import { join } from "node:path";
import { connect as connectNats } from "@nats-io/transport-node";
import { connect as connectAmqp } from "amqplib";
import mqtt from "mqtt";
import { end } from "../../backends/mqtt/link.ts";
import { start as startAmqp } from "../services/amqp.ts";
import { start as startMqtt } from "../services/mqtt.ts";
import { start as startNats } from "../services/nats.ts";
import { Proxy } from "../services/proxy.ts";
import { freePort } from "../services/service.ts";
import { drops } from "./dropping.ts";

/** A queue that is full makes way for what is new. */
export function inQueues(): void {
  Deno.test("amqp: what a policy drops is counted of publishers that were heard, and lost of others", async () => {
    const folder = await Deno.makeTempDir();
    const definitions = join(folder, "definitions.json");
    await Deno.writeTextFile(definitions, JSON.stringify(DEFINITIONS));
    await using server = await startAmqp(`load_definitions = ${definitions}`);
    await using proxy = await Proxy.start(server.port);
    const stranger = await connectAmqp(server.url);
    const lane = await stranger.createConfirmChannel();
    await drops({
      slow: proxy.url(server.url),
      quick: server.url,
      foreign: (channel, message) => {
        lane.publish("broadcaster", channel, Buffer.from(message));
        return lane.waitForConfirms();
      },
      begin: () => proxy.stall(),
      end: () => proxy.resume(),
      count: 300,
      size: 50_000,
    });
    await stranger.close();
    await Deno.remove(folder, { recursive: true });
  });
}

/** What a server has from its first start on: its user, and a policy for all queues. */
const DEFINITIONS = {
  users: [{ name: "guest", password: "guest", tags: "administrator" }],
  vhosts: [{ name: "/" }],
  permissions: [{ user: "guest", vhost: "/", configure: ".*", write: ".*", read: ".*" }],
  policies: [{
    vhost: "/",
    name: "short",
    pattern: ".*",
    "apply-to": "queues",
    definition: { "max-length": 10 },
  }],
};

/** A server that holds no more for one who does not read. */
export function forSlowReaders(): void {
  Deno.test("mqtt: what a server drops is counted of publishers that were heard, and lost of others", async () => {
    await using server = await startMqtt({
      config: "max_queued_messages 10\nmax_inflight_messages 5",
    });
    await using proxy = await Proxy.start(server.port);
    const stranger = await mqtt.connectAsync(server.url, { protocolVersion: 4 });
    await drops({
      slow: proxy.url(server.url),
      quick: server.url,
      foreign: (channel, message) => stranger.publishAsync(channel, message, { qos: 1 }),
      begin: () => proxy.stall(),
      end: () => proxy.resume(),
      count: 100,
    });
    await end(stranger);
  });
}

/** Two servers whose route is cut for a while. */
export function betweenServers(): void {
  Deno.test("nats: what servers lose between them is counted of publishers that were heard, and lost of others", async () => {
    const door = freePort();
    const cluster = (listen: number, routes = "") => ({
      jetstream: false,
      config: `cluster { name: pair, listen: "127.0.0.1:${listen}", no_advertise: true ${routes} }`,
    });
    await using here = await startNats(cluster(door));
    await using route = await Proxy.start(door);
    await using there = await startNats(
      cluster(freePort(), `, routes: ["nats://127.0.0.1:${route.port}"]`),
    );
    const stranger = await connectNats({ servers: here.url });
    await drops({
      slow: there.url,
      quick: here.url,
      foreign: (channel, message) => {
        stranger.publish(channel, message);
        return stranger.flush();
      },
      begin: () => {
        route.refuse();
        route.cut();
      },
      end: () => route.accept(),
      count: 5,
    });
    await stranger.close();
  });
}
