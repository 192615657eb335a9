/** Clusters that cannot serve for now. Each case has a cluster of its own. */

import { assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { Broadcast } from "../../../../mod.ts";
import { messages, numbered, uniqueChannel } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { type RedisCluster, start } from "../../../services/redis_cluster.ts";
import { until } from "../../../services/service.ts";
import { SCHEMES, statesOf } from "../own_server.ts";

const PATIENCE = 60_000;

withBroker("redis_cluster", () => {
  for (const scheme of SCHEMES) {
    test(`${scheme}: messages wait, in order, while a slot has no node`, async (cluster) => {
      await using broadcast = new Broadcast(`${cluster.urlOf(scheme)}?timeout=60s`);
      const channel = uniqueChannel();
      const subscription = await broadcast.subscribe(channel);
      await broadcast.publish(channel, "before");
      assertEquals(await messages(subscription, 1), ["before"]);
      // Nothing is heard of a slot that is nobody's: what hears it is told to move.
      const slot = Number(await cluster.call(0, "CLUSTER", "KEYSLOT", channel));
      const owner = await cluster.ownerOf(channel);
      await cluster.call(owner, "CLUSTER", "DELSLOTS", slot);
      await until(async () => await isDown(cluster, owner), "The cluster is up");
      const published = numbered(20).map((message, index) =>
        broadcast.publish(
          channel,
          message,
          index % 5 === 4 && scheme === "redis-stream" ? { idempotencyKey: message } : {},
        )
      );
      await until(async () => await refusals(cluster, owner) > 1, "Nothing was refused");
      published.push(broadcast.publish(channel, "last"));
      await cluster.call(owner, "CLUSTER", "ADDSLOTS", slot);
      await Promise.all(published);
      if (scheme === "redis-stream") {
        assertEquals(await messages(subscription, 21), [...numbered(20), "last"]);
      }
    });
  }

  test("redis: each node has a channel on which a process hears itself", async (cluster) => {
    await using broadcast = new Broadcast(`${cluster.url}?probe=300ms`);
    const channels = Array.from({ length: 30 }, uniqueChannel);
    const subscriptions = await Promise.all(channels.map((one) => broadcast.subscribe(one)));
    const states = statesOf(broadcast);
    const tokens: string[] = [];
    for (const node of cluster.nodes.keys()) {
      const here = await cluster.call(node, "PUBSUB", "SHARDCHANNELS", "broadcaster-*") as string[];
      assertEquals(here.length, 1);
      tokens.push(here[0]!);
    }
    // The slot of a token moves: the next token is in another one.
    const slot = Number(await cluster.call(0, "CLUSTER", "KEYSLOT", tokens[0]!));
    await cluster.moveSlot(slot, 0, 1);
    await until(async () => {
      const [name] = await cluster.call(0, "PUBSUB", "SHARDCHANNELS", "broadcaster-*") as string[];
      return name !== undefined && name !== tokens[0];
    }, "No other token");
    await Promise.all(channels.map((one) => broadcast.publish(one, one)));
    for (const [index, one] of subscriptions.entries()) {
      assertEquals(await messages(one, 1), [channels[index]]);
    }
    assertEquals(states, []);
  });
});

async function isDown(cluster: RedisCluster, node: number): Promise<boolean> {
  return /cluster_state:fail/.test(String(await cluster.call(node, "CLUSTER", "INFO")));
}

async function refusals(cluster: RedisCluster, node: number): Promise<number> {
  const stats = String(await cluster.call(node, "INFO", "errorstats"));
  return Number(/errorstat_CLUSTERDOWN:count=(\d+)/.exec(stats)?.[1] ?? 0);
}

function test(name: string, body: (cluster: RedisCluster) => Promise<void>): void {
  Deno.test(name.replace(":", "-cluster:"), async () => {
    await using cluster = await start();
    await deadline(body(cluster), PATIENCE);
  });
}
