/** A server that accepts connections and says nothing: told alike on every scheme. */

import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { assertEquals, assertRejects } from "@std/assert";
import { Broadcast, ConnectionError } from "../../mod.ts";

const PLAIN = ", or the port is for TLS";
const SECURE = ", or the port is not for TLS";

/** Each scheme: the seconds that it waits, what should answer, and what else it may be. */
const SCHEMES: readonly (readonly [url: string, seconds: number, product: string, port: string])[] =
  [
    ["redis://HOST", 10, "Redis", PLAIN],
    ["redis-stream://HOST", 10, "Redis", PLAIN],
    ["rediss://HOST", 10, "Redis", SECURE],
    ["postgres://u:s3cret@HOST/db", 10, "Postgres", ""],
    ["postgres://u:s3cret@HOST/db?sslmode=require&connect_timeout=3", 3, "Postgres", ""],
    ["postgres-stream://HOST/db?connect_timeout=3", 3, "Postgres", ""],
    ["kafka://HOST", 3, "Kafka", PLAIN],
    ["kafka://HOST?tls=true", 3, "Kafka", SECURE],
    ["amqp://HOST", 10, "AMQP", PLAIN],
    ["amqps://HOST", 10, "AMQP", SECURE],
    ["amqp-stream://u:s3cret@HOST", 10, "AMQP", PLAIN],
    ["mqtt://HOST", 10, "MQTT", PLAIN],
    ["mqtts://HOST", 10, "MQTT", SECURE],
    ["nats://u:s3cret@HOST", 10, "NATS", PLAIN],
    ["nats-stream://HOST", 10, "NATS", PLAIN],
    ["nats://HOST?tls=true", 10, "NATS", SECURE],
  ];

Deno.test("a server that is silent is told with its address, the time, and what it may be", async () => {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).resume();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const told = await Promise.all(SCHEMES.map(async ([url]) => {
    await using broadcast = new Broadcast(url.replace("HOST", host));
    const { message } = await assertRejects(() => broadcast.connect(), ConnectionError);
    return [url, message.replace(/^Cannot connect to \S+: /, "")];
  }));
  const expected = SCHEMES.map(([url, seconds, product, port]) => [
    url,
    `${host} did not answer within ${seconds} s: perhaps it is no ${product} server${port}`,
  ]);
  assertEquals(told, expected);
  for (const socket of sockets) socket.destroy();
  server.close();
  await once(server, "close");
});
