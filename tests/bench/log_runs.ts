/**
 * The logs that are measured, each beside its bare client.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import * as amqp from "amqplib";
import { Redis } from "ioredis";
import kafkajs, { type Kafka } from "kafkajs";
import postgres from "postgres";
import * as amqpModule from "../../backends/amqp/log.ts";
import * as kafkaModule from "../../backends/kafka/log.ts";
import * as memoryModule from "../../backends/memory/log.ts";
import * as postgresModule from "../../backends/postgres/log.ts";
import * as redisModule from "../../backends/redis/log.ts";
import { removeStreams } from "../backends/amqp/log/remove.ts";
import type { BareLog, LogUnderTest } from "./logs.ts";

/** `memory://`, as much as it may keep. */
export const memoryLog: LogUnderTest = {
  name: "memory://",
  url: "memory://?history=100000",
  module: memoryModule,
  largest: 100_000,
};

/** `redis-stream://` beside XADD, which ioredis writes together. */
export function redisLog(url: string): LogUnderTest {
  return {
    name: "redis-stream://",
    url: `${url.replace("redis:", "redis-stream:")}?maxlen=0`,
    module: redisModule,
    largest: 1_000_000,
    bare: () => Promise.resolve(bareRedis(url)),
    async clean(channels) {
      const client = new Redis(url);
      await client.unlink(...channels);
      await client.quit();
    },
  };
}

function bareRedis(url: string): BareLog {
  const client = new Redis(url);
  const key = `bench-${crypto.randomUUID()}`;
  return {
    name: "ioredis, an XADD each",
    publish: (messages) =>
      Promise.all(messages.map((message) => client.xadd(key, "*", "message", message))),
    close: async () => {
      await client.del(key);
      await client.quit();
    },
  };
}

/** `postgres-stream://` beside INSERT, which postgres.js sends without waiting in between. */
export function postgresLog(url: string): LogUnderTest {
  return {
    name: "postgres-stream://",
    url: url.replace("postgres:", "postgres-stream:"),
    module: postgresModule,
    largest: 1_000_000,
    bare: () => barePostgres(url),
    async clean(channels) {
      const sql = postgres(url, { max: 1, onnotice: () => {} });
      await sql`DELETE FROM broadcaster.log WHERE channel = ANY(${[...channels]})`;
      await sql.end();
    },
  };
}

async function barePostgres(url: string): Promise<BareLog> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  const table = `bench_${crypto.randomUUID().replaceAll("-", "")}`;
  await sql.unsafe(
    `CREATE TABLE ${table} (id bigserial PRIMARY KEY, channel text, payload bytea)`,
  );
  return {
    name: "postgres.js, an INSERT each",
    publish: (messages) =>
      Promise.all(
        messages.map((message) =>
          sql`INSERT INTO ${
            sql(table)
          } (channel, payload) VALUES ('bench', ${message}::text::bytea)`
        ),
      ),
    close: async () => {
      await sql.unsafe(`DROP TABLE ${table}`);
      await sql.end();
    },
  };
}

/** `kafka://` beside one `send()` of kafkajs: one for each message is not what anybody does. */
export function kafkaLog(url: string): LogUnderTest {
  return {
    name: "kafka://",
    url,
    module: kafkaModule,
    largest: 100_000,
    bare: () => bareKafka(url),
    async clean(topics) {
      const admin = kafkaClient(url).admin();
      await admin.connect();
      await admin.deleteTopics({ topics: [...topics] });
      await admin.disconnect();
    },
  };
}

/** `amqp-stream://` beside messages that amqplib sends, and whose confirms it waits for. */
export function amqpLog(url: string): LogUnderTest {
  return {
    name: "amqp-stream://",
    url: url.replace("amqp:", "amqp-stream:"),
    module: amqpModule,
    largest: 100_000,
    bare: () => bareAmqp(url),
    clean: (channels) => removeStreams(url, channels),
  };
}

async function bareAmqp(url: string): Promise<BareLog> {
  const client = await amqp.connect(url, { noDelay: true });
  const lane = await client.createConfirmChannel();
  const queue = `bench-${crypto.randomUUID()}`;
  await lane.assertQueue(queue, { durable: true, arguments: { "x-queue-type": "stream" } });
  return {
    name: "amqplib, a publish each",
    publish: (messages) => {
      for (const message of messages) lane.sendToQueue(queue, Buffer.from(message));
      return lane.waitForConfirms();
    },
    close: async () => {
      await lane.deleteQueue(queue);
      await client.close();
    },
  };
}

function kafkaClient(url: string): Kafka {
  const brokers = url.replace("kafka://", "").split(",");
  return new kafkajs.Kafka({ brokers, logLevel: kafkajs.logLevel.NOTHING });
}

async function bareKafka(url: string): Promise<BareLog> {
  const kafka = kafkaClient(url);
  const topic = `bench-${crypto.randomUUID()}`;
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] });
  const producer = kafka.producer();
  await producer.connect();
  return {
    name: "kafkajs, one send()",
    publish: (messages) =>
      producer.send({ topic, messages: messages.map((value) => ({ key: topic, value })) }),
    close: async () => {
      await producer.disconnect();
      await admin.deleteTopics({ topics: [topic] });
      await admin.disconnect();
    },
  };
}
