/** Topics, their names and their partitions. */

import { assertEquals, assertRejects } from "@std/assert";
import { type KafkaError, means } from "../../../backends/kafka/errors.ts";
import { hash } from "../../../backends/kafka/partitioner.ts";
import { Broadcast, type Gap, RefusedError } from "../../../mod.ts";
import { messages, numbered, take, uniqueChannel } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { openInsides } from "./insides.ts";
import { TailReader } from "./logs.ts";
import { registrar } from "./outsider.ts";

/** By Kafka's own `UtilsTest.testMurmur2`. */
const HASHES: Record<string, number> = {
  "21": -973932308,
  "foobar": -790332482,
  "a-little-bit-long-string": -985981536,
  "a-little-bit-longer-string": -1486304829,
  "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
  "abc": 479470107,
};

function rethrow(error: unknown): never {
  throw error;
}

/** Cases on topics. */
function topics(url: string): void {
  const test = registrar(url);

  test("topics that the broker did not create in time are created with the next request", async (outsider) => {
    await using insides = await openInsides(outsider);
    const { seed, topics } = insides.cluster;
    const create = seed.createTopics.bind(seed);
    const answers: unknown[] = [];
    seed.createTopics = (request) => {
      const answer = create({ ...request, ...answers.length === 0 && { timeout: 0 } });
      answer.catch(({ errors }) => answers.push(...errors.map((error: KafkaError) => error.type)));
      return answer;
    };
    const names = numbered(3).map(uniqueChannel);
    // As the core does, however slow the broker is.
    const leads = (name: string): ReturnType<typeof topics.leads> =>
      topics.leads(name).catch((error) => means(error, "moved") ? leads(name) : rethrow(error));
    const found = await Promise.all(names.map(leads));
    assertEquals(found.map(({ length }) => length), names.map(() => 1));
    assertEquals(answers[0], "REQUEST_TIMED_OUT");
  });

  test("every partition of a topic is read", async (outsider) => {
    const topic = await outsider.topic(3);
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe(topic);
    await outsider.publish(
      topic,
      [0, 1, 2].map((partition) => ({ value: `in ${partition}`, partition })),
    );
    const received = await messages(subscription, 3);
    assertEquals(received.toSorted(), ["in 0", "in 1", "in 2"]);
  });

  test("a channel keeps its publishers' order on three partitions", async (outsider) => {
    const topic = await outsider.topic(3);
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe(topic);
    for (const message of numbered(20, "a")) await broadcast.publish(topic, message);
    await Promise.all(numbered(200, "b").map((message) => broadcast.publish(topic, message)));
    assertEquals(await messages(subscription, 220), [...numbered(20, "a"), ...numbered(200, "b")]);
    assertEquals((await outsider.counts(topic)).toSorted(), [0, 0, 220].toSorted());
  });

  Deno.test("kafka: keys are hashed as Java hashes them", () => {
    for (const [key, expected] of Object.entries(HASHES)) {
      assertEquals(hash(key), expected & 0x7fffffff, key);
    }
  });

  test("an event is in the partition where other clients put its key", async (outsider) => {
    await using broadcast = new Broadcast(url);
    for (const partitions of [2, 3, 5, 7]) {
      const topic = await outsider.topic(partitions);
      await broadcast.publish(topic, "ours");
      const ours = (await outsider.counts(topic)).indexOf(1);
      const theirs = await outsider.publish(topic, [{ key: topic, value: "theirs" }]);
      assertEquals(ours, theirs, `of ${partitions} partitions`);
    }
  });

  test("a partition that is added later is found from its start", async (outsider) => {
    const topic = await outsider.topic(1);
    await using insides = await openInsides(outsider);
    const { reader } = insides;
    const tail = await reader.tail(topic);
    await outsider.grow(topic, 3);
    for (const partition of [0, 1, 2]) {
      const values = numbered(10, `${partition}-`).map((value) => ({ value, partition }));
      await outsider.publish(topic, values);
    }
    const received = await new TailReader(tail).briefs(30) as string[];
    for (const partition of [0, 1, 2]) {
      const ofOne = received.filter((value) => value.startsWith(`${partition}-`));
      assertEquals(ofOne, numbered(10, `${partition}-`));
    }
  });

  test("a publisher finds it too", async (outsider) => {
    const topic = await outsider.topic(1);
    await using insides = await openInsides(outsider);
    const { writer } = insides;
    const publish = (payload: string) => writer.publish([{ channel: topic, payload }])[0]!;
    await publish("before");
    // Enough partitions that the key changes its own.
    let count = 2;
    while (hash(topic) % count === 0) count++;
    await outsider.grow(topic, count);
    const theirs = await outsider.publish(topic, [{ key: topic, value: "theirs" }]);
    assertEquals(theirs, hash(topic) % count);
    do await publish("ours"); while ((await outsider.counts(topic))[theirs] === 1);
  });

  test("a missing topic is refused with create=false", async () => {
    await using broadcast = new Broadcast(`${url}?create=false`);
    const channel = uniqueChannel();
    const subscribing = await assertRejects(() => broadcast.subscribe(channel), RefusedError);
    assertEquals(
      subscribing.message,
      `Cannot subscribe to "${channel}": there is no topic "${channel}", and create=false`,
    );
    const publishing = await assertRejects(() => broadcast.publish(channel, "x"), RefusedError);
    assertEquals(
      publishing.message,
      `Cannot publish to "${channel}": there is no topic "${channel}", and create=false`,
    );
  });

  test("an existing topic serves with create=false", async (outsider) => {
    const topic = await outsider.topic(1);
    await using broadcast = new Broadcast(`${url}?create=false`);
    const subscription = await broadcast.subscribe(topic);
    await broadcast.publish(topic, "hello");
    assertEquals(await messages(subscription, 1), ["hello"]);
  });

  test("a factor that the brokers cannot replicate by is refused", async () => {
    await using broadcast = new Broadcast(`${url}?replication=99`);
    const channel = uniqueChannel();
    const error = await assertRejects(() => broadcast.subscribe(channel), RefusedError);
    assertEquals(
      error.message,
      `Cannot subscribe to "${channel}": Replication-factor is invalid`,
    );
  });

  test("a topic that is deleted while it is read is a gap, in its channel alone", async (outsider) => {
    await using broadcast = new Broadcast(url);
    const [channel, other] = [uniqueChannel(), uniqueChannel()];
    const gaps: [string, Gap][] = [];
    const told = Promise.withResolvers<void>();
    broadcast.addEventListener("gap", ({ channel, gap }) => {
      gaps.push([channel, gap]);
      told.resolve();
    });
    const subscription = await broadcast.subscribe(channel);
    const bystander = await broadcast.subscribe(other);
    await broadcast.publish(channel, "before");
    const [before] = await take(subscription, 1);
    await (await outsider.admin()).deleteTopics({ topics: [channel] });
    await told.promise;
    await broadcast.publish(channel, "after");
    await broadcast.publish(other, "beside");
    const [after] = await take(subscription, 1);
    assertEquals(after!.message, "after");
    assertEquals(after!.gap, { cause: "rollback", after: before!.id });
    const [beside] = await take(bystander, 1);
    assertEquals([beside!.message, beside!.gap], ["beside", undefined]);
    assertEquals(gaps, [[channel, after!.gap!]]);
  });

  test("249 characters are a channel, and 250 are none", async () => {
    await using broadcast = new Broadcast(url);
    const longest = uniqueChannel().padEnd(249, "x");
    const subscription = await broadcast.subscribe(longest);
    await broadcast.publish(longest, "hello");
    assertEquals(await messages(subscription, 1), ["hello"]);
    const message = `Cannot use channel "${
      longest.slice(0, 100)
    }…" on kafka: it has 250 characters, a topic at most 249`;
    for (const call of calls(broadcast, `${longest}y`)) {
      assertEquals((await assertRejects(call, RangeError)).message, message);
    }
  });

  test("a name that no topic can have is refused", async () => {
    await using broadcast = new Broadcast(url);
    for (const name of ["a/b", "a b", ".", "..", "ünï", "a:b", "a\n"]) {
      const message = `Cannot use channel ${
        JSON.stringify(name)
      } on kafka: a topic has only the characters A-Z a-z 0-9 . _ -, and is neither "." nor ".."`;
      for (const call of calls(broadcast, name)) {
        assertEquals((await assertRejects(call, TypeError)).message, message);
      }
    }
    const odd = ["...", "_", "-", "A.b_C-9"].map((name) => `${name}${uniqueChannel()}`);
    for (const name of odd) await broadcast.publish(name, "hello");
  });
}

function calls(broadcast: Broadcast, name: string): (() => Promise<unknown>)[] {
  return [() => broadcast.subscribe(name), () => broadcast.publish(name, "x")];
}

withBroker("kafka", topics);
