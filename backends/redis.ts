/**
 * Redis pub/sub, and what speaks its protocol.
 *
 * ## URLs
 *
 * `redis://[[user][:password]@]host[:port][/database]`, without parameters of
 * its own; `rediss://` for TLS. The port is 6379 if none is named. Pub/sub
 * knows no databases: the number only matters to the server's access rules.
 *
 * ## Delivery
 *
 * At most once, in the order in which the server received it. What is published
 * while the connection is lost is lost too, and told as a gap. A server that
 * finds this process too slow closes the connection
 * (`client-output-buffer-limit`): also a gap. Replication between servers, or
 * within a cluster, may lose events without notice.
 *
 * ## Escape hatch
 *
 * Pass an ioredis client as `client`: its settings are used for connections of
 * our own (`duplicate()`), and it is never used or closed itself.
 *
 * @module
 */

import type { Buffer } from "node:buffer";
import type { Redis } from "ioredis";
import type { Address } from "../address.ts";
import type { Backend, BackendFeatures, BackendOptions, Payload, Tail } from "../backend.ts";
import { ClosedError } from "../errors.ts";
import { RecordSource } from "../record_source.ts";
import { bufferOf, clientsOf, Link } from "./redis/link.ts";

/** One connection to publish, one to subscribe, however many channels. */
export class RedisBackend implements Backend {
  /** The scheme. */
  readonly name = "redis";
  /** As it appears in messages. */
  readonly address: string;
  /** What it can do. */
  readonly features: BackendFeatures = { crossProcess: true, binary: true };
  readonly #make: () => Redis;
  readonly #tails = new Map<string, RecordSource>();
  #publisher: Link | undefined;
  #subscriber: Link | undefined;
  #closed = false;

  /**
   * A backend that connects when it is asked to.
   *
   * @param address As it appears in messages.
   * @param make Makes a client that is not connected.
   */
  constructor(address: string, make: () => Redis) {
    this.address = address;
    this.#make = make;
  }

  /** Whether neither connection was lost. */
  get connected(): boolean {
    return !this.#publisher?.lost && !this.#subscriber?.lost;
  }

  /** Opens the connection to publish; the other one opens with the first tail. */
  async connect(): Promise<void> {
    if (this.#publisher?.lost) this.#publisher = undefined;
    if (this.#subscriber?.lost) this.#subscriber = undefined;
    this.#publisher ??= new Link(this.#client());
    await this.#publisher.ready;
  }

  /** One pipeline for what was given in one go. */
  publish(channel: string, payloads: readonly Payload[]): readonly Promise<unknown>[] {
    const link = this.#publisher!;
    if (payloads.length === 1) {
      const reply = link.client.publish(channel, bufferOf(payloads[0]!));
      return [reply.catch((error) => Promise.reject(link.explain(error)))];
    }
    const pipeline = link.client.pipeline();
    for (const payload of payloads) pipeline.publish(channel, bufferOf(payload));
    const replies = pipeline.exec().catch((error) => Promise.reject(link.explain(error)));
    return payloads.map(async (_, index) => {
      const [error] = (await replies)?.[index] ?? [];
      if (error) throw link.explain(error);
    });
  }

  /** SUBSCRIBE, answered. */
  async tail(channel: string): Promise<Tail> {
    if (this.#subscriber?.lost) this.#subscriber = undefined;
    const link = this.#subscriber ??= this.#listen();
    await link.ready;
    const source = new RecordSource(async () => {
      if (this.#tails.get(channel) === source) this.#tails.delete(channel);
      if (!link.lost) await link.client.unsubscribe(channel);
    });
    this.#tails.set(channel, source);
    try {
      await link.client.subscribe(channel);
    } catch (error) {
      this.#tails.delete(channel);
      throw link.explain(error);
    }
    return source;
  }

  /** PING on each connection. */
  async probe(signal: AbortSignal): Promise<void> {
    const links = [this.#publisher, this.#subscriber].filter((link) => link !== undefined);
    await Promise.all(links.map((link) => link.probe(signal)));
  }

  /** Shuts both sockets. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#publisher?.close(), this.#subscriber?.close()]);
  }

  #client(): Redis {
    if (this.#closed) throw new ClosedError("Cannot use backend: it is closed");
    return this.#make();
  }

  #listen(): Link {
    const link = new Link(this.#client(), (error) => {
      for (const source of this.#tails.values()) source.error(error);
      this.#tails.clear();
    });
    link.client.on("messageBuffer", (channel: Buffer, payload: Buffer) => {
      this.#tails.get(channel.toString())?.push({ payload });
    });
    return link;
  }
}

/** Makes the backend of `redis://` and `rediss://`. */
export async function open(address: Address, options: BackendOptions): Promise<Backend> {
  const clients = await clientsOf(address, options);
  return new RedisBackend(clients.address, clients.make);
}
