/** The streams of a cluster whose slots move and whose masters die. Each case has its own. */

import { assertEquals, assertRejects } from "@std/assert";
import { deadline } from "@std/async";
import { Broadcast } from "../../../../mod.ts";
import { messages, numbered, uniqueChannel } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { type ClusterOptions, type RedisCluster, start } from "../../../services/redis_cluster.ts";
import { until } from "../../../services/service.ts";
import { gapsOf, named, pour } from "./names.ts";

const PATIENCE = 120_000;

function streams(): void {
  each("a slot that moves loses nothing, and is no gap", {}, async (cluster) => {
    const url = cluster.urlOf("redis-stream");
    await using subscriber = new Broadcast(url);
    await using publisher = new Broadcast(url);
    const gaps = gapsOf(subscriber);
    const tag = await named(cluster, 0);
    const channels = ["a", "b", "c", "d"].map((name) => `{${tag}}${name}`);
    const slot = Number(await cluster.call(0, "CLUSTER", "KEYSLOT", tag));
    const count = 5_000;
    const subscriptions = await Promise.all(channels.map((one) => subscriber.subscribe(one)));
    const received = subscriptions.map((subscription) => messages(subscription, count));
    // What one of them learns of the slot must not let the others overtake themselves.
    const [first, ...others] = channels;
    await Promise.all([
      pour(publisher, first!, count, () => cluster.moveSlot(slot, 0, 1)),
      ...others.map((channel) => pour(publisher, channel, count)),
    ]);
    for (const each of received) assertEquals(await each, numbered(count));
    assertEquals(gaps, []);
    assertEquals(await cluster.ownerOf(tag), 1);
  });

  each("a key is its channel's own in every slot, and survives its move", {}, async (cluster) => {
    await using broadcast = new Broadcast(cluster.urlOf("redis-stream"));
    const tag = await named(cluster, 0);
    const slot = Number(await cluster.call(0, "CLUSTER", "KEYSLOT", tag));
    const channels = [tag, `{${tag}}a`, `b{${tag}}`, ...numbered(20)];
    const publish = () =>
      Promise.all(channels.map((one) => broadcast.publish(one, "m", { idempotencyKey: "k{x}" })));
    const first = await publish();
    await cluster.moveSlot(slot, 0, 1);
    assertEquals(await publish(), first);
    for (const one of channels) assertEquals((await broadcast.history(one)).length, 1);
  });

  each("a channel without a place for its keys is refused them", {}, async (cluster) => {
    await using broadcast = new Broadcast(cluster.urlOf("redis-stream"));
    await broadcast.publish("a}", "m");
    const refused = () => broadcast.publish("a}", "m", { idempotencyKey: "k" });
    assertEquals(
      (await assertRejects(refused, TypeError)).message,
      'Cannot publish to "a}" on redis-stream: a channel with an unmatched "}" cannot have idempotency keys in a cluster',
    );
  });

  each("what has a key waits while its slot moves, and keeps its place", {}, async (cluster) => {
    await using broadcast = new Broadcast(cluster.urlOf("redis-stream"));
    const tag = await named(cluster, 0);
    const slot = Number(await cluster.call(0, "CLUSTER", "KEYSLOT", tag));
    const first = await broadcast.publish(tag, "0", { idempotencyKey: "0" });
    await cluster.openSlot(slot, 0, 2);
    const published = [
      broadcast.publish(tag, "1", { idempotencyKey: "1" }),
      broadcast.publish(tag, "2"),
      broadcast.publish(tag, "0 again", { idempotencyKey: "0" }),
    ];
    await cluster.moveSlot(slot, 0, 2);
    const ids = await Promise.all(published);
    const past = await broadcast.history(tag);
    assertEquals(past.map(({ message }) => message), ["0", "1", "2"]);
    assertEquals(ids, [past[1]!.id, past[2]!.id, first]);
  });

  each("a slot that stays open is served, on both sides", {}, async (cluster) => {
    const url = cluster.urlOf("redis-stream");
    await using broadcast = new Broadcast(url);
    const gaps = gapsOf(broadcast);
    const [tag, other] = [await named(cluster, 0), uniqueChannel()];
    const [moved, staying] = [`{${tag}}a`, `{${tag}}b`];
    const slot = Number(await cluster.call(0, "CLUSTER", "KEYSLOT", tag));
    const subscriptions = await Promise.all(
      [moved, staying].map((one) => broadcast.subscribe(one)),
    );
    for (const one of [moved, staying, other]) await broadcast.publish(one, "before");
    await cluster.openSlot(slot, 0, 2);
    await cluster.moveKey(moved, 0, 2);
    // Each of these is asked for where it is, alone and together with what stays.
    for (const one of [moved, staying, `{${tag}}new`]) {
      await Promise.all(numbered(3).map((message) => broadcast.publish(one, message)));
      const history = (await broadcast.history(one)).map(({ message }) => message);
      assertEquals(history, [...one.endsWith("new") ? [] : ["before"], ...numbered(3)]);
    }
    for (const subscription of subscriptions) {
      assertEquals(await messages(subscription, 4), ["before", ...numbered(3)]);
    }
    const late = await broadcast.subscribe(`{${tag}}new`, { history: 10 });
    assertEquals(await messages(late, 3), numbered(3));
    for (const one of [staying, `{${tag}}new`]) {
      await cluster.moveKey(one, 0, 2).catch(() => {});
    }
    await cluster.closeSlot(slot, 2);
    for (const [index, one] of [moved, staying].entries()) {
      await broadcast.publish(one, "after");
      assertEquals(await messages(subscriptions[index]!, 1), ["after"]);
    }
    assertEquals(gaps, []);
  });

  each(
    "a master that dies is followed by its replica, without a gap",
    { replicas: 1 },
    async (cluster) => {
      const url = `${cluster.urlOf("redis-stream")}?timeout=60s`;
      await using broadcast = new Broadcast(url);
      const gaps = gapsOf(broadcast);
      const names = await Promise.all([0, 1, 2].map((node) => named(cluster, node)));
      const subscriptions = await Promise.all(names.map((name) => broadcast.subscribe(name)));
      await Promise.all(names.map((name) => broadcast.publish(name, "before")));
      // What WAIT waits for is what its own connection has seen.
      await cluster.call(2, "PING");
      assertEquals(await cluster.call(2, "WAIT", 1, 5_000), 1);
      await cluster.nodes[2]!.stop("SIGKILL");
      await until(
        async () => await cluster.ownerOf(names[2]!) === 5,
        "No failover",
        PATIENCE,
      );
      const published = names.map((name) => retried(() => broadcast.publish(name, "after")));
      await Promise.all(published);
      for (const subscription of subscriptions) {
        assertEquals(await messages(subscription, 2), ["before", "after"]);
      }
      assertEquals(gaps, []);
    },
  );

  each("names with braces of all kinds are channels", {}, async (cluster) => {
    await using broadcast = new Broadcast(cluster.urlOf("redis-stream"));
    const unique = uniqueChannel();
    const names = ["a}b", "{}a", "{a", "a{", "{a}b", "}{", "{{a}}", "{}", "é{ü}"];
    for (const name of names.map((name) => unique + name)) {
      const subscription = await broadcast.subscribe(name);
      await broadcast.publish(name, `to ${name}`);
      assertEquals(await messages(subscription, 1), [`to ${name}`]);
    }
  });
}

/** Until it is known to be published: what was under way when a node died may be, or not. */
async function retried(publish: () => Promise<unknown>): Promise<void> {
  for (;;) {
    try {
      await publish();
      return;
    } catch (error) {
      if ((error as Error).name !== "OutcomeUnknownError") throw error;
    }
  }
}

/** A case with a cluster of its own. */
function each(
  what: string,
  options: ClusterOptions,
  body: (cluster: RedisCluster) => Promise<void>,
): void {
  Deno.test(`redis-stream in a cluster: ${what}`, async () => {
    await using cluster = await start(options);
    await deadline(body(cluster), PATIENCE);
  });
}

withBroker("redis_cluster", streams);
