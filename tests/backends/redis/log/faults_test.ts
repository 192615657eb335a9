/** Lost connections and servers: a log loses nothing. Each case has a broker of its own. */

import { assertEquals, assertRejects } from "@std/assert";
import { deadline } from "@std/async";
import { Redis } from "ioredis";
import { Broadcast, ConnectionError, type Gap } from "../../../../mod.ts";
import { messages, numbered, take, uniqueChannel } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { Proxy } from "../../../services/proxy.ts";
import { start } from "../../../services/redis.ts";
import { until } from "../../../services/service.ts";
import { faults } from "../../faults.ts";
import { Rig, state } from "../../rig.ts";
import { DURABLE, rig, type StreamRig } from "./rig.ts";
import { closed } from "./stream.ts";

const PATIENCE = 120_000;

withBroker("redis", () => {
  faults("redis-stream", async () => {
    // The log outlives the process that is killed.
    const server = await start({ args: DURABLE });
    return new Rig(server, await Proxy.start(server.port), "redis-stream");
  }, { log: true, keys: true });
  ofStreams();
});

/** The cases of streams alone. */
function ofStreams(): void {
  fault("a cut connection loses nothing, and is no gap", [], async ({ proxy, server, url }) => {
    await using broadcast = new Broadcast(url);
    await using other = new Broadcast(server.url.replace("redis:", "redis-stream:"));
    const gaps = gapsOf(broadcast);
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe(channel);
    await other.publish(channel, "before");
    assertEquals(await messages(subscription, 1), ["before"]);
    for (let round = 0; round < 3; round++) {
      const lost = state(broadcast, "reconnecting");
      proxy.cut();
      await lost;
      const meanwhile = numbered(500, `r${round}-`);
      await Promise.all(meanwhile.map((message) => other.publish(channel, message)));
      assertEquals(await messages(subscription, 500), meanwhile);
    }
    assertEquals(gaps, []);
  });

  for (const which of ["normal", "pubsub"] as const) {
    fault(`a lost ${which} connection takes the other one with it`, [], async ({ url, server }) => {
      await using broadcast = new Broadcast(url);
      const gaps = gapsOf(broadcast);
      const channels = Array.from({ length: 20 }, uniqueChannel);
      const subscriptions = await Promise.all(channels.map((one) => broadcast.subscribe(one)));
      const again = state(broadcast, "reconnecting").then(() => state(broadcast, "connected"));
      const admin = new Redis(server.url);
      await admin.call("CLIENT", "KILL", "TYPE", which, "SKIPME", "yes");
      await again;
      await Promise.all(channels.map((one) => broadcast.publish(one, `to ${one}`)));
      for (const [index, subscription] of subscriptions.entries()) {
        assertEquals(await messages(subscription, 1), [`to ${channels[index]}`]);
      }
      assertEquals(gaps, []);
      const clients = String(await admin.call("CLIENT", "LIST"));
      assertEquals(clients.match(/ name= /g)?.length, 3);
      await closed(admin);
    });
  }

  fault("a half-open connection is found by the probe", [], async ({ proxy, server, url }) => {
    await using broadcast = new Broadcast(`${url}?probe=300ms`);
    await using other = new Broadcast(server.url.replace("redis:", "redis-stream:"));
    const gaps = gapsOf(broadcast);
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe(channel);
    const lost = state(broadcast, "reconnecting");
    proxy.stall();
    await other.publish(channel, "meanwhile");
    await lost;
    proxy.cut();
    proxy.resume();
    assertEquals(await messages(subscription, 1), ["meanwhile"]);
    assertEquals(gaps, []);
  });

  fault("a broker that restarts with its data is no gap", DURABLE, async ({ server, url }) => {
    await using broadcast = new Broadcast(`${url}?timeout=60s`);
    const gaps = gapsOf(broadcast);
    const channels = Array.from({ length: 20 }, uniqueChannel);
    const subscriptions = await Promise.all(channels.map((one) => broadcast.subscribe(one)));
    for (const [index, one] of channels.entries()) {
      await broadcast.publish(one, "before");
      assertEquals(await messages(subscriptions[index]!, 1), ["before"]);
    }
    const lost = state(broadcast, "reconnecting");
    await server.stop("SIGKILL");
    await lost;
    const published = numbered(20).map((message) => broadcast.publish(channels[0]!, message));
    await server.restart();
    await Promise.all(published);
    await Promise.all(channels.slice(1).map((one) => broadcast.publish(one, `to ${one}`)));
    assertEquals(await messages(subscriptions[0]!, 20), numbered(20));
    for (const [index, subscription] of subscriptions.entries()) {
      if (index > 0) assertEquals(await messages(subscription, 1), [`to ${channels[index]}`]);
    }
    assertEquals(gaps, []);
  });

  fault("a broker that restarts without its data says so", [], async ({ server, url }) => {
    await using broadcast = new Broadcast(`${url}?timeout=60s`);
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "before");
    const [before] = await take(subscription, 1);
    const gap = new Promise((resolve) =>
      broadcast.addEventListener("gap", (event) => resolve(event.gap))
    );
    await server.stop("SIGKILL");
    await server.restart();
    assertEquals(await gap, { cause: "reset", after: before!.id });
    await broadcast.publish(channel, "after");
    const [after] = await take(subscription, 1);
    assertEquals([after!.message, after!.gap?.cause], ["after", "reset"]);
  });

  fault("messages wait while a server is a replica, in order", [], async ({ server, url }) => {
    await using broadcast = new Broadcast(`${url}?timeout=60s`);
    const channel = uniqueChannel();
    await broadcast.publish(channel, "before");
    const lost = state(broadcast, "reconnecting");
    const admin = new Redis(server.url);
    // As behind a name that leads to another server by now: the connection outlives the change.
    await admin.replicaof("127.0.0.1", 1);
    const published = numbered(20).map((message) => broadcast.publish(channel, message));
    await lost;
    published.push(broadcast.publish(channel, "after"));
    await admin.replicaof("NO", "ONE");
    await Promise.all(published);
    const history = await broadcast.history(channel);
    assertEquals(history.map(({ message }) => message), ["before", ...numbered(20), "after"]);
    await closed(admin);
  });

  fault("a cut behind pages and a sweep in flight ends no process", [], async ({ proxy, url }) => {
    await using broadcast = new Broadcast(url);
    const channels = Array.from({ length: 5 }, uniqueChannel);
    const subscriptions = await Promise.all(channels.map((one) => broadcast.subscribe(one)));
    for (let round = 0; round < 5; round++) {
      const lost = state(broadcast, "reconnecting");
      const again = lost.then(() => state(broadcast, "connected"));
      let isAsked = false;
      proxy.rewrite = (chunk) => {
        isAsked = true;
        return chunk;
      };
      // A sweep is due every 50 ms: one has been answered, and the next is under way.
      await until(() => isAsked, "No sweep");
      proxy.stall();
      const fresh = Array.from({ length: 5 }, uniqueChannel);
      const pages = fresh.map((one) => broadcast.history(one));
      const opening = fresh.map((one) => broadcast.subscribe(one));
      // Time for a sweep behind them, which the server cannot be asked about.
      await new Promise((resolve) => setTimeout(resolve, 60));
      proxy.cut();
      proxy.resume();
      await again;
      await Promise.all([...pages, ...opening]);
    }
    await Promise.all(channels.map((one) => broadcast.publish(one, "hello")));
    for (const one of subscriptions) assertEquals(await messages(one, 1), ["hello"]);
  });

  fault("history waits for no connection that is lost for good", [], async ({ proxy, url }) => {
    await using broadcast = new Broadcast(`${url}?timeout=300ms`);
    const channel = uniqueChannel();
    await broadcast.publish(channel, "x");
    const lost = state(broadcast, "reconnecting");
    proxy.refuse();
    proxy.cut();
    // A process that only publishes learns of it when it is used, or by the probe.
    await broadcast.publish(channel, "y").catch(() => {});
    await lost;
    await assertRejects(() => broadcast.history(channel), ConnectionError);
    await proxy.accept();
  });
}

function fault(
  what: string,
  args: string[],
  body: (rig: StreamRig) => Promise<void>,
): void {
  Deno.test(`redis-stream: ${what}`, async () => {
    await using own = await rig(args);
    await deadline(body(own), PATIENCE);
  });
}

function gapsOf(broadcast: Broadcast): Gap[] {
  const gaps: Gap[] = [];
  broadcast.addEventListener("gap", ({ gap }) => gaps.push(gap));
  return gaps;
}
