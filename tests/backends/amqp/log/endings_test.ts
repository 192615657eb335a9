/** Connections, pages and tails that end while something is under way, and what is left open. */

import { Buffer } from "node:buffer";
import { assertEquals, assertRejects } from "@std/assert";
import { type ChannelModel, connect } from "amqplib";
import { amqpStream } from "../../../../backends/amqp/log.ts";
import { amqp } from "../../../../backends/amqp/pubsub.ts";
import type { BackendRecord } from "../../../../core/backend/contract.ts";
import { ConnectionError, TemporaryError } from "../../../../core/backend/errors.ts";
import { Position } from "../../../../core/backend/position.ts";
import { numbered } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { Proxy } from "../../../services/proxy.ts";
import { until } from "../../../services/service.ts";
import { Interceptor } from "./interceptor.ts";
import { borrowing, next, Stream, until as read } from "./stream.ts";

function endings(url: string): void {
  Deno.test("amqp-stream: a connection that is lost while a page is marked ends the page, and nothing else", async () => {
    await using stream = await Stream.open(url);
    await stream.make();
    await stream.publish("event");
    for (const mark of numbered(40)) {
      stream.lane.sendToQueue(stream.name, Buffer.of(), { headers: { "broadcaster-mark": mark } });
    }
    await stream.lane.waitForConfirms();
    await using client = await Interceptor.connect(url);
    const backend = await borrowing(client.model);
    const [event] = (await backend.read!(stream.name, { limit: 1 })).items;
    client.beforeMessage = () => Promise.resolve(client.cut());
    // It reads what is known before it asks where the end is.
    const after = Position.of((event as BackendRecord).place!);
    await assertRejects(() => backend.read!(stream.name, { after, limit: 1 }), ConnectionError);
    await backend.close();
  });

  Deno.test("amqp-stream: a connection that was given keeps no channel of pages and tails that were on their way", async () => {
    await using stream = await Stream.open(url);
    await stream.make();
    await stream.publish(...numbered(100));
    const client = await connect(url);
    const backend = await borrowing(client);
    await backend.read!(stream.name, { limit: 1 });
    const createChannel = client.createChannel.bind(client);
    const created: Promise<unknown>[] = [];
    const isOpening = new Promise<void>((resolve) => {
      client.createChannel = () => {
        const channel = createChannel();
        created.push(channel);
        if (created.length === 3) resolve();
        return channel;
      };
    });
    const uses = [
      backend.read!(stream.name, { limit: 10 }),
      backend.read!(stream.name, { limit: 20 }),
      backend.tail(stream.name),
    ];
    const rejected = uses.map((use) => assertRejects(() => use, ConnectionError));
    await isOpening;
    await created[0];
    await backend.close();
    await Promise.all(rejected);
    assertEquals(channelsOf(client), 0);
    await client.close();
  });

  Deno.test("amqp-stream: consumers that failed keep no channel", async () => {
    await using stream = await Stream.open(url);
    await using client = await Interceptor.connect(url);
    const backend = await borrowing(client.model);
    const tail = await backend.tail(stream.name);
    const lasting = channelsOf(client.model);
    const deleted = assertRejects(() => next(tail), TemporaryError, "deleted");
    await stream.remove();
    await deleted;
    await until(() => channelsOf(client.model) < lasting, "The channel is open");
    await stream.make();
    const other = await backend.tail(stream.name);
    await stream.publish("heard");
    await read(other, "heard");
    client.deafen();
    await stream.publish("unheard");
    await assertRejects(() => next(other), ConnectionError, "did not send the records");
    await until(() => channelsOf(client.model) < lasting, "The channel is open");
    await backend.close();
  });

  for (const [scheme, factory] of Object.entries({ "amqp": amqp, "amqp-stream": amqpStream })) {
    Deno.test(`${scheme}: a backend that is closed while it connects again leaves no connection`, async () => {
      await using proxy = await Proxy.start(Number(new URL(url).port));
      const backend = await factory({ url: proxy.url(url).replace(/^amqp/, scheme) }).open();
      await backend.connect!();
      proxy.cut();
      await until(() => !backend.connected, "Cannot cut the connection");
      const again = backend.connect!().catch(() => {});
      await backend.close();
      await again;
      await until(() => proxy.connections === 0, "A connection was left");
    });
  }
}

/** The number of channels that are open on a connection, besides that of the connection itself. */
function channelsOf(client: ChannelModel): number {
  const { channels } = client.connection as unknown as { channels: unknown[] };
  return channels.filter((channel) => channel).length - 1;
}

withBroker("amqp", endings);
