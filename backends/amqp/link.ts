/**
 * One connection to an AMQP server: its lanes and its loss.
 *
 * @module
 */

import type { Socket } from "node:net";
import type { Channel, ChannelModel, ConfirmChannel } from "amqplib";
import type { ServerFacts } from "../../core/backend/contract.ts";
import { ConnectionError, UnknownReplyError } from "../../core/backend/errors.ts";
import { AnswerLimit } from "../../core/backend/kit/answer_limit.ts";
import { tlsVersionOf } from "../../core/backend/kit/tls_version.ts";
import { onAbort, unlessAborted } from "../../core/util/abort.ts";
import { after } from "../../core/util/timer.ts";
import { explain } from "./errors.ts";
import { Lane } from "./lane.ts";
import { Outbox } from "./outbox.ts";

/** The time limit for the server to confirm the close of a connection, in milliseconds. */
const FAREWELL = 1_000;
/** The time limit for the first channel, in milliseconds. */
const OPENING = 10_000;

/** Options for `Link`. */
export interface LinkOptions {
  /** Whether it is the user's connection, which is never closed. */
  readonly isBorrowed: boolean;
  /** The name of the user, if it is known. The server does not send it. */
  readonly user?: string | undefined;
  /** Runs before anything is published, for example to create the exchange. */
  readonly prepare?: ((link: Link) => Promise<void>) | undefined;
}

