/** What is passed to a factory in place of its options is refused, and never ignored. */

import { assertThrows } from "@std/assert";
import { amqpStream } from "../../backends/amqp/log.ts";
import { amqp } from "../../backends/amqp/pubsub.ts";
import { broadcastChannel } from "../../backends/broadcast_channel/pubsub.ts";
import { kafka } from "../../backends/kafka/log.ts";
import { memory } from "../../backends/memory/log.ts";
import { mqtt } from "../../backends/mqtt/pubsub.ts";
import { natsStream } from "../../backends/nats/log.ts";
import { nats } from "../../backends/nats/pubsub.ts";
import { postgresStream } from "../../backends/postgres/log.ts";
import { postgres } from "../../backends/postgres/pubsub.ts";
import { redisStream } from "../../backends/redis/log.ts";
import { redis } from "../../backends/redis/pubsub.ts";

const FACTORIES = [
  ...[amqp, amqpStream, broadcastChannel, kafka, memory, mqtt],
  ...[nats, natsStream, postgres, postgresStream, redis, redisStream],
];

class Client {
  url = "redis://localhost";
}

for (const factory of FACTORIES) {
  Deno.test(`${factory.name}() refuses a URL, null or a client in place of its options`, () => {
    const open = factory as (options: unknown) => unknown;
    for (const given of ["scheme://u:s3cret@host", new URL("http://host"), null, new Client()]) {
      const error = assertThrows(
        () => open(given),
        TypeError,
        `Cannot open ${factory.name}(): its options must be an object such as { url }`,
      );
      if (error.message.includes("s3cret")) throw new Error("it shows credentials");
    }
    open({});
    open(undefined);
  });
}
