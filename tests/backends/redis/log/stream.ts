import { Redis } from "ioredis";
import { open } from "../../../../backends/redis/log.ts";
import { Address } from "../../../../core/backend/address.ts";
import type { Backend, Item, Payload, Tail } from "../../../../core/backend/contract.ts";
import type { Position } from "../../../../core/backend/position.ts";
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
    const backend = await open(new Address(url), {});
    await backend.connect!();
    return new Stream(backend, new Redis(url.replace("-stream", "").replace(/\?.*/, "")));
  }

  /** Publishes through the backend. */
  async publish(...payloads: Payload[]): Promise<Position[]> {
    const answers = this.backend.publish(this.key, payloads) as readonly Promise<Position>[];
    return await Promise.all(answers);
  }

  /** Adds an entry as others do, without a wake. */
  async add(message: string, id = "*"): Promise<string> {
    return (await this.client.xadd(this.key, id, "message", message))!;
  }

  /** What lies behind a position, in words. */
  async behind(after: Position, limit = 100): Promise<unknown[]> {
    const { items } = await this.backend.read!(this.key, { after, limit });
    return items.map(told);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.del(this.key);
    await this.backend.close();
    await closed(this.client);
  }
}

/** Its message, `undefined` for an entry without, or the gap. */
export function told(item: Item): unknown {
  if (item.payload !== undefined) return new TextDecoder().decode(item.payload as Uint8Array);
  if (item.place) return undefined;
  const { cause, missed } = item as { cause: string; missed?: number };
  return missed === undefined ? { cause } : { cause, missed };
}

/** Reads a tail until a message has come; all of it, in words. */
export async function until(tail: Tail, message: string): Promise<unknown[]> {
  const items: unknown[] = [];
  const reader = tail.records.getReader();
  while (!items.includes(message)) items.push(...(await reader.read()).value!.map(told));
  reader.releaseLock();
  return items;
}

/** Removes the streams of channels, of those whose names go on behind theirs, and in capitals. */
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
