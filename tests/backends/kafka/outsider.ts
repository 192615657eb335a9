/** Another client of the same brokers, which knows nothing of Broadcaster. */

import { once } from "node:events";
import { connect, type Socket } from "node:net";
import * as tls from "node:tls";
import kafkajs, {
  type Admin,
  type ICustomPartitioner,
  type ITopicConfig,
  type Kafka,
  type KafkaMessage,
  type Message,
} from "kafkajs";
import { Address } from "../../../core/backend/address.ts";
import { uniqueChannel, within } from "../../conformance/harness.ts";

const { Partitioners } = kafkajs;

/** A record, and the batch that it came in, which kafkajs does not declare. */
export type BatchedMessage = KafkaMessage & { readonly batchContext: { firstOffset: string } };

/** A client of kafkajs whose sockets are shut when it goes. */
export class Outsider implements AsyncDisposable {
  /** The client of kafkajs. */
  readonly kafka: Kafka;
  readonly #sockets: Socket[] = [];
  readonly #leave: (() => Promise<void>)[] = [];
  #admin: Promise<Admin> | undefined;

  /** One that trusts an authority and shows a certificate, in PEM, if brokers are behind TLS. */
  constructor(url: string, ssl?: { ca: string; cert: string; key: string }) {
    const address = new Address(url);
    const { username, password = "" } = address;
    this.kafka = new kafkajs.Kafka({
      brokers: address.servers(9092),
      ...username && { sasl: { mechanism: "plain", username, password } },
      logLevel: kafkajs.logLevel.NOTHING,
      ...ssl && { ssl },
      socketFactory: ({ host, port, ssl, onConnect }) => {
        const socket = ssl
          ? tls.connect({ host, port, ...ssl }, onConnect)
          : connect({ host, port }, onConnect);
        this.#sockets.push(socket);
        return socket;
      },
    });
  }

  /** A connected admin. */
  admin(): Promise<Admin> {
    this.#admin ??= this.#connect(this.kafka.admin());
    return this.#admin;
  }

  /** A new topic with so many partitions. */
  async topic(
    partitions = 1,
    config: Record<string, string> = {},
    topic = uniqueChannel(),
  ): Promise<string> {
    const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }));
    await this.create({ topic, numPartitions: partitions, configEntries });
    return topic;
  }

  /** Creates a topic, and waits until the broker that is asked knows of it. */
  async create(topic: ITopicConfig): Promise<void> {
    const admin = await this.admin();
    await admin.createTopics({ topics: [topic] }).catch(unlessEarly);
    await this.counts(topic.topic);
  }

  /** Deletes a topic, and creates it again. */
  async recreate(topic: string, numPartitions: number): Promise<void> {
    const admin = await this.admin();
    await admin.deleteTopics({ topics: [topic] });
    while ((await admin.listTopics()).includes(topic));
    await this.create({ topic, numPartitions });
  }

  /** Adds partitions to a topic, and waits until the broker that is asked knows of all of them. */
  async grow(topic: string, count: number): Promise<void> {
    const admin = await this.admin();
    await admin.createPartitions({ topicPartitions: [{ topic, count }] });
    while ((await this.counts(topic)).length < count);
  }

  /** Publishes, by default with the partitioner of Java; returns the partition of the last one. */
  async publish(
    topic: string,
    messages: Message[],
    compression = kafkajs.CompressionTypes.None,
    createPartitioner: ICustomPartitioner = Partitioners.DefaultPartitioner,
  ): Promise<number> {
    const producer = this.kafka.producer({ createPartitioner });
    await producer.connect();
    try {
      const placed = await producer.send({ topic, messages, compression });
      return placed.at(-1)!.partition;
    } finally {
      await producer.disconnect();
    }
  }

  /** The number of records that each partition of a topic has had. */
  async counts(topic: string): Promise<number[]> {
    const admin = await this.admin();
    for (;;) {
      const offsets = await admin.fetchTopicOffsets(topic).catch(unlessEarly);
      if (offsets === true) continue;
      return offsets.toSorted((one, other) => one.partition - other.partition)
        .map(({ high }) => Number(high));
    }
  }

  /** The keys and values of the first records of a topic. */
  async read(topic: string, count: number): Promise<{ key: string; value: string }[]> {
    const records = await this.records(topic, count);
    return records.map(({ key, value }) => ({ key: String(key), value: String(value) }));
  }

  /** The first records of a topic, by a consumer of a group that is deleted afterwards. */
  async records(topic: string, count: number): Promise<BatchedMessage[]> {
    const groupId = `group-of-${topic}`;
    const consumer = this.kafka.consumer({ groupId });
    await consumer.connect();
    const records: BatchedMessage[] = [];
    const done = Promise.withResolvers<void>();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({
      // deno-lint-ignore require-await
      eachMessage: async ({ message }) => {
        records.push(message as BatchedMessage);
        if (records.length === count) done.resolve();
      },
    });
    await done.promise;
    await consumer.disconnect();
    await (await this.admin()).deleteGroups([groupId]);
    return records.slice(0, count);
  }

  /** Leaves the brokers, and resolves once every socket is shut. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const leave of this.#leave) await leave();
    await Promise.all(
      this.#sockets.filter(({ closed }) => !closed).map((socket) => {
        const closed = once(socket, "close");
        socket.destroy();
        return closed;
      }),
    );
  }

  async #connect(admin: Admin): Promise<Admin> {
    await admin.connect();
    this.#leave.push(() => admin.disconnect());
    return admin;
  }
}

/** It is no failure if a broker does not know a new topic yet, or not all its leaders. */
function unlessEarly(error: Error & { type?: string }): true {
  if (EARLY.has(error.type ?? "")) return true;
  throw error;
}

const EARLY = new Set([
  "UNKNOWN_TOPIC_OR_PARTITION",
  "LEADER_NOT_AVAILABLE",
  "NOT_LEADER_FOR_PARTITION",
]);

/** Registers a case, which has an outsider at hand. */
export function registrar(url: string, name = "kafka"): (
  what: string,
  body: (outsider: Outsider) => Promise<void>,
) => void {
  return (what, body) =>
    Deno.test(`${name}: ${what}`, async () => {
      await using outsider = new Outsider(url);
      await within(body(outsider));
    });
}
