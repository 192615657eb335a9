/** A master that sentinels watch, and may replace. Each case has its own. */

import { assertEquals, assertRejects } from "@std/assert";
import { deadline } from "@std/async";
import { Redis } from "ioredis";
import { Broadcast, type BroadcastEvent } from "../../../mod.ts";
import { messages, numbered, take, uniqueChannel } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { Trust } from "../../services/redis.ts";
import { type RedisSentinels, type SentinelOptions, start } from "../../services/redis_sentinel.ts";
import { until } from "../../services/service.ts";
import { state } from "../rig.ts";
import { closed } from "./log/stream.ts";

const PATIENCE = 120_000;

withBroker("redis", () => {
  const secrets = { password: "p@ss", sentinelPassword: "watch&word" };
  each("both passwords, and a first sentinel that is away", secrets, async (sentinels) => {
    await sentinels.sentinels[0]!.stop();
    await using broadcast = new Broadcast(sentinels.url("redis"));
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "hello");
    assertEquals(await messages(subscription, 1), ["hello"]);
  });

  Deno.test("redis sentinel: servers and sentinels may speak TLS", async () => {
    await using trust = await Trust.establish();
    await using sentinels = await start({ trust });
    for (const scheme of ["rediss", "rediss-stream"]) {
      await using broadcast = new Broadcast(sentinels.url(scheme));
      const channel = uniqueChannel();
      const subscription = await broadcast.subscribe(channel);
      await broadcast.publish(channel, "hello");
      assertEquals(await messages(subscription, 1), ["hello"]);
    }
  });

  each("a name that no sentinel knows is told", {}, async (sentinels) => {
    await using broadcast = new Broadcast(sentinels.url("redis").replace("mymaster", "nobody"));
    const error = await assertRejects(() => broadcast.connect(), Error);
    assertEquals(
      error.message,
      `Cannot connect to redis://${
        sentinels.sentinels.map(({ port }) => `127.0.0.1:${port}`).join(",")
      }: the sentinels know no master "nobody"`,
    );
  });

  for (const how of ["is killed", "is made a replica"]) {
    each(`redis: a master that ${how} is a gap`, {}, async (sentinels) => {
      const url = `${sentinels.url("redis")}&timeout=60s`;
      await using broadcast = new Broadcast(url);
      await using other = new Broadcast(url);
      const channel = uniqueChannel();
      const subscription = await broadcast.subscribe(channel);
      await other.publish(channel, "before");
      assertEquals(await messages(subscription, 1), ["before"]);
      await replace(sentinels, broadcast, how);
      const after = await reached(other, channel, take(subscription, 1));
      assertEquals(after[0]!.gap?.cause, "disconnect");
      assertEquals(await sentinels.master(), 1);
    });

    each(`redis-stream: a master that ${how} is none`, {}, async (sentinels) => {
      await using broadcast = new Broadcast(`${sentinels.url("redis-stream")}&timeout=60s`);
      const gaps: unknown[] = [];
      broadcast.addEventListener("gap", ({ gap }) => gaps.push(gap));
      const channel = uniqueChannel();
      const subscription = await broadcast.subscribe(channel);
      await Promise.all(numbered(100).map((message) => broadcast.publish(channel, message)));
      const master = new Redis(sentinels.servers[0].url);
      assertEquals(await master.wait(1, 5_000), 1);
      await closed(master);
      await replace(sentinels, broadcast, how);
      await broadcast.publish(channel, "after");
      assertEquals(await messages(subscription, 101), [...numbered(100), "after"]);
      assertEquals(gaps, []);
    });
  }
});

Deno.test("redis: a URL with several hosts that contradicts itself is refused", async () => {
  for (
    const [url, reason] of [
      [
        "redis://a,b?cluster=false",
        "several hosts are a cluster, or sentinels with sentinel=<name of the master>",
      ],
      [
        "redis://a,b?cluster=true&sentinel=c",
        "several hosts are a cluster, or sentinels with sentinel=<name of the master>",
      ],
      ["redis://a,b?cluster=yes", 'parameter "cluster" must be one of true, false, it is "yes"'],
      ["redis://a?sentinel=", 'parameter "sentinel" must be the name of a master, it is ""'],
      [
        "redis://a?sentinelPassword=secret",
        "sentinelUsername and sentinelPassword need sentinel=<name of the master>",
      ],
      ["redis-stream://a?ca=ca.pem", 'parameter "ca" needs TLS, use rediss-stream://'],
      ["rediss://a,b/1", "a cluster has only the database 0"],
    ] as const
  ) {
    await using broadcast = new Broadcast(url);
    const error = await assertRejects(() => broadcast.connect(), TypeError);
    assertEquals(error.message, `Cannot open "${url.replace(/\?.*/, "")}": ${reason}`);
  }
});

/** A case with sentinels of its own. */
function each(
  what: string,
  options: SentinelOptions,
  body: (sentinels: RedisSentinels) => Promise<void>,
): void {
  Deno.test(`redis sentinel: ${what}`, async () => {
    await using sentinels = await start(options);
    await deadline(body(sentinels), PATIENCE);
  });
}

/** Puts the replica in the master's place, and waits until that is found. */
async function replace(
  sentinels: RedisSentinels,
  broadcast: Broadcast,
  how: string,
): Promise<void> {
  const again = state(broadcast, "reconnecting").then(() => state(broadcast, "connected"));
  if (how === "is killed") await sentinels.servers[0].stop("SIGKILL");
  else await sentinels.failover();
  await again;
}

/** Publishes until an event has come: where two connections are concerned, one may be first. */
async function reached(
  broadcast: Broadcast,
  channel: string,
  events: Promise<BroadcastEvent<unknown>[]>,
): Promise<BroadcastEvent<unknown>[]> {
  let done = false;
  void events.then(() => done = true);
  await until(async () => {
    await broadcast.publish(channel, "after").catch(() => {});
    return done;
  }, "Nothing arrives");
  return await events;
}
