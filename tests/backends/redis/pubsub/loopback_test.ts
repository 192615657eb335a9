/** Subscribers that hear nothing, although they are connected. Each case has servers of its own. */

import { assertEquals, assertRejects } from "@std/assert";
import { deadline } from "@std/async";
import { Broadcast, RefusedError } from "../../../../mod.ts";
import { messages, take } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { Proxy } from "../../../services/proxy.ts";
import { state } from "../../rig.ts";
import { OwnServer, statesOf } from "../own_server.ts";

const PATIENCE = 60_000;

withBroker("redis", () => {
  test("connections that lead to two servers are refused, in words", async (own) => {
    await using other = await OwnServer.start();
    await using proxy = await Proxy.start(own.server.port);
    await using broadcast = new Broadcast(proxy.url(own.url("redis")));
    await broadcast.connect();
    // As behind a balancer: the second connection leads elsewhere.
    proxy.redirect(other.server.port);
    const error = await assertRejects(() => broadcast.subscribe("one"), RefusedError);
    assertEquals(
      error.message,
      'Cannot subscribe to "one": published messages do not reach the subscribers of the ' +
        "server: do all connections lead to the same server? Use the address of the master, " +
        "not of a load balancer",
    );
    // Once it does, a new subscription is proven.
    proxy.redirect(own.server.port);
    proxy.cut();
    const subscription = await broadcast.subscribe("one");
    await broadcast.publish("one", "hello");
    assertEquals(await messages(subscription, 1), ["hello"]);
  });

  test("a subscriber that has gone deaf is lost", async (own) => {
    await using proxy = await Proxy.start(own.server.port);
    await using broadcast = new Broadcast(`${proxy.url(own.url("redis"))}?probe=1s`);
    const subscription = await broadcast.subscribe("one");
    const lost = state(broadcast, "reconnecting");
    // Replies still come, and what was published does not.
    proxy.rewrite = (chunk) => {
      const text = new TextDecoder("latin1").decode(chunk);
      return new TextEncoder().encode(text.replaceAll("\r\nmessage\r\n", "\r\nmassage\r\n"));
    };
    await lost;
    proxy.rewrite = (chunk) => chunk;
    await own.called("subscribe", 1);
    await broadcast.publish("one", "hello");
    const [event] = await take(subscription, 1);
    assertEquals([event!.message, event!.gap?.cause], ["hello", "disconnect"]);
  });

  test("a first subscription on a wire that stands still waits for another", async (own) => {
    await using proxy = await Proxy.start(own.server.port);
    await using broadcast = new Broadcast(`${proxy.url(own.url("redis"))}?timeout=30s`);
    await broadcast.connect();
    const lost = state(broadcast, "reconnecting");
    // The subscriber opens, and the token is swallowed with all that comes after it.
    let isOpen = false;
    proxy.rewrite = (chunk) => {
      const text = new TextDecoder("latin1").decode(chunk);
      isOpen ||= text.includes("subscribe");
      if (isOpen) proxy.stall();
      return chunk;
    };
    const subscribing = broadcast.subscribe("one");
    await lost;
    proxy.rewrite = (chunk) => chunk;
    proxy.cut();
    proxy.resume();
    const subscription = await subscribing;
    await broadcast.publish("one", "hello");
    assertEquals(await messages(subscription, 1), ["hello"]);
  });

  test("a process that only publishes opens one connection", async (own) => {
    await using broadcast = new Broadcast(`${own.url("redis")}?probe=1s`);
    await broadcast.publish("one", "hello");
    await own.called("role", 3);
    const clients = String(await own.call("CLIENT LIST"));
    assertEquals(clients.trim().split("\n").length, 2);
    assertEquals(await own.call("PUBSUB CHANNELS"), []);
  });

  test("tokens go to one process, and are seen by no subscription", async (own) => {
    const url = `${own.url("redis")}?probe=1s`;
    await using broadcast = new Broadcast(`${url}&prefix=app:`);
    await using plain = new Broadcast(url);
    const subscriptions = [
      await broadcast.subscribe({ pattern: "*" }),
      await plain.subscribe({ pattern: "*" }),
    ];
    const states = statesOf(broadcast);
    const channels = await own.call("PUBSUB CHANNELS") as string[];
    assertEquals(channels.sort().map((name) => name.replace(/:\w{12}\./, ":.")), [
      "app:broadcaster-loopback:.-control",
      "broadcaster-loopback:.-control",
    ]);
    await own.called("publish", 4);
    await broadcast.publish("one", "hello");
    const events = await Promise.all(subscriptions.map((each) => take(each, 1)));
    assertEquals(events.flat().map(({ channel }) => channel), ["one", "app:one"]);
    assertEquals(states, []);
  });

  test("a busy subscriber is sent no tokens", async (own) => {
    await using broadcast = new Broadcast(`${own.url("redis")}?probe=1s`);
    const subscription = await broadcast.subscribe("one");
    const before = await own.calls("publish");
    let published = 0;
    const role = await own.calls("role");
    while (await own.calls("role") < role + 4) {
      await broadcast.publish("one", `${published++}`);
      await messages(subscription, 1);
    }
    assertEquals(await own.calls("publish") - before, published);
  });
});

function test(name: string, body: (own: OwnServer) => Promise<void>): void {
  Deno.test(`redis: ${name}`, async () => {
    await using own = await OwnServer.start();
    await deadline(body(own), PATIENCE);
  });
}
