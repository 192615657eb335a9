import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { open } from "../../../../backends/nats/log.ts";
import { Address } from "../../../../core/backend/address.ts";
import type { Backend, Item, Payload, Tail, Target } from "../../../../core/backend/contract.ts";
import type { Position } from "../../../../core/backend/position.ts";
import { ConnectionError } from "../../../../mod.ts";
import { uniqueChannel } from "../../../conformance/harness.ts";

/** A stream of a test's own: a backend on it, and a client as other programs have it. */
export class Log implements AsyncDisposable {
  readonly name: string;
  readonly backend: Backend;
  readonly client: NatsConnection;
  readonly manager: JetStreamManager;

  private constructor(
    name: string,
    backend: Backend,
    client: NatsConnection,
    manager: JetStreamManager,
  ) {
    this.name = name;
    this.backend = backend;
    this.client = client;
    this.manager = manager;
  }

  /** Opens it on a server, whose URL is that of `nats://`. */
  static async open(server: string, parameters = ""): Promise<Log> {
    const name = uniqueChannel();
    const backend = await open(new Address(Log.url(server, name, parameters)), {});
    await backend.connect!();
    const client = await connect({ servers: server });
    return new Log(name, backend, client, await jetstreamManager(client));
  }

  static url(server: string, name: string, parameters = ""): string {
    return `${server.replace(/^[^:]*/, "nats-stream")}?stream=${name}${parameters}`;
  }

  /** Publishes through the backend. */
  async publish(channel: string, ...payloads: Payload[]): Promise<Position[]> {
    const answers = this.backend.publish(channel, payloads) as readonly Promise<Position>[];
    return await Promise.all(answers);
  }

  /** What lies behind a position, in words: asked again, as the core does, if it fell silent. */
  async behind(target: Target, after: Position, limit = 100): Promise<unknown[]> {
    for (let tries = 3;; tries--) {
      try {
        const { items } = await this.backend.read!(target, { after, limit });
        return items.map(told);
      } catch (error) {
        if (!(error instanceof ConnectionError) || tries === 0) throw error;
      }
    }
  }

  /** Removes the stream, and makes it again as it was. */
  async beginAnew(): Promise<void> {
    const { config } = await this.manager.streams.info(this.name);
    await this.manager.streams.delete(this.name);
    await this.manager.streams.add(config);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.backend.close();
    await this.manager.streams.delete(this.name);
    await this.client.close();
  }
}

/** Its message, or the gap. */
export function told(item: Item): unknown {
  if (item.payload !== undefined) return new TextDecoder().decode(item.payload as Uint8Array);
  if (item.place) return undefined;
  return (item as { cause: string }).cause;
}

/** Reads a tail until a message has come; all of it, in words. */
export async function until(tail: Tail, message: string): Promise<unknown[]> {
  const items: unknown[] = [];
  const reader = tail.records.getReader();
  while (!items.includes(message)) items.push(...(await reader.read()).value!.map(told));
  reader.releaseLock();
  return items;
}
