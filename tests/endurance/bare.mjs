/**
 * The bare clients, each as its documentation has it: connect, subscribe to channels, publish to one.
 * Requests are pipelined. Plain JavaScript, for Deno and for Node.
 */

import { Buffer } from "node:buffer";

const LIVE = "bare";

/**
 * Opens a client.
 *
 * @param url As for a `Broadcast`, whose scheme says which client.
 * @param channels All that will be heard.
 * @param hear Told of each message: its channel, and its text.
 * @param onLost Told of the loss of its connection.
 */
export async function open(url, channels, hear, onLost) {
  const { protocol, host, hostname, port, username, pathname } = new URL(url);
  const scheme = protocol.slice(0, -1);
  return await CLIENTS[scheme]({
    host,
    hostname,
    port,
    username,
    pathname,
    channels,
    hear,
    onLost,
  });
}

const CLIENTS = {
  async redis({ hostname, port, hear, onLost }) {
    const { Redis } = await import("ioredis");
    const [subscriber, publisher] = await redisClients(Redis, hostname, port, onLost);
    subscriber.on("message", hear);
    return {
      subscribe: (channels) =>
        Promise.all(channels.map((channel) => subscriber.subscribe(channel))),
      publish: (channel, message) => void publisher.publish(channel, message).catch(() => {}),
      close: () => Promise.all([subscriber, publisher].map((client) => client.disconnect())),
    };
  },

  async "redis-stream"({ hostname, port, hear, onLost }) {
    const { Redis } = await import("ioredis");
    const [reader, writer] = await redisClients(Redis, hostname, port, onLost);
    return {
      async subscribe(channels) {
        // From the newest entry of each on.
        const ends = await Promise.all(
          channels.map((channel) => writer.xrevrange(channel, "+", "-", "COUNT", 1)),
        );
        const ids = new Map(channels.map((channel, at) => [channel, ends[at][0]?.[0] ?? "0"]));
        const read = async () => {
          for (;;) {
            const streams = await reader.xread(
              "BLOCK",
              0,
              "STREAMS",
              ...ids.keys(),
              ...ids.values(),
            );
            for (const [channel, entries] of streams ?? []) {
              for (const [id, [, message]] of entries) {
                ids.set(channel, id);
                hear(channel, message);
              }
            }
          }
        };
        read().catch(onLost);
      },
      publish: (channel, message) =>
        void writer.xadd(channel, "*", "message", message).catch(() => {}),
      close: () => Promise.all([reader, writer].map((client) => client.disconnect())),
    };
  },

  async postgres(options) {
    const { sql, close } = await postgresClient(options);
    return {
      subscribe: (channels) =>
        Promise.all(
          channels.map((channel) =>
            sql.listen(channel, (message) => options.hear(channel, message))
          ),
        ),
      publish: (channel, message) => void sql.notify(channel, message).catch(() => {}),
      close,
    };
  },

  async "postgres-stream"(options) {
    const { sql, close } = await postgresClient(options);
    await sql`create table if not exists bare (
      id bigserial primary key, channel text not null, message text not null)`;
    return {
      async subscribe(channels) {
        let [{ last }] = await sql`select coalesce(max(id), 0) as last from bare`;
        let reading = Promise.resolve();
        const read = async () => {
          const rows = await sql`select id, channel, message from bare
            where id > ${last} and channel = any(${channels}) order by id`;
          for (const { id, channel, message } of rows) {
            last = id;
            options.hear(channel, message);
          }
        };
        await sql.listen(LIVE, () => reading = reading.then(read).catch(() => {}));
      },
      publish: (channel, message) =>
        void sql`with added as (
            insert into bare (channel, message) values (${channel}, ${message}) returning 1)
          select pg_notify(${LIVE}, '') from added`.catch(() => {}),
      close,
    };
  },

  async nats({ host, hear, onLost }) {
    const { connect } = await import("@nats-io/transport-node");
    const client = await connect({ servers: host, reconnect: false });
    void client.closed().then(onLost);
    return {
      async subscribe(channels) {
        const callback = (_, message) => hear(message.subject, message.string());
        for (const channel of channels) client.subscribe(channel, { callback });
        await client.flush();
      },
      publish: (channel, message) => client.publish(channel, message),
      close: () => client.close(),
    };
  },

  async "nats-stream"({ host, hear, onLost }) {
    const { connect } = await import("@nats-io/transport-node");
    const { jetstream, jetstreamManager } = await import("@nats-io/jetstream");
    const client = await connect({ servers: host, reconnect: false });
    void client.closed().then(onLost);
    const manager = await jetstreamManager(client);
    await manager.streams.add({ name: LIVE, subjects: [`${LIVE}.>`] });
    const stream = jetstream(client);
    return {
      subscribe: (channels) =>
        Promise.all(channels.map(async (channel) => {
          // A server before 2.10 knows no consumer of several subjects.
          const consumer = await stream.consumers.get(LIVE, {
            filter_subjects: `${LIVE}.${channel}`,
            deliver_policy: "new",
          });
          await consumer.consume({ callback: (message) => hear(channel, message.string()) });
        })),
      publish: (channel, message) =>
        void stream.publish(`${LIVE}.${channel}`, message).catch(() => {}),
      close: () => client.close(),
    };
  },

  async amqp(options) {
    const { lane, close } = await amqpClient(options);
    await lane.assertExchange(LIVE, "topic", { durable: true });
    return {
      subscribe: (channels) =>
        Promise.all(channels.map(async (channel) => {
          const { queue } = await lane.assertQueue("", { exclusive: true, durable: false });
          await lane.bindQueue(queue, LIVE, channel);
          const take = ({ content }) => options.hear(channel, content.toString());
          await lane.consume(queue, take, { noAck: true });
        })),
      publish: (channel, message) => void lane.publish(LIVE, channel, Buffer.from(message)),
      close,
    };
  },

  async "amqp-stream"(options) {
    const { lane, close } = await amqpClient(options);
    await lane.prefetch(100);
    const declare = { durable: true, arguments: { "x-queue-type": "stream" } };
    return {
      subscribe: (channels) =>
        Promise.all(channels.map(async (channel) => {
          await lane.assertQueue(`${LIVE}.${channel}`, declare);
          const take = (delivery) => {
            lane.ack(delivery);
            options.hear(channel, delivery.content.toString());
          };
          await lane.consume(`${LIVE}.${channel}`, take, {
            arguments: { "x-stream-offset": "next" },
          });
        })),
      publish: (channel, message) =>
        void lane.sendToQueue(`${LIVE}.${channel}`, Buffer.from(message)),
      close,
    };
  },

  async mqtt({ host, hear, onLost }) {
    const { connectAsync } = (await import("mqtt")).default;
    const client = await connectAsync(`mqtt://${host}`, {
      protocolVersion: 5,
      reconnectPeriod: 0,
      connectTimeout: 5_000,
    }, false);
    client.on("close", onLost);
    client.on("error", () => {});
    client.on("message", (topic, payload) => hear(topic, payload.toString()));
    return {
      subscribe: (channels) =>
        Promise.all(channels.map((channel) => client.subscribeAsync(channel, { qos: 1 }))),
      publish: (channel, message) =>
        void client.publishAsync(channel, message, { qos: 1 }).catch(() => {}),
      close: () => client.endAsync(true),
    };
  },

  async kafka({ host, channels, hear, onLost }) {
    const { Kafka, logLevel } = (await import("kafkajs")).default;
    const kafka = new Kafka({ brokers: [host], logLevel: logLevel.NOTHING, retry: { retries: 0 } });
    const [admin, producer] = [kafka.admin(), kafka.producer()];
    const consumer = kafka.consumer({ groupId: `${LIVE}-${crypto.randomUUID()}` });
    consumer.on(consumer.events.CRASH, onLost);
    await Promise.all([admin, producer, consumer].map((client) => client.connect()));
    await admin.createTopics({ topics: channels.map((topic) => ({ topic })) });
    return {
      async subscribe(topics) {
        // A broker that has just started does not coordinate groups yet.
        const joined = new Promise((resolve, reject) => {
          consumer.on(consumer.events.GROUP_JOIN, resolve);
          consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
        });
        await consumer.subscribe({ topics });
        await consumer.run({
          eachMessage: ({ topic, message }) => hear(topic, message.value.toString()),
        });
        await joined;
      },
      publish: (topic, value) =>
        void producer.send({ topic, messages: [{ value }] }).catch(() => {}),
      close: () => Promise.all([admin, producer, consumer].map((client) => client.disconnect())),
    };
  },
};

async function redisClients(Redis, host, port, onLost) {
  const options = { host, port: Number(port), retryStrategy: () => null, lazyConnect: true };
  const clients = [new Redis(options), new Redis(options)];
  for (const client of clients) client.on("error", () => {}).on("end", onLost);
  await Promise.all(clients.map((client) => client.connect()));
  return clients;
}

async function postgresClient({ hostname, port, username, pathname, onLost }) {
  const { default: postgres } = await import("postgres");
  const sql = postgres({
    host: hostname,
    port: Number(port),
    username,
    database: pathname.slice(1),
    max: 1,
    onnotice: () => {},
    onclose: onLost,
  });
  await sql`select 1`;
  return { sql, close: () => sql.end({ timeout: 0 }) };
}

async function amqpClient({ hostname, port, onLost }) {
  const { connect } = (await import("amqplib")).default;
  const connection = await connect(`amqp://guest:guest@${hostname}:${port}`);
  connection.on("error", () => {});
  connection.on("close", onLost);
  const lane = await connection.createChannel();
  lane.on("error", () => {});
  return { lane, close: () => connection.close() };
}
