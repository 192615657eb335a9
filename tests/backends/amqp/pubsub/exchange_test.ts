/** `amqp://`, while somebody deletes and recreates what its events travel through. */

import { assertEquals, assertRejects } from "@std/assert";
import { type Channel, type ChannelModel, connect } from "amqplib";
import { amqp } from "../../../../backends/amqp/pubsub.ts";
import { Broadcast, type GapEvent, RefusedError, type StateChangeEvent } from "../../../../mod.ts";
import { messages, take, uniqueChannel } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";

/** An exchange of a test's own, and somebody who may do anything to it. */
async function withExchange(
  url: string,
  body: (exchange: string, admin: () => Promise<Channel>) => Promise<void>,
): Promise<void> {
  const exchange = uniqueChannel();
  const client = await connect(url);
  try {
    await body(exchange, () => client.createChannel());
  } finally {
    await (await client.createChannel()).deleteExchange(exchange);
    await client.close();
  }
}

/** The names of the queues that are declared on a connection. */
function queuesOf(client: ChannelModel): string[] {
  const queues: string[] = [];
  const make = client.createChannel.bind(client);
  client.createChannel = async () => {
    const made = await make();
    const assert = made.assertQueue.bind(made);
    made.assertQueue = async (...args) => {
      const asserted = await assert(...args);
      queues.push(asserted.queue);
      return asserted;
    };
    return made;
  };
  return queues;
}

function next<Told>(broadcast: Broadcast, type: "gap" | "statechange"): Promise<Told> {
  return new Promise((resolve) =>
    broadcast.addEventListener(type, (event) => resolve(event as Told), { once: true })
  );
}

withBroker("amqp", (url) => {
  Deno.test("amqp: an exchange that is deleted while running is declared and bound again, with a gap", () =>
    withExchange(url, async (exchange, admin) => {
      await using broadcast = new Broadcast(`${url}?exchange=${exchange}`);
      const states: string[] = [];
      broadcast.addEventListener("statechange", ({ state }) => states.push(state));
      const subscription = await broadcast.subscribe("chat");
      await broadcast.publish("chat", "before");
      assertEquals(await messages(subscription, 1), ["before"]);
      const told = next<GapEvent>(broadcast, "gap");
      await (await admin()).deleteExchange(exchange);
      // Nothing is stored where there is no exchange, so the message is sent again.
      await broadcast.publish("chat", "after");
      assertEquals((await told).gap.cause, "disconnect");
      await broadcast.publish("chat", "again");
      const event = (await take(subscription, 1))[0]!;
      assertEquals(event.gap?.cause, "disconnect");
      assertEquals(states, ["connecting", "connected"]);
    }));

  Deno.test("amqp: a subscriber finds out that its exchange was recreated without its binding", () =>
    withExchange(url, async (exchange, admin) => {
      await using broadcast = new Broadcast(`${url}?exchange=${exchange}&probe=1s`);
      const subscriptions = [
        await broadcast.subscribe("chat"),
        await broadcast.subscribe({ pattern: "ch*" }),
      ];
      const told = next<GapEvent>(broadcast, "gap");
      const lane = await admin();
      await lane.deleteExchange(exchange);
      await lane.assertExchange(exchange, "topic", { durable: true });
      assertEquals((await told).gap.cause, "disconnect");
      await using other = new Broadcast(`${url}?exchange=${exchange}`);
      for (const subscription of subscriptions) {
        const arriving = take(subscription, 1);
        const stop = new AbortController();
        // Until the tail is open again, what is published is lost inside of the gap.
        const publishing = (async () => {
          while (!stop.signal.aborted) await other.publish("chat", "hello");
        })();
        const event = (await arriving)[0]!;
        stop.abort();
        await publishing;
        assertEquals([event.message, event.gap?.cause], ["hello", "disconnect"]);
      }
    }));

  Deno.test("amqp: an exchange that is recreated with another type ends subscriptions with the reason", () =>
    withExchange(url, async (exchange, admin) => {
      await using broadcast = new Broadcast(`${url}?exchange=${exchange}&probe=1s`);
      const subscription = await broadcast.subscribe("chat");
      const lane = await admin();
      await lane.deleteExchange(exchange);
      await lane.assertExchange(exchange, "fanout", { durable: true });
      const error = await assertRejects(() => take(subscription, 1), RefusedError);
      assertEquals(error.message.includes("inequivalent arg 'type'"), true, error.message);
      assertEquals(broadcast.state, "connected");
    }));

  Deno.test("amqp: a binding that was removed is bound again once an own message does not arrive, with a gap", () =>
    withExchange(url, async (exchange) => {
      const client = await connect(url);
      const queues = queuesOf(client);
      const broadcast = new Broadcast(
        amqp({ client, url: `${url}?exchange=${exchange}&probe=1s` }),
      );
      const subscription = await broadcast.subscribe("chat");
      await broadcast.publish("chat", "before");
      assertEquals(await messages(subscription, 1), ["before"]);
      const told = next<GapEvent>(broadcast, "gap");
      // A queue is of its connection alone.
      await (await client.createChannel()).unbindQueue(queues.at(-1)!, exchange, "chat");
      await broadcast.publish("chat", "lost");
      assertEquals((await told).gap.cause, "disconnect");
      await broadcast.publish("chat", "after");
      const event = (await take(subscription, 1))[0]!;
      assertEquals([event.message, event.gap?.cause], ["after", "disconnect"]);
      await broadcast.disconnect();
      await client.close();
    }));

  Deno.test("amqp: tokens reach nobody else, and a quiet subscription stays as it is", () =>
    withExchange(url, async (exchange, admin) => {
      await using broadcast = new Broadcast(`${url}?exchange=${exchange}&probe=500ms`);
      const gaps: GapEvent[] = [];
      const states: StateChangeEvent[] = [];
      broadcast.addEventListener("gap", (event) => gaps.push(event));
      broadcast.addEventListener("statechange", (event) => states.push(event));
      await using other = new Broadcast(`${url}?exchange=${exchange}&probe=500ms`);
      const all = await broadcast.subscribe({ pattern: "*" });
      const quiet = await broadcast.subscribe("quiet");
      const lane = await admin();
      const { queue } = await lane.assertQueue("", { exclusive: true });
      await lane.bindQueue(queue, exchange, "#");
      const tokens: unknown[] = [];
      await new Promise<void>((resolve) =>
        void lane.consume(queue, (message) => {
          tokens.push(message!.properties.headers!["broadcaster-token"]);
          if (tokens.length === 6) resolve();
        }, { noAck: true })
      );
      assertEquals(tokens.every((token) => typeof token === "string"), true);
      await other.publish("chat", "hello");
      assertEquals(await messages(all, 1), ["hello"]);
      await other.publish("quiet", "hello");
      assertEquals(await messages(quiet, 1), ["hello"]);
      assertEquals([gaps.length, states.map(({ state }) => state)], [0, [
        "connecting",
        "connected",
      ]]);
    }));
});
