/** Other programs on the same stream, or the same server. */

import { headers } from "@nats-io/transport-node";
import { assertEquals, assertRejects } from "@std/assert";
import { open } from "../../../../backends/nats/log.ts";
import { Address } from "../../../../core/backend/address.ts";
import { Broadcast, RefusedError } from "../../../../mod.ts";
import { messages, numbered, take, uniqueChannel } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { start } from "../../../services/nats.ts";
import { Proxy } from "../../../services/proxy.ts";
import { state } from "../../rig.ts";
import { Log } from "./stream.ts";

function strangers(url: string): void {
  Deno.test("nats-stream: what other programs publish to its subjects are events", async () => {
    await using log = await Log.open(url);
    await using broadcast = new Broadcast(Log.url(url, log.name));
    const subscription = await broadcast.subscribe("chat.room 1");
    await log.client.request(`${log.name}.chat.room%201`, "live");
    assertEquals(await messages(subscription, 1), ["live"]);
    assertEquals((await broadcast.history("chat.room 1")).length, 1);
    // What no channel is called like is passed over, and does no harm.
    const all = await broadcast.subscribe({ pattern: "*" });
    await log.client.request(`${log.name}.not%a`, "nobody's");
    await broadcast.publish("a", "somebody's");
    assertEquals(await messages(all, 1), ["somebody's"]);
  });

  Deno.test("nats-stream: what is told live and does not follow is looked up", async () => {
    await using log = await Log.open(url);
    await using broadcast = new Broadcast(Log.url(url, log.name));
    const subscription = await broadcast.subscribe("x");
    await broadcast.publish("x", "a");
    // Whoever may publish there can only make a subscriber read: what is stored is what counts.
    for (const [sequence, before] of [[5, 4], [1, 0], [3, 2]]) {
      const forged = headers();
      forged.set("Nats-Sequence", `${sequence}`);
      forged.set("Nats-Last-Sequence", `${before}`);
      log.client.publish(`${log.name}-live.x`, "forged", { headers: forged });
    }
    log.client.publish(`${log.name}-live.x`, "bare");
    await log.client.flush();
    await broadcast.publish("x", "b");
    const events = await take(subscription, 2);
    assertEquals(events.map(({ message, gap }) => [message, gap]), [
      ["a", undefined],
      ["b", undefined],
    ]);
    assertEquals((await broadcast.history("x")).map(({ id }) => id), events.map(({ id }) => id));
  });

  Deno.test("nats-stream: a stream is created with the limits of the URL", async () => {
    await using log = await Log.open(
      url,
      "&retention=12h&maxBytes=1000000&maxlen=7&storage=memory",
    );
    const { config } = await log.manager.streams.info(log.name);
    assertEquals(
      [config.max_age, config.max_bytes, config.max_msgs_per_subject, config.storage],
      [12 * 3_600e9, 1_000_000, 7, "memory"],
    );
    // One that is there keeps the limits that it has.
    await using other = new Broadcast(Log.url(url, log.name, "&retention=1h"));
    await other.publish("x", "hello");
    assertEquals((await log.manager.streams.info(log.name)).config.max_age, 12 * 3_600e9);
  });

  Deno.test("nats-stream: a stream that is not republished is refused", async () => {
    await using log = await Log.open(url);
    const name = uniqueChannel();
    await log.manager.streams.add({ name, subjects: [`${name}.>`] });
    await using broadcast = new Broadcast(Log.url(url, name));
    await assertRejects(() => broadcast.connect(), RefusedError, "is not one of ours");
    await log.manager.streams.delete(name);
  });

  Deno.test("nats-stream: a server without JetStream is refused", async () => {
    await using server = await start({ jetstream: false });
    await using broadcast = new Broadcast(`nats-stream://127.0.0.1:${server.port}`);
    const error = await assertRejects(() => broadcast.subscribe("x"), RefusedError);
    assertEquals(
      error.message,
      `Cannot connect to nats-stream://127.0.0.1:${server.port}: the server has no JetStream, start it with -js`,
    );
  });

  Deno.test("nats-stream: a server that restarts without its data says so", async () => {
    await using server = await start();
    await using broadcast = new Broadcast(
      `nats-stream://127.0.0.1:${server.port}?storage=memory&timeout=60s`,
    );
    const subscription = await broadcast.subscribe("x");
    await broadcast.publish("x", "before");
    const [before] = await take(subscription, 1);
    const gap = new Promise((resolve) =>
      broadcast.addEventListener("gap", (event) => resolve(event.gap))
    );
    await server.stop("SIGKILL");
    await server.restart();
    assertEquals(await gap, { cause: "reset", after: before!.id });
    await broadcast.publish("x", "after");
    const [after] = await take(subscription, 1);
    assertEquals([after!.message, after!.gap?.cause], ["after", "reset"]);
  });

  Deno.test("nats-stream: a subscriber that the server finds too slow loses nothing", async () => {
    await using server = await start({ config: 'write_deadline: "200ms"\nmax_pending: 8000000' });
    await using proxy = await Proxy.start(server.port);
    await using slow = new Broadcast(`nats-stream://127.0.0.1:${proxy.port}`);
    await using publisher = new Broadcast(`nats-stream://127.0.0.1:${server.port}`);
    const subscription = await slow.subscribe("x");
    const lost = state(slow, "reconnecting");
    proxy.stall();
    const large = numbered(300).map((message) => message.padEnd(100_000));
    for (const message of large) await publisher.publish("x", message);
    proxy.cut();
    proxy.resume();
    await lost;
    const events = await take(subscription, large.length);
    assertEquals(events.map(({ message }) => message), large);
    assertEquals(events.some(({ gap }) => gap), false);
  });

  Deno.test("nats-stream: a thousand tails of one process, each with its own event", async () => {
    await using log = await Log.open(url);
    await using broadcast = new Broadcast(Log.url(url, log.name));
    const channels = numbered(1_000, "tail-");
    const subscriptions = await Promise.all(channels.map((one) => broadcast.subscribe(one)));
    await Promise.all(channels.map((one) => broadcast.publish(one, one)));
    const received = await Promise.all(subscriptions.map((one) => messages(one, 1)));
    assertEquals(received.flat(), channels);
  });
}

Deno.test("nats-stream: limits and names that are none are refused", async () => {
  const wrong = ["maxlen=many", "maxBytes=-1", "retention=soon", "storage=tape", "stream=a.b"];
  for (const parameter of wrong) {
    const [name] = parameter.split("=");
    const address = new Address(`nats-stream://localhost?${parameter}`);
    await assertRejects(() => Promise.resolve().then(() => open(address)), TypeError, name!);
  }
});

withBroker("nats", strangers);