/** One connection. Once lost, it stays lost. */
export class Link {
  /** Aborts with a `ConnectionError` when the connection is lost or closed. */
  readonly loss: AbortSignal;
  /** For declaring and binding. */
  readonly control: Lane<Channel>;
  /** For consuming. */
  readonly consuming: Lane<Channel>;
  /** For publishing. */
  readonly outbox: Outbox;
  /** For publishing tokens, so that a refusal closes no other lane. */
  readonly proving: Lane<ConfirmChannel>;
  /**
   * The reason why the server blocks publishing, while it does. A blocking server reads nothing.
   */
  blocked: string | undefined;
  /** The lanes that were opened for one use. */
  readonly #apart = new Set<Lane<Channel>>();
  readonly #loss = new AbortController();
  readonly #model: ChannelModel;
  readonly #borrowed: boolean;
  readonly #user: string | undefined;
  #reason: unknown;
  #isClosed = false;
  readonly #onError = (error: Error) => this.#reason = error;
  // If the server closes the connection with a reason, only the event `close` has it.
  readonly #onClose = (error?: Error) => {
    this.#isClosed = true;
    this.#reason ??= error;
    this.#lose();
  };
  // A server that blocks publishing does not answer.
  readonly #limit = new AnswerLimit((error) => this.#fail(error), () => this.blocked !== undefined);
  readonly #blocking = new Set<() => void>();
  readonly #onBlocked = (reason: string) => {
    this.blocked = reason;
    this.outbox.block();
    for (const tell of [...this.#blocking]) tell();
  };
  readonly #onUnblocked = () => {
    this.blocked = undefined;
    this.outbox.unblock();
  };

  /**
   * @param model An open connection.
   * @param options Options for the link.
   */
  constructor(
    model: ChannelModel,
    { isBorrowed, user, prepare = async () => {} }: LinkOptions,
  ) {
    this.#model = model;
    this.#borrowed = isBorrowed;
    this.#user = user;
    this.loss = this.#loss.signal;
    this.control = new Lane(() => model.createChannel());
    this.consuming = new Lane(() => model.createChannel());
    this.proving = new Lane(() => model.createConfirmChannel());
    this.outbox = new Outbox(this, async () => {
      await prepare(this);
      return await model.createConfirmChannel();
    });
    model.on("error", this.#onError);
    model.on("close", this.#onClose);
    model.on("blocked", this.#onBlocked);
    model.on("unblocked", this.#onUnblocked);
    // A user's connection may be blocked already.
    const { blocked } = model.connection as { blocked?: boolean };
    if (blocked) this.blocked = "it has said so earlier";
  }

  /** Whether the connection was lost or closed. */
  get lost(): boolean {
    return this.loss.aborted;
  }

  /** The size of a frame in bytes. The headers of a message must fit into one frame. */
  get frame(): number {
    return (this.#model.connection as { frameMax?: number }).frameMax ?? Infinity;
  }

  /**
   * Calls back when the server begins to block publishing. Returns a function that removes the
   * callback.
   */
  onBlocked(callback: () => void): () => void {
    this.#blocking.add(callback);
    return () => void this.#blocking.delete(callback);
  }

  /** Settles as the request does, or rejects if the connection is lost first. */
  async ask<Value>(request: Promise<Value>): Promise<Value> {
    this.#limit.sent();
    try {
      return await unlessAborted(this.loss, request);
    } catch (error) {
      this.loss.throwIfAborted();
      const explained = explain(error);
      if (explained instanceof UnknownReplyError) this.#fail(error);
      throw explained;
    } finally {
      this.#limit.answered();
    }
  }

  /** Resolves with the link once it can publish. Closes the link if the server refuses. */
  async opened(): Promise<this> {
    let late: ConnectionError | undefined;
    // The limit of the client ends with the login, which a proxy may answer before it has a server.
    const stop = after(OPENING, () => {
      if (this.blocked !== undefined) return;
      late = new ConnectionError(`the server opened no channel within ${OPENING / 1_000} s`);
      this.#fail(late);
    });
    try {
      await this.outbox.open();
      return this;
    } catch (error) {
      await this.close();
      throw late ?? error;
    } finally {
      stop();
    }
  }

  /** Opens an AMQP channel for one use, so that a refusal closes no other channel. */
  async open(): Promise<Channel> {
    this.loss.throwIfAborted();
    const lane = new Lane(() => this.#model.createChannel());
    this.#apart.add(lane);
    lane.onClosed(() => this.#apart.delete(lane));
    const opening = lane.open();
    opening.catch(() => this.#apart.delete(lane));
    return await this.ask(opening);
  }

  /** Opens an AMQP channel for one use, and closes it afterwards. */
  async apart<Value>(use: (channel: Channel) => Promise<Value>): Promise<Value> {
    const channel = await this.open();
    const value = await this.ask(use(channel));
    await this.ask(channel.close());
    return value;
  }

  /** Facts about the server. */
  describe(): ServerFacts {
    const { serverProperties = {} } = this.#model.connection as {
      readonly serverProperties?: Readonly<Record<string, unknown>>;
    };
    const { product, version, "cluster_name": cluster } = serverProperties;
    return {
      ...product !== undefined && { server: `${product} ${version}` },
      ...cluster !== undefined && { cluster: String(cluster) },
      ...this.#user !== undefined && { user: this.#user },
      TLS: tlsVersionOf(this.#socket),
      ...this.blocked !== undefined && { blocked: this.blocked },
    };
  }

  /** Sends a no-op request. Destroys the socket if the signal aborts before the answer. */
  async probe(signal: AbortSignal): Promise<void> {
    // A server that blocks publishing does not answer, but its heartbeats arrive.
    this.loss.throwIfAborted();
    if (this.blocked !== undefined) return;
    try {
      const asked = this.consuming.open().then((channel) => channel.prefetch(0));
      await unlessAborted(signal, unlessAborted(this.loss, asked));
    } catch (error) {
      if (this.blocked !== undefined) return;
      this.#cut();
      this.#fail(error);
      throw this.loss.reason;
    }
  }

  /** Closes the connection, unless it is the user's. Resolves once the socket is closed. */
  async close(): Promise<void> {
    const wasLost = this.lost;
    this.#model.off("blocked", this.#onBlocked);
    this.#model.off("unblocked", this.#onUnblocked);
    if (this.#borrowed) {
      const closed = this.#isClosed
        ? undefined
        : Promise.all([...this.#lanes, this.outbox].map((lane) => lane.close()));
      this.#lose();
      // A server that blocks publishing confirms the close only later.
      if (this.blocked === undefined) await closed;
      this.#model.off("close", this.#onClose);
      this.#model.off("error", this.#onError);
      return;
    }
    this.#lose();
    this.#model.off("close", this.#onClose);
    const socket = this.#socket;
    const shut = socket && !socket.closed
      ? new Promise<void>((resolve) => socket.once("close", () => resolve()))
      : undefined;
    // The wait is limited, since the server may never answer.
    const stop = after(FAREWELL, () => this.#cut());
    if (!wasLost) await Promise.race([this.#model.close().catch(() => {}), shut]);
    this.#cut();
    await shut;
    stop();
  }

  get #lanes(): readonly Lane<Channel>[] {
    return [this.control, this.consuming, this.proving, ...this.#apart];
  }

  /** The socket, which is not part of the client's types. */
  get #socket(): Socket | undefined {
    return (this.#model.connection as { stream?: Socket }).stream;
  }

  /** Gives the connection up. A user's connection stays open. */
  #fail(reason: unknown): void {
    this.#reason = reason;
    if (!this.#borrowed) this.#cut();
    this.#lose();
  }

  /** Destroys the socket with an error: otherwise the client would keep sending heartbeats. */
  #cut(): void {
    const socket = this.#socket;
    if (socket && !socket.destroyed) socket.destroy(new Error("the connection was cut"));
  }

  #lose(): void {
    if (this.lost) return;
    this.#limit.end();
    this.#loss.abort(
      new ConnectionError("the connection to the server was lost", { cause: this.#reason }),
    );
  }
}

/** Calls back when a link is lost. Returns a function that removes the callback. */
export function onLoss(link: Link, callback: () => void): () => void {
  return onAbort(link.loss, callback);
}
