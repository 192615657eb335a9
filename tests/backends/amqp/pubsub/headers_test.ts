/** Headers as other programs have them in their tables, and what RabbitMQ has in there. */

import { Buffer } from "node:buffer";
import { assertEquals, assertRejects } from "@std/assert";
import { type ChannelModel, type ConfirmChannel, connect } from "amqplib";
import { headersFrom } from "../../../../backends/amqp/headers.ts";
import { amqp } from "../../../../backends/amqp/pubsub.ts";
import { Broadcast, RefusedError } from "../../../../mod.ts";
import { take, uniqueChannel } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { FREE, refusesReserved, STRANGE } from "../header_cases.ts";

/** Cases on headers. */
function headers(url: string): void {
  Deno.test("amqp: other programs read headers as texts beside ours, and their own arrive", async () => {
    const channel = uniqueChannel();
    await using broadcast = new Broadcast(url);
    await using stranger = await Stranger.open(url);
    const subscriptions = [
      await broadcast.subscribe(channel),
      await broadcast.subscribe({ pattern: `${channel}*` }),
    ];
    const { first } = await stranger.hear(channel);
    const some = { trace: "é 🎉", "x-request-id": "", constructor: "c" };
    await broadcast.publish(channel, "ours", { headers: some });
    const { "broadcaster-sequence": sequence, ...theirs } = await first;
    assertEquals(theirs, some);
    assertEquals(typeof sequence, "string");
    await stranger.publish(channel, STRANGE.given);
    for (const subscription of subscriptions) {
      const events = await take(subscription, 2);
      assertEquals(events.map(({ headers }) => headers), [some, STRANGE.arrives]);
    }
    assertEquals("polluted" in {}, false);
  });

  Deno.test("amqp: a header that the client loses on Node.js travels twice", async () => {
    const channel = uniqueChannel();
    await using broadcast = new Broadcast(url);
    await using stranger = await Stranger.open(url);
    const { first } = await stranger.hear(channel);
    const given = Object.fromEntries([["__proto__", "p"]]);
    await broadcast.publish(channel, "m", { headers: given });
    const { "broadcaster-sequence": _, ...theirs } = await first;
    // This is what Node.js has of it.
    assertEquals(theirs["broadcaster-proto"], "p");
    assertEquals(headersFrom({ "broadcaster-proto": "p", a: "b" }), { ...given, a: "b" });
    // And this of a table of that name.
    assertEquals(headersFrom(Object.create({ polluted: "yes" })), undefined);
  });

  Deno.test("amqp: headers that RabbitMQ goes by are refused, and no others", async () => {
    const channel = uniqueChannel();
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe(channel);
    await refusesReserved(broadcast, channel, "amqp");
    await broadcast.publish(channel, "m", { headers: FREE });
    assertEquals((await take(subscription, 1))[0]!.headers, FREE);
  });

  Deno.test("amqp: what RabbitMQ says of a dead letter is not among its headers", async () => {
    const channel = uniqueChannel();
    await using broadcast = new Broadcast(url);
    await using stranger = await Stranger.open(url);
    const subscription = await broadcast.subscribe(channel);
    const { first } = await stranger.hear(channel);
    const { queue } = await stranger.lane.assertQueue("", {
      ...{ exclusive: true, messageTtl: 0 },
      ...{ deadLetterExchange: "broadcaster", deadLetterRoutingKey: channel },
    });
    stranger.lane.sendToQueue(queue, Buffer.from("dead"), { headers: { trace: "t" } });
    assertEquals((await take(subscription, 1))[0]!.headers, { trace: "t" });
    assertEquals((await first)["x-first-death-reason"], "expired");
  });

  Deno.test("amqp: a header's name of more than 255 bytes is refused, the longest one works", async () => {
    const channel = uniqueChannel();
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe(channel);
    const longest = { ["n".repeat(255)]: "v" };
    await broadcast.publish(channel, "m", { headers: longest });
    assertEquals((await take(subscription, 1))[0]!.headers, longest);
    await assertRejects(
      () => broadcast.publish(channel, "m", { headers: { ["n".repeat(256)]: "v" } }),
      RangeError,
      `Cannot publish to "${channel}" on amqp: a header's name has 256 bytes, the limit is 255`,
    );
  });

  Deno.test("amqp: headers that no frame of the connection holds are refused, and lose nothing", async () => {
    const client = await connect(`${url}?frameMax=8192`);
    const channel = uniqueChannel();
    const broadcast = new Broadcast(amqp({ client }));
    const subscription = await broadcast.subscribe(channel);
    const most = { h: "x".repeat(8_192 - 256 - 7) };
    const outcomes = await Promise.allSettled([
      broadcast.publish(channel, "one", { headers: most }),
      broadcast.publish(channel, "two", { headers: { h: `${most.h}x` } }),
      broadcast.publish(channel, "three"),
    ]);
    assertEquals(outcomes.map(({ status }) => status), ["fulfilled", "rejected", "fulfilled"]);
    const { reason } = outcomes[1] as PromiseRejectedResult;
    assertEquals(
      [reason instanceof RefusedError, reason.message],
      [
        true,
        `Cannot publish to "${channel}": the headers take 7937 bytes, a frame of this connection has room for 7936`,
      ],
    );
    const [one, three] = await take(subscription, 2);
    assertEquals([one!.headers, one!.gap, three!.message, three!.gap], [
      ...[most, undefined],
      ...["three", undefined],
    ]);
    await broadcast.disconnect();
    await client.close();
  });
}

/** A bare client, as another program has it. */
class Stranger implements AsyncDisposable {
  readonly lane: ConfirmChannel;
  readonly #client: ChannelModel;

  private constructor(client: ChannelModel, lane: ConfirmChannel) {
    this.#client = client;
    this.lane = lane;
  }

  static async open(url: string): Promise<Stranger> {
    const client = await connect(url);
    const lane = await client.createConfirmChannel();
    await lane.assertExchange("broadcaster", "topic", { durable: true });
    return new Stranger(client, lane);
  }

  /** Listens: to what comes with the first message. */
  async hear(channel: string): Promise<{ first: Promise<Record<string, unknown>> }> {
    const { promise, resolve } = Promise.withResolvers<Record<string, unknown>>();
    const { queue } = await this.lane.assertQueue("", { exclusive: true });
    await this.lane.bindQueue(queue, "broadcaster", channel);
    await this.lane.consume(
      queue,
      (message) => resolve({ ...message?.properties.headers }),
      { noAck: true },
    );
    return { first: promise };
  }

  async publish(channel: string, headers: Record<string, unknown>): Promise<void> {
    this.lane.publish("broadcaster", channel, Buffer.from("theirs"), { headers });
    await this.lane.waitForConfirms();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.close();
  }
}

withBroker("amqp", headers);
