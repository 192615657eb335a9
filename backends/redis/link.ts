/**
 * One connection to a Redis server: its commands, its errors and its loss.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import type { Redis, RedisOptions } from "ioredis";
import type { OutgoingPayload, Payload } from "../../core/backend/contract.ts";
import { type ConnectionError, reasonOf, TemporaryError } from "../../core/backend/errors.ts";
import { silentError } from "../../core/backend/kit/connecting_help.ts";
import { sizeOf } from "../../core/backend/kit/queue_tail.ts";
import { unlessAborted } from "../../core/util/abort.ts";
import { backoff } from "../../core/util/backoff.ts";
import { quote } from "../../core/util/quote.ts";
import { after } from "../../core/util/timer.ts";
import {
  isReply,
  isUnavailable,
  lostError,
  meaningOf,
  openingError,
  replyError,
  withoutCommand,
} from "./errors.ts";
import { type Role, roleOf } from "./role.ts";
import { socketError, withTlsHint } from "./tls.ts";

/** The core reconnects. The client never does, and queues nothing meanwhile. */
export const OPTIONS = {
  lazyConnect: true,
  retryStrategy: () => null,
  autoResubscribe: false,
  autoResendUnfulfilledCommands: false,
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
  // INFO may be renamed or forbidden.
  enableReadyCheck: false,
  // Overrides settings of the user's client. The backend needs one form of replies, and one order
  // of commands.
  replyMapping: "legacy",
  stringNumbers: false,
  readOnly: false,
  sentinelRetryStrategy: () => null,
  keyPrefix: "",
  reconnectOnError: null,
  enableAutoPipelining: false,
} satisfies RedisOptions;

/** The time limit for a server's answer, in milliseconds, unless the user's client has another. */
const CONNECT_TIMEOUT = 10_000;

/**
 * The maximum size of a pipeline. The first answers of a burst arrive before the whole burst is
 * sent.
 */
const COMMANDS = 1_024;
const BYTES = 4 * 1024 * 1024;

/** Additional options for a connection. */
export interface LinkOptions {
  /** Called once the connection has ended, for any reason. */
  readonly onLost?: ((error: ConnectionError) => void) | undefined;
  /** Whether the connection leads to a sentinel. */
  readonly sentinel?: boolean;
}

/** One connection, open or lost. */
export class Link {
  /** The client, which only this link uses. */
  readonly client: Redis;
  /** Settles once the connection is open. */
  readonly ready: Promise<void>;
  /**
   * The role of the server when the connection was opened, or `undefined` if the server does not
   * report it.
   */
  role: Role | undefined;
  readonly #isSentinel: boolean;
  readonly #ended: Promise<void>;
  #hasEnded = false;
  #isEnding = false;
  readonly #ending = new AbortController();
  #reason: unknown;

