/** Topics that match a pattern, and come and go. */

import { assert, assertEquals } from "@std/assert";
import type { FetchResponse } from "../../../backends/kafka/kafkajs.ts";
import { gapOf } from "../../../core/backend/continuity.ts";
import type { LogBreak } from "../../../core/backend/contract.ts";
import { Pattern } from "../../../core/backend/pattern.ts";
import { Position } from "../../../core/backend/position.ts";
import { Broadcast } from "../../../mod.ts";
import { messages, numbered, take, uniqueChannel } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { openInsides } from "./insides.ts";
import { at, brief, logRegistrar, payloadOf, publish, TailReader } from "./logs.ts";
import { registrar } from "./outsider.ts";

/** Cases on patterns. */
function patterns(url: string, name: string): void {
  const test = registrar(url, name);
  const testLog = logRegistrar(url, name);

  test("a pattern reads what there was from its end, and what is new from its start", async (outsider) => {
    const prefix = uniqueChannel();
    await outsider.create({ topic: `${prefix}.old`, numPartitions: 2 });
    const publish = (topic: string, prefix: string, count = 3) =>
      outsider.publish(
        topic,
        [0, 1].flatMap((partition) =>
          numbered(count, prefix).map((value) => ({ value: `${value}/${partition}`, partition }))
        ),
      );
    await publish(`${prefix}.old`, "before");
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe({ pattern: `${prefix}.*` });
    await outsider.create({ topic: `${prefix}.new`, numPartitions: 2 });
    await publish(`${prefix}.new`, "first", 50);
    await publish(`${prefix}.old`, "later");
    const events = await take(subscription, 106);
    const received = (topic: string, partition: number) =>
      events.filter(({ channel, message }) =>
        channel === `${prefix}.${topic}` && `${message}`.endsWith(`/${partition}`)
      ).map(({ message }) => `${message}`.split("/")[0]);
    for (const partition of [0, 1]) {
      assertEquals(received("new", partition), numbered(50, "first"));
      assertEquals(received("old", partition), numbered(3, "later"));
    }
    // A partition that is added later is new, too.
    await outsider.grow(`${prefix}.old`, 3);
    await outsider.publish(`${prefix}.old`, [{ value: "third", partition: 2 }]);
    assertEquals(await messages(subscription, 1), ["third"]);
    assertEquals(events.filter(({ gap }) => gap), []);
  });

  test("a process hears itself at once, on topics that it makes", async () => {
    await using broadcast = new Broadcast(url);
    const prefix = uniqueChannel();
    const subscription = await broadcast.subscribe({ pattern: `${prefix}*` });
    const start = performance.now();
    for (const message of numbered(12)) {
      await broadcast.publish(`${prefix}${message}`, message);
      assertEquals(await messages(subscription, 1), [message]);
    }
    const elapsed = performance.now() - start;
    // Topics are listed once in a second.
    assert(elapsed < 10_000, `12 topics took ${elapsed} ms`);
  });

  test("the brokers' own topics match nothing", async () => {
    await using broadcast = new Broadcast(url);
    const channel = uniqueChannel();
    const matching = await broadcast.subscribe({ pattern: `*${channel}` });
    const exact = await broadcast.subscribe(`__${channel}`);
    await broadcast.publish(`__${channel}`, "internal");
    assertEquals(await messages(exact, 1), ["internal"]);
    await broadcast.publish(channel, "hello");
    assertEquals(await messages(matching, 1), ["hello"]);
  });

  test("a topic that is deleted leaves quietly, and is new when it is made again", async (outsider) => {
    await using insides = await openInsides(outsider);
    const prefix = uniqueChannel();
    const [left, kept] = [`${prefix}.left`, await outsider.topic(1, {}, `${prefix}.kept`)];
    const publish = (topic: string, value: string) => outsider.publish(topic, [{ value }]);
    await outsider.topic(2, {}, left);
    const tail = await insides.reader.tailAll(new Pattern(`${prefix}.*`));
    const reader = new TailReader(tail);
    await publish(left, "old");
    assertEquals(await reader.briefs(1), ["old"]);
    const admin = await outsider.admin();
    await admin.deleteTopics({ topics: [left] });
    // It is looked for, for a while.
    while (tail.shares.has(left)) await admin.listTopics();
    await publish(kept, "meanwhile");
    assertEquals(await reader.briefs(1), ["meanwhile"]);
    await outsider.topic(2, {}, left);
    await publish(left, "new");
    assertEquals(await reader.briefs(1), ["new"]);
    await publish(kept, "end");
    assertEquals(await reader.briefs(1), ["end"]);
  });

  testLog(
    "what is deleted before a slow pattern has read it is a gap",
    async (backend, outsider) => {
      const prefix = uniqueChannel();
      const [left, kept] = [await outsider.topic(1, {}, `${prefix}.left`), `${prefix}.kept`];
      const tail = await backend.tail(new Pattern(`${prefix}.*`));
      const block = new Uint8Array(900_000);
      for (let count = 0; count < 10; count++) await publish(backend, left, [block]);
      const admin = await outsider.admin();
      await admin.deleteTopics({ topics: [left] });
      while ((await admin.listTopics()).includes(left));
      await publish(backend, kept, ["end"]);
      const reader = new TailReader(tail);
      const told: (string | number)[] = [];
      while (!told.includes("!recreated") || !told.includes("end")) {
        const [item] = await reader.take(1);
        told.push(payloadOf(item!)?.length === block.length ? "block" : brief(item!));
      }
      assert(told.filter((one) => one === "block").length < 10);
      assertEquals(told.filter((one) => one !== "block").toSorted(), ["!recreated", "end"]);
    },
  );

  testLog(
    "a topic that was set back is a gap in a pattern, whatever its head, and starts over",
    async (backend, outsider) => {
      const topic = await outsider.topic(1);
      const tail = await backend.tail(new Pattern(`${topic}*`));
      const block = new Uint8Array(900_000);
      for (let count = 0; count < 10; count++) await publish(backend, topic, [block]);
      // It has no room for the tenth: the next fetch begins once it is read.
      await outsider.recreate(topic, 1);
      await outsider.publish(topic, numbered(2).map((value) => ({ value })));
      const reader = new TailReader(tail);
      let [item] = await reader.take(1);
      while (item!.kind === "record") [item] = await reader.take(1);
      assertEquals(item, { kind: "break", shard: 0, removed: "unknown" });
      assertEquals(gapOf(item as LogBreak, undefined), { cause: "trimmed" });
      assertEquals(await reader.briefs(2), numbered(2));
    },
  );

  testLog("items of a pattern have their channel and no place", async (backend) => {
    const channel = uniqueChannel();
    const tail = await backend.tail(new Pattern(`${channel}*`));
    assertEquals(tail.position, undefined);
    const before = Date.now();
    await publish(backend, channel, ["hello"]);
    const [item] = await new TailReader(tail).take(1);
    const { timestamp, ...record } = item as { timestamp: number };
    assertEquals<unknown>(record, {
      kind: "record",
      payload: new TextEncoder().encode("hello"),
      channel,
    });
    assert(before <= timestamp && timestamp <= Date.now());
  });

  test("all who read a topic share its fetches, wherever they begin", async (outsider) => {
    await using insides = await openInsides(outsider);
    const { cluster, reader } = insides;
    const topic = await outsider.topic(1);
    await outsider.publish(topic, numbered(3_000).map((value) => ({ value })));
    const { leader } = (await cluster.topics.look(topic))[0]!;
    const broker = await cluster.node(leader);
    const fetch = broker.fetch.bind(broker);
    let brought = 0;
    broker.fetch = async (request) => {
      const asked = request.topics as { partitions: unknown[] }[];
      assertEquals([asked.length, asked[0]!.partitions.length], [1, 1]);
      const response: FetchResponse = await fetch(request);
      brought += response.responses[0]!.partitions[0]!.messages.length;
      return response;
    };
    const readers = [
      await reader.tail(topic, Position.of(at(0))),
      await reader.tailAll(new Pattern(`${topic}*`)),
      await reader.tailAll(new Pattern(`*${topic}`)),
    ].map((tail) => new TailReader(tail));
    assertEquals(await readers[0]!.briefs(2_999), numbered(3_000).slice(1));
    // From the first event on they go together.
    await outsider.publish(topic, [{ value: "first" }]);
    for (const reader of readers) assertEquals(await reader.briefs(1), ["first"]);
    brought = 0;
    for (const value of numbered(50, "live")) {
      await outsider.publish(topic, [{ value }]);
      for (const reader of readers) assertEquals(await reader.briefs(1), [value]);
    }
    // Each by itself would be brought 50. An answer that comes late brings the last record again.
    assert(brought >= 50 && brought < 150, `${brought} records`);
  });
}

for (const line of ["kafka", "kafka4"]) withBroker(line, (url) => patterns(url, line));
