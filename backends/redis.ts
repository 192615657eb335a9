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

import { Buffer } from "node:buffer";
import { isIP } from "node:net";
import type { Redis, RedisOptions } from "ioredis";
import { unlessAborted } from "../abort.ts";
import type { Address } from "../address.ts";
import type { Backend, BackendFeatures, BackendOptions, Payload, Tail } from "../backend.ts";
import { importClient } from "../client.ts";
import { ClosedError, ConnectionError, RefusedError } from "../errors.ts";
import { RecordSource } from "../record_source.ts";
import { after } from "../timer.ts";

/** The core reconnects; the client never does, and holds nothing back meanwhile. */
const OPTIONS = {
  lazyConnect: true,
  retryStrategy: () => null,
  autoResubscribe: false,
  autoResendUnfulfilledCommands: false,
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
  connectTimeout: 10_000,
} satisfies RedisOptions;

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

/** One connection, and what became of it. */
class Link {
  readonly client: Redis;
  /** Settles once it is open. */
  readonly ready: Promise<void>;
  /** Whether it was open, or was to be, and is not any more. */
  lost = false;
  readonly #ended: Promise<void>;
  #reason: unknown;

  constructor(client: Redis, onLost: (error: ConnectionError) => void = () => {}) {
    this.client = client;
    // Only this event tells why; rejections just say "Connection is closed."
    client.on("error", (error) => this.#reason = withoutCommand(error));
    this.#ended = new Promise((resolve) => {
      client.once("end", () => {
        this.lost = true;
        onLost(this.#lostError());
        resolve();
      });
    });
    this.ready = this.#connect();
    this.ready.catch(() => {});
  }

  /** What an error of the client means: that the link is lost, or that the server refused. */
  explain(error: unknown): unknown {
    return isReply(error) ? withoutCommand(error) : this.#lostError(error);
  }

  async probe(signal: AbortSignal): Promise<void> {
    if (this.lost) return;
    try {
      await unlessAborted(signal, this.client.ping());
    } catch (error) {
      this.#reason ??= error;
      this.#cut();
      throw this.#lostError();
    }
  }

  async close(): Promise<void> {
    // A server that is silent would keep `ready` waiting.
    if (!this.lost && this.client.status !== "wait") this.#cut();
    await this.ready.catch(() => {});
    if (!this.lost) await this.#ended;
  }

  async #connect(): Promise<void> {
    // `connectTimeout` ends with the TCP handshake: this is for a server that is silent from then on.
    const stop = after(OPTIONS.connectTimeout, () => {
      this.#reason ??= new Error(
        "it accepts connections and does not answer, perhaps for want of TLS",
      );
      this.#cut();
    });
    try {
      await this.client.connect();
    } catch (error) {
      this.lost = true;
      // The client's own words are "Connection is closed.", whatever happened.
      const reason = this.#reason ?? new Error(
        "it closed the connection, perhaps it is no Redis server or wants TLS",
        { cause: withoutCommand(error) },
      );
      throw isReply(reason) ? new RefusedError(reason.message, { cause: reason }) : reason;
    } finally {
      stop();
    }
  }

  /** A half-open socket never says that it has ended: it is destroyed. */
  #cut(): void {
    const { stream } = this.client as { stream?: { destroyed: boolean; destroy(): void } };
    if (stream?.destroyed) return;
    this.client.disconnect();
    stream?.destroy();
  }

  #lostError(cause: unknown = this.#reason): ConnectionError {
    return new ConnectionError("the connection to the server was lost", { cause });
  }
}

/** Makes the backend of `redis://` and `rediss://`. */
export async function open(address: Address, options: BackendOptions): Promise<Backend> {
  const { client } = options;
  if (client !== undefined) {
    if (
      typeof (client as Partial<Redis>).duplicate !== "function" ||
      "isCluster" in Object(client) && (client as { isCluster?: boolean }).isCluster
    ) {
      throw new TypeError("Cannot use client: it is not a `Redis` of ioredis");
    }
    return new RedisBackend(String(address), () => (client as Redis).duplicate(OPTIONS));
  }
  const settings = settingsOf(address);
  const { Redis } = await importClient<typeof import("ioredis")>("ioredis");
  return new RedisBackend(
    `${address.scheme}://${address.servers(6379)[0]}`,
    () => new Redis(settings),
  );
}

function settingsOf(address: Address) {
  if (address.hosts.length > 1) {
    throw new TypeError(`Cannot open "${address}": it names several hosts, redis:// takes one`);
  }
  const db = address.path === "" ? 0 : Number(address.path);
  if (!Number.isInteger(db) || db < 0) {
    throw new TypeError(`Cannot open "${address}": database "${address.path}" is not a number`);
  }
  const { hostname = "localhost", port = 6379 } = address.hosts[0] ?? {};
  return {
    ...OPTIONS,
    host: hostname,
    port,
    db,
    ...address.username !== undefined && { username: address.username },
    ...address.password !== undefined && { password: address.password },
    // An IP address is no server name: Deno refuses it.
    ...address.scheme === "rediss" && { tls: isIP(hostname) ? {} : { servername: hostname } },
  };
}

/** A reply carries the command that it answers, and a login carries the password. */
function withoutCommand(error: unknown): unknown {
  if (error instanceof Error && "command" in error) delete error.command;
  return error;
}

function isReply(error: unknown): error is Error {
  return error instanceof Error && error.name === "ReplyError";
}

function bufferOf(payload: Payload): Buffer | string {
  return typeof payload === "string"
    ? payload
    : Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
}
