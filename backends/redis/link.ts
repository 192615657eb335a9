/**
 * One connection to a Redis server: its commands, its errors and its loss.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import type { Redis, RedisOptions } from "ioredis";
import type { OutgoingPayload, Payload } from "../../core/backend/contract.ts";
import { type ConnectionError, RefusedError } from "../../core/backend/errors.ts";
import { sizeOf } from "../../core/backend/kit/queue_tail.ts";
import { unlessAborted } from "../../core/util/abort.ts";
import { after } from "../../core/util/timer.ts";
import { isReply, lostError, meaningOf, withoutCommand } from "./errors.ts";

/** The core reconnects; the client never does, and holds nothing back meanwhile. */
export const OPTIONS = {
  lazyConnect: true,
  retryStrategy: () => null,
  autoResubscribe: false,
  autoResendUnfulfilledCommands: false,
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
  connectTimeout: 10_000,
  // Overrides of what the user's client may have set: replies have one shape here.
  replyMapping: "legacy",
  stringNumbers: false,
  readOnly: false,
  sentinelRetryStrategy: () => null,
  keyPrefix: "",
} satisfies RedisOptions;

/** The longest pipeline: the first answers of a burst arrive before all of it is sent. */
const COMMANDS = 1_024;
const BYTES = 4 * 1024 * 1024;

/** One connection, open or lost. */
export class Link {
  /** The client, used here alone. */
  readonly client: Redis;
  /** Settles once it is open. */
  readonly ready: Promise<void>;
  /** Whether it has ended, or failed to open. */
  lost = false;
  readonly #ended: Promise<void>;
  #reason: unknown;

  /**
   * Opens it.
   *
   * @param client A client that is not connected.
   * @param onLost Called once it has ended, for whatever reason.
   */
  constructor(client: Redis, onLost: (error: ConnectionError) => void = () => {}) {
    this.client = client;
    // Only this event has the reason; rejections just say "Connection is closed."
    client.on("error", (error) => this.#reason = withoutCommand(error));
    // The client listens to one error of a socket; after an alert, TLS has a second one.
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

  /** The error to reject with: a reply of the server as it is, else that the connection was lost. */
  explain(error: unknown): unknown {
    if (!isReply(error)) return this.#lostError(error);
    const reply = withoutCommand(error);
    if (meaningOf(reply) === "deposed") {
      this.#reason ??= reply;
      this.#cut();
    }
    return reply;
  }

  /** PING; the socket is cut if there is no answer. */
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
    // `connectTimeout` ends with the TCP handshake: this is for a server that is silent after it.
    const limit = this.client.options.connectTimeout ?? OPTIONS.connectTimeout;
    const stop = after(limit, () => {
      this.#reason ??= new Error(
        "it accepts connections and does not answer, perhaps it expects TLS",
      );
      this.#cut();
    });
    try {
      await this.client.connect();
    } catch (error) {
      this.lost = true;
      // The client's own message is "Connection is closed.", whatever happened.
      const reason = this.#reason ?? new Error(
        "it closed the connection, perhaps it is not a Redis server or expects TLS",
        { cause: withoutCommand(error) },
      );
      throw isReply(reason) ? new RefusedError(reason.message, { cause: reason }) : reason;
    } finally {
      stop();
    }
  }

  /** Destroys the socket: a half-open one never ends by itself. */
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
    return lostError(cause);
  }
}

/** A payload as the client sends it. */
export function bufferOf(payload: Payload): Buffer | string {
  return typeof payload === "string"
    ? payload
    : Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
}

/** Messages whose channels have the prefix of the wire. */
export function prefixed(
  prefix: string,
  messages: readonly OutgoingPayload[],
): readonly OutgoingPayload[] {
  if (prefix === "") return messages;
  return messages.map((message) => ({ ...message, channel: prefix + message.channel }));
}

/** Cuts messages into what one pipeline may hold. */
export function* pipelinesOf<Message extends Pick<OutgoingPayload, "payload">>(
  messages: readonly Message[],
): Generator<readonly Message[]> {
  let batch: Message[] = [];
  let bytes = 0;
  for (const message of messages) {
    if (batch.length >= COMMANDS || bytes >= BYTES) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(message);
    bytes += sizeOf(message.payload);
  }
  if (batch.length > 0) yield batch;
}

/**
 * Publishes messages in order: one promise for each.
 *
 * @param command `spublish` for the shard channels of a cluster.
 */
export function publishOn(
  link: Link,
  command: "publish" | "spublish",
  messages: readonly OutgoingPayload[],
): Promise<undefined>[] {
  const [message, another] = messages;
  if (message && !another) {
    const reply = link.client[command](message.channel, bufferOf(message.payload));
    return [reply.then(() => undefined, (error) => Promise.reject(link.explain(error)))];
  }
  return [...pipelinesOf(messages)].flatMap((batch) => {
    const pipeline = link.client.pipeline();
    for (const { channel, payload } of batch) pipeline[command](channel, bufferOf(payload));
    const replies = pipeline.exec().catch((error) => Promise.reject(link.explain(error)));
    return batch.map(async (_, index) => {
      const [error] = (await replies)?.[index] ?? [];
      if (error) throw link.explain(error);
      return undefined;
    });
  });
}
