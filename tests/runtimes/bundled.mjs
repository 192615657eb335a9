/**
 * What bundlers are given: a program that hears a message over each backend, with a client of its
 * own where there is one.
 *
 * The arguments are the harnesses, as JSON, and a channel. With a third one, which is `urls`, it
 * hears one more over each URL, whose client has to be installed.
 */

import { Broadcast } from "@broadcaster/broadcaster";
import { amqp } from "@broadcaster/broadcaster/amqp";
import { amqpStream } from "@broadcaster/broadcaster/amqp-stream";
import { kafka } from "@broadcaster/broadcaster/kafka";
import { mqtt } from "@broadcaster/broadcaster/mqtt";
import { nats } from "@broadcaster/broadcaster/nats";
import { natsStream } from "@broadcaster/broadcaster/nats-stream";
import { postgres } from "@broadcaster/broadcaster/postgres";
import { postgresStream } from "@broadcaster/broadcaster/postgres-stream";
import { redis } from "@broadcaster/broadcaster/redis";
import { redisStream } from "@broadcaster/broadcaster/redis-stream";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect as connectNats } from "@nats-io/transport-node";
import { connect as connectAmqp } from "amqplib";
import { Cluster, Redis } from "ioredis";
import { Kafka } from "kafkajs";
import { connectAsync as connectMqtt } from "mqtt";
import process from "node:process";
import sqlOf from "postgres";

const FACTORIES = {
  amqp,
  "amqp-stream": amqpStream,
  kafka,
  mqtt,
  nats,
  "nats-stream": natsStream,
  postgres,
  "postgres-stream": postgresStream,
  redis,
  "redis-stream": redisStream,
};

/** The options that give a client to a factory, and what closes it, by the broker. */
const CLIENTS = {
  amqp: async (hosts) => {
    const client = await connectAmqp(`amqp://${hosts}`);
    return [{ client }, () => client.close()];
  },
  kafka: (hosts) => [{ client: new Kafka({ brokers: [hosts], logLevel: 0 }) }, () => {}],
  mqtt: async (hosts) => {
    const client = await connectMqtt(`mqtt://${hosts}`, { protocolVersion: 5 });
    return [{ client }, () => client.endAsync()];
  },
  nats: async (hosts, isStream) => {
    const client = await connectNats({ servers: hosts });
    return [{ client, ...isStream && { jetstreamManager } }, () => client.close()];
  },
  postgres: (hosts) => {
    const sql = sqlOf(`postgres://${hosts}`);
    return [{ sql }, () => sql.end()];
  },
  redis: (hosts) => {
    const nodes = hosts.split(",").map((host) => `redis://${host}`);
    const options = { lazyConnect: true };
    const client = nodes.length > 1 ? new Cluster(nodes, options) : new Redis(nodes[0], options);
    return [{ client }, () => client.disconnect()];
  },
};

async function main([harnesses, channel, more]) {
  for (const { name, url } of JSON.parse(harnesses)) {
    const [, scheme, broker, hosts] = /^((\w+)[\w-]*):\/\/([^?]*)/.exec(url);
    const factory = FACTORIES[scheme];
    if (!factory) {
      await hear(name, url, channel);
      continue;
    }
    const [client, close] = await CLIENTS[broker](hosts, scheme.endsWith("-stream"));
    await hear(name, factory({ url, ...client }), channel);
    await close();
    if (more === "urls") await hear(url, url, channel);
  }
}

async function hear(name, source, channel) {
  const broadcast = new Broadcast(source);
  const subscription = await broadcast.subscribe(channel);
  await broadcast.publish(channel, name);
  for await (const { message } of subscription) {
    process.stdout.write(`${message}\n`);
    break;
  }
  await broadcast.disconnect();
}

// A bundle of CommonJS has no `await` outside of functions.
main(process.argv.slice(2)).catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
});
