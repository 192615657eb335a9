import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { open } from "../../../../backends/nats/log.ts";
import { Address } from "../../../../core/backend/address.ts";
import { gapOf, positionAfter } from "../../../../core/backend/continuity.ts";
import type {
  Backend,
  Item,
  LogBreak,
  Payload,
  RecordReader,
  Tail,
  Target,
} from "../../../../core/backend/contract.ts";
import type { Position } from "../../../../core/backend/position.ts";
import { ConnectionError } from "../../../../mod.ts";
import { uniqueChannel } from "../../../conformance/harness.ts";

/**
 * The parameter for streams that are deleted: a server of the line 2.9 tells of that before it has
 * deleted the files, and then deletes those of the stream that is created meanwhile.
 */
export const DELETABLE = "&storage=memory";

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
    const backend = await open(new Address(Log.url(server, name, parameters)));
    await backend.connect!();
    const { username: user, password: pass } = new URL(server);
    const client = await connect({ servers: server, ...user !== "" && { user, pass } });
    return new Log(name, backend, client, await jetstreamManager(client));
  }

  static url(server: string, name: string, parameters = ""): string {
    return `${server.replace(/^[^:]*/, "nats-stream")}?stream=${name}${parameters}`;
  }

  /** Publishes through the backend. */
  async publish(channel: string, ...payloads: Payload[]): Promise<Position[]> {
    const answers = this.backend.publish(payloads.map((payload) => ({ channel, payload })));
    return await Promise.all(answers as readonly Promise<Position>[]);
  }

  /** The items after a position, in words. */
  async after(target: Target, after: Position, limit = 100): Promise<unknown[]> {
    return inWords(await this.items(target, after, limit), after);
  }

  /** The facts with which what follows a position starts. */
  async factsAfter(target: Target, after: Position): Promise<Omit<LogBreak, "kind"> | undefined> {
    const [first] = await this.items(target, after);
    if (first?.kind !== "break") return undefined;
    const { kind: _, ...facts } = first;
    return facts;
  }

  /** The items after a position: read again, as the core does, if the server stopped answering. */
  async items(target: Target, after: Position, limit = 100): Promise<readonly Item[]> {
    for (let tries = 3;; tries--) {
      try {
        return (await this.backend.read!(target, { after, limit })).items;
      } catch (error) {
        if (!(error instanceof ConnectionError) || tries === 0) throw error;
      }
    }
  }

  /** Deletes the stream, and creates it again as it was. */
  async recreate(): Promise<void> {
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

/** Each message, and each gap by its cause. Breaks that make no gap and skipped records are left out. */
export function inWords(items: readonly Item[], after: Position): string[] {
  let position = after;
  return items.flatMap((item) => {
    const seen = position;
    position = positionAfter(position, item);
    if (item.kind === "record") return new TextDecoder().decode(item.payload as Uint8Array);
    return item.kind === "break" ? gapOf(item, seen.in(0))?.cause ?? [] : [];
  });
}

/** Reads a tail until a message has come; all of it, in words. */
export async function until(tail: Tail, message: string): Promise<string[]> {
  let position = tail.position!;
  const words: string[] = [];
  while (!words.includes(message)) {
    const { value } = await (tail.records as RecordReader).read();
    words.push(...inWords(value as Item[], position));
    position = (value as Item[]).reduce(positionAfter, position);
  }
  return words;
}
