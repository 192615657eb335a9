/** What is published once, as other programs see it, and what becomes of keys. */

import { Buffer } from "node:buffer";
import { assert, assertEquals, assertRejects } from "@std/assert";
import kafkajs from "kafkajs";
import { KeyedTopics } from "../../../backends/kafka/keys/keyed_topics.ts";
import { Keys } from "../../../backends/kafka/keys/keys.ts";
import { acquire, isLost } from "../../../backends/kafka/keys/lease.ts";
import { Broadcast } from "../../../mod.ts";
import { numbered, uniqueChannel } from "../../conformance/harness.ts";
import { Random } from "../../conformance/random.ts";
import { withBroker } from "../../services/broker.ts";
import { openInsides } from "./insides.ts";
import { type Outsider, registrar } from "./outsider.ts";

const RACERS = 4;
const ROUNDS = 10;

/** Cases on keys. */
function keys(url: string, name: string): void {
  const test = registrar(url, name);

  test("publishers that race with the same keys store each once, and agree on the ids", async () => {
    const channel = uniqueChannel();
    const seed = Math.floor(Math.random() * 2 ** 31);
    const random = new Random(seed);
    const racers = Array.from({ length: RACERS }, () => new Broadcast(url));
    try {
      const ids = new Map<string, Set<unknown>>();
      const publish = async (racer: Broadcast, key: string) => {
        const id = await racer.publish(channel, key, { key });
        ids.set(key, (ids.get(key) ?? new Set()).add(id));
      };
      for (let round = 0; round < ROUNDS; round++) {
        await Promise.all(racers.map(async (racer) => {
          const publishing: Promise<unknown>[] = [];
          for (const key of numbered(8, `${round}.`)) {
            publishing.push(publish(racer, key));
            if (random.once(3)) await publishing.at(-1);
          }
          await Promise.all(publishing);
        }));
      }
      const events = await racers[0]!.history(channel, { limit: 200 });
      const wanted = Array.from({ length: ROUNDS }, (_, round) => numbered(8, `${round}.`)).flat();
      assertEquals(events.map(({ message }) => message).toSorted(), wanted.toSorted(), `${seed}`);
      for (const { id, message } of events) assertEquals([...ids.get(message)!], [id], `${seed}`);
    } finally {
      await Promise.all(racers.map((racer) => racer.disconnect()));
    }
  });

  test("a key is a header that other programs read, committed as it is", async (outsider) => {
    const channel = uniqueChannel();
    await using broadcast = new Broadcast(url);
    const key = "order:42 é";
    await broadcast.publish(channel, "hello", { key, expires: 1_000 });
    // A consumer that waits for open transactions does not wait for this one.
    const { cluster, fetch } = await reading(outsider, channel);
    await using _ = cluster;
    const [record] = await fetch(1);
    assertEquals(String(record!.value), "hello");
    assertEquals(String(record!.key), channel);
    assertEquals(String(record!.headers!["broadcaster-key"]), `1000:${key}`);
  });

  test("what another program stores with a key counts", async (outsider) => {
    const channel = await outsider.topic(1);
    const minute = 60_000;
    const store = (header: unknown, ago = 0) =>
      outsider.publish(channel, [{
        value: JSON.stringify(header),
        headers: { "broadcaster-key": header as string | string[] },
        timestamp: String(Date.now() - ago),
      }]);
    await store("300000:known", 4 * minute);
    await store("60000:expired", 2 * minute);
    // None of these is a key.
    for (const header of ["", ":", "known", "0:zero", "x:y", "1:", ["300000:a", "300000:b"]]) {
      await store(header);
    }
    await using broadcast = new Broadcast(url);
    const count = (await broadcast.history(channel)).length;
    for (const key of ["known", "expired", "zero", "y", "a"]) {
      await broadcast.publish(channel, `${key} again`, { key });
    }
    const events = await broadcast.history(channel);
    assertEquals(events.slice(count).map(({ message }) => message), [
      "expired again",
      "zero again",
      "y again",
      "a again",
    ]);
    assertEquals(await broadcast.publish(channel, "known", { key: "known" }), events[0]!.id);
  });

  test("a key expires, wherever it is used again", async () => {
    const channel = uniqueChannel();
    await using broadcast = new Broadcast(url);
    await using other = new Broadcast(url);
    const once = { key: "k", expires: 2_000 };
    const start = Date.now();
    const first = await broadcast.publish(channel, "m", once);
    assertEquals(await other.publish(channel, "m", once), first);
    let second = first;
    const isEarly = () => Date.now() - start < 60_000;
    while (second === first && isEarly()) second = await other.publish(channel, "m", once);
    assert(Date.now() - start >= once.expires, `${Date.now() - start} ms`);
    assertEquals(await broadcast.publish(channel, "m", once), second);
    let third = second;
    while (third === second && isEarly()) third = await other.publish(channel, "m", once);
    const events = await broadcast.history(channel);
    assertEquals(events.map(({ id }) => id), [first, second, third]);
  });

  test("a key lasts no longer than the window of the URL", async () => {
    const channel = uniqueChannel();
    await using broadcast = new Broadcast(url);
    const hour = { key: "k", expires: 3_600_000 };
    const error = await assertRejects(() => broadcast.publish(channel, "m", hour), RangeError);
    assertEquals(
      error.message,
      `Cannot publish to "${channel}" on kafka: keys are known for 300000 ms, longer with ?window= in the URL of all who use them`,
    );
    await using longer = new Broadcast(`${url}?window=1h`);
    await longer.publish(channel, "m", hour);
    assertEquals((await longer.history(channel)).length, 1);
  });

  test("a longer window is read back as far", async (outsider) => {
    const channel = await outsider.topic(1);
    await outsider.publish(channel, [{
      value: "old",
      headers: { "broadcaster-key": "3600000:k" },
      timestamp: String(Date.now() - 3_000_000),
    }]);
    await using broadcast = new Broadcast(`${url}?window=1h`);
    await broadcast.publish(channel, "new", { key: "k", expires: 3_600_000 });
    assertEquals((await broadcast.history(channel)).map(({ message }) => message), ["old"]);
  });

  test("a key is known on any partition, also when partitions are added", async (outsider) => {
    const channel = await outsider.topic(2);
    await using broadcast = new Broadcast(url);
    await using other = new Broadcast(url);
    const keys = numbered(3, "k");
    const publish = (one: Broadcast) =>
      Promise.all(keys.map((key) => one.publish(channel, key, { key })));
    assertEquals(await publish(broadcast), [undefined, undefined, undefined]);
    await publish(other);
    const counts = await outsider.counts(channel);
    const admin = await outsider.admin();
    for (const count of [5, 7, 11]) {
      await admin.createPartitions({ topicPartitions: [{ topic: channel, count }] });
      while ((await outsider.counts(channel)).length < count);
      await using late = new Broadcast(url);
      await publish(late);
      await publish(broadcast);
    }
    await other.publish(channel, "end", { key: "end" });
    const events = await broadcast.history(channel, { limit: 100 });
    assertEquals(events.map(({ message }) => message), [...keys, "end"]);
    assertEquals(counts.filter((count) => count > 0).length, 1);
  });

  test("a topic that is made anew knows no key of the one before", async (outsider) => {
    const channel = await outsider.topic(1);
    await using broadcast = new Broadcast(url);
    await broadcast.publish(channel, "0", { key: "0" });
    await broadcast.publish(channel, "1", { key: "1" });
    await (await outsider.admin()).deleteTopics({ topics: [channel] });
    await outsider.topic(1, {}, channel);
    await using other = new Broadcast(url);
    await other.publish(channel, "a", { key: "a" });
    // The lease has been taken meanwhile, so the log is read again.
    await broadcast.publish(channel, "b", { key: "b" });
    for (const key of ["0", "1", "a", "b"]) await broadcast.publish(channel, key, { key });
    const events = await broadcast.history(channel);
    assertEquals(events.map(({ message }) => message), ["a", "b", "0", "1"]);
  });

  test("who has the lease of a topic that is made anew notices it", async (outsider) => {
    const channel = await outsider.topic(1);
    await using broadcast = new Broadcast(url);
    for (const key of ["0", "1"]) await broadcast.publish(channel, key, { key });
    await (await outsider.admin()).deleteTopics({ topics: [channel] });
    await outsider.topic(1, {}, channel);
    for (const key of ["2", "1", "0", "1"]) await broadcast.publish(channel, key, { key });
    const events = await broadcast.history(channel);
    assertEquals(events.map(({ message }) => message), ["2", "1", "0"]);
  });

  test("the id is right by either kind of time", async (outsider) => {
    for (const kind of ["CreateTime", "LogAppendTime"]) {
      const channel = await outsider.topic(1, { "message.timestamp.type": kind });
      await using broadcast = new Broadcast(url);
      const ids: (string | undefined)[] = [];
      // Of some it is known only by the answer in which millisecond they were stored.
      for (let round = 0; round < 30; round++) {
        const keys = numbered(3, `${round}.`);
        ids.push(
          ...await Promise.all(keys.map((key) => broadcast.publish(channel, key, { key }))),
        );
      }
      const events = await broadcast.history(channel);
      assertEquals(ids, events.map(({ id }) => id));
      await using other = new Broadcast(url);
      assertEquals(await other.publish(channel, "again", { key: "0.1" }), ids[1]);
    }
  });

  test("a payload over the limit takes no other along that has a key", async () => {
    const channel = uniqueChannel();
    await using broadcast = new Broadcast(url);
    const texts = ["a", "x".repeat(1_100_000), "b", "c"];
    const outcomes = await Promise.allSettled(
      texts.map((text, index) => broadcast.publish(channel, text, { key: `${index}` })),
    );
    assertEquals(outcomes.map(({ status }) => status[0]), ["f", "r", "f", "f"]);
    const { reason } = outcomes[1] as PromiseRejectedResult;
    assertEquals(
      String(reason),
      `RangeError: Cannot publish to "${channel}" on kafka: the payload exceeds max.message.bytes of the topic`,
    );
    const events = await broadcast.history(channel);
    assertEquals(events.map(({ message }) => message), ["a", "b", "c"]);
  });

  test("long keys and many of them are more than one batch", async () => {
    const channel = uniqueChannel();
    await using broadcast = new Broadcast(url);
    const keys = numbered(5_000).map((key) => key.padEnd(256, "."));
    await Promise.all(keys.map((key) => broadcast.publish(channel, "", { key })));
    await using other = new Broadcast(url);
    const ids = await Promise.all(keys.map((key) => other.publish(channel, "", { key })));
    assertEquals(new Set(ids).size, keys.length);
    await other.publish(channel, "end");
    const end = (await other.history(channel, { limit: 1 }))[0]!;
    // Behind the records lies one marker, of the lease that was taken.
    assertEquals(await other.publish(channel, "", { key: keys[0]! }), ids[0]);
    assertEquals(end.message, "end");
  });

  test("the producers of other programs notice nothing", async (outsider) => {
    const channel = await outsider.topic(1);
    const createPartitioner = kafkajs.Partitioners.DefaultPartitioner;
    const idempotent = outsider.kafka.producer({ idempotent: true, createPartitioner });
    const transactional = outsider.kafka.producer({
      idempotent: true,
      transactionalId: `theirs-${channel}`,
      createPartitioner,
    });
    await using broadcast = new Broadcast(url);
    await using other = new Broadcast(url);
    await Promise.all([idempotent.connect(), transactional.connect()]);
    try {
      for (let round = 0; round < 5; round++) {
        const transaction = await transactional.transaction();
        await transaction.send({ topic: channel, messages: [{ value: "transactional" }] });
        await Promise.all(
          [broadcast, other].map((one) => one.publish(channel, "keyed", { key: `${round}` })),
        );
        await idempotent.send({ topic: channel, messages: [{ value: "idempotent" }] });
        await transaction.commit();
      }
    } finally {
      await Promise.all([idempotent.disconnect(), transactional.disconnect()]);
    }
    const events = await broadcast.history(channel);
    const count = (message: string) => events.filter((event) => event.message === message).length;
    assertEquals(["keyed", "idempotent", "transactional"].map(count), [5, 5, 5]);
  });

  test("who has lost the lease stores nothing", async (outsider) => {
    const channel = await outsider.topic(1);
    await using insides = await openInsides(outsider);
    const { cluster } = insides;
    const lost = await acquire(cluster, channel);
    await using broadcast = new Broadcast(url);
    const id = await broadcast.publish(channel, "in time", { key: "k" });
    const broker = await cluster.node(lost.lead.leader);
    const messages = [{ key: null, value: Buffer.from("late") }];
    const partitions = [{ partition: 0, firstSequence: 0, messages }];
    const error = await assertRejects(() =>
      broker.produce({
        acks: -1,
        timeout: 8_000,
        topicData: [{ topic: channel, partitions }],
        ...lost.producer,
      })
    );
    assert(isLost(error), `${error}`);
    const events = await broadcast.history(channel);
    assertEquals(events.map((event) => [event.id, event.message]), [[id, "in time"]]);
  });

  test("what is known no longer takes no memory", async (outsider) => {
    const known = new Keys();
    const now = 1_000_000;
    for (const key of numbered(10_000)) known.add({ key, expires: 100 }, undefined, now, now);
    assertEquals(known.size, 10_000);
    known.add({ key: "k", expires: 100 }, undefined, now + 100, now + 100);
    assertEquals(known.size, 1);

    await using insides = await openInsides(outsider);
    const window = 300;
    const topics = new KeyedTopics(window);
    const calls = [{ value: Buffer.from("m"), once: { key: "k", expires: 1 } }];
    const start = Date.now();
    for (const _ of [1, 2, 3]) await topics.send(insides.cluster, await outsider.topic(1), calls);
    const last = await outsider.topic(1);
    let size = 0;
    while (Date.now() - start < 60_000 && size !== 1) {
      await topics.send(insides.cluster, last, calls);
      size = topics.size;
    }
    assertEquals(size, 1);
  });
}

/** Reads a topic as a consumer does that waits for the end of transactions. */
async function reading(outsider: Outsider, topic: string) {
  const insides = await openInsides(outsider);
  const [lead] = await insides.cluster.topics.leads(topic);
  const broker = await insides.cluster.node(lead!.leader);
  return {
    cluster: insides,
    async fetch(count: number): Promise<kafkajs.KafkaMessage[]> {
      const partitions = [{ partition: 0, fetchOffset: "0", maxBytes: 1_000_000 }];
      const { responses } = await broker.fetch({
        isolationLevel: 1,
        maxWaitTime: 100,
        topics: [{ topic, partitions }],
      });
      const { messages } = responses[0].partitions[0];
      assertEquals(messages.length, count);
      return messages;
    },
  };
}

for (const line of ["kafka", "kafka4"]) withBroker(line, (url) => keys(url, line));
