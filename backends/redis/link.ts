/**
 * A connection to a Redis server, and how it is made.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { isIP } from "node:net";
import type { Redis, RedisOptions } from "ioredis";
import { unlessAborted } from "../../abort.ts";
import type { Address } from "../../address.ts";
import type { BackendOptions, Payload } from "../../backend.ts";
import { importClient } from "../../client.ts";
import { ConnectionError, RefusedError } from "../../errors.ts";
import { after } from "../../timer.ts";

/** The core reconnects; the client never does, and holds nothing back meanwhile. */
const OPTIONS = {
  lazyConnect: true,
  retryStrategy: () => null,
  autoResubscribe: false,
  autoResendUnfulfilledCommands: false,
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
  connectTimeout: 10_000,
  // What a client of the user's may have set: replies have one shape here.
  replyMapping: "legacy",
  stringNumbers: false,
} satisfies RedisOptions;

/** One connection, and what became of it. */
export class Link {
  /** The client, which is nobody else's. */
  readonly client: Redis;
  /** Settles once it is open. */
  readonly ready: Promise<void>;
  /** Whether it was open, or was to be, and is not any more. */
  lost = false;
  readonly #ended: Promise<void>;
  #reason: unknown;

  /**
   * Opens it.
   *
   * @param client A client that is not connected.
   * @param onLost Told once it is open no more, however it ended.
   */
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

  /** PING; without an answer the socket is cut. */
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

  /** Resolves with the socket shut. */
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

/** Where a backend's connections lead, and how each is made. */
export interface Clients {
  /** As it appears in messages. */
  readonly address: string;
  /** Makes a client that is not connected. */
  readonly make: () => Redis;
}

/** The clients of a URL, or duplicates of the one that the user has. */
export async function clientsOf(address: Address, options: BackendOptions): Promise<Clients> {
  const { client } = options;
  if (client !== undefined) {
    if (
      typeof (client as Partial<Redis>).duplicate !== "function" ||
      "isCluster" in Object(client) && (client as { isCluster?: boolean }).isCluster
    ) {
      throw new TypeError("Cannot use client: it is not a `Redis` of ioredis");
    }
    return { address: String(address), make: () => (client as Redis).duplicate(OPTIONS) };
  }
  const settings = settingsOf(address);
  const { Redis } = await importClient<typeof import("ioredis")>("ioredis");
  return {
    address: `${address.scheme}://${address.servers(6379)[0]}`,
    make: () => new Redis(settings),
  };
}

function settingsOf(address: Address) {
  if (address.hosts.length > 1) {
    throw new TypeError(
      `Cannot open "${address}": it names several hosts, ${address.scheme}:// takes one`,
    );
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
    ...address.scheme.startsWith("rediss") &&
      { tls: isIP(hostname) ? {} : { servername: hostname } },
  };
}

/** A reply carries the command that it answers, and a login carries the password. */
function withoutCommand(error: unknown): unknown {
  if (error instanceof Error && "command" in error) delete error.command;
  return error;
}

/** Whether it is what the server answered. */
export function isReply(error: unknown): error is Error {
  return error instanceof Error && error.name === "ReplyError";
}

/** A payload as the client sends it. */
export function bufferOf(payload: Payload): Buffer | string {
  return typeof payload === "string"
    ? payload
    : Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
}
