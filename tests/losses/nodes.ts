/** What is lost between the nodes of Redis, where a subscriber is at another one than a publisher. */

import { assert, assertEquals } from "@std/assert";
import { Redis } from "ioredis";
import { Broadcast } from "../../mod.ts";
import { named } from "../backends/redis/cluster/names.ts";
import { closed } from "../backends/redis/log/stream.ts";
import { messages, numbered, take, uniqueChannel, within } from "../conformance/harness.ts";
import { Proxy } from "../services/proxy.ts";
import { start } from "../services/redis.ts";
import { start as startCluster } from "../services/redis_cluster.ts";
import { until } from "../services/service.ts";

/** A replica that was away longer than its master remembers is given the data, not the messages. */
export function atReplicas(): void {
  Deno.test("redis: what a replica did not get of its master is lost, unsaid", async () => {
    await using master = await start({
      args: ["--repl-diskless-sync-delay", "0", "--repl-backlog-size", "16kb"],
    });
    await using between = await Proxy.start(master.port);
    await using replica = await start({ args: ["--replicaof", "127.0.0.1", `${between.port}`] });
    const admin = new Redis(replica.url);
    const link = async (state: string) =>
      String(await admin.info("replication")).includes(`master_link_status:${state}`);
    await until(() => link("up"), "It does not replicate");
    await using publisher = new Broadcast(master.url);
    await using subscriber = new Broadcast(replica.url);
    const channel = uniqueChannel();
    const subscription = await subscriber.subscribe(channel);
    await publisher.publish(channel, "before");
    assertEquals(await within(messages(subscription, 1)), ["before"]);
    between.refuse();
    between.cut();
    await until(() => link("down"), "It is not cut off");
    const lost = numbered(20).map((message) => message.padEnd(2_000));
    await Promise.all(lost.map((message) => publisher.publish(channel, message)));
    await between.accept();
    await until(() => link("up"), "It does not replicate again");
    await publisher.publish(channel, "after");
    const [after] = await within(take(subscription, 1));
    assertEquals([after!.message, after!.gap], ["after", undefined]);
    await closed(admin);
  });
}

/** Redis 7 without what it has brought is as one before: any node takes what others deliver. */
const WITHOUT_SHARDS = ["SPUBLISH", "SSUBSCRIBE", "SUNSUBSCRIBE"]
  .flatMap((command) => ["--rename-command", command, ""]);

/** We publish where it is heard; others need not, and what nodes tell each other can be lost. */
export function betweenNodes(): void {
  Deno.test("redis: what another program publishes at another node of an old cluster is lost, unsaid", async () => {
    await using cluster = await startCluster({
      args: [...WITHOUT_SHARDS, "--cluster-node-timeout", "30000"],
    });
    const [, bus] = await cluster.call(1, "CONFIG", "GET", "cluster-port") as [string, string];
    await using between = await Proxy.start(Number(bus));
    await cluster.call(1, "CONFIG", "SET", "cluster-announce-bus-port", between.port);
    await until(() => between.connections >= 2, "The others do not come this way");
    await using broadcast = new Broadcast(cluster.url);
    const channel = await named(cluster, 1);
    const subscription = await broadcast.subscribe(channel);
    const first = messages(subscription, 1);
    let isHeard = false;
    void first.then(() => isHeard = true);
    await until(async () => (await cluster.call(0, "PUBLISH", channel, "before"), isHeard), "Deaf");
    between.refuse();
    between.cut();
    await until(() => between.connections === 0, "The nodes are not apart");
    for (const message of ["theirs 1", "theirs 2"]) {
      await cluster.call(0, "PUBLISH", channel, message);
    }
    await broadcast.publish(channel, "ours");
    await between.accept();
    let events: unknown[] = [];
    const rest = (async () => {
      for await (const { message, gap } of subscription.values({ preventCancel: true })) {
        if (message === "before") continue;
        events = [...events, [message, gap]];
        if (message === "after") return;
      }
    })();
    await until(async () => {
      await cluster.call(0, "PUBLISH", channel, "after");
      return JSON.stringify(events).includes("after");
    }, "The nodes do not meet again");
    await within(rest);
    assert(events.length === 2);
    assertEquals(events, [["ours", undefined], ["after", undefined]]);
  });
}
