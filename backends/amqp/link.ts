/**
 * One connection to an AMQP server: its lanes, its errors and its loss.
 *
 * @module
 */

import type { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import type { Channel, ChannelModel, ConfirmChannel, Message } from "amqplib";
import { ConnectionError, RefusedError } from "../../core/backend/errors.ts";
import { onAbort, unlessAborted } from "../../core/util/abort.ts";
import { after } from "../../core/util/timer.ts";
import type { Prepare } from "./dial.ts";
import type { Table } from "./headers.ts";
import { Lane } from "./lane.ts";

/** How long the server may take to say goodbye. */
const FAREWELL = 1_000;

/** A message on its way. */
export interface Sending {
  /** Where it goes first; the queue of its key, if that has no name. */
  readonly exchange: string;
  /** The routing key. */
  readonly key: string;
  /** The payload. */
  readonly content: Buffer;
  /** What is said of it. */
  readonly headers: Table;
  /** Whether it comes back if it goes nowhere. */
  readonly mandatory?: boolean;
}

/** One connection. Once it is lost, it stays so. */
export class Link {
  /** Aborts, with a `ConnectionError`, when it is lost or closed. */
  readonly loss: AbortSignal;
  /** Declares and binds. */
  readonly control: Lane<Channel>;
  /** Consumes. */
  readonly consuming: Lane<Channel>;
  /** Publishes. */
  readonly publishing: Lane<ConfirmChannel>;
  /** Told of what was to be delivered to somebody, and could not. */
  onReturned: (message: Message) => void = () => {};
  /** Those of somebody's own. */
  readonly #apart = new Set<Lane<Channel>>();
  readonly #loss = new AbortController();
  readonly #model: ChannelModel;
  readonly #borrowed: boolean;
  #reason: unknown;
  readonly #onError = (error: Error) => this.#reason = error;
  readonly #onClose = () => this.#lose();

  /**
   * @param model A connection that is open.
   * @param prepare Makes what is to be there before the control lane is used.
   * @param borrowed Whether it is the user's: it is never closed.
   */
  constructor(model: ChannelModel, prepare: Prepare, borrowed: boolean) {
    this.#model = model;
    this.#borrowed = borrowed;
    this.loss = this.#loss.signal;
    this.control = new Lane(async () => {
      const channel = await model.createChannel();
      // Without a listener, what the server refuses here would end the process.
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

  /** Whether it is of no more use. */
  get lost(): boolean {
    return this.loss.aborted;
  }

  /** How many bytes a frame holds: a message's headers fit into one. */
  get frame(): number {
    return (this.#model.connection as { frameMax?: number }).frameMax ?? Infinity;
  }

  /** Settles as the question does, unless the link is lost first; what the server refuses says so. */
  async ask<Value>(question: Promise<Value>): Promise<Value> {
    try {
      return await unlessAborted(this.loss, question);
    } catch (error) {
      this.loss.throwIfAborted();
      throw explain(error);
    }
  }

  /** The link, once a lane of it is open; if that is refused, it is closed. */
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
          // Closed, the channel leaves open what became of those without an answer.
          const cause = this.publishing.reason;
          reject(cause ? new ConnectionError("the server closed the channel", { cause }) : error);
        })
      ),
    );
  }

  /** A channel of somebody's own: what the server refuses there closes nothing else. */
  async open(): Promise<Channel> {
    this.loss.throwIfAborted();
    const lane = new Lane(() => this.#model.createChannel());
    this.#apart.add(lane);
    lane.onClosed(() => this.#apart.delete(lane));
    const opening = lane.open();
    opening.catch(() => this.#apart.delete(lane));
    return await this.ask(opening);
  }

  /** Uses such a channel once. */
  async apart<Value>(use: (channel: Channel) => Promise<Value>): Promise<Value> {
    const channel = await this.open();
    const value = await this.ask(use(channel));
    await this.ask(channel.close());
    return value;
  }

  /** A question that has nothing to answer but that it was heard; cut if the signal aborts first. */
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

  /** Resolves with the socket shut, unless it is the user's. */
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
    // A server that is silent says no goodbye.
    const stop = after(FAREWELL, () => this.#cut());
    if (!wasLost) await Promise.race([this.#model.close().catch(() => {}), shut]);
    this.#cut();
    await shut;
    stop();
  }

  get #lanes(): readonly Lane<Channel>[] {
    return [this.control, this.consuming, this.publishing, ...this.#apart];
  }

  /** The client keeps it to itself. */
  get #socket(): Socket | undefined {
    return (this.#model.connection as { stream?: Socket }).stream;
  }

  /** With an error: only of that the client learns, which else goes on to send heartbeats. */
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

/** Calls back when a link is lost. Returns what forgets it. */
export function onLoss(link: Link, callback: () => void): () => void {
  return onAbort(link.loss, callback);
}

/** What an error of the client means: that the server has answered, and refused, or something else. */
export function explain(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  // What the server refuses one of those who share a channel ends what the others asked.
  if (/^Channel (?:ended|closed)\b/.test(error.message)) {
    return new ConnectionError("the server closed the channel", { cause: error });
  }
  const { code } = error as { code?: unknown };
  const isRefusal = typeof code === "number" && code >= 300 ||
    / (?:402|403|404|405|406|530|540) \(/.test(error.message);
  return isRefusal ? new RefusedError(error.message, { cause: error }) : error;
}
