import { Redis } from "ioredis";
import { open } from "../../../../backends/redis/log.ts";
import { Address } from "../../../../core/backend/address.ts";
import { gapOf, positionAfter } from "../../../../core/backend/continuity.ts";
import type {
  Backend,
  Item,
  Payload,
  RecordReader,
  Tail,
} from "../../../../core/backend/contract.ts";
import { Position } from "../../../../core/backend/position.ts";
import { uniqueChannel } from "../../../conformance/harness.ts";

/** The keys of channels that tests make up, whatever was made of their names. */
export const TEST_KEYS = "[Tt][Ee][Ss][Tt]-*";

/** A stream of a test's own: a backend on it, and a client as other programs have it. */
export class Stream implements AsyncDisposable {
  readonly key: string = uniqueChannel();
  readonly backend: Backend;
  readonly client: Redis;

  private constructor(backend: Backend, client: Redis) {
    this.backend = backend;
    this.client = client;
  }

  static async open(url: string): Promise<Stream> {
    const backend = await open(new Address(url));
    await backend.connect!();
    return new Stream(backend, new Redis(url.replace("-stream", "").replace(/\?.*/, "")));
  }

  /** Publishes through the backend. */
  async publish(...payloads: Payload[]): Promise<Position[]> {
    const messages = payloads.map((payload) => ({ channel: this.key, payload }));
    return await Promise.all(this.backend.publish(messages) as readonly Promise<Position>[]);
  }

  /** Adds an entry as others do, without a wake. */
  async add(message: string, id = "*"): Promise<string> {
    return (await this.client.xadd(this.key, id, "message", message))!;
  }

  /** The position after the newest entry. */
  async head(): Promise<Position> {
    const { items } = await this.backend.read!(this.key, { limit: 1 });
    return items.reduce(positionAfter, Position.start);
  }

  /** The items after a position. */
  async items(after: Position, limit = 100): Promise<readonly Item[]> {
    return (await this.backend.read!(this.key, { after, limit })).items;
  }

  /** The items after a position, in words. */
  async after(after: Position, limit = 100): Promise<unknown[]> {
    return told(await this.items(after, limit), after);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.del(this.key);
    await this.backend.close();
    await closed(this.client);
  }
}

/** For each item its message, `undefined` if it has none, or the gap that a break makes. */
function told(items: readonly Item[], position: Position): unknown[] {
  return items.map((item) => {
    const at = position.in(0);
    position = positionAfter(position, item);
    if (item.kind === "break") return gapOf(item, at);
    return item.kind === "record"
      ? new TextDecoder().decode(item.payload as Uint8Array)
      : undefined;
  });
}

/** A tail, read in words. */
export class Listening implements AsyncDisposable {
  readonly #records: RecordReader;
  #position: Position;

  constructor(tail: Tail) {
    this.#records = tail.records as RecordReader;
    this.#position = tail.position ?? Position.start;
  }

  /** The items of the next read. */
  async read(): Promise<readonly Item[]> {
    const result = await this.#records.read();
    return result.done ? [] : result.value;
  }

  /** The items of the next read, in words. */
  async next(): Promise<unknown[]> {
    const items = await this.read();
    const words = told(items, this.#position);
    this.#position = items.reduce(positionAfter, this.#position);
    return words;
  }

  /** Reads until a message has come. */
  async until(message: string): Promise<unknown[]> {
    const words: unknown[] = [];
    while (!words.includes(message)) words.push(...await this.next());
    return words;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#records.cancel();
  }
}

/** Removes the streams of channels, also of names that start with theirs, or are in capitals. */
export async function remove(url: string, channels: readonly string[]): Promise<void> {
  const client = new Redis(url);
  const names = new Set(channels);
  const wanted = (key: string) => names.has(/^test-\w+-\w+-\d+/.exec(key.toLowerCase())?.[0] ?? "");
  let cursor = "0";
  do {
    const [next, keys] = await client.scan(cursor, "MATCH", TEST_KEYS, "COUNT", 1_000);
    await Promise.all(keys.filter(wanted).map((key) => client.del(key)));
    cursor = next;
  } while (cursor !== "0");
  await closed(client);
}

/** Ends a client; resolves once its socket is shut. */
export async function closed(client: Redis): Promise<void> {
  const ended = new Promise((resolve) => client.once("end", resolve));
  client.disconnect();
  await ended;
}
