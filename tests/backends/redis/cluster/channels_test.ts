/** The channels of a cluster whose slots move and whose masters die. Each case has its own. */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { deadline } from "@std/async";
import { Cluster } from "ioredis";
import { redis } from "../../../../backends/redis/pubsub.ts";
import { Broadcast } from "../../../../mod.ts";
import { messages, numbered, take, uniqueChannel } from "../../../conformance/harness.ts";
import { broadcaster } from "../../../cli/command.ts";
import { withBroker } from "../../../services/broker.ts";
import { Proxy } from "../../../services/proxy.ts";
import { Trust } from "../../../services/redis.ts";
import { type ClusterOptions, type RedisCluster, start } from "../../../services/redis_cluster.ts";
import { until } from "../../../services/service.ts";
import { gapsOf, named, pour } from "./names.ts";

const PATIENCE = 120_000;

function channels(): void {
  each("a channel is a shard's: what others publish there arrives", {}, async (cluster) => {
    await using broadcast = new Broadcast(cluster.url);
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe(channel);
    const owner = await cluster.ownerOf(channel);
    await cluster.call(owner, "SPUBLISH", channel, "from another program");
    await broadcast.publish(channel, "from here");
    assertEquals(await messages(subscription, 2), ["from another program", "from here"]);
  });

  each("check names the server, and counts the masters", {}, async (cluster) => {
    for (const url of [cluster.url, cluster.url.replace("redis", "redis-stream")]) {
      const { code, stdout } = await broadcaster(["check", url, "--json"]);
      assertEquals(code, 0, stdout);
      const { server, warnings } = JSON.parse(stdout);
      assertMatch(server.server, /^(Redis|Valkey) \d+\.\d+/);
      assertEquals([server.cluster, server.role, warnings], ["3 masters", undefined, []]);
    }
  });

  each("one host is enough, and no database but 0", {}, async (cluster) => {
    const [first] = cluster.nodes;
    await using broadcast = new Broadcast(`redis://127.0.0.1:${first!.port}/0?cluster=true`);
    const names = [...numbered(20, uniqueChannel()), "__proto__", "constructor"];
    const subscriptions = await Promise.all(names.map((name) => broadcast.subscribe(name)));
    await Promise.all(names.map((name) => broadcast.publish(name, `to ${name}`)));
    for (const [index, subscription] of subscriptions.entries()) {
      assertEquals(await messages(subscription, 1), [`to ${names[index]}`]);
    }
    await using other = new Broadcast(`${cluster.url}/1`);
    const error = await assertRejects(() => other.connect(), TypeError);
    assertEquals(error.message.split(": ").at(-1), "a cluster has only the database 0");
  });

  each("a prefix stands before a channel", {}, async (cluster) => {
    await using broadcast = new Broadcast(`${cluster.url}?prefix=app:`);
    await using plain = new Broadcast(cluster.url);
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe(channel);
    await plain.publish(channel, "not ours");
    await plain.publish(`app:${channel}`, "ours");
    const [event] = await take(subscription, 1);
    assertEquals([event!.channel, event!.message], [channel, "ours"]);
  });

  const password = "p@ss/word";
  each("a cluster may ask for a password", { password }, async (cluster) => {
    await using broadcast = new Broadcast(cluster.url);
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "hello");
    assertEquals(await messages(subscription, 1), ["hello"]);
  });

  Deno.test("redis-cluster: a cluster may speak TLS", async () => {
    await using trust = await Trust.establish();
    await using cluster = await start({ trust });
    const [, port] = await cluster.call(0, "CONFIG", "GET", "tls-port") as string[];
    for (const scheme of ["rediss", "rediss-stream"]) {
      const url = `${scheme}://127.0.0.1:${port}?cluster=true&${trust.parameters}`;
      await using broadcast = new Broadcast(url);
      for (const node of [0, 1, 2]) {
        const channel = await named(cluster, node);
        const subscription = await broadcast.subscribe(channel);
        await broadcast.publish(channel, "hello");
        assertEquals(await messages(subscription, 1), ["hello"]);
      }
    }
  });

  for (const lazyConnect of [false, true]) {
    const state = lazyConnect ? "has not connected" : "is connected";
    each(`a Cluster of the user's that ${state} is used and never closed`, {}, async (cluster) => {
      const [one, two, three] = cluster.nodes.map(({ port }) => port);
      const nodes = [`redis://127.0.0.1:${one}`, two!, { host: "127.0.0.1", port: three! }];
      const client = new Cluster(nodes, { lazyConnect, shardedSubscribers: false });
      if (!lazyConnect) await new Promise((resolve) => client.once("ready", resolve));
      const channel = uniqueChannel();
      const broadcast = new Broadcast(redis({ client }));
      const subscription = await broadcast.subscribe(channel);
      await broadcast.publish(channel, "hello");
      assertEquals(await messages(subscription, 1), ["hello"]);
      await broadcast.disconnect();
      assertEquals(client.status, lazyConnect ? "wait" : "ready");
      const sockets = client.nodes().map((node) =>
        new Promise<void>((resolve) =>
          node.status === "end" ? resolve() : node.once("end", resolve)
        )
      );
      const ended = new Promise((resolve) => client.once("end", resolve));
      client.disconnect();
      await Promise.all([ended, ...lazyConnect ? [] : sockets]);
    });
  }

  const without = ["SPUBLISH", "SSUBSCRIBE", "SUNSUBSCRIBE"]
    .flatMap((command) => ["--rename-command", command, ""]);
  each("a cluster without sharded pub/sub serves as well", { args: without }, async (cluster) => {
    await using broadcast = new Broadcast(cluster.url);
    await using streams = new Broadcast(cluster.urlOf("redis-stream"));
    for (const one of [broadcast, streams]) {
      const channel = uniqueChannel();
      const subscription = await one.subscribe(channel);
      await one.publish(channel, "hello");
      assertEquals(await messages(subscription, 1), ["hello"]);
    }
  });

  each(
    "a connection that is cut is a gap on the channels of its node alone",
    {},
    async (cluster) => {
      await using broadcast = new Broadcast(cluster.url);
      const gaps = gapsOf(broadcast);
      const names = await Promise.all([0, 1, 2].map((node) => named(cluster, node)));
      const subscriptions = await Promise.all(names.map((name) => broadcast.subscribe(name)));
      await cluster.call(1, "CLIENT", "KILL", "TYPE", "pubsub");
      await until(() => gaps.length > 0, "No gap");
      await Promise.all(names.map((name) => broadcast.publish(name, "after")));
      for (const [index, subscription] of subscriptions.entries()) {
        const [event] = await take(subscription, 1);
        assertEquals([event!.message, event!.gap?.cause], [
          "after",
          index === 1 ? "disconnect" : undefined,
        ]);
      }
      assertEquals(gaps.map(([channel]) => channel), [names[1]]);
    },
  );

  each(
    "a master that dies is a gap on its channels alone, and its replica takes over",
    { replicas: 1 },
    async (cluster) => {
      await using broadcast = new Broadcast(`${cluster.url}?timeout=60s`);
      const gaps = gapsOf(broadcast);
      const names = await Promise.all([0, 1, 2].map((node) => named(cluster, node)));
      const subscriptions = await Promise.all(names.map((name) => broadcast.subscribe(name)));
      await cluster.nodes[2]!.stop("SIGKILL");
      await until(() => gaps.length > 0, "No gap", PATIENCE);
      await Promise.all(names.map((name) => broadcast.publish(name, "after")));
      for (const [index, subscription] of subscriptions.entries()) {
        const [event] = await take(subscription, 1);
        assertEquals([event!.message, event!.gap?.cause], [
          "after",
          index === 2 ? "disconnect" : undefined,
        ]);
      }
      assertEquals(await cluster.ownerOf(names[2]!), 5);
    },
  );

  for (const told of [true, false]) {
    const how = told ? "" : ", though it is silent about it";
    each(
      `a master that is deposed is left${how}`,
      { replicas: 1 },
      async (cluster) => {
        await using broadcast = new Broadcast(`${cluster.url}?probe=500ms&timeout=60s`);
        const gaps = gapsOf(broadcast);
        const channel = await named(cluster, 1);
        if (told) await broadcast.subscribe(channel);
        else await broadcast.connect();
        await cluster.call(4, "CLUSTER", "FAILOVER", "TAKEOVER");
        await until(async () => await cluster.ownerOf(channel) === 4, "No failover");
        await until(async () => (await clients(cluster, 1)) === 0, "The old master is not left");
        const subscription = await broadcast.subscribe(channel);
        const channels = await cluster.call(4, "PUBSUB", "SHARDCHANNELS", "test-*") as string[];
        assertEquals(channels, [channel]);
        await broadcast.publish(channel, "after");
        assertEquals(await messages(subscription, 1), ["after"]);
        assertEquals(gaps.length > 0, told);
      },
    );
  }

  each(
    "a node that is silent is found by the probe, and its channels alone",
    {},
    async (cluster) => {
      await using proxy = await Proxy.start(cluster.nodes[1]!.port);
      // The client's map leads to the node through the proxy, and to the others directly.
      const name = `127.0.0.1:${cluster.nodes[1]!.port}`;
      const natMap = { [name]: { host: "127.0.0.1", port: proxy.port } };
      const client = new Cluster([cluster.nodes[0]!.port], { lazyConnect: true, natMap });
      await using broadcast = new Broadcast(redis({ url: "redis://?probe=300ms", client }));
      const gaps = gapsOf(broadcast);
      const names = await Promise.all([0, 1, 2].map((node) => named(cluster, node)));
      const subscriptions = await Promise.all(names.map((name) => broadcast.subscribe(name)));
      proxy.stall();
      await until(() => broadcast.state === "reconnecting", "It is not found");
      proxy.cut();
      proxy.resume();
      await until(() => gaps.length > 0, "No gap");
      await Promise.all(names.map((name) => broadcast.publish(name, "after")));
      for (const [index, subscription] of subscriptions.entries()) {
        const [event] = await take(subscription, 1);
        const cause = index === 1 ? "disconnect" : undefined;
        assertEquals([event!.message, event!.gap?.cause], ["after", cause]);
      }
    },
  );

  each(
    "a slot that moves is a gap on its channels, and loses nothing unsaid",
    {},
    async (cluster) => {
      await using subscriber = new Broadcast(cluster.url);
      await using publisher = new Broadcast(cluster.url);
      const gaps = gapsOf(subscriber);
      const [moving, staying] = [await named(cluster, 0), await named(cluster, 0)];
      const slot = Number(await cluster.call(0, "CLUSTER", "KEYSLOT", moving));
      const subscription = await subscriber.subscribe(moving);
      const other = await subscriber.subscribe(staying);
      const count = 20_000;
      const received = (async () => {
        const events: { number: number; gap: boolean }[] = [];
        for await (const { message, gap } of subscription) {
          if (message === "last") return events;
          events.push({ number: Number(message.slice(1)), gap: gap !== undefined });
        }
        return events;
      })();
      await pour(publisher, moving, count, () => cluster.moveSlot(slot, 0, 1));
      await until(() => gaps.length > 0, "No gap");
      await publisher.publish(moving, "last");
      let expected = 0;
      for (const { number, gap } of await received) {
        assert(gap ? number >= expected : number === expected, `${number} for ${expected}`);
        expected = number + 1;
      }
      await publisher.publish(staying, "still here");
      const [event] = await take(other, 1);
      assertEquals([event!.message, event!.gap], ["still here", undefined]);
      assertEquals([...new Set(gaps.map(([channel]) => channel))], [moving]);
      assertEquals(await cluster.ownerOf(moving), 1);
    },
  );

  each("who comes after a slot has moved finds it", {}, async (cluster) => {
    await using broadcast = new Broadcast(cluster.url);
    await broadcast.connect();
    const gaps = gapsOf(broadcast);
    const channel = await named(cluster, 2);
    await cluster.moveSlot(Number(await cluster.call(0, "CLUSTER", "KEYSLOT", channel)), 2, 0);
    const subscription = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "hello");
    assertEquals(await messages(subscription, 1), ["hello"]);
    assertEquals(gaps, []);
  });
}

/** How many connections a node has that are neither other nodes' nor the test's. */
async function clients(cluster: RedisCluster, node: number): Promise<number> {
  const list = String(await cluster.call(node, "CLIENT", "LIST", "TYPE", "normal"));
  const others = String(await cluster.call(node, "CLIENT", "LIST", "TYPE", "pubsub"));
  return `${list}${others}`.trim().split("\n").filter((line) => line !== "").length - 1;
}

/** A case with a cluster of its own. */
function each(
  what: string,
  options: ClusterOptions,
  body: (cluster: RedisCluster) => Promise<void>,
): void {
  Deno.test(`redis-cluster: ${what}`, async () => {
    await using cluster = await start(options);
    await deadline(body(cluster), PATIENCE);
  });
}

withBroker("redis_cluster", channels);
