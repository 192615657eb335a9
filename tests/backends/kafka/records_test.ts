/** Records, ours and those of others. */

import { Buffer } from "node:buffer";
import { assert, assertEquals, assertRejects } from "@std/assert";
import kafkajs from "kafkajs";
import { KafkaBackend } from "../../../backends/kafka/log.ts";
import { Address } from "../../../core/backend/address.ts";
import { Broadcast, bytes, RefusedError } from "../../../mod.ts";
import { messages, numbered, take, uniqueChannel } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { registrar } from "./outsider.ts";
import { withSnappy } from "./snappy.ts";

const { CompressionTypes } = kafkajs;

/** Cases on records. */
function records(url: string): void {
  const test = registrar(url);

  test("the wire carries the payload alone, with the channel as key", async (outsider) => {
    const channel = uniqueChannel();
    await using broadcast = new Broadcast(url);
    await broadcast.publish(channel, "hello");
    await Promise.all(["a", ""].map((message) => broadcast.publish(channel, message)));
    assertEquals(
      await outsider.read(channel, 3),
      ["hello", "a", ""].map((value) => ({ key: channel, value })),
    );
  });

  test("what others publish arrives, with any key and headers", async (outsider) => {
    const channel = uniqueChannel();
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe(channel);
    await outsider.publish(channel, [
      { value: "no key" },
      { key: "a key", value: "a key", headers: { type: "greeting" }, timestamp: "1" },
    ]);
    assertEquals(await messages(subscription, 2), ["no key", "a key"]);
  });

  test("records without a value are skipped", async (outsider) => {
    const channel = uniqueChannel();
    await using broadcast = new Broadcast(url);
    broadcast.addEventListener("messageerror", ({ error }) => assert(false, String(error)));
    const subscription = await broadcast.subscribe(channel);
    await outsider.publish(channel, [{ key: channel, value: null }, { value: "" }]);
    await outsider.publish(channel, [{ key: channel, value: null }]);
    await outsider.publish(channel, [{ value: "end" }]);
    assertEquals(await messages(subscription, 2), ["", "end"]);
  });

  test("the markers of transactions are skipped", async (outsider) => {
    const channel = await outsider.topic(1);
    await using broadcast = new Broadcast(url);
    broadcast.addEventListener("messageerror", ({ error }) => assert(false, String(error)));
    const subscription = await broadcast.subscribe(channel);
    const producer = outsider.kafka.producer({
      transactionalId: channel,
      maxInFlightRequests: 1,
      idempotent: true,
      createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
    });
    await producer.connect();
    for (const outcome of ["committed", "aborted"] as const) {
      const transaction = await producer.transaction();
      await transaction.send({ topic: channel, messages: [{ value: outcome }] });
      if (outcome === "committed") await transaction.commit();
      else await transaction.abort();
    }
    await producer.disconnect();
    // Two records and two markers, of which the last one takes its time.
    while ((await outsider.counts(channel))[0] !== 4);
    await broadcast.publish(channel, "end");
    assertEquals(await messages(subscription, 3), ["committed", "aborted", "end"]);
  });

  test("bytes that are no text are a messageerror and end nothing", async (outsider) => {
    const channel = uniqueChannel();
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe(channel);
    const other = await broadcast.subscribe(`${channel}-other`);
    const reported: unknown[] = [];
    broadcast.addEventListener("messageerror", ({ channel, payload, error }) => {
      reported.push([channel, [...payload as Uint8Array], (error as Error).name]);
    });
    await outsider.publish(channel, [{ value: Buffer.of(0xff, 0xfe) }, { value: "next" }]);
    assertEquals(await messages(subscription, 1), ["next"]);
    assertEquals(reported, [[channel, [0xff, 0xfe], "TypeError"]]);
    await broadcast.publish(`${channel}-other`, "beside");
    assertEquals(await messages(other, 1), ["beside"]);
  });

  test("gzip is read", async (outsider) => {
    const channel = uniqueChannel();
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe(channel);
    const values = numbered(100).map((value) => ({ value }));
    await outsider.publish(channel, values, CompressionTypes.GZIP);
    assertEquals(await messages(subscription, 100), numbered(100));
  });

  test("a codec that is not there ends the subscriptions of its topic alone", async (outsider) => {
    await using broadcast = new Broadcast(url);
    const [squeezed, ...others] = [uniqueChannel(), uniqueChannel(), uniqueChannel()] as const;
    const ending = await Promise.all([1, 2].map(() => broadcast.subscribe(squeezed)));
    const living = await Promise.all(others.map((other) => broadcast.subscribe(other)));
    await broadcast.publish(squeezed, "before");
    const squeeze = () =>
      outsider.publish(squeezed, [{ value: "squeezed" }], CompressionTypes.Snappy);
    await withSnappy(squeeze, { reads: false });
    for (const subscription of ending) {
      const events = subscription.getReader();
      assertEquals((await events.read()).value!.message, "before");
      const error = await assertRejects(() => events.read(), RefusedError);
      assertEquals(
        error.message,
        `Cannot subscribe to "${squeezed}": Snappy compression not implemented, register a codec for it in CompressionCodecs of kafkajs`,
      );
    }
    for (const [index, subscription] of living.entries()) {
      await broadcast.publish(others[index]!, "on we go");
      const [event] = await take(subscription, 1);
      assertEquals([event!.message, event!.gap], ["on we go", undefined]);
    }
    assertEquals(broadcast.state, "connected");
  });

  test("a codec that is registered in kafkajs is used", async (outsider) => {
    const channel = uniqueChannel();
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe(channel);
    await withSnappy(async () => {
      await outsider.publish(channel, [{ value: "squeezed" }], CompressionTypes.Snappy);
      assertEquals(await messages(subscription, 1), ["squeezed"]);
    });
  });

  test("a payload over the limit of the topic is refused", async () => {
    const channel = uniqueChannel();
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe(channel);
    const long = "x".repeat(1_100_000);
    const error = await assertRejects(() => broadcast.publish(channel, long), RangeError);
    assertEquals(error.message, tooLong(channel));
    await broadcast.publish(channel, "end");
    assertEquals(await messages(subscription, 1), ["end"]);
  });

  test("a payload over the limit takes no other of its turn along", async () => {
    const channel = uniqueChannel();
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe(channel);
    const outcomes = await Promise.allSettled(
      ["a", "b", "x".repeat(1_100_000), "c", "d"].map((one) => broadcast.publish(channel, one)),
    );
    assertEquals(
      outcomes.map((outcome) => outcome.status === "rejected" ? outcome.reason.message : "ok"),
      ["ok", "ok", tooLong(channel), "ok", "ok"],
    );
    assertEquals(await messages(subscription, 4), ["a", "b", "c", "d"]);
  });

  test("many payloads that are too much for one request arrive, in order", async (outsider) => {
    const channel = await outsider.topic(1, { "max.message.bytes": "20000" });
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe(channel);
    const texts = numbered(50).map((text) => text.padEnd(3_000, "."));
    await Promise.all(texts.map((message) => broadcast.publish(channel, message)));
    assertEquals(await messages(subscription, 50), texts);
  });

  test("a topic with a higher limit takes it", async (outsider) => {
    const channel = await outsider.topic(1, { "max.message.bytes": "20000000" });
    await using broadcast = new Broadcast(url, { codec: bytes() });
    const subscription = await broadcast.subscribe(channel);
    const payload = crypto.getRandomValues(new Uint8Array(60_000));
    const long = new Uint8Array(12_000_000);
    for (let at = 0; at < long.length; at += payload.length) long.set(payload, at);
    await broadcast.publish(channel, long);
    const [received] = await messages(subscription, 1) as Uint8Array[];
    assert(Buffer.from(received!).equals(long));
  });

  Deno.test("kafka: a payload over the largest request is refused at the call", () => {
    const backend = new KafkaBackend(new Address("kafka://localhost"));
    const most = 100 * 1024 * 1024 - 1024;
    backend.check("chatroom", new Uint8Array(most));
    try {
      backend.check("chatroom", new Uint8Array(most + 1));
      assert(false);
    } catch (error) {
      assertEquals(
        String(error),
        'RangeError: Cannot publish to "chatroom" on kafka: the payload exceeds 100 MiB',
      );
    }
  });
}

function tooLong(channel: string): string {
  return `Cannot publish to "${channel}" on kafka: the payload exceeds max.message.bytes of the topic`;
}

withBroker("kafka", records);
