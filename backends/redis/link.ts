/**
 * One connection to a Redis server: its commands, its errors and its loss.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import type { Redis, RedisOptions } from "ioredis";
import type { Payload } from "../../core/backend/contract.ts";
import { ConnectionError, RefusedError } from "../../core/backend/errors.ts";
import { unlessAborted } from "../../core/util/abort.ts";
import { after } from "../../core/util/timer.ts";

/** The core reconnects; the client never does, and holds nothing back meanwhile. */
export const OPTIONS = {
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
  readOnly: false,
  sentinelRetryStrategy: () => null,
  keyPrefix: "",
} satisfies RedisOptions;

/** The server was made a replica, or its cluster is down: another one is to be found. */
const DEPOSED = /^(READONLY|CLUSTERDOWN) /;

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
    // The client hears one error of a socket; TLS has a second one where the first was an alert.
    client.once("connect", () => this.#socket?.on("error", () => {}));
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

  /** Whether commands can be sent now. */
  get open(): boolean {
    return this.client.status === "ready";
  }

  /** What an error of the client means: that the link is lost, or that the server refused. */
  explain(error: unknown): unknown {
    if (!isReply(error)) return this.#lostError(error);
    const reply = withoutCommand(error) as Error;
    if (DEPOSED.test(reply.message)) {
      this.#reason ??= reply;
      this.#cut();
    }
    return reply;
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
    const limit = this.client.options.connectTimeout ?? OPTIONS.connectTimeout;
    const stop = after(limit, () => {
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
    const socket = this.#socket;
    if (socket?.destroyed) return;
    this.client.disconnect();
    socket?.destroy();
  }

  get #socket(): Socket | undefined {
    return (this.client as { stream?: Socket }).stream;
  }

  #lostError(cause: unknown = this.#reason): ConnectionError {
    return new ConnectionError("the connection to the server was lost", { cause });
  }
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

/**
 * Publishes payloads as one pipeline: one promise for each.
 *
 * @param command `spublish` for the shard channels of a cluster.
 */
export function publishOn(
  link: Link,
  command: "publish" | "spublish",
  channel: string,
  payloads: readonly Payload[],
): Promise<unknown>[] {
  if (payloads.length === 1) {
    const reply = link.client[command](channel, bufferOf(payloads[0]!));
    return [reply.catch((error) => Promise.reject(link.explain(error)))];
  }
  const pipeline = link.client.pipeline();
  for (const payload of payloads) pipeline[command](channel, bufferOf(payload));
  const replies = pipeline.exec().catch((error) => Promise.reject(link.explain(error)));
  return payloads.map(async (_, index) => {
    const [error] = (await replies)?.[index] ?? [];
    if (error) throw link.explain(error);
  });
}
