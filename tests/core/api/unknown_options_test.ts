/** Options that are not known are refused, with the nearest name. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { amqpStream } from "../../../backends/amqp/log.ts";
import { amqp } from "../../../backends/amqp/pubsub.ts";
import { broadcastChannel } from "../../../backends/broadcast_channel/pubsub.ts";
import { kafka } from "../../../backends/kafka/log.ts";
import { memory } from "../../../backends/memory/log.ts";
import { mqtt } from "../../../backends/mqtt/pubsub.ts";
import { natsStream } from "../../../backends/nats/log.ts";
import { nats } from "../../../backends/nats/pubsub.ts";
import { postgresStream } from "../../../backends/postgres/log.ts";
import { postgres } from "../../../backends/postgres/pubsub.ts";
import { redisStream } from "../../../backends/redis/log.ts";
import { redis } from "../../../backends/redis/pubsub.ts";
import { eventStream, eventStreamResponse } from "../../../core/sse/mod.ts";
import { sendTo } from "../../../core/websocket/mod.ts";
import { Broadcast } from "../../../mod.ts";

/** Each call with an option that is misspelled, and what is said. */
const CALLS: readonly (readonly [
  given: Record<string, unknown>,
  call: (broadcast: Broadcast, options: never) => unknown,
  message: string,
])[] = [
  [
    { lingr: 1 },
    (_, options) => new Broadcast("memory://", options),
    'Cannot open broadcast: unknown option "lingr", did you mean "linger"?',
  ],
  [
    { retry: true },
    (_, options) => new Broadcast("memory://", options),
    'Cannot open broadcast: unknown option "retry", known options are codec, channels, buffer, linger, timeout, probe, maxMessage',
  ],
  [
    { signals: 1 },
    (broadcast, options) => broadcast.connect(options),
    'Cannot connect: unknown option "signals", did you mean "signal"?',
  ],
  [
    { idempotency_key: "a" },
    (broadcast, options) => broadcast.publish("news", "x", options),
    'Cannot publish: unknown option "idempotency_key", did you mean "idempotencyKey"?',
  ],
  [
    { histroy: 10 },
    (broadcast, options) => broadcast.subscribe("news", options),
    'Cannot subscribe: unknown option "histroy", did you mean "history"?',
  ],
  [
    { limits: 10 },
    (broadcast, options) => broadcast.history("news", options),
    'Cannot read history: unknown option "limits", did you mean "limit"?',
  ],
  [
    { ends: true },
    (broadcast, options) => broadcast.writable("news", options),
    'Cannot write to channel: unknown option "ends", did you mean "end"?',
  ],
  [
    { heartBeats: 1 },
    (_, options) => eventStream(new ReadableStream(), options),
    'Cannot write event stream: unknown option "heartBeats", did you mean "heartbeat"?',
  ],
  [
    { headers: {} },
    (_, options) => eventStream(new ReadableStream(), options),
    'Cannot write event stream: unknown option "headers", known options are event, data, heartbeat, retry, signal',
  ],
  [
    { header: {} },
    (_, options) => eventStreamResponse(new ReadableStream(), options),
    'Cannot write event stream: unknown option "header", did you mean "headers"?',
  ],
  [
    { maxbufferd: 1 },
    (_, options) => sendTo({} as never, new ReadableStream(), options),
    'Cannot send to WebSocket: unknown option "maxbufferd", did you mean "maxBuffered"?',
  ],
];

for (const [options, call, message] of CALLS) {
  Deno.test(`it is said: ${message}`, async () => {
    await using broadcast = new Broadcast("memory://");
    const error = await assertRejects(
      async () => await call(broadcast, options as never),
      TypeError,
    );
    assertEquals(error.message, message);
  });
}

/** The factories, each with an option that only it has, if there is one. */
const FACTORIES = {
  ...{ memory, broadcastChannel, redis, redisStream, postgres, postgresStream },
  ...{ kafka, amqp, amqpStream, mqtt, nats, natsStream },
};

for (const [name, factory] of Object.entries(FACTORIES)) {
  Deno.test(`${name}() refuses an option that it does not know`, () => {
    assertThrows(
      () => factory({ urls: "x" } as never),
      TypeError,
      `Cannot open ${name}(): unknown option "urls", did you mean "url"?`,
    );
  });
}

Deno.test("an unknown option that is undefined counts as not given", async () => {
  await using broadcast = new Broadcast("memory://", { retries: undefined } as never);
  await broadcast.publish("news", "x", { key: undefined } as never);
  await using _ = await broadcast.subscribe("news", { lastEventId: undefined } as never);
});

Deno.test("options may have a prototype with more", async () => {
  await using broadcast = new Broadcast("memory://");
  const defaults = { limit: 1, color: "red" };
  assertEquals(await broadcast.history("news", Object.create(defaults)), []);
});