  /**
   * Opens the connection.
   *
   * @param client A client without a connection.
   * @param options Additional options.
   */
  constructor(client: Redis, { onLost, sentinel = false }: LinkOptions = {}) {
    this.client = client;
    this.#isSentinel = sentinel;
    // Only this event has the reason. Rejections only have "Connection is closed." After an error,
    // replies may be attributed to other commands, or the wrong database may be selected.
    client.on("error", (error) => this.cut(withoutCommand(error)));
    // The client listens for one error of a socket, but TLS causes a second one after an alert.
    client.once("connect", () => this.#socket?.on("error", () => {}));
    this.#ended = new Promise((resolve) => {
      client.once("end", () => {
        this.#hasEnded = true;
        onLost?.(lostError(this.#reason));
        resolve();
      });
    });
    this.ready = this.#connect();
    this.ready.catch(() => {});
  }

  /** Whether the connection has ended, is about to end, or failed to open. */
  get lost(): boolean {
    return this.#hasEnded || this.#isEnding;
  }

  /** Whether commands can be sent now. */
  get open(): boolean {
    return this.client.status === "ready";
  }

  /**
   * The error to reject with: the meaning of a reply, otherwise a lost connection. A reply that
   * another connection may not give ends this connection.
   */
  explain(error: unknown): Error {
    if (!isReply(error)) return this.cut(error);
    const meaning = meaningOf(error);
    const explained = replyError(error);
    if (meaning === undefined || meaning === "renewed") this.cut(explained);
    return explained;
  }

  /**
   * The reason why nothing can be published now, if any. A message that is published at a replica
   * reaches only its own subscribers, so another connection is needed.
   */
  refusal(): TemporaryError | undefined {
    if (this.role === "replica") {
      this.cut(new Error("the server is a replica, where messages do not reach its master"));
    }
    if (!this.lost) return undefined;
    return new TemporaryError(reasonOf(this.#reason ?? "the connection was lost"), {
      cause: this.#reason,
    });
  }

  /**
   * Ends the connection, since a half-open socket never ends by itself. The first reason is kept.
   *
   * @returns The error of the lost connection.
   */
  cut(reason?: unknown): ConnectionError {
    this.#reason ??= reason;
    this.#isEnding = true;
    this.#ending.abort();
    const socket = this.#socket;
    if (!socket?.destroyed) {
      this.client.disconnect();
      socket?.destroy();
    }
    return lostError(this.#reason);
  }

  /**
   * Sends PING and ROLE. Destroys the socket if there is no answer, or if the server's role has
   * changed.
   */
  async probe(signal: AbortSignal): Promise<void> {
    if (this.lost) return;
    try {
      const { refusal, role = this.role } = await unlessAborted(signal, this.#ask());
      // A server that refuses is alive.
      if (refusal) this.explain(refusal);
      else if (role !== this.role) {
        throw new Error(
          `the role of the server was ${quote(String(this.role))}, and is ${
            quote(String(role))
          } now`,
        );
      }
    } catch (error) {
      this.cut(error);
    }
    if (this.lost) throw lostError(this.#reason);
  }

  /** Closes the connection. Resolves once the socket is closed. */
  async close(): Promise<void> {
    // A silent server would keep `ready` pending.
    if (!this.#hasEnded && this.client.status !== "wait") this.cut();
    await this.ready.catch(() => {});
    if (!this.#hasEnded) await this.#ended;
  }

  async #connect(): Promise<void> {
    const { client } = this;
    let refusal: Error | undefined;
    // `connectTimeout` ends with the TCP handshake. This limit is for a server that is silent after
    // it.
    const limit = client.options.connectTimeout || CONNECT_TIMEOUT;
    const stop = after(limit, () => this.cut(refusal ?? this.#silence(limit)));
    try {
      await client.connect();
      for (let attempt = 0;; attempt++) {
        const answer = await this.#ask();
        refusal = answer.refusal;
        if (!refusal) {
          this.#check(answer.role);
          this.role = answer.role;
          break;
        }
        // The server is loading its data, or runs a script.
        if (meaningOf(refusal) !== "later") throw refusal;
        await backoff(attempt, this.#ending.signal);
      }
    } catch (error) {
      const isTold = isReply(error) || error instanceof TemporaryError;
      // The client's own message is always "Connection is closed."
      this.cut(isTold ? error : socketError("ECONNRESET", "it closed the connection"));
      const reason = this.#reason;
      throw isReply(reason)
        ? openingError(reason)
        : withTlsHint(reason, Boolean(client.options.tls));
    } finally {
      stop();
    }
  }

  /** The error reply to PING, if any, and the role of the server, if it reports one. */
  async #ask(): Promise<
    { readonly refusal?: Error | undefined; readonly role?: Role | undefined }
  > {
    const { client } = this;
    const ping = client.ping().then(() => undefined, (error) => {
      if (!isReply(error)) throw error;
      return isUnavailable(error) ? undefined : error;
    });
    // With an old protocol, a subscriber has no other commands.
    const isListening = client.mode === "subscriber";
    const [refusal, role] = await Promise.all([ping, isListening ? undefined : roleOf(client)]);
    return { refusal, role };
  }

  /** Rejects servers of another type than requested. */
  #check(role: Role | undefined): void {
    const { Connector, sentinels, role: wanted } = this.client.options;
    if (role === "sentinel" && !this.#isSentinel) {
      throw new TemporaryError(
        "the server is a sentinel, add sentinel=<name of the master> to the URL",
      );
    }
    if (role === "detached") {
      throw new TemporaryError("the server is a replica without a connection to its master");
    }
    if (role === "replica" && wanted === "master" && (Connector ?? sentinels)) {
      throw new TemporaryError("the server that the sentinels name as the master is a replica");
    }
  }

  #silence(limit: number): Error {
    const { host = "localhost", port, path, tls } = this.client.options;
    const isSecure = Boolean(tls);
    return path
      ? silentError({ server: path, limit, product: "Redis" })
      : silentError({ server: `${host}:${port}`, limit, product: "Redis", isSecure });
  }

  get #socket(): Socket | undefined {
    return (this.client as { stream?: Socket }).stream;
  }
}

/** A payload in the form that the client sends. */
export function bufferOf(payload: Payload): Buffer | string {
  return typeof payload === "string"
    ? payload
    : Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
}

/** Adds the prefix to the channels of messages. */
export function prefixed(
  prefix: string,
  messages: readonly OutgoingPayload[],
): readonly OutgoingPayload[] {
  if (prefix === "") return messages;
  return messages.map((message) => ({ ...message, channel: prefix + message.channel }));
}

/** Divides messages into pipelines. */
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
 * Publishes messages in order. Returns one promise for each.
 *
 * @param command `spublish` for the shard channels of a cluster.
 */
export function publishOn(
  link: Link,
  command: "publish" | "spublish",
  messages: readonly OutgoingPayload[],
): Promise<undefined>[] {
  const refusal = link.refusal();
  if (refusal) return messages.map(() => Promise.reject(refusal));
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
