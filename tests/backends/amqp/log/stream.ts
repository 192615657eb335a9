import { Buffer } from "node:buffer";
import { type ChannelModel, type ConfirmChannel, connect, type ConsumeMessage } from "amqplib";
import { open } from "../../../../backends/amqp/log.ts";
import { Address } from "../../../../core/backend/address.ts";
import type { Backend, Item, Tail } from "../../../../core/backend/contract.ts";
import type { Position } from "../../../../core/backend/position.ts";
import { uniqueChannel } from "../../../conformance/harness.ts";

/** What a stream is made with, so that it forgets soon: the server drops whole files. */
const SMALL = { "x-max-length-bytes": 300_000, "x-stream-max-segment-size-bytes": 100_000 };

/** A stream of a test's own: a backend on it, and a client as other programs have it. */
export class Stream implements AsyncDisposable {
  readonly name: string = uniqueChannel();
  backend: Backend;
  readonly client: ChannelModel;
  readonly lane: ConfirmChannel;

  readonly #server: string;

  private constructor(
    server: string,
    backend: Backend,
    client: ChannelModel,
    lane: ConfirmChannel,
  ) {
    this.#server = server;
    this.backend = backend;
    this.client = client;
    this.lane = lane;
  }

  /** Opens it on a server, whose URL is that of `amqp://`. */
  static async open(server: string): Promise<Stream> {
    const client = await connect(server, { noDelay: true });
    return new Stream(server, await backendOn(server), client, await client.createConfirmChannel());
  }

  /** Its first so many messages that are no marks, as another program reads them. */
  async heard(count: number): Promise<ConsumeMessage[]> {
    const lane = await this.client.createChannel();
    await lane.prefetch(10);
    const heard: ConsumeMessage[] = [];
    await new Promise<void>((resolve) =>
      void lane.consume(this.name, (message) => {
        // Without one, the stream was removed.
        if (message && !("broadcaster-mark" in message.properties.headers!)) heard.push(message);
        if (heard.length === count) resolve();
      }, { arguments: { "x-stream-offset": "first" } })
    );
    await lane.close();
    return heard;
  }

  /** Makes it, as another program would. */
  async make(limits: Record<string, unknown> = {}): Promise<void> {
    const options = { durable: true, arguments: { "x-queue-type": "stream", ...limits } };
    await this.lane.assertQueue(this.name, options);
  }

  /** Makes it so that it keeps no more than the last few hundred kilobytes. */
  makeSmall(): Promise<void> {
    return this.make(SMALL);
  }

  /** Publishes, as another program would. */
  async publish(...messages: (string | Uint8Array)[]): Promise<void> {
    for (const message of messages) this.lane.sendToQueue(this.name, Buffer.from(message));
    await this.lane.waitForConfirms();
  }

  /** Publishes so much that a small stream has forgotten what it had before. */
  async flood(): Promise<void> {
    for (let batch = 0; batch < 20; batch++) {
      await this.publish(...Array.from({ length: 10 }, () => " ".repeat(5_000)));
    }
  }

  /** What lies behind a position, in words. */
  async behind(after: Position, limit = 100): Promise<unknown[]> {
    return (await this.read(after, limit)).map(told).filter((word) => word !== undefined);
  }

  async read(after: Position, limit = 100): Promise<readonly Item[]> {
    return (await this.backend.read!(this.name, { after, limit })).items;
  }

  /** The positions of the newest events. */
  async newest(limit: number): Promise<Item[]> {
    return [...(await this.backend.read!(this.name, { limit })).items];
  }

  /** Goes on with a backend that knows nothing yet. */
  async renew(): Promise<void> {
    await this.backend.close();
    this.backend = await backendOn(this.#server);
  }

  async remove(): Promise<void> {
    await this.lane.deleteQueue(this.name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.backend.close();
    await this.lane.deleteQueue(this.name);
    await this.client.close();
  }
}

async function backendOn(server: string): Promise<Backend> {
  const backend = await open(new Address(server.replace(/^amqp/, "amqp-stream")), {});
  await backend.connect!();
  return backend;
}

/** Its message, or the gap; nothing where it is a mark. */
export function told(item: Item): unknown {
  if (item.payload !== undefined) return new TextDecoder().decode(item.payload as Uint8Array);
  return item.place ? undefined : (item as { cause: string }).cause;
}

/** Reads a tail until a message has come; all of it, in words. */
export async function until(tail: Tail, message: string): Promise<unknown[]> {
  const words: unknown[] = [];
  const reader = tail.records.getReader();
  while (!words.includes(message)) words.push(...(await reader.read()).value!.map(told));
  reader.releaseLock();
  return words.filter((word) => word !== undefined);
}
