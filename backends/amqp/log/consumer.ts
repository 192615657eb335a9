/**
 * A consumer of a stream.
 *
 * @module
 */

import type { Channel, ConsumeMessage } from "amqplib";
import { ConnectionError } from "../../../core/backend/errors.ts";
import { after } from "../../../core/util/timer.ts";
import { channelClosed, isNoQueue, streamDeleted } from "../errors.ts";
import { type Link, onLoss } from "../link.ts";
import { type Stored, storedOf } from "./record.ts";

/** Where to start in a stream. From an offset beyond the end, no message ever arrives. */
export type Offset = number | "first" | "last" | "next";

/** The time limit for the server to send an existing message, in milliseconds. */
export const LIMIT = 5_000;

/** The tag of the only consumer of a channel. */
const TAG = "view";

/** Options for a consumer. */
export interface ConsumerOptions {
  /** The connection. */
  readonly link: Link;
  /** The stream. */
  readonly queue: string;
  /** The offset to start at. */
  readonly from: Offset;
  /** The number of messages that the server sends ahead. */
  readonly window: number;
  /** Called when the stream no longer exists. */
  readonly onDeleted: () => void;
}

/**
 * Reads a stream from an offset on, at the reader's pace. Messages that were taken are
 * acknowledged, and the server sends as many more. The consumer has its own AMQP channel, so that a
 * refusal ends nothing else.
 */
export class Consumer {
  readonly #link: Link;
  readonly #channel: Channel;
  readonly #onDeleted: () => void;
  readonly #forget: () => void;
  #waiting: ConsumeMessage[] = [];
  #failure: unknown;
  #isClosed = false;
  #awake: () => void = () => {};

  private constructor({ link, onDeleted }: ConsumerOptions, channel: Channel) {
    this.#link = link;
    this.#channel = channel;
    this.#onDeleted = onDeleted;
    this.#forget = onLoss(link, () => this.#end(link.loss.reason));
    channel.on("close", () => this.#end(channelClosed()));
  }

  /** Resolves once the server reads the stream. Later messages arrive. */
  static async open(options: ConsumerOptions): Promise<Consumer> {
    const { link, queue, from, window } = options;
    const channel = await link.open();
    const view = new Consumer(options, channel);
    try {
      await link.ask(channel.prefetch(window));
      await link.ask(consume(channel, queue, from, (message) => view.#receive(message)));
      // The server confirms a consumer before it reads the stream. But it reads the stream before
      // it answers the next request.
      if (from === "next") await link.ask(channel.prefetch(window));
      return view;
    } catch (error) {
      view.close().catch(() => {});
      if (!isNoQueue(error)) throw error;
      options.onDeleted();
      throw streamDeleted(error);
    }
  }

  /**
   * Resolves with the messages since the last call, at least one.
   *
   * @param limit The time limit in milliseconds, if any.
   * @param late Called after that time. By default, the consumer then fails.
   */
  async next(limit?: number, late: () => void = () => this.fail()): Promise<readonly Stored[]> {
    const stop = limit === undefined ? () => {} : after(limit, late);
    try {
      while (this.#waiting.length === 0) {
        if (this.#failure) throw this.#failure;
        await new Promise<void>((resolve) => this.#awake = resolve);
      }
    } finally {
      stop();
    }
    const messages = this.#waiting;
    this.#waiting = [];
    // On a closed channel, the client would throw.
    if (!this.#failure) this.#channel.ack(messages.at(-1)!, true);
    return messages.map(storedOf);
  }

  /** Fails, since the server does not send the records that the stream has. */
  fail(): void {
    // The known end may belong to a deleted stream.
    this.#onDeleted();
    this.#fail(new ConnectionError("the server did not send the records that the stream has"));
  }

  /** Stops reading, and closes the channel, also after a failure. */
  async close(): Promise<void> {
    const isOpen = !this.#isClosed;
    this.#end(new ConnectionError("the consumer was closed"));
    if (isOpen) await this.#link.ask(this.#channel.close());
  }

  #receive(message: ConsumeMessage | null): void {
    if (!message) {
      this.#onDeleted();
      return this.#fail(streamDeleted());
    }
    this.#waiting.push(message);
    this.#awake();
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#awake();
  }

  /** Called when the channel is closed, or about to be. */
  #end(error: unknown): void {
    this.#isClosed = true;
    this.#forget();
    this.#fail(error);
  }
}

/** A method of the client's channels that its types do not have. */
interface Registering {
  registerConsumer(tag: string, receive: (message: ConsumeMessage | null) => void): void;
}

/**
 * Consumes a stream, under a tag that is registered first. The server may send messages before it
 * confirms the consumer, and the client closes a channel with an unknown consumer.
 */
async function consume(
  channel: Channel,
  queue: string,
  from: Offset,
  receive: (message: ConsumeMessage | null) => void,
): Promise<void> {
  (channel as unknown as Registering).registerConsumer(TAG, receive);
  const options = { consumerTag: TAG, arguments: { "x-stream-offset": from } };
  await channel.consume(queue, receive, options);
}
