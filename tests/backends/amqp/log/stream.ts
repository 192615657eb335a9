import { Buffer } from "node:buffer";
import { type ChannelModel, type ConfirmChannel, connect, type ConsumeMessage } from "amqplib";
import { amqpStream } from "../../../../backends/amqp/log.ts";
import { gapOf, positionAfter } from "../../../../core/backend/continuity.ts";
import type { Backend, Item, RecordReader, Tail } from "../../../../core/backend/contract.ts";
import { Position } from "../../../../core/backend/position.ts";
import { uniqueChannel } from "../../../conformance/harness.ts";

/** The limits of a stream that keeps little: the server removes whole files. */
const SMALL = { "x-max-length-bytes": 300_000, "x-stream-max-segment-size-bytes": 100_000 };

/** A stream of one test: a backend on it, and a client as other programs have it. */
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

  /** Its first messages that are no marks, as another program reads them. */
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

  /** Creates it, as another program would. */
  async make(limits: Record<string, unknown> = {}): Promise<void> {
    const options = { durable: true, arguments: { "x-queue-type": "stream", ...limits } };
    await this.lane.assertQueue(this.name, options);
  }

  /** Creates it so that it keeps no more than the last few hundred kilobytes. */
  makeSmall(): Promise<void> {
    return this.make(SMALL);
  }

  /** Publishes, as another program would. */
  async publish(...messages: (string | Uint8Array)[]): Promise<void> {
    for (const message of messages) this.lane.sendToQueue(this.name, Buffer.from(message));
    await this.lane.waitForConfirms();
  }

  /** Publishes so much that a small stream has removed what it had before. */
  async flood(): Promise<void> {
    for (let batch = 0; batch < 20; batch++) {
      await this.publish(...Array.from({ length: 10 }, () => " ".repeat(5_000)));
    }
  }

  /** The items after a position, in words. */
  async after(after: Position, limit = 100): Promise<unknown[]> {
    return wordsOf(await this.read(after, limit), after);
  }

  async read(after: Position, limit = 100): Promise<readonly Item[]> {
    return (await this.backend.read!(this.name, { after, limit })).items;
  }

  /** The positions of the newest events. */
  async newest(limit: number): Promise<Item[]> {
    return [...(await this.backend.read!(this.name, { limit })).items];
  }

  /** Continues with a backend that knows nothing yet. */
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
  const backend = await amqpStream({ url: server.replace(/^amqp/, "amqp-stream") }).open();
  await backend.connect!();
  return backend;
}

/** A backend on a connection of the user's. */
export async function borrowing(client: ChannelModel): Promise<Backend> {
  const backend = await amqpStream({ client }).open();
  await backend.connect!();
  return backend;
}

/** Publishes messages to a stream, and waits until they are stored. */
export async function publish(
  backend: Backend,
  channel: string,
  ...payloads: string[]
): Promise<void> {
  await Promise.all(
    backend.publish(payloads.map((payload) => ({ channel, payload }))) as readonly Promise<
      unknown
    >[],
  );
}

/** Its message, or the gap; nothing for a mark. */
export function told(item: Item, at = Position.start): unknown {
  if (item.kind === "record") return new TextDecoder().decode(item.payload as Uint8Array);
  return item.kind === "break" ? gapOf(item, at.in(0))?.cause : undefined;
}

/** Items after a position, in words. */
export function wordsOf(items: readonly Item[], after = Position.start): unknown[] {
  let position = after;
  return items.flatMap((item) => {
    const word = told(item, position);
    position = positionAfter(position, item);
    return word === undefined ? [] : [word];
  });
}

/** Reads the next items of a tail. */
export async function next(tail: Tail): Promise<readonly Item[]> {
  const { done, value } = await (tail.records as RecordReader).read();
  if (done) throw new Error("The tail has ended");
  return value;
}

/** Reads a tail until a message has come; all of it, in words. */
export async function until(tail: Tail, message: string): Promise<unknown[]> {
  const items: Item[] = [];
  while (!items.some((item) => told(item) === message)) items.push(...await next(tail));
  return wordsOf(items, tail.position);
}
