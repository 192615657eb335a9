/** What ends in the middle of something, and leaves nothing behind. */

import { Buffer } from "node:buffer";
import { assertEquals, assertRejects } from "@std/assert";
import { connect } from "amqplib";
import { open as openStream } from "../../../../backends/amqp/log.ts";
import { open as openAmqp } from "../../../../backends/amqp/pubsub.ts";
import { Address } from "../../../../core/backend/address.ts";
import { ConnectionError } from "../../../../core/backend/errors.ts";
import { Position } from "../../../../core/backend/position.ts";
import { numbered } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { Proxy } from "../../../services/proxy.ts";
import { until } from "../../../services/service.ts";
import { Interceptor } from "./interceptor.ts";
import { Stream } from "./stream.ts";

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
    const backend = await openStream(new Address("amqp-stream://"), { client: client.model });
    await backend.connect!();
    const [event] = (await backend.read!(stream.name, { limit: 1 })).items;
    client.beforeMessage = () => Promise.resolve(client.cut());
    // It reads what is known before it asks where the end is.
    const after = Position.of(event!.place!);
    await assertRejects(() => backend.read!(stream.name, { after, limit: 1 }), ConnectionError);
    await backend.close();
  });

  Deno.test("amqp-stream: a connection that was given keeps no channel of pages and tails that were on their way", async () => {
    await using stream = await Stream.open(url);
    await stream.make();
    await stream.publish(...numbered(100));
    const client = await connect(url);
    const { channels } = client.connection as unknown as { channels: unknown[] };
    const backend = await openStream(new Address("amqp-stream://"), { client });
    await backend.connect!();
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
    // The first one is that of the connection itself.
    assertEquals(channels.filter((channel) => channel).length, 1);
    await client.close();
  });

  for (const [scheme, open] of Object.entries({ "amqp": openAmqp, "amqp-stream": openStream })) {
    Deno.test(`${scheme}: a backend that is closed while it connects again leaves no connection`, async () => {
      await using proxy = await Proxy.start(Number(new URL(url).port));
      const backend = await open(new Address(proxy.url(url).replace(/^amqp/, scheme)), {});
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

withBroker("amqp", endings);
