/** What other programs do with the same streams, and the clients that users have. */

import { Buffer } from "node:buffer";
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { connect } from "amqplib";
import { amqpStream } from "../../../../backends/amqp/log.ts";
import { queueOf } from "../../../../backends/amqp/log/queue_name.ts";
import { Broadcast, ConnectionError, RefusedError } from "../../../../mod.ts";
import { messages, take, uniqueChannel } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { removeStreams } from "./remove.ts";
import { Stream } from "./stream.ts";

function strangers(url: string): void {
  const scheme = url.replace(/^amqp/, "amqp-stream");

  Deno.test("amqp-stream: other programs share a stream both ways, with the payload alone", async () => {
    await using stream = await Stream.open(url);
    await using broadcast = new Broadcast(scheme);
    const subscription = await broadcast.subscribe(stream.name);
    await stream.publish("theirs");
    await broadcast.publish(stream.name, "ours");
    assertEquals(await messages(subscription, 2), ["theirs", "ours"]);
    const heard = (await stream.heard(2)).map(({ content }) => content.toString());
    assertEquals(heard, ["theirs", "ours"]);
  });

  Deno.test("amqp-stream: events have the time that their publisher has given, in either header", async () => {
    await using stream = await Stream.open(url);
    await using broadcast = new Broadcast(scheme);
    const before = Date.now();
    await broadcast.publish(stream.name, "ours");
    const after = Date.now();
    const send = (options: object) =>
      void stream.lane.sendToQueue(stream.name, Buffer.from("x"), options);
    send({ timestamp: 1_700_000_000 });
    send({ headers: { timestamp_in_ms: 1_700_000_000_123 } });
    send({});
    await stream.lane.waitForConfirms();
    const [ours, ...theirs] = (await broadcast.history(stream.name)).map((event) =>
      event.timestamp
    );
    assertEquals(ours! >= before && ours! <= after, true);
    assertEquals(theirs, [1_700_000_000_000, 1_700_000_000_123, undefined]);
  });

  Deno.test("amqp-stream: a stream that is there keeps its own limits", async () => {
    await using stream = await Stream.open(url);
    await stream.makeSmall();
    await stream.publish("theirs");
    await using broadcast = new Broadcast(`${scheme}?retention=1h`);
    await broadcast.publish(stream.name, "ours");
    const events = await broadcast.history(stream.name);
    assertEquals(events.map(({ message }) => message), ["theirs", "ours"]);
  });

  Deno.test("amqp-stream: a queue that is no stream is refused", async () => {
    await using stream = await Stream.open(url);
    await stream.lane.assertQueue(stream.name, { durable: true });
    await using broadcast = new Broadcast(scheme);
    for (
      const use of [
        () => broadcast.publish(stream.name, "x"),
        () => broadcast.subscribe(stream.name),
      ]
    ) {
      const error = await assertRejects(use, RefusedError);
      assertMatch(error.message, /: queue "test-[^"]+" exists and is not a stream$/);
    }
  });

  Deno.test("amqp-stream: what the server reserves in a name, and drops from it, is encoded", async () => {
    assertEquals(
      ["chat.room", "amq.x", "amqx", "100%", "a\r\nb", "%0A"].map((name) => queueOf(name, "/")),
      ["chat.room", "%61mq.x", "amqx", "100%25", "a%0D%0Ab", "%250A"],
    );
    await using broadcast = new Broadcast(scheme);
    const channel = `amq.${uniqueChannel()}`;
    await broadcast.publish(channel, "x");
    const [event] = await broadcast.history(channel);
    assertEquals([event!.channel, event!.message], [channel, "x"]);
    await removeStreams(url, [queueOf(channel, "/")]);
  });

  Deno.test("amqp-stream: a name that the server has no folder for is refused, the longest one works", async () => {
    await using broadcast = new Broadcast(scheme);
    const prefix = uniqueChannel();
    const longest = prefix + "é".repeat(Math.floor((233 - prefix.length) / 2));
    await broadcast.publish(longest.padEnd(longest.length + (233 - prefix.length) % 2, "x"), "x");
    await removeStreams(url, [longest.padEnd(longest.length + (233 - prefix.length) % 2, "x")]);
    await assertRejects(
      () => broadcast.publish("x".repeat(234), "x"),
      RangeError,
      `on amqp-stream: its queue's name has 234 bytes, the limit is 233`,
    );
    assertEquals(queueOf("x".repeat(230), "four").length, 230);
  });

  Deno.test("amqp-stream: the user's connection is used, and never closed", async () => {
    const client = await connect(url);
    const channel = uniqueChannel();
    const broadcast = new Broadcast(amqpStream({ client }));
    const subscription = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "hello");
    assertEquals((await take(subscription, 1))[0]!.message, "hello");
    await broadcast.disconnect();
    const lane = await client.createChannel();
    await lane.deleteQueue(channel);
    await client.close();
    await using late = new Broadcast(amqpStream({ client }));
    await assertRejects(() => late.connect(), ConnectionError, "Cannot connect to amqp-stream");
  });
}

withBroker("amqp", strangers);
