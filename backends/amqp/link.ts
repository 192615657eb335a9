/**
 * One connection to an AMQP server: its lanes and its loss.
 *
 * @module
 */

import type { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import type { Channel, ChannelModel, ConfirmChannel, Message } from "amqplib";
import { ConnectionError } from "../../core/backend/errors.ts";
import { onAbort, unlessAborted } from "../../core/util/abort.ts";
import { after } from "../../core/util/timer.ts";
import type { Prepare } from "./dial.ts";
import { channelClosed, explain } from "./errors.ts";
import type { Table } from "./headers.ts";
import { Lane } from "./lane.ts";

/** The limit for the server to confirm that a connection is closed, in milliseconds. */
const FAREWELL = 1_000;

/** A message to be sent. */
export interface Sending {
  /** The exchange. The one without a name delivers to the queue that the routing key names. */
  readonly exchange: string;
  /** The routing key. */
  readonly key: string;
  /** The payload. */
  readonly content: Buffer;
  /** Its headers. */
  readonly headers: Table;
  /** Whether it is returned if no queue takes it. */
  readonly mandatory?: boolean;
}

/** One connection. A lost one stays lost. */
export class Link {
  /** Aborts with a `ConnectionError` when it is lost or closed. */
  readonly loss: AbortSignal;
  /** Declares and binds. */
  readonly control: Lane<Channel>;
  /** Consumes. */
  readonly consuming: Lane<Channel>;
  /** Publishes. */
  readonly publishing: Lane<ConfirmChannel>;
  /** Called for each mandatory message that no queue took. */
  onReturned: (message: Message) => void = () => {};
  /** The lanes that were opened for one use. */
  readonly #apart = new Set<Lane<Channel>>();
  readonly #loss = new AbortController();
  readonly #model: ChannelModel;
  readonly #borrowed: boolean;
  #reason: unknown;
  readonly #onError = (error: Error) => this.#reason = error;
  readonly #onClose = () => this.#lose();

  /**
   * @param model A connection that is open.
   * @param prepare Creates what must exist before the control lane is used.
   * @param borrowed Whether the user gave it: then it is never closed.
   */
  constructor(model: ChannelModel, prepare: Prepare, borrowed: boolean) {
    this.#model = model;
    this.#borrowed = borrowed;
    this.loss = this.#loss.signal;
    this.control = new Lane(async () => {
      const channel = await model.createChannel();
      // Without a listener, a refusal of the server would end the process.
      channel.on("error", () => {});
      await prepare(channel);
      return channel;
    });
    this.consuming = new Lane(() => model.createChannel());
    this.publishing = new Lane(async () => {
      const channel = await model.createConfirmChannel();
      channel.on("return", (message: Message) => this.onReturned(message));
      return channel;
    });
    model.on("error", this.#onError);
    model.on("close", this.#onClose);
  }

  /** Whether it was lost or closed. */
  get lost(): boolean {
    return this.loss.aborted;
  }

  /** The size of a frame in bytes. The headers of a message must fit into one. */
  get frame(): number {
    return (this.#model.connection as { frameMax?: number }).frameMax ?? Infinity;
  }

  /** Settles as the request does, or rejects if the connection is lost first. */
  async ask<Value>(request: Promise<Value>): Promise<Value> {
    try {
      return await unlessAborted(this.loss, request);
    } catch (error) {
      this.loss.throwIfAborted();
      throw explain(error);
    }
  }

  /** Resolves with the link once a lane of it is open. Closes the link if that is refused. */
  async opened(lane: Lane<Channel>): Promise<this> {
    try {
      await this.ask(lane.open());
      return this;
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Sends a message; resolves once it is confirmed. */
  async send(lane: ConfirmChannel, { exchange, key, content, ...options }: Sending): Promise<void> {
    await this.ask(
      new Promise<void>((resolve, reject) =>
        lane.publish(exchange, key, content, options, (error) => {
          if (!error) return resolve();
          // If the channel was closed, it is not known whether the message was stored.
          const { reason } = this.publishing;
          reject(reason ? channelClosed(reason) : error);
        })
      ),
    );
  }

  /** Opens a channel for one use: a refusal there closes nothing else. */
  async open(): Promise<Channel> {
    this.loss.throwIfAborted();
    const lane = new Lane(() => this.#model.createChannel());
    this.#apart.add(lane);
    lane.onClosed(() => this.#apart.delete(lane));
    const opening = lane.open();
    opening.catch(() => this.#apart.delete(lane));
    return await this.ask(opening);
  }

  /** Opens such a channel, uses it, and closes it. */
  async apart<Value>(use: (channel: Channel) => Promise<Value>): Promise<Value> {
    const channel = await this.open();
    const value = await this.ask(use(channel));
    await this.ask(channel.close());
    return value;
  }

  /** Sends a request without an effect. Cuts the connection if the signal aborts before the answer. */
  async probe(signal: AbortSignal): Promise<void> {
    if (this.lost) return;
    try {
      const asked = this.consuming.open().then((channel) => channel.prefetch(0));
      await unlessAborted(signal, unlessAborted(this.loss, asked));
    } catch (error) {
      this.#reason = error;
      this.#cut();
      this.#lose();
      throw this.loss.reason;
    }
  }

  /** Resolves with the socket closed, unless the user gave the connection. */
  async close(): Promise<void> {
    const wasLost = this.lost;
    this.#lose();
    this.#model.off("close", this.#onClose);
    if (this.#borrowed) {
      if (!wasLost) await Promise.all(this.#lanes.map((lane) => lane.close()));
      this.#model.off("error", this.#onError);
      return;
    }
    const socket = this.#socket;
    const shut = socket && !socket.closed
      ? new Promise<void>((resolve) => socket.once("close", () => resolve()))
      : undefined;
    // A server that does not answer confirms nothing.
    const stop = after(FAREWELL, () => this.#cut());
    if (!wasLost) await Promise.race([this.#model.close().catch(() => {}), shut]);
    this.#cut();
    await shut;
    stop();
  }

  get #lanes(): readonly Lane<Channel>[] {
    return [this.control, this.consuming, this.publishing, ...this.#apart];
  }

  /** The socket, which is not part of the client's types. */
  get #socket(): Socket | undefined {
    return (this.#model.connection as { stream?: Socket }).stream;
  }

  /** Destroys the socket with an error: otherwise the client would keep sending heartbeats. */
  #cut(): void {
    const socket = this.#socket;
    if (socket && !socket.destroyed) socket.destroy(new Error("the connection was cut"));
  }

  #lose(): void {
    if (this.lost) return;
    this.#loss.abort(
      new ConnectionError("the connection to the server was lost", { cause: this.#reason }),
    );
  }
}

/** Calls back when a link is lost. Returns a function that removes the callback. */
export function onLoss(link: Link, callback: () => void): () => void {
  return onAbort(link.loss, callback);
}
