/**
 * Kafka: how soon a subscription is ready, without a consumer group and with one.
 *
 * @module
 */

import kafkajs, { type Kafka, type KafkaConfig } from "kafkajs";
import { Address } from "../../core/backend/address.ts";
import { Broadcast } from "../../mod.ts";
import { atMost, type Report, shown, type Verdict } from "./report.ts";
import { spread } from "./rounds.ts";

const READY_LIMIT = 100;
const TOPICS = 15;
const GROUPS = 3;

/** Measures new channels of a connected broadcast, and consumers of new groups. */
export async function kafka(url: string): Promise<Report> {
  const client = new kafkajs.Kafka(configuration(new Address(url)));
  const admin = client.admin();
  await admin.connect();
  const broadcast = new Broadcast(url);
  await broadcast.connect();
  const topics = Array.from({ length: TOPICS * 2 + GROUPS }, () => `bench-${crypto.randomUUID()}`);
  try {
    const groups = topics.slice(0, GROUPS);
    const existing = topics.slice(GROUPS, GROUPS + TOPICS);
    // A warm-up comes first: one channel each that nobody counts.
    const made = [...groups, ...existing].map((topic) => ({ topic, numPartitions: 1 }));
    await admin.createTopics({ topics: made });
    await ready(broadcast, groups[0]!);
    const waits: Record<string, number[]> = {
      "broadcast, topic to be created": [],
      "broadcast, topic that exists": [],
      "kafkajs consumer, new group": [],
    };
    const [created, found, joined] = Object.values(waits);
    for (let round = 0; round < TOPICS; round++) {
      created!.push(await ready(broadcast, topics[GROUPS + TOPICS + round]!));
      found!.push(await ready(broadcast, existing[round]!));
      if (round < GROUPS) joined!.push(await join(client, groups[round]!));
    }
    const rows = Object.entries(waits).map(([name, times]) => [name, shown(spread(times))]);
    const verdicts: Verdict[] = [created!, found!].map((times, index) => {
      const target = `Kafka, ${
        ["new channel", "channel whose topic exists"][index]
      }: ready in ${READY_LIMIT} ms`;
      return atMost(target, READY_LIMIT, spread(times), " ms");
    });
    return { title: "Kafka: ready to receive", rows: [["", "ms"], ...rows], verdicts };
  } finally {
    await broadcast.disconnect();
    await admin.deleteTopics({ topics }).catch(() => {});
    await admin.disconnect();
  }
}

function configuration(address: Address): KafkaConfig {
  const { username, password = "" } = address;
  return {
    brokers: address.servers(9092),
    logLevel: kafkajs.logLevel.NOTHING,
    ...username !== undefined && { sasl: { mechanism: "plain", username, password } },
  };
}

/** Milliseconds until a subscription to a channel that nobody has subscribed to is ready. */
async function ready(broadcast: Broadcast, channel: string): Promise<number> {
  const start = performance.now();
  await broadcast.subscribe(channel);
  return performance.now() - start;
}

/** Milliseconds until a consumer of a new group has its partitions. */
async function join(client: Kafka, topic: string): Promise<number> {
  const groupId = `bench-${crypto.randomUUID()}`;
  const start = performance.now();
  const consumer = client.consumer({ groupId });
  const joined = new Promise<void>((resolve) => {
    consumer.on(consumer.events.GROUP_JOIN, () => resolve());
  });
  await consumer.connect();
  await consumer.subscribe({ topic });
  await consumer.run({ eachMessage: () => Promise.resolve() });
  await joined;
  const time = performance.now() - start;
  await consumer.disconnect();
  return time;
}
