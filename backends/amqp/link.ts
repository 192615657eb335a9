/**
 * A connection to an AMQP server.
 *
 * @module
 */

import type { Socket } from "node:net";
import type { Channel, ChannelModel, ConfirmChannel } from "amqplib";
import { onAbort, unlessAborted } from "../../abort.ts";
import { ConnectionError, RefusedError } from "../../errors.ts";
import { after } from "../../timer.ts";
import { Lane } from "./lane.ts";

/** How long the server may take to say goodbye. */
const FAREWELL = 1_000;

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
  /** Told when the lane that consumes was closed by itself. */
  onDeaf: (error: ConnectionError) => void = () => {};
  readonly #loss = new AbortController();
  readonly #model: ChannelModel;
  readonly #borrowed: boolean;
  #reason: unknown;
  readonly #onError = (error: Error) => this.#reason = error;
  readonly #onClose = () => this.#lose();

  /**
   * @param model A connection that is open.
   * @param exchange What is published to; made if it is not there.
   * @param borrowed Whether it is the user's: it is never closed.
   */
  constructor(model: ChannelModel, exchange: string, borrowed: boolean) {
    this.#model = model;
    this.#borrowed = borrowed;
    this.loss = this.#loss.signal;
    this.control = new Lane(async () => {
      const channel = await model.createChannel();
      // Without a listener, what the server refuses here would end the process.
      channel.on("error", () => {});
      await channel.assertExchange(exchange, "topic", { durable: true });
      return channel;
    });
    this.consuming = new Lane(() => model.createChannel(), (error) => this.onDeaf(error));
    this.publishing = new Lane(() => model.createConfirmChannel());
    model.on("error", this.#onError);
    model.on("close", this.#onClose);
  }

  /** Whether it is of no more use. */
  get lost(): boolean {
    return this.loss.aborted;
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

  get #lanes() {
    return [this.control, this.consuming, this.publishing] as const;
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
  const { code } = error as { code?: unknown };
  const isRefusal = typeof code === "number" && code >= 300 ||
    / (?:402|403|404|405|406|530|540) \(/.test(error.message);
  return isRefusal ? new RefusedError(error.message, { cause: error }) : error;
}
